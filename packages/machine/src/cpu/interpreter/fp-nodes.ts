/**
 * Nodes over the host's own floating point, for the fast paths: WebAssembly's f32 and f64 are IEEE 754, rounded to
 * nearest with ties to even, without flags, and with NaNs of unspecified payload.
 */
import { FPCR, FPSR } from "../fp/environment.js";
import { DOUBLE, SINGLE } from "../fp/format.js";
import { type FpOperation, operationNumber } from "../fp/operations.js";
import {
  and,
  choose,
  constant,
  type Expr,
  type ExprType,
  emit,
  eq,
  geU,
  gtU,
  type IntType,
  i32,
  i64,
  isZero,
  leaf,
  ltU,
  ne,
  or,
  select,
  sub,
  wrap,
  zext,
} from "../rows/expr.js";
import type { Op } from "../wasm/code.js";
import type { HelperBody } from "./functions.js";
import type { Local, Statements } from "./statements.js";

/** The instruction `name`. Its result has the type that its name begins with; a comparison's is i32. */
export function native(name: keyof typeof Op, ...args: readonly Expr[]): Expr {
  const type = /_(eq|ne|lt|gt|le|ge)(_[su])?$/.test(name) ? "i32" : (name.slice(0, 3) as ExprType);
  return leaf(type, (code) => {
    for (const arg of args) emit(code, arg);
    code.op(name);
  });
}

/** A format as generated code sees it: bit patterns are integers of its width. */
export interface HostFormat {
  readonly bits: 32 | 64;
  readonly int: IntType;
  readonly float: "f32" | "f64";
  readonly fraction: number;
  /** All bits but the sign. */
  readonly magnitude: Expr;
  readonly infinity: Expr;
  readonly sign: Expr;
}

function hostFormat(bits: 32 | 64, fraction: number): HostFormat {
  const int = bits === 64 ? "i64" : "i32";
  const sign = 1n << BigInt(bits - 1);
  return {
    bits,
    int,
    float: bits === 64 ? "f64" : "f32",
    fraction,
    magnitude: constant(int, sign - 1n),
    infinity: constant(int, sign - (1n << BigInt(fraction))),
    sign: constant(int, sign),
  };
}

export const F32 = hostFormat(32, 23);
export const F64 = hostFormat(64, 52);

/** An operation of the format's: `f64_add`, … */
export const floating = (f: HostFormat, op: string, ...args: readonly Expr[]): Expr =>
  native(`${f.float}_${op}` as keyof typeof Op, ...args);
/** The pattern as a number, and back. */
export const asFloat = (f: HostFormat, bits: Expr): Expr => floating(f, `reinterpret_${f.int}`, bits);
export const asBits = (f: HostFormat, value: Expr): Expr =>
  native(`${f.int}_reinterpret_${f.float}` as keyof typeof Op, value);
/** A number as a constant. */
export function number(f: HostFormat, value: number): Expr {
  const view = new DataView(new ArrayBuffer(8));
  if (f.bits === 64) view.setFloat64(0, value);
  else view.setFloat32(0, value);
  return asFloat(f, constant(f.int, f.bits === 64 ? view.getBigInt64(0) : view.getInt32(0)));
}

export const magnitudeOf = (f: HostFormat, bits: Expr): Expr => and(bits, f.magnitude);
/** Whether the pattern is a number: not infinite, not a NaN. */
export const isFiniteNumber = (f: HostFormat, bits: Expr): Expr => ltU(magnitudeOf(f, bits), f.infinity);
/**
 * Whether it is finite and at least twice the smallest normal number: then the exact value that was rounded to it was
 * not tiny either.
 */
export function isWellNormal(f: HostFormat, bits: Expr): Expr {
  const least = constant(f.int, 2n << BigInt(f.fraction));
  return ltU(sub(magnitudeOf(f, bits), least), sub(f.infinity, least));
}
/** Whether it is a zero. */
export const isZeroNumber = (f: HostFormat, bits: Expr): Expr => isZero(magnitudeOf(f, bits));

const mode = (s: Statements): Expr => and(s.load("FPCR"), FPCR.RMODE | FPCR.FZ);
/** Whether FPCR rounds to nearest, as the host does. */
export const toNearest = (s: Statements): Expr => isZero(and(s.load("FPCR"), FPCR.RMODE));
const isFlushing = (s: Statements): Expr => ne(and(s.load("FPCR"), FPCR.FZ), 0);

