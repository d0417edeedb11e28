/**
 * Fast paths of the fused multiply-add, which WebAssembly does not have: error-free transformations in double, and one
 * rounding to odd before the last. The same for numbers and for vectors of two doubles.
 *
 * Rounding to odd: an inexact sum gets an odd last bit. Rounding the result once more, to nearest and to fewer bits (or
 * after one more addition), then gives what one rounding of the exact sum gives. S. Boldo, G. Melquiond, "Emulation of a
 * FMA and correctly rounded sums: proved algorithms using rounding to odd".
 */
import { add, and, type Expr, i64, isZero, or, select, wrap } from "../rows/expr.js";
import { simd, vAdd, vAnd, vEq, vectorOf, vectorZero, vNot, vSub, vXor } from "../rows/vector.js";
import {
  exponentWithin,
  type FloatOperations,
  isModest,
  productError,
  returnRounded,
  SPLITTER,
  sumError,
} from "./fp-errors.js";
import {
  asBits,
  asFloat,
  F32,
  F64,
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
  toNearest,
} from "./fp-nodes.js";
import type { HelperBody, HelperFunction, HelperTable } from "./functions.js";

/** What the transformations need, of numbers or of vectors. */
export interface DoubleOperations {
  readonly op: FloatOperations;
  readonly constant: (value: number) => Expr;
  /** A sum rounded to odd, given what its rounding to nearest has lost. */
  readonly roundToOdd: (s: HelperBody, sum: Expr, error: Expr) => Expr;
}

export const SCALAR: DoubleOperations = {
  op: operationsOf(F64),
  constant: (value) => number(F64, value),
  roundToOdd: (s, sum, error) => {
    const bits = held(s, asBits(F64, sum));
    const zero = number(F64, 0);
    const even = isZero(and(wrap(bits.value), 1));
    s.if(and(native("f64_ne", error, zero), even), () => {
      const sameSign = native("i32_eq", native("f64_gt", error, zero), native("f64_gt", sum, zero));
      s.set(bits, add(bits.value, select(sameSign, i64(1), i64(-1))));
    });
    return asFloat(F64, bits.value);
  },
};

/** The bits of a double in both lanes. */
function inBothLanes(value: number): Expr {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return vectorOf(3, view.getBigUint64(0));
}

export const VECTOR: DoubleOperations = {
  op: (name, a, b) => simd(`f64x2_${name}`, [a, b]),
  constant: inBothLanes,
  roundToOdd: (s, sum, error) => {
    const inexact = simd("f64x2_ne", [error, vectorZero]);
    const even = vEq(3, vAnd(sum, vectorOf(3, 1)), vectorZero);
    const positive = (x: Expr) => simd("f64x2_gt", [x, vectorZero]);
    const sameSign = held(s, vNot(vXor(positive(error), positive(sum)))).value;
    // 1 in lanes of all ones, -1 in others.
    const away = vSub(3, vectorOf(3, -1n), vAdd(3, sameSign, sameSign));
    return held(s, vAdd(3, sum, vAnd(away, vAnd(inexact, even)))).value;
  },
};

/**
 * a * b + c, rounded once. Factors within 2^±400 and an addend within 2^±900, or zero, keep every part normal or zero:
 * the result is a multiple of 2^-952. `odd` is what `v`, a rounded sum, lacks, rounded to odd; `oddError` what that lost.
 */
export function fusedDouble(s: HelperBody, operations: DoubleOperations, a: Expr, b: Expr, c: Expr) {
  const { op, roundToOdd } = operations;
  const exactly = (x: Expr, y: Expr) => {
    const sum = held(s, op("add", x, y)).value;
    return { sum, error: held(s, sumError(s, op, x, y, sum)).value };
  };
  const product = held(s, op("mul", a, b)).value;
  const lost = productError(s, op, operations.constant(SPLITTER), [a, b, product]);
  const t = exactly(c, lost);
  const v = exactly(product, t.sum);
  const z = exactly(t.error, v.error);
  const odd = held(s, roundToOdd(s, z.sum, z.error)).value;
  const result = held(s, op("add", v.sum, odd)).value;
  return { result, v: v.sum, odd, oddError: z.error };
}

/** Factors' and addend's exponents that `fusedDouble` takes. */
export const FUSED_LIMITS = { factor: 400, addend: 900 } as const;

