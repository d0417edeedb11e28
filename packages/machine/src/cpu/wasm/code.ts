/**
 * Emits WebAssembly function bodies: bytes into a growing buffer, with labels instead of relative branch depths.
 * WebAssembly Core Specification 2.0, "Binary format, Instructions".
 */
import { invariant } from "@realmbox/abi";
import { SimdOp } from "./simd.js";

export const ValueType = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;
export type ValueTypeName = keyof typeof ValueType;

/** One-byte opcodes without immediates, and the memory instructions. */
export const Op = {
  unreachable: 0x00,
  return: 0x0f,
  drop: 0x1a,
  select: 0x1b,
  i32_load: 0x28,
  i64_load: 0x29,
  f32_load: 0x2a,
  f64_load: 0x2b,
  i32_load8_s: 0x2c,
  i32_load8_u: 0x2d,
  i32_load16_s: 0x2e,
  i32_load16_u: 0x2f,
  i64_load8_s: 0x30,
  i64_load8_u: 0x31,
  i64_load16_s: 0x32,
  i64_load16_u: 0x33,
  i64_load32_s: 0x34,
  i64_load32_u: 0x35,
  i32_store: 0x36,
  i64_store: 0x37,
  f32_store: 0x38,
  f64_store: 0x39,
  i32_store8: 0x3a,
  i32_store16: 0x3b,
  i64_store8: 0x3c,
  i64_store16: 0x3d,
  i64_store32: 0x3e,
  i32_eqz: 0x45,
  i32_eq: 0x46,
  i32_ne: 0x47,
  i32_lt_s: 0x48,
  i32_lt_u: 0x49,
  i32_gt_s: 0x4a,
  i32_gt_u: 0x4b,
  i32_le_s: 0x4c,
  i32_le_u: 0x4d,
  i32_ge_s: 0x4e,
  i32_ge_u: 0x4f,
  i64_eqz: 0x50,
  i64_eq: 0x51,
  i64_ne: 0x52,
  i64_lt_s: 0x53,
  i64_lt_u: 0x54,
  i64_gt_s: 0x55,
  i64_gt_u: 0x56,
  i64_le_s: 0x57,
  i64_le_u: 0x58,
  i64_ge_s: 0x59,
  i64_ge_u: 0x5a,
  f32_eq: 0x5b,
  f32_ne: 0x5c,
  f32_lt: 0x5d,
  f32_gt: 0x5e,
  f32_le: 0x5f,
  f32_ge: 0x60,
  f64_eq: 0x61,
  f64_ne: 0x62,
  f64_lt: 0x63,
  f64_gt: 0x64,
  f64_le: 0x65,
  f64_ge: 0x66,
  i32_clz: 0x67,
  i32_ctz: 0x68,
  i32_popcnt: 0x69,
  i32_add: 0x6a,
  i32_sub: 0x6b,
  i32_mul: 0x6c,
  i32_div_s: 0x6d,
  i32_div_u: 0x6e,
  i32_rem_s: 0x6f,
  i32_rem_u: 0x70,
  i32_and: 0x71,
  i32_or: 0x72,
  i32_xor: 0x73,
  i32_shl: 0x74,
  i32_shr_s: 0x75,
  i32_shr_u: 0x76,
  i32_rotl: 0x77,
  i32_rotr: 0x78,
  i64_clz: 0x79,
  i64_ctz: 0x7a,
  i64_popcnt: 0x7b,
  i64_add: 0x7c,
  i64_sub: 0x7d,
  i64_mul: 0x7e,
  i64_div_s: 0x7f,
  i64_div_u: 0x80,
  i64_rem_s: 0x81,
  i64_rem_u: 0x82,
  i64_and: 0x83,
  i64_or: 0x84,
  i64_xor: 0x85,
  i64_shl: 0x86,
  i64_shr_s: 0x87,
  i64_shr_u: 0x88,
  i64_rotl: 0x89,
  i64_rotr: 0x8a,
  f32_abs: 0x8b,
  f32_neg: 0x8c,
  f32_ceil: 0x8d,
  f32_floor: 0x8e,
  f32_trunc: 0x8f,
  f32_nearest: 0x90,
  f32_sqrt: 0x91,
  f32_add: 0x92,
  f32_sub: 0x93,
  f32_mul: 0x94,
  f32_div: 0x95,
  f32_min: 0x96,
  f32_max: 0x97,
  f32_copysign: 0x98,
  f64_abs: 0x99,
  f64_neg: 0x9a,
  f64_ceil: 0x9b,
  f64_floor: 0x9c,
  f64_trunc: 0x9d,
  f64_nearest: 0x9e,
  f64_sqrt: 0x9f,
  f64_add: 0xa0,
  f64_sub: 0xa1,
  f64_mul: 0xa2,
  f64_div: 0xa3,
  f64_min: 0xa4,
  f64_max: 0xa5,
  f64_copysign: 0xa6,
  i32_wrap_i64: 0xa7,
  i32_trunc_f32_s: 0xa8,
  i32_trunc_f32_u: 0xa9,
  i32_trunc_f64_s: 0xaa,
  i32_trunc_f64_u: 0xab,
  i64_extend_i32_s: 0xac,
  i64_extend_i32_u: 0xad,
  i64_trunc_f32_s: 0xae,
  i64_trunc_f32_u: 0xaf,
  i64_trunc_f64_s: 0xb0,
  i64_trunc_f64_u: 0xb1,
  f32_convert_i32_s: 0xb2,
  f32_convert_i32_u: 0xb3,
  f32_convert_i64_s: 0xb4,
  f32_convert_i64_u: 0xb5,
  f32_demote_f64: 0xb6,
  f64_convert_i32_s: 0xb7,
  f64_convert_i32_u: 0xb8,
  f64_convert_i64_s: 0xb9,
  f64_convert_i64_u: 0xba,
  f64_promote_f32: 0xbb,
  i32_reinterpret_f32: 0xbc,
  i64_reinterpret_f64: 0xbd,
  f32_reinterpret_i32: 0xbe,
  f64_reinterpret_i64: 0xbf,
  i32_extend8_s: 0xc0,
  i32_extend16_s: 0xc1,
  i64_extend8_s: 0xc2,
  i64_extend16_s: 0xc3,
  i64_extend32_s: 0xc4,
} as const;

