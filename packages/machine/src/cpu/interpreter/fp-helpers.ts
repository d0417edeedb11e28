/** Helper functions of the floating-point rows. */
import { FP_ARITHMETIC_HELPERS } from "./fp-arithmetic.js";
import { FP_CONVERSION_HELPERS } from "./fp-conversion.js";
import { FP_ESTIMATE_HELPERS } from "./fp-estimate.js";
import { FP_FUSED_HELPERS } from "./fp-fused.js";
import { FP_HALF_HELPERS } from "./fp-half.js";
import { FP_VECTOR_HELPERS } from "./fp-vectors.js";
import type { HelperFunction, HelperTable } from "./functions.js";

/** The reference arithmetic: (operation number, three operands) → result; raises FPSR's flags. */
const operate: HelperFunction = {
  params: ["i32", "i64", "i64", "i64"],
  result: "i64",
  body: (s) =>
    s.call(
      s.imports.operate,
      "i64",
      [s.at(0, "i32"), ...[0, 1, 2, 3].map((i) => s.param(i))].map(({ value }) => value),
    ),
};

export const FP_HELPERS: HelperTable = {
  fpOperate: operate,
  ...FP_ARITHMETIC_HELPERS,
  ...FP_FUSED_HELPERS,
  ...FP_CONVERSION_HELPERS,
  ...FP_HALF_HELPERS,
  ...FP_ESTIMATE_HELPERS,
  ...FP_VECTOR_HELPERS,
};
