/** Comparisons. DDI 0487, "FPCompare", "FPCompareEQ", "FPCompareGE", "FPCompareGT". */
import { isLess } from "./arithmetic.js";
import { type Environment, FPSR } from "./environment.js";
import { absolute, type Format, isNan, type Unpacked, unpack } from "./format.js";

/** Whether an operand is a NaN; raises IOC for signalling ones, or for all. */
function unordered(env: Environment, a: Unpacked, b: Unpacked, signalAll: boolean): boolean {
  const nan = isNan(a) || isNan(b);
  if (a.kind === "signalling" || b.kind === "signalling" || (nan && signalAll)) env.raise(FPSR.IOC);
  return nan;
}

/** NZCV in bits 31:28. `signalAll`: FCMPE. */
export function compare(env: Environment, f: Format, op1: bigint, op2: bigint, signalAll: boolean): bigint {
  const a = unpack(env, f, op1);
  const b = unpack(env, f, op2);
  if (unordered(env, a, b, signalAll)) return 0x3000_0000n;
  if (isLess(a, b)) return 0x8000_0000n;
  return isLess(b, a) ? 0x2000_0000n : 0x6000_0000n;
}

export function compareEQ(env: Environment, f: Format, op1: bigint, op2: bigint): boolean {
  const a = unpack(env, f, op1);
  const b = unpack(env, f, op2);
  return !unordered(env, a, b, false) && !isLess(a, b) && !isLess(b, a);
}

export function compareGE(env: Environment, f: Format, op1: bigint, op2: bigint): boolean {
  const a = unpack(env, f, op1);
  const b = unpack(env, f, op2);
  return !unordered(env, a, b, true) && !isLess(a, b);
}

export function compareGT(env: Environment, f: Format, op1: bigint, op2: bigint): boolean {
  const a = unpack(env, f, op1);
  const b = unpack(env, f, op2);
  return !unordered(env, a, b, true) && isLess(b, a);
}

export const absoluteGE = (env: Environment, f: Format, op1: bigint, op2: bigint): boolean =>
  compareGE(env, f, absolute(f, op1), absolute(f, op2));
export const absoluteGT = (env: Environment, f: Format, op1: bigint, op2: bigint): boolean =>
  compareGT(env, f, absolute(f, op1), absolute(f, op2));
