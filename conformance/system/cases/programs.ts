/**
 * Random programs at EL2, EL1 and EL0: reads and writes of system registers, loads, stores, maintenance, calls and
 * exception returns, under random controls. What a program does is decided by where it is: each exception either returns
 * or leaves the program at the level that took it, and each ERET may change the level. After each exception its syndrome
 * is compared, at the end of the program every register of EL1 and EL2.
 *
 * Values are such that both machines must agree: fields of features that only one of them has stay 0, nothing reads a
 * running counter, and physical interrupts are left to interrupts.ts. The runner's vectors and code are mapped by every
 * tree of tables, in each regime.
 */
import { loadConstant } from "../../oracle/assemble.js";
import { Random } from "../../oracle/random.js";
import {
  ACCESSES,
  type Allowance,
  type Bench,
  type Case,
  DEFAULTS,
  EL2_SYNDROME,
  HCR,
  type Level,
  MAIR,
  mapRunner,
  NORMAL,
  SCTLR,
  tcr,
  tcr2,
  UNKNOWN_NS,
  vtcr,
} from "../case.js";
import { eret, hvc, isb, mrs, msr, msrImmediate, op, smc, svc, sys } from "../encoding.js";
import { CODE, DATA, NOTHING, VECTORS_EL2 } from "../layout.js";
import type { Cpu } from "../run-qemu.js";
import type { Tree } from "../tables.js";
import { WALK_ALLOWANCES } from "./random.js";
import { mapRunner2 } from "./stage2.js";

const PAGE = 0x1000;
/** Where programs look, beside physical addresses of the data pages: lower and upper range. */
const LOW = 0x7000_0000n;
const HIGH = 0xffff_ffff_f000_0000n;
const PAGES = 8;
/** X20 to X25 hold addresses; nothing else is written to them. */
const ADDRESS_REGISTERS = [20, 21, 22, 23, 24, 25] as const;

/** A mask for PAR_EL1: F, the fault but for its level, the address. The attributes may be the implementation's own. */
const PAR_REGISTER = 26;
const PAR_MASK = 0x00ff_ffff_ffff_f079n;
const and = (d: number, n: number, m: number): number =>
  op("AND, BIC, ORR, ORN, EOR, EON, ANDS, BICS (shifted register), 64-bit", { d, n, m });

const bit = (at: number): bigint => 1n << BigInt(at);
const some = (random: Random, bits: readonly bigint[], count: number): bigint =>
  bits.reduce((sum, one) => (random.oneIn(count) ? sum | one : sum), 0n);
const field = (random: Random, at: number, width: number): bigint => BigInt(random.below(2 ** width)) << BigInt(at);

/** What the tables of a world offer to the registers. */
interface World {
  readonly cpu: Cpu;
  readonly e2h: boolean;
  /** HCR_EL2.TGE may be set. */
  readonly tge: boolean;
  /** The one kind of virtual interrupt that there is: which of two comes first is IMPLEMENTATION DEFINED. */
  readonly source: bigint | "lists";
  readonly low: readonly Tree[];
  readonly high: Tree;
  readonly second: readonly Tree[];
}

type Value = (random: Random, world: World) => bigint;

const HCR_BITS = [
  ...[HCR.VM, HCR.SWIO, HCR.PTW, HCR.FMO, HCR.IMO, HCR.AMO, HCR.DC],
  ...[HCR.TID1, HCR.TID2, HCR.TID3, HCR.TACR, HCR.TSW, HCR.TPCP, HCR.TPU, HCR.TTLB, HCR.TVM],
  // Not TEA, which QEMU has not: architecture.ts.
  ...[HCR.TDZ, HCR.TRVM, HCR.TERR, bit(9), bit(10), bit(11), bit(32), bit(33)],
] as const;

const SOURCES = ["lists", "lists", HCR.VI, HCR.VF, HCR.VSE] as const;

const hcr: Value = (random, { cpu, e2h, tge, source }) => {
  const value =
    HCR.RW |
    (e2h ? HCR.E2H : 0n) |
    some(random, HCR_BITS, 5) |
    (random.oneIn(2) ? HCR.VM : 0n) |
    (tge && random.oneIn(2) ? HCR.TGE : 0n) |
    (source !== "lists" && random.oneIn(3) ? source : 0n) |
    (cpu === "max" ? some(random, [HCR.FWB, bit(53)], 3) : 0n);
  // Without stage 2 PTW does nothing; QEMU faults AT S1 then.
  return value & HCR.VM ? value : value & ~HCR.PTW;
};

