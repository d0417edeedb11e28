/**
 * Fast paths of the arithmetic: the host's own operation where FPCR asks for what the host does and the result shows that
 * nothing special happened. Then the only flag in question is IXC: when it is not set yet, the operation is shown to be
 * exact, or left to the reference arithmetic, which sets it. So it is asked again only after a program clears FPSR.
 */
import type { FpOperation } from "../fp/operations.js";
import { and, constant, type Expr, i64, isZero, ltU, or, select, shrU, sub, wrap } from "../rows/expr.js";
import {
  asBits,
  asFloat,
  F32,
  F64,
  floating,
  type HostFormat,
  held,
  inexactKnown,
  isFiniteNumber,
  isWellNormal,
  isZeroNumber,
  keepsDenormals,
  native,
  number,
  plainMode,
  productIsShort,
  reference,
  sumError,
} from "./fp-nodes.js";
import type { HelperBody, HelperFunction, HelperTable } from "./functions.js";

const promoted = (bits: Expr): Expr => native("f64_promote_f32", asFloat(F32, bits));

/** A binary operation: when the result is fine, and when it is certainly exact. */
interface Plan {
  readonly host: "add" | "sub" | "mul" | "div";
  readonly name: "add" | "sub" | "mul" | "mulx" | "div";
  readonly fine: (s: HelperBody, f: HostFormat, a: Expr, b: Expr, r: Expr) => Expr;
  readonly exact: (s: HelperBody, f: HostFormat, a: Expr, b: Expr, r: Expr) => Expr;
}

/** A denormal sum is exact, so any finite result will do. */
const sumIsFine: Plan["fine"] = (_s, f, _a, _b, r) => isFiniteNumber(f, r);

function sumIsExact(negate: boolean): Plan["exact"] {
  return (s, f, a, b, r) => {
    const second = negate ? floating(f, "neg", asFloat(f, b)) : asFloat(f, b);
    return floating(f, "eq", sumError(s, f, asFloat(f, a), second, asFloat(f, r)), number(f, 0));
  };
}

const productIsFine: Plan["fine"] = (_s, f, a, b, r) =>
  or(isWellNormal(f, r), and(isZeroNumber(f, r), or(isZeroNumber(f, a), isZeroNumber(f, b))));

/** Products of two singles are exact in double. */
const productIsExact: Plan["exact"] = (_s, f, a, b, r) =>
  f === F32
    ? native("f64_eq", promoted(r), native("f64_mul", promoted(a), promoted(b)))
    : or(productIsShort(a, b), isZeroNumber(f, r));

const quotientIsFine: Plan["fine"] = (_s, f, a, _b, r) =>
  or(isWellNormal(f, r), and(isZeroNumber(f, r), isZeroNumber(f, a)));

/** quotient * divisor = dividend, exactly. */
const quotientIsExact: Plan["exact"] = (_s, f, a, b, r) =>
  f === F32
    ? native("f64_eq", native("f64_mul", promoted(r), promoted(b)), promoted(a))
    : or(
        isZeroNumber(f, a),
        and(native("f64_eq", native("f64_mul", asFloat(f, r), asFloat(f, b)), asFloat(f, a)), productIsShort(r, b)),
      );

const PLANS: readonly Plan[] = [
  { host: "add", name: "add", fine: sumIsFine, exact: sumIsExact(false) },
  { host: "sub", name: "sub", fine: sumIsFine, exact: sumIsExact(true) },
  { host: "mul", name: "mul", fine: productIsFine, exact: productIsExact },
  { host: "mul", name: "mulx", fine: productIsFine, exact: productIsExact },
  { host: "div", name: "div", fine: quotientIsFine, exact: quotientIsExact },
];

function binary(f: HostFormat, plan: Plan): HelperFunction {
  return {
    params: [f.int, f.int],
    result: f.int,
    body: (s) => {
      const a = s.param(0).value;
      const b = s.param(1).value;
      const r = held(s, asBits(f, floating(f, plan.host, asFloat(f, a), asFloat(f, b)))).value;
      s.if(and(plainMode(s), plan.fine(s, f, a, b, r)), () => {
        s.if(inexactKnown(s), () => s.return(r));
        s.if(plan.exact(s, f, a, b, r), () => s.return(r));
      });
      return reference(s, `${plan.name}${f.bits}`, f.int, a, b);
    },
  };
}