const multiplyAddDouble: HelperFunction = {
  params: ["i64", "i64", "i64"],
  result: "i64",
  body: (s) => {
    const [addend, op1, op2] = [0, 1, 2].map((i) => s.param(i).value);
    const c = held(s, asFloat(F64, addend)).value;
    const a = held(s, asFloat(F64, op1)).value;
    const b = held(s, asFloat(F64, op2)).value;
    const inRange = and(
      and(exponentWithin(op1, FUSED_LIMITS.factor), exponentWithin(op2, FUSED_LIMITS.factor)),
      or(exponentWithin(addend, FUSED_LIMITS.addend), isZeroNumber(F64, addend)),
    );
    s.if(
      inRange,
      () => {
        // Nothing is denormal: flushing makes no difference.
        const { result, v, odd, oddError } = fusedDouble(s, SCALAR, a, b, c);
        const r = held(s, asBits(F64, result)).value;
        s.if(and(toNearest(s), inexactKnown(s)), () => s.return(r));
        // The last addition lost what the exact sum lacks; only then can `odd` have lost something too.
        const error = held(s, sumError(s, SCALAR.op, v, odd, result)).value;
        const known = or(native("f64_ne", error, number(F64, 0)), native("f64_eq", oddError, number(F64, 0)));
        s.if(and(known, isWellNormal(F64, r)), () => returnRounded(s, F64, r, error, F64));
        s.if(and(and(known, toNearest(s)), isZeroNumber(F64, r)), () => s.return(r));
      },
      () => {
        const zero = or(isZeroNumber(F64, op1), isZeroNumber(F64, op2));
        const r = held(s, asBits(F64, native("f64_add", native("f64_mul", a, b), c))).value;
        const read = hostRounds(s, F64, [addend, op1, op2], r);
        s.if(and(and(read, zero), isFiniteNumber(F64, r)), () => s.return(r));
      },
    );
    return reference(s, "muladd64", "i64", addend, op1, op2);
  },
};

/** Of singles, as doubles: the product is exact. The sum rounded to odd, and the sum. */
export function fusedSingle(s: HelperBody, operations: DoubleOperations, a: Expr, b: Expr, c: Expr) {
  const { op, roundToOdd } = operations;
  const product = held(s, op("mul", a, b)).value;
  const sum = held(s, op("add", product, c)).value;
  const error = held(s, sumError(s, op, product, c, sum)).value;
  return { sum, odd: held(s, roundToOdd(s, sum, error)).value };
}

const multiplyAddSingle: HelperFunction = {
  params: ["i32", "i32", "i32"],
  result: "i32",
  body: (s) => {
    const [addend, op1, op2] = [0, 1, 2].map((i) => s.param(i).value);
    const { sum, odd } = fusedSingle(s, SCALAR, promoted(op1), promoted(op2), held(s, promoted(addend)).value);
    const r = held(s, asBits(F32, native("f32_demote_f64", odd))).value;
    const zero = native("f64_eq", sum, number(F64, 0));
    const operands = [addend, op1, op2];
    s.if(and(hostRounds(s, F32, operands, r), or(isWellNormal(F32, r), zero)), () =>
      s.if(or(inexactKnown(s), zero), () => s.return(r)),
    );
    s.if(and(and(isWellNormal(F32, r), isModest(F32, r)), hostReads(s, F32, operands)), () =>
      // A sum that lost something is odd now, and no single equals it.
      returnRounded(s, F32, r, native("f64_sub", odd, promoted(r)), F64),
    );
    return reference(s, "muladd32", "i32", addend, op1, op2);
  },
};

/**
 * FRECPS, 2 - a * b, and FRSQRTS, (3 - a * b) / 2 = 1.5 - (a / 2) * b, of finite operands are multiply-adds; halving is
 * exact where it leaves a normal number. Infinities and NaNs have rules of their own.
 */
const step = (f: HostFormat, name: "recps" | "rsqrts"): HelperFunction => ({
  params: [f.int, f.int],
  result: f.int,
  body: (s) => {
    const [a, b] = [0, 1].map((i) => s.param(i).value);
    const halved = name === "rsqrts";
    const known = halved ? or(isWellNormal(f, a), isZeroNumber(f, a)) : isFiniteNumber(f, a);
    s.if(and(known, isFiniteNumber(f, b)), () => {
      const factor = native(`${f.float}_mul`, asFloat(f, a), number(f, halved ? -0.5 : -1));
      const first = asBits(f, number(f, halved ? 1.5 : 2));
      s.return(s.helper(`fmuladd${f.bits}`, first, asBits(f, factor), b));
    });
    return reference(s, `${name}${f.bits}`, f.int, a, b);
  },
});

/** `fmuladd` takes the addend first. */
export const FP_FUSED_HELPERS: HelperTable = {
  fmuladd32: multiplyAddSingle,
  fmuladd64: multiplyAddDouble,
  frecps32: step(F32, "recps"),
  frecps64: step(F64, "recps"),
  frsqrts32: step(F32, "rsqrts"),
  frsqrts64: step(F64, "rsqrts"),
};
