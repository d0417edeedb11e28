/**
 * Fast paths of comparisons, of rounding to integral values, and of conversions between formats and integers. As in
 * fp-arithmetic.ts, what the host does otherwise is left to the reference arithmetic.
 */
import { FPCR, Rounding } from "../fp/environment.js";
import { Control } from "../fp/operations.js";
import {
  and,
  choose,
  type Expr,
  eq,
  type IntType,
  i32,
  i64,
  isZero,
  or,
  select,
  shrU,
  sub,
  wrap,
  zext,
} from "../rows/expr.js";
import type { Op } from "../wasm/code.js";
import { leftToReference } from "./fp-arithmetic.js";
import { isModest, returnRounded } from "./fp-errors.js";
import {
  asBits,
  asFloat,
  F32,
  F64,
  floating,
  type HostFormat,
  held,
  hostReads,
  inexactKnown,
  isSignalling,
  isWellNormal,
  isZeroNumber,
  native,
  number,
  promoted,
  reference,
  toNearest,
} from "./fp-nodes.js";
import type { HelperFunction, HelperTable } from "./functions.js";

/** NZCV in bits 31:28. */
const compare = (f: HostFormat, name: "cmp" | "cmpe"): HelperFunction => ({
  params: [f.int, f.int],
  result: "i32",
  body: (s) => {
    const [a, b] = [0, 1].map((i) => s.param(i).value);
    const is = (op: string) => floating(f, op, asFloat(f, a), asFloat(f, b));
    s.if(hostReads(s, f, [a, b]), () => {
      s.if(is("lt"), () => s.return(i32(0x8000_0000)));
      s.if(is("gt"), () => s.return(i32(0x2000_0000)));
      s.if(is("eq"), () => s.return(i32(0x6000_0000)));
      const silent = isZero(or(isSignalling(f, a), isSignalling(f, b)));
      if (name === "cmp") s.if(silent, () => s.return(i32(0x3000_0000)));
    });
    const flags = reference(s, `${name}${f.bits}`, "i64", a, b);
    return wrap(flags);
  },
});

/** All ones or zero. NaNs are left, because they may raise IOC. */
const predicate = (f: HostFormat, name: "cmeq" | "cmge" | "cmgt" | "acge" | "acgt"): HelperFunction => ({
  params: [f.int, f.int],
  result: f.int,
  body: (s) => {
    const [a, b] = [0, 1].map((i) => s.param(i).value);
    const operand = (bits: Expr) => asFloat(f, name.startsWith("ac") ? and(bits, f.magnitude) : bits);
    const is = (op: string) => floating(f, op, operand(a), operand(b));
    const ordered = and(floating(f, "eq", operand(a), operand(a)), floating(f, "eq", operand(b), operand(b)));
    s.if(and(hostReads(s, f, [a, b]), ordered), () => {
      const truth = sub(0, is(name.slice(2)));
      s.return(f.bits === 64 ? { op: "sext", type: "i64", arg: truth } : truth);
    });
    return reference(s, `${name}${f.bits}`, f.int, a, b);
  },
});

/** The first four in FPCR.RMode's order. */
const ROUNDINGS = [
  { letter: "n", host: "nearest", rounding: Rounding.TIE_EVEN },
  { letter: "p", host: "ceil", rounding: Rounding.POSITIVE_INFINITY },
  { letter: "m", host: "floor", rounding: Rounding.NEGATIVE_INFINITY },
  { letter: "z", host: "trunc", rounding: Rounding.ZERO },
  { letter: "a", host: undefined, rounding: Rounding.TIE_AWAY },
] as const;

/** To an integral number; the sign of a zero is the operand's. Ties away is not the host's. */
function integral(f: HostFormat, host: (typeof ROUNDINGS)[number]["host"], x: Expr): Expr {
  if (host) return floating(f, host, x);
  const truncated = floating(f, "trunc", x);
  const atLeastHalf = floating(f, "ge", floating(f, "abs", floating(f, "sub", x, truncated)), number(f, 0.5));
  const away = floating(f, "add", truncated, floating(f, "copysign", number(f, 1), x));
  return choose(atLeastHalf, away, truncated);
}

