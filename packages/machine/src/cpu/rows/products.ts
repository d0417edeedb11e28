/** Products of lanes: doubling with saturation, wide ones, and those of polynomials over {0, 1}. */
import type { Context } from "./context.js";
import type { Expr } from "./expr.js";
import { bitsOf, raiseQc } from "./lanes.js";
import {
  bitSelect,
  type LaneSize,
  mulHigh,
  mulLow,
  oddLanes,
  vAdd,
  vAnd,
  vEq,
  vectorOf,
  vectorZero,
  vNeg,
  vShl,
  vShrU,
  vXor,
} from "./vector.js";

/** The most negative value of a lane, the one whose square is too large when doubled. */
const mostNegative = (size: LaneSize): Expr => vectorOf(size, 1n << BigInt(bitsOf(size) - 1));

/** Lanes in which both factors are the most negative value: all ones. Raises QC. */
function doublingOverflow(c: Context, size: LaneSize, n: Expr, m: Expr): Expr {
  const least = mostNegative(size);
  const mask = c.tmp(vAnd(vEq(size, n, least), vEq(size, m, least)));
  raiseQc(c, mask);
  return mask;
}

/** SQDMULH, SQRDMULH: the high half of twice the product, of lanes of 2 and 4 bytes. */
export function doublingHigh(c: Context, size: LaneSize, rounding: boolean, n: Expr, m: Expr): Expr {
  const half = (product: Expr) => {
    const doubled = vShl(size + 1, product, 1);
    return rounding ? vAdd(size + 1, doubled, vectorOf(size + 1, 1n << BigInt(bitsOf(size) - 1))) : doubled;
  };
  const high = oddLanes(size, half(mulLow(size, n, m, true)), half(mulHigh(size, n, m, true)));
  const overflow = doublingOverflow(c, size, n, m);
  return bitSelect(overflow, vectorOf(size, (1n << BigInt(bitsOf(size) - 1)) - 1n), high);
}

/** Products as wide as two lanes, of the low (`q` 0) or high halves of the registers. */
export const wideProduct = (size: LaneSize, q: number, signed: boolean, n: Expr, m: Expr): Expr =>
  (q ? mulHigh : mulLow)(size, n, m, signed);

/** SQDMULL: twice the signed wide product of the low (`q` 0) or high halves. */
export function doublingWide(c: Context, size: LaneSize, q: number, n: Expr, m: Expr): Expr {
  const doubled = c.tmp(vShl(size + 1, wideProduct(size, q, true, n, m), 1));
  // Only the square of the most negative value doubles to the most negative one.
  const overflow = c.tmp(vEq(size + 1, doubled, mostNegative(size + 1)));
  raiseQc(c, overflow);
  return vXor(doubled, overflow);
}

/** For each bit of `m`, `n` shifted up: summed without carries, in lanes of `size`. */
function polynomialProduct(c: Context, size: LaneSize, n: Expr, m: Expr): Expr {
  const one = vectorOf(size, 1);
  let sum: Expr = vectorZero;
  for (let bit = 0; bit < 8; bit++) {
    const selected = vNeg(size, vAnd(vShrU(size, m, bit), one));
    sum = c.tmp(vXor(sum, vAnd(vShl(size, n, bit), selected)));
  }
  return sum;
}

/** PMUL: the low eight bits. */
export const polynomialMultiply8 = (c: Context, n: Expr, m: Expr): Expr => polynomialProduct(c, 0, n, m);

/** PMULL of bytes: operands are extended already. */
export const polynomialMultiplyWide8 = (c: Context, n: Expr, m: Expr): Expr => polynomialProduct(c, 1, n, m);
