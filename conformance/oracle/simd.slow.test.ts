/** Advanced SIMD (but for floating-point arithmetic), loads and stores of V registers, crypto; a thousand times each; see compare.ts. */
import { test } from "vitest";
import { compare, oracle } from "./compare.js";
import { VECTOR_ROWS } from "./generate.js";
import { INTEGER_OPERANDS } from "./vectors.js";

test.skipIf(oracle === undefined)(
  `Advanced SIMD: interpreter against ${oracle ?? "qemu-aarch64, which is not installed"}`,
  () => {
    const rows = VECTOR_ROWS.filter(({ group }) => group !== "fp-data");
    compare({ rows, instances: 1000, vectors: INTEGER_OPERANDS });
  },
);
