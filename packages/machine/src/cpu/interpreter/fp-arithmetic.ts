/**
 * Fast paths of the arithmetic: the host's own operation where FPCR asks for what the host does and the result shows that
 * nothing special happened. Then the only flag in question is IXC: when it is not set yet, the operation is shown to be
 * exact, or left to the reference arithmetic, which sets it. So it is asked again only after a program clears FPSR.
 */
import type { FpOperation } from "../fp/operations.js";
import { and, type Expr, or } from "../rows/expr.js";
import {
  asBits,
  asFloat,
  F32,
  F64,
  floating,
  type HostFormat,
  held,
  hostReads,
  hostRounds,
  inexactKnown,
  isFiniteNumber,
  isWellNormal,
  isZeroNumber,
  native,
  number,
  operationsOf,
  productIsShort,
  promoted,
  reference,
  returnSpecial,
  sumError,
} from "./fp-nodes.js";
import type { HelperBody, HelperFunction, HelperTable } from "./functions.js";

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
    return floating(f, "eq", sumError(s, operationsOf(f), asFloat(f, a), second, asFloat(f, r)), number(f, 0));
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
      s.if(and(hostRounds(s, f, [a, b], r), plan.fine(s, f, a, b, r)), () => {
        s.if(inexactKnown(s), () => s.return(r));
        s.if(plan.exact(s, f, a, b, r), () => s.return(r));
      });
      returnSpecial(s, f, [a, b], r);
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
    s.if(and(hostRounds(s, f, [a], r), isFiniteNumber(f, r)), () => {
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
    s.if(and(hostReads(s, f, [a, b]), floating(f, "eq", r, r)), () => s.return(asBits(f, r)));
    return reference(s, `${name}${f.bits}`, f.int, a, b);
  },
});

/** Left to the reference arithmetic. */
export const leftToReference = (f: HostFormat, name: FpOperation): HelperFunction => ({
  params: [f.int],
  result: f.int,
  body: (s) => reference(s, name, f.int, s.param(0).value),
});

function helpersOf(f: HostFormat): HelperTable {
  const out: Record<string, HelperFunction> = {};
  for (const plan of PLANS) out[`f${plan.name}${f.bits}`] = binary(f, plan);
  for (const host of ["max", "min"] as const)
    for (const name of [host, `${host}nm`] as const) out[`f${name}${f.bits}`] = extreme(f, host, name);
  out[`fsqrt${f.bits}`] = squareRoot(f);
  out[`frecpx${f.bits}`] = leftToReference(f, `recpx${f.bits}`);
  return out;
}

/** By name and format: `fadd32`, `fadd64`, … */
export const FP_ARITHMETIC_HELPERS: HelperTable = { ...helpersOf(F32), ...helpersOf(F64) };
