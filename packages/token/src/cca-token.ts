/**
 * The CCA attestation token: two signed claim sets in one collection (draft-ffm-rats-cca-token, "CCA Attestation
 * Token"). The platform token is signed by the platform's key (CPAK) and holds the hash of the Realm Attestation Key
 * (RAK); the Realm token holds the RAK and is signed by it.
 *
 * Building is for the Root Monitor and the RMM; decoding checks form and claims of any bytes at all and reports what
 * is wrong as values. Whether signatures, binding and contents are to be trusted is for a verifier.
 *
 * @spec draft-ffm-rats-cca-token-01, "CCA Attestation Token": complete
 * @spec draft-ffm-rats-cca-token-04, "CCA Attestation Token": partial: not the direct model and HESRAK (realm claims
 *   without a RAK); further entries of the collection are ignored
 */

import { type Crypto, type HashAlgorithm, invariant } from "@realmbox/abi";
import { type CborMap, type CborValue, decodeCbor, encodeCbor, Tagged } from "./cbor.js";
import { type ClaimRow, claimsToJson, type Generation, type Json, readClaims, writeClaims } from "./claims.js";
import { decodeCoseKey, decodeRawKey, type EcPublicKey, encodeCoseKey } from "./cose-key.js";
import { type CoseSign1, type CoseSigner, decodeSign1, encodeSign1 } from "./cose-sign1.js";
import { PLATFORM_CLAIM_ROWS, type PlatformClaims } from "./platform-claims.js";
import { failure, type Result, success, type TokenProblem } from "./problem.js";
import { lookUp, PLATFORM_PROFILE_1_0_0, PLATFORM_PROFILES, REALM_PROFILE_1_0_0, REALM_PROFILES } from "./profiles.js";
import { REALM_CLAIM_ROWS, type RealmClaims } from "./realm-claims.js";

/** The collection's tags: byte strings inside, or [content format, byte string] pairs (a CMW collection). */
export const COLLECTION_TAG = 399;
export const CMW_COLLECTION_TAG = 907;
export type CollectionTag = typeof COLLECTION_TAG | typeof CMW_COLLECTION_TAG;

export const PLATFORM_TOKEN_LABEL = 44234;
export const REALM_TOKEN_LABEL = 44241;
/** CoAP content format of application/eat+cwt, the type of both entries of a CMW collection. */
export const CMW_EAT_CWT = 263;

export const PROFILE_LABEL = 265;

// ---- building ----

/** The RAK claim and the hash that binds it into the platform token: SHA-256, as TF-RMM computes it. */
export function rakClaim(crypto: Crypto, rak: EcPublicKey): { publicKey: Uint8Array; challenge: Uint8Array } {
  const publicKey = encodeCoseKey(rak);
  return { publicKey, challenge: crypto.hash("sha-256", publicKey) };
}

/** The platform token; profile 1.0.0 unless another is given. `challenge` is the one that the RMM passed. */
export function buildPlatformToken(
  claims: Omit<PlatformClaims, "profile"> & { readonly profile?: string },
  signer: CoseSigner,
): Uint8Array {
  const profile = claims.profile ?? PLATFORM_PROFILE_1_0_0;
  return build({ ...claims, profile }, PLATFORM_CLAIM_ROWS, lookUp(PLATFORM_PROFILES, profile), signer);
}

/**
 * The Realm token; profile 1.0.0 unless another is given. `publicKey` is `rakClaim`'s, and `signer` must hold the
 * private half.
 */
export function buildRealmToken(
  claims: Omit<RealmClaims, "publicKeyHashAlgorithm"> & { readonly publicKeyHashAlgorithm?: HashAlgorithm },
  signer: CoseSigner,
): Uint8Array {
  const profile = claims.profile ?? REALM_PROFILE_1_0_0;
  const publicKeyHashAlgorithm = claims.publicKeyHashAlgorithm ?? "sha-256";
  const whole = { ...claims, profile, publicKeyHashAlgorithm };
  return build(whole, REALM_CLAIM_ROWS, lookUp(REALM_PROFILES, profile), signer);
}

function build(
  claims: object,
  rows: readonly ClaimRow[],
  generation: Generation | "unsupported" | undefined,
  signer: CoseSigner,
): Uint8Array {
  invariant(generation !== undefined && generation !== "unsupported", "profile of a token that is being built");
  const map = writeClaims(claims, rows);
  const { problems } = readClaims<Record<string, unknown>>(map, rows, generation);
  invariant(problems.length === 0, "claims of a token that is being built", problems[0]?.message);
  return encodeSign1(encodeCbor(map), signer);
}

/** The collection of both tokens, platform first. */
export function buildCcaToken(
  platformToken: Uint8Array,
  realmToken: Uint8Array,
  tag: CollectionTag = COLLECTION_TAG,
): Uint8Array {
  const entry = (token: Uint8Array): CborValue => (tag === COLLECTION_TAG ? token : [CMW_EAT_CWT, token]);
  const entries: CborMap = new Map([
    [PLATFORM_TOKEN_LABEL, entry(platformToken)],
    [REALM_TOKEN_LABEL, entry(realmToken)],
  ]);
  return encodeCbor(new Tagged(tag, entries));
}

