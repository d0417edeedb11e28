/**
 * A small world in which random code lives: EL1 and EL0 with translation on and interrupts from the timer and the PMU. Its
 * exception handlers always find a way to go on, so that nothing which the code does ends a run before its limit.
 *
 * Physical memory, mapped at the same virtual addresses for EL1 alone unless said otherwise:
 *
 *   0x0000_0000  boot code of EL3, translation off
 *   0x8000_0000  vectors and handlers of EL1, read-only
 *   0x8000_2000  0x100 bytes for each PE: what its handlers keep; at 0x800 the tables that they choose from
 *   0x8000_4000  vectors of EL2 and EL3, translation off
 *   0x8001_0000  code: 16 pages, read-only and executable at EL1 and EL0
 *   0x8004_0000  data: 32 pages, not mapped here
 *   0x8010_0000  tables of stage 1, 0x8018_0000 of stage 2
 *
 * Other virtual addresses, of the range of TTBR0_EL1; that of TTBR1_EL1 is the same tables:
 *
 *   0x1000_0000  the code, writable at EL1, not executable
 *   0x2000_0000  windows into the data, each page with the rights that WINDOW_PAGES says
 *   0x3000_0000  the code once more, executable, its pages in reverse order
 *   0x4000_0000  the last level of the tables of windows and of that code, writable
 *
 * What the handlers see (ESR, FAR, ELR, interrupt number) goes into a hash, so the place of each interrupt is part of what
 * is compared. The hash and a generator of pseudo-random numbers choose what happens next: the next instruction, or one
 * of 64 blocks of the code at EL0 or EL1.
 */
import { type Assembler, assemble } from "../../packages/machine/test-support/assembler.js";
import { SCR_OF, testBoard, testEngine } from "../../packages/machine/test-support/pe-at.js";
import { D, poke, Tables } from "../../packages/machine/test-support/tables.js";
import { type Jit, Machine, R, type RegName, type SecurityState } from "./machine.js";

export const HANDLERS = 0x8000_0000;
export const STATE = 0x8000_2000;
const CHOICES = STATE + 0x800;
const SPSRS = STATE + 0xc00;
const VECTORS_EL2 = 0x8000_4000;
const VECTORS_EL3 = 0x8000_5000;
export const CODE = 0x8001_0000;
export const CODE_PAGES = 16;
export const CODE_SIZE = CODE_PAGES * 0x1000;
const DATA = 0x8004_0000;
const STAGE1 = 0x8010_0000n;
const STAGE2 = 0x8018_0000n;
export const WRITABLE_CODE = 0x1000_0000;
export const WINDOWS = 0x2000_0000;
export const OTHER_CODE = 0x3000_0000;
export const WRITABLE_TABLES = 0x4000_0000;
const PAGE = 0x1000;

const RW = D.AP_EL0;
const RO = D.AP_EL0 | D.AP_RO;
const XN = D.PXN | D.UXN;
const LEAF = D.PAGE | D.AF;
const DEVICE = D.ATTR(1);

/** Rights of the window pages, in order; undefined: nothing is mapped. Pages that follow each other meet at their ends. */
export const WINDOW_PAGES: readonly (bigint | undefined)[] = [
  LEAF | RW | XN,
  LEAF | RW | XN,
  LEAF | RO | XN,
  LEAF | RW | XN,
  undefined,
  LEAF | RW | XN,
  LEAF | XN, // EL1 alone
  LEAF | RW | XN,
  D.PAGE | RW | XN, // no access flag
  LEAF | RW | XN,
  LEAF | RW | XN | DEVICE,
  LEAF | RW | XN,
  LEAF | RW, // executable at EL0
  LEAF | RW | XN,
];

/** Fields of a PE's part of STATE. */
const SAVED = 0;
const HASH = 0x40;
const LCG = 0x48;
const MULTIPLIER = 0x50;
/** Knuth, MMIX: the multiplier of a linear congruential generator of 64 bits. */
const MULTIPLIER_VALUE = 6_364_136_223_846_793_005n;

const eor = (d: number, n: number, m: number) => (0xca00_0000 | (m << 16) | (n << 5) | d) >>> 0;
const orrShifted = (d: number, n: number, m: number, shift: number) =>
  (0xaa00_0000 | (m << 16) | (shift << 10) | (n << 5) | d) >>> 0;
