/**
 * Bad tokens on demand: well-signed tokens with exactly one thing wrong, each with the verification stage that must
 * refuse it, and every single-byte change of a token's signed regions. For testing verifiers, ours and others'.
 */

import type { Crypto } from "@realmbox/abi";
import {
  type CborMap,
  type CborValue,
  type CcaToken,
  CMW_COLLECTION_TAG,
  CMW_EAT_CWT,
  COLLECTION_TAG,
  COSE_ALGORITHMS,
  ecSigner,
  encodeCbor,
  encodeCoseKey,
  PLATFORM_CLAIM_ROWS,
  PLATFORM_TOKEN_LABEL,
  type PlatformClaims,
  REALM_CLAIM_ROWS,
  REALM_TOKEN_LABEL,
  type RealmClaims,
  sigStructure,
  Tagged,
  writeClaims,
} from "@realmbox/token";
import type { Stage } from "./verify.js";

/** What a good token is made of. `platform.challenge` and `realm.publicKey` are filled in from the keys. */
export interface TokenRecipe {
  readonly crypto: Crypto;
  /** Private scalars on P-384. */
  readonly cpak: Uint8Array;
  readonly rak: Uint8Array;
  readonly platform: Omit<PlatformClaims, "challenge" | "workloadBinding">;
  readonly realm: Omit<RealmClaims, "publicKey" | "publicKeyHashAlgorithm">;
}

export interface TokenVariant {
  /** Stable name, as `platform-instance-id-32-bytes`. */
  readonly name: string;
  /** What is wrong. */
  readonly what: string;
  /** The stage that must refuse it; "accepted" for the ones that only look odd. */
  readonly stage: Stage;
  readonly bytes: Uint8Array;
}

/** Changes at each layer on the way from claims to bytes; a layer without one is made as it should be. */
interface Edit {
  readonly half?: "platform" | "realm" | "both";
  /** The claims of `half`. */
  claims?(map: CborMap): void;
  /** The encoded claims of `half`, before signing. */
  payload?(payload: Uint8Array): Uint8Array;
  /** The protected header of `half`, before signing. */
  header?: CborValue | Uint8Array;
  /** The key of `half`. */
  readonly key?: Uint8Array;
  /** The four elements of `half`'s COSE_Sign1, after signing. */
  sign1?(parts: CborValue[]): CborValue;
  /** The collection's map. */
  collection?(map: CborMap): void;
  readonly tag?: number;
  /** The whole token. */
  bytes?(token: Uint8Array): Uint8Array;
}

interface Row extends Edit {
  readonly name: string;
  readonly what: string;
  readonly stage: Stage;
}

const ALG = 1;
const OTHER_KEY = new Uint8Array(48).fill(0x5a);

/** A token from a recipe, tag 399, with an edit on the way. */
function make(recipe: TokenRecipe, edit: Edit): Uint8Array {
  const { crypto } = recipe;
  const publicKey = encodeCoseKey({ curve: "P-384", point: crypto.ecPublicKey("P-384", recipe.rak) });
  const part = (half: "platform" | "realm", map: CborMap, privateKey: Uint8Array): Uint8Array => {
    const mine = edit.half === half || edit.half === "both" ? edit : {};
    mine.claims?.(map);
    const encoded = encodeCbor(map);
    const payload = mine.payload?.(encoded) ?? encoded;
    const { id } = COSE_ALGORITHMS.ES384;
    const header = mine.header ?? new Map([[ALG, id]]);
    const protectedBytes = header instanceof Uint8Array ? header : encodeCbor(header);
    const signer = ecSigner(crypto, mine.key ?? privateKey);
    const parts = [protectedBytes, new Map(), payload, signer.sign(sigStructure(protectedBytes, payload))];
    return encodeCbor(mine.sign1 ? mine.sign1(parts) : new Tagged(18, parts));
  };
  const platform = { ...recipe.platform, challenge: crypto.hash("sha-256", publicKey) };
  const realm = { ...recipe.realm, publicKey, publicKeyHashAlgorithm: "sha-256" };
  const collection: CborMap = new Map([
    [PLATFORM_TOKEN_LABEL, part("platform", writeClaims(platform, PLATFORM_CLAIM_ROWS), recipe.cpak)],
    [REALM_TOKEN_LABEL, part("realm", writeClaims(realm, REALM_CLAIM_ROWS), recipe.rak)],
  ]);
  edit.collection?.(collection);
  const token = encodeCbor(edit.tag === 0 ? collection : new Tagged(edit.tag ?? COLLECTION_TAG, collection));
  return edit.bytes?.(token) ?? token;
}