// ---- decoding ----

/** One half of a token. */
export interface TokenPart<Claims> {
  /** The COSE_Sign1 as it lies in the collection. */
  readonly bytes: Uint8Array;
  readonly sign1: CoseSign1;
  /** All entries of the claim set, known or not. */
  readonly map: CborMap;
  readonly generation: Generation;
  /** Absent when a claim is wrong. */
  readonly claims?: Claims;
}

/** A token whose structure is right. Byte strings are views of `bytes`. */
export interface CcaToken {
  readonly bytes: Uint8Array;
  readonly tag: CollectionTag;
  readonly platform: TokenPart<PlatformClaims>;
  readonly realm: TokenPart<RealmClaims>;
  /** The key in the realm's public key claim; absent when it is malformed. Not to be trusted before its binding is checked. */
  readonly rak?: EcPublicKey;
}

/** Decodes a token: absent when its structure is wrong; `problems` is empty when structure and claims are right. */
export function decodeCcaToken(data: Uint8Array): {
  readonly token?: CcaToken;
  readonly problems: readonly TokenProblem[];
} {
  // A copy, so that the views cannot change under the caller's hands; never a Buffer, whose slices are views too.
  const bytes = Uint8Array.from(data);
  const collection = splitCollection(bytes);
  if (!collection.ok) return { problems: [collection.problem] };
  const platform = decodePlatformToken(collection.value.platform);
  if (!platform.part) return { problems: platform.problems };
  const realm = decodeRealmToken(collection.value.realm, platform.part.generation);
  if (!realm.part) return { problems: realm.problems };

  const problems = [...platform.problems, ...realm.problems];
  const token = { bytes, tag: collection.value.tag, platform: platform.part, realm: realm.part };
  if (!realm.part.claims) return { token, problems };
  const rak = decodeRak(realm.part.claims, realm.part.generation);
  if (!rak.ok) return { token, problems: [...problems, rak.problem] };
  return { token: { ...token, rak: rak.value }, problems };
}

/** The two halves of a collection, still encoded. */
export function splitCollection(
  data: Uint8Array,
): Result<{ tag: CollectionTag; platform: Uint8Array; realm: Uint8Array }, TokenProblem> {
  const malformed = (code: string, message: string) => failure<TokenProblem>({ stage: "decode", code, message });
  const item = decodeCbor(data);
  if (!item.ok) return malformed(item.problem.code, `the token is not valid CBOR: ${item.problem.message}`);
  if (!(item.value instanceof Tagged)) return malformed("collection-tag", "the token is not a tagged collection");
  const { tag } = item.value;
  if (tag !== COLLECTION_TAG && tag !== CMW_COLLECTION_TAG)
    return malformed("collection-tag", `tag ${tag} is not that of a CCA collection (399 or 907)`);
  const entries: unknown = item.value.value;
  if (!(entries instanceof Map)) return malformed("collection", "the collection is not a map");

  const token = (label: number, name: string) => {
    if (!entries.has(label)) return malformed("entry-missing", `the ${name} token (${label}) is missing`);
    const entry: unknown = entries.get(label);
    if (tag === COLLECTION_TAG)
      return entry instanceof Uint8Array
        ? success(entry)
        : malformed("entry", `the ${name} token is not a byte string, as tag 399 demands`);
    if (!Array.isArray(entry) || entry.length !== 2 || !(entry[1] instanceof Uint8Array))
      return malformed("entry", `the ${name} token is not [type, bytes], as tag 907 demands`);
    return entry[0] === CMW_EAT_CWT
      ? success(entry[1])
      : malformed("content-format", `the ${name} token has a content format other than ${CMW_EAT_CWT}`);
  };
  const platform = token(PLATFORM_TOKEN_LABEL, "platform");
  if (!platform.ok) return platform;
  const realm = token(REALM_TOKEN_LABEL, "realm");
  if (!realm.ok) return realm;
  return success({ tag, platform: platform.value, realm: realm.value });
}

/** Decodes a platform token by itself. Its profile selects the claim set, so that without one nothing can be decoded. */
export function decodePlatformToken(bytes: Uint8Array): {
  readonly part?: TokenPart<PlatformClaims>;
  readonly problems: readonly TokenProblem[];
} {
  const opened = openPart(bytes, "platform token");
  if (!opened.ok) return { problems: [opened.problem] };
  const { map } = opened.value;
  const profile = map.get(PROFILE_LABEL);
  const known = typeof profile === "string" ? lookUp(PLATFORM_PROFILES, profile) : undefined;
  if (known === undefined || known === "unsupported") {
    const message = !map.has(PROFILE_LABEL)
      ? "the platform token has no profile (265)"
      : typeof profile !== "string"
        ? "the platform token's profile (265) is not text"
        : `the platform profile ${JSON.stringify(profile)} is ${known ?? "unknown"}`;
    return { problems: [{ stage: "decode", code: "profile", claim: "cca-platform-profile", message }] };
  }
  const { claims, problems } = readPlatformClaims(map, known);
  return { part: { bytes, ...opened.value, generation: known, ...(claims && { claims }) }, problems };
}

