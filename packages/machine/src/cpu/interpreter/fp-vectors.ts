/**
 * Fast paths over whole vectors: when every lane's result shows that nothing special happened and IXC is set already (or
 * cannot be raised), the host's vector operation is it. Otherwise the lanes are done one by one by the helpers for scalars.
 * For vectors of 64 bits the upper lanes are zero and do no harm.
 */

import { FPCR } from "../fp/environment.js";
import { and, choose, type Expr, i32, ne } from "../rows/expr.js";
import {
  evenLanes,
  extractLane,
  replaceLane,
  shuffle,
  simd,
  vAnd,
  vectorOf,
  vectorZero,
  vGe,
  vGt,
  vNot,
  vOr,
  vShrU,
  vSub,
} from "../rows/vector.js";
import type { SimdOpName } from "../wasm/simd.js";
import { FUSED_LIMITS, fusedDouble, fusedSingle, VECTOR } from "./fp-fused.js";
import { F32, F64, type HostFormat, held, inexactKnown, toNearest } from "./fp-nodes.js";
import type { HelperBody, HelperFunction, HelperTable } from "./functions.js";

/** log2 of a lane's bytes. */
const sizeOf = (f: HostFormat): number => (f.bits === 64 ? 3 : 2);
const ofLanes = (f: HostFormat, op: string, ...args: readonly Expr[]): Expr =>
  simd(`${f === F64 ? "f64x2" : "f32x4"}_${op}` as SimdOpName, args);
const inLanes = (f: HostFormat, value: bigint): Expr => vectorOf(sizeOf(f), value);

const signMask = (f: HostFormat): bigint => 1n << BigInt(f.bits - 1);
const infinityBits = (f: HostFormat): bigint => signMask(f) - (1n << BigInt(f.fraction));

const magnitudes = (f: HostFormat, v: Expr): Expr => vAnd(v, inLanes(f, signMask(f) - 1n));
const areFinite = (f: HostFormat, v: Expr): Expr => vGt(sizeOf(f), true, inLanes(f, infinityBits(f)), magnitudes(f, v));
/** As `isWellNormal` of fp-nodes.ts. */
const areWellNormal = (f: HostFormat, v: Expr): Expr =>
  vAnd(areFinite(f, v), vGe(sizeOf(f), true, magnitudes(f, v), inLanes(f, 2n << BigInt(f.fraction))));
const areZero = (f: HostFormat, v: Expr): Expr => ofLanes(f, "eq", v, vectorZero);
const areNumbers = (f: HostFormat, v: Expr): Expr => ofLanes(f, "eq", v, v);
const all = (f: HostFormat, mask: Expr): Expr =>
  simd(f === F64 ? "i64x2_all_true" : "i32x4_all_true", [mask], { type: "i32" });

interface Plan {
  /** The helper of one lane; its operands in order. */
  readonly scalar: string;
  readonly operands: 1 | 2 | 3;
  /** Whether FPCR's rounding and FPSR let the fast path try. */
  readonly mode: (s: HelperBody) => Expr;
  /** The vectors in which FPCR.FZ flushes denormals; all, unless said. */
  readonly flushable?: (result: Expr, operands: readonly Expr[]) => readonly Expr[];
  readonly result: (s: HelperBody, operands: readonly Expr[]) => Expr;
  /** Lanes that are as the manual has them, without flags: all ones. */
  readonly fine: (result: Expr, operands: readonly Expr[]) => Expr;
}

/** Whether FPCR.FZ, if it is set, finds nothing to flush in these vectors. */
function notFlushed(s: HelperBody, f: HostFormat, vectors: readonly Expr[]): Expr {
  const normal = inLanes(f, 1n << BigInt(f.fraction));
  const unharmed = vectors.map((v) => vOr(vGe(sizeOf(f), true, magnitudes(f, v), normal), areZero(f, v)));
  const flushing = ne(and(s.load("FPCR"), FPCR.FZ), 0);
  return unharmed.length === 0 ? i32(1) : choose(flushing, all(f, unharmed.reduce(vAnd)), i32(1));
}

