/**
 * Expected measurements: the Realm Initial Measurement (RIM) computed from a Realm's inputs, and Realm Extensible
 * Measurements (REM), without running a Realm. DEN0137 1.0-rel0, "Realm measurements".
 *
 * This is a second implementation on purpose: it has its own layouts of what is measured and does not use the RMM's,
 * so that one mistake cannot make the expected and the attested value agree.
 *
 * @spec DEN0137 1.0-rel0, "Realm measurements": complete
 */

import { bytes, type Crypto, type HashAlgorithm, layout, u8, u64, u64s } from "@realmbox/abi";

const GRANULE = 4096;
/** RIM and REMs lie in slots of this size; a shorter digest leaves zeros behind it. */
const SLOT = 64;

/** The measured fields of RmiRealmParams; all else is hashed as zero. */
const MeasuredRealmParams = layout("measured RmiRealmParams", GRANULE, {
  flags: u64(0x00),
  s2sz: u8(0x08),
  sve_vl: u8(0x10),
  num_bps: u8(0x18),
  num_wps: u8(0x20),
  pmu_num_ctrs: u8(0x28),
  hash_algo: u8(0x30),
});

/** The measured fields of RmiRecParams. */
const MeasuredRecParams = layout("measured RmiRecParams", GRANULE, {
  flags: u64(0x000),
  pc: u64(0x200),
  gprs: u64s(0x300, 8),
});

const descriptorHead = { type: u8(0x00), length: u64(0x08), rim: bytes(0x10, SLOT) };
const DataDescriptor = layout("RmmMeasurementDescriptorData", 0x100, {
  ...descriptorHead,
  ipa: u64(0x50),
  flags: u64(0x58),
  content: bytes(0x60, SLOT),
});
const RecDescriptor = layout("RmmMeasurementDescriptorRec", 0x100, { ...descriptorHead, content: bytes(0x50, SLOT) });
const RipasDescriptor = layout("RmmMeasurementDescriptorRipas", 0x100, {
  ...descriptorHead,
  base: u64(0x50),
  top: u64(0x58),
});

/** RmiHashAlgorithm. SHA-384 is of later specifications than 1.0. */
const HASH_ALGO: Readonly<Record<HashAlgorithm, number>> = { "sha-256": 0, "sha-512": 1, "sha-384": 2 };

/** RmiDataFlags: the content is measured, not only its place. */
export const MEASURE_CONTENT = 1n;
/** RmiRecCreateFlags: the REC may be entered; others leave no trace in the RIM. */
export const RUNNABLE = 1n;

/** The measured part of a Realm's parameters, as the Host passes them. */
export interface RealmParameters {
  readonly hashAlgorithm: HashAlgorithm;
  /** RmiRealmFlags; bit 0 LPA2, bit 1 SVE, bit 2 PMU. */
  readonly flags: bigint;
  /** IPA width in bits. */
  readonly s2sz: number;
  /** SVE vector length in 128-bit units, minus 1. */
  readonly sveVl: number;
  /** Numbers of breakpoints and of watchpoints, minus 1. */
  readonly numBps: number;
  readonly numWps: number;
  readonly pmuNumCtrs: number;
}

/**
 * Follows the Host's commands that grow the RIM, in the Host's order: the value depends on it. Personalization value,
 * VMID, tables, physical addresses and unmeasured data play no part.
 */
export class RimCalculator {
  readonly #hash: (data: Uint8Array) => Uint8Array;
  #rim: Uint8Array;

  /** RMI_REALM_CREATE. */
  constructor(crypto: Crypto, parameters: RealmParameters) {
    this.#hash = (data) => crypto.hash(parameters.hashAlgorithm, data);
    this.#rim = this.#hash(
      MeasuredRealmParams.encode({
        flags: parameters.flags,
        s2sz: parameters.s2sz,
        sve_vl: parameters.sveVl,
        num_bps: parameters.numBps,
        num_wps: parameters.numWps,
        pmu_num_ctrs: parameters.pmuNumCtrs,
        hash_algo: HASH_ALGO[parameters.hashAlgorithm],
      }),
    );
  }

  /**
   * RMI_RTT_INIT_RIPAS over [base, top): one step for each table entry, so `entrySize` matters: 4 KiB at level 3,
   * 2 MiB at level 2, … as the tables were when the command ran. Without it the range is one entry.
   */
  ripas(base: bigint, top: bigint, entrySize: bigint = top - base): this {
    if (base >= top || entrySize <= 0n || (top - base) % entrySize !== 0n)
      throw new RangeError(`[${base}, ${top}) is not a run of entries of ${entrySize} bytes`);
    for (let entry = base; entry < top; entry += entrySize)
      this.#extend(2, (head) => RipasDescriptor.encode({ ...head, base: entry, top: entry + entrySize }));
    return this;
  }

  /** RMI_DATA_CREATE of one Granule of 4096 bytes. */
  data(ipa: bigint, flags: bigint, content: Uint8Array): this {
    if (content.length !== GRANULE) throw new RangeError(`a Granule has ${GRANULE} bytes, not ${content.length}`);
    const measured = (flags & MEASURE_CONTENT) !== 0n ? this.#hash(content) : new Uint8Array(SLOT);
    this.#extend(0, (head) => DataDescriptor.encode({ ...head, ipa, flags, content: measured }));
    return this;
  }

  /** RMI_REC_CREATE; `gprs` are X0 to X7, missing ones 0. */
  rec(flags: bigint, pc: bigint, gprs: readonly bigint[]): this {
    if ((flags & RUNNABLE) === 0n) return this;
    const content = this.#hash(MeasuredRecParams.encode({ flags, pc, gprs: [...gprs] }));
    this.#extend(1, (head) => RecDescriptor.encode({ ...head, content }));
    return this;
  }

  /** The RIM so far, as a token carries it: 32, 48 or 64 bytes. */
  value(): Uint8Array {
    return this.#rim.slice();
  }

  #extend(type: number, describe: (head: { type: number; length: bigint; rim: Uint8Array }) => Uint8Array): void {
    this.#rim = this.#hash(describe({ type, length: 0x100n, rim: this.#rim }));
  }
}

/** A REM after RSI_MEASUREMENT_EXTEND with `value` (0 to 64 bytes); a Realm's REMs start as zeros of the digest's size. */
export function extendRem(
  crypto: Crypto,
  hashAlgorithm: HashAlgorithm,
  rem: Uint8Array,
  value: Uint8Array,
): Uint8Array {
  return crypto.hash(hashAlgorithm, rem, value);
}
