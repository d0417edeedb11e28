/** Floating-point arithmetic, comparison and conversion; see compare.ts. */
import { test } from "vitest";
import { compare, oracle } from "./compare.js";
import { FP_OPERANDS } from "./fp-operands.js";
import { VECTOR_ROWS } from "./generate.js";

test.skipIf(oracle === undefined)(
  `floating point: interpreter against ${oracle ?? "qemu-aarch64, which is not installed"}`,
  () => {
    compare({ rows: VECTOR_ROWS.filter(({ group }) => group === "fp-data"), instances: 100, vectors: FP_OPERANDS });
  },
);
