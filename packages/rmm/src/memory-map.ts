/**
 * The RMM's own memory, in the Realm carve-out of the board: everything that no Host granule holds.
 *
 *   + 0x00_0000  1 MiB   left to EL3: the RMM-EL3 shared page lies here, or after the granule table
 *   + 0x10_0000  4 KiB   globals: what cold boot found out
 *   + 0x10_1000  8 KiB   VMIDs in use, one bit each
 *   + 0x10_3000  4 KiB   keys: Realm Attestation Key (RAK), private and public
 *   + 0x10_4000  4 KiB   CCA platform token of this boot
 *   + 0x10_8000  256 KiB PE contexts, 4 KiB each
 *   + 0x15_0000          granule table, 2 bytes for each granule of the manifest's DRAM banks
 *
 * A snapshot of memory is a snapshot of the RMM: no object outlives a step.
 */
import { bytes, GRANULE_SIZE, layout, RMM_MANIFEST_BANKS_MAX, u32, u64, u64s } from "@realmbox/abi";
import { GROUPS, type MemoryRange } from "@realmbox/machine";
import type { PeRegisters } from "./rec/registers.js";
import { structClass } from "./struct.js";
import { frameOfWords } from "./views.js";

/** PEs that the PE contexts have room for. */
export const RMM_PES_MAX = 64;
/** Bytes for each granule in the granule table. */
export const GRANULE_ENTRY_SIZE = 2;

export interface MemoryMap {
  readonly carveOut: MemoryRange;
  readonly globals: bigint;
  readonly vmids: bigint;
  readonly keys: bigint;
  readonly platformToken: bigint;
  readonly peContexts: bigint;
  readonly granuleTable: bigint;
}

export function memoryMap(carveOut: MemoryRange): MemoryMap {
  const at = (offset: number) => carveOut.base + BigInt(offset);
  return {
    carveOut,
    globals: at(0x10_0000),
    vmids: at(0x10_1000),
    keys: at(0x10_3000),
    platformToken: at(0x10_4000),
    peContexts: at(0x10_8000),
    granuleTable: at(0x15_0000),
  };
}

export const PLATFORM_TOKEN_SIZE_MAX = GRANULE_SIZE;

/** What cold boot found out about machine and manifest. */
export const GlobalsLayout = layout("RMM globals", GRANULE_SIZE, {
  magic: u64(0x0), // GLOBALS_MAGIC once cold boot has succeeded
  pe_count: u32(0x8),
  bank_count: u32(0xc),
  bank_base: u64s(0x10, RMM_MANIFEST_BANKS_MAX),
  bank_size: u64s(0x20, RMM_MANIFEST_BANKS_MAX),
  shared_page: u64(0x30), // RMM-EL3 shared page
  feature_register_0: u64(0x38),
  ich_vtr: u64(0x40), // ICH_VTR_EL2
  pa_range: u32(0x50), // ID_AA64MMFR0_EL1.PARange, as VTCR_EL2.PS takes it
  vmid_bits: u32(0x54), // 8 or 16
  attestation: u32(0x58), // 1: RAK and platform token are there
  platform_token_size: u32(0x5c),
});
/** "RMM 1.0\0" */
export const GLOBALS_MAGIC = 0x0030_2e31_204d_4d52n;
export class Globals extends structClass(GlobalsLayout) {}

/** Keys of this boot. The public key is a COSE_Key, as the Realm token carries it. */
export const KeysLayout = layout("RMM keys", GRANULE_SIZE, {
  rak_private: bytes(0x0, 48), // P-384 scalar, big-endian
  rak_public_size: u32(0x40),
  rak_public: bytes(0x80, 256),
});
export class Keys extends structClass(KeysLayout) {}

/** What a PE remembers while it runs a REC: whose, and the Host's state that the REC's displaced. */
export const PeContextLayout = layout("RMM PE context", GRANULE_SIZE, {
  rec: u64(0x0), // the REC that runs on this PE, 0: none
  run: u64(0x8), // its RmiRecRun, in NS memory
  x4: u64(0x10), // the Host's X4, which RMI preserves
  fp_loaded: u32(0x18), // 1: the SIMD registers hold the REC's state, the Host's is in `host_fp`
  host_el1: bytes(0x100, GROUPS.EL1.count * 8),
  host_debug: bytes(0x700, GROUPS.DEBUG.count * 8), // while the REC's MDSCR_EL1.MDE is set
  host_pmu: bytes(0x740, GROUPS.PMU.count * 8), // while a REC with a PMU runs
  host_fp: bytes(0x800, GROUPS.FP.count * 8),
});
const REC = PeContextLayout.fields.rec.offset / 4;
const RUN = PeContextLayout.fields.run.offset / 4;

export class PeContext extends structClass(PeContextLayout) {
  /** Frame numbers of the REC that runs and of its RmiRecRun; 0: none. */
  get recFrame(): number {
    return frameOfWords(this.words[REC]!, this.words[REC + 1]!);
  }

  get runFrame(): number {
    return frameOfWords(this.words[RUN]!, this.words[RUN + 1]!);
  }

  /** Where the Host's state is put aside, as words. */
  readonly blocks = {
    debug: this.page.wordsOf(PeContextLayout.fields.host_debug),
    pmu: this.page.wordsOf(PeContextLayout.fields.host_pmu),
    fp: this.page.wordsOf(PeContextLayout.fields.host_fp),
  };
  /** The PE whose context it is: put here by whoever looks for the context. */
  registers!: PeRegisters;
}