const sctlr: Value = (random) =>
  SCTLR.OFF |
  (random.oneIn(3) ? 0n : SCTLR.M) |
  some(random, [SCTLR.A, SCTLR.WXN], 5) |
  some(random, [SCTLR.C, SCTLR.SA, SCTLR.SA0, SCTLR.UMA, SCTLR.I, SCTLR.DZE, SCTLR.UCT, SCTLR.UCI, SCTLR.SPAN], 2);

const ttbr = (tree: Tree, random: Random): bigint => BigInt(tree.root) | field(random, 48, 16);
const ttbr0: Value = (random, { low }) => ttbr(random.pick(low), random);
const ttbr1: Value = (random, { high }) => ttbr(high, random);
const twoRanges: Value = (random) => tcr({ more: some(random, [22, 37, 38, 41, 42].map(bit), 3) | bit(36) });
const tcrEl2: Value = (random, world) =>
  world.e2h ? twoRanges(random, world) : tcr2({ more: some(random, [20, 24].map(bit), 3) });
const fpen: Value = (random) => field(random, 20, 2);
const cptr: Value = (random, { e2h }) =>
  (e2h ? (random.oneIn(2) ? 3n << 20n : fpen(random, {} as World)) : 0x33ffn | some(random, [bit(10)], 4)) |
  some(random, [bit(31)], 6);
const anything: Value = (random) => random.value();
/** Where a program's end is repeated: an ERET to what was left in ELR comes there. */
const END = CODE + 0x2f00;
const end: Value = () => BigInt(END);
const word: Value = (random) => random.value() & 0xffff_ffffn;
/** Of no class that an allowance is for. */
const esr: Value = (random) => random.value() & 0x3ff_ffffn;
const mair: Value = (random) => random.pick([MAIR, MAIR ^ 0xffn]);
/**
 * Modes of all levels, seldom a reserved one. Interrupts are unmasked for EL0 alone: whether one of them comes before the
 * exception of an illegal return is up to the implementation.
 */
const spsr: Value = (random) =>
  (random.oneIn(4)
    ? field(random, 6, 4)
    : 0x3c0n |
      BigInt(random.oneIn(12) ? random.below(16) : random.pick([0, 4, 5, 5, 8, 9, 9])) |
      some(random, [bit(20)], 15)) | field(random, 28, 4);
const timerControl: Value = (random) => field(random, 0, 2);
const compare: Value = (random) => random.pick([0n, 1n, bit(63), bit(62)]);
const cnthctl: Value = (random, { e2h }) =>
  e2h ? some(random, [0, 1, 8, 9, 10, 11].map(bit), 2) : field(random, 0, 2);
const state: Value = (random) => field(random, 62, 2);
const listRegister: Value = (random, world) =>
  state(random, world) |
  field(random, 60, 1) |
  (field(random, 3, 5) << 48n) |
  BigInt(random.pick([0, 5, 27, 40, 1019]));

