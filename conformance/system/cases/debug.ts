/**
 * Self-hosted debug: software step, breakpoints, watchpoints, BRK; where their exceptions go, and what masks them.
 * DDI 0487, "AArch64 Self-hosted Debug". What QEMU does otherwise is in `debug-architecture.ts`.
 */
import {
  ACCESSES,
  type Access,
  type Allowance,
  type Bench,
  type Case,
  EL2_SYNDROME,
  HCR,
  type Level,
  mapRunner,
  NORMAL,
  SCR,
  SCTLR,
  SPSR,
  tcr,
} from "../case.js";
import { eret, hvc, isb, mov, msr, msrImmediate, nop, op, smc, svc } from "../encoding.js";
import { CODE, DATA, NOTHING } from "../layout.js";

export const MDSCR = { SS: 1n << 0n, KDE: 1n << 13n, MDE: 1n << 15n } as const;
const TDE = 1n << 8n;
const SDD = 1n << 16n;
/** Bits of SPSR by which an entry steps, and by which it unmasks debug exceptions. */
const STEP = 1 << 21;
const UNMASK_D = 1 << 9;

interface Setting {
  readonly name: string;
  readonly level: Level;
  readonly registers: Readonly<Record<string, bigint>>;
  /** As for `Bench.run`. */
  readonly pstate?: number;
}

const [RW, TGE, E2H] = [HCR.RW, HCR.TGE, HCR.E2H];
const { SS, KDE, MDE } = MDSCR;

/** `enable` is MDSCR_EL1.SS or MDE. */
const settings = (enable: bigint): readonly Setting[] => [
  { name: "EL0", level: "EL0", registers: { MDSCR_EL1: enable } },
  { name: "EL0, PSTATE.D 0", level: "EL0", registers: { MDSCR_EL1: enable }, pstate: UNMASK_D },
  { name: "EL0, not enabled", level: "EL0", registers: { MDSCR_EL1: KDE } },
  { name: "EL0, TDE", level: "EL0", registers: { MDSCR_EL1: enable, MDCR_EL2: TDE } },
  { name: "EL0, TGE", level: "EL0", registers: { MDSCR_EL1: enable, HCR_EL2: RW | TGE } },
  { name: "EL0, TGE and E2H", level: "EL0", registers: { MDSCR_EL1: enable, HCR_EL2: RW | TGE | E2H } },
  { name: "EL1", level: "EL1", registers: { MDSCR_EL1: enable | KDE }, pstate: UNMASK_D },
  { name: "EL1T", level: "EL1T", registers: { MDSCR_EL1: enable | KDE }, pstate: UNMASK_D },
  { name: "EL1, PSTATE.D 1", level: "EL1", registers: { MDSCR_EL1: enable | KDE } },
  { name: "EL1, KDE 0", level: "EL1", registers: { MDSCR_EL1: enable }, pstate: UNMASK_D },
  { name: "EL1, TDE", level: "EL1", registers: { MDSCR_EL1: enable, MDCR_EL2: TDE } },
  { name: "EL2, TDE", level: "EL2", registers: { MDSCR_EL1: enable | KDE, MDCR_EL2: TDE }, pstate: UNMASK_D },
  { name: "EL2, TDE, PSTATE.D 1", level: "EL2", registers: { MDSCR_EL1: enable | KDE, MDCR_EL2: TDE } },
  { name: "EL2, TDE 0", level: "EL2", registers: { MDSCR_EL1: enable | KDE }, pstate: UNMASK_D },
  { name: "EL3", level: "EL3", registers: { MDSCR_EL1: enable | KDE, MDCR_EL2: TDE }, pstate: UNMASK_D },
  { name: "Secure EL0", level: "EL0", registers: { MDSCR_EL1: enable, SCR_EL3: SCR.RES1 | SCR.RW } },
  {
    name: "Secure EL0, SDD",
    level: "EL0",
    registers: { MDSCR_EL1: enable, SCR_EL3: SCR.RES1 | SCR.RW, MDCR_EL3: SDD },
  },
  {
    name: "Secure EL1",
    level: "EL1",
    registers: { MDSCR_EL1: enable | KDE, SCR_EL3: SCR.RES1 | SCR.RW },
    pstate: UNMASK_D,
  },
  {
    name: "Secure EL1, SDD",
    level: "EL1",
    registers: { MDSCR_EL1: enable | KDE, SCR_EL3: SCR.RES1 | SCR.RW, MDCR_EL3: SDD },
    pstate: UNMASK_D,
  },
];

function prepare(b: Bench, { registers }: Setting): void {
  b.set({ OSLAR_EL1: 0n, ...registers });
}

