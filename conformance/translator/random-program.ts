/**
 * Random programs for world.ts: blocks of random instructions that branch to each other in every way. Bodies are the
 * oracle's (every row with operands that it can work with, memory operands in windows), and pieces of what an operating
 * system does: system registers, exceptions, maintenance, mappings that change, code that is written.
 *
 * Nothing here needs to make sense: a program is good when its run goes many ways. What must be the same in all engines
 * is everything.
 */
import { rowOf } from "../../packages/machine/src/cpu/disassemble.js";
import { ROWS } from "../../packages/machine/src/cpu/rows/index.js";
import { pointerAuthenticationRows } from "../../packages/machine/src/cpu/rows/pointer-authentication.js";
import { FP_OPERANDS } from "../oracle/fp-operands.js";
import { generateTests, INTEGER_ROWS, type Instruction, POOL_SIZE, VECTOR_ROWS } from "../oracle/generate.js";
import { Random } from "../oracle/random.js";
import { INTEGER_OPERANDS } from "../oracle/vectors.js";
import { dsb, eret, hvc, isb, mrs, msr, msrImmediate, op, smc, svc, sys } from "../system/encoding.js";
import { type RegName, SecurityState } from "./machine.js";
import {
  CODE,
  CODE_PAGES,
  CODE_SIZE,
  OTHER_CODE,
  TCR_TBI,
  WINDOW_PAGES,
  WINDOWS,
  type World,
  WRITABLE_CODE,
  WRITABLE_TABLES,
} from "./world.js";

/** A word that is known when all addresses are. */
type Word = (pc: number, pool: number, blocks: readonly number[]) => number;

interface Block {
  readonly words: readonly Word[];
  readonly pool: Uint8Array;
}

const PAGE = 0x1000;
const FILLING = INTEGER_ROWS.filter(({ group }) => group === "data");
/** Scratch registers of pieces that need an address and a value. */
const [VALUE, ADDRESS] = [16, 17];

const constant =
  (word: number): Word =>
  () =>
    word;

/** X`d` = a 32-bit value that is known late; `tag`: bits 63:56. */
function late(d: number, value: (blocks: readonly number[]) => number, tag = 0): Word[] {
  return [
    (_pc, _pool, blocks) => op("MOVZ", { f: 1, h: 0, i: value(blocks) & 0xffff, d }),
    (_pc, _pool, blocks) => op("MOVK", { f: 1, h: 1, i: value(blocks) >>> 16, d }),
    ...(tag === 0 ? [] : [constant(op("MOVK", { f: 1, h: 3, i: tag << 8, d }))]),
  ];
}
const fixed = (d: number, value: number, tag = 0): Word[] => late(d, () => value, tag);

/** Some word of a row, operands not looked at. */
function wildWord(random: Random): number {
  for (;;) {
    const row = random.pick(random.oneIn(4) ? pointerAuthenticationRows : ROWS);
    const word = ((random.u32() & ~row.mask) | row.value) >>> 0;
    if (rowOf(word)) return word;
  }
}

/** A word that can take the place of another: no memory access, and branches that go not far. */
function patchWord(random: Random): number {
  if (random.oneIn(4)) return op("B.cond", { c: random.below(16), i: random.pick([-3, -1, 1, 2, 5]) });
  if (random.oneIn(8)) return op("B", { i: random.pick([-2, 1, 3]) });
  for (;;) {
    const row = random.pick(FILLING);
    const word = ((random.u32() & ~row.mask) | row.value) >>> 0;
    if (rowOf(word) === row) return word;
  }
}

/** Where a memory operand's window begins: mostly in plain memory, at times where pages meet, or where nothing is allowed. */
function windowOf(random: Random): number {
  const page = (n: number) => WINDOWS + n * PAGE;
  if (random.oneIn(40)) return WRITABLE_CODE + random.below(CODE_SIZE - 0x1000);
  if (random.oneIn(3)) return page(random.below(WINDOW_PAGES.length)) + PAGE - 128;
  if (random.oneIn(4)) return page(random.below(WINDOW_PAGES.length)) + random.below(14) * 256;
  return page(random.pick([0, 1, 3, 5, 7])) + random.below(14) * 256 + random.below(16);
}