const label = (half: "platform" | "realm", name: string): number => {
  const rows = half === "platform" ? PLATFORM_CLAIM_ROWS : REALM_CLAIM_ROWS;
  return rows.find((row) => row.name === `cca-${half}-${name}`)!.label;
};
const zeros = (size: number) => new Uint8Array(size);
const hex = (value: number) => `0x${value.toString(16).padStart(4, "0")}`;

/** Sets, or without a value removes, one claim. */
const claim = (half: "platform" | "realm", name: string, problem: string, value?: CborValue): Row => ({
  name: `${half}-${name}-${problem.replaceAll(" ", "-")}`,
  what: `${half} claim ${name}: ${problem}`,
  stage: "claims",
  half,
  claims: (map) => (value === undefined ? map.delete(label(half, name)) : map.set(label(half, name), value)),
});

const platformRows: readonly Row[] = [
  ...["challenge", "implementation-id", "instance-id", "config", "lifecycle", "sw-components", "hash-algo-id"].map(
    (name) => claim("platform", name, "missing"),
  ),
  { ...claim("platform", "profile", "missing"), stage: "decode" },
  { ...claim("platform", "profile", "unknown", "tag:arm.com,2023:cca_platform#9.9.9"), stage: "decode" },
  { ...claim("platform", "profile", "not text", 1), stage: "decode" },
  claim("platform", "challenge", "33 bytes", zeros(33)),
  claim("platform", "challenge", "two nonces", [zeros(32), zeros(32)]),
  claim("platform", "implementation-id", "31 bytes", zeros(31)),
  claim("platform", "implementation-id", "34 bytes", zeros(34)),
  claim("platform", "instance-id", "32 bytes", zeros(32)),
  claim("platform", "instance-id", "another type", zeros(33)),
  claim("platform", "config", "not bytes", "config"),
  claim("platform", "lifecycle", "outside the ranges", 0x3100),
  claim("platform", "lifecycle", "negative", -1),
  claim("platform", "lifecycle", "17 bits", 0x13000),
  claim("platform", "sw-components", "empty", []),
  claim("platform", "sw-components", "entry not a map", [1]),
  claim("platform", "sw-components", "no measurement", [new Map([[5, zeros(32)]])]),
  claim("platform", "sw-components", "no signer", [new Map([[2, zeros(32)]])]),
  claim("platform", "sw-components", "signer of 20 bytes", [
    new Map([
      [2, zeros(32)],
      [5, zeros(20)],
    ]),
  ]),
  claim("platform", "hash-algo-id", "unknown", "none"),
  claim("platform", "service-indicator", "empty", ""),
  claim("platform", "service-indicator", "not text", 1),
];

