/**
 * The RIM and REMs as DEN0137 1.0-rel0, "Realm Initial Measurement" and "Realm Extensible Measurement", define them, from
 * the calls that a case has made: written apart from the RMM's own.
 */
import { type Crypto, RmiRealmParams, RmiRecParams } from "@realmbox/abi";
import type { Realm, RealmParams, RecParams } from "../driver/index.js";

export type HashName = "sha-256" | "sha-512";
export const hashName = (realm: Pick<Realm, "params">): HashName =>
  realm.params.hash_algo === 1 ? "sha-512" : "sha-256";

const SLOT = 64;
const DESCRIPTOR = 0x100;

/** A digest in its slot of 64 bytes. */
function slot(crypto: Crypto, hash: HashName, data: Uint8Array): Uint8Array {
  const value = new Uint8Array(SLOT);
  value.set(crypto.hash(hash, data));
  return value;
}

/** After RMI_REALM_CREATE. */
export function initialRim(crypto: Crypto, hash: HashName, params: RealmParams): Uint8Array {
  const { flags, s2sz, sve_vl, num_bps, num_wps, pmu_num_ctrs, hash_algo } = params;
  const measured = { flags, s2sz, sve_vl, num_bps, num_wps, pmu_num_ctrs, hash_algo };
  return slot(crypto, hash, RmiRealmParams.encode(defined(measured)));
}

type Descriptor = (put: DataView, bytes: Uint8Array) => void;

function extend(crypto: Crypto, hash: HashName, type: number, rim: Uint8Array, fill: Descriptor): Uint8Array {
  const bytes = new Uint8Array(DESCRIPTOR);
  const view = new DataView(bytes.buffer);
  bytes[0] = type;
  view.setBigUint64(0x8, BigInt(DESCRIPTOR), true);
  bytes.set(rim, 0x10);
  fill(view, bytes);
  return slot(crypto, hash, bytes);
}

/** After RMI_DATA_CREATE; `content` when it was measured. */
export const afterData = (
  crypto: Crypto,
  hash: HashName,
  rim: Uint8Array,
  { ipa, flags, content }: { readonly ipa: bigint; readonly flags: bigint; readonly content?: Uint8Array },
): Uint8Array =>
  extend(crypto, hash, 0, rim, (view, bytes) => {
    view.setBigUint64(0x50, ipa, true);
    view.setBigUint64(0x58, flags, true);
    if (content) bytes.set(slot(crypto, hash, content), 0x60);
  });

/** After RMI_REC_CREATE of a runnable REC. */
export const afterRec = (crypto: Crypto, hash: HashName, rim: Uint8Array, { flags, pc, gprs }: RecParams): Uint8Array =>
  extend(crypto, hash, 1, rim, (_, bytes) => {
    bytes.set(slot(crypto, hash, RmiRecParams.encode(defined({ flags, pc, gprs }))), 0x50);
  });

/** After RMI_RTT_INIT_RIPAS of one entry. */
export const afterRipas = (
  crypto: Crypto,
  hash: HashName,
  rim: Uint8Array,
  { base, top }: { readonly base: bigint; readonly top: bigint },
): Uint8Array =>
  extend(crypto, hash, 2, rim, (view) => {
    view.setBigUint64(0x50, base, true);
    view.setBigUint64(0x58, top, true);
  });

/** A measurement slot as the registers of RSI_MEASUREMENT_READ. */
export function asRegisters(value: Uint8Array): bigint[] {
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  return Array.from({ length: SLOT / 8 }, (_, i) => view.getBigUint64(8 * i, true));
}

/** The RIM of `runningRealm` with one REC: BUFFER, unmeasured and zero; the agent's page, likewise unmeasured; its REC. */
export function rimOfAgentRealm(crypto: Crypto, realm: Realm): bigint[] {
  const hash = hashName(realm);
  let rim = initialRim(crypto, hash, realm.params);
  rim = afterData(crypto, hash, rim, { ipa: 0x8000n, flags: 0n });
  rim = afterData(crypto, hash, rim, { ipa: 0x1000n, flags: 0n });
  return asRegisters(afterRec(crypto, hash, rim, { flags: 1n, pc: 0x1000n }));
}

/** A REM extended with the first `size` bytes of X3 to X10: exactly those, as TF-RMM and every verifier have it. */
export function extended(
  crypto: Crypto,
  hash: HashName,
  rem: Uint8Array,
  value: readonly bigint[],
  size: number,
): Uint8Array<ArrayBuffer> {
  const registers = new Uint8Array(SLOT);
  const view = new DataView(registers.buffer);
  for (const [i, word] of value.entries()) view.setBigUint64(8 * i, word, true);
  const length = hash === "sha-512" ? 64 : 32;
  const data = new Uint8Array(length + size);
  data.set(rem.subarray(0, length));
  data.set(registers.subarray(0, size), length);
  const result = new Uint8Array(SLOT);
  result.set(crypto.hash(hash, data));
  return result;
}

/** Without the properties that are undefined. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
