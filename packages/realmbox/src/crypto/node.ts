/**
 * abi's `Crypto` under Node: hashing and signature checks by OpenSSL, where they are about ten times faster; key
 * derivation and signing stay with `portable.ts`, because OpenSSL's ECDSA draws a random nonce and two runs with the
 * same inputs would make different tokens.
 */

import { Buffer } from "node:buffer";
import { createHash, createPublicKey, verify } from "node:crypto";
import type { Crypto, HashAlgorithm } from "@realmbox/abi";
import { portableCrypto } from "./portable.js";

const NODE_NAME: Readonly<Record<HashAlgorithm, string>> = {
  "sha-256": "sha256",
  "sha-384": "sha384",
  "sha-512": "sha512",
};

/** The implementation for Node; every result equals that of `portableCrypto`. */
export const nodeCrypto: Crypto = {
  ...portableCrypto,

  hash(algorithm, ...parts) {
    const state = createHash(NODE_NAME[algorithm]);
    for (const part of parts) state.update(part);
    const digest = state.digest();
    // A plain array: a Buffer differs in `slice` and in how serialisers treat it.
    return new Uint8Array(digest.buffer, digest.byteOffset, digest.length);
  },

  ecVerify(curve, hash, publicKey, message, signature) {
    const size = (publicKey.length - 1) / 2;
    if (publicKey[0] !== 4 || signature.length !== 2 * size) return false;
    const coordinate = (at: number) => Buffer.from(publicKey.subarray(at, at + size)).toString("base64url");
    try {
      // Node checks the coordinates' size and that the point is on the curve, and throws when not.
      const key = createPublicKey({
        key: { kty: "EC", crv: curve, x: coordinate(1), y: coordinate(1 + size) },
        format: "jwk",
      });
      return verify(NODE_NAME[hash], message, { key, dsaEncoding: "ieee-p1363" }, signature);
    } catch {
      return false;
    }
  },
};
