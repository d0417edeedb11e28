/**
 * Nodes over vectors. A vector is 16 bytes in the order of the register: byte 0 is bits 7:0. Operations on the 64-bit
 * form of a register are those on 128 bits with zeros (or anything) above, because a write of the low half drops the rest.
 *
 * Lane shapes are named by the log2 of the lane's bytes, as the `size` field of an encoding: 0 = B, 1 = H, 2 = S, 3 = D.
 */
import { invariant } from "@realmbox/abi";
import type { SimdOpName } from "../wasm/simd.js";
import { type Expr, type ExprType, i32 } from "./expr.js";

/** log2 of a lane's bytes. */
export type LaneSize = number;

const SHAPES = ["i8x16", "i16x8", "i32x4", "i64x2"] as const;

/** The instruction `name`; what has a result of another type than v128 says so. */
export function simd(
  name: SimdOpName,
  args: readonly Expr[],
  options: { readonly type?: ExprType; readonly immediate?: readonly number[] } = {},
): Expr {
  const { type = "v128", immediate = [] } = options;
  return { op: "simd", type, simd: name, args, immediate };
}

/** An instruction that exists for several lane sizes, by its name without the shape. */
const laned = (size: LaneSize, op: string, args: readonly Expr[], options: Parameters<typeof simd>[2] = {}): Expr =>
  simd(`${SHAPES[size]}_${op}` as SimdOpName, args, options);

/** A constant by its bytes. */
export const vectorBytes = (bytes: readonly number[]): Expr => {
  invariant(bytes.length === 16, "a vector has sixteen bytes", bytes.length);
  return simd("v128_const", [], { immediate: bytes.map((byte) => byte & 0xff) });
};

/** The same constant in every lane. */
export function vectorOf(size: LaneSize, value: number | bigint): Expr {
  const bits = BigInt.asUintN(8 << size, BigInt(value));
  return vectorBytes(Array.from({ length: 16 }, (_, i) => Number((bits >> BigInt(8 * (i % (1 << size)))) & 0xffn)));
}

export const vectorZero = vectorOf(3, 0);

/** Every lane = `value`: an i32 for lanes up to 4 bytes, an i64 for 8. */
export const splat = (size: LaneSize, value: Expr): Expr => laned(size, "splat", [value]);

/** A lane: an i32 (extended as said) for lanes up to 4 bytes, an i64 for 8. */
export function extractLane(size: LaneSize, v: Expr, lane: number, signed = false): Expr {
  const suffix = size < 2 ? (signed ? "_s" : "_u") : "";
  return laned(size, `extract_lane${suffix}`, [v], { type: size === 3 ? "i64" : "i32", immediate: [lane] });
}

export const replaceLane = (size: LaneSize, v: Expr, lane: number, value: Expr): Expr =>
  laned(size, "replace_lane", [v, value], { immediate: [lane] });

// Bits

export const vAnd = (a: Expr, b: Expr): Expr => simd("v128_and", [a, b]);
/** a & ~b. */
export const vAndNot = (a: Expr, b: Expr): Expr => simd("v128_andnot", [a, b]);
export const vOr = (a: Expr, b: Expr): Expr => simd("v128_or", [a, b]);
export const vXor = (a: Expr, b: Expr): Expr => simd("v128_xor", [a, b]);
export const vNot = (a: Expr): Expr => simd("v128_not", [a]);
/** Bits of `a` where `mask` is 1, of `b` where it is 0. */
export const bitSelect = (mask: Expr, a: Expr, b: Expr): Expr => simd("v128_bitselect", [a, b, mask]);
/** Whether any bit is 1: an i32, 0 or 1. */
export const anyTrue = (a: Expr): Expr => simd("v128_any_true", [a], { type: "i32" });

// Lanes

export const vAdd = (size: LaneSize, a: Expr, b: Expr): Expr => laned(size, "add", [a, b]);
export const vSub = (size: LaneSize, a: Expr, b: Expr): Expr => laned(size, "sub", [a, b]);
export const vNeg = (size: LaneSize, a: Expr): Expr => laned(size, "neg", [a]);
export const vAbs = (size: LaneSize, a: Expr): Expr => laned(size, "abs", [a]);
/** Of 2 to 8 bytes; `vMul8` for bytes. */
export const vMul = (size: LaneSize, a: Expr, b: Expr): Expr =>
  size === 0 ? evenLanes(0, mulLow(0, a, b, false), mulHigh(0, a, b, false)) : laned(size, "mul", [a, b]);

/** Shifts by one count for all lanes, an i32 taken modulo the lane's bits. */
export const vShl = (size: LaneSize, a: Expr, count: Expr | number): Expr => laned(size, "shl", [a, amount(count)]);
export const vShrS = (size: LaneSize, a: Expr, count: Expr | number): Expr => laned(size, "shr_s", [a, amount(count)]);
export const vShrU = (size: LaneSize, a: Expr, count: Expr | number): Expr => laned(size, "shr_u", [a, amount(count)]);
const amount = (count: Expr | number): Expr => (typeof count === "number" ? i32(count) : count);

