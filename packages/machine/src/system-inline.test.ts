/**
 * What the engine does of system instructions itself is what the machine does: random programs of exceptions between EL0 and EL1
 * and of hot system registers run on a machine whose engine leaves all of them to TypeScript, on one whose engine does them, and
 * on one that translates. State, clock and counters are equal wherever the runs are cut.
 */
import { describe, expect, test, vi } from "vitest";
import { Assembler } from "../test-support/assembler.js";
import { DRAM, place, testBoard } from "../test-support/pe-at.js";
import { generateInterpreter } from "./cpu/index.js";
import { exceptionRows } from "./cpu/rows/exceptions.js";
import { hotSystemRows } from "./cpu/rows/hot-system.js";
import { ROWS } from "./cpu/rows/index.js";
import { R, type RegName } from "./cpu/state.js";
import type { Jit } from "./jit.js";
import { compareMachines, compareStates } from "./lockstep/compare.js";
import { Machine } from "./machine.js";

const inline = new Set([...hotSystemRows, ...exceptionRows]);
const PLAIN = generateInterpreter(ROWS.filter((row) => !inline.has(row)));
const ENGINE = generateInterpreter();

const bit = (n: number): bigint => 1n << BigInt(n);
const RW = bit(31);
/** SCTLR_EL1: what EL0 may do (UMA, DZE, UCT), SPAN. */
const SCTLR_OPEN = bit(9) | bit(14) | bit(15) | bit(23);
const FP_OPEN = 3n << 20n;

interface Setting {
  readonly name: string;
  readonly registers: Readonly<Partial<Record<RegName, bigint>>>;
  readonly device?: (machine: Machine) => void;
}

/** As a native Host runs its guests: stage 2 apart, which changes nothing here. */
const GUEST_HCR = RW | bit(3) | bit(4) | bit(5) | bit(19);

const SETTINGS: readonly Setting[] = [
  { name: "bare metal", registers: { HCR_EL2: RW, SCTLR_EL1: SCTLR_OPEN } },
  { name: "a guest", registers: { HCR_EL2: GUEST_HCR, SCTLR_EL1: SCTLR_OPEN, CNTHCTL_EL2: 3n, CNTVOFF_EL2: 12_345n } },
  { name: "PAN on entry, EL0 closed", registers: { HCR_EL2: GUEST_HCR, SCTLR_EL1: 0n, CPACR_EL1: 0n } },
  {
    name: "EL0 may count",
    registers: { HCR_EL2: GUEST_HCR, SCTLR_EL1: bit(26), CNTKCTL_EL1: 2n, CPACR_EL1: 1n << 20n },
  },
  { name: "TVM, TRVM, TID2, TDZ", registers: { HCR_EL2: GUEST_HCR | bit(26) | bit(30) | bit(17) | bit(28) } },
  { name: "TPU, TPCP, UCI", registers: { HCR_EL2: GUEST_HCR | bit(24) | bit(23), SCTLR_EL1: bit(26) } },
  { name: "EL1TVCT", registers: { HCR_EL2: GUEST_HCR, CNTHCTL_EL2: bit(14) | 3n } },
  { name: "a virtual interrupt", registers: { HCR_EL2: GUEST_HCR | bit(7), SCTLR_EL1: SCTLR_OPEN } },
  { name: "a virtual SError", registers: { HCR_EL2: GUEST_HCR | bit(8) } },
  {
    name: "a list register",
    registers: {
      HCR_EL2: GUEST_HCR,
      ICH_HCR_EL2: 1n,
      ICH_VMCR_EL2: (0xf8n << 24n) | 3n,
      ICH_LR0: (1n << 62n) | (1n << 60n) | (0x80n << 48n) | 27n,
    },
  },
  { name: "TGE", registers: { HCR_EL2: RW | bit(27) } },
  { name: "software step", registers: { HCR_EL2: GUEST_HCR, MDSCR_EL1: bit(0) | bit(13), OSLSR_EL1: 8n } },
  {
    name: "counting",
    registers: { HCR_EL2: GUEST_HCR, PMCNTENSET_EL0: bit(31) | 1n, PMCR_EL0: 1n, PMEVTYPER0: 0x0an },
  },
];

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state >>> 8) & 0xffff;
  };
}

