/**
 * The Root Monitor's memory: the Root carve-out of the board. All monitor state that outlives a step is here, so that a
 * snapshot of memory is a snapshot of the monitor.
 *
 *   + 0x000_0000  64 KiB   code's place: VBAR_EL3 points here; native firmware leaves it empty
 *   + 0x001_0000  4 KiB    globals: state of the RMM, keys, measurements
 *   + 0x001_1000  4 KiB    platform token under way
 *   + 0x001_4000  16 KiB   PSCI's power domains, 256 bytes for each PE (services/power-domains.ts)
 *   + 0x002_0000  256 KiB  PE contexts, 4 KiB each
 *   + 0x006_0000  512 KiB  PE contexts of the Secure world, 8 KiB each (secure-world.ts)
 *   + 0x010_0000  2 MiB    GPT level 0, and
 *   + 0x030_0000           GPT level 1, 128 KiB for each GiB that needs one: unless the board has places for them
 *
 * PE context: two world contexts (Non-secure, Realm), then the power state. A world context holds what the world switch
 * swaps (world.ts).
 */
import { bytes, GRANULE_SIZE, layout, u32, u64 } from "@realmbox/abi";
import { type Board, GROUPS } from "@realmbox/machine";

export const PES_MAX = 64;
export const SECURE_CONTEXT_SIZE = 2 * GRANULE_SIZE;
/** What PSCI remembers of a PE. */
export const DOMAIN_RECORD_SIZE = 256;

export interface MonitorMap {
  readonly vectors: bigint;
  readonly globals: bigint;
  readonly token: bigint;
  readonly powerDomains: bigint;
  readonly l0: bigint;
  readonly l1: bigint;
  /** End of the level 1 tables' place. */
  readonly end: bigint;
  /** The context of a PE. */
  context(pe: number): bigint;
  /** A PE's context of the Secure world. */
  secureContext(pe: number): bigint;
}

export function monitorMap({ root, gpt }: Pick<Board, "root" | "gpt">): MonitorMap {
  const at = (offset: number) => root.base + BigInt(offset);
  return {
    vectors: at(0),
    globals: at(0x1_0000),
    token: at(0x1_1000),
    powerDomains: at(0x1_4000),
    l0: gpt?.l0.base ?? at(0x10_0000),
    l1: gpt?.l1.base ?? at(0x30_0000),
    end: gpt ? gpt.l1.base + gpt.l1.size : root.base + root.size,
    context: (pe) => at(0x2_0000 + pe * GRANULE_SIZE),
    secureContext: (pe) => at(0x6_0000 + pe * SECURE_CONTEXT_SIZE),
  };
}

/** What the monitor can say about the RMM. */
export const RmmState = {
  /** No image was given. */
  ABSENT: 0,
  /** Every boot so far was successful, or is under way. */
  ALIVE: 1,
  /** A boot failed: no PE enters the RMM any more, until the next reset. */
  FAILED: 2,
} as const;

/** What the RMM is on one PE. */
export const RmmOnPe = { NONE: 0, BOOTING: 1, READY: 2 } as const;
export type RmmOnPe = (typeof RmmOnPe)[keyof typeof RmmOnPe];

/** Software components that a platform token can carry. */
export const COMPONENTS_MAX = 8;
export const MEASUREMENT_SIZE = 32;

export const GlobalsLayout = layout("Root Monitor globals", GRANULE_SIZE, {
  magic: u64(0x0), // GLOBALS_MAGIC once the cold boot has begun
  rmm_state: u32(0x8),
  component_count: u32(0xc),
  token_size: u32(0x10), // 0: no platform token is under way
  token_offset: u32(0x14),
  cpak: bytes(0x40, 48), // CCA platform attestation key, P-384 scalar, big-endian
  rak: bytes(0x80, 48), // Realm attestation key, likewise
  measurements: bytes(0x100, COMPONENTS_MAX * MEASUREMENT_SIZE), // in the order of the boot
});
/** "MONITOR\0" */
export const GLOBALS_MAGIC = 0x0052_4f54_494e_4f4dn;

/** What a PE is doing, for PSCI. */
export const Power = { OFF: 0, ON_PENDING: 1, ON: 2, STANDBY: 3, POWERDOWN: 4 } as const;
export type Power = (typeof Power)[keyof typeof Power];

const GPR_SIZE = 31 * 8;
const EL2_SIZE = GROUPS.EL2.count * 8;
const KEYS_SIZE = 10 * 8;

/** Offsets in a world context. */
export const WorldLayout = layout("world context", 0x600, {
  gpr: bytes(0x0, GPR_SIZE), // X0 to X30
  sp_el0: u64(0xf8),
  elr_el3: u64(0x100),
  spsr_el3: u64(0x108),
  ich: bytes(0x110, 16), // ICH_HCR_EL2, ICH_VMCR_EL2
  keys: bytes(0x120, KEYS_SIZE), // APIA, APIB, APDA, APDB, APGA
  el2: bytes(0x180, EL2_SIZE), // the EL2 group
});

/** Offsets in a PE context. */
export const CONTEXT_NS = 0x0;
export const CONTEXT_REALM = WorldLayout.size;
const AFTER_WORLDS = 2 * WorldLayout.size;

export const PeContextLayout = layout("PE context", GRANULE_SIZE, {
  power: u32(AFTER_WORLDS),
  rmm: u32(AFTER_WORLDS + 4), // RmmOnPe
  /** Where the Non-secure world starts, from PSCI_CPU_ON or CPU_SUSPEND, and its X0. */
  entry: u64(AFTER_WORLDS + 8),
  context_id: u64(AFTER_WORLDS + 16),
});
