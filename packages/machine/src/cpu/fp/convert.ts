/**
 * Conversions between formats, to and from integers and fixed point, and to integral values. DDI 0487, "FPConvert",
 * "FPToFixed", "FixedToFP", "FPRoundInt".
 */
import { type Environment, FPSR, Rounding } from "./environment.js";
import {
  type Format,
  HALF,
  infinity,
  isNan,
  processNaN,
  round,
  roundMagnitude,
  signOf,
  unpack,
  zero,
} from "./format.js";

/** The top bits of a NaN's fraction in another format, quiet. DDI 0487, "FPConvertNaN". */
function convertNaN(from: Format, to: Format, bits: bigint): bigint {
  const fraction = bits & from.fractionMask;
  const widened =
    from.fraction >= to.fraction
      ? fraction >> (from.fraction - to.fraction)
      : fraction << (to.fraction - from.fraction);
  return signOf(to, (bits & from.signBit) !== 0n) | to.infinity | to.quietBit | widened;
}

export function convert(env: Environment, from: Format, to: Format, op: bigint, rounding = env.rounding): bigint {
  const a = unpack(env, from, op);
  const alternative = to === HALF && env.alternativeHalf;
  if (isNan(a)) {
    if (a.kind === "signalling" || alternative) env.raise(FPSR.IOC);
    if (alternative) return zero(to, a.sign);
    return env.defaultNaN ? to.defaultNaN : convertNaN(from, to, op);
  }
  if (a.kind === "infinity") {
    if (!alternative) return infinity(to, a.sign);
    env.raise(FPSR.IOC);
    return signOf(to, a.sign) | (to.signBit - 1n);
  }
  if (a.kind === "zero") return zero(to, a.sign);
  return round(env, to, a, rounding);
}

/** To an integer of `bits` bits with `fraction` of them below the point; saturates. */
export function toFixed(
  env: Environment,
  f: Format,
  op: bigint,
  target: { readonly bits: number; readonly unsigned: boolean; readonly fraction: number; readonly rounding: number },
): bigint {
  const { bits, unsigned, fraction, rounding } = target;
  const a = unpack(env, f, op);
  if (isNan(a)) {
    env.raise(FPSR.IOC);
    return 0n;
  }
  const most = (1n << BigInt(unsigned ? bits : bits - 1)) - 1n;
  const least = unsigned ? 0n : -most - 1n;
  // Shifting left by more than this cannot but saturate.
  const { magnitude, inexact } =
    a.kind === "infinity"
      ? { magnitude: 1n << 70n, inexact: false }
      : roundMagnitude(a, -Math.min(a.exponent + fraction, 70), rounding);
  const value = a.sign ? -magnitude : magnitude;
  const saturated = value > most ? most : value < least ? least : value;
  if (saturated !== value) env.raise(FPSR.IOC);
  else if (inexact) env.raise(FPSR.IXC);
  return BigInt.asUintN(bits, saturated);
}

/** From an integer with `fraction` bits below the point. */
export function fromFixed(env: Environment, f: Format, value: bigint, fraction: number): bigint {
  if (value === 0n) return 0n;
  const sign = value < 0n;
  return round(env, f, { sign, significand: sign ? -value : value, exponent: -fraction });
}

/** To an integral value of the same format. `exact`: FRINTX, which raises IXC. */
export function roundToIntegral(env: Environment, f: Format, op: bigint, rounding: number, exact: boolean): bigint {
  const a = unpack(env, f, op);
  if (isNan(a)) return processNaN(env, f, a, op);
  if (a.kind === "infinity") return infinity(f, a.sign);
  if (a.kind === "zero") return zero(f, a.sign);
  if (a.exponent >= 0) return op;
  const { magnitude, inexact } = roundMagnitude(a, -a.exponent, rounding);
  if (inexact && exact) env.raise(FPSR.IXC);
  if (magnitude === 0n) return zero(f, a.sign);
  return round(env, f, { sign: a.sign, significand: magnitude, exponent: 0 }, Rounding.ZERO);
}
