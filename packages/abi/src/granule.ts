/**
 * Granules, physical address spaces and Security states: the words that every room shares.
 * DDI 0487 (Arm ARM), "The Granule Protection Check Mechanism"; DEN0137 1.0-rel0, "Granule".
 */

/** Size of a Granule in bytes: the unit in which memory changes its physical address space. */
export const GRANULE_SIZE = 4096;

export const isGranuleAligned = (addr: bigint): boolean => (addr & 0xfffn) === 0n;

/**
 * Physical address spaces, numbered by their architectural encoding {NSE, NS} (DDI 0487, "MFAR_EL3"), so that a value
 * can go into a register as it is.
 */
export const Pas = { SECURE: 0, NS: 1, ROOT: 2, REALM: 3 } as const;
export type Pas = (typeof Pas)[keyof typeof Pas];

export const PAS_NAMES = ["SECURE", "NS", "ROOT", "REALM"] as const;

/** Security states, with the number of the PAS that each state's own memory has. EL3 is always in Root state. */
export const SecurityState = { SECURE: 0, NON_SECURE: 1, ROOT: 2, REALM: 3 } as const;
export type SecurityState = (typeof SecurityState)[keyof typeof SecurityState];

/** Granule Protection Information values of a GPT entry. DDI 0487, "GPT entry formats". */
export const Gpi = { NO_ACCESS: 0x0, SECURE: 0x8, NS: 0x9, ROOT: 0xa, REALM: 0xb, ANY: 0xf } as const;
export type Gpi = (typeof Gpi)[keyof typeof Gpi];