function vectorHelper(f: HostFormat, plan: Plan): HelperFunction {
  const { scalar, operands, mode, result, fine, flushable = (r, given) => [...given, r] } = plan;
  return {
    params: Array.from({ length: operands }, () => "v128" as const),
    result: "v128",
    body: (s) => {
      const given = Array.from({ length: operands }, (_, i) => s.param(i).value);
      const r = held(s, result(s, given)).value;
      const unharmed = notFlushed(s, f, flushable(r, given));
      s.if(and(and(mode(s), all(f, fine(r, given))), unharmed), () => s.return(r));
      const oneByOne = s.local("v128");
      const size = sizeOf(f);
      for (let lane = 0; lane < 128 / f.bits; lane++) {
        const value = s.helper(scalar, ...given.map((v) => extractLane(size, v, lane)));
        s.set(oneByOne, replaceLane(size, oneByOne.value, lane, value));
      }
      return oneByOne.value;
    },
  };
}

const rounded = (s: HelperBody): Expr => and(toNearest(s), inexactKnown(s));

function binary(f: HostFormat, op: "add" | "sub" | "mul" | "div"): Plan {
  const fine: Record<typeof op, Plan["fine"]> = {
    add: (r) => areFinite(f, r),
    sub: (r) => areFinite(f, r),
    mul: (r, [a, b]) => vOr(areWellNormal(f, r), vAnd(areZero(f, r), vOr(areZero(f, a), areZero(f, b)))),
    div: (r, [a]) => vOr(areWellNormal(f, r), vAnd(areZero(f, r), areZero(f, a))),
  };
  const result: Plan["result"] = (_s, [a, b]) => ofLanes(f, op, a, b);
  return { scalar: `f${op}${f.bits}`, operands: 2, mode: rounded, result, fine: fine[op] };
}

/** Results that are operands, or comparisons: the lanes are fine unless a NaN is involved. */
const withoutRounding = (f: HostFormat, name: string, op: string): Plan => ({
  scalar: `f${name}${f.bits}`,
  operands: 2,
  mode: () => i32(1),
  result: (_s, operands) => ofLanes(f, op, ...operands.map((v) => (name.startsWith("ac") ? magnitudes(f, v) : v))),
  fine: (_r, [a, b]) => vAnd(areNumbers(f, a), areNumbers(f, b)),
});

const unary = (f: HostFormat, scalar: string, op: string, mode: Plan["mode"], fine: Plan["fine"]): Plan => ({
  ...{ scalar, operands: 1, mode, fine },
  result: (_s, [a]) => ofLanes(f, op, a),
});

/** Lanes 2 and 3 as lanes 0 and 1. */
const upper = (v: Expr): Expr => shuffle(v, v, [8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0]);
const promotedLow = (v: Expr): Expr => simd("f64x2_promote_low_f32x4", [v]);

/** Four singles as two pairs of doubles. A zero sum is exact; a result that only looks like zero is left. */
const multiplyAddSingles: HelperFunction = {
  params: ["v128", "v128", "v128"],
  result: "v128",
  body: (s) => {
    const given = [0, 1, 2].map((i) => s.param(i).value);
    const halves = [(v: Expr) => v, upper].map((half) => {
      const [c, a, b] = given.map((v) => held(s, promotedLow(half(v))).value);
      const { sum, odd } = fusedSingle(s, VECTOR, a, b, c);
      return { zero: held(s, areZero(F64, sum)).value, single: simd("f32x4_demote_f64x2_zero", [odd]) };
    });
    const [low, high] = halves;
    const bytes = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
    const r = held(s, shuffle(low.single, high.single, bytes)).value;
    const fine = vOr(areWellNormal(F32, r), evenLanes(2, low.zero, high.zero));
    s.if(and(and(rounded(s), all(F32, fine)), notFlushed(s, F32, [...given, r])), () => s.return(r));
    return s.helper("vfmuladd32each", ...given);
  },
};