const realmRows: readonly Row[] = [
  ...[
    "challenge",
    "personalization-value",
    "initial-measurement",
    "extensible-measurements",
    "hash-algo-id",
    "public-key",
    "public-key-hash-algo-id",
  ].map((name) => claim("realm", name, "missing")),
  claim("realm", "challenge", "63 bytes", zeros(63)),
  claim("realm", "challenge", "array of one", [zeros(64)]),
  claim("realm", "personalization-value", "63 bytes", zeros(63)),
  claim("realm", "initial-measurement", "31 bytes", zeros(31)),
  claim("realm", "extensible-measurements", "three", [zeros(32), zeros(32), zeros(32)]),
  claim(
    "realm",
    "extensible-measurements",
    "five",
    Array.from({ length: 5 }, () => zeros(32)),
  ),
  claim("realm", "extensible-measurements", "one of 20 bytes", [zeros(32), zeros(32), zeros(20), zeros(32)]),
  claim("realm", "hash-algo-id", "unknown", "sha3-256"),
  claim("realm", "hash-algo-id", "empty", ""),
  // A 32-byte RIM is too short for sha-512, whatever the recipe has.
  {
    name: "realm-measurement-size",
    what: "measurements shorter than the named algorithm's digest",
    stage: "claims",
    half: "realm",
    claims(map) {
      map.set(label("realm", "hash-algo-id"), "sha-512");
      map.set(label("realm", "initial-measurement"), zeros(32));
    },
  },
  claim("realm", "profile", "unknown", "tag:arm.com,2023:realm#9.9.9"),
  { ...claim("realm", "profile", "missing"), what: "no realm profile (legacy), but the RAK is a COSE_Key" },
  claim("realm", "public-key", "bare point with a profile", Uint8Array.of(4, ...zeros(96))),
  claim("realm", "public-key", "of type OKP", encodeCbor(new Map([[1, 1]]))),
  claim(
    "realm",
    "public-key",
    "off the curve",
    encodeCoseKey({ curve: "P-384", point: Uint8Array.of(4, ...zeros(96)) }),
  ),
  {
    ...claim("realm", "public-key-hash-algo-id", "unknown", "sha3-256"),
    stage: "binding",
  },
];

const structureRows: readonly Row[] = [
  { name: "untagged", what: "collection without a tag", stage: "decode", tag: 0 },
  { name: "tag-500", what: "collection with an unknown tag", stage: "decode", tag: 500 },
  { name: "tag-907-bare", what: "tag 907 with bare byte strings", stage: "decode", tag: CMW_COLLECTION_TAG },
  {
    name: "tag-399-pairs",
    what: "tag 399 with [type, bytes] pairs",
    stage: "decode",
    collection: (map) => map.forEach((value, key) => void map.set(key, [CMW_EAT_CWT, value])),
  },
  {
    name: "cmw-type-60",
    what: "tag 907 with a content format that is not 263",
    stage: "decode",
    tag: CMW_COLLECTION_TAG,
    collection: (map) => map.forEach((value, key) => void map.set(key, [60, value])),
  },
  { name: "empty", what: "collection without entries", stage: "decode", collection: (map) => map.clear() },
  ...([PLATFORM_TOKEN_LABEL, REALM_TOKEN_LABEL] as const).map(
    (entry): Row => ({
      name: `no-entry-${entry}`,
      what: `collection without the entry ${entry}`,
      stage: "decode",
      collection: (map) => void map.delete(entry),
    }),
  ),
  {
    name: "trailing-byte",
    what: "a byte after the collection",
    stage: "decode",
    bytes: (token) => Uint8Array.of(...token, 0),
  },
  { name: "truncated", what: "the last byte is missing", stage: "decode", bytes: (token) => token.subarray(0, -1) },
  {
    name: "indefinite-map",
    what: "collection of indefinite length",
    stage: "decode",
    // The head of the tag is three bytes; then the map of 2 entries, here begun as indefinite and ended by a break.
    bytes: (token) => Uint8Array.of(...token.subarray(0, 3), 0xbf, ...token.subarray(4), 0xff),
  },
  ...(["platform", "realm"] as const).flatMap((half): Row[] => [
    {
      name: `${half}-untagged`,
      what: `${half} token without tag 18`,
      stage: "decode",
      half,
      sign1: (parts) => parts,
    },
    {
      name: `${half}-three-parts`,
      what: `${half} token without a signature element`,
      stage: "decode",
      half,
      sign1: (parts) => new Tagged(18, parts.slice(0, 3)),
    },
    {
      name: `${half}-payload-nil`,
      what: `${half} token with a detached payload`,
      stage: "decode",
      half,
      sign1: ([header, unprotected, , signature]) => new Tagged(18, [header, unprotected, null, signature]),
    },
    {
      name: `${half}-payload-empty`,
      what: `${half} token with an empty payload`,
      stage: "decode",
      half,
      payload: () => zeros(0),
    },
    {
      name: `${half}-claims-not-map`,
      what: `${half} claims that are an array`,
      stage: "decode",
      half,
      payload: () => encodeCbor([1]),
    },
    {
      name: `${half}-claims-twice`,
      what: `${half} claims with one label twice`,
      stage: "decode",
      half,
      // One more entry: the challenge's label (10) again. All maps here have fewer than 23 entries, so the head is a byte.
      payload: (payload) => Uint8Array.of(payload[0]! + 1, ...payload.subarray(1), 10, 0x40),
    },
    {
      name: `${half}-claims-indefinite`,
      what: `${half} claims in a map of indefinite length`,
      stage: "decode",
      half,
      payload: (payload) => Uint8Array.of(0xbf, ...payload.subarray(1), 0xff),
    },
  ]),
];

