/**
 * Bit patterns that are also at hand as the host's numbers, so that arithmetic need not take them through integer registers.
 * WebAssembly moves NaNs, and negates or clears their signs, bit for bit; hosts keep numbers where they keep vectors.
 */
import { asBits, asFloat, F32, F64, floating, type HostFormat } from "../interpreter/fp-nodes.js";
import { choose, type Expr, type Leaf, select } from "../rows/expr.js";
import { simd } from "../rows/vector.js";

/** A pattern (i32 or i64) that is also at hand as a number of its format. Either is evaluated each time it is emitted. */
export interface Pattern extends Leaf {
  readonly number: Expr;
}

/** A vector of which only the low half counts: that of an instruction on 64 bits. */
export type Half = Expr & { readonly half: true };

export const isPattern = (e: Expr): e is Pattern => "number" in e;
const formatOf = (pattern: Expr): HostFormat => (pattern.type === "i64" ? F64 : F32);

/** The pattern of a number. */
export function patternOf(number: Expr): Pattern {
  const bits = asBits(number.type === "f64" ? F64 : F32, number) as Leaf;
  return { ...bits, number };
}

export const half = (vector: Expr): Half => ({ ...vector, half: true });
/** Whether only the low half of a vector counts; changes of signs keep that. */
export const isHalf = (e: Expr): boolean =>
  "half" in e || (e.op === "simd" && (e.simd === "v128_xor" || e.simd === "v128_andnot") && isHalf(e.args[0]!));

/** The pattern as a number where that takes no move between kinds of registers. */
export function numberAtHand(e: Expr): Expr | undefined {
  if (isPattern(e)) return e.number;
  const f = formatOf(e);
  switch (e.op) {
    case "simd":
      if (e.simd === "i64x2_extract_lane")
        return simd("f64x2_extract_lane", e.args, { type: "f64", immediate: e.immediate });
      if (e.simd === "i32x4_extract_lane")
        return simd("f32x4_extract_lane", e.args, { type: "f32", immediate: e.immediate });
      return undefined;
    case "xor":
    case "and": {
      const [value, mask] = e.args;
      const number = numberAtHand(value);
      const wanted = e.op === "xor" ? f.sign : f.magnitude;
      if (!number || mask.op !== "const" || wanted.op !== "const" || mask.value !== wanted.value) return undefined;
      return floating(f, e.op === "xor" ? "neg" : "abs", number);
    }
    case "choose":
    case "select": {
      const [a, b] = e.args.map(numberAtHand);
      if (!a || !b) return undefined;
      return e.op === "choose" ? choose(e.condition, a, b) : select(e.condition, a, b);
    }
    default:
      return undefined;
  }
}

export const asNumber = (e: Expr): Expr => numberAtHand(e) ?? asFloat(formatOf(e), e);

/** Lanes written with numbers instead of patterns where they are at hand. */
export function withNumbers(e: Expr): Expr {
  if (e.op !== "simd") return e;
  const value = e.args.at(-1);
  if (!value || (value.type !== "i32" && value.type !== "i64")) return e;
  const name = {
    i64x2_replace_lane: "f64x2_replace_lane",
    i32x4_replace_lane: "f32x4_replace_lane",
    i64x2_splat: "f64x2_splat",
    i32x4_splat: "f32x4_splat",
  }[e.simd as string] as "f64x2_splat" | undefined;
  const number = name && numberAtHand(value);
  return name && number ? simd(name, [...e.args.slice(0, -1), number], { immediate: e.immediate }) : e;
}
