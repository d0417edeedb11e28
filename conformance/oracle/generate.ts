/**
 * Random tests of instructions. A test sets all registers, SP and NZCV (for FP and SIMD also V registers, FPCR and FPSR),
 * runs a body of random instructions, and stores all registers. Memory operands point into a window of the test's own.
 *
 * Bodies avoid what the manual leaves open (a row's `unpredictable`, misaligned exclusives) and what a user program
 * cannot execute. Instructions between the ones under test set up addresses.
 */

import { rowOf } from "../../packages/machine/src/cpu/disassemble.js";
import { encode, rowNamed } from "../../packages/machine/src/cpu/encode.js";
import { ROWS } from "../../packages/machine/src/cpu/rows/index.js";
import { pointerAuthenticationRows } from "../../packages/machine/src/cpu/rows/pointer-authentication.js";
import { fieldsOf, type Row } from "../../packages/machine/src/cpu/rows/row.js";
import { adr, branch, clrex, loadConstant, moveSp } from "./assemble.js";
import type { Random } from "./random.js";

/** Bytes of a test's window, and of the accesses' reach around it. */
export const WINDOW_SIZE = 256;

/** An instruction of a body: its word, made when its address is known. */
export interface Instruction {
  /** The row under test, or undefined for set-up. */
  readonly row: Row | undefined;
  readonly word: (pc: number, pool: number) => number;
}

export interface VectorState {
  /** V0..V31, two 64-bit halves each, the low one first. */
  readonly v: readonly bigint[];
  readonly fpcr: bigint;
  readonly fpsr: bigint;
  /** What the pool behind the body holds. */
  readonly pool: Uint8Array;
}

/** Operand values of FP and SIMD tests: both halves of a register, and FPCR. */
export interface VectorOperands {
  readonly vector: (random: Random) => readonly [bigint, bigint];
  readonly fpcr: (random: Random) => bigint;
}

export interface Test {
  /** X0..X30, SP, NZCV in bits 31:28. */
  readonly registers: readonly bigint[];
  /** For FP and SIMD. */
  readonly vectors: VectorState | undefined;
  readonly window: Uint8Array;
  readonly body: readonly Instruction[];
}

/** Why a row is not run here. */
export function excluded(row: Row): string | undefined {
  const machine = ["WFE", "WFI", "SEV", "SEVL", "XPACLRI", "MSR (immediate)", "SYS", "SYSL", "MSR (register)", "MRS"];
  const traps = ["SVC", "HVC", "SMC", "BRK", "HLT", "ERET", "UDF"];
  const special = /^(MRS|MSR) (?!TPIDR_EL0)/.test(row.name) || row.name === "DC ZVA";
  if (machine.includes(row.name) || special) return "left to the machine";
  if (traps.includes(row.name)) return "an exception";
  if (pointerAuthenticationRows.includes(row)) return "qemu-aarch64 does not show its keys";
  return undefined;
}

/** Rows of the base instructions, and those that use V registers. */
export const INTEGER_ROWS = ROWS.filter((row) => !row.fp && excluded(row) === undefined);
export const VECTOR_ROWS = ROWS.filter((row) => row.fp);

/** Pointer authentication works in qemu-aarch64 -cpu max and is disabled here. */
const isPointerAuthenticationHint = (row: Row, { m, p }: Readonly<Record<string, number>>): boolean =>
  row.name === "HINT" && [7, 8, 10, 12, 14, 24, 25, 26, 27, 28, 29, 30, 31].includes(m * 8 + p);

/** Random fields that make the row, and are predictable. */
function randomFields(random: Random, row: Row): Record<string, number> {
  for (;;) {
    let word = row.value;
    for (const { lo, width } of Object.values(row.fields)) word |= random.field(width) << lo;
    word = ((word & ~row.mask) | row.value) >>> 0;
    if (rowOf(word) !== row) continue;
    const fields = fieldsOf(row, word);
    if (!row.unpredictable?.(fields) && !isPointerAuthenticationHint(row, fields)) return fields;
  }
}

/** FPSR: QC, IDC, IXC, UFC, OFC, DZC, IOC. */
const FPSR_FLAGS = 0x0800_009f;

const plain = (word: number, row?: Row): Instruction => ({ row, word: () => word });
const setUp = (words: readonly number[]): Instruction[] => words.map((word) => plain(word));

