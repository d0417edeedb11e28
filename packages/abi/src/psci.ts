/**
 * PSCI: function identifiers and return codes, for the Root Monitor (towards the Host), the RMM (towards Realms) and
 * the Host (towards normal VMs). DEN0022 1.1.
 */

/** Function identifiers. `_64` is the SMC64 form of a function that has both. */
export const PSCI_FID = {
  PSCI_VERSION: 0x8400_0000n,
  PSCI_CPU_SUSPEND: 0x8400_0001n,
  PSCI_CPU_SUSPEND_64: 0xc400_0001n,
  PSCI_CPU_OFF: 0x8400_0002n,
  PSCI_CPU_ON: 0x8400_0003n,
  PSCI_CPU_ON_64: 0xc400_0003n,
  PSCI_AFFINITY_INFO: 0x8400_0004n,
  PSCI_AFFINITY_INFO_64: 0xc400_0004n,
  PSCI_MIGRATE: 0x8400_0005n,
  PSCI_MIGRATE_INFO_TYPE: 0x8400_0006n,
  PSCI_SYSTEM_OFF: 0x8400_0008n,
  PSCI_SYSTEM_RESET: 0x8400_0009n,
  PSCI_FEATURES: 0x8400_000an,
  PSCI_SYSTEM_SUSPEND: 0x8400_000en,
  PSCI_SYSTEM_SUSPEND_64: 0xc400_000en,
} as const;
export type PsciFunction = keyof typeof PSCI_FID;

/** The standard service ranges that PSCI owns. */
export const PSCI_FID_FIRST = 0x8400_0000n;
export const PSCI_FID_LAST = 0x8400_001fn;
export const PSCI_FID_FIRST_64 = 0xc400_0000n;
export const PSCI_FID_LAST_64 = 0xc400_001fn;

/** PSCI_VERSION's answer: 1.1. */
export const PSCI_VERSION_1_1 = 0x0001_0001n;

/** Return codes, signed; X0 holds them sign-extended to 64 bits (`psciCode`). */
export const PSCI_STATUS = {
  PSCI_SUCCESS: 0n,
  PSCI_NOT_SUPPORTED: -1n,
  PSCI_INVALID_PARAMETERS: -2n,
  PSCI_DENIED: -3n,
  PSCI_ALREADY_ON: -4n,
  PSCI_ON_PENDING: -5n,
  PSCI_INTERNAL_FAILURE: -6n,
  PSCI_NOT_PRESENT: -7n,
  PSCI_DISABLED: -8n,
  PSCI_INVALID_ADDRESS: -9n,
} as const;
export type PsciStatus = keyof typeof PSCI_STATUS;

/** A return code as the 64-bit register value. */
export const psciCode = (status: PsciStatus): bigint => BigInt.asUintN(64, PSCI_STATUS[status]);

/** PSCI_AFFINITY_INFO's answers besides errors. */
export const PSCI_AFFINITY = { ON: 0n, OFF: 1n, ON_PENDING: 2n } as const;
