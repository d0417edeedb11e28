import { COSEKey, Sign1 } from "@auth0/cose";
import { decodeCcaToken, type EcPublicKey, splitCollection } from "@realmbox/token";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../../realmbox/src/crypto/node.js";
import { portableCrypto } from "../../realmbox/src/crypto/portable.js";
import {
  haveVectors,
  type MadeVector,
  madeVectors,
  vector,
  vectorJson,
  vectorText,
} from "../../token/src/vectors.oracle.js";
import { parseTrustAnchors, type TrustAnchor, toJwk } from "./keys.js";
import { flippedTokens, signedRegions, tokenVariants } from "./mutate.js";
import { cpak, fill, otherKey, recipe } from "./recipe.oracle.js";
import { parseReferenceValues, type ReferenceValues } from "./reference.js";
import { TOKEN_SIZE_MAX, type VerificationOptions, verifyToken } from "./verify.js";

const variants = tokenVariants(recipe);
const good = variants.find(({ name }) => name === "unchanged")!.bytes;
const verify = (token: Uint8Array, options: Partial<VerificationOptions> = {}) =>
  verifyToken(token, { crypto: nodeCrypto, trustAnchors: [cpak], ...options });

describe("one thing wrong", () => {
  test("the variants have different names", () => {
    expect(new Set(variants.map(({ name }) => name)).size).toBe(variants.length);
  });

  test.each(variants)("$stage: $what", ({ bytes, stage }) => {
    const result = verify(bytes);
    expect(result.stage).toBe(stage);
    expect(result.accepted).toBe(stage === "accepted");
    expect(result.problems.length > 0).toBe(stage !== "accepted");
    for (const problem of result.problems) expect(problem.stage).toBe(stage);
    expect(JSON.parse(JSON.stringify(result.claims))).toEqual(result.claims);
  });

  test("a bit of any byte of a signed region", () => {
    const { token } = decodeCcaToken(good);
    const stages: Record<string, number> = {};
    let count = 0;
    for (const { region, bytes } of flippedTokens(token!)) {
      const result = verify(bytes);
      expect(result.accepted).toBe(false);
      stages[`${region.half} ${region.part}: ${result.stage}`] = 1;
      count++;
    }
    expect(count).toBe(signedRegions(token!).reduce((sum, { start, end }) => sum + end - start, 0));
    // A change of the Realm's claims cannot be blamed on the platform's signature.
    expect(stages).toMatchObject({
      "platform payload: platform-signature": 1,
      "platform payload: claims": 1,
      "platform signature: platform-signature": 1,
      "realm payload: realm-signature": 1,
      "realm payload: claims": 1,
      "realm signature: realm-signature": 1,
    });
    expect(stages).not.toHaveProperty("realm payload: platform-signature");
  });

  test("the regions are where the signatures are", () => {
    const { token } = decodeCcaToken(good);
    for (const { half, part, start, end } of signedRegions(token!)) {
      const key = { "protected header": "protectedBytes", payload: "payload", signature: "signature" } as const;
      expect(good.subarray(start, end)).toEqual(token![half].sign1[key[part]]);
    }
  });
});

