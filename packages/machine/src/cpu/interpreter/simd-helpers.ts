/** Helper functions of the Advanced SIMD and crypto rows. */
import type { HelperTable } from "./functions.js";

export const SIMD_HELPERS: HelperTable = {};