/** Roots are never tiny; NaNs of negative numbers and infinity are not finite. */
const squareRoot = (f: HostFormat): HelperFunction => ({
  params: [f.int],
  result: f.int,
  body: (s) => {
    const a = s.param(0).value;
    const r = held(s, asBits(f, floating(f, "sqrt", asFloat(f, a)))).value;
    const square = (x: Expr) => native("f64_mul", x, x);
    const exact =
      f === F32
        ? native("f64_eq", square(promoted(r)), promoted(a))
        : and(native("f64_eq", square(asFloat(f, r)), asFloat(f, a)), productIsShort(r, r));
    s.if(and(plainMode(s), isFiniteNumber(f, r)), () => {
      s.if(or(inexactKnown(s), isZeroNumber(f, a)), () => s.return(r));
      s.if(exact, () => s.return(r));
    });
    return reference(s, `sqrt${f.bits}`, f.int, a);
  },
});

/** The larger or smaller number; the host has the manual's order of zeros. NaNs and flushing are left. */
const extreme = (f: HostFormat, host: "max" | "min", name: "max" | "min" | "maxnm" | "minnm"): HelperFunction => ({
  params: [f.int, f.int],
  result: f.int,
  body: (s) => {
    const a = s.param(0).value;
    const b = s.param(1).value;
    const r = held(s, floating(f, host, asFloat(f, a), asFloat(f, b))).value;
    s.if(and(keepsDenormals(s), floating(f, "eq", r, r)), () => s.return(asBits(f, r)));
    return reference(s, `${name}${f.bits}`, f.int, a, b);
  },
});

/**
 * Rounds a double sum to odd, given what its rounding lost: an inexact sum gets an odd last bit. Rounding the result once
 * more, to nearest and to fewer bits (or after one more addition), then gives what one rounding of the exact sum gives.
 * S. Boldo, G. Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd".
 */
function roundToOdd(s: HelperBody, sum: Expr, error: Expr): Expr {
  const bits = held(s, asBits(F64, sum));
  const even = isZero(and(wrap(bits.value), 1));
  s.if(and(native("f64_ne", error, number(F64, 0)), even), () => {
    const sameSign = native("i32_eq", native("f64_gt", error, number(F64, 0)), native("f64_gt", sum, number(F64, 0)));
    s.set(bits, { op: "add", type: "i64", args: [bits.value, select(sameSign, i64(1), i64(-1))] });
  });
  return asFloat(F64, bits.value);
}

/** A product of singles is exact in double; the sum is rounded to odd there, then to single. */
const multiplyAddSingle: HelperFunction = {
  params: ["i32", "i32", "i32"],
  result: "i32",
  body: (s) => {
    const [addend, op1, op2] = [0, 1, 2].map((i) => s.param(i).value);
    const c = held(s, promoted(addend)).value;
    const p = held(s, native("f64_mul", promoted(op1), promoted(op2))).value;
    const sum = held(s, native("f64_add", p, c)).value;
    const error = held(s, sumError(s, F64, p, c, sum)).value;
    const odd = held(s, roundToOdd(s, sum, error)).value;
    const r = held(s, asBits(F32, native("f32_demote_f64", odd))).value;
    const zero = native("f64_eq", sum, number(F64, 0));
    s.if(and(plainMode(s), or(isWellNormal(F32, r), zero)), () => {
      s.if(inexactKnown(s), () => s.return(r));
      // A sum that lost something is odd now, and no single equals it.
      s.if(native("f64_eq", promoted(r), odd), () => s.return(r));
    });
    return reference(s, "muladd32", "i32", addend, op1, op2);
  },
};

/** Whether the unbiased exponent lies within ±limit. */
function exponentWithin(bits: Expr, limit: number): Expr {
  const biased = and(wrap(shrU(bits, 52)), 0x7ff);
  return ltU(sub(biased, 1023 - limit), constant("i32", 2 * limit + 1));
}

/** The upper half of a double's significand: 26 bits, so that products of halves are exact (Dekker, Veltkamp). */
function upperHalf(s: HelperBody, x: Expr): Expr {
  const scaled = held(s, native("f64_mul", x, number(F64, 2 ** 27 + 1))).value;
  return held(s, native("f64_sub", scaled, native("f64_sub", scaled, x))).value;
}

