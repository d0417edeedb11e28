/** Helper functions of the floating-point rows. */
import type { HelperTable } from "./functions.js";

export const FP_HELPERS: HelperTable = {};