/** Minimum and maximum of lanes of 1 to 4 bytes. */
export const vMin = (size: LaneSize, signed: boolean, a: Expr, b: Expr): Expr =>
  laned(size, signed ? "min_s" : "min_u", [a, b]);
export const vMax = (size: LaneSize, signed: boolean, a: Expr, b: Expr): Expr =>
  laned(size, signed ? "max_s" : "max_u", [a, b]);

/** Comparisons give lanes of all ones or all zeros. */
export const vEq = (size: LaneSize, a: Expr, b: Expr): Expr => laned(size, "eq", [a, b]);
export const vNe = (size: LaneSize, a: Expr, b: Expr): Expr => laned(size, "ne", [a, b]);
export const vGt = (size: LaneSize, signed: boolean, a: Expr, b: Expr): Expr => ordered(size, signed, "gt", a, b);
export const vGe = (size: LaneSize, signed: boolean, a: Expr, b: Expr): Expr => ordered(size, signed, "ge", a, b);

const SIGN_BITS = vectorOf(3, 1n << 63n);

/** There is no unsigned comparison of 64-bit lanes: with the sign bits inverted the signed one does it. */
function ordered(size: LaneSize, signed: boolean, op: "gt" | "ge", a: Expr, b: Expr): Expr {
  if (signed || size < 3) return laned(size, `${op}_${signed ? "s" : "u"}`, [a, b]);
  return laned(size, `${op}_s`, [vXor(a, SIGN_BITS), vXor(b, SIGN_BITS)]);
}

// Widening: `size` is the narrow lane's, 0 to 2.

export const extendLow = (size: LaneSize, signed: boolean, a: Expr): Expr =>
  laned(size + 1, `extend_low_${SHAPES[size]}_${signed ? "s" : "u"}`, [a]);
export const extendHigh = (size: LaneSize, signed: boolean, a: Expr): Expr =>
  laned(size + 1, `extend_high_${SHAPES[size]}_${signed ? "s" : "u"}`, [a]);
export const mulLow = (size: LaneSize, a: Expr, b: Expr, signed: boolean): Expr =>
  laned(size + 1, `extmul_low_${SHAPES[size]}_${signed ? "s" : "u"}`, [a, b]);
export const mulHigh = (size: LaneSize, a: Expr, b: Expr, signed: boolean): Expr =>
  laned(size + 1, `extmul_high_${SHAPES[size]}_${signed ? "s" : "u"}`, [a, b]);

/** Set bits of every byte. */
export const popcountBytes = (a: Expr): Expr => simd("i8x16_popcnt", [a]);

// Moving bytes

/** Byte i of the result is byte `from[i]` of `a` (0 to 15) followed by `b` (16 to 31). */
export const shuffle = (a: Expr, b: Expr, from: readonly number[]): Expr => {
  invariant(from.length === 16 && from.every((i) => i >= 0 && i < 32), "a shuffle names sixteen bytes of two vectors");
  return simd("i8x16_shuffle", [a, b], { immediate: from });
};

/** Byte i of the result is the byte of `table` that byte i of `indices` names, or 0 from 16 on. */
export const swizzle = (table: Expr, indices: Expr): Expr => simd("i8x16_swizzle", [table, indices]);

/** The bytes of lanes `from` of `size`, as a list for `shuffle`. */
export const lanesToBytes = (size: LaneSize, from: readonly number[]): number[] =>
  from.flatMap((lane) => Array.from({ length: 1 << size }, (_, byte) => (lane << size) + byte));

const laneNumbers = (size: LaneSize, lane: (i: number) => number): number[] =>
  Array.from({ length: 16 >> size }, (_, i) => lane(i));

/** Lanes 0, 2, 4, … of `a`, then of `b`. */
export const evenLanes = (size: LaneSize, a: Expr, b: Expr): Expr =>
  shuffle(
    a,
    b,
    lanesToBytes(
      size,
      laneNumbers(size, (i) => 2 * i),
    ),
  );
/** Lanes 1, 3, 5, … of `a`, then of `b`. */
export const oddLanes = (size: LaneSize, a: Expr, b: Expr): Expr =>
  shuffle(
    a,
    b,
    lanesToBytes(
      size,
      laneNumbers(size, (i) => 2 * i + 1),
    ),
  );

/**
 * A vector whose byte i is byte `from[i]` of the sources laid end to end, of each of which the first `each` bytes count.
 * Where `from` is shorter than a vector, the rest is of no account. A source is evaluated once.
 */
export function gather(sources: readonly Expr[], each: number, from: readonly number[]): Expr {
  const places = Array.from({ length: 16 }, (_, i) => {
    const at = from[i] ?? 0;
    return { source: Math.floor(at / each), byte: at % each };
  });
  if (sources.length === 1)
    return shuffle(
      sources[0],
      sources[0],
      places.map(({ byte }) => byte),
    );
  let result = shuffle(
    sources[0],
    sources[1],
    places.map(({ source, byte }) => (source === 1 ? 16 + byte : source === 0 ? byte : 0)),
  );
  for (let next = 2; next < sources.length; next++) {
    result = shuffle(
      result,
      sources[next],
      places.map(({ source, byte }, i) => (source === next ? 16 + byte : i)),
    );
  }
  return result;
}