const addReg = (d: number, n: number, m: number) => (0x8b00_0000 | (m << 16) | (n << 5) | d) >>> 0;
const madd = (d: number, n: number, m: number, a: number) => (0x9b00_0000 | (m << 16) | (a << 10) | (n << 5) | d) >>> 0;
const neg = (d: number, m: number) => (0xcb00_03e0 | (m << 16) | d) >>> 0;
const ubfx = (d: number, n: number, lo: number, width: number) =>
  (0xd340_0000 | (lo << 16) | ((lo + width - 1) << 10) | (n << 5) | d) >>> 0;
const ldrIndexed = (t: number, n: number, m: number) => (0xf860_7800 | (m << 16) | (n << 5) | t) >>> 0;
const [EQ, NE] = [0, 1];
const EC = { ILLEGAL: 0x0e, SVC: 0x15, FETCH_LOWER: 0x20, FETCH: 0x21, PC_ALIGNMENT: 0x22 } as const;
const TIMER_PPI = 27;
const PMU_PPI = 23;
/** PMUv3 event: instructions retired. */
const INST_RETIRED = 8;

/** X0 to X4 are free, X0 points at the PE's part of STATE. */
function enter(a: Assembler): void {
  a.msr("TPIDR_EL1", 0).mrs(0, "TPIDRRO_EL0");
  for (let t = 1; t <= 4; t++) a.str(t, 0, SAVED + t * 8);
  a.mrs(1, "TPIDR_EL1").str(1, 0, SAVED);
}

function leave(a: Assembler): void {
  for (let t = 4; t >= 0; t--) a.ldr(t, 0, SAVED + t * 8);
  a.eret();
}

/** Hashes X1 and `registers`; a pseudo-random number comes into X3. Changes X2 to X4. */
function hash(a: Assembler, registers: readonly string[]): void {
  a.ldr(4, 0, HASH)
    .word(eor(4, 4, 1))
    .ldr(2, 0, MULTIPLIER);
  for (const name of registers) a.mrs(3, name).word(madd(4, 4, 2, 3));
  a.str(4, 0, HASH)
    .ldr(3, 0, LCG)
    .word(madd(3, 3, 2, 2))
    .str(3, 0, LCG);
  a.word(eor(3, 3, 4), ubfx(3, 3, 24, 40));
}

/** Goes to one of the blocks, at EL0 or EL1, with random flags. */
function jump(a: Assembler): void {
  a.mov(4, CHOICES)
    .word(ubfx(2, 3, 4, 6), ldrIndexed(2, 4, 2))
    .msr("ELR_EL1", 2);
  a.mov(4, SPSRS).word(ubfx(2, 3, 12, 3), ldrIndexed(2, 4, 2), ubfx(4, 3, 16, 4), orrShifted(2, 2, 4, 28));
  a.msr("SPSR_EL1", 2);
}

/** Vectors of EL1 with what is behind them. */
function handlers(a: Assembler): void {
  for (let slot = 0; slot < 16; slot++) {
    a.org(slot * 0x80).b(slot % 4 === 1 || slot % 4 === 2 ? "interrupt" : "synchronous");
  }
  a.org(0x800).label("synchronous");
  enter(a);
  a.mrs(1, "ESR_EL1");
  hash(a, ["FAR_EL1", "ELR_EL1", "SPSR_EL1"]);
  a.word(ubfx(1, 1, 26, 6));
  a.cmp(1, EC.SVC).bCond(EQ, "perhaps");
  for (const ec of [EC.ILLEGAL, EC.FETCH_LOWER, EC.FETCH, EC.PC_ALIGNMENT]) a.cmp(1, ec).bCond(EQ, "elsewhere");
  a.mrs(2, "ELR_EL1").add(2, 2, 4).msr("ELR_EL1", 2);
  a.label("perhaps")
    .word(ubfx(2, 3, 0, 4))
    .cbnz(2, "back");
  a.label("elsewhere");
  jump(a);
  a.label("back");
  leave(a);

  a.label("interrupt");
  enter(a);
  a.mrs(1, "ICC_IAR1_EL1");
  hash(a, ["ELR_EL1", "SPSR_EL1"]);
  a.cmp(1, TIMER_PPI).bCond(NE, "no timer");
  a.mrs(2, "CNTVCT_EL0")
    .word(ubfx(4, 3, 20, 7), addReg(2, 2, 4))
    .add(2, 2, 1)
    .msr("CNTV_CVAL_EL0", 2);
  a.label("no timer").cmp(1, PMU_PPI).bCond(NE, "no counter");
  a.word(ubfx(4, 3, 20, 10))
    .add(4, 4, 1)
    .word(neg(4, 4))
    .msr("PMEVCNTR0_EL0", 4);
  a.mov(4, 0xffff_ffff).msr("PMOVSCLR_EL0", 4);
  a.label("no counter").msr("ICC_EOIR1_EL1", 1);
  a.word(ubfx(2, 3, 0, 2)).cbnz(2, "back");
  a.b("elsewhere");
}