/** What programs write, by name, and what with. */
const WRITTEN: Readonly<Record<string, Value>> = {
  HCR_EL2: hcr,
  SCTLR_EL2: sctlr,
  CPTR_EL2: cptr,
  MDCR_EL2: (random) => some(random, [8, 9, 10, 11].map(bit), 4),
  CNTHCTL_EL2: cnthctl,
  CNTVOFF_EL2: (random) => random.pick([0n, bit(61), bit(62)]),
  VPIDR_EL2: word,
  VMPIDR_EL2: (random) => (random.value() & 0xff_00ff_ffffn) | bit(31),
  TPIDR_EL2: anything,
  TCR_EL2: tcrEl2,
  TTBR0_EL2: ttbr0,
  MAIR_EL2: mair,
  VTCR_EL2: (random) => vtcr({ more: some(random, [bit(19)], 2) }),
  VTTBR_EL2: (random, { second }) => BigInt(random.pick(second).root) | field(random, 48, 8),
  SPSR_EL2: spsr,
  ELR_EL2: end,
  ESR_EL2: esr,
  FAR_EL2: anything,
  HPFAR_EL2: (random) => field(random, 4, 20),
  SP_EL1: (random) => BigInt(DATA) + field(random, 4, 9),
  VSESR_EL2: (random) => field(random, 0, 24),
  CNTHP_CTL_EL2: timerControl,
  CNTHP_CVAL_EL2: compare,
  CNTHV_CTL_EL2: timerControl,
  CNTHV_CVAL_EL2: compare,
  // Not VGrp0DIE: for VGrp0D QEMU looks at Group 1's enable. Not LRENPIE: see the allowance.
  ICH_HCR_EL2: (random, { source }) =>
    (source === "lists" && !random.oneIn(3) ? bit(0) : 0n) | some(random, [1, 3, 4, 6, 7, 10, 11, 12, 14].map(bit), 5),
  ICH_VMCR_EL2: (random) =>
    some(random, [0, 1, 4, 9].map(bit), 2) |
    bit(3) |
    field(random, 18, 3) |
    field(random, 21, 3) |
    (field(random, 3, 5) << 24n),
  ICH_AP0R0_EL2: (random) => some(random, [bit(random.below(32))], 3),
  ICH_AP1R0_EL2: (random) => some(random, [bit(random.below(32))], 3),
  ...Object.fromEntries([0, 1, 2, 3].map((n) => [`ICH_LR${n}_EL2`, listRegister])),

  // TGE alone turns stage 1 off, which QEMU does not know: architecture.ts.
  SCTLR_EL1: (random, world) => sctlr(random, world) & (world.tge && !world.e2h ? ~SCTLR.M : ~0n),
  CPACR_EL1: fpen,
  TCR_EL1: twoRanges,
  TTBR0_EL1: ttbr0,
  TTBR1_EL1: ttbr1,
  MAIR_EL1: mair,
  CONTEXTIDR_EL1: word,
  ESR_EL1: esr,
  FAR_EL1: anything,
  SPSR_EL1: spsr,
  ELR_EL1: end,
  TPIDR_EL0: anything,
  TPIDRRO_EL0: anything,
  TPIDR_EL1: anything,
  SP_EL0: (random) => BigInt(DATA) + field(random, 4, 9),
  CNTKCTL_EL1: (random) => some(random, [0, 1, 8, 9].map(bit), 2),
  CNTP_CTL_EL0: timerControl,
  CNTP_CVAL_EL0: compare,
  CNTV_CTL_EL0: timerControl,
  CNTV_CVAL_EL0: compare,
  DAIF: (random) => field(random, 6, 4),
  NZCV: (random) => field(random, 28, 4),
  SPSel: (random) => field(random, 0, 1),
  PAN: (random) => field(random, 22, 1),
  FPCR: (random) => field(random, 22, 4),
  FPSR: (random) => field(random, 0, 5),

  ICC_PMR_EL1: (random) => field(random, 3, 5),
  ICC_BPR0_EL1: (random) => field(random, 0, 3),
  ICC_BPR1_EL1: (random) => field(random, 0, 3),
  ICC_CTLR_EL1: (random) => field(random, 0, 2),
  ICC_IGRPEN0_EL1: (random) => field(random, 0, 1),
  ICC_IGRPEN1_EL1: (random) => field(random, 0, 1),
};

const EL12 = ["SCTLR", "CPACR", "TTBR0", "TTBR1", "TCR", "MAIR", "ESR", "FAR", "CONTEXTIDR", "CNTKCTL", "SPSR", "ELR"];
const EL02 = ["CNTP_CTL", "CNTP_CVAL", "CNTV_CTL", "CNTV_CVAL"];
/** Those of E2H, with the values of the registers that they mean. */
const WRITTEN_E2H: Readonly<Record<string, Value>> = {
  ...Object.fromEntries(EL12.map((name) => [`${name}_EL12`, WRITTEN[`${name}_EL1`]])),
  ...Object.fromEntries(EL02.map((name) => [`${name}_EL02`, WRITTEN[`${name}_EL0`]])),
  TTBR1_EL2: ttbr1,
  CONTEXTIDR_EL2: word,
  // Under E2H the name is EL2's: a value for either.
  CPACR_EL1: (random, world) => cptr(random, { ...world, e2h: true }) & ~bit(31),
};

