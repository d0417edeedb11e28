/**
 * Fast paths of the arithmetic: the host's own operation where FPCR asks for what the host does and the result shows that
 * nothing special happened. Then the only flag in question is IXC. When it is not set yet, or FPCR rounds otherwise, what
 * the host's rounding lost tells (fp-errors.ts). All else is left to the reference arithmetic; it is also what sets IXC,
 * so that this happens again only after a program clears FPSR.
 */
import type { FpOperation } from "../fp/operations.js";
import { and, type Expr, isZero, or } from "../rows/expr.js";
import { exponentWithin, isModest, residual, returnRounded, sumError } from "./fp-errors.js";
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
  promoted,
  reference,
  returnSpecial,
} from "./fp-nodes.js";
import type { HelperBody, HelperFunction, HelperTable } from "./functions.js";

/** A binary operation, of operands `a` and `b`, the host's result being `r`: all patterns. */
interface Plan {
  readonly host: "add" | "sub" | "mul" | "div";
  readonly name: "add" | "sub" | "mul" | "mulx" | "div";
  /** Whether the host's result to nearest is the manual's, and raises IXC at most. */
  readonly fine: (f: HostFormat, a: Expr, b: Expr, r: Expr) => Expr;
  /** Results that are not well normal, and exact, whatever FPSR says. */
  readonly exact: (s: HelperBody, f: HostFormat, a: Expr, b: Expr, r: Expr) => Expr;
  /** Where `error` can be told of well normal results. */
  readonly known: (f: HostFormat, a: Expr, b: Expr, r: Expr) => Expr;
  /** The exact value less the result, or a number of its sign: in double, or in the format for sums. */
  readonly error: (s: HelperBody, f: HostFormat, a: Expr, b: Expr, r: Expr) => Expr;
}

/** A denormal sum is exact, so any finite result will do. The sign of a zero depends on the rounding. */
const sum = {
  fine: (f, _a, _b, r) => isFiniteNumber(f, r),
  exact: (s, f, a, b, r) => and(hostRounds(s, f, [a, b], r), and(isFiniteNumber(f, r), isZero(isWellNormal(f, r)))),
  known: (f, a, b, r) => and(and(isModest(f, a), isModest(f, b)), isModest(f, r)),
} satisfies Partial<Plan>;

const sumErrorOf =
  (negate: boolean): Plan["error"] =>
  (s, f, a, b, r) => {
    const second = negate ? floating(f, "neg", asFloat(f, b)) : asFloat(f, b);
    return sumError(s, operationsOf(f), asFloat(f, a), second, asFloat(f, r));
  };

const DOUBLE_LIMIT = 400;
/** Singles are doubles far from the ends; doubles must be. */
const withinDouble = (f: HostFormat, patterns: readonly Expr[]): Expr =>
  f === F32
    ? isModest(f, patterns[patterns.length - 1]!)
    : patterns.map((bits) => exponentWithin(bits, DOUBLE_LIMIT)).reduce((all, one) => and(all, one));
const asDouble = (f: HostFormat, bits: Expr): Expr => (f === F32 ? promoted(bits) : asFloat(f, bits));
/** value - x * y: of singles' products, which are exact in double, or of doubles. */
const difference = (s: HelperBody, f: HostFormat, value: Expr, x: Expr, y: Expr): Expr =>
  f === F32 ? native("f64_sub", value, native("f64_mul", x, y)) : residual(s, value, x, y);

const product = {
  fine: (f, a, b, r) => or(isWellNormal(f, r), and(isZeroNumber(f, r), or(isZeroNumber(f, a), isZeroNumber(f, b)))),
  exact: (s, f, a, b, r) =>
    and(hostReads(s, f, [a, b]), and(isZeroNumber(f, r), or(isZeroNumber(f, a), isZeroNumber(f, b)))),
  known: (f, a, b, r) => withinDouble(f, [a, b, r]),
  error: (s, f, a, b, r) => native("f64_neg", difference(s, f, asDouble(f, r), asDouble(f, a), asDouble(f, b))),
} satisfies Partial<Plan>;

const quotient = {
  fine: (f, a, _b, r) => or(isWellNormal(f, r), and(isZeroNumber(f, r), isZeroNumber(f, a))),
  exact: (s, f, a, b, r) => and(hostReads(s, f, [a, b]), and(isZeroNumber(f, r), isZeroNumber(f, a))),
  known: (f, a, b, r) => withinDouble(f, [a, b, r]),
  // What is left of the dividend has the error's sign, or its opposite when the divisor is negative.
  error: (s, f, a, b, r) => {
    const left = difference(s, f, asDouble(f, a), asDouble(f, r), asDouble(f, b));
    return native("f64_mul", left, native("f64_copysign", number(F64, 1), asDouble(f, b)));
  },
} satisfies Partial<Plan>;

const PLANS: readonly Plan[] = [
  { host: "add", name: "add", ...sum, error: sumErrorOf(false) },
  { host: "sub", name: "sub", ...sum, error: sumErrorOf(true) },
  { host: "mul", name: "mul", ...product },
  { host: "mul", name: "mulx", ...product },
  { host: "div", name: "div", ...quotient },
];

function binary(f: HostFormat, plan: Plan): HelperFunction {
  const { host, name, fine, exact, known, error } = plan;
  const errorFormat = host === "add" || host === "sub" ? f : F64;
  return {
    params: [f.int, f.int],
    result: f.int,
    body: (s) => {
      const a = s.param(0).value;
      const b = s.param(1).value;
      const r = held(s, asBits(f, floating(f, host, asFloat(f, a), asFloat(f, b)))).value;
      s.if(and(hostRounds(s, f, [a, b], r), fine(f, a, b, r)), () => s.if(inexactKnown(s), () => s.return(r)));
      s.if(exact(s, f, a, b, r), () => s.return(r));
      s.if(and(and(isWellNormal(f, r), known(f, a, b, r)), hostReads(s, f, [a, b])), () =>
        returnRounded(s, f, r, error(s, f, a, b, r), errorFormat),
      );
      returnSpecial(s, f, [a, b], r);
      return reference(s, `${name}${f.bits}`, f.int, a, b);
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
    s.if(and(hostRounds(s, f, [a], r), isFiniteNumber(f, r)), () => s.if(inexactKnown(s), () => s.return(r)));
    s.if(isZeroNumber(f, a), () => s.return(r));
    s.if(and(and(isWellNormal(f, r), withinDouble(f, [a, r])), hostReads(s, f, [a])), () =>
      returnRounded(s, f, r, difference(s, f, asDouble(f, a), asDouble(f, r), asDouble(f, r)), F64),
    );
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