/**
 * Product with its error by splitting, two exact additions, and a last one whose first part is rounded to odd. Factors
 * within 2^±400 and an addend within 2^±900 keep every part normal.
 */
const multiplyAddDouble: HelperFunction = {
  params: ["i64", "i64", "i64"],
  result: "i64",
  body: (s) => {
    const [addend, op1, op2] = [0, 1, 2].map((i) => s.param(i).value);
    const c = held(s, asFloat(F64, addend)).value;
    const a = held(s, asFloat(F64, op1)).value;
    const b = held(s, asFloat(F64, op2)).value;
    const mul = (x: Expr, y: Expr) => native("f64_mul", x, y);
    const minus = (x: Expr, y: Expr) => native("f64_sub", x, y);
    const plus = (x: Expr, y: Expr) => native("f64_add", x, y);
    const inRange = and(
      and(exponentWithin(op1, 400), exponentWithin(op2, 400)),
      or(exponentWithin(addend, 900), isZeroNumber(F64, addend)),
    );
    s.if(plainMode(s), () => {
      const high = held(s, mul(a, b)).value;
      s.if(
        inRange,
        () => {
          const ah = upperHalf(s, a);
          const al = held(s, minus(a, ah)).value;
          const bh = upperHalf(s, b);
          const bl = held(s, minus(b, bh)).value;
          const rest = minus(minus(minus(high, mul(ah, bh)), mul(al, bh)), mul(ah, bl));
          const low = held(s, minus(mul(al, bl), rest)).value;
          const t = held(s, plus(c, low)).value;
          const tError = held(s, sumError(s, F64, c, low, t)).value;
          const v = held(s, plus(high, t)).value;
          const vError = held(s, sumError(s, F64, high, t, v)).value;
          const z = held(s, plus(tError, vError)).value;
          const zError = held(s, sumError(s, F64, tError, vError, z)).value;
          const odd = held(s, roundToOdd(s, z, zError)).value;
          const r = held(s, plus(v, odd)).value;
          s.if(inexactKnown(s), () => s.return(asBits(F64, r)));
          // Two additions remain that may have lost something; none of it can cancel.
          const lost = held(s, native("f64_abs", sumError(s, F64, v, odd, r))).value;
          s.if(native("f64_eq", plus(native("f64_abs", zError), lost), number(F64, 0)), () => s.return(asBits(F64, r)));
        },
        () => {
          const zero = or(isZeroNumber(F64, op1), isZeroNumber(F64, op2));
          const r = held(s, asBits(F64, plus(high, c))).value;
          s.if(and(zero, isFiniteNumber(F64, r)), () => s.return(r));
        },
      );
    });
    return reference(s, "muladd64", "i64", addend, op1, op2);
  },
};

/** Left to the reference arithmetic. */
export function leftToReference(f: HostFormat, name: FpOperation, operands: 1 | 2): HelperFunction {
  return {
    params: operands === 1 ? [f.int] : [f.int, f.int],
    result: f.int,
    body: (s) => reference(s, name, f.int, ...Array.from({ length: operands }, (_, i) => s.param(i).value)),
  };
}

function helpersOf(f: HostFormat): HelperTable {
  const out: Record<string, HelperFunction> = {};
  for (const plan of PLANS) out[`f${plan.name}${f.bits}`] = binary(f, plan);
  for (const host of ["max", "min"] as const)
    for (const name of [host, `${host}nm`] as const) out[`f${name}${f.bits}`] = extreme(f, host, name);
  out[`fsqrt${f.bits}`] = squareRoot(f);
  for (const name of ["recps", "rsqrts"] as const) out[`f${name}${f.bits}`] = leftToReference(f, `${name}${f.bits}`, 2);
  for (const name of ["recpe", "rsqrte", "recpx"] as const)
    out[`f${name}${f.bits}`] = leftToReference(f, `${name}${f.bits}`, 1);
  return out;
}

/** By name and format: `fadd32`, `fadd64`, …; `fmuladd64` takes the addend first. */
export const FP_ARITHMETIC_HELPERS: HelperTable = {
  ...helpersOf(F32),
  ...helpersOf(F64),
  fmuladd32: multiplyAddSingle,
  fmuladd64: multiplyAddDouble,
};