/** Read as well. */
const READ_ONLY = ["CurrentEL", "ISR_EL1", "MPIDR_EL1", "ICC_RPR_EL1", "ICC_HPPIR1_EL1", "ICH_MISR_EL2"];
const READ_MORE = ["ICC_IAR0_EL1", "ICC_IAR1_EL1", "ICC_HPPIR0_EL1", "ICH_EISR_EL2", "DAIF"];
const READ_ALONE = [...READ_ONLY, ...READ_MORE, "MDSCR_EL1", "OSLSR_EL1", "ERRIDR_EL1"];
/** What is not read: syndromes and fields that differ by allowances, and on max what FEAT_IDST reports at EL0. */
const UNREAD: Readonly<Record<Cpu, RegExp>> = {
  "neoverse-n1": /^(ESR|ICC_CTLR|ICH_HCR)/,
  max: /^(ESR|ICC_CTLR|ICH_HCR|MPIDR)/,
};
/** Ends of virtual interrupts. */
const WRITE_ALONE = ["ICC_EOIR0_EL1", "ICC_EOIR1_EL1", "ICC_DIR_EL1", "ACTLR_EL1", "OSLAR_EL1"];

/** What changes a translation: an exception follows, at which the TLBs are flushed. */
const TRANSLATION = /^(HCR|SCTLR|TCR|TTBR[01]|MAIR|VTCR|VTTBR)_/;

const namesOf = (e2h: boolean): string[] => [...Object.keys(WRITTEN), ...(e2h ? Object.keys(WRITTEN_E2H) : [])];
const valueFor = (name: string, random: Random, world: World): bigint =>
  ((world.e2h ? WRITTEN_E2H[name] : undefined) ?? WRITTEN[name])(random, world);

const MAINTENANCE = [
  ...["TLBI VMALLE1", "TLBI VMALLE1IS", "TLBI VAE1IS", "TLBI ASIDE1", "TLBI VALE1", "TLBI ALLE1", "TLBI ALLE2"],
  ...["TLBI VAE2IS", "TLBI VMALLS12E1IS", "TLBI IPAS2E1IS", "TLBI IPAS2LE1", "IC IALLU", "IC IALLUIS", "DC CISW"],
];
const TRANSLATIONS = [
  "AT S1E1R",
  "AT S1E1W",
  "AT S1E0R",
  "AT S1E0W",
  "AT S12E1R",
  "AT S12E1W",
  "AT S12E0R",
  "AT S12E0W",
  "AT S1E2R",
  "AT S1E2W",
];

/** FMOV D0, #1.0; MOVI V0.16B, #0. */
const FP = [0x1e6e_1000, 0x4f00_e400] as const;
/** Loads and stores; what QEMU does of cache maintenance by address is in instructions.ts and architecture.ts. */
const KINDS = Object.entries(ACCESSES).flatMap(([name, body]) =>
  /^(zero|clean|invalidate|writeExclusive)/.test(name) ? [] : [[body].flat()],
);
/** Rn of a load, store or maintenance instruction that was made for X0. */
const withBase = (insn: number, n: number): number => (insn | (n << 5)) >>> 0;
const scratch = (random: Random): number => random.below(16);

