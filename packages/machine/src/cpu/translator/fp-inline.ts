/**
 * Floating point by the host's own instructions: what the helpers' fast paths do (interpreter/fp-arithmetic.ts and its
 * siblings say why it is right), without the call. A region is for one mode, so that FPCR and IXC are known; a cheap
 * condition on the result, or on operands, that can be true without need sends everything special to the helper.
 */
import { F32, F64, floating, type HostFormat, native, number } from "../interpreter/fp-nodes.js";
import { and, constant, type Expr, type ExprType, eq, geU, i32, isZero, or, shrU, sub, wrap } from "../rows/expr.js";
import { simd, splat, vAdd, vectorOf, vectorZero, vGt, vOr, vShl } from "../rows/vector.js";
import type { Op } from "../wasm/code.js";
import type { SimdOpName } from "../wasm/simd.js";
import { hasFusedMultiplyAdd } from "./fp-fused.js";
import { Mode } from "./mode.js";

/** Operands are numbers (f32, f64) where the helper has patterns of them, integers and vectors as they are. */
export interface InlinePlan {
  /** Mode bits. */
  readonly needs: number;
  readonly operands: readonly ExprType[];
  /** f32 or f64 for a pattern. */
  readonly result: ExprType;
  readonly host: (operands: readonly Expr[]) => Expr;
  /** i32: whether `host` must not be tried. */
  readonly unfit?: (operands: readonly Expr[]) => Expr;
  /** i32: whether its result is not taken. `half`: lanes of the upper half are of no account. */
  readonly special?: (result: Expr, operands: readonly Expr[], half: boolean) => Expr;
}

const EXACT = Mode.HOST_FP;
const ROUNDED = Mode.HOST_FP | Mode.INEXACT;

/** The exponent field: small constants only. */
function exponentOf(f: HostFormat, x: Expr): Expr {
  const bits = native(f === F64 ? "i64_reinterpret_f64" : "i32_reinterpret_f32", x);
  const high = shrU(bits, f.fraction);
  return and(f === F64 ? wrap(high) : high, f === F64 ? 0x7ff : 0xff);
}
const largest = (f: HostFormat): number => (f === F64 ? 0x7ff : 0xff);
const isNotFinite = (f: HostFormat, x: Expr): Expr => eq(exponentOf(f, x), largest(f));
/** As `isWellNormal` of fp-nodes.ts, inverted. */
const isNotWellNormal = (f: HostFormat, x: Expr): Expr => geU(sub(exponentOf(f, x), 2), largest(f) - 2);
const isNan = (f: HostFormat, x: Expr): Expr => floating(f, "ne", x, x);

type Plans = Record<string, InlinePlan>;

function scalarPlans(f: HostFormat): Plans {
  const { float } = f;
  const plans: Plans = {};
  const name = (operation: string) => `f${operation}${f.bits}`;
  const operation = (
    names: readonly string[],
    op: string,
    operands: 1 | 2,
    needs: number,
    isSpecial: (f: HostFormat, result: Expr) => Expr,
  ): void => {
    const plan: InlinePlan = {
      needs,
      operands: Array.from({ length: operands }, () => float),
      result: float,
      host: (x) => floating(f, op, ...x),
      special: (r) => isSpecial(f, r),
    };
    for (const each of names) plans[name(each)] = plan;
  };
  for (const op of ["add", "sub"]) operation([op], op, 2, ROUNDED, isNotFinite);
  operation(["mul", "mulx"], "mul", 2, ROUNDED, isNotWellNormal);
  operation(["div"], "div", 2, ROUNDED, isNotWellNormal);
  operation(["sqrt"], "sqrt", 1, ROUNDED, isNotFinite);
  for (const op of ["max", "min"]) operation([op, `${op}nm`], op, 2, EXACT, isNan);
  for (const [letter, op] of INTEGRAL) operation([`rint${letter}`], op, 1, EXACT, isNan);
  operation(["rinti"], "nearest", 1, EXACT, isNan);
  operation(["rintx"], "nearest", 1, ROUNDED, isNan);
  if (hasFusedMultiplyAdd()) {
    const shape = f === F64 ? "f64x2" : "f32x4";
    const inLanes = (x: Expr) => simd(`${shape}_splat`, [x]);
    plans[name("muladd")] = {
      needs: ROUNDED,
      operands: [float, float, float],
      result: float,
      host: ([c, a, b]) =>
        simd(
          `${shape}_extract_lane`,
          [
            simd(
              `${shape}_relaxed_madd`,
              [a, b, c].map((x) => inLanes(x!)),
            ),
          ],
          {
            type: float,
            immediate: [0],
          },
        ),
      special: (r) => isNotWellNormal(f, r),
    };
  }
  for (const int of ["i32", "i64"] as const) {
    const bits = int === "i64" ? 64 : 32;
    for (const [letter, signed] of [
      ["s", true],
      ["u", false],
    ] as const) {
      plans[`${letter}cvtf${bits}to${f.bits}`] = {
        // A double holds every 32-bit integer.
        needs: f === F64 && int === "i32" ? 0 : ROUNDED,
        operands: [int],
        result: float,
        host: ([x]) => native(`${float}_convert_${int}_${letter}` as keyof typeof Op, x!),
      };
      const least = signed ? -(2 ** (bits - 1)) : 0;
      const above = signed ? 2 ** (bits - 1) : 2 ** bits;
      for (const [rounding, op] of INTEGRAL) {
        const rounded = (x: Expr) => (rounding === "z" ? x : floating(f, op, x));
        plans[`fcvt${rounding}${letter}${f.bits}to${bits}`] = {
          needs: ROUNDED,
          operands: [float],
          result: int,
          unfit: ([x]) =>
            isZero(
              and(floating(f, "ge", rounded(x!), number(f, least)), floating(f, "lt", rounded(x!), number(f, above))),
            ),
          host: ([x]) => native(`${int}_trunc_${float}_${letter}` as keyof typeof Op, rounded(x!)),
        };
      }
    }
  }
  return plans;
}