/** An instruction without memory and control flow, as filling. */
const FILLING = INTEGER_ROWS.filter(({ group }) => group === "data");
const filling = (random: Random): Instruction => {
  const row = random.pick(FILLING);
  return plain(encode(row, randomFields(random, row)));
};

/** What a memory instruction does. */
interface MemoryOperand {
  /** 31 = SP. */
  readonly base: number;
  readonly offset: bigint;
  readonly index: { readonly register: number; readonly extend: string; readonly shift: number } | undefined;
  readonly size: number;
  readonly align: number;
}

/** Bytes of the views of a vector register. */
const SCALAR_BYTES: Readonly<Record<string, number>> = { b: 1, h: 2, s: 4, d: 8, q: 16 };

/** Bytes that a load or store of V registers transfers, by its register operands: `q0, q1`, `{v0.8b-v3.8b}`, `{v0.s}[1]`. */
function vectorBytes(mnemonic: string, registers: string): number {
  if (!registers.startsWith("{")) return registers.split(", ").length * SCALAR_BYTES[registers[0]];
  const [, lanes, letter] = /\.(\d*)([bhsd])/.exec(registers) ?? [];
  const [, count] = /^(?:ld|st)(\d)/.exec(mnemonic) ?? [];
  if (lanes === "" || mnemonic.endsWith("r")) return Number(count) * SCALAR_BYTES[letter];
  const [first, last] = (registers.match(/v\d+/g) ?? []).map((name) => Number(name.slice(1)));
  const named = registers.includes("-") ? last - first + 1 : (registers.match(/v\d+/g) ?? []).length;
  return named * Number(lanes) * SCALAR_BYTES[letter];
}

/** Read off the instruction's text. */
function memoryOperand(row: Row, fields: Readonly<Record<string, number>>): MemoryOperand {
  const text = row.print(fields, 0n);
  const [, mnemonic, registers, inside, after] = /^(\w+) (.*?),? ?\[([^\]]*)\](!?(?:, [^\]]*)?)$/.exec(text) ?? [];
  if (mnemonic === undefined) throw new Error(`no memory operand: ${text}`);
  const [base, second, extension] = inside.split(", ");
  const number = (name: string) => (name === "sp" || name.endsWith("zr") ? 31 : Number(name.slice(1)));
  const immediate = second?.startsWith("#") ? second : after.startsWith(", #") ? undefined : "#0";
  const [extend, amount] = (extension ?? "lsl #0").split(" ");
  const common = {
    base: number(base),
    offset: BigInt(immediate?.slice(1) ?? 0),
    index:
      second === undefined || second.startsWith("#")
        ? undefined
        : { register: number(second), extend, shift: Number((amount ?? "#0").slice(1)) },
  };
  if (row.fp) return { ...common, size: vectorBytes(mnemonic, registers), align: 1 };
  const names = registers.split(", ");
  const last = names.at(-1) ?? "";
  const one = /w$/.test(mnemonic)
    ? 4
    : /b$/.test(mnemonic)
      ? 1
      : /h$/.test(mnemonic)
        ? 2
        : last.startsWith("x")
          ? 8
          : 4;
  const size = /^(ld|st|cas)[al]*n?x?p/.test(mnemonic) ? one * 2 : one;
  const ordered = row.group === "exclusive" || row.group === "atomic" || /^(ldar|stlr)/.test(mnemonic);
  return { ...common, size, align: ordered ? size : 1 };
}

function extendIndex(value: bigint, extend: string): bigint {
  if (extend === "uxtw") return value & 0xffff_ffffn;
  if (extend === "sxtw") return BigInt.asIntN(32, value);
  return value;
}

/** Set-up so that a memory instruction hits the window. Undefined when its registers cannot be made to. */
function placeOperand(
  random: Random,
  window: number,
  operand: MemoryOperand,
  keep: readonly number[],
): Instruction[] | undefined {
  const { base, index, size, align } = operand;
  if (index && index.register === base && base !== 31) return undefined;
  const out: Instruction[] = [];
  let distance = operand.offset;
  if (index && index.register !== 31) {
    const value = random.value();
    out.push(...setUp(loadConstant(index.register, value)));
    distance = extendIndex(value, index.extend) << BigInt(index.shift);
  }
  for (let attempt = 0; attempt < 100; attempt++) {
    const at = Math.ceil((window + random.below(WINDOW_SIZE - size + 1)) / align) * align;
    if (at + size > window + WINDOW_SIZE) continue;
    const value = BigInt.asUintN(64, BigInt(at) - distance);
    if (base !== 31) return [...out, ...setUp(loadConstant(base, value))];
    if (value % 16n !== 0n) continue;
    const scratch = [9, 10, 11, 12, 13].find((r) => !keep.includes(r)) ?? 14;
    return [...out, ...setUp(loadConstant(scratch, value)), plain(moveSp(31, scratch))];
  }
  return undefined;
}

