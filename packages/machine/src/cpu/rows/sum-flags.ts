/** NZCV of a sum with carry. DDI 0487, "AddWithCarry". */
import { and, type Expr, isZero, ltS, or, shl, shrU, wrap, xor } from "./expr.js";

/** a + b + a carry: its operands, what it is, and whether it carries out (i32, 0 or 1). */
export interface Sum {
  readonly a: Expr;
  readonly b: Expr;
  readonly result: Expr;
  readonly carry: Expr;
}

export const overflowOf = ({ a, b, result }: Sum): Expr => ltS(and(xor(a, result), xor(b, result)), 0);

/** NZCV in bits 31:28. */
export function sumFlags(sum: Sum): Expr {
  const { result, carry } = sum;
  const negative = result.type === "i64" ? wrap(shrU(result, 63)) : shrU(result, 31);
  return or(or(shl(negative, 31), shl(isZero(result), 30)), or(shl(carry, 29), shl(overflowOf(sum), 28)));
}