const INTEGRAL = [
  ["n", "nearest"],
  ["p", "ceil"],
  ["m", "floor"],
  ["z", "trunc"],
] as const;

const betweenFormats: Plans = {
  fcvt32to64: {
    needs: EXACT,
    operands: ["f32"],
    result: "f64",
    host: ([x]) => native("f64_promote_f32", x!),
    special: (r) => isNan(F64, r),
  },
  fcvt64to32: {
    needs: ROUNDED,
    operands: ["f64"],
    result: "f32",
    host: ([x]) => native("f32_demote_f64", x!),
    special: (r) => isNotWellNormal(F32, r),
  },
};

// Vectors

const sizeOf = (f: HostFormat): number => (f === F64 ? 3 : 2);
const ofLanes = (f: HostFormat, op: string, ...args: readonly Expr[]): Expr =>
  simd(`${f === F64 ? "f64x2" : "f32x4"}_${op}` as SimdOpName, args);

/** Whether some lane that counts is all ones. */
function someLane(f: HostFormat, mask: Expr, isHalf: boolean): Expr {
  const bits = simd(f === F64 ? "i64x2_bitmask" : "i32x4_bitmask", [mask], { type: "i32" });
  return isHalf ? and(bits, f === F64 ? 1 : 3) : bits;
}
const notNumbers = (f: HostFormat, v: Expr): Expr => ofLanes(f, "ne", v, v);
/** v - v is zero, or a NaN. */
const notFinite = (f: HostFormat, v: Expr): Expr => ofLanes(f, "ne", ofLanes(f, "sub", v, v), vectorZero);
/** The signs shifted out, magnitudes from twice the least normal number up to infinity become the least signed integers. */
function notWellNormal(f: HostFormat, v: Expr): Expr {
  const size = sizeOf(f);
  const sign = 1n << BigInt(f.bits - 1);
  const least = 4n << BigInt(f.fraction);
  const infinity = 2n * (sign - (1n << BigInt(f.fraction)));
  const moved = vAdd(size, vShl(size, v, 1), vectorOf(size, sign - least));
  return vGt(size, true, moved, vectorOf(size, infinity - least - sign - 1n));
}

