/**
 * Whether the host has a fused multiply-add: `relaxed_madd` is one or is not, as the processor can. Relaxed SIMD,
 * "relaxed_madd".
 */
import { type Expr, emit, leaf } from "../rows/expr.js";
import { extractLane, simd, splat } from "../rows/vector.js";
import { Wasm } from "../wasm/api.js";
import { CodeWriter } from "../wasm/code.js";
import { ModuleWriter } from "../wasm/module.js";

/** By lane size, three patterns a, b, c for which a * b + c is `fused` with one rounding and 0 with two. */
const CASES = [
  // (1 + 2^-12)^2 - (1 + 2^-11) = 2^-24
  { size: 2, type: "i32", operands: [0x3f80_0800, 0x3f80_0800, 0xbf80_1000 | 0], fused: 0x3380_0000 },
  // (1 + 2^-30)^2 - (1 + 2^-29) = 2^-60
  {
    size: 3,
    type: "i64",
    operands: [0x3ff0_0000_0040_0000n, 0x3ff0_0000_0040_0000n, -0x400f_ffff_ff80_0000n],
    fused: 0x3c30_0000_0000_0000n,
  },
] as const;

function probe(): boolean {
  const module = new ModuleWriter();
  for (const { size, type, operands } of CASES) {
    const code = new CodeWriter(3);
    const vectors = operands.map((_, i) =>
      splat(
        size,
        leaf(type, (into) => into.localGet(i)),
      ),
    );
    const sum: Expr = simd(size === 2 ? "f32x4_relaxed_madd" : "f64x2_relaxed_madd", vectors);
    emit(code, extractLane(size, sum, 0));
    const index = module.declare({ params: [type, type, type], results: [type] });
    module.define(index, code);
    module.exportFunction(type, index);
  }
  const bytes = module.build();
  if (!Wasm.validate(bytes)) return false;
  const { exports } = new Wasm.Instance(new Wasm.Module(bytes), {});
  return CASES.every(({ type, operands, fused }) => {
    const multiplyAdd = exports[type] as (...operands: readonly (number | bigint)[]) => number | bigint;
    return multiplyAdd(...operands) === fused;
  });
}

let known: boolean | undefined;
/** Whether `relaxed_madd` exists here and rounds once. Found out at the first call. */
export const hasFusedMultiplyAdd = (): boolean => (known ??= probe());