/** EL2 and EL3 return at once; X0 has been theirs in between. */
const visitors = (el: number) => (a: Assembler) => {
  for (let slot = 0; slot < 16; slot++) {
    a.org(slot * 0x80)
      .msr(`TPIDR_EL${el}`, 0)
      .mrs(0, `ESR_EL${el}`)
      .msr(`AFSR0_EL${el}`, 0)
      .mrs(0, `TPIDR_EL${el}`);
    a.eret();
  }
};

export interface World {
  readonly pes: number;
  readonly interleave: bigint;
  readonly state: SecurityState;
  /** With stage 2, the identity. */
  readonly stage2: boolean;
  /** SCTLR_EL1 beside M. */
  readonly sctlr: bigint;
  /** TCR_EL1 beside sizes and granules. */
  readonly tcr: bigint;
  /** At CODE. */
  readonly code: Uint8Array;
  /** Contents of the data pages, and of the handlers' generator. */
  readonly data: Uint8Array;
  readonly seed: bigint;
  /** Where handlers go, and PE `n` begins at the n-th of them. */
  readonly choices: readonly bigint[];
  /** X1 to X30 and V registers, by PE. */
  readonly registers: readonly ReadonlyMap<RegName, bigint>[];
  /** The PMU interrupts now and then. */
  readonly pmu: boolean;
}

const TCR = 16n | (16n << 16n) | (2n << 30n) | (5n << 32n);
export const TCR_TBI = 3n << 37n;
/** 0 Normal Write-Back, 1 Device-nGnRE. */
const MAIR = 0x04_ffn;
const HCR_RW = 1n << 31n;
const VTCR = 24n | (1n << 6n) | (5n << 16n) | (1n << 19n);
/** M, RES1 bits. */
const SCTLR = 0x30d0_0801n;
/** SPSR of what handlers choose: EL0, EL1 with either stack pointer, with PAN; interrupts are not masked. */
const SPSR_CHOICES = [0x0n, 0x5n, 0x4n, 0x0n, 0x40_0005n, 0x5n, 0x0n, 0x40_0000n] as const;

/** GIC and registers, then EL1. X0 is the PE's number. */
function boot({ pes, state, stage2, sctlr, tcr, pmu }: World): (a: Assembler) => void {
  const board = testBoard();
  const store = (a: Assembler, address: bigint, value: number) => a.mov(10, address).mov(11, value).word(0xb900_014b);
  const [FRAME, GICR_WAKER, GICR_IGROUPR0, GICR_ISENABLER0] = [0x2_0000n, 0x14n, 0x1_0080n, 0x1_0100n];
  return (a) => {
    store(a, board.gicd, 0x37);
    for (let pe = 0n; pe < pes; pe++) {
      store(a, board.gicr + pe * FRAME + GICR_WAKER, 0);
      store(a, board.gicr + pe * FRAME + GICR_IGROUPR0, 0xffff_ffff);
      store(a, board.gicr + pe * FRAME + GICR_ISENABLER0, (1 << TIMER_PPI) | (1 << PMU_PPI));
    }
    a.set("ICC_PMR_EL1", 0xff).set("SCR_EL3", SCR_OF[state]).set("ICC_IGRPEN1_EL1", 1);
    a.set("VBAR_EL3", VECTORS_EL3).set("VBAR_EL2", VECTORS_EL2).set("VBAR_EL1", HANDLERS);
    a.set("HCR_EL2", HCR_RW | (stage2 ? 1n : 0n))
      .set("VTCR_EL2", VTCR)
      .set("VTTBR_EL2", STAGE2);
    a.set("CNTHCTL_EL2", 3)
      .set("CNTKCTL_EL1", 3)
      .set("CPACR_EL1", 3 << 20)
      .set("CPTR_EL2", 0x33ff)
      .set("CPTR_EL3", 0);
    a.set("MDCR_EL2", 6).set("PMUSERENR_EL0", 0xf);
    a.set("MAIR_EL1", MAIR)
      .set("TCR_EL1", TCR | tcr)
      .set("TTBR0_EL1", STAGE1)
      .set("TTBR1_EL1", STAGE1);
    a.set("SCTLR_EL1", SCTLR | sctlr);
    a.mov(9, STATE).word(0x8b00_2129).msr("TPIDRRO_EL0", 9); // add x9, x9, x0, lsl #8
    a.mov(10, CHOICES)
      .word(ldrIndexed(10, 10, 0))
      .msr("ELR_EL3", 10);
    a.set("SPSR_EL3", 0x5).set("CNTV_CVAL_EL0", 100).set("CNTV_CTL_EL0", 1);
    if (pmu) {
      a.set("PMEVTYPER0_EL0", INST_RETIRED).set("PMEVCNTR0_EL0", 0xffff_ff00).set("PMINTENSET_EL1", 1);
      a.set("PMCNTENSET_EL0", 0x8000_0001).set("PMCR_EL0", 1);
    }
    a.eret();
  };
}