/** Registers that an instruction names. */
const registersOf = (row: Row, fields: Readonly<Record<string, number>>): number[] =>
  Object.entries(row.fields)
    .filter(([name, { width }]) => width === 5 && name !== "i")
    .map(([name]) => fields[name]);

/** What comes before a store-exclusive or compare-and-swap so that it often succeeds. */
function preparation(
  random: Random,
  row: Row,
  fields: Readonly<Record<string, number>>,
  window: number,
): Instruction[] {
  const { n, t } = fields;
  const suffix = row.name.replace(/^(STXR, STLXR|STXP, STLXP|CASP?)/, "");
  if (row.group === "exclusive" && row.name.startsWith("ST")) {
    // The monitor is open, or holds the address, or another one of the window (at times the same). Never another size.
    if (random.oneIn(4)) return [plain(clrex({ m: 15 }))];
    const pair = row.name.startsWith("STXP");
    const load = rowNamed(`${pair ? "LDXP, LDAXP" : "LDXR, LDAXR"}${suffix}`);
    // Neither the base nor the data are overwritten.
    const [first, second, other] = [19, 20, 21, 22, 23, 24, 25].filter((r) => r !== n && r !== t && r !== fields.u);
    const registers = { a: random.below(2), t: first, ...(pair ? { u: second } : {}) };
    if (random.oneIn(3)) {
      const elsewhere = Math.ceil(window / 16 + random.below(WINDOW_SIZE / 16 - 1)) * 16;
      return [...setUp(loadConstant(other, BigInt(elsewhere))), plain(encode(load, { ...registers, n: other }))];
    }
    return [plain(encode(load, { ...registers, n }))];
  }
  if (!row.name.startsWith("CAS") || random.oneIn(2)) return [];
  const { s } = fields;
  if (s === n || s === 31 || t === n) return [];
  if (row.name.startsWith("CASP")) {
    if (s + 1 === n || s === 30) return [];
    return [plain(encode(rowNamed(`LDP${suffix} (signed offset)`), { i: 0, u: s + 1, n, t: s }))];
  }
  return [plain(encode(rowNamed(`LDR${suffix} (unsigned offset)`), { i: 0, n, t: s }))];
}

function memoryInstruction(random: Random, row: Row, window: number): Instruction[] {
  for (;;) {
    const fields = randomFields(random, row);
    const operand = memoryOperand(row, fields);
    const place = placeOperand(random, window, operand, registersOf(row, fields));
    const before = preparation(random, row, fields, window);
    if (place) return [...place, ...before, plain(encode(row, fields), row)];
  }
}

/** A load from the literal pool that lies at `pool`. */
function literalInstruction(random: Random, row: Row): Instruction {
  const fields = randomFields(random, row);
  const slot = random.below(POOL_SIZE / 4 - 3) * 4;
  return { row, word: (pc, pool) => encode(row, { ...fields, i: (pool + slot - pc) / 4 }) };
}

/** Bytes of the pool behind each body; those of `poolBytes`, or in tests of V registers their operands. */
export const POOL_SIZE = 256;
export const poolBytes = (random: Random): Uint8Array =>
  new Uint8Array(BigUint64Array.from({ length: POOL_SIZE / 8 }, () => random.value()).buffer);

/** Loads of V registers that an instruction names from the pool, so that it meets fresh values. */
function freshOperands(random: Random, row: Row, fields: Readonly<Record<string, number>>): Instruction[] {
  const load = rowNamed("LDR, Q (literal)");
  return ["n", "m", "d", "a"].flatMap((name) => {
    const place = row.fields[name];
    if (!place || place.width < 4 || random.oneIn(4)) return [];
    const slot = random.below(POOL_SIZE / 16) * 16;
    const t = fields[name];
    return [{ row: undefined, word: (pc: number, pool: number) => encode(load, { t, i: (pool + slot - pc) / 4 }) }];
  });
}