/** Decodes a Realm token. Without a profile it is a legacy one, unless the platform token's generation is 2026. */
export function decodeRealmToken(
  bytes: Uint8Array,
  platform: Generation,
): { readonly part?: TokenPart<RealmClaims>; readonly problems: readonly TokenProblem[] } {
  const opened = openPart(bytes, "realm token");
  if (!opened.ok) return { problems: [opened.problem] };
  const { map } = opened.value;
  const { generation, problem } = realmGeneration(map, platform);
  const { claims, problems } = readRealmClaims(map, generation);
  const part = { bytes, ...opened.value, generation };
  if (problem) return { part, problems: [problem, ...problems] };
  return { part: { ...part, ...(claims && { claims }) }, problems };
}

function realmGeneration(map: CborMap, platform: Generation): { generation: Generation; problem?: TokenProblem } {
  const wrong = (message: string, generation: Generation = "1.0.0") => ({
    generation,
    problem: { stage: "claims", code: "profile", claim: "cca-realm-profile", message } as const,
  });
  const profile = map.get(PROFILE_LABEL);
  if (!map.has(PROFILE_LABEL)) return { generation: platform === "2026" ? "2026" : "legacy" };
  if (typeof profile !== "string") return wrong("the realm token's profile (265) is not text");
  const generation = lookUp(REALM_PROFILES, profile);
  if (!generation) return wrong(`the realm profile ${JSON.stringify(profile)} is unknown`);
  // Older halves meet freely: TF-RMM pairs its newer realm tokens with TF-A's 1.0.0 platform token. -04 excludes this one.
  if (platform === "2026" && generation !== "2026")
    return wrong(
      `the realm profile ${JSON.stringify(profile)} does not go with a platform profile of 2026`,
      generation,
    );
  return { generation };
}

function openPart(bytes: Uint8Array, what: string): Result<{ sign1: CoseSign1; map: CborMap }, TokenProblem> {
  const sign1 = decodeSign1(bytes, what);
  if (!sign1.ok) return sign1;
  const item = decodeCbor(sign1.value.payload);
  const malformed = (code: string, message: string) => failure<TokenProblem>({ stage: "decode", code, message });
  if (!item.ok) return malformed(item.problem.code, `the ${what}'s payload is not valid CBOR: ${item.problem.message}`);
  if (!(item.value instanceof Map)) return malformed("claims-map", `the ${what}'s payload is not a map of claims`);
  return success({ sign1: sign1.value, map: item.value });
}

/** Checks a platform claim set by itself. */
export function readPlatformClaims(
  map: CborMap,
  generation: Generation,
): { readonly claims?: PlatformClaims; readonly problems: readonly TokenProblem[] } {
  const { claims, problems } = readClaims<PlatformClaims>(map, PLATFORM_CLAIM_ROWS, generation);
  return problems.length > 0 ? { problems } : { claims: claims as PlatformClaims, problems };
}

const DIGEST_SIZE: Readonly<Record<HashAlgorithm, number>> = { "sha-256": 32, "sha-384": 48, "sha-512": 64 };

/** Checks a Realm claim set by itself; the public key claim's content is `decodeRak`'s to check. */
export function readRealmClaims(
  map: CborMap,
  generation: Generation,
): { readonly claims?: RealmClaims; readonly problems: readonly TokenProblem[] } {
  const { claims, problems } = readClaims<RealmClaims>(map, REALM_CLAIM_ROWS, generation);
  if (problems.length > 0) return { problems };
  const whole = claims as RealmClaims;
  // A measurement cannot be shorter than its hash. A longer one is let through: tokens of other producers carry the
  // whole 64-byte slot of the measurement under sha-256.
  const size = DIGEST_SIZE[whole.hashAlgorithm];
  const short = [
    { claim: "cca-realm-initial-measurement", values: [whole.initialMeasurement] },
    { claim: "cca-realm-extensible-measurements", values: whole.extensibleMeasurements },
  ].filter(({ values }) => values.some((value) => value.length < size));
  if (short.length === 0) return { claims: whole, problems };
  return {
    problems: short.map(({ claim }) => ({
      stage: "claims",
      code: "measurement-size",
      claim,
      message: `${claim} is shorter than a ${whole.hashAlgorithm} digest (${size} bytes)`,
    })),
  };
}

/** The RAK of a Realm claim set: a bare point in legacy tokens, a COSE_Key in all others. */
export function decodeRak(claims: RealmClaims, generation: Generation): Result<EcPublicKey, TokenProblem> {
  const key = generation === "legacy" ? decodeRawKey(claims.publicKey) : decodeCoseKey(claims.publicKey);
  return key.ok ? key : failure({ ...key.problem, claim: "cca-realm-public-key" });
}

/** Both claim sets in the JSON form of veraison/ccatoken. */
export function tokenToJson(token: CcaToken): { readonly [name: string]: Json } {
  return {
    "cca-platform-token": claimsToJson(token.platform.map, PLATFORM_CLAIM_ROWS),
    "cca-realm-delegated-token": claimsToJson(token.realm.map, REALM_CLAIM_ROWS),
  };
}