describe("hostile input", () => {
  test("any bytes, and the token with any bytes replaced, inserted or removed: a result, never an exception", () => {
    const splice = fc.tuple(fc.nat(good.length), fc.nat(8), fc.uint8Array({ maxLength: 12 }));
    const changed = fc.array(splice, { minLength: 1, maxLength: 3 }).map((edits) => {
      const bytes = [...good];
      for (const [at, remove, insert] of edits) bytes.splice(at, remove, ...insert);
      return Uint8Array.from(bytes);
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), changed), (data) => {
        const result = verify(data);
        expect(result.problems.length > 0).toBe(!result.accepted);
        JSON.stringify(result.claims);
      }),
      { numRuns: 2000, seed: 5 },
    );
  });

  test("a change that is accepted leaves both signed parts as they were", () => {
    const before = decodeCcaToken(good).token!;
    let accepted = 0;
    for (let at = 0; at < good.length; at++) {
      for (const bit of [1, 16]) {
        const bytes = good.slice();
        bytes[at]! ^= bit;
        const { accepted: ok, token } = verify(bytes);
        if (!ok) continue;
        accepted++;
        for (const half of ["platform", "realm"] as const)
          for (const part of ["protectedBytes", "payload", "signature"] as const)
            expect(token![half].sign1[part]).toEqual(before[half].sign1[part]);
      }
    }
    // Heads that say the same in another way do not exist one bit away; nothing but signed regions is free to change.
    expect(accepted).toBe(0);
  });

  const bigArray = new Uint8Array(TOKEN_SIZE_MAX);
  bigArray.set([0x9a, 0, 0x0f, 0xff, 0xfb]);
  test.each([
    ["100,000 nested arrays", new Uint8Array(100_000).fill(0x81)],
    ["100,000 nested tags", new Uint8Array(100_000).fill(0xd2)],
    ["a map that announces 2^32 - 1 entries", Uint8Array.of(0xd9, 0x01, 0x8f, 0xba, 255, 255, 255, 255)],
    [
      "a byte string that announces 2^53 bytes",
      Uint8Array.of(0xd9, 0x01, 0x8f, 0x5b, 0, 31, 255, 255, 255, 255, 255, 255),
    ],
    ["an empty file", new Uint8Array(0)],
    ["a megabyte and one", new Uint8Array(TOKEN_SIZE_MAX + 1)],
    ["a megabyte of small integers in an array", bigArray],
  ])("%s: refused at decode, at once", (_what, data) => {
    const before = performance.now();
    expect(verify(data)).toMatchObject({ accepted: false, stage: "decode", claims: null });
    expect(performance.now() - before).toBeLessThan(2000);
  });
});

describe("trust anchors", () => {
  const { implementationId, instanceId } = recipe.platform;
  const wrong = fill(32, 99);
  test.each<[string, TrustAnchor[], string]>([
    ["none", [], "trust-anchor"],
    ["another key", [otherKey], "platform-signature"],
    ["the key among others", [otherKey, cpak], "accepted"],
    ["the key for this implementation", [{ ...cpak, implementationId }], "accepted"],
    ["the key for another implementation", [{ ...cpak, implementationId: wrong }], "trust-anchor"],
    ["the key for this instance", [{ ...cpak, implementationId, instanceId }], "accepted"],
    ["the key for another instance", [{ ...cpak, instanceId: Uint8Array.of(1, ...wrong) }], "trust-anchor"],
    ["another key for this instance beats the key for any", [{ ...otherKey, instanceId }, cpak], "platform-signature"],
    [
      "two keys for one instance",
      [
        { ...otherKey, instanceId },
        { ...cpak, instanceId },
      ],
      "trust-anchor",
    ],
    [
      "one key twice for one instance",
      [
        { ...cpak, instanceId },
        { ...cpak, instanceId },
      ],
      "accepted",
    ],
    [
      "a P-256 key",
      [{ key: { curve: "P-256", point: nodeCrypto.ecPublicKey("P-256", fill(32, 1)) } }],
      "platform-signature",
    ],
  ])("%s", (_what, trustAnchors, stage) => {
    expect(verify(good, { trustAnchors }).stage).toBe(stage);
  });
});

describe("challenge", () => {
  test.each<[string, Uint8Array, string]>([
    ["the 64 bytes", recipe.realm.challenge, "accepted"],
    ["its 32 bytes, padded with zeros", recipe.realm.challenge.subarray(0, 32), "accepted"],
    ["31 of them", recipe.realm.challenge.subarray(0, 31), "challenge"],
    ["another", fill(64, 7), "challenge"],
  ])("%s", (_what, challenge, stage) => {
    expect(verify(good, { challenge }).stage).toBe(stage);
  });
  test.each([0, 65])("%i bytes are the caller's mistake", (size) => {
    expect(() => verify(good, { challenge: fill(size, 0) })).toThrow(RangeError);
  });
});