/** Registers that EL1 may access whatever the settings are, but for traps to EL2. */
const READ =
  "TPIDR_EL1 TPIDR_EL0 TPIDRRO_EL0 ELR_EL1 SPSR_EL1 VBAR_EL1 PAR_EL1 ESR_EL1 FAR_EL1 CONTEXTIDR_EL1 SCTLR_EL1 TTBR0_EL1 TTBR1_EL1 \
TCR_EL1 MAIR_EL1 MIDR_EL1 MPIDR_EL1 CurrentEL CTR_EL0 DCZID_EL0 CNTVCT_EL0 CNTVCTSS_EL0 DAIF NZCV SPSel".split(" ");
const WRITE =
  "TPIDR_EL1 TPIDR_EL0 TPIDRRO_EL0 PAR_EL1 ESR_EL1 FAR_EL1 CONTEXTIDR_EL1 DAIF NZCV CNTKCTL_EL1 CPACR_EL1".split(" ");
/** Those that another register or SPSel closes. */
const CLOSED = ["SP_EL0", "FPCR", "FPSR"];

const CODE = DRAM;
/** The program is this many blocks of 16 words: handlers return to the beginning of one. */
const BLOCKS = 64;
const BLOCK_WORDS = 16;
const VECTORS = DRAM + 0x2000n;
const EL2_VECTORS = DRAM + 0x4000n;
const RETURNS = DRAM + 0x6000n;

/** SPSRs with which handlers return: masked and not, of EL0 and EL1, some illegal. A power of two of them. */
const SPSRS = [
  ...[0x0, 0x3c0, 0x4, 0x5, 0x3c5, 0x40_0005, 0x40_03c4, 0x80, 0x6000_0005, 0x9000_0000, 0x100_1000, 0x0, 0x0],
  ...[0x2000_0000, 0x9, 0x10_0005],
];

/** Registers of programs are X0 to X20; the handlers' own: code and table of SPSRs, scratch, and a generator's three. */
const REGISTERS = 21;
const OWN = { returns: 21, code: 22, scratch: 23, increment: 24, factor: 25, random: 29 } as const;

type Emit = (a: Assembler, next: () => number) => void;
const anyOf = <T>(list: readonly T[], next: () => number): T => list[next() % list.length]!;
const register = (next: () => number): number => next() % REGISTERS;

/** What is no exception at EL1, unless a trap is set. */
const QUIET: readonly Emit[] = [
  (a, next) => a.mrs(register(next), anyOf(READ, next)),
  (a, next) => a.mrs(register(next), anyOf(READ, next)),
  (a, next) => a.msr(anyOf(WRITE, next), register(next)),
  // MSR DAIFSet, DAIFClr
  (a, next) => a.word(0xd503_40df | ((next() & 15) << 8) | ((next() & 1) << 5)),
  // MSR PAN
  (a, next) => a.word(0xd500_409f | ((next() & 1) << 8)),
  // MSR SPSel
  (a, next) => a.word(0xd500_40bf | ((next() & 1) << 8)),
  // IC IVAU, DC CVAU, DC CVAC, DC CIVAC
  (a, next) =>
    a.word(
      anyOf([0xd50b_7520, 0xd50b_7b20, 0xd50b_7a20, 0xd50b_7e20], next) | (next() % 2 === 0 ? OWN.code : OWN.returns),
    ),
  // SUBS, ADDS, ANDS XZR, Xn, Xm; SUBS WZR, Wn, Wm
  (a, next) =>
    a.word(
      anyOf([0xeb00_001f, 0xab00_001f, 0xea00_001f, 0x6b00_001f], next) |
        (register(next) << 5) |
        (register(next) << 16),
    ),
  (a, next) => a.add(register(next), register(next), next() & 0xfff),
  // MOVZ Xd, #imm, LSL #16 or #0
  (a, next) => a.word(0xd280_0000 | ((next() & 1) << 21) | ((next() & 0xffff) << 5) | register(next)),
];

/** What may be one, and exceptions. */
const LOUD: readonly Emit[] = [
  (a, next) => a.mrs(register(next), anyOf(CLOSED, next)),
  (a, next) => a.msr(anyOf(CLOSED, next), register(next)),
  (a, next) => a.svc(next()),
  (a, next) => a.svc(next()),
];