/** Whether the pattern is no denormal number, of which FPCR.FZ makes zero. */
const isNotDenormal = (f: HostFormat, bits: Expr): Expr =>
  geU(sub(magnitudeOf(f, bits), 1), constant(f.int, (1n << BigInt(f.fraction)) - 1n));
const noneIsDenormal = (f: HostFormat, operands: readonly Expr[]): Expr =>
  operands.map((bits) => isNotDenormal(f, bits)).reduce((all, one) => and(all, one));

/** Whether FPCR reads these operands as the host does: denormals are numbers, or there are none. */
export const hostReads = (s: Statements, f: HostFormat, operands: readonly Expr[]): Expr =>
  choose(isFlushing(s), noneIsDenormal(f, operands), i32(1));

/**
 * Whether the host's operation on these operands, with its result, is what FPCR asks for: to nearest, and flushing to
 * zero (which programs compiled for "fast" arithmetic switch on) makes no difference.
 */
export function hostRounds(s: Statements, f: HostFormat, operands: readonly Expr[], result: Expr): Expr {
  const notFlushed = and(noneIsDenormal(f, operands), or(isWellNormal(f, result), isZeroNumber(f, result)));
  return choose(isZero(mode(s)), i32(1), and(eq(mode(s), FPCR.FZ), notFlushed));
}

/** Whether FPSR.IXC is set: then inexactness need not be found out. */
export const inexactKnown = (s: Statements): Expr => ne(and(s.load("FPSR"), FPSR.IXC), 0);

const isNan = (f: HostFormat, bits: Expr): Expr => gtU(magnitudeOf(f, bits), f.infinity);
/** Whether the pattern is a NaN that raises IOC. */
export function isSignalling(f: HostFormat, bits: Expr): Expr {
  const quiet = constant(f.int, 1n << BigInt(f.fraction - 1));
  return and(isNan(f, bits), isZero(and(bits, quiet)));
}
const isInfinite = (f: HostFormat, bits: Expr): Expr => eq(magnitudeOf(f, bits), f.infinity);

/**
 * Returns from an operation on two operands of which one is infinite or a quiet NaN, without flags. Infinite operands: the
 * host's `result` is exact unless it is a NaN. NaNs: the first one. Signalling NaNs, and what flushing changes, go on.
 */
export function returnSpecial(s: HelperBody, f: HostFormat, operands: readonly [Expr, Expr], result: Expr): void {
  const [a, b] = operands;
  s.if(hostReads(s, f, operands), () => {
    s.if(and(or(isInfinite(f, a), isInfinite(f, b)), isZero(isNan(f, result))), () => s.return(result));
    const someNan = or(isNan(f, a), isNan(f, b));
    s.if(and(someNan, isZero(or(isSignalling(f, a), isSignalling(f, b)))), () => {
      const chosen = select(isNan(f, a), a, b);
      const standard = constant(f.int, f.bits === 64 ? DOUBLE.defaultNaN : SINGLE.defaultNaN);
      s.return(select(and(s.load("FPCR"), FPCR.DN), standard, chosen));
    });
  });
}

/** The operation by the reference arithmetic, with its flags. Operands and result are of the integer types given. */
export function reference(s: HelperBody, name: FpOperation, result: IntType, ...args: readonly Expr[]): Expr {
  const wide = [0, 1, 2].map((i) => {
    const arg = args[i] ?? i64(0);
    return arg.type === "i64" ? arg : zext(arg);
  });
  const value = s.helper("fpOperate", i32(operationNumber(name)), ...wide);
  return result === "i64" ? value : wrap(value);
}

/** A local that holds `value` now. */
export function held(s: Statements, value: Expr): Local {
  const local = s.local(value.type);
  s.set(local, value);
  return local;
}

export const operationsOf =
  (f: HostFormat) =>
  (name: "add" | "sub" | "mul", a: Expr, b: Expr): Expr =>
    floating(f, name, a, b);

/** A single as a double. */
export const promoted = (bits: Expr): Expr => native("f64_promote_f32", asFloat(F32, bits));