/** Direct branches, forwards over some filling or backwards to it. */
function branchInstruction(random: Random, row: Row): Instruction[] {
  if (row.fields.n) {
    const n = random.below(31);
    const gap = Array.from({ length: random.below(3) }, () => filling(random));
    const ahead = (gap.length + 2) * 4;
    return [plain(adr({ l: 0, h: ahead / 4, d: n })), plain(encode(row, { n }), row), ...gap];
  }
  const fields = randomFields(random, row);
  const to = (instructions: number) => plain(encode(row, { ...fields, i: instructions }), row);
  if (random.oneIn(2)) {
    const gap = Array.from({ length: random.below(4) }, () => filling(random));
    return [to(gap.length + 1), ...gap];
  }
  return [
    plain(branch({ i: 3 })),
    filling(random), // the target
    plain(branch({ i: 3 })),
    to(-2),
    filling(random),
  ];
}

/** Rows that read the flags. They meet many kinds of flags and conditions: they run more often than others. */
const readsFlags = (row: Row): boolean => /^(B\.cond|CSEL|CCM|ADC)/.test(row.name);
const FLAG_READER_FACTOR = 8;

const FLAG_SETTERS = ROWS.filter(({ name }) => /ADDS|ANDS|ADCS|CCM/.test(name));

/** An instruction that sets the flags, often of equal operands or of zero. */
function flagSetter(random: Random): Instruction {
  for (;;) {
    const row = random.pick(FLAG_SETTERS);
    const fields = randomFields(random, row);
    if ("s" in row.fields && row.shape.includes("s")) fields.s = 1;
    if (row.name.startsWith("AND")) fields.o = 3;
    if (fields.m !== undefined && random.oneIn(3)) fields.m = fields.n;
    const word = row.value | Object.entries(fields).reduce((w, [name, v]) => w | (v << row.fields[name].lo), 0);
    if (rowOf(word) === row) return plain(word >>> 0);
  }
}

function instructionsFor(random: Random, row: Row, window: number): Instruction[] {
  if (readsFlags(row) && !random.oneIn(4)) return [flagSetter(random), ...withOperands(random, row, window)];
  return withOperands(random, row, window);
}

function withOperands(random: Random, row: Row, window: number): Instruction[] {
  switch (row.group) {
    case "branch":
      return branchInstruction(random, row);
    case "simd-data":
    case "fp-data": {
      const fields = randomFields(random, row);
      return [...freshOperands(random, row, fields), plain(encode(row, fields), row)];
    }
    case "load-store":
    case "simd-load-store":
    case "exclusive":
    case "atomic":
      if (row.name.startsWith("PRF")) return [plain(encode(row, randomFields(random, row)), row)];
      if (row.name.includes("(literal)")) return [literalInstruction(random, row)];
      return memoryInstruction(random, row, window);
    default:
      return [plain(encode(row, randomFields(random, row)), row)];
  }
}

/** The rows as often as they run, given how often each must. */
export const weighted = (rows: readonly Row[], instances: number): Row[] =>
  rows.flatMap((row) => Array<Row>(readsFlags(row) ? instances * FLAG_READER_FACTOR : instances).fill(row));

/** The cumulative flags and QC are at times set already. */
function vectorState(random: Random, { vector, fpcr }: VectorOperands): VectorState {
  return {
    v: Array.from({ length: 32 }, () => vector(random)).flat(),
    fpcr: fpcr(random),
    fpsr: random.oneIn(4) ? BigInt(random.u32() & FPSR_FLAGS) : 0n,
    pool: new Uint8Array(
      BigUint64Array.from(Array.from({ length: POOL_SIZE / 16 }, () => vector(random)).flat()).buffer,
    ),
  };
}

/** Tests that run these rows in random order, `perBody` rows in a body. */
export function generateTests(
  random: Random,
  options: {
    rows: readonly Row[];
    perBody: number;
    windowOf: (index: number) => number;
    vectors?: VectorOperands | undefined;
  },
): Test[] {
  const { rows, perBody, windowOf, vectors } = options;
  const queue = random.shuffle([...rows]);
  const tests: Test[] = [];
  for (let at = 0; at < queue.length; at += perBody) {
    const window = windowOf(tests.length);
    tests.push({
      registers: Array.from({ length: 33 }, (_, i) => (i === 32 ? BigInt(random.below(16)) << 28n : random.value())),
      vectors: vectors && vectorState(random, vectors),
      window: new Uint8Array(BigUint64Array.from({ length: WINDOW_SIZE / 8 }, () => random.value()).buffer),
      body: queue.slice(at, at + perBody).flatMap((row) => instructionsFor(random, row, window)),
    });
  }
  return tests;
}
