/**
 * Realm measurements: the RIM, extended by the Host's commands while the Realm is NEW, and four REMs that the Realm
 * extends. DEN0137 1.0-rel0, "Realm measurements", "RmmMeasurementDescriptor*". A slot has 64 bytes; a shorter digest is
 * padded with zeros, and so it enters descriptors.
 */
import {
  bytes,
  type Crypto,
  type HashAlgorithm,
  layout,
  MEASUREMENT_SIZE,
  RmiHashAlgorithm,
  RmiRealmParams,
  RmiRecParams,
  u8,
  u64,
} from "@realmbox/abi";
import type { Rd } from "../realm/rd.js";
import { structClass } from "../struct.js";
import { Page } from "../views.js";

/** Size of every measurement descriptor. */
const DESCRIPTOR_SIZE = 0x100;
const head = { desc_type: u8(0x0), len: u64(0x8), rim: bytes(0x10, MEASUREMENT_SIZE) };

/** RmmMeasurementDescriptorData */
const DataDescriptor = layout("RmmMeasurementDescriptorData", DESCRIPTOR_SIZE, {
  ...head,
  ipa: u64(0x50),
  flags: u64(0x58), // as the Host gave them
  content: bytes(0x60, MEASUREMENT_SIZE),
});
/** RmmMeasurementDescriptorRec */
const RecDescriptor = layout("RmmMeasurementDescriptorRec", DESCRIPTOR_SIZE, {
  ...head,
  content: bytes(0x50, MEASUREMENT_SIZE),
});
/** RmmMeasurementDescriptorRipas */
const RipasDescriptor = layout("RmmMeasurementDescriptorRipas", DESCRIPTOR_SIZE, {
  ...head,
  base: u64(0x50),
  top: u64(0x58), // exclusive
});
/** Where it is put together: once for each granule of an image, where `encode` takes 2 us. */
const dataDescriptor = new (structClass(DataDescriptor))(Page.scratch(DESCRIPTOR_SIZE));

const DESC_TYPE = { DATA: 0, REC: 1, RIPAS: 2 } as const;

const ALGORITHMS: Readonly<Record<number, HashAlgorithm>> = {
  [RmiHashAlgorithm.SHA_256]: "sha-256",
  [RmiHashAlgorithm.SHA_512]: "sha-512",
};

/** The Realm's hash algorithm, by the name that the token carries. */
export const hashAlgorithm = (rd: Rd): HashAlgorithm => ALGORITHMS[rd.hash_algo]!;

/** Bytes of a digest in the Realm's algorithm. */
export const digestSize = (rd: Rd): number => (rd.hash_algo === RmiHashAlgorithm.SHA_256 ? 32 : 64);

function setMeasurement(rd: Rd, index: number, digest: Uint8Array): void {
  const slot = rd.measurement(index);
  slot.fill(0);
  slot.set(digest);
}

/** RIM after RMI_REALM_CREATE, of an RD whose `hash_algo` is set: the hash of the parameters that are measured. */
export function initRim(crypto: Crypto, rd: Rd, params: RealmParams): void {
  const { flags, s2sz, sve_vl, num_bps, num_wps, pmu_num_ctrs, hash_algo } = params;
  const measured = RmiRealmParams.encode({ flags, s2sz, sve_vl, num_bps, num_wps, pmu_num_ctrs, hash_algo });
  setMeasurement(rd, 0, crypto.hash(hashAlgorithm(rd), measured));
}
type RealmParams = ReturnType<typeof RmiRealmParams.decode>;

function extendRim(crypto: Crypto, rd: Rd, descriptor: Uint8Array): void {
  setMeasurement(rd, 0, crypto.hash(hashAlgorithm(rd), descriptor));
}

/** RIM after RMI_DATA_CREATE; `content` is the granule's, undefined when the Host asked not to measure it. */
export function extendRimData(
  crypto: Crypto,
  rd: Rd,
  { ipa, flags, content }: { ipa: bigint; flags: bigint; content: Uint8Array | undefined },
): void {
  const descriptor = dataDescriptor;
  descriptor.bytes.fill(0);
  descriptor.desc_type = DESC_TYPE.DATA;
  descriptor.len = BigInt(DESCRIPTOR_SIZE);
  descriptor.rim = rd.measurement(0);
  descriptor.ipa = ipa;
  descriptor.flags = flags;
  if (content) descriptor.content = crypto.hash(hashAlgorithm(rd), content);
  extendRim(crypto, rd, descriptor.bytes);
}

/** RIM after RMI_REC_CREATE of a runnable REC. */
export function extendRimRec(
  crypto: Crypto,
  rd: Rd,
  { flags, pc, gprs }: { flags: bigint; pc: bigint; gprs: bigint[] },
): void {
  const measured = RmiRecParams.encode({ flags, pc, gprs });
  extendRim(
    crypto,
    rd,
    RecDescriptor.encode({
      desc_type: DESC_TYPE.REC,
      len: BigInt(DESCRIPTOR_SIZE),
      rim: rd.measurement(0),
      content: crypto.hash(hashAlgorithm(rd), measured),
    }),
  );
}

/** RIM after RMI_RTT_INIT_RIPAS of one RTT entry that covers [base, top). */
export function extendRimRipas(crypto: Crypto, rd: Rd, { base, top }: { base: bigint; top: bigint }): void {
  extendRim(
    crypto,
    rd,
    RipasDescriptor.encode({
      desc_type: DESC_TYPE.RIPAS,
      len: BigInt(DESCRIPTOR_SIZE),
      rim: rd.measurement(0),
      base,
      top,
    }),
  );
}

/** A REM after RSI_MEASUREMENT_EXTEND: the hash of the old digest and the value, neither of them padded. */
export function extendRem(crypto: Crypto, rd: Rd, index: number, value: Uint8Array): void {
  const old = rd.measurement(index).subarray(0, digestSize(rd));
  setMeasurement(rd, index, crypto.hash(hashAlgorithm(rd), old, value));
}