const BLOCK = 0x02;
const LOOP = 0x03;
const IF = 0x04;
const ELSE = 0x05;
const END = 0x0b;
const BR = 0x0c;
const BR_IF = 0x0d;
const BR_TABLE = 0x0e;
const CALL = 0x10;
const CALL_INDIRECT = 0x11;
const LOCAL_GET = 0x20;
const LOCAL_SET = 0x21;
const LOCAL_TEE = 0x22;
const I32_CONST = 0x41;
const I64_CONST = 0x42;
const EMPTY_BLOCK = 0x40;
const BULK_PREFIX = 0xfc;
const TABLE_COPY = 0x0e;
const SIMD_PREFIX = 0xfd;

/** A growing byte buffer with the LEB128 forms of the binary format. */
export class ByteWriter {
  protected buffer = new Uint8Array(1024);
  length = 0;

  private reserve(count: number): void {
    if (this.length + count <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(this.buffer.length * 2, this.length + count));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
  }

  u8(byte: number): void {
    if (this.length === this.buffer.length) this.reserve(1);
    this.buffer[this.length++] = byte;
  }

  bytes(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  u32(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.u8(rest);
  }

  s32(value: number): void {
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    this.u8(rest & 0x7f);
  }

  s64(value: bigint): void {
    if (value >= -0x4000_0000n && value <= 0x3fff_ffffn) {
      this.s32(Number(value));
      return;
    }
    let rest = BigInt.asIntN(64, value);
    while (rest < -64n || rest > 63n) {
      this.u8(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.u8(Number(rest & 0x7fn));
  }

  /** A name or other UTF-8 text (ASCII here) with its length. */
  text(value: string): void {
    this.u32(value.length);
    for (let i = 0; i < value.length; i++) this.u8(value.charCodeAt(i));
  }

  /** A view of what has been written. */
  result(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }
}

/** A place that branches can name: the end of a block or `if`, the start of a loop. */
export interface Label {
  readonly depth: number;
}

/** The body of one function. Locals are numbered: the parameters, then those that `local` declares. */
export class CodeWriter extends ByteWriter {
  private depth = 0;
  private readonly localTypes: number[] = [];
  /** Where an `if` or `br_if` is not expected to be taken. */
  private unlikelyPlaces: number[] = [];
  private prologue: Uint8Array | undefined;

  private readonly paramCount: number;

  constructor(paramCount: number) {
    super();
    this.paramCount = paramCount;
  }

  /** Declares a local; its index. */
  local(type: ValueTypeName): number {
    return this.paramCount + this.localTypes.push(ValueType[type]) - 1;
  }

  /** A place to come back to with `rewind`. */
  mark(): { readonly length: number; readonly depth: number } {
    return { length: this.length, depth: this.depth };
  }

  /** Forgets what was emitted since the mark. Locals declared since then stay. */
  rewind({ length, depth }: { readonly length: number; readonly depth: number }): void {
    this.length = length;
    this.depth = depth;
    this.unlikelyPlaces = this.unlikelyPlaces.filter((place) => place < length);
  }

  /** Code before all that was emitted, of a writer that shares this one's locals. */
  begin(prologue: CodeWriter): void {
    this.prologue = prologue.result();
  }

  /** The `if` or `br_if` that comes next is seldom taken. */
  unlikely(): void {
    this.unlikelyPlaces.push(this.length);
  }

  /** Offsets within `body()` of the branches that are seldom taken. */
  unlikelyOffsets(): number[] {
    const before = this.declarations().length + (this.prologue?.length ?? 0);
    return this.unlikelyPlaces.map((place) => place + before);
  }

  /** The body as the code section wants it: local declarations (runs of one type), code, end. */
  body(): Uint8Array {
    invariant(this.depth === 0, "all blocks are closed");
    const out = new ByteWriter();
    out.bytes(this.declarations());
    if (this.prologue) out.bytes(this.prologue);
    out.bytes(this.result());
    out.u8(END);
    return out.result();
  }

  private declarations(): Uint8Array {
    const out = new ByteWriter();
    const runs: { type: number; count: number }[] = [];
    for (const type of this.localTypes) {
      const last = runs.at(-1);
      if (last?.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    out.u32(runs.length);
    for (const { type, count } of runs) {
      out.u32(count);
      out.u8(type);
    }
    return out.result();
  }

  op(op: keyof typeof Op): void {
    this.u8(Op[op]);
  }

  localGet(index: number): void {
    this.u8(LOCAL_GET);
    this.u32(index);
  }

  localSet(index: number): void {
    this.u8(LOCAL_SET);
    this.u32(index);
  }

  localTee(index: number): void {
    this.u8(LOCAL_TEE);
    this.u32(index);
  }

  i32(value: number): void {
    this.u8(I32_CONST);
    this.s32(value);
  }

  i64(value: bigint): void {
    this.u8(I64_CONST);
    this.s64(value);
  }

  /** An instruction of the vector extension; lanes, shuffles and constants have their immediate bytes. */
  simd(op: keyof typeof SimdOp, immediate: readonly number[] = []): void {
    this.u8(SIMD_PREFIX);
    this.u32(SimdOp[op]);
    for (const byte of immediate) this.u8(byte);
  }

  /** A vector load or store, as `memory`. */
  simdMemory(op: keyof typeof SimdOp, offset = 0, align = 0): void {
    this.simd(op);
    this.u32(align);
    this.u32(offset);
  }

  /** A load or store. `align` is the log2 of the alignment promised; guest data promises none. */
  memory(op: keyof typeof Op, offset = 0, align = 0): void {
    this.u8(Op[op]);
    this.u32(align);
    this.u32(offset);
  }

  private open(opcode: number, type?: ValueTypeName): Label {
    this.u8(opcode);
    this.u8(type === undefined ? EMPTY_BLOCK : ValueType[type]);
    return { depth: ++this.depth };
  }

  block(type?: ValueTypeName): Label {
    return this.open(BLOCK, type);
  }

  loop(): Label {
    return this.open(LOOP);
  }

  /** Takes the condition from the stack. */
  if(type?: ValueTypeName): Label {
    return this.open(IF, type);
  }

  else(): void {
    this.u8(ELSE);
  }

  /** Closes the innermost block, loop or `if`. */
  end(): void {
    invariant(this.depth > 0, "a block is open");
    this.depth--;
    this.u8(END);
  }

  br(label: Label): void {
    this.u8(BR);
    this.u32(this.depth - label.depth);
  }

  brIf(label: Label): void {
    this.u8(BR_IF);
    this.u32(this.depth - label.depth);
  }

  brTable(labels: readonly Label[], otherwise: Label): void {
    this.u8(BR_TABLE);
    this.u32(labels.length);
    for (const label of labels) this.u32(this.depth - label.depth);
    this.u32(this.depth - otherwise.depth);
  }

  call(functionIndex: number): void {
    this.u8(CALL);
    this.u32(functionIndex);
  }

  callIndirect(typeIndex: number, table = 0): void {
    this.u8(CALL_INDIRECT);
    this.u32(typeIndex);
    this.u32(table);
  }

  /** Copies entries from one table to another: takes where to, where from and how many from the stack. */
  tableCopy(to: number, from: number): void {
    this.u8(BULK_PREFIX);
    this.u32(TABLE_COPY);
    this.u32(to);
    this.u32(from);
  }
}
