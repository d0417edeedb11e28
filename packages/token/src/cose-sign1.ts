/**
 * COSE_Sign1 (RFC 9052, 4.2) with ECDSA (RFC 9053, 2.1), as both halves of a CCA token use it: tag 18, the algorithm
 * in the protected header, an attached payload, no external data. Keys never come from the message.
 *
 * @spec RFC 9052, "Signing with One Signer": partial: no detached payload, no external data, no header extensions
 * @spec RFC 9053, "ECDSA": partial: ES256 with P-256, ES384 with P-384, ES512 with P-521 only
 */

import type { Crypto, EcCurve, HashAlgorithm } from "@realmbox/abi";
import { type CborMap, decodeCbor, encodeCbor, Tagged } from "./cbor.js";
import { EC_CURVES, type EcPublicKey } from "./cose-key.js";
import { failure, type Result, success, type TokenProblem } from "./problem.js";

export type CoseAlgorithm = "ES256" | "ES384" | "ES512";

/**
 * The algorithms, with the curve each is used with. RFC 9053 lets any curve meet any hash; accepting only the usual
 * pairs, which every producer of CCA tokens keeps to, is what catches a header that does not fit the key.
 */
export const COSE_ALGORITHMS: Readonly<
  Record<CoseAlgorithm, { readonly id: number; readonly hash: HashAlgorithm; readonly curve: EcCurve }>
> = {
  ES256: { id: -7, hash: "sha-256", curve: "P-256" },
  ES384: { id: -35, hash: "sha-384", curve: "P-384" },
  ES512: { id: -36, hash: "sha-512", curve: "P-521" },
};

const COSE_SIGN1_TAG = 18;
/** Header labels. RFC 9052, 3.1. */
const ALG = 1;
const CRIT = 2;

/** What signs: an algorithm and a function from the bytes to be signed to r || s. The key stays inside. */
export interface CoseSigner {
  readonly algorithm: CoseAlgorithm;
  sign(toBeSigned: Uint8Array): Uint8Array;
}

/** A signer over a private scalar (big-endian); ES384 with P-384, unless told otherwise. */
export function ecSigner(crypto: Crypto, privateKey: Uint8Array, algorithm: CoseAlgorithm = "ES384"): CoseSigner {
  const { curve, hash } = COSE_ALGORITHMS[algorithm];
  return { algorithm, sign: (toBeSigned) => crypto.ecSign(curve, hash, privateKey, toBeSigned) };
}

/** A decoded message. All byte strings are views of the bytes it was decoded from. */
export interface CoseSign1 {
  /** The encoded protected header; signed. */
  readonly protectedBytes: Uint8Array;
  readonly protectedHeader: CborMap;
  /** Not signed. */
  readonly unprotectedHeader: CborMap;
  /** Signed. */
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

/** The bytes that are signed: Sig_structure with context "Signature1" and no external data. RFC 9052, 4.4. */
export function sigStructure(protectedBytes: Uint8Array, payload: Uint8Array): Uint8Array {
  return encodeCbor(["Signature1", protectedBytes, new Uint8Array(0), payload]);
}

/** Signs `payload`; the result carries tag 18. */
export function encodeSign1(payload: Uint8Array, signer: CoseSigner): Uint8Array {
  const protectedBytes = encodeCbor(new Map([[ALG, COSE_ALGORITHMS[signer.algorithm].id]]));
  const signature = signer.sign(sigStructure(protectedBytes, payload));
  return encodeCbor(new Tagged(COSE_SIGN1_TAG, [protectedBytes, new Map(), payload, signature]));
}

/** Splits a message; the signature is not looked at. `what` names the message in the problem. */
export function decodeSign1(data: Uint8Array, what: string): Result<CoseSign1, TokenProblem> {
  const malformed = (message: string) =>
    failure<TokenProblem>({ stage: "decode", code: "cose-sign1", message: `the ${what} ${message}` });
  const item = decodeCbor(data);
  if (!item.ok) {
    const { code, message } = item.problem;
    return failure({ stage: "decode", code, message: `the ${what} is not valid CBOR: ${message}` });
  }
  if (!(item.value instanceof Tagged) || item.value.tag !== COSE_SIGN1_TAG)
    return malformed("is not a COSE_Sign1: tag 18 is missing");
  const parts: unknown = item.value.value;
  if (!Array.isArray(parts) || parts.length !== 4) return malformed("is not a COSE_Sign1: not an array of 4");
  const [protectedBytes, unprotectedHeader, payload, signature] = parts as unknown[];
  if (!(protectedBytes instanceof Uint8Array)) return malformed("has a protected header that is not a byte string");
  if (!(unprotectedHeader instanceof Map)) return malformed("has an unprotected header that is not a map");
  if (!(payload instanceof Uint8Array)) return malformed("has a payload that is not a byte string");
  if (payload.length === 0) return malformed("has an empty payload");
  if (!(signature instanceof Uint8Array)) return malformed("has a signature that is not a byte string");

  // An empty map is written as an empty byte string, but the map's own encoding is to be accepted (RFC 9052, 3).
  const header = protectedBytes.length === 0 ? success(new Map()) : decodeCbor(protectedBytes);
  if (!header.ok) return malformed(`has a protected header that is not valid CBOR: ${header.problem.message}`);
  if (!(header.value instanceof Map)) return malformed("has a protected header that is not a map");
  const protectedHeader = header.value;
  for (const label of protectedHeader.keys())
    if (unprotectedHeader.has(label))
      return malformed(`has one header (${JSON.stringify(String(label))}) both protected and unprotected`);
  return success({ protectedBytes, protectedHeader, unprotectedHeader, payload, signature });
}

export interface SignatureProblem {
  readonly code: "algorithm-missing" | "algorithm-unusable" | "critical-header" | "signature-size" | "signature";
  readonly message: string;
}

/** Checks the signature with a key that the caller trusts; undefined when it is good. */
export function verifySign1(crypto: Crypto, message: CoseSign1, key: EcPublicKey): SignatureProblem | undefined {
  const id = message.protectedHeader.get(ALG);
  if (id === undefined)
    return { code: "algorithm-missing", message: "the protected header names no signature algorithm" };
  const known = (Object.keys(COSE_ALGORITHMS) as CoseAlgorithm[]).find((name) => COSE_ALGORITHMS[name].id === id);
  if (!known)
    return { code: "algorithm-unusable", message: `${typeof id === "number" ? id : "a value"} is no known algorithm` };
  const { curve, hash } = COSE_ALGORITHMS[known];
  if (curve !== key.curve) return { code: "algorithm-unusable", message: `${known} does not fit a ${key.curve} key` };
  // Whoever does not process a header named by `crit` must refuse the message (RFC 9052, 3.1). None is processed here.
  if (message.protectedHeader.has(CRIT))
    return { code: "critical-header", message: "the protected header demands extensions that are not supported" };
  const size = 2 * EC_CURVES[curve].size;
  if (message.signature.length !== size)
    return {
      code: "signature-size",
      message: `the signature has ${message.signature.length} bytes, ${known} makes ${size}`,
    };
  const toBeSigned = sigStructure(message.protectedBytes, message.payload);
  return crypto.ecVerify(curve, hash, key.point, toBeSigned, message.signature)
    ? undefined
    : { code: "signature", message: "the signature does not verify" };
}
