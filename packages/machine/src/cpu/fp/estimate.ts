/**
 * Estimates of reciprocals and reciprocal square roots. DDI 0487, "FPRecipEstimate", "FPRSqrtEstimate", "FPRecpX",
 * "UnsignedRecipEstimate", "UnsignedRSqrtEstimate". Without FEAT_RPRES.
 */
import { type Environment, FPSR, Rounding } from "./environment.js";
import {
  bitLength,
  type Format,
  infinity,
  invalid,
  isNan,
  maxNormal,
  processNaN,
  signOf,
  unpack,
  zero,
} from "./format.js";

/** 0.5 <= a / 512 < 1 to the estimate of 1 / (a / 512), in 256ths. */
function recipEstimate(a: number): number {
  const quotient = Math.floor(2 ** 19 / (a * 2 + 1));
  return (quotient + 1) >> 1;
}

/** 0.25 <= a / 512 < 1 to the estimate of 1 / sqrt(a / 512), in 256ths. */
function rsqrtEstimate(a: number): number {
  const scaled = a < 256 ? a * 2 + 1 : ((a & ~1) + 1) * 2;
  let b = 512;
  while (scaled * (b + 1) * (b + 1) < 2 ** 28) b++;
  return (b + 1) >> 1;
}

/** Single and double differ in the exponent alone: the estimate has eight fraction bits. */
export function recip(env: Environment, f: Format, op: bigint): bigint {
  const a = unpack(env, f, op);
  if (isNan(a)) return processNaN(env, f, a, op);
  if (a.kind === "infinity") return zero(f, a.sign);
  if (a.kind === "zero") {
    env.raise(FPSR.DZC);
    return infinity(f, a.sign);
  }
  const length = bitLength(a.significand);
  const top = length - 1 + a.exponent;
  const bias = 1 - f.minExponent;
  if (top < f.minExponent - 2) {
    const toInfinity =
      env.rounding === Rounding.TIE_EVEN ||
      (env.rounding === Rounding.POSITIVE_INFINITY && !a.sign) ||
      (env.rounding === Rounding.NEGATIVE_INFINITY && a.sign);
    env.raise(FPSR.OFC | FPSR.IXC);
    return toInfinity ? infinity(f, a.sign) : maxNormal(f, a.sign);
  }
  if (env.flushToZero && top >= bias - 1) {
    env.raise(FPSR.UFC);
    return zero(f, a.sign);
  }
  const eight = Number(((a.significand << 9n) >> BigInt(length)) & 0xffn);
  const estimate = BigInt(recipEstimate(256 + eight) & 0xff);
  // 1/x of 2^top * 1.f is 2^(-top - 1) * 1.estimate; the last two exponents give denormals.
  const exponent = bias - 1 - top;
  const fraction = estimate << (f.fraction - 8n);
  const implicit = 1n << f.fraction;
  if (exponent > 0) return signOf(f, a.sign) | (BigInt(exponent) << f.fraction) | fraction;
  return signOf(f, a.sign) | ((implicit | fraction) >> BigInt(1 - exponent));
}

export function rsqrt(env: Environment, f: Format, op: bigint): bigint {
  const a = unpack(env, f, op);
  if (isNan(a)) return processNaN(env, f, a, op);
  if (a.kind === "zero") {
    env.raise(FPSR.DZC);
    return infinity(f, a.sign);
  }
  if (a.sign) return invalid(env, f);
  if (a.kind === "infinity") return zero(f, false);
  const length = bitLength(a.significand);
  const top = length - 1 + a.exponent;
  const bias = 1 - f.minExponent;
  const nine = Number((a.significand << 9n) >> BigInt(length));
  const even = ((top + bias) & 1) === 0;
  const estimate = BigInt(rsqrtEstimate(even ? nine : nine >> 1) & 0xff);
  const exponent = (3 * bias - 1 - (top + bias)) >> 1;
  return (BigInt(exponent) << f.fraction) | (estimate << (f.fraction - 8n));
}

/** FRECPX: the exponent inverted, the fraction zero. */
export function recipExponent(env: Environment, f: Format, op: bigint): bigint {
  const a = unpack(env, f, op);
  if (isNan(a)) return processNaN(env, f, a, op);
  const exponent = (op >> f.fraction) & f.specialExponent;
  const inverted = exponent === 0n ? f.specialExponent - 1n : f.specialExponent - exponent;
  return signOf(f, a.sign) | (inverted << f.fraction);
}

/** URECPE. Takes and returns an unsigned 32-bit number. */
export function unsignedRecip(op: bigint): bigint {
  if (op < 0x8000_0000n) return 0xffff_ffffn;
  return BigInt(recipEstimate(Number(op >> 23n))) << 23n;
}

/** URSQRTE. */
export function unsignedRsqrt(op: bigint): bigint {
  if (op < 0x4000_0000n) return 0xffff_ffffn;
  return BigInt(rsqrtEstimate(Number(op >> 23n))) << 23n;
}
