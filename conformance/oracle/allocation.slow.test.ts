/** All opcodes of the FP and SIMD data processing space, and a third of those of its loads and stores; see allocation.ts. */
import { test } from "vitest";
import { compareAllocation } from "./allocation.js";
import { oracle } from "./compare.js";

test.skipIf(oracle === undefined)(`encodings against ${oracle}`, () => {
  compareAllocation("data processing", 1);
  compareAllocation("loads and stores", 0.3);
});