describe("reference values", () => {
  const { platform, realm } = recipe;
  const [bl31, rmm] = platform.softwareComponents;
  const rims = (byte: number) => ({ realm: [{ initialMeasurement: fill(32, byte) }] });
  test.each<[string, ReferenceValues, string[]]>([
    ["nothing to compare", {}, []],
    ["no reference fits an empty list", { realm: [] }, ["reference-missing"]],
    ["RIM", rims(9), []],
    ["another RIM", rims(1), ["rim"]],
    ["RIM of another length", { realm: [{ initialMeasurement: fill(64, 9) }] }, ["rim"]],
    ["one of several RIMs", { realm: [...rims(1).realm, ...rims(9).realm] }, []],
    ["RPV", { realm: [{ personalizationValue: realm.personalizationValue }] }, []],
    ["another RPV", { realm: [{ personalizationValue: fill(64, 0) }] }, ["rpv"]],
    ["REMs", { realm: [{ extensibleMeasurements: realm.extensibleMeasurements }] }, []],
    ["REM2 only", { realm: [{ extensibleMeasurements: [undefined, undefined, fill(32, 12)] }] }, []],
    ["another REM2", { realm: [{ extensibleMeasurements: [undefined, undefined, fill(32, 0)] }] }, ["rem2"]],
    [
      "RIM and RPV of different references",
      {
        realm: [
          ...rims(9).realm.map((r) => ({ ...r, personalizationValue: fill(64, 0) })),
          { initialMeasurement: fill(32, 0), personalizationValue: realm.personalizationValue },
        ],
      },
      ["rpv"],
    ],
    ["implementation and config", { platform: [{ implementationId: fill(32, 1), config: platform.config }] }, []],
    ["another implementation", { platform: [{ implementationId: fill(32, 2) }] }, ["implementation-id"]],
    ["another config", { platform: [{ config: fill(3, 0) }] }, ["config"]],
    ["components", { platform: [{ softwareComponents: [bl31!, rmm!] }] }, []],
    [
      "components by measurement only",
      { platform: [{ softwareComponents: [bl31!, rmm!].map(({ measurement }) => ({ measurement })) }] },
      [],
    ],
    [
      "components in another order",
      { platform: [{ softwareComponents: [rmm!, bl31!] }] },
      Array(7).fill("software-components"),
    ],
    ["a component too few", { platform: [{ softwareComponents: [bl31!] }] }, ["software-components"]],
    [
      "another version",
      { platform: [{ softwareComponents: [{ ...bl31!, version: "1.3" }, rmm!] }] },
      ["software-components"],
    ],
    [
      "a version where the token has none",
      { platform: [{ softwareComponents: [bl31!, { ...rmm!, version: "1" }] }] },
      ["software-components"],
    ],
    ["both halves wrong", { ...rims(1), platform: [{ config: fill(3, 0) }] }, ["config", "rim"]],
  ])("%s", (_what, reference, codes) => {
    const result = verify(good, { reference });
    expect(result.problems.map(({ code }) => code)).toEqual(codes);
    expect(result.stage).toBe(codes.length > 0 ? "appraise" : "accepted");
  });

  test("what was not checked is said", () => {
    expect(verify(good).unchecked).toEqual(["challenge", "platform-reference", "realm-reference"]);
    expect(verify(good, { challenge: recipe.realm.challenge, reference: rims(9) }).unchecked).toEqual([
      "platform-reference",
    ]);
  });
});

test("the portable cryptography gives the same verdicts", () => {
  for (const { bytes, stage } of variants)
    expect(verifyToken(bytes, { crypto: portableCrypto, trustAnchors: [cpak] }).stage).toBe(stage);
});

test("@auth0/cose verifies both signatures, and refuses them under the other key", async () => {
  const parts = splitCollection(good);
  if (!parts.ok) throw new Error(parts.problem.message);
  const { rak } = decodeCcaToken(good).token!;
  const keyOf = async (key: EcPublicKey) => (await COSEKey.fromJWK({ ...toJwk(key), alg: "ES384" })).toKeyLike();
  const keys = { platform: await keyOf(cpak.key), realm: await keyOf(rak!) };
  await expect(Sign1.decode(parts.value.platform).verify(keys.platform)).resolves.not.toThrow();
  await expect(Sign1.decode(parts.value.realm).verify(keys.realm)).resolves.not.toThrow();
  await expect(Sign1.decode(parts.value.platform).verify(keys.realm)).rejects.toThrow();
  await expect(Sign1.decode(parts.value.realm).verify(keys.platform)).rejects.toThrow();
});

