/**
 * What rows of lane-wise instructions share: the two forms of registers (vectors of 64 and 128 bits, scalars), saturation
 * with FPSR.QC, narrowing and widening. DDI 0487, pseudocode "SignedSatQ", "UnsignedSatQ", "Elem", "Vpart".
 */
import type { Context, VectorRegister } from "./context.js";
import { type Expr, shl, sub } from "./expr.js";
import { scalarReg, vectorReg } from "./text.js";
import {
  anyTrue,
  bitSelect,
  evenLanes,
  extendHigh,
  extendLow,
  extractLane,
  type LaneSize,
  splat,
  vAdd,
  vAnd,
  vAndNot,
  vectorOf,
  vectorZero,
  vGt,
  vNe,
  vNot,
  vOr,
  vShl,
  vShrS,
  vShrU,
  vSub,
  vXor,
} from "./vector.js";

/** How an instruction sees its registers: as lanes of a vector, or as one lane. */
export interface Form {
  readonly size: LaneSize;
  /** Lanes of the operation. */
  readonly count: number;
  /** The register as a vector: of a scalar every lane is the same, so that any one tells what happened. */
  read(c: Context, r: VectorRegister): Expr;
  write(c: Context, d: VectorRegister, value: Expr): void;
  /** Zeroes what lies above the lanes, after they were written one by one. */
  clearAbove(c: Context, d: VectorRegister): void;
  text(n: number): string;
}

export const vectorForm = (size: LaneSize, q: number): Form => ({
  size,
  count: (q ? 16 : 8) >> size,
  read: (c, r) => c.tmp(c.vector(r, q)),
  write: (c, d, value) => c.setVector(d, value, q),
  clearAbove: (c, d) => {
    if (!q) c.setVector(d, c.vector(d, 0));
  },
  text: (n) => vectorReg(size, q, n),
});

export const scalarForm = (size: LaneSize): Form => ({
  size,
  count: 1,
  read: (c, r) => c.tmp(splat(size, c.scalar(1 << size, r))),
  write: (c, d, value) => c.setScalar(1 << size, d, extractLane(size, value, 0)),
  clearAbove: (c, d) => c.setScalar(1 << size, d, c.scalar(1 << size, d)),
  text: (n) => scalarReg(size, n),
});

/** Bits of a lane. */
export const bitsOf = (size: LaneSize): number => 8 << size;

/** Sets FPSR.QC when any bit of `mask` is set. */
export const raiseQc = (c: Context, mask: Expr): void => c.raiseFpsr(shl(anyTrue(mask), 27));

/** All ones in the lanes that are negative. */
export const signMask = (size: LaneSize, a: Expr): Expr => vShrS(size, a, bitsOf(size) - 1);
/** The most positive value where the lane is not negative, the most negative one where it is. */
const saturatedLike = (size: LaneSize, a: Expr): Expr =>
  vXor(signMask(size, a), vectorOf(size, (1n << BigInt(bitsOf(size) - 1)) - 1n));

/** `saturated` where `overflow` (a bit pattern whose sign bits count) is negative, else `value`. */
function saturate(c: Context, size: LaneSize, value: Expr, saturated: Expr, overflow: Expr): Expr {
  const mask = c.tmp(signMask(size, overflow));
  raiseQc(c, mask);
  return bitSelect(mask, saturated, value);
}

export function addSaturating(c: Context, size: LaneSize, signed: boolean, a: Expr, b: Expr): Expr {
  const sum = c.tmp(vAdd(size, a, b));
  if (signed) return saturate(c, size, sum, saturatedLike(size, a), vAnd(vXor(a, sum), vXor(b, sum)));
  // The carry out of the highest bit.
  return saturate(c, size, sum, vectorOf(3, -1n), vOr(vAnd(a, b), vAndNot(vOr(a, b), sum)));
}

export function subSaturating(c: Context, size: LaneSize, signed: boolean, a: Expr, b: Expr): Expr {
  const difference = c.tmp(vSub(size, a, b));
  if (signed) return saturate(c, size, difference, saturatedLike(size, a), vAnd(vXor(a, b), vXor(a, difference)));
  // The borrow.
  return saturate(c, size, difference, vectorZero, vOr(vAndNot(b, a), vAnd(vOr(vNot(a), b), difference)));
}