/** Random rows with operands that work, as the oracle makes them. */
function body(random: Random): Word[] {
  const isVector = random.oneIn(3);
  const rows = Array.from({ length: 1 + random.below(8) }, () => random.pick(isVector ? VECTOR_ROWS : INTEGER_ROWS));
  const window = windowOf(random);
  const [test] = generateTests(random, { rows, perBody: rows.length, windowOf: () => window });
  return test.body.map(({ word }: Instruction) => word);
}

/** Registers that EL1 may read without changing more than time. */
const READABLE = [
  ...["CurrentEL", "DAIF", "NZCV", "SPSel", "PAN", "FPCR", "FPSR", "SP_EL0", "ELR_EL1", "SPSR_EL1", "ESR_EL1"],
  ...["FAR_EL1", "PAR_EL1", "MIDR_EL1", "MPIDR_EL1", "CTR_EL0", "DCZID_EL0", "SCTLR_EL1", "TCR_EL1", "TTBR0_EL1"],
  ...[
    "TPIDR_EL0",
    "TPIDR_EL1",
    "TPIDRRO_EL0",
    "CONTEXTIDR_EL1",
    "CNTVCT_EL0",
    "CNTPCT_EL0",
    "CNTFRQ_EL0",
    "CNTV_CTL_EL0",
  ],
  ...["CNTV_TVAL_EL0", "ISR_EL1", "RNDR", "PMCCNTR_EL0", "PMEVCNTR0_EL0", "PMOVSCLR_EL0", "VBAR_EL1", "HCR_EL2"],
] as const;

/** Values that a system register may have here, so that the handlers still work. */
const WRITABLE: Readonly<Record<string, (random: Random) => number>> = {
  TPIDR_EL0: (random) => random.u32(),
  CONTEXTIDR_EL1: (random) => random.below(4),
  FPSR: (random) => random.u32() & 0x0800_009f,
  FPCR: (random) => random.below(64) << 22,
  NZCV: (random) => (random.below(16) << 28) >>> 0,
  SP_EL0: (random) => WINDOWS + random.below(256) * 8,
  CNTKCTL_EL1: (random) => random.pick([3, 3, 0, 1, 2, 3 | (1 << 2)]),
  CNTV_TVAL_EL0: (random) => random.below(40),
  PMUSERENR_EL0: (random) => random.below(16),
  PMCCNTR_EL0: (random) => random.u32(),
  PMSELR_EL0: (random) => random.below(7),
  PMCNTENSET_EL0: (random) => random.pick([1, 0x8000_0000, 0x8000_0001]),
  PMCNTENCLR_EL0: (random) => random.pick([2, 0x8000_0000]),
};

/** SCTLR_EL1 bits that may change at any time: A, SA, SA0, UMA, DZE, UCT, nTWI, nTWE, UCI. */
const SCTLR_CHANGES = [1, 3, 4, 9, 14, 15, 16, 18, 26] as const;

function systemPiece(random: Random, world: Pick<World, "sctlr" | "tcr">): Word[] {
  if (random.oneIn(3)) return [constant(mrs(random.below(31), random.pick(READABLE)))];
  if (random.oneIn(5)) {
    const field = random.pick(["SPSel", "PAN", "DAIFSet", "DAIFClr", "DAIFClr"] as const);
    const value = field === "SPSel" || field === "PAN" ? random.below(2) : random.below(16);
    return [constant(msrImmediate(field, value))];
  }
  if (random.oneIn(6)) return [...fixed(VALUE, random.below(4) << 20), constant(msr("CPACR_EL1", VALUE))];
  if (random.oneIn(8)) {
    const bits = SCTLR_CHANGES.reduce((sum, bit) => sum + (random.oneIn(3) ? 0 : 2 ** bit), 0);
    return [...fixed(VALUE, (0x30d0_0801 | Number(world.sctlr) | bits) >>> 0), constant(msr("SCTLR_EL1", VALUE))];
  }
  const name = random.pick(Object.keys(WRITABLE));
  return [...fixed(VALUE, WRITABLE[name](random)), constant(msr(name, VALUE))];
}

function exceptionPiece(random: Random): Word[] {
  if (random.oneIn(4)) {
    // To another level, or another block, by ERET.
    const spsr = (random.pick([0, 0, 4, 5]) | (random.below(16) << 28)) >>> 0;
    const to = random.u32();
    return [
      ...late(ADDRESS, (blocks) => blocks[to % blocks.length]),
      constant(msr("ELR_EL1", ADDRESS)),
      ...fixed(VALUE, spsr),
      constant(msr("SPSR_EL1", VALUE)),
      constant(eret),
    ];
  }
  const i = random.below(0x1_0000);
  return [constant(random.pick([svc, svc, svc, hvc, smc, (n: number) => op("BRK", { i: n })])(i))];
}