/** X29 = the next random number; returns to a block of the program with one of SPSRS. Eight words. */
function returnAnywhere(a: Assembler): void {
  const { returns, code, scratch, increment, factor, random } = OWN;
  const bits = (lo: number, width: number) =>
    a.word(0xd340_0000 | (lo << 16) | ((lo + width - 1) << 10) | (random << 5) | scratch);
  a.word(0x9b00_0000 | (factor << 16) | (increment << 10) | (random << 5) | random); // MADD
  bits(33, Math.log2(BLOCKS));
  a.word(0x8b00_1800 | (scratch << 16) | (code << 5) | scratch); // ADD X23, X22, X23, LSL #6
  a.msr("ELR_EL1", scratch);
  bits(48, Math.log2(SPSRS.length));
  a.word(0xf860_7800 | (scratch << 16) | (returns << 5) | scratch); // LDR X23, [X21, X23, LSL #3]
  a.msr("SPSR_EL1", scratch).eret();
}

function program(seed: number): readonly { readonly at: bigint; readonly bytes: Uint8Array }[] {
  const next = random(seed);
  const code = new Assembler();
  for (let block = 0; block < BLOCKS; block++) {
    const returns = next() % 3 === 0;
    for (let i = 0; i < (returns ? BLOCK_WORDS - 8 : BLOCK_WORDS); i++)
      anyOf(next() % 5 === 0 ? LOUD : QUIET, next)(code, next);
    if (returns) returnAnywhere(code);
  }
  returnAnywhere(code);
  const vectors = new Assembler();
  for (let v = 0; v < 16; v++) {
    vectors.org(v * 0x80);
    for (let i = 0; i < 12; i++) anyOf(QUIET, next)(vectors, next);
    returnAnywhere(vectors);
  }
  // EL2 skips what has trapped; a virtual SError has been consumed.
  const el2 = new Assembler();
  for (let v = 0; v < 16; v++)
    el2
      .org(v * 0x80)
      .mrs(26, "ELR_EL2")
      .add(26, 26, 4)
      .msr("ELR_EL2", 26)
      .eret();
  return [
    { at: CODE, bytes: code.bytes() },
    { at: VECTORS, bytes: vectors.bytes() },
    { at: EL2_VECTORS, bytes: el2.bytes() },
    { at: RETURNS, bytes: new Uint8Array(BigUint64Array.from(SPSRS, BigInt).buffer) },
  ];
}

function machineWith(engine: Uint8Array, jit: Jit, seed: number, { registers }: Setting): Machine {
  const machine = new Machine({ board: testBoard(), engine, jit });
  machine.reset();
  for (const { at, bytes } of program(seed)) machine.load(at, bytes);
  const pe = machine.pes[0]!;
  const next = random(seed * 31 + 7);
  for (let i = 0; i < REGISTERS; i++) pe.r[R.X0 + i] = BigInt(next()) * 0x1_0001n;
  const own = {
    returns: RETURNS,
    code: CODE,
    increment: 1_442_695_040_888_963_407n,
    factor: 6_364_136_223_846_793_005n,
  };
  for (const [name, value] of Object.entries(own)) pe.r[R.X0 + OWN[name as keyof typeof own]] = value;
  place(pe, {
    el: 1,
    pstate: 0n,
    registers: { CPACR_EL1: FP_OPEN, VBAR_EL1: VECTORS, VBAR_EL2: EL2_VECTORS, ELR_EL1: CODE, PC: CODE, ...registers },
  });
  return machine;
}

/** Settings in which the common case is common. */
const COMMON: readonly string[] = ["bare metal", "a guest"];

describe.each(SETTINGS)("$name", (setting) => {
  test.each([1, 2])("program %i", (seed) => {
    const plain = machineWith(PLAIN, "off", seed, setting);
    const others = [machineWith(ENGINE, "off", seed, setting), machineWith(ENGINE, 0, seed, setting)];
    const taken = [plain, ...others].map((machine) => vi.spyOn(machine.pes[0]!, "countSync"));
    const next = random(seed + 100);
    for (let step = 0; step < 40; step++) {
      const instructions = 1 + (next() % (step < 20 ? 7 : 400));
      const end = plain.run({ instructions });
      for (const other of others) {
        expect(other.run({ instructions })).toEqual(end);
        expect(compareStates(plain, other)).toEqual([]);
      }
      if (end.kind !== "limit") break;
    }
    for (const other of others) expect(compareMachines(plain, other, { parts: true })).toEqual([]);
    if (!COMMON.includes(setting.name)) return;
    const [all, ...rest] = taken.map((spy) => spy.mock.calls.length);
    for (const count of rest) expect(count).toBeLessThan(all!);
  });
});