const signatureRows: readonly Row[] = (["platform", "realm"] as const).flatMap((half): Row[] => {
  const stage = `${half}-signature` as const;
  const sign = (name: string, what: string, edit: Edit): Row => ({
    name: `${half}-${name}`,
    what: `${half} token: ${what}`,
    stage,
    half,
    ...edit,
  });
  const signature = (change: (signature: Uint8Array) => Uint8Array): Edit => ({
    sign1: ([header, unprotected, payload, value]) =>
      new Tagged(18, [header, unprotected, payload, change(value as Uint8Array)]),
  });
  return [
    sign("no-alg", "no algorithm in the header", { header: zeros(0) }),
    sign("alg-unprotected", "the algorithm is in the unprotected header only", {
      header: zeros(0),
      sign1: ([header, , payload, value]) => new Tagged(18, [header, new Map([[ALG, -35]]), payload, value]),
    }),
    sign("alg-unknown", "an unknown algorithm", { header: new Map([[ALG, -65000]]) }),
    sign("alg-es256", "ES256 over a P-384 key", { header: new Map([[ALG, COSE_ALGORITHMS.ES256.id]]) }),
    sign("crit", "a critical header that nobody knows", {
      header: new Map<number, CborValue>([
        [ALG, -35],
        [2, [-70000]],
        [-70000, 1],
      ]),
    }),
    sign(
      "signature-bit",
      "one bit of the signature flipped",
      signature((s) => s.map((b, i) => (i === 50 ? b ^ 1 : b))),
    ),
    sign(
      "signature-short",
      "a signature of 95 bytes",
      signature((s) => s.subarray(1)),
    ),
    sign(
      "signature-zero",
      "a signature of zeros",
      signature((s) => zeros(s.length)),
    ),
    sign("signature-der", "a signature in DER", signature(toDer)),
    sign("other-key", "signed by another key", { key: OTHER_KEY }),
    sign("payload-changed", "the last payload byte changed after signing", {
      sign1: ([header, unprotected, payload, value]) => {
        const changed = (payload as Uint8Array).slice();
        changed[changed.length - 1]! ^= 1;
        return new Tagged(18, [header, unprotected, changed, value]);
      },
    }),
  ];
});

const bindingRows: readonly Row[] = [
  {
    ...claim("platform", "challenge", "of another RAK", zeros(32)),
    stage: "binding",
  },
];

const appraisalRows: readonly Row[] = [0x0000, 0x1000, 0x2000, 0x5000, 0x6000].map((value) => ({
  ...claim("platform", "lifecycle", hex(value), value),
  stage: "appraise" as const,
}));

