/** A word is an FP or SIMD instruction here exactly when it is one in QEMU's Cortex-A57; see allocation.ts. */
import { expect, test } from "vitest";
import { ROWS } from "../../packages/machine/src/cpu/rows/index.js";
import { compareAllocation, SPACES } from "./allocation.js";
import { oracle } from "./compare.js";

test.skipIf(oracle === undefined)(`a sample of the encodings, against ${oracle}`, () => {
  compareAllocation("data processing", 0.1);
  compareAllocation("loads and stores", 0.02);
});

test("rows check the access to V registers exactly in their encoding space", () => {
  for (const { name, mask, value, fp } of ROWS) {
    const lies = Object.values(SPACES).some(
      (space) => (mask & space.mask) === space.mask && (value & space.mask) === space.value,
    );
    expect([name, fp]).toEqual([name, lies]);
  }
});
