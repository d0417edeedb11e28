/**
 * Half precision: conversions from it and to it, the usual numbers by moving bits. In the range of normal halves the IEEE
 * format and the alternative one agree.
 */
import { add, and, choose, constant, type Expr, isZero, ltU, or, shl, shrU, sub, wrap } from "../rows/expr.js";
import {
  asBits,
  asFloat,
  F32,
  F64,
  floating,
  type HostFormat,
  held,
  inexactKnown,
  isZeroNumber,
  magnitudeOf,
  native,
  number,
  reference,
  toNearest,
} from "./fp-nodes.js";
import type { HelperFunction, HelperTable } from "./functions.js";

const HALF_FRACTION = 10;
const HALF_SIGN = 0x8000;
/** The patterns of the smallest normal half, and of the first that is special in the IEEE format. */
const HALF_NORMAL = 1 << HALF_FRACTION;
const HALF_SPECIAL = 0x1f << HALF_FRACTION;
const HALF_BIAS = 15;

/** Exact. Denormal halves are not flushed, and are normal in single. */
function fromHalf(to: HostFormat): HelperFunction {
  return {
    params: ["i32"],
    result: to.int,
    body: (s) => {
      const a = s.param(0).value;
      const magnitude = held(s, and(a, HALF_SIGN - 1)).value;
      const rebias = (127 - HALF_BIAS) << F32.fraction;
      const normal = add(shl(magnitude, F32.fraction - HALF_FRACTION), rebias);
      const denormal = asBits(F32, floating(F32, "mul", native("f32_convert_i32_u", magnitude), number(F32, 2 ** -24)));
      const bits = choose(ltU(magnitude, HALF_NORMAL), denormal, normal);
      const single = or(bits, shl(and(a, HALF_SIGN), 16));
      const result = to === F32 ? single : asBits(F64, native("f64_promote_f32", asFloat(F32, single)));
      s.if(ltU(magnitude, HALF_SPECIAL), () => s.return(result));
      return reference(s, to === F32 ? "cvt16to32" : "cvt16to64", to.int, a);
    },
  };
}

/** To nearest, ties to even: half of the dropped unit, less one, and the last bit that stays, carry into it. */
function toHalf(from: HostFormat): HelperFunction {
  const { fraction, int } = from;
  const dropped = BigInt(fraction - HALF_FRACTION);
  const bias = BigInt(from.bits === 64 ? 1023 : 127);
  const k = (value: bigint): Expr => constant(int, value);
  const narrowed = (value: Expr): Expr => (int === "i64" ? wrap(value) : value);
  // 2^-14, the smallest normal half; 65520, from which on the result is no finite half.
  const least = (bias - 14n) << BigInt(fraction);
  const above = ((bias + 15n) << BigInt(fraction)) + (((1n << 11n) - 1n) << (dropped - 1n));
  return {
    params: [int],
    result: "i32",
    body: (s) => {
      const a = s.param(0).value;
      const magnitude = held(s, magnitudeOf(from, a)).value;
      const sign = narrowed(and(shrU(a, from.bits - 16), k(BigInt(HALF_SIGN))));
      const last = and(shrU(magnitude, k(dropped)), k(1n));
      const carried = add(add(magnitude, k((1n << (dropped - 1n)) - 1n)), last);
      const rebias = Number(bias - BigInt(HALF_BIAS)) << HALF_FRACTION;
      const result = or(sub(narrowed(shrU(carried, k(dropped))), rebias), sign);
      const exact = isZero(and(magnitude, k((1n << dropped) - 1n)));
      s.if(isZeroNumber(from, a), () => s.return(sign));
      const inRange = ltU(sub(magnitude, k(least)), k(above - least));
      s.if(and(and(toNearest(s), inRange), or(inexactKnown(s), exact)), () => s.return(result));
      return reference(s, from === F64 ? "cvt64to16" : "cvt32to16", "i32", a);
    },
  };
}

/** Halves are i32. */
export const FP_HALF_HELPERS: HelperTable = {
  fcvt16to32: fromHalf(F32),
  fcvt16to64: fromHalf(F64),
  fcvt32to16: toHalf(F32),
  fcvt64to16: toHalf(F64),
};