const oddRows: readonly Row[] = [
  { name: "unchanged", what: "nothing is wrong", stage: "accepted" },
  {
    name: "cmw",
    what: "tag 907",
    stage: "accepted",
    tag: CMW_COLLECTION_TAG,
    collection: (map) => map.forEach((value, key) => void map.set(key, [CMW_EAT_CWT, value])),
  },
  {
    name: "further-entry",
    what: "an entry of the collection that is not known",
    stage: "accepted",
    collection: (map) => void map.set(44300, zeros(3)),
  },
  {
    name: "unknown-claims",
    what: "claims that are not known, in both halves",
    stage: "accepted",
    half: "both",
    claims(map) {
      map.set(-75000, [1, new Map([["a", zeros(1)]])]);
      map.set("comment", new Tagged(1, 0));
    },
  },
  {
    name: "long-heads",
    what: "a label written with a longer head than needed",
    stage: "accepted",
    half: "platform",
    claims: (map) => void map.delete(label("platform", "service-indicator")),
    // profile (19 0109) comes first; as a four-byte integer it is the same label.
    payload: (payload) => Uint8Array.of(payload[0]!, 0x1a, 0, 0, ...payload.subarray(2)),
  },
  {
    name: "kid",
    what: "a key id in the unprotected header",
    stage: "accepted",
    half: "platform",
    sign1: ([header, , payload, value]) => new Tagged(18, [header, new Map([[4, zeros(4)]]), payload, value]),
  },
  { ...claim("platform", "service-indicator", "missing"), stage: "accepted" },
];

/** All variants of a recipe's token, each with one thing wrong, and some odd ones that must be accepted. */
export function tokenVariants(recipe: TokenRecipe): readonly TokenVariant[] {
  return [
    ...oddRows,
    ...structureRows,
    ...platformRows,
    ...realmRows,
    ...signatureRows,
    ...bindingRows,
    ...appraisalRows,
  ].map((row) => ({ name: row.name, what: row.what, stage: row.stage, bytes: make(recipe, row) }));
}

/** A stretch of a token that a signature covers, or the signature itself. */
export interface SignedRegion {
  readonly half: "platform" | "realm";
  readonly part: "protected header" | "payload" | "signature";
  /** Byte offsets in the token. */
  readonly start: number;
  readonly end: number;
}

/** The signed regions of a decoded token. */
export function signedRegions(token: CcaToken): readonly SignedRegion[] {
  return (["platform", "realm"] as const).flatMap((half) => {
    const { protectedBytes, payload, signature } = token[half].sign1;
    const region = (part: SignedRegion["part"], view: Uint8Array): SignedRegion => {
      const start = view.byteOffset - token.bytes.byteOffset;
      return { half, part, start, end: start + view.length };
    };
    return [region("protected header", protectedBytes), region("payload", payload), region("signature", signature)];
  });
}

/** The token once for each byte of its signed regions, with one bit of that byte flipped; which bit varies. */
export function* flippedTokens(
  token: CcaToken,
): Generator<{ readonly region: SignedRegion; readonly offset: number; readonly bytes: Uint8Array }> {
  for (const region of signedRegions(token)) {
    for (let offset = region.start; offset < region.end; offset++) {
      const bytes = token.bytes.slice();
      bytes[offset]! ^= 1 << (offset % 8);
      yield { region, offset, bytes };
    }
  }
}

/** r || s as a DER sequence of two integers, the form that COSE does not use. */
function toDer(signature: Uint8Array): Uint8Array {
  const integer = (value: Uint8Array) => {
    let at = 0;
    while (at < value.length - 1 && value[at] === 0) at++;
    const digits = value[at]! >= 0x80 ? [0, ...value.subarray(at)] : [...value.subarray(at)];
    return [0x02, digits.length, ...digits];
  };
  const half = signature.length / 2;
  const content = [...integer(signature.subarray(0, half)), ...integer(signature.subarray(half))];
  return Uint8Array.of(0x30, content.length, ...content);
}