/** X0 is a data address, X1 counts. */
const count = op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, n: 1, d: 1, i: 1 });
const BODIES: readonly (readonly [string, readonly number[]])[] = [
  ["two additions", [count, count]],
  ["B", [op("B", { i: 2 }), count, count]],
  ["B.cond that falls through", [op("B.cond", { i: 2, c: 0 }), count, count]],
  ["load", [op("LDR, X (unsigned offset)", { n: 0, t: 2 }), count]],
  ["LDXR", [op("LDXR, LDAXR, X", { n: 0, t: 2 }), count]],
  ["LDXP", [op("LDXP, LDAXP, X", { n: 0, t: 2, u: 3 }), count]],
  ["STXR", [op("STXR, STLXR, X", { n: 0, t: 2, s: 3 }), count]],
  ["LDAR", [op("LDAR, X", { n: 0, t: 2 }), count]],
  ["SVC", [svc(7), count]],
  ["BRK", [op("BRK", { i: 7 }), count]],
  ["UDF", [op("UDF", { i: 7 }), count]],
  ["ISB", [isb, count]],
  ["WFE", [op("WFE"), count]],
  ["load of nothing", [op("LDR, X (unsigned offset)", { n: 4, t: 2 }), count]],
  ["jump to nothing", [op("BR", { n: 4 }), count]],
];

/** Under TGE, EL1 does not exist: what goes to EL1 otherwise goes to EL2. */
const steps: Case[] = settings(SS).flatMap((setting) =>
  BODIES.flatMap(([what, words]) =>
    [STEP, 0].map(
      (ss): Case => ({
        name: `step of ${what} at ${setting.name}, PSTATE.SS ${ss ? 1 : 0}`,
        run: (b) => {
          prepare(b, setting);
          b.x({ 0: DATA, 1: 0, 4: NOTHING });
          b.allow(EL2_SYNDROME);
          b.run(setting.level, words, { pstate: (setting.pstate ?? 0) ^ ss });
        },
      }),
    ),
  ),
);

/** Not stepped, it would wait for ever. */
const stepOfWait: Case = {
  name: "step of WFI at EL0",
  run: (b) => {
    b.set({ OSLAR_EL1: 0n, MDSCR_EL1: SS, SCTLR_EL1: SCTLR.OFF | SCTLR.NTWI });
    b.x({ 1: 0 });
    b.run("EL0", [op("WFI"), count], { pstate: STEP });
  },
};

/**
 * Instructions of EL1 that change whether it is stepped. QEMU steps a DAIFSet that masks debug exceptions: `debug-architecture.ts`.
 * X5 = MDSCR_EL1 with SS.
 */
const CHANGES: readonly (readonly [string, readonly number[]])[] = [
  ["DAIFClr D", [nop, msrImmediate("DAIFClr", 8), nop, nop]],
  ["MDSCR_EL1.SS = 1", [msr("MDSCR_EL1", 5), isb, nop, nop]],
  ["MSR DAIF", [msr("DAIF", 31), nop, nop]],
  ["HVC", [hvc(1), nop]],
  ["SMC", [smc(1), nop]],
];

const changes: Case[] = CHANGES.flatMap(([what, words]) =>
  [SS | KDE, KDE, SS].flatMap((mdscr) =>
    [0, UNMASK_D, STEP, STEP | UNMASK_D].flatMap((pstate) => ({
      name: `${what} with MDSCR_EL1 0x${mdscr.toString(16)}, SPSR ^ 0x${pstate.toString(16)}`,
      run: (b: Bench) => {
        b.set({ MDSCR_EL1: mdscr, OSLAR_EL1: 0n });
        b.x({ 5: mdscr | SS, 6: 1 });
        b.run("EL1", words, { pstate });
      },
    })),
  ),
);

/** The step exception after an ERET that was itself stepped. */
const STEPPED_RETURN: Allowance = {
  field: /ESR_EL[12]$/,
  when: (esr) => esr >> 27n === 0x19n,
  mask: 1n << 24n,
  why: "DDI 0487, SoftwareStep_DidNotStep: may return TRUE or FALSE after an ERET in the active-not-pending state",
};

