/**
 * RSI, the interface between a Realm and the RMM: FIDs, status codes, structures. DEN0137 1.0-rel0, "Realm Services
 * Interface".
 */
import { GRANULE_SIZE } from "./granule.js";
import { bit, bits, bytes, layout, u8, u16, u64, u64s } from "./layout.js";

/** Function identifiers of RSI 1.0. */
export const RSI_FID = {
  RSI_VERSION: 0xc400_0190n,
  RSI_FEATURES: 0xc400_0191n,
  RSI_MEASUREMENT_READ: 0xc400_0192n,
  RSI_MEASUREMENT_EXTEND: 0xc400_0193n,
  RSI_ATTESTATION_TOKEN_INIT: 0xc400_0194n,
  RSI_ATTESTATION_TOKEN_CONTINUE: 0xc400_0195n,
  RSI_REALM_CONFIG: 0xc400_0196n,
  RSI_IPA_STATE_SET: 0xc400_0197n,
  RSI_IPA_STATE_GET: 0xc400_0198n,
  RSI_HOST_CALL: 0xc400_0199n,
} as const;
export type RsiCommand = keyof typeof RSI_FID;

/** The range that DEN0137 reserves for RSI. */
export const RSI_FID_FIRST = 0xc400_0190n;
export const RSI_FID_LAST = 0xc400_01afn;

/** RsiInterfaceVersion: 15:0 minor, 30:16 major. */
export const RSI_ABI_VERSION_1_0 = 0x0001_0000n;

/** RsiCommandReturnCode, X0 of every command. */
export const RSI_STATUS = {
  RSI_SUCCESS: 0,
  RSI_ERROR_INPUT: 1,
  RSI_ERROR_STATE: 2,
  RSI_INCOMPLETE: 3,
  RSI_ERROR_UNKNOWN: 4,
} as const;
export type RsiStatus = keyof typeof RSI_STATUS;
export const RSI_STATUS_NAMES = Object.keys(RSI_STATUS) as RsiStatus[];

/** RsiResponse, X2 of RSI_IPA_STATE_SET. */
export const RsiResponse = { RSI_ACCEPT: 0, RSI_REJECT: 1 } as const;

/** RsiRipasChangeFlags, X4 of RSI_IPA_STATE_SET: whether pages with RIPAS DESTROYED may change too. */
export const RSI_RIPAS_CHANGE_FLAGS = { DESTROYED: bit(0), SBZ: bits(63, 1) } as const;

/** Measurements of a Realm: index 0 is the RIM, 1 to 4 are the REMs. */
export const MEASUREMENT_COUNT = 5;
/** Bytes of a measurement slot; a shorter digest is padded with zeros. */
export const MEASUREMENT_SIZE = 64;
/** Bytes of an attestation challenge. */
export const CHALLENGE_SIZE = 64;

/** RsiRealmConfig, written by RSI_REALM_CONFIG. DEN0137, "RsiRealmConfig type". */
export const RsiRealmConfig = layout("RsiRealmConfig", GRANULE_SIZE, {
  ipa_width: u64(0x0), // bits
  hash_algo: u8(0x8), // RmiHashAlgorithm
  rpv: bytes(0x200, 64),
});

/** RsiHostCall, the argument of RSI_HOST_CALL; 256-byte aligned, in Protected memory. DEN0137, "RsiHostCall type". */
export const RsiHostCall = layout("RsiHostCall", 0x100, {
  imm: u16(0x0),
  gprs: u64s(0x8, 31),
});