const TLBI = ["VMALLE1", "VAE1", "VAAE1", "VALE1", "VAALE1", "ASIDE1", "VMALLE1IS", "VAAE1IS", "VAALE1IS"] as const;
const CACHE = ["DC CVAC", "DC CVAU", "DC CIVAC", "DC IVAC", "IC IVAU", "DC ZVA", "DC ZVA"] as const;

function maintenancePiece(random: Random): Word[] {
  const va = random.pick([windowOf(random), OTHER_CODE + random.below(CODE_SIZE)]);
  if (random.oneIn(6)) return [constant(sys("IC IALLU")), constant(isb)];
  if (random.oneIn(2)) return [...fixed(VALUE, va), constant(sys(random.pick(CACHE), VALUE))];
  if (random.oneIn(4)) return [...fixed(VALUE, va), constant(sys(random.pick(["AT S1E1R", "AT S1E0W"]), VALUE))];
  return [
    ...fixed(VALUE, va >>> 12),
    constant(sys(`TLBI ${random.pick(TLBI)}`, VALUE)),
    ...(random.oneIn(2) ? [constant(dsb), constant(isb)] : []),
  ];
}

/** Puts another instruction somewhere into the code, with or without what the architecture asks for. */
function patchPiece(random: Random): Word[] {
  const [block, offset] = [random.u32(), random.below(24) * 4];
  const at = (blocks: readonly number[]) =>
    WRITABLE_CODE + Math.min(blocks[block % blocks.length] - CODE + offset, CODE_SIZE - 16);
  const store = random.pick([
    op("STR, W (unsigned offset)", { n: ADDRESS, t: VALUE }),
    op("STR, W (unsigned offset)", { n: ADDRESS, t: VALUE }),
    op("STR, X (unsigned offset)", { n: ADDRESS, t: VALUE }),
    op("STP, W (signed offset)", { n: ADDRESS, t: VALUE, u: VALUE }),
    op("SWP, W", { n: ADDRESS, s: VALUE, t: VALUE }),
  ]);
  const maintenance = [sys("DC CVAU", ADDRESS), dsb, sys("IC IVAU", ADDRESS), dsb, isb].map(constant);
  return [
    ...fixed(VALUE, patchWord(random)),
    ...late(ADDRESS, at),
    constant(store),
    ...(random.oneIn(2) ? maintenance : []),
  ];
}

/** Changes a descriptor of a window or of the other mapping of the code. */
function mappingPiece(random: Random): Word[] {
  const isCode = random.oneIn(2);
  const [page, count] = isCode ? [random.below(CODE_PAGES), CODE_PAGES] : [random.below(WINDOW_PAGES.length), 14];
  const base = isCode ? CODE : 0x8004_0000;
  const output = base + random.below(count) * PAGE;
  // Valid, accessed; rights and the high word at random: execute-never bits.
  const low = (output | 0x403 | (random.pick([0, 1, 3, 3]) << 6)) >>> 0;
  const high = isCode ? random.pick([0, 0, 0x20, 0x40, 0x60]) : 0x60;
  const va = (isCode ? OTHER_CODE : WINDOWS) + page * PAGE;
  return [
    ...fixed(ADDRESS, WRITABLE_TABLES + (isCode ? PAGE : 0) + page * 8),
    ...fixed(VALUE, random.oneIn(8) ? 0 : low),
    constant(op("MOVK", { f: 1, h: 3, i: high, d: VALUE })),
    constant(op("STR, X (unsigned offset)", { n: ADDRESS, t: VALUE })),
    ...(random.oneIn(3)
      ? []
      : [...fixed(VALUE, va >>> 12), ...[dsb, sys("TLBI VAAE1IS", VALUE), dsb, isb].map(constant)]),
  ];
}

const waits = ["WFE", "SEV", "SEVL", "YIELD"] as const;
const HINTS: Readonly<Record<(typeof waits)[number] | "WFI", number>> = {
  WFE: 0xd503_205f,
  WFI: 0xd503_207f,
  SEV: 0xd503_209f,
  SEVL: 0xd503_20bf,
  YIELD: 0xd503_203f,
};

