/**
 * The formats: how bit patterns are taken apart and made. A finite number is sign, significand and exponent as integers,
 * so that arithmetic on them is exact. DDI 0487, "FPUnpack", "FPRound" and the functions around them.
 */
import { type Environment, FPSR, Rounding } from "./environment.js";

export interface Format {
  readonly bits: bigint;
  /** Fraction bits. */
  readonly fraction: bigint;
  /** Biased exponent of infinities and NaNs. */
  readonly specialExponent: bigint;
  /** Unbiased exponent of the smallest normal number. */
  readonly minExponent: number;
  readonly signBit: bigint;
  readonly fractionMask: bigint;
  /** The fraction's top bit: set in quiet NaNs. */
  readonly quietBit: bigint;
  readonly infinity: bigint;
  readonly maxNormal: bigint;
  readonly defaultNaN: bigint;
  /** FPCR.FZ is for single and double. */
  readonly flushes: boolean;
}

function format(bits: number, fraction: number): Format {
  const exponentBits = bits - fraction - 1;
  const f = BigInt(fraction);
  const specialExponent = (1n << BigInt(exponentBits)) - 1n;
  const infinity = specialExponent << f;
  const quietBit = 1n << (f - 1n);
  return {
    bits: BigInt(bits),
    fraction: f,
    specialExponent,
    minExponent: 2 - 2 ** (exponentBits - 1),
    signBit: 1n << BigInt(bits - 1),
    fractionMask: (1n << f) - 1n,
    quietBit,
    infinity,
    maxNormal: infinity - 1n,
    defaultNaN: infinity | quietBit,
    flushes: bits !== 16,
  };
}

export const HALF = format(16, 10);
export const SINGLE = format(32, 23);
export const DOUBLE = format(64, 52);

export type Kind = "finite" | "zero" | "infinity" | "quiet" | "signalling";

/** What a bit pattern is. Finite and not zero: (-1)^sign * significand * 2^exponent. */
export interface Unpacked {
  readonly kind: Kind;
  readonly sign: boolean;
  readonly significand: bigint;
  readonly exponent: number;
}

/** Takes a pattern apart; denormals are flushed, and IDC raised, as FPCR.FZ says. DDI 0487, "FPUnpack", "FPUnpackCV". */
export function unpack(env: Environment, f: Format, bits: bigint): Unpacked {
  const sign = (bits & f.signBit) !== 0n;
  const fraction = bits & f.fractionMask;
  const biased = (bits >> f.fraction) & f.specialExponent;
  if (biased === 0n) {
    const exponent = f.minExponent - Number(f.fraction);
    if (fraction === 0n) return { kind: "zero", sign, significand: 0n, exponent };
    if (env.flushToZero && f.flushes) {
      env.raise(FPSR.IDC);
      return { kind: "zero", sign, significand: 0n, exponent };
    }
    return { kind: "finite", sign, significand: fraction, exponent };
  }
  if (biased === f.specialExponent && !(f === HALF && env.alternativeHalf)) {
    if (fraction === 0n) return { kind: "infinity", sign, significand: 0n, exponent: 0 };
    return { kind: (bits & f.quietBit) !== 0n ? "quiet" : "signalling", sign, significand: fraction, exponent: 0 };
  }
  const exponent = Number(biased) - 1 + f.minExponent - Number(f.fraction);
  return { kind: "finite", sign, significand: fraction | (1n << f.fraction), exponent };
}

export const isNan = ({ kind }: Unpacked): boolean => kind === "quiet" || kind === "signalling";

export const signOf = (f: Format, sign: boolean): bigint => (sign ? f.signBit : 0n);
export const zero = signOf;
export const infinity = (f: Format, sign: boolean): bigint => signOf(f, sign) | f.infinity;
export const maxNormal = (f: Format, sign: boolean): bigint => signOf(f, sign) | f.maxNormal;
/** 2^exponent. */
export const powerOfTwo = (f: Format, sign: boolean, exponent: number): bigint =>
  signOf(f, sign) | (BigInt(exponent - f.minExponent + 1) << f.fraction);

export const negate = (f: Format, bits: bigint): bigint => bits ^ f.signBit;
export const absolute = (f: Format, bits: bigint): bigint => bits & ~f.signBit;

/** Number of significant bits of a positive integer. */
export function bitLength(value: bigint): number {
  const digits = value.toString(16);
  return digits.length * 4 - Math.clz32(Number.parseInt(digits[0], 16)) + 28;
}

/** A real number: (-1)^sign * (significand + something below 1 if `sticky`) * 2^exponent, not zero. */
export interface Real {
  readonly sign: boolean;
  readonly significand: bigint;
  readonly exponent: number;
  readonly sticky?: boolean;
}

