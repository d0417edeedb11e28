/**
 * Cryptography comes in through this interface: synchronous, because a measurement is extended in the middle of a
 * command, and deterministic, because two runs with the same inputs must make the same token. `realmbox` provides it.
 */

export type HashAlgorithm = "sha-256" | "sha-384" | "sha-512";
/** Curves by their JOSE names. */
export type EcCurve = "P-256" | "P-384" | "P-521";

export interface Crypto {
  /** The digest of the concatenation of `parts`: 32, 48 or 64 bytes. */
  hash(algorithm: HashAlgorithm, ...parts: readonly Uint8Array[]): Uint8Array;
  /**
   * The public key that belongs to a private scalar (big-endian, 32, 48 or 66 bytes), as an uncompressed point
   * 0x04 || X || Y (SEC 1, 2.3.3). Throws on a scalar that is 0 or not below the group order.
   */
  ecPublicKey(curve: EcCurve, privateKey: Uint8Array): Uint8Array;
  /** A deterministic ECDSA signature (RFC 6979) r || s over a message that is hashed with `hash` first. */
  ecSign(curve: EcCurve, hash: HashAlgorithm, privateKey: Uint8Array, message: Uint8Array): Uint8Array;
  /** Whether r || s is a valid ECDSA signature; false, never an exception, for a malformed key or signature. */
  ecVerify(
    curve: EcCurve,
    hash: HashAlgorithm,
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ): boolean;
}
