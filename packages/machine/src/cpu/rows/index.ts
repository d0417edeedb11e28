/** All instructions. */
import { arithmeticRows } from "./arithmetic.js";
import { atomicRows } from "./atomic.js";
import { bitRows } from "./bits.js";
import { branchRows } from "./branch.js";
import { loadStoreRows } from "./load-store.js";
import { logicalRows } from "./logical.js";
import { multiplyRows } from "./multiply.js";
import type { Row } from "./row.js";
import { selectRows } from "./select.js";
import { systemRows } from "./system.js";

export const ROWS: readonly Row[] = [
  ...arithmeticRows,
  ...logicalRows,
  ...bitRows,
  ...multiplyRows,
  ...selectRows,
  ...branchRows,
  ...loadStoreRows,
  ...atomicRows,
  ...systemRows,
];