/** ERET to code that is two additions and an SVC. */
const returns: Case[] = (["EL1", "EL2"] as const).flatMap((level) =>
  (["EL0", "EL1", "EL1T"] as const).flatMap((to) =>
    [0, STEP, UNMASK_D, STEP | UNMASK_D].flatMap((spsr) =>
      [SS, SS | KDE].flatMap((mdscr) =>
        [0, UNMASK_D].flatMap((pstate) =>
          [0n, TDE].map(
            (tde): Case => ({
              name: `ERET at ${level} ^ 0x${pstate.toString(16)} to ${to} ^ 0x${spsr.toString(16)}, MDSCR_EL1 0x${mdscr.toString(16)}, TDE ${tde ? 1 : 0}`,
              run: (b) => {
                const target = CODE + 0x800;
                b.program.code([count, count, svc(0x77), smc(0x78)], target);
                b.set({ OSLAR_EL1: 0n, MDSCR_EL1: mdscr, MDCR_EL2: tde });
                b.x({ 1: 0, 2: SPSR[to] ^ spsr, 3: target });
                b.allow(STEPPED_RETURN);
                b.run(level, [msr(`SPSR_${level}`, 2), msr(`ELR_${level}`, 3), eret], { pstate });
              },
            }),
          ),
        ),
      ),
    ),
  ),
);

const FAR_UNKNOWN: Allowance = {
  field: /FAR_EL[12]$/,
  why: "DDI 0487, FAR_EL1: UNKNOWN for Breakpoint exceptions",
};

/** PMC and HMC for an EL, in every Security state. */
const privilege = (level: Level): bigint =>
  level === "EL0" ? 2n << 1n : level.startsWith("EL1") ? 1n << 1n : (1n << 1n) | (1n << 13n);

/** DBGBCR: enabled, all bytes. */
const BREAK = 1n | (0xfn << 5n);

const breakpoints: Case[] = settings(MDE).flatMap((setting) =>
  [0, 1].flatMap((n) =>
    ([-1, 0, 1, 2] as const).map(
      (at): Case => ({
        name: `breakpoint ${n} at instruction ${at}, ${setting.name}`,
        run: (b) => {
          prepare(b, setting);
          b.set({ [`DBGBVR${n}_EL1`]: CODE + 4 * at, [`DBGBCR${n}_EL1`]: BREAK | privilege(setting.level) });
          b.allow(FAR_UNKNOWN);
          b.x({ 1: 0 });
          b.run(setting.level, [count, count, count], { pstate: setting.pstate ?? 0 });
        },
      }),
    ),
  ),
);

/** Every PMC, with SSC of any and of Non-secure state; HMC too. */
const breakpointStates: Case[] = (["EL0", "EL1", "EL2"] as const).flatMap((level) =>
  [0b00001n, 0b00010n, 0b00011n, 0b00101n, 0b00110n, 0b00111n, 0b10001n, 0b10011n, 0b10101n, 0b10111n].flatMap(
    (combination) =>
      [SCR.NS, 0n].map(
        (ns): Case => ({
          name: `breakpoint with HMC:SSC:PMC ${combination.toString(2)} at ${level}, NS ${ns}`,
          run: (b) => {
            const control = ((combination & 16n) << 9n) | ((combination & 12n) << 12n) | ((combination & 3n) << 1n);
            b.set({
              OSLAR_EL1: 0n,
              MDSCR_EL1: MDE | KDE,
              MDCR_EL2: level === "EL2" ? TDE : 0n,
              SCR_EL3: SCR.RES1 | SCR.RW | SCR.HCE | (level === "EL2" ? SCR.NS : ns),
              DBGBVR0_EL1: CODE + 4,
              DBGBCR0_EL1: BREAK | control,
            });
            b.allow(FAR_UNKNOWN);
            b.x({ 1: 0 });
            b.run(level, [count, count, count], { pstate: UNMASK_D });
          },
        }),
      ),
  ),
);

