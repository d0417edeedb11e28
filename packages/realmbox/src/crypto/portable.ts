/**
 * The cryptography of abi's `Crypto` in plain JavaScript, for a page and wherever no native one is at hand: SHA-2
 * (FIPS 180-4) and ECDSA with deterministic nonces (RFC 6979), from the noble libraries. Synchronous throughout, which
 * WebCrypto is not. `node.ts` replaces the hot parts under Node.
 */

import { ecdsa } from "@noble/curves/abstract/weierstrass.js";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import type { Crypto, EcCurve, HashAlgorithm } from "@realmbox/abi";

const HASHES = { "sha-256": sha256, "sha-384": sha384, "sha-512": sha512 } as const;
const CURVES = { "P-256": p256, "P-384": p384, "P-521": p521 } as const;

/** Bytes of a field element, which is also the size of a scalar and of each half of a signature. */
export const COORDINATE_SIZE: Readonly<Record<EcCurve, number>> = { "P-256": 32, "P-384": 48, "P-521": 66 };

// A run makes two or three signatures. Tables of 3-bit windows cost 40 ms less to build than the library's 6-bit ones, and
// a signature 1 ms more (P-384, Node 20).
for (const { Point } of Object.values(CURVES)) Point.BASE.precompute(3);

// The nonce generator runs on the message's hash (RFC 6979, 3.2), so each pair of curve and hash is its own scheme.
// Made on first use: deriving one costs a few milliseconds that a run without a token need not pay.
const schemes = new Map<string, ReturnType<typeof ecdsa>>();
function scheme(curve: EcCurve, hash: HashAlgorithm): ReturnType<typeof ecdsa> {
  const key = `${curve} ${hash}`;
  let found = schemes.get(key);
  if (!found) schemes.set(key, (found = ecdsa(CURVES[curve].Point, HASHES[hash])));
  return found;
}

// COSE (RFC 9053, 2.1) takes s as it comes out of the algorithm; the low-S rule belongs to other ecosystems.
const OPTIONS = { lowS: false, prehash: true, format: "compact" } as const;

/** The portable implementation. */
export const portableCrypto: Crypto = {
  hash(algorithm, ...parts) {
    const state = HASHES[algorithm].create();
    for (const part of parts) state.update(part);
    return state.digest();
  },

  ecPublicKey(curve, privateKey) {
    return CURVES[curve].getPublicKey(privateKey, false);
  },

  ecSign(curve, hash, privateKey, message) {
    return scheme(curve, hash).sign(message, privateKey, { ...OPTIONS, extraEntropy: false });
  },

  ecVerify(curve, hash, publicKey, message, signature) {
    const size = COORDINATE_SIZE[curve];
    if (publicKey.length !== 1 + 2 * size || publicKey[0] !== 4 || signature.length !== 2 * size) return false;
    try {
      return scheme(curve, hash).verify(signature, message, publicKey, OPTIONS);
    } catch {
      return false; // the library throws for a point off the curve and for r or s out of range
    }
  },
};