/** One step of a program. */
function step(random: Random, world: World): number[] {
  const { e2h, tge } = world;
  const address = random.pick(ADDRESS_REGISTERS);
  switch (random.below(14)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      const name = random.pick(namesOf(e2h));
      const t = scratch(random);
      const value = valueFor(name, random, world);
      return [...loadConstant(t, value), msr(name, t), ...(TRANSLATION.test(name) ? [isb, smc(1)] : [])];
    }
    case 4:
    case 5:
    case 6:
      return [
        mrs(
          scratch(random),
          random.pick([...namesOf(e2h), ...READ_ALONE].filter((name) => !UNREAD[world.cpu].test(name))),
        ),
      ];
    case 7: {
      const kind = random.pick(KINDS);
      // X1 to X3 take part in accesses.
      return kind.map((insn) => withBase(insn, address));
    }
    case 8:
      // Under TGE QEMU translates by stage 1, and under E2H too takes AT S12 for EL2&0; architecture.ts has it.
      return [
        sys(
          random.pick(TRANSLATIONS.filter((name) => !tge || name.includes("E2") || (e2h && name.includes("S1E")))),
          address,
        ),
        mrs(4, "PAR_EL1"),
        and(4, 4, PAR_REGISTER),
      ];
    case 9: {
      const t = scratch(random);
      return [...loadConstant(t, random.value()), sys(random.pick(MAINTENANCE), t)];
    }
    case 10:
      return [random.pick([svc, hvc, smc])(random.below(0x80))];
    case 11: {
      // To the next instruction, maybe at another level.
      const el2 = e2h && random.oneIn(2) ? "EL1" : "EL2";
      // To EL0 alone with PAN: an illegal return takes it from SPSR, but QEMU leaves it.
      const returned = spsr(random, world);
      const pan = random.oneIn(2) ? 1 : 0;
      const mode = returned | ((returned & 0xfn) === 0n && pan ? bit(22) : 0n);
      return [
        op("ADR", { d: 0, h: 13 }),
        ...fixed(1, mode),
        msrImmediate("PAN", 0),
        mrs(2, "CurrentEL"),
        op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, s: 1, n: 2, d: 31, i: 8 }),
        op("B.cond", { c: 0, i: 4 }),
        ...[msr("ELR_EL1", 0), msr("SPSR_EL1", 1), op("B", { i: 3 })],
        ...[msr(`ELR_${el2}`, 0), msr(`SPSR_${el2}`, 1)],
        eret,
      ];
    }
    case 12:
      return random.pick([
        () => [msrImmediate("PAN", random.below(2))],
        () => [msrImmediate("SPSel", random.below(2))],
        () => [msrImmediate("DAIFSet", random.below(16))],
        () => [msrImmediate("DAIFClr", random.below(16))],
        () => [random.pick(FP)],
        () => [op("BRK", { i: random.below(8) })],
        () => [op("STR, X (unsigned offset)", { n: 31, t: 3 })],
        () => [op("CLREX", { m: 15 })],
      ])();
    default: {
      const name = random.pick(WRITE_ALONE);
      const t = scratch(random);
      const value = name.startsWith("ICC") ? BigInt(random.pick([0, 5, 27, 40, 1019, 1023])) : 0n;
      return [...loadConstant(t, value), msr(name, t)];
    }
  }
}

/** X`d` = a 32-bit value, in two instructions always. */
const fixed = (d: number, value: bigint): number[] => [
  op("MOVZ", { f: 1, h: 0, i: Number(value & 0xffffn), d }),
  op("MOVK", { f: 1, h: 1, i: Number((value >> 16n) & 0xffffn), d }),
];

/** A tree that every regime can live with, and pages with random permissions. */
function stage1Tree(b: Bench, random: Random, output: () => number): Tree {
  const tree = b.tree(48);
  mapRunner(tree);
  tree.map(BigInt(VECTORS_EL2), VECTORS_EL2, { attr: NORMAL, ap: 3, sh: 3 });
  for (const base of [LOW, BigInt(DATA)])
    for (let i = 0; i < PAGES; i++)
      if (!random.oneIn(8)) tree.map(base + BigInt(i * PAGE), output(), randomLeaf(random));
  return tree;
}

const randomLeaf = (random: Random) => ({
  attr: random.oneIn(6) ? random.below(5) : NORMAL,
  ap: random.below(4),
  sh: 3,
  af: random.oneIn(12) ? 0 : 1,
  ng: random.below(2),
  pxn: random.below(2),
  uxn: random.below(2),
});

function makeWorld(b: Bench, random: Random, cpu: Cpu): World {
  const output = () => (random.oneIn(25) ? NOTHING : DATA + random.below(PAGES) * PAGE);
  const low = [stage1Tree(b, random, output), stage1Tree(b, random, output)];
  const high = b.tree(48);
  for (let i = 0; i < PAGES; i++) if (!random.oneIn(6)) high.map(HIGH + BigInt(i * PAGE), output(), randomLeaf(random));
  const second = [b.tree(40, 1), b.tree(40, 1)];
  for (const tree of second) {
    mapRunner2(tree);
    for (let i = 0; i < 16; i++) {
      if (random.oneIn(10)) continue;
      tree.map2(BigInt(DATA + i * PAGE), DATA + random.below(PAGES) * PAGE, {
        attr: random.oneIn(8) ? random.pick([0, 1, 5, 7]) : 15,
        s2ap: random.oneIn(4) ? random.below(4) : 3,
        af: random.oneIn(15) ? 0 : 1,
        xn: random.below(2),
      });
    }
  }
  b.install(...low, high, ...second);
  return { cpu, e2h: random.oneIn(2), tge: random.oneIn(3), source: random.pick(SOURCES), low, high, second };
}

const STEPS = 14;
const RESUMES = 20;