const breakpointsOtherwise: Case[] = [
  {
    name: "breakpoint in a loop",
    run: (b) => {
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE, DBGBVR0_EL1: CODE + 16, DBGBCR0_EL1: BREAK | (2n << 1n) });
      b.allow(FAR_UNKNOWN);
      b.x({ 1: 0, 2: 50 });
      // X1 counts to X2, then the instruction after the branch breaks.
      const down = op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, n: 2, d: 2, i: 1 });
      b.run("EL0", [nop, count, down, op("CBNZ", { f: 1, i: -2, t: 2 }), count]);
    },
  },
  {
    name: "breakpoint in the next page, by a branch",
    run: (b) => {
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE, DBGBVR1_EL1: CODE + 0x3008, DBGBCR1_EL1: BREAK | (2n << 1n) });
      b.allow(FAR_UNKNOWN);
      b.program.code([count, count, count, svc(3)], CODE + 0x3000);
      b.x({ 1: 0, 5: CODE + 0x3000 });
      b.run("EL0", [count, op("BR", { n: 5 })]);
    },
  },
  {
    name: "breakpoint of EL1 set by EL1 for the next instruction",
    run: (b) => {
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE | KDE, DBGBVR0_EL1: CODE + 12 });
      b.allow(FAR_UNKNOWN);
      b.x({ 1: 0, 5: BREAK | (1n << 1n) });
      b.run("EL1", [count, msr("DBGBCR0_EL1", 5), isb, count, count], { pstate: UNMASK_D });
    },
  },
  {
    name: "breakpoint on a stepped instruction",
    run: (b) => {
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE | SS, DBGBVR0_EL1: CODE, DBGBCR0_EL1: BREAK | (2n << 1n) });
      b.allow(FAR_UNKNOWN);
      b.run("EL0", [count, count], { pstate: STEP });
    },
  },
  {
    name: "breakpoint after a stepped instruction",
    run: (b) => {
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE | SS, DBGBVR0_EL1: CODE + 4, DBGBCR0_EL1: BREAK | (2n << 1n) });
      b.run("EL0", [count, count], { pstate: STEP });
    },
  },
  {
    name: "breakpoint that is not enabled",
    run: (b) => {
      b.set({ OSLAR_EL1: 0n, MDSCR_EL1: MDE, DBGBVR0_EL1: CODE, DBGBCR0_EL1: 0xfn << 5n });
      b.run("EL0", [count, count]);
    },
  },
];

const VA = 0x20_0000n;

/** EL1&0 translation on; VA is two pages, readable and writable at EL0. */
function translate(b: Bench): void {
  const tree = b.tree(48);
  mapRunner(tree);
  for (const page of [0, 0x1000]) {
    tree.map(VA + BigInt(page), DATA + page, { attr: NORMAL, ap: 1, sh: 3, uxn: 1, pxn: 1 });
    b.program.fill(DATA + page, 0x1000, 0x1122_3344_5566_7788n);
  }
  b.install(tree);
  b.set({
    SCTLR_EL1: SCTLR.OFF | SCTLR.M | SCTLR.UCI | SCTLR.DZE,
    TCR_EL1: tcr(),
    TTBR0_EL1: BigInt(tree.root),
  });
}

interface Watch {
  readonly name: string;
  readonly value: bigint;
  /** LSC, BAS, MASK. */
  readonly lsc?: bigint;
  readonly bas?: bigint;
  readonly mask?: bigint;
}

const watchControl = ({ lsc = 3n, bas = 0xffn, mask = 0n }: Watch, level: Level): bigint =>
  1n | privilege(level) | (lsc << 3n) | (bas << 5n) | (mask << 24n);

/** PE state with a watchpoint. */
function watch(b: Bench, n: number, one: Watch, level: Level): void {
  translate(b);
  b.set({
    OSLAR_EL1: 0n,
    MDSCR_EL1: MDE | KDE,
    [`DBGWVR${n}_EL1`]: one.value,
    [`DBGWCR${n}_EL1`]: watchControl(one, level),
  });
}

/** DC IVAC is watched by the architecture and not by QEMU: `debug-architecture.ts` has it. */
const KINDS = (Object.keys(ACCESSES) as Access[]).filter((kind) => kind !== "invalidate");

const watchpointKinds: Case[] = (["EL0", "EL1"] as const).flatMap((level) =>
  [1n, 2n, 3n].flatMap((lsc) =>
    KINDS.map(
      (kind): Case => ({
        name: `watchpoint with LSC ${lsc}, ${kind} at ${level}`,
        run: (b) => {
          watch(b, 0, { name: "", value: VA, lsc }, level);
          for (const at of [0n, 8n, 0x40n]) b.access(level, kind, VA + at, { pstate: UNMASK_D });
          b.program.read64(DATA);
        },
      }),
    ),
  ),
);

const RANGES: readonly Watch[] = [
  { name: "eight bytes", value: VA + 0x100n },
  { name: "byte 0", value: VA + 0x100n, bas: 1n },
  { name: "byte 3", value: VA + 0x100n, bas: 8n },
  { name: "bytes 2 to 5", value: VA + 0x100n, bas: 0x3cn },
  { name: "no byte", value: VA + 0x100n, bas: 0n },
  { name: "a word that is the upper half", value: VA + 0x104n, bas: 0xfn },
  { name: "a byte of it", value: VA + 0x104n, bas: 4n },
  { name: "MASK 3", value: VA + 0x100n, mask: 3n },
  { name: "MASK 7", value: VA + 0x100n, mask: 7n },
  { name: "MASK 12", value: VA, mask: 12n },
  { name: "MASK 31", value: 0n, mask: 31n },
  { name: "MASK 1, reserved", value: VA + 0x100n, mask: 1n },
  { name: "the end of a page", value: VA + 0xff8n },
];
const PLACES = [
  0xf0n,
  0xf8n,
  0xfcn,
  0xffn,
  0x100n,
  0x101n,
  0x102n,
  0x103n,
  0x104n,
  0x105n,
  0x106n,
  0x108n,
  0x17fn,
  0x180n,
  0xff0n,
  0xff8n,
  0xfffn,
];

