/**
 * What the engine knows of pointer authentication at the current EL: one word of the PE's state (PAUTH), made by the
 * machine (`pauthWord` of ../pauth.ts) whenever a register or a level changes that it depends on.
 */

/** Bits of PAUTH; the enables stand where SCTLR_ELx has them. DDI 0487, "SCTLR_EL1". */
export const PAUTH = {
  ENIA: 1 << 31,
  ENIB: 1 << 30,
  ENDA: 1 << 27,
  ENDB: 1 << 13,
  /** The instructions trap (HCR_EL2.API, SCR_EL3.API): they go to the host. */
  TRAP: 1 << 0,
} as const;

/** Some key is enabled. */
export const PAUTH_ENABLES = PAUTH.ENIA | PAUTH.ENIB | PAUTH.ENDA | PAUTH.ENDB;

/** The lowest bit of the authentication code, six bits each: of addresses with bit 55 = 0, and with bit 55 = 1. */
export const PAUTH_BOTTOM = [1, 7] as const;
/** Whether the top byte is ignored, a bit each: of addresses with bit 55 = 0, and the one above with bit 55 = 1. */
export const PAUTH_TBI = { DATA: 14, INSTRUCTION: 16 } as const;

/** A key of pointer authentication, as instructions name them. */
export interface PauthKey {
  readonly name: "IA" | "IB" | "DA" | "DB";
  readonly enable: number;
  readonly data: boolean;
  /** What a failed authentication leaves in the pointer. */
  readonly errorCode: 1 | 2;
}

/** By the two low bits of the instructions' opcode. */
export const PAUTH_KEYS: readonly [PauthKey, PauthKey, PauthKey, PauthKey] = [
  { name: "IA", enable: PAUTH.ENIA, data: false, errorCode: 1 },
  { name: "IB", enable: PAUTH.ENIB, data: false, errorCode: 2 },
  { name: "DA", enable: PAUTH.ENDA, data: true, errorCode: 1 },
  { name: "DB", enable: PAUTH.ENDB, data: true, errorCode: 2 },
];

/**
 * The IMPLEMENTATION DEFINED algorithm (ID_AA64ISAR1_EL1.{API, GPI}): the mix of xxHash64 over four words, seed 1. Not
 * meant to resist anybody who can choose inputs, like any that software emulates quickly.
 */
export const XXHASH64 = {
  P1: 0x9e37_79b1_85eb_ca87n,
  P2: 0xc2b2_ae3d_27d4_eb4fn,
  P3: 0x1656_67b1_9e37_79f9n,
  P4: 0x85eb_ca77_c2b2_ae63n,
  SEED: 1n,
  /** Left rotations that merge the four lanes. */
  MERGE: [1n, 7n, 12n, 18n],
} as const;