/** Differences that are QEMU's. */
const ALLOWANCES: readonly Allowance[] = [
  UNKNOWN_NS,
  EL2_SYNDROME,
  ...WALK_ALLOWANCES,
  {
    field: /SPSR_EL3$/,
    mask: 0xf000_0000n,
    why: "DDI 0487, AArch64.TakeException: leaves PSTATE.{N, Z, C, V} alone; QEMU clears them for the handler",
  },
  {
    field: /ESR_EL[12]$/,
    when: (esr) => esr >> 26n === 0x18n && ((esr >> 20n) & 3n) === 0n,
    mask: 0xf_c000n,
    why: "MSR (immediate) at EL0: QEMU 7.2 exchanges op1 and op2 in its syndrome; instructions.ts has it",
  },
  {
    field: /ICH_HCR_EL2$/,
    mask: 0xf800_0000n,
    why: "IHI 0069H, ICH_HCR_EL2.EOIcount: an EOI counts with VEOIM 0, a deactivation with VEOIM 1; QEMU 7.2 counts any EOI",
  },
  {
    field: /ICC_CTLR_EL1$/,
    mask: 0xffff_fffcn,
    why: "which priorities and INTIDs there are is IMPLEMENTATION DEFINED",
  },
];

/** What the end of a program compares: all that it may have written, as EL3 reads it. */
const FINAL = Object.keys(WRITTEN).filter((name) => !/^(DAIF|NZCV|SPSel|PAN|SP_EL1|SP_EL0|FPCR|FPSR)$/.test(name));

function run(b: Bench, random: Random, cpu: Cpu): void {
  const world = makeWorld(b, random, cpu);
  const { program } = b;
  for (const allowance of ALLOWANCES) b.allow(allowance);
  const values: Record<string, bigint> = {
    SCR_EL3: DEFAULTS.SCR_EL3 | (cpu === "max" ? some(random, [bit(25)], 2) : 0n),
  };
  for (const name of FINAL) values[name] = valueFor(name, random, world);
  values.CONTEXTIDR_EL2 = 0n;
  values.TTBR1_EL2 = ttbr1(random, world);
  values.CPTR_EL3 = some(random, [bit(10), bit(31)], 12);
  // Not TDA: QEMU does not trap MDCR_EL2 by it.
  values.MDCR_EL3 = some(random, [bit(10)], 12);
  // EL3 reaches these two while CPTR_EL3 is still 0.
  b.set({ FPCR: 0n, FPSR: 0n, SP_EL2: DATA + 0x4000 });
  b.set(values);
  const words = Array.from({ length: STEPS }, () => step(random, world)).flat();
  // What is left of the resumptions finds the end again and again.
  const last = [smc(0), op("B", { i: -1 }), smc(0)];
  program.code([...words, ...last]);
  program.code(last, END);
  program.clear();
  const addresses = [
    ...[BigInt(DATA), LOW, HIGH].map((base) => base + BigInt(random.below(PAGES) * PAGE + random.below(64) * 8)),
    ...[LOW, HIGH, BigInt(DATA)].map((base) => base + BigInt(random.below(0x1000) * 8)),
  ];
  b.x({ [PAR_REGISTER]: PAR_MASK });
  b.x(Object.fromEntries(ADDRESS_REGISTERS.map((n, i) => [n, addresses[i]])));
  const level = random.pick<Level>(["EL2", "EL2", "EL1"]);
  program.step("entry");
  b.enter(values.HCR_EL2 & HCR.TGE ? "EL2" : level, { registers: 0 });
  for (let i = 0; i < RESUMES; i++) {
    program.step(`resumption ${i}`);
    program.resume(random.oneIn(3));
    program.exceptions();
  }
  program.registers(20);
  program.step("end");
  for (const name of FINAL) program.mrs(name);
  for (let page = 0; page < PAGES; page++)
    for (let offset = 0; offset < PAGE; offset += 0x400) program.read64(DATA + page * PAGE + offset);
  program.step("");
  program.fill(DATA, 0x1_0000, 0n);
}

export const programCases = (seed: number, count: number): Case[] =>
  Array.from({ length: count }, (_, i) => {
    const number = seed * 100_003 + i;
    const cpu: Cpu = i % 3 === 2 ? "max" : "neoverse-n1";
    return { name: `random program ${number}`, cpu, run: (b) => run(b, new Random(number), cpu) };
  });
