/**
 * Realm Descriptor: one granule that identifies a Realm. DEN0137 1.0-rel0, "Realm". The number of its RECs is the
 * granule's reference count.
 */
import { bytes, GRANULE_SIZE, layout, MEASUREMENT_COUNT, MEASUREMENT_SIZE, u8, u32, u64 } from "@realmbox/abi";
import { structClass } from "../struct.js";
import { frameOfWords, toNumber } from "../views.js";

/** RmmRealmState. */
export const RealmState = { NEW: 0, ACTIVE: 1, SYSTEM_OFF: 2 } as const;

export const RdLayout = layout("RD", GRANULE_SIZE, {
  state: u8(0x0), // RealmState
  hash_algo: u8(0x1), // RmiHashAlgorithm
  ipa_width: u8(0x2),
  num_bps: u8(0x3), // minus one, as in the parameters
  num_wps: u8(0x4),
  pmu: u8(0x5), // 1: the Realm has a PMU
  pmu_num_ctrs: u8(0x6), // as in the parameters
  rec_index: u32(0x8), // of the next REC; never goes back
  rtt_base: u64(0x10),
  rtt_level_start: u32(0x18),
  rtt_num_start: u32(0x1c),
  vmid: u32(0x20),
  vtcr: u64(0x28),
  vttbr: u64(0x30),
  rpv: bytes(0x40, 64),
  measurements: bytes(0x80, MEASUREMENT_COUNT * MEASUREMENT_SIZE), // RIM, REM[0] to REM[3]
});

const RTT_BASE = RdLayout.fields.rtt_base.offset / 4;
/** Pages of the Protected half by IPA width. */
const PROTECTED_PAGES = Array.from({ length: 65 }, (_, width) => 2 ** (width - 1 - 12));

export class Rd extends structClass(RdLayout) {
  /** First IPA of the Unprotected half, and size of the Protected one. DEN0137, "Protected IPA". */
  get protectedSize(): bigint {
    return 1n << BigInt(this.ipa_width - 1);
  }

  /** Size of the IPA space. */
  get ipaSize(): bigint {
    return 1n << BigInt(this.ipa_width);
  }

  isProtected(ipa: bigint): boolean {
    return toNumber(ipa) < PROTECTED_PAGES[this.ipa_width]! * GRANULE_SIZE;
  }

  /** The same of a page of the IPA space, by its number. */
  isProtectedPage(page: number): boolean {
    return page < PROTECTED_PAGES[this.ipa_width]!;
  }

  /** Frame number of the first start table. */
  get rttFrame(): number {
    return frameOfWords(this.words[RTT_BASE]!, this.words[RTT_BASE + 1]!);
  }

  /** A measurement slot, in place: 0 is the RIM, 1 to 4 are the REMs. */
  measurement(index: number): Uint8Array {
    const start = RdLayout.fields.measurements.offset + index * MEASUREMENT_SIZE;
    return this.bytes.subarray(start, start + MEASUREMENT_SIZE);
  }
}