/** Maps the world's stage 1; the levels that code may write come last, so that they are known. */
function writeTables(machine: Machine): void {
  const stage1 = new Tables(machine, { at: STAGE1 });
  const map = (va: number, pa: number, descriptor: bigint) => void stage1.map(BigInt(va), BigInt(pa) | descriptor);
  for (const page of [0, 1]) map(HANDLERS + page * PAGE, HANDLERS + page * PAGE, LEAF | D.AP_RO | D.UXN);
  map(STATE, STATE, LEAF | XN);
  for (let page = 0; page < CODE_PAGES; page++) {
    map(CODE + page * PAGE, CODE + page * PAGE, LEAF | RO);
    map(WRITABLE_CODE + page * PAGE, CODE + page * PAGE, LEAF | XN);
    map(OTHER_CODE + page * PAGE, CODE + (CODE_PAGES - 1 - page) * PAGE, LEAF | RO);
  }
  WINDOW_PAGES.forEach((descriptor, page) => {
    if (descriptor !== undefined) map(WINDOWS + page * PAGE, DATA + page * PAGE, descriptor);
  });
  [WINDOWS, OTHER_CODE].forEach((va, i) => {
    const table = Number(stage1.entry(BigInt(va), 3) & ~0xfffn);
    map(WRITABLE_TABLES + i * PAGE, table, LEAF | XN);
  });
}

/** A machine in this world, at its reset. */
export function machineIn(world: World, jit: Jit): Machine {
  const { pes, interleave, stage2 } = world;
  const board = testBoard({ peCount: pes, frameBytes: 4 << 20 });
  const machine = new Machine({ board, engine: testEngine(), interleave, jit });
  machine.load(0n, assemble(boot(world)));
  machine.load(BigInt(HANDLERS), assemble(handlers));
  machine.load(BigInt(VECTORS_EL2), assemble(visitors(2)));
  machine.load(BigInt(VECTORS_EL3), assemble(visitors(3)));
  machine.load(BigInt(CODE), world.code);
  machine.load(BigInt(DATA), world.data);
  for (let pe = 0; pe < pes; pe++) {
    const at = BigInt(STATE + pe * 0x100);
    poke(machine, at + BigInt(LCG), world.seed + BigInt(pe));
    poke(machine, at + BigInt(MULTIPLIER), MULTIPLIER_VALUE);
  }
  for (let i = 0; i < 64; i++) {
    poke(machine, BigInt(CHOICES + i * 8), world.choices[i % world.choices.length]!);
    poke(machine, BigInt(SPSRS + i * 8), SPSR_CHOICES[i % SPSR_CHOICES.length]!);
  }
  writeTables(machine);
  if (stage2) {
    const tables = new Tables(machine, { at: STAGE2, startLevel: 1, rootPages: 2n });
    const block = D.BLOCK | D.AF | D.S2_NORMAL | D.S2_READ | D.S2_WRITE;
    for (let pa = 0x8000_0000n; pa < 0x8100_0000n; pa += 0x20_0000n) tables.map(pa, pa | block, { level: 2 });
  }
  machine.reset();
  for (let pe = 1; pe < pes; pe++) machine.startPe(pe);
  machine.pes.forEach((pe, i) => {
    for (const [name, value] of world.registers[i]) pe.r[R[name]] = value;
    pe.r[R.X0] = BigInt(i);
  });
  return machine;
}