/** X`counter` from a small number to zero around some filling. */
function loopPiece(random: Random): Word[] {
  const counter = 18 + random.below(6);
  const inside = Array.from({ length: 1 + random.below(6) }, () => constant(patchWordWithout(random, counter)));
  const subs = op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, s: 1, n: counter, d: counter, i: 1 });
  return [
    constant(op("MOVZ", { f: 1, h: 0, i: 2 + random.below(60), d: counter })),
    ...inside,
    constant(subs),
    constant(op("B.cond", { c: 1, i: -(inside.length + 1) })),
  ];
}

/** A data instruction that leaves a register alone. */
function patchWordWithout(random: Random, register: number): number {
  for (;;) {
    const row = random.pick(FILLING);
    const word = ((random.u32() & ~row.mask) | row.value) >>> 0;
    if (rowOf(word) === row && (word & 31) !== register) return word;
  }
}

function piece(random: Random, world: Pick<World, "sctlr" | "tcr">): Word[] {
  const choice = random.below(100);
  if (choice < 55) return body(random);
  if (choice < 63) return loopPiece(random);
  if (choice < 74) return systemPiece(random, world);
  if (choice < 81) return exceptionPiece(random);
  if (choice < 86) return maintenancePiece(random);
  if (choice < 90) return patchPiece(random);
  if (choice < 94) return mappingPiece(random);
  if (choice < 95) return [constant(HINTS[random.oneIn(4) ? "WFI" : random.pick(waits)])];
  return Array.from({ length: 1 + random.below(3) }, () => constant(wildWord(random)));
}

/** The end of a block: falls into the next one, or goes to another. */
function exit(random: Random, tbi: boolean): Word[] {
  const seed = random.u32();
  const target = (blocks: readonly number[]) => blocks[seed % blocks.length];
  /** Relative, in instructions, within `range` or to the next instruction. */
  const relative =
    (range: number, word: (i: number) => number): Word =>
    (pc, _pool, blocks) => {
      const i = (target(blocks) - pc) / 4;
      return word(i >= -range && i < range ? i : 1);
    };
  const register = random.below(31);
  switch (random.below(9)) {
    case 0:
      return [relative(2 ** 25, (i) => op("B", { i }))];
    case 1:
      return [relative(2 ** 25, (i) => op("BL", { i }))];
    case 2:
    case 3: {
      const c = random.below(16);
      return [relative(2 ** 18, (i) => op("B.cond", { c, i }))];
    }
    case 4: {
      const [name, f] = [random.pick(["CBZ", "CBNZ"]), random.below(2)];
      return [relative(2 ** 18, (i) => op(name, { f, t: register, i }))];
    }
    case 5: {
      const [o, b] = [random.below(2), random.below(32)];
      return [relative(2 ** 13, (i) => op("TBZ, TBNZ", { h: 0, o, b, t: register, i }))];
    }
    case 6:
      return [constant(op("RET", { n: 30 }))];
    case 7:
      return [];
    default: {
      const tag = tbi && random.oneIn(3) ? 1 + random.below(255) : 0;
      const shift = random.oneIn(40) ? 2 : 0; // an address that no instruction has
      const other = random.oneIn(4);
      const kind = random.pick(["BR", "BR", "BLR", "RET"]);
      return [
        ...late(register, (blocks) => (other ? otherMapping(target(blocks)) : target(blocks)) + shift, tag),
        constant(op(kind, { n: register })),
      ];
    }
  }
}

/** The address of a block in the other mapping of the code. */
function otherMapping(address: number): number {
  const offset = address - CODE;
  const page = CODE_PAGES - 1 - Math.floor(offset / PAGE);
  return OTHER_CODE + page * PAGE + (offset % PAGE);
}

/** Random bytes, with values that find mistakes. */
const bytesOf = (random: Random, count: number): Uint8Array =>
  new Uint8Array(BigUint64Array.from({ length: count / 8 }, () => random.value()).buffer);

/** Operands of FP and SIMD instructions. */
function poolOf(random: Random): Uint8Array {
  const { vector } = random.oneIn(2) ? FP_OPERANDS : INTEGER_OPERANDS;
  const halves = Array.from({ length: POOL_SIZE / 16 }, () => vector(random)).flat();
  return new Uint8Array(BigUint64Array.from(halves).buffer);
}

