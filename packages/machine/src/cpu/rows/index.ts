/**
 * All instructions.
 *
 * @spec DDI 0487, "A64 Base Instruction Descriptions": partial: Armv8.0 with FEAT_LSE, FEAT_CRC32, FEAT_PAuth
 *   and FEAT_SB; later extensions (RCPC, LOR, flag manipulation, MTE, MOPS, …) are UNDEFINED, their hints do nothing
 * @spec DDI 0487, "A64 Advanced SIMD and Floating-point Instruction Descriptions": partial: Armv8.0 with FEAT_AES,
 *   FEAT_PMULL, FEAT_SHA1 and FEAT_SHA256; later extensions (half-precision arithmetic, rounding doubling multiply
 *   accumulate, dot product, complex numbers, SHA-512, SHA-3, SM3, SM4, BFloat16, …) are UNDEFINED
 */
import { arithmeticRows } from "./arithmetic.js";
import { atomicRows } from "./atomic.js";
import { bitRows } from "./bits.js";
import { branchRows } from "./branch.js";
import { cryptoRows } from "./crypto.js";
import { exceptionRows } from "./exceptions.js";
import { fpScalarRows } from "./fp-scalar.js";
import { fpVectorRows } from "./fp-vector.js";
import { fpVectorConvertRows } from "./fp-vector-convert.js";
import { hotSystemRows } from "./hot-system.js";
import { loadStoreRows } from "./load-store.js";
import { logicalRows } from "./logical.js";
import { multiplyRows } from "./multiply.js";
import { pointerAuthenticationRows } from "./pointer-authentication.js";
import type { Row } from "./row.js";
import { selectRows } from "./select.js";
import { simdElementRows } from "./simd-element.js";
import { simdLoadStoreRows } from "./simd-load-store.js";
import { simdLongRows } from "./simd-long.js";
import { simdMoveRows } from "./simd-move.js";
import { simdShiftRows } from "./simd-shift.js";
import { simdThreeSameRows } from "./simd-three-same.js";
import { simdTwoMiscRows } from "./simd-two-misc.js";
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
  ...hotSystemRows,
  ...exceptionRows,
  ...pointerAuthenticationRows,
  ...simdLoadStoreRows,
  ...simdMoveRows,
  ...simdThreeSameRows,
  ...simdTwoMiscRows,
  ...simdLongRows,
  ...simdElementRows,
  ...simdShiftRows,
  ...cryptoRows,
  ...fpScalarRows,
  ...fpVectorRows,
  ...fpVectorConvertRows,
];
