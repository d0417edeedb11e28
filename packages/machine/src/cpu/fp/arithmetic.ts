/**
 * Arithmetic on bit patterns, exact before its one rounding. DDI 0487, "shared/functions/float": FPAdd, FPMul, FPMulAdd
 * and the others, by their names.
 */
import { type Environment, FPSR, Rounding } from "./environment.js";
import {
  type Format,
  infinity,
  invalid,
  isNan,
  negate,
  powerOfTwo,
  processNaN,
  processNaNs,
  type Real,
  round,
  type Unpacked,
  unpack,
  zero,
} from "./format.js";

const isZero = ({ kind }: Unpacked): boolean => kind === "zero";
const isInfinite = ({ kind }: Unpacked): boolean => kind === "infinity";

/** The exact sum as a signed significand over the smaller exponent. */
function exactSum(a: Real, b: Real): { readonly significand: bigint; readonly exponent: number } {
  const exponent = Math.min(a.exponent, b.exponent);
  const scaled = ({ sign, significand, exponent: e }: Real): bigint => {
    const magnitude = significand << BigInt(e - exponent);
    return sign ? -magnitude : magnitude;
  };
  return { significand: scaled(a) + scaled(b), exponent };
}

const product = (a: Unpacked, b: Unpacked): Real => ({
  sign: a.sign !== b.sign,
  significand: a.significand * b.significand,
  exponent: a.exponent + b.exponent,
});

/** A sum rounded; an exact zero has the sign that the rounding mode gives it. */
function roundSum(env: Environment, f: Format, a: Real, b: Real): bigint {
  const { significand, exponent } = exactSum(a, b);
  if (significand === 0n) return zero(f, env.rounding === Rounding.NEGATIVE_INFINITY);
  const sign = significand < 0n;
  return round(env, f, { sign, significand: sign ? -significand : significand, exponent });
}

function addUnpacked(env: Environment, f: Format, a: Unpacked, b: Unpacked): bigint {
  if (isInfinite(a) || isInfinite(b)) {
    if (isInfinite(a) && isInfinite(b) && a.sign !== b.sign) return invalid(env, f);
    return infinity(f, isInfinite(a) ? a.sign : b.sign);
  }
  if (isZero(a) && isZero(b) && a.sign === b.sign) return zero(f, a.sign);
  return roundSum(env, f, a, b);
}

export function add(env: Environment, f: Format, op1: bigint, op2: bigint): bigint {
  const a = unpack(env, f, op1);
  const b = unpack(env, f, op2);
  return processNaNs(env, f, { of: a, bits: op1 }, { of: b, bits: op2 }) ?? addUnpacked(env, f, a, b);
}

export function sub(env: Environment, f: Format, op1: bigint, op2: bigint): bigint {
  const a = unpack(env, f, op1);
  const b = unpack(env, f, op2);
  const nan = processNaNs(env, f, { of: a, bits: op1 }, { of: b, bits: op2 });
  return nan ?? addUnpacked(env, f, a, { ...b, sign: !b.sign });
}

/** `extended`: infinity times zero is 2 (FMULX). */
function multiply(env: Environment, f: Format, op1: bigint, op2: bigint, extended: boolean): bigint {
  const a = unpack(env, f, op1);
  const b = unpack(env, f, op2);
  const nan = processNaNs(env, f, { of: a, bits: op1 }, { of: b, bits: op2 });
  if (nan !== undefined) return nan;
  const sign = a.sign !== b.sign;
  if ((isInfinite(a) && isZero(b)) || (isZero(a) && isInfinite(b)))
    return extended ? powerOfTwo(f, sign, 1) : invalid(env, f);
  if (isInfinite(a) || isInfinite(b)) return infinity(f, sign);
  if (isZero(a) || isZero(b)) return zero(f, sign);
  return round(env, f, product(a, b));
}

export const mul = (env: Environment, f: Format, op1: bigint, op2: bigint): bigint => multiply(env, f, op1, op2, false);
export const mulx = (env: Environment, f: Format, op1: bigint, op2: bigint): bigint => multiply(env, f, op1, op2, true);
export function div(env: Environment, f: Format, op1: bigint, op2: bigint): bigint {
  const a = unpack(env, f, op1);
  const b = unpack(env, f, op2);
  const nan = processNaNs(env, f, { of: a, bits: op1 }, { of: b, bits: op2 });
  if (nan !== undefined) return nan;
  const sign = a.sign !== b.sign;
  if ((isInfinite(a) && isInfinite(b)) || (isZero(a) && isZero(b))) return invalid(env, f);
  if (isInfinite(a) || isZero(b)) {
    if (!isInfinite(a)) env.raise(FPSR.DZC);
    return infinity(f, sign);
  }
  if (isZero(a) || isInfinite(b)) return zero(f, sign);
  // Enough bits that the quotient has two more than any format keeps, whatever the operands' lengths.
  const shift = 2n * f.fraction + 4n;
  const dividend = a.significand << shift;
  return round(env, f, {
    sign,
    significand: dividend / b.significand,
    exponent: a.exponent - b.exponent - Number(shift),
    sticky: dividend % b.significand !== 0n,
  });
}