/** A signed lane plus an unsigned one, as a signed one: the sum can only be too large. */
export function addUnsignedToSigned(c: Context, size: LaneSize, a: Expr, b: Expr): Expr {
  const sign = vectorOf(size, 1n << BigInt(bitsOf(size) - 1));
  return vXor(addSaturating(c, size, false, c.tmp(vXor(a, sign)), b), sign);
}

/** An unsigned lane plus a signed one, as an unsigned one. */
export function addSignedToUnsigned(c: Context, size: LaneSize, a: Expr, b: Expr): Expr {
  const negative = c.tmp(signMask(size, b));
  const sum = addSaturating(c, size, false, a, c.tmp(vAndNot(b, negative)));
  const magnitude = c.tmp(vAnd(vSub(size, vectorZero, b), negative));
  return subSaturating(c, size, false, c.tmp(sum), magnitude);
}

/** -a or |a| (where `negative` is all ones), and the most positive value for the one that has none. */
export function negateSaturating(c: Context, size: LaneSize, a: Expr, negate: Expr): Expr {
  const negated = c.tmp(vXor(a, negate));
  return subSaturating(c, size, true, negated, negate);
}

/** Lanes shifted right by 1 to the lane's bits (i32), which the instructions of WebAssembly do not do in one. */
export function shiftRight(c: Context, size: LaneSize, signed: boolean, a: Expr, count: Expr): Expr {
  const shift = signed ? vShrS : vShrU;
  return shift(size, c.tmp(shift(size, a, sub(count, 1))), 1);
}

/** The same, rounded: half of the last unit is added before. */
export function shiftRightRounding(c: Context, size: LaneSize, signed: boolean, a: Expr, count: Expr): Expr {
  const shift = signed ? vShrS : vShrU;
  const beforeLast = c.tmp(shift(size, a, sub(count, 1)));
  return vAdd(size, shift(size, beforeLast, 1), vAnd(beforeLast, vectorOf(size, 1)));
}

/** Lanes of the low or high half, `size` of the narrow lane. */
export const widen = (size: LaneSize, q: number, signed: boolean, a: Expr): Expr =>
  q ? extendHigh(size, signed, a) : extendLow(size, signed, a);

/** The low halves of wide lanes, in the low half of the result. `size` is the narrow lane's. */
export const narrow = (size: LaneSize, wide: Expr): Expr => evenLanes(size, wide, vectorZero);

/** Writes the low half of `value`: to the low half of Vd with zeros above, or to its high half alone. */
export function writeHalf(c: Context, q: number, d: VectorRegister, value: Expr): void {
  if (q) c.setLane(8, d, 1, extractLane(3, value, 0));
  else c.setVector(d, value, 0);
}

/** How a narrowing instruction takes a lane that does not fit. */
export type Narrowing = "truncate" | "signed" | "unsigned" | "signed to unsigned";

/** Wide lanes that have the value which the narrow lane gets, in their low half. `size` is the narrow lane's. */
export function narrowing(c: Context, size: LaneSize, how: Narrowing, wide: Expr): Expr {
  if (how === "truncate") return wide;
  const bits = bitsOf(size);
  const value = c.tmp(wide);
  if (how === "signed") {
    const fits = vShrS(size + 1, vShl(size + 1, value, bits), bits);
    const mask = c.tmp(vNe(size + 1, fits, value));
    raiseQc(c, mask);
    const most = vXor(signMask(size + 1, value), vectorOf(size + 1, (1n << BigInt(bits - 1)) - 1n));
    return bitSelect(mask, most, value);
  }
  const mask = c.tmp(vNe(size + 1, vShrU(size + 1, value, bits), vectorZero));
  raiseQc(c, mask);
  const most = how === "unsigned" ? vectorOf(3, -1n) : vNot(signMask(size + 1, value));
  return bitSelect(mask, most, value);
}

/** |a - b| of lanes of 1 to 4 bytes. */
export function absoluteDifference(size: LaneSize, signed: boolean, a: Expr, b: Expr): Expr {
  const greater = vGt(size, signed, a, b);
  // Where a <= b the difference is inverted and one is added.
  return vSub(size, vXor(vSub(size, a, b), vNot(greater)), vNot(greater));
}