/** Lanes whose exponent lies within ±limit. */
function exponentsWithin(v: Expr, limit: number): Expr {
  const above = vSub(3, vAnd(vShrU(3, v, 52), vectorOf(3, 0x7ff)), vectorOf(3, 1023 - limit));
  return vAnd(vGe(3, true, above, vectorZero), vGe(3, true, vectorOf(3, 2 * limit), above));
}

const multiplyAddDoubles: Plan = {
  scalar: "fmuladd64",
  operands: 3,
  mode: rounded,
  result: (s, [c, a, b]) => fusedDouble(s, VECTOR, a, b, c).result,
  fine: (_r, [c, a, b]) => {
    const factors = vAnd(exponentsWithin(a, FUSED_LIMITS.factor), exponentsWithin(b, FUSED_LIMITS.factor));
    return vAnd(factors, vOr(exponentsWithin(c, FUSED_LIMITS.addend), areZero(F64, c)));
  },
  flushable: () => [],
};

/** Nothing but the lanes, one by one. */
const each = (scalar: string, operands: 1 | 2 | 3): Plan => ({
  ...{ scalar, operands },
  mode: () => i32(0),
  result: () => vectorZero,
  fine: (r) => r,
});

const PREDICATES = [
  ["cmeq", "eq"],
  ["cmge", "ge"],
  ["cmgt", "gt"],
  ["acge", "ge"],
  ["acgt", "gt"],
  ["max", "max"],
  ["min", "min"],
  ["maxnm", "max"],
  ["minnm", "min"],
] as const;

const INTEGRAL = [
  ["frintn", "nearest"],
  ["frintp", "ceil"],
  ["frintm", "floor"],
  ["frintz", "trunc"],
] as const;

function plansOf(f: HostFormat): Plan[] {
  return [
    ...(["add", "sub", "mul", "div"] as const).map((op) => binary(f, op)),
    ...PREDICATES.map(([name, op]) => withoutRounding(f, name, op)),
    ...INTEGRAL.map(([name, op]) =>
      unary(
        f,
        `${name}${f.bits}`,
        op,
        () => i32(1),
        (r) => areNumbers(f, r),
      ),
    ),
    unary(f, `fsqrt${f.bits}`, "sqrt", rounded, (r) => areFinite(f, r)),
  ];
}

/** From 32-bit integers: every result is fine. To them: numbers within the range, which is that of the saturation. */
const conversions: readonly Plan[] = (["s", "u"] as const).flatMap((letter) => {
  const limit = (value: number) => {
    const view = new DataView(new ArrayBuffer(4));
    view.setFloat32(0, value);
    return vectorOf(2, view.getUint32(0));
  };
  const least = letter === "s" ? limit(-(2 ** 31)) : vectorZero;
  const above = limit(letter === "s" ? 2 ** 31 : 2 ** 32);
  return [
    {
      ...unary(F32, `${letter}cvtf32to32`, `convert_i32x4_${letter}`, rounded, () => vNot(vectorZero)),
      flushable: () => [],
    },
    {
      scalar: `fcvtz${letter}32to32`,
      operands: 1,
      mode: inexactKnown,
      flushable: (_r: Expr, [a]: readonly Expr[]) => [a],
      result: (_s: HelperBody, [a]: readonly Expr[]) => simd(`i32x4_trunc_sat_f32x4_${letter}`, [a]),
      fine: (_r: Expr, [a]: readonly Expr[]) => vAnd(ofLanes(F32, "ge", a, least), ofLanes(F32, "lt", a, above)),
    } satisfies Plan,
  ];
});

const byName = (f: HostFormat, plans: readonly Plan[]): HelperTable =>
  Object.fromEntries(plans.map((plan) => [`v${plan.scalar}`, vectorHelper(f, plan)]));

/** Named as the helper of one lane with `v` before: `vfadd32`. */
export const FP_VECTOR_HELPERS: HelperTable = {
  ...byName(F32, [...plansOf(F32), ...conversions]),
  ...byName(F64, [...plansOf(F64), multiplyAddDoubles]),
  vfmuladd32: multiplyAddSingles,
  vfmuladd32each: vectorHelper(F32, each("fmuladd32", 3)),
};
