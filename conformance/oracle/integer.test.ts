/** The base instructions that a user program can execute; see compare.ts. */
import { expect, test } from "vitest";
import { ROWS } from "../../packages/machine/src/cpu/rows/index.js";
import { compare, oracle } from "./compare.js";
import { excluded, INTEGER_ROWS } from "./generate.js";

test.skipIf(oracle === undefined)(
  `integer instructions: interpreter against ${oracle ?? "qemu-aarch64, which is not installed"}`,
  () => {
    const { retired } = compare({ rows: INTEGER_ROWS, instances: 1000 });
    for (const row of ROWS) if (excluded(row)) console.log(`     -  ${row.name}: ${excluded(row)}`);
    expect(retired).toBeGreaterThan(200_000);
  },
);