describe.skipIf(!haveVectors)("other projects' vectors (skipped without them)", () => {
  const anchors = (path: string): readonly TrustAnchor[] => {
    const parsed = parseTrustAnchors(vectorText(path));
    if (!parsed.ok) throw new Error(parsed.problem);
    return parsed.value;
  };
  const SAMPLE = "keys/sample-cpak-p384.jwk";
  const IAK = "keys/ccatoken-test-iak-p256.jwk";

  test.each(madeVectors)("$fails_at: $what", ({ file, fails_at }: MadeVector) => {
    const challenge = Uint8Array.from(
      (vectorJson("made/manifest.json").realm_challenge_hex.match(/../g) as string[]).map((h) =>
        Number.parseInt(h, 16),
      ),
    );
    const result = verify(vector(`made/${file}`), { trustAnchors: anchors(SAMPLE), challenge });
    expect(result.stage).toBe(fails_at === "none" ? "accepted" : fails_at);
  });

  test.each([
    ["iat-verifier/cca_example_token.cbor", SAMPLE, "accepted"],
    ["iat-verifier/cca_example_token_legacy.cbor", SAMPLE, "accepted"],
    ["iat-verifier/cca_token.cbor", SAMPLE, "accepted"],
    ["ccatoken/tokens/testGoodCCAToken.cbor", IAK, "accepted"],
    ["ccatoken/tokens/testGoodLegacyCCAToken.cbor", IAK, "accepted"],
    ["ccatoken/tokens/testRMMLegacyEvidence.cbor", SAMPLE, "accepted"],
    ["ccatoken/tokens/testRMMLegacyEvidence.cbor", "ccatoken/tokens/cca_platform.pub", "accepted"],
    ["ccatoken/tokens/cca_token.cbor", SAMPLE, "accepted"],
    ["ccatoken/tokens/testBadUnwrappedTokens.cbor", SAMPLE, "decode"],
    ["rust-ccatoken/cca-token-01.cbor", "rust-ccatoken/ta-tfa.json", "accepted"],
    ["rust-ccatoken/cca-token-02.cbor", "rust-ccatoken/ta-02-ok.json", "accepted"],
    ["rust-ccatoken/cca-token-02.cbor", "rust-ccatoken/ta-tfa.json", "trust-anchor"],
    ["rust-ccatoken/cca-token-draft-ffm-00.cbor", SAMPLE, "accepted"],
    ["rust-ccatoken/cca-token-draft-ffm-00.cbor", "rust-ccatoken/cpak.json", "accepted"],
    ["rust-ccatoken/cca-token-draft-ffm-00.cbor", "keys/sample-rak-p384.jwk", "platform-signature"],
    ["rust-ccatoken/cca-token-draft-ffm-00.cbor", IAK, "platform-signature"],
    ["rust-ccatoken/bug-33-repro.cbor", SAMPLE, "binding"],
    ["veraison-services/evidence/cca-good.cbor", IAK, "accepted"],
    ["veraison-services/evidence/cca-good.cbor", "keys/ccatoken-test-alt-iak-p256.jwk", "platform-signature"],
    ["keybroker/cca-example-token-legacy-399.cbor", SAMPLE, "accepted"],
    ["draft-token-04/example-delegated-stale-signatures.cbor", SAMPLE, "platform-signature"],
  ])("%s with %s: %s", (path, trust, stage) => {
    expect(verify(vector(path), { trustAnchors: anchors(trust) }).stage).toBe(stage);
  });

  test("rust-ccatoken's ta-02-bad.json holds no point of the curve", () => {
    expect(parseTrustAnchors(vectorText("rust-ccatoken/ta-02-bad.json"))).toMatchObject({ ok: false });
  });

  test("rust-ccatoken's reference values fit its token 01, and no other", () => {
    const reference = parseReferenceValues(vectorText("rust-ccatoken/rv.json"));
    if (!reference.ok) throw new Error(reference.problem);
    const options = { trustAnchors: anchors(SAMPLE), reference: reference.value };
    expect(verify(vector("rust-ccatoken/cca-token-01.cbor"), options)).toMatchObject({
      stage: "accepted",
      unchecked: ["challenge"],
    });
    expect(verify(vector("rust-ccatoken/cca-token-draft-ffm-00.cbor"), options).stage).toBe("appraise");
  });
});