/** FRINTN, FRINTP, FRINTM, FRINTZ, FRINTA. */
const roundIntegral = (f: HostFormat, { host, rounding }: (typeof ROUNDINGS)[number]): HelperFunction => ({
  params: [f.int],
  result: f.int,
  body: (s) => {
    const a = s.param(0).value;
    const r = held(s, integral(f, host, asFloat(f, a))).value;
    s.if(and(hostReads(s, f, [a]), floating(f, "eq", r, r)), () => s.return(asBits(f, r)));
    return reference(s, `rint${f.bits}`, f.int, a, i32(rounding));
  },
});

/** FRINTI and FRINTX: FPCR's rounding. */
const roundByFpcr = (f: HostFormat, exact: boolean): HelperFunction => ({
  params: [f.int],
  result: f.int,
  body: (s) => {
    const a = s.param(0).value;
    const x = asFloat(f, a);
    const mode = held(s, and(shrU(s.load("FPCR"), FPCR.RMODE_SHIFT), 3)).value;
    const by = ROUNDINGS.slice(0, 4).map(({ host }) => integral(f, host, x));
    const last = by.length - 1;
    const r = held(
      s,
      by.reduceRight((others, one, i) => (i === last ? one : choose(eq(mode, i), one, others))),
    ).value;
    const silent = exact
      ? or(floating(f, "eq", r, x), and(inexactKnown(s), floating(f, "eq", r, r)))
      : floating(f, "eq", r, r);
    s.if(and(hostReads(s, f, [a]), silent), () => s.return(asBits(f, r)));
    return reference(s, `rint${f.bits}`, f.int, a, i32(Control.BY_FPCR | (exact ? Control.EXACT : 0)));
  },
});

interface Target {
  readonly unsigned: boolean;
  readonly int: IntType;
}

/** To an integer. What does not fit, NaNs among it, raises IOC: left. */
const toInteger = (f: HostFormat, { host, rounding }: (typeof ROUNDINGS)[number], target: Target): HelperFunction => ({
  params: [f.int],
  result: target.int,
  body: (s) => {
    const { unsigned, int } = target;
    const a = s.param(0).value;
    const r = held(s, integral(f, host, asFloat(f, a))).value;
    const bits = int === "i64" ? 64 : 32;
    const least = unsigned ? 0 : -(2 ** (bits - 1));
    const fits = and(
      floating(f, "ge", r, number(f, least)),
      floating(f, "lt", r, number(f, unsigned ? 2 ** bits : 2 ** (bits - 1))),
    );
    s.if(and(hostReads(s, f, [a]), fits), () => {
      s.if(or(inexactKnown(s), floating(f, "eq", r, asFloat(f, a))), () =>
        s.return(native(`${int}_trunc_${f.float}_${unsigned ? "u" : "s"}` as keyof typeof Op, r)),
      );
    });
    const control = rounding | (unsigned ? Control.UNSIGNED : 0) | (int === "i64" ? Control.WIDE : 0);
    return reference(s, `tofixed${f.bits}`, int, a, i32(control));
  },
});

/** From an integer. */
const fromInteger = (f: HostFormat, { unsigned, int }: Target): HelperFunction => ({
  params: [int],
  result: f.int,
  body: (s) => {
    const a = s.param(0).value;
    const r = asBits(f, native(`${f.float}_convert_${int}_${unsigned ? "u" : "s"}` as keyof typeof Op, a));
    // A double holds every 32-bit integer: no rounding, whatever the mode.
    if (f === F64 && int === "i32") return r;
    s.if(and(toNearest(s), inexactKnown(s)), () => s.return(r));
    const wide = int === "i64" ? a : unsigned ? zext(a) : ({ op: "sext", type: "i64", arg: a } as const);
    const magnitude = unsigned ? wide : select(native("i64_lt_s", wide, i64(0)), sub(0, wide), wide);
    const v = held(s, magnitude).value;
    const length = sub(sub(64, native("i64_clz", v)), native("i64_ctz", v));
    const exact = or(isZero(v), native("i64_le_s", length, i64(f.fraction + 1)));
    s.if(exact, () => s.return(r));
    const control = (unsigned ? Control.UNSIGNED : 0) | (int === "i64" ? Control.WIDE : 0);
    return reference(s, `fromfixed${f.bits}`, f.int, a, i32(control));
  },
});