function vectorPlans(f: HostFormat): Plans {
  const plans: Plans = {};
  const operation = (
    name: string,
    operands: 1 | 2 | 3,
    needs: number,
    host: (operands: readonly Expr[]) => Expr,
    special: (result: Expr, operands: readonly Expr[]) => Expr,
  ): void => {
    plans[`vf${name}${f.bits}`] = {
      needs,
      operands: Array.from({ length: operands }, () => "v128" as const),
      result: "v128",
      host,
      special: (r, x, isHalf) => someLane(f, special(r, x), isHalf),
    };
  };
  const by =
    (op: string) =>
    (x: readonly Expr[]): Expr =>
      ofLanes(f, op, ...x);
  for (const op of ["add", "sub"]) operation(op, 2, ROUNDED, by(op), (r) => notFinite(f, r));
  for (const op of ["mul", "div"]) operation(op, 2, ROUNDED, by(op), (r) => notWellNormal(f, r));
  operation("sqrt", 1, ROUNDED, by("sqrt"), (r) => notFinite(f, r));
  for (const op of ["max", "min"])
    for (const name of [op, `${op}nm`]) operation(name, 2, EXACT, by(op), (r) => notNumbers(f, r));
  for (const [letter, op] of INTEGRAL) operation(`rint${letter}`, 1, EXACT, by(op), (r) => notNumbers(f, r));
  const magnitudes = (x: readonly Expr[]) => x.map((v) => ofLanes(f, "abs", v));
  const unordered = (_r: Expr, [a, b]: readonly Expr[]) => vOr(notNumbers(f, a!), notNumbers(f, b!));
  for (const op of ["eq", "ge", "gt"]) operation(`cm${op}`, 2, EXACT, by(op), unordered);
  for (const op of ["ge", "gt"]) operation(`ac${op}`, 2, EXACT, (x) => by(op)(magnitudes(x)), unordered);
  if (hasFusedMultiplyAdd())
    operation(
      "muladd",
      3,
      ROUNDED,
      ([c, a, b]) => ofLanes(f, "relaxed_madd", a!, b!, c!),
      (r) => notWellNormal(f, r),
    );
  return plans;
}

/** Between singles and 32-bit integers. */
function vectorConversions(): Plans {
  const plans: Plans = {};
  for (const letter of ["s", "u"] as const) {
    const limit = (value: number) => splat(2, asPattern(value));
    const least = limit(letter === "s" ? -(2 ** 31) : 0);
    const above = limit(letter === "s" ? 2 ** 31 : 2 ** 32);
    plans[`v${letter}cvtf32to32`] = {
      needs: ROUNDED,
      operands: ["v128"],
      result: "v128",
      host: ([x]) => simd(`f32x4_convert_i32x4_${letter}`, [x!]),
    };
    plans[`vfcvtz${letter}32to32`] = {
      needs: ROUNDED,
      operands: ["v128"],
      result: "v128",
      host: ([x]) => simd(`i32x4_trunc_sat_f32x4_${letter}`, [x!]),
      special: (_r, [x], isHalf) => {
        const fits = simd("v128_and", [ofLanes(F32, "ge", x!, least), ofLanes(F32, "lt", x!, above)]);
        return someLane(F32, simd("v128_not", [fits]), isHalf);
      },
    };
  }
  return plans;
}

function asPattern(value: number): Expr {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return constant("i32", view.getInt32(0));
}

let plans: ReadonlyMap<string, InlinePlan> | undefined;

/** How a helper's work is done without a call in a mode, if it can be. */
export function inlinePlan(name: string, mode: number): InlinePlan | undefined {
  plans ??= new Map(
    Object.entries({
      ...scalarPlans(F32),
      ...scalarPlans(F64),
      ...betweenFormats,
      ...vectorPlans(F32),
      ...vectorPlans(F64),
      ...vectorConversions(),
    }),
  );
  const plan = plans.get(name);
  return plan && (mode & plan.needs) === plan.needs ? plan : undefined;
}

// Comparisons

/** Two numbers that have been compared: the flags follow from them. */
export interface Compared {
  readonly a: Expr;
  readonly b: Expr;
}

const compare = (op: string, { a, b }: Compared): Expr => floating(a.type === "f64" ? F64 : F32, op, a, b);

/** i32: whether one is a NaN. */
export function isUnordered(of: Compared): Expr {
  const nan = (x: Expr) => compare("ne", { a: x, b: x });
  return or(nan(of.a), nan(of.b));
}

/** Whether a condition without its lowest bit (EQ, CS, MI, VS, HI, GE, GT) holds after a comparison. */
export function comparisonHolds(condition: number, of: Compared): Expr {
  switch (condition) {
    case 0:
      return compare("eq", of);
    case 1:
      return isZero(compare("lt", of));
    case 2:
      return compare("lt", of);
    case 3:
      return isUnordered(of);
    case 4:
      return isZero(compare("le", of));
    case 5:
      return compare("ge", of);
    default:
      return compare("gt", of);
  }
}

/** NZCV in bits 31:28 after a comparison. */
export function comparisonFlags(of: Compared): Expr {
  const shifted = (bit: Expr, by: number): Expr => ({ op: "shl", type: "i32", args: [bit, i32(by)] });
  const less = compare("lt", of);
  const parts = [shifted(less, 31), shifted(compare("eq", of), 30), shifted(isZero(less), 29)];
  return [...parts, shifted(isUnordered(of), 28)].reduce((all, part) => or(all, part));
}