/** Whether the magnitude goes up to the next integer, given what lies below: compared with a half, and the last bit. */
function roundsUp(rounding: number, sign: boolean, odd: boolean, inexact: boolean, half: number): boolean {
  switch (rounding) {
    case Rounding.TIE_EVEN:
      return half > 0 || (half === 0 && odd);
    case Rounding.POSITIVE_INFINITY:
      return inexact && !sign;
    case Rounding.NEGATIVE_INFINITY:
      return inexact && sign;
    case Rounding.TIE_AWAY:
      return half >= 0;
    default:
      return false;
  }
}

/** Integer magnitude nearest to significand * 2^-drop, and whether that changed the value. */
export function roundMagnitude(
  { sign, significand, sticky = false }: Real,
  drop: number,
  rounding: number,
): { readonly magnitude: bigint; readonly inexact: boolean } {
  if (drop <= 0) return { magnitude: significand << BigInt(-drop), inexact: false };
  const shift = BigInt(drop);
  const magnitude = significand >> shift;
  const below = significand & ((1n << shift) - 1n);
  const inexact = sticky || below !== 0n;
  if (!inexact) return { magnitude, inexact };
  const halfway = 1n << (shift - 1n);
  const half = below > halfway ? 1 : below < halfway ? -1 : sticky ? 1 : 0;
  const odd = (magnitude & 1n) !== 0n;
  if (rounding === Rounding.ODD) return { magnitude: magnitude | 1n, inexact };
  return { magnitude: magnitude + (roundsUp(rounding, sign, odd, inexact, half) ? 1n : 0n), inexact };
}

/**
 * Rounds to the format and raises what follows from it. Tininess is detected before rounding. A sticky number has at
 * least two bits more than the format keeps. DDI 0487, "FPRound", "FPRoundCV".
 */
export function round(env: Environment, f: Format, real: Real, rounding = env.rounding): bigint {
  const { sign, significand, exponent } = real;
  const top = bitLength(significand) - 1 + exponent;
  const denormal = top < f.minExponent;
  if (denormal && env.flushToZero && f.flushes) {
    env.raise(FPSR.UFC);
    return zero(f, sign);
  }
  const unit = (denormal ? f.minExponent : top) - Number(f.fraction);
  const { magnitude, inexact } = roundMagnitude(real, unit - exponent, rounding);
  if (denormal && inexact) env.raise(FPSR.UFC);
  // The implicit bit, and a carry out of the fraction, add themselves to the exponent.
  const biasedLessOne = BigInt(denormal ? 0 : top - f.minExponent);
  const packed = (biasedLessOne << f.fraction) + magnitude;
  if (f === HALF && env.alternativeHalf) {
    if (packed >= f.signBit) {
      env.raise(FPSR.IOC);
      return f.signBit - 1n + signOf(f, sign);
    }
  } else if (packed >= f.infinity) {
    env.raise(FPSR.OFC | FPSR.IXC);
    const toInfinity =
      rounding === Rounding.TIE_EVEN ||
      rounding === Rounding.TIE_AWAY ||
      (rounding === Rounding.POSITIVE_INFINITY && !sign) ||
      (rounding === Rounding.NEGATIVE_INFINITY && sign);
    return toInfinity ? infinity(f, sign) : maxNormal(f, sign);
  }
  if (inexact) env.raise(FPSR.IXC);
  return packed + signOf(f, sign);
}

/** A NaN operand as a result. DDI 0487, "FPProcessNaN". */
export function processNaN(env: Environment, f: Format, { kind }: Unpacked, bits: bigint): bigint {
  if (kind === "signalling") env.raise(FPSR.IOC);
  return env.defaultNaN ? f.defaultNaN : bits | f.quietBit;
}

/**
 * The NaN result of an operation, or undefined when no operand is one: the first signalling operand, else the first
 * quiet one. DDI 0487, "FPProcessNaNs", "FPProcessNaNs3".
 */
export function processNaNs(
  env: Environment,
  f: Format,
  ...operands: readonly { readonly of: Unpacked; readonly bits: bigint }[]
): bigint | undefined {
  const chosen = operands.find(({ of }) => of.kind === "signalling") ?? operands.find(({ of }) => of.kind === "quiet");
  return chosen && processNaN(env, f, chosen.of, chosen.bits);
}

/** Raises IOC; the default NaN. */
export function invalid(env: Environment, f: Format): bigint {
  env.raise(FPSR.IOC);
  return f.defaultNaN;
}