/** The integer square root of a number below 2^1000. */
function integerSqrt(value: bigint): bigint {
  let root = BigInt(Math.ceil(Math.sqrt(Number(value)))) + 1n;
  while (root * root < value) root += (root >> 52n) + 1n;
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

export function sqrt(env: Environment, f: Format, op: bigint): bigint {
  const a = unpack(env, f, op);
  if (isNan(a)) return processNaN(env, f, a, op);
  if (isZero(a)) return zero(f, a.sign);
  if (a.sign) return invalid(env, f);
  if (isInfinite(a)) return infinity(f, false);
  const shift = 2 * Number(f.fraction) + 4 + (a.exponent & 1);
  const radicand = a.significand << BigInt(shift);
  const root = integerSqrt(radicand);
  return round(env, f, {
    sign: false,
    significand: root,
    exponent: (a.exponent - shift) / 2,
    sticky: root * root !== radicand,
  });
}

/** addend + op1 * op2, rounded once. DDI 0487, "FPMulAdd". */
export function mulAdd(env: Environment, f: Format, addend: bigint, op1: bigint, op2: bigint): bigint {
  const c = unpack(env, f, addend);
  const a = unpack(env, f, op1);
  const b = unpack(env, f, op2);
  const infinityTimesZero = (isInfinite(a) && isZero(b)) || (isZero(a) && isInfinite(b));
  const nan = processNaNs(env, f, { of: c, bits: addend }, { of: a, bits: op1 }, { of: b, bits: op2 });
  if (c.kind === "quiet" && infinityTimesZero) return invalid(env, f);
  if (nan !== undefined) return nan;
  const sign = a.sign !== b.sign;
  const productInfinite = isInfinite(a) || isInfinite(b);
  if (infinityTimesZero || (isInfinite(c) && productInfinite && c.sign !== sign)) return invalid(env, f);
  if (isInfinite(c)) return infinity(f, c.sign);
  if (productInfinite) return infinity(f, sign);
  const productZero = isZero(a) || isZero(b);
  if (isZero(c) && productZero && c.sign === sign) return zero(f, sign);
  return roundSum(env, f, product(a, b), c);
}

type Comparison = (a: Unpacked, b: Unpacked) => boolean;

/** Whether a < b, neither being a NaN. */
export function isLess(a: Unpacked, b: Unpacked): boolean {
  if (isZero(a) && isZero(b)) return false;
  if (a.sign !== b.sign) return a.sign;
  if (isInfinite(a) || isInfinite(b)) return a.sign ? isInfinite(a) && !isInfinite(b) : !isInfinite(a);
  return exactSum(a, { ...b, sign: !b.sign }).significand < 0n;
}

function select(env: Environment, f: Format, op1: bigint, op2: bigint, isFirst: Comparison, max: boolean): bigint {
  const a = unpack(env, f, op1);
  const b = unpack(env, f, op2);
  const nan = processNaNs(env, f, { of: a, bits: op1 }, { of: b, bits: op2 });
  if (nan !== undefined) return nan;
  const [chosen, bits] = isFirst(a, b) ? [a, op1] : [b, op2];
  // Of zeros, the positive one is the maximum.
  if (isZero(chosen)) return zero(f, max ? a.sign && b.sign : a.sign || b.sign);
  return bits;
}

export const max = (env: Environment, f: Format, op1: bigint, op2: bigint): bigint =>
  select(env, f, op1, op2, (a, b) => isLess(b, a), true);
export const min = (env: Environment, f: Format, op1: bigint, op2: bigint): bigint =>
  select(env, f, op1, op2, isLess, false);

/** A lone quiet NaN gives way to the number. DDI 0487, "FPMaxNum", "FPMinNum". */
function withoutQuietNaN(env: Environment, f: Format, op1: bigint, op2: bigint, instead: bigint): [bigint, bigint] {
  const a = unpack(env, f, op1);
  const b = unpack(env, f, op2);
  if (a.kind === "quiet" && b.kind !== "quiet") return [instead, op2];
  if (a.kind !== "quiet" && b.kind === "quiet") return [op1, instead];
  return [op1, op2];
}

export const maxNum = (env: Environment, f: Format, op1: bigint, op2: bigint): bigint =>
  max(env, f, ...withoutQuietNaN(env, f, op1, op2, infinity(f, true)));
export const minNum = (env: Environment, f: Format, op1: bigint, op2: bigint): bigint =>
  min(env, f, ...withoutQuietNaN(env, f, op1, op2, infinity(f, false)));

/** (constant - op1 * op2) * 2^-halvings: the step of an iteration, rounded once. */
function step(env: Environment, f: Format, op1: bigint, op2: bigint, constant: bigint, halvings: number): bigint {
  const negated = negate(f, op1);
  const a = unpack(env, f, negated);
  const b = unpack(env, f, op2);
  const nan = processNaNs(env, f, { of: a, bits: negated }, { of: b, bits: op2 });
  if (nan !== undefined) return nan;
  const first: Real = { sign: false, significand: constant, exponent: -halvings };
  if ((isInfinite(a) && isZero(b)) || (isZero(a) && isInfinite(b))) return round(env, f, first);
  if (isInfinite(a) || isInfinite(b)) return infinity(f, a.sign !== b.sign);
  const second = product(a, b);
  return roundSum(env, f, first, { ...second, exponent: second.exponent - halvings });
}

/** FRECPS: 2 - op1 * op2. */
export const recipStep = (env: Environment, f: Format, op1: bigint, op2: bigint): bigint =>
  step(env, f, op1, op2, 2n, 0);
/** FRSQRTS: (3 - op1 * op2) / 2. */
export const rsqrtStep = (env: Environment, f: Format, op1: bigint, op2: bigint): bigint =>
  step(env, f, op1, op2, 3n, 1);
