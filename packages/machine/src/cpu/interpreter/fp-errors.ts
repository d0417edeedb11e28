/**
 * What a rounding has lost, exactly, and what follows from it: whether IXC is raised, and the result in the directed
 * rounding modes, which is the host's or the number next to it.
 */
import { FPCR } from "../fp/environment.js";
import { add, and, constant, type Expr, eq, i32, isZero, ltU, select, shrU, sub, wrap } from "../rows/expr.js";
import {
  F64,
  floating,
  type HostFormat,
  held,
  inexactKnown,
  magnitudeOf,
  native,
  number,
  operationsOf,
} from "./fp-nodes.js";
import type { HelperBody } from "./functions.js";
import type { Statements } from "./statements.js";

/** An operation on numbers, or on vectors of them. */
export type FloatOperations = (name: "add" | "sub" | "mul", a: Expr, b: Expr) => Expr;

/** What the rounding of `sum` = a + b has lost (Knuth), of operands far from the largest numbers. */
export function sumError(s: Statements, op: FloatOperations, a: Expr, b: Expr, sum: Expr): Expr {
  const part = held(s, op("sub", sum, a)).value;
  return op("add", op("sub", a, op("sub", sum, part)), op("sub", b, part));
}

/** The upper half of a double's significand: 26 bits, so that products of halves are exact. `splitter` is 2^27 + 1. */
function upperHalf(s: Statements, op: FloatOperations, splitter: Expr, x: Expr): Expr {
  const scaled = held(s, op("mul", x, splitter)).value;
  return held(s, op("sub", scaled, op("sub", scaled, x))).value;
}

/** What the rounding of `product` = a * b has lost (Dekker, Veltkamp), of doubles within 2^±400. */
export function productError(
  s: Statements,
  op: FloatOperations,
  splitter: Expr,
  [a, b, product]: readonly [Expr, Expr, Expr],
): Expr {
  const ah = upperHalf(s, op, splitter, a);
  const al = held(s, op("sub", a, ah)).value;
  const bh = upperHalf(s, op, splitter, b);
  const bl = held(s, op("sub", b, bh)).value;
  const rest = op("sub", op("sub", op("sub", product, op("mul", ah, bh)), op("mul", al, bh)), op("mul", ah, bl));
  return held(s, op("sub", op("mul", al, bl), rest)).value;
}

export const SPLITTER = 2 ** 27 + 1;

/** value - a * b, doubles within 2^±400 of which value is close to the product. */
export function residual(s: Statements, value: Expr, a: Expr, b: Expr): Expr {
  const op = operationsOf(F64);
  const product = held(s, op("mul", a, b)).value;
  const lost = productError(s, op, number(F64, SPLITTER), [a, b, product]);
  return op("sub", op("sub", value, product), lost);
}

/** Whether the unbiased exponent of a double lies within ±limit. */
export function exponentWithin(bits: Expr, limit: number): Expr {
  const biased = and(wrap(shrU(bits, F64.fraction)), 0x7ff);
  return ltU(sub(biased, 1023 - limit), constant("i32", 2 * limit + 1));
}

/** Whether a number is so far from the largest that `sumError` cannot overflow. */
export const isModest = (f: HostFormat, bits: Expr): Expr =>
  ltU(magnitudeOf(f, bits), sub(f.infinity, constant(f.int, 2n << BigInt(f.fraction))));

/**
 * Returns a result that the host has rounded to nearest, given what that lost (`error`, a number of `of`, of the sign of
 * the exact value less the result): as it is when it is exact, else, IXC being set, rounded as FPCR says. Otherwise goes
 * on. The result is well normal, and less than the largest number.
 */
export function returnRounded(s: HelperBody, f: HostFormat, result: Expr, error: Expr, of: HostFormat): void {
  const e = held(s, error).value;
  s.if(floating(of, "eq", e, number(of, 0)), () => s.return(result));
  s.if(inexactKnown(s), () => {
    const mode = held(s, and(shrU(s.load("FPCR"), FPCR.RMODE_SHIFT), 3)).value;
    const positive = held(s, isZero(isSet(f, result))).value;
    // Of the magnitudes: whether the exact one is larger, and whether the mode takes the larger.
    const larger = native("i32_eq", floating(of, "gt", e, number(of, 0)), positive);
    const takesLarger = eq(mode, sub(2, positive));
    const delta = select(mode, sub(add(larger, takesLarger), 1), i32(0));
    const step = f === F64 ? ({ op: "sext", type: "i64", arg: delta } as const) : delta;
    s.return(add(result, step));
  });
}

/** Sign bit: 0 or 1. */
function isSet(f: HostFormat, bits: Expr): Expr {
  return f === F64 ? wrap(shrU(bits, 63)) : shrU(bits, 31);
}
