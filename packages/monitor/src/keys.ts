/**
 * Keys and identities of the platform. On silicon a hardware-enforced security subsystem holds them; here they follow
 * from the machine's seed, so that equal seeds make equal tokens. P-384 throughout.
 *
 * The platform key (CPAK) depends on the seed alone: it identifies the machine. The Realm attestation key (RAK) depends
 * on the measurements as well: other firmware gets another key.
 */
import type { Crypto } from "@realmbox/abi";

/** Order of the P-384 group. SP 800-186, 3.2.1.4. */
const P384_N = 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n;
const SCALAR_SIZE = 48;

export interface Seed {
  readonly crypto: Crypto;
  /** The machine's seed: any bytes. */
  readonly seed: Uint8Array;
}

const utf8 = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

/**
 * A private scalar in [1, n - 1] out of 512 bits: 128 more than the group has, so the bias of the reduction is below
 * 2^-128 (FIPS 186-5, A.2.1). Every input is hashed on its own first, so no two inputs run together.
 */
export function deriveScalar(crypto: Crypto, label: string, ...inputs: readonly Uint8Array[]): Uint8Array {
  const digest = crypto.hash("sha-512", ...[utf8(label), ...inputs].map((part) => crypto.hash("sha-512", part)));
  const wide = digest.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  let scalar = (wide % (P384_N - 1n)) + 1n;
  const bytes = new Uint8Array(SCALAR_SIZE);
  for (let i = SCALAR_SIZE - 1; i >= 0; i--) {
    bytes[i] = Number(scalar & 0xffn);
    scalar >>= 8n;
  }
  return bytes;
}

/** The platform attestation key's private scalar. */
export const deriveCpak = ({ crypto, seed }: Seed): Uint8Array => deriveScalar(crypto, "realmbox CPAK", seed);

/** The Realm attestation key's private scalar. */
export const deriveRak = ({ crypto, seed }: Seed, measurements: readonly Uint8Array[]): Uint8Array =>
  deriveScalar(crypto, "realmbox RAK", seed, ...measurements);

/** What identifies a platform in its tokens, without the keys. */
export interface PlatformIdentity {
  /** The platform's design: 32 bytes. */
  readonly implementationId: Uint8Array;
  /** This platform: 0x01 and 32 bytes that stand for its key (an EAT UEID of type RAND). */
  readonly instanceId: Uint8Array;
  /** The platform attestation key, public: 0x04 || X || Y. */
  readonly cpak: Uint8Array;
}

/** The identity of the machine with this board name and seed; what endorsements are made of. */
export function platformIdentity({ crypto, seed }: Seed, boardName: string): PlatformIdentity {
  const cpak = crypto.ecPublicKey("P-384", deriveCpak({ crypto, seed }));
  const instanceId = new Uint8Array(33);
  instanceId[0] = 0x01;
  instanceId.set(crypto.hash("sha-256", cpak), 1);
  return { implementationId: crypto.hash("sha-256", utf8(`realmbox board ${boardName}`)), instanceId, cpak };
}

/**
 * Who signed the firmware: the hash of a public key, as the token's signer id. There is one signer, whose key follows
 * from a constant: anybody can sign for this platform, and nobody should take it for more.
 */
export const signerId = (crypto: Crypto): Uint8Array =>
  crypto.hash("sha-256", crypto.ecPublicKey("P-384", deriveScalar(crypto, "realmbox firmware signer")));