/** Rows that a world has for certain: with enough seeds, all of them. */
const SWEEP = 8;

/** Words of the next rows in the order of seeds, operands not looked at. */
function sweepOf(random: Random, seed: number): Word[] {
  return Array.from({ length: SWEEP }, (_, i) => {
    const row = ROWS[(seed * SWEEP + i) % ROWS.length];
    for (;;) {
      const word = ((random.u32() & ~row.mask) | row.value) >>> 0;
      if (rowOf(word) === row) return constant(word);
    }
  });
}

/** The world of a seed. */
export function randomWorld(seed: number): World {
  const random = new Random(seed);
  const pes = random.oneIn(4) ? 2 : 1;
  const tbi = random.oneIn(2);
  const settings = {
    sctlr: random.pick([0n, 2n, 0x18n, 0x1an, 0x0400_c200n, 0x0405_c200n, 0xcc01_e200n]),
    tcr: tbi ? TCR_TBI : 0n,
  };
  const blocks: Block[] = [{ words: [...sweepOf(random, seed), ...exit(random, tbi)], pool: poolOf(random) }];
  const count = 24 + random.below(72);
  for (let n = 0; n < count; n++) {
    const words = Array.from({ length: 1 + random.below(3) }, () => piece(random, settings)).flat();
    blocks.push({ words: [...words, ...exit(random, tbi)], pool: poolOf(random) });
  }
  const code = layOut(random, blocks);
  return {
    pes,
    interleave: pes > 1 && random.oneIn(2) ? BigInt(1 + random.below(1000)) : 0n,
    state: random.pick([SecurityState.NON_SECURE, SecurityState.REALM]),
    stage2: random.oneIn(2),
    ...settings,
    code: code.bytes,
    data: bytesOf(random, WINDOW_PAGES.length * PAGE),
    seed: random.u64(),
    choices: Array.from({ length: 64 }, () => {
      const address = random.pick(code.blocks);
      return BigInt(random.oneIn(6) ? otherMapping(address) : address);
    }),
    registers: Array.from({ length: pes }, () => initialRegisters(random)),
    pmu: random.oneIn(2),
  };
}

function initialRegisters(random: Random): Map<RegName, bigint> {
  const registers = new Map<RegName, bigint>([
    ["SP_EL0", BigInt(WINDOWS + 0x800)],
    ["SP_EL1", BigInt(WINDOWS + 0x1800)],
    ["FPCR", FP_OPERANDS.fpcr(random)],
  ]);
  for (let n = 1; n <= 30; n++) registers.set(`X${n}` as RegName, random.value());
  for (let n = 0; n < 64; n += 2) {
    const [low, high] = FP_OPERANDS.vector(random);
    registers.set(`V${n}` as RegName, low).set(`V${n + 1}` as RegName, high);
  }
  return registers;
}

/** Places blocks one after another, at times with a gap or at the end of a page; as many as fit. */
function layOut(random: Random, all: readonly Block[]): { bytes: Uint8Array; blocks: number[] } {
  const addresses: number[] = [];
  const used: Block[] = [];
  let at = CODE;
  for (const block of all) {
    const size = block.words.length * 4 + 4 + POOL_SIZE + 8;
    if (random.oneIn(8)) at += random.below(64) * 4;
    // The block's own words lie across two pages.
    if (random.oneIn(6)) {
      const across = 4 * (1 + random.below(Math.max(block.words.length - 1, 1)));
      const edge = Math.ceil((at + across) / PAGE) * PAGE;
      at = edge - across;
    }
    if (at + size > CODE + CODE_SIZE) break;
    addresses.push(at);
    used.push(block);
    at += size;
  }
  const bytes = new Uint8Array(CODE_SIZE);
  const view = new DataView(bytes.buffer);
  used.forEach(({ words, pool }, n) => {
    const start = addresses[n];
    const poolAt = (start + (words.length + 1) * 4 + 7) & ~7;
    words.forEach((word, i) => {
      view.setUint32(start - CODE + i * 4, word(start + i * 4, poolAt >>> 0, addresses), true);
    });
    // Over the pool, into the next block.
    const next = addresses[n + 1] ?? CODE;
    const pc = start + words.length * 4;
    view.setUint32(pc - CODE, op("B", { i: (next - pc) / 4 }), true);
    bytes.set(pool, (poolAt >>> 0) - CODE);
  });
  return { bytes, blocks: addresses };
}