const watchpointRanges: Case[] = RANGES.flatMap((one) =>
  ([0, 1] as const).flatMap((n) =>
    (["read", "write", "readByte", "writeByte", "readPair", "writePair"] as const).map(
      (kind): Case => ({
        name: `watchpoint ${n} on ${one.name}, ${kind}`,
        run: (b) => {
          watch(b, n, one, "EL0");
          // QEMU splits an unaligned access into aligned ones that touch bytes beyond it.
          const places = kind.endsWith("Byte") ? PLACES : PLACES.filter((at) => at % 8n === 0n);
          for (const at of places) b.access("EL0", kind, VA + at);
        },
      }),
    ),
  ),
);

const watchpointSettings: Case[] = settings(MDE)
  .filter(({ level }) => level !== "EL3")
  .flatMap((setting) =>
    (["read", "write"] as const).map(
      (kind): Case => ({
        name: `watchpoint, ${kind} at ${setting.name}`,
        run: (b) => {
          prepare(b, setting);
          const control = watchControl({ name: "", value: 0n }, setting.level);
          b.set({ DBGWVR0_EL1: DATA + 0x40, DBGWCR0_EL1: control });
          for (const at of [0x38, 0x40, 0x48])
            b.access(setting.level, kind, DATA + at, { pstate: setting.pstate ?? 0 });
        },
      }),
    ),
  );

const watchpointsOtherwise: Case[] = [
  ...(["readUnprivileged", "writeUnprivileged"] as const).flatMap((kind) =>
    (["EL0", "EL1"] as const).map(
      (level): Case => ({
        name: `watchpoint of ${level}, ${kind} at EL1`,
        run: (b) => {
          watch(b, 0, { name: "", value: VA }, level);
          b.access("EL1", kind, VA, { pstate: UNMASK_D });
        },
      }),
    ),
  ),
  {
    name: "watchpoint on an address that is not mapped",
    run: (b) => {
      watch(b, 0, { name: "", value: VA + 0x10_0000n }, "EL0");
      b.access("EL0", "read", VA + 0x10_0000n);
    },
  },
  {
    name: "watchpoint at a stepped instruction",
    run: (b) => {
      watch(b, 0, { name: "", value: VA }, "EL0");
      b.set({ MDSCR_EL1: MDE | SS });
      b.access("EL0", "read", VA, { pstate: STEP });
      b.access("EL0", "read", VA + 8n, { pstate: STEP });
    },
  },
  {
    name: "watchpoint removed and set again",
    run: (b) => {
      watch(b, 0, { name: "", value: VA }, "EL0");
      b.access("EL0", "read", VA);
      b.set({ DBGWCR0_EL1: 0n });
      b.access("EL0", "read", VA, { step: "removed" });
      b.set({ DBGWCR0_EL1: watchControl({ name: "", value: VA }, "EL0") });
      b.access("EL0", "read", VA, { step: "again" });
    },
  },
  ...(["Q load", "Q store", "four registers", "one lane"] as const).map((what, i): Case => {
    const word = [
      op("LDR, Q (unsigned offset)", { n: 0, t: 0 }),
      op("STR, Q (unsigned offset)", { n: 0, t: 0 }),
      op("LD4, ST4 (multiple structures)", { n: 0, t: 0, q: 1, l: 1, z: 0 }),
      op("LDn, STn (single structure), S", { n: 0, t: 0, q: 0, s: 0, l: 1, r: 0, k: 0 }),
    ][i]!;
    return {
      name: `watchpoint, ${what}`,
      run: (b) => {
        watch(b, 0, { name: "", value: VA + 0x10n }, "EL0");
        for (const at of [0x0n, 0x4n, 0x8n, 0x10n, 0x18n, 0x20n]) {
          b.program.clear();
          b.x({ 0: VA + at });
          b.program.step(`at 0x${at.toString(16)}`);
          b.run("EL0", [word, mov(1, 0)]);
          b.program.step("");
        }
      },
    };
  }),
];

export const debugCases: readonly Case[] = [
  ...steps,
  stepOfWait,
  ...changes,
  ...returns,
  ...breakpoints,
  ...breakpointStates,
  ...breakpointsOtherwise,
  ...watchpointKinds,
  ...watchpointRanges,
  ...watchpointSettings,
  ...watchpointsOtherwise,
];
