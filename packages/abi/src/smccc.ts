/**
 * SMC Calling Convention: function identifiers and the calls that every SMCCC implementation answers.
 * DEN0028 (SMCCC) 1.5, "Function identifiers".
 */
import { bit, bits } from "./layout.js";

export const SMCCC_FID = {
  FAST: bit(31), // 1: fast call
  SMC64: bit(30), // 1: the 64-bit convention
  OWNER: bits(29, 24), // 0 arch, 1 CPU, 2 SiP, 3 OEM, 4 standard, 5 standard hyp, 6 vendor hyp
  MBZ: bits(23, 17), // zero for fast calls
  SVE_HINT: bit(16), // 1: the caller has no live SVE state
  NUMBER: bits(15, 0),
} as const;

export const SMCCC_VERSION = 0x8000_0000n;
export const SMCCC_ARCH_FEATURES = 0x8000_0001n;
/** X1: 0 for the version, JEP-106 code of the silicon provider and SoC id; 1 for the revision. */
export const SMCCC_ARCH_SOC_ID = 0x8000_0002n;

/** SMCCC_VERSION's answer: 1.5. */
export const SMCCC_VERSION_1_5 = 0x0001_0005n;

/** "Unknown function" and "not supported": all ones in X0. */
export const SMCCC_NOT_SUPPORTED = 0xffff_ffff_ffff_ffffn;