/** With fraction bits, by a `Control` that an instruction computes. */
const fixedPoint = (f: HostFormat, to: "tofixed" | "fromfixed"): HelperFunction => ({
  params: ["i64", "i32"],
  result: "i64",
  body: (s) => reference(s, `${to}${f.bits}`, "i64", s.param(0).value, s.param(1).value),
});

const widen: HelperFunction = {
  params: ["i32"],
  result: "i64",
  body: (s) => {
    const a = s.param(0).value;
    const r = held(s, native("f64_promote_f32", asFloat(F32, a))).value;
    s.if(and(hostReads(s, F32, [a]), native("f64_eq", r, r)), () => s.return(asBits(F64, r)));
    return reference(s, "cvt32to64", "i64", a);
  },
};

const narrow: HelperFunction = {
  params: ["i64"],
  result: "i32",
  body: (s) => {
    const a = s.param(0).value;
    const r = held(s, asBits(F32, native("f32_demote_f64", asFloat(F64, a)))).value;
    s.if(and(toNearest(s), isWellNormal(F32, r)), () => s.if(inexactKnown(s), () => s.return(r)));
    s.if(isZeroNumber(F64, a), () => s.return(r));
    s.if(and(isWellNormal(F32, r), isModest(F32, r)), () =>
      returnRounded(s, F32, r, native("f64_sub", asFloat(F64, a), promoted(r)), F64),
    );
    return reference(s, "cvt64to32", "i32", a);
  },
};

/** FCVTXN. */
const narrowToOdd: HelperFunction = {
  params: ["i64"],
  result: "i32",
  body: (s) => reference(s, "cvtxn64to32", "i32", s.param(0).value),
};

/** How a conversion to integers is named: `fcvtzs64to32` is FCVTZS of a double to 32 bits. */
function helpersOf(f: HostFormat): HelperTable {
  const out: Record<string, HelperFunction> = {};
  for (const name of ["cmp", "cmpe"] as const) out[`f${name}${f.bits}`] = compare(f, name);
  for (const name of ["cmeq", "cmge", "cmgt", "acge", "acgt"] as const) out[`f${name}${f.bits}`] = predicate(f, name);
  for (const rounding of ROUNDINGS) out[`frint${rounding.letter}${f.bits}`] = roundIntegral(f, rounding);
  out[`frinti${f.bits}`] = roundByFpcr(f, false);
  out[`frintx${f.bits}`] = roundByFpcr(f, true);
  for (const unsigned of [false, true])
    for (const int of ["i32", "i64"] as const) {
      const width = int.slice(1);
      const letter = unsigned ? "u" : "s";
      for (const rounding of ROUNDINGS)
        out[`fcvt${rounding.letter}${letter}${f.bits}to${width}`] = toInteger(f, rounding, { unsigned, int });
      out[`${letter}cvtf${width}to${f.bits}`] = fromInteger(f, { unsigned, int });
    }
  out[`ftofixed${f.bits}`] = fixedPoint(f, "tofixed");
  out[`ffromfixed${f.bits}`] = fixedPoint(f, "fromfixed");
  return out;
}

export const FP_CONVERSION_HELPERS: HelperTable = {
  ...helpersOf(F32),
  ...helpersOf(F64),
  fcvt32to64: widen,
  fcvt64to32: narrow,
  fcvtxn64to32: narrowToOdd,
  urecpe: leftToReference(F32, "urecpe"),
  ursqrte: leftToReference(F32, "ursqrte"),
};
