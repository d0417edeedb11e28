import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../../realmbox/src/crypto/node.js";
import { fromBase64, toHex } from "./bytes.js";
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from "./cbor.js";
import {
  buildCcaToken,
  buildPlatformToken,
  buildRealmToken,
  CMW_COLLECTION_TAG,
  decodeCcaToken,
  decodePlatformToken,
  rakClaim,
  readPlatformClaims,
  readRealmClaims,
  tokenToJson,
} from "./cca-token.js";
import { type ClaimRow, claimsToJson, type Generation, type Json, writeClaims } from "./claims.js";
import { ecSigner } from "./cose-sign1.js";
import { lifecycleState, PLATFORM_CLAIM_ROWS, type PlatformClaims } from "./platform-claims.js";
import { PLATFORM_PROFILES, REALM_PROFILE_1_0_0 } from "./profiles.js";
import { REALM_CLAIM_ROWS, type RealmClaims } from "./realm-claims.js";
import { haveVectors, madeVectors, vector, vectorJson, vectorNames } from "./vectors.oracle.js";

const fill = (size: number, byte: number) => new Uint8Array(size).fill(byte);
const cpak = ecSigner(nodeCrypto, fill(48, 1));
const rakScalar = fill(48, 2);
const rak = ecSigner(nodeCrypto, rakScalar);
const { publicKey, challenge } = rakClaim(nodeCrypto, {
  curve: "P-384",
  point: nodeCrypto.ecPublicKey("P-384", rakScalar),
});
const PLATFORM: Omit<PlatformClaims, "profile"> = {
  challenge,
  implementationId: fill(32, 0x11),
  instanceId: Uint8Array.of(1, ...fill(32, 0x22)),
  config: Uint8Array.of(1, 2, 3, 4),
  lifecycle: 0x3003,
  hashAlgorithm: "sha-256",
  verificationService: "https://verifier.example",
  softwareComponents: [
    { type: "AP_BL31", signerId: fill(32, 3), version: "1.0", measurement: fill(32, 4), hashAlgorithm: "sha-256" },
    { signerId: fill(48, 5), measurement: fill(64, 6) },
  ],
};
const REALM: Omit<RealmClaims, "publicKeyHashAlgorithm"> = {
  challenge: fill(64, 7),
  personalizationValue: fill(64, 8),
  publicKey,
  hashAlgorithm: "sha-256",
  initialMeasurement: fill(32, 9),
  extensibleMeasurements: [0, 1, 2, 3].map((i) => fill(32, i)),
};
const token = () => buildCcaToken(buildPlatformToken(PLATFORM, cpak), buildRealmToken(REALM, rak));

describe("building", () => {
  test("a token decodes to the claims that it was built from", () => {
    const { token: decoded, problems } = decodeCcaToken(token());
    expect(problems).toEqual([]);
    expect(decoded!.tag).toBe(399);
    const profile = "tag:arm.com,2023:cca_platform#1.0.0";
    expect(decoded!.platform.claims).toEqual({ ...PLATFORM, profile });
    expect(decoded!.realm.claims).toEqual({
      ...REALM,
      profile: REALM_PROFILE_1_0_0,
      publicKeyHashAlgorithm: "sha-256",
    });
    expect(decoded!.rak!.point).toEqual(nodeCrypto.ecPublicKey("P-384", rakScalar));
  });

  test("the collection's frame, tag 399 and 907", () => {
    const [platform, realm] = [buildPlatformToken(PLATFORM, cpak), buildRealmToken(REALM, rak)];
    expect(toHex(buildCcaToken(platform, realm).subarray(0, 8))).toBe("d9018fa219acca59");
    const cmw = buildCcaToken(platform, realm, CMW_COLLECTION_TAG);
    expect(toHex(cmw.subarray(0, 12))).toBe("d9038ba219acca8219010759");
    expect(decodeCcaToken(cmw).problems).toEqual([]);
  });

  test("the realm claims are in TF-RMM's order", () => {
    const labels = [...decodeCcaToken(token()).token!.realm.map.keys()];
    expect(labels).toEqual([10, 44235, 44237, 44236, 44240, 265, 44238, 44239]);
  });

  test("the same claims make the same token", () => {
    expect(toHex(token())).toBe(toHex(token()));
  });

  test("a claim that would make the token unacceptable is a defect", () => {
    expect(() => buildPlatformToken({ ...PLATFORM, instanceId: fill(33, 2) }, cpak)).toThrow(
      "cca-platform-instance-id",
    );
    expect(() => buildRealmToken({ ...REALM, challenge: fill(32, 2) }, rak)).toThrow("cca-realm-challenge");
  });
});

describe("decoding", () => {
  test("every truncation is a decode problem", () => {
    const whole = token();
    for (let size = 0; size < whole.length; size++) {
      const { token: decoded, problems } = decodeCcaToken(whole.subarray(0, size));
      expect(decoded).toBeUndefined();
      expect(problems).toMatchObject([{ stage: "decode" }]);
    }
  });

  test("any bytes, and a token with any bytes changed, give problems and no exception", () => {
    const whole = token();
    const changes = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), changes), (input) => {
        const data = input instanceof Uint8Array ? input : whole.slice();
        if (!(input instanceof Uint8Array)) for (const [at, byte] of input) data[at] = byte;
        const { token: decoded, problems } = decodeCcaToken(data);
        if (!decoded) expect(problems.length).toBeGreaterThan(0);
        else JSON.stringify(tokenToJson(decoded));
      }),
      { numRuns: 3000, seed: 3 },
    );
  });

  test("the result does not change with the caller's buffer", () => {
    const data = token();
    const { token: decoded } = decodeCcaToken(data);
    data.fill(0);
    expect(decoded!.realm.claims!.challenge).toEqual(REALM.challenge);
  });

  const edit = (map: CborMap, label: number, value: CborValue | undefined) => {
    const copy = new Map(map);
    if (value === undefined) copy.delete(label);
    else copy.set(label, value);
    return copy;
  };
  const platformMap = writeClaims({ ...PLATFORM, profile: "tag:arm.com,2023:cca_platform#1.0.0" }, PLATFORM_CLAIM_ROWS);
  const realmMap = writeClaims(
    { ...REALM, profile: REALM_PROFILE_1_0_0, publicKeyHashAlgorithm: "sha-256" },
    REALM_CLAIM_ROWS,
  );

  // Each mandatory row of both tables, missing and of every wrong kind.
  const values: CborValue[] = [0, "x", fill(1, 0), fill(31, 0), [], new Map(), null, true];
  test.each([
    ...PLATFORM_CLAIM_ROWS.filter((row) => row.need["1.0.0"] === "M").map((row) => ({ ...row, half: "platform" })),
    ...REALM_CLAIM_ROWS.filter((row) => row.need["1.0.0"] === "M").map((row) => ({ ...row, half: "realm" })),
  ])("$name: missing or wrong", ({ label, name, half }) => {
    const read = (value: CborValue | undefined) =>
      half === "platform"
        ? readPlatformClaims(edit(platformMap, label, value), "1.0.0")
        : readRealmClaims(edit(realmMap, label, value), "1.0.0");
    expect(read(undefined).problems).toMatchObject([{ code: "claim-missing", claim: name }]);
    const refused = values.filter((value) => read(value).problems.length > 0);
    for (const value of refused) expect(read(value).problems[0]).toMatchObject({ code: "claim-value", claim: name });
    // Of these values only text (profile, names) and bytes of any length (config, RAK) fit some row, and one each.
    expect(refused.length).toBeGreaterThanOrEqual(values.length - 2);
  });

  test("all problems are reported, not only the first", () => {
    const { problems } = readPlatformClaims(edit(edit(platformMap, 256, undefined), 2401, 1), "1.0.0");
    expect(problems.map((p) => p.claim)).toEqual(["cca-platform-instance-id", "cca-platform-config"]);
  });

  test("profile strings are looked up as own entries only", () => {
    for (const profile of ["constructor", "__proto__", "toString"]) {
      const claims = edit(platformMap, 265, profile);
      const data = buildPlatformTokenFrom(claims);
      expect(decodePlatformToken(data).problems).toMatchObject([{ stage: "decode", code: "profile" }]);
    }
  });

  test("profiles without a RAK are named as unsupported", () => {
    const data = buildPlatformTokenFrom(edit(platformMap, 265, "tag:arm.com,2026:cca_platform#2.0.0;direct"));
    expect(decodePlatformToken(data).problems[0]!.message).toContain("unsupported");
    expect(Object.values(PLATFORM_PROFILES).filter((g) => g === "2026")).toHaveLength(4);
  });
});

/** A platform token over any claims map, signed. */
function buildPlatformTokenFrom(map: CborMap): Uint8Array {
  const good = decodePlatformToken(buildPlatformToken(PLATFORM, cpak)).part!;
  const item = decodeCbor(good.bytes);
  const tagged = (item as { value: { tag: number; value: CborValue[] } }).value;
  tagged.value[2] = encodeCbor(map);
  return encodeCbor(tagged as never);
}

test.each([
  [0x0000, "unknown"],
  [0x00ff, "unknown"],
  [0x0100, undefined],
  [0x1000, "assembly-and-test"],
  [0x20ab, "cca-platform-rot-provisioning"],
  [0x3003, "secured"],
  [0x3100, undefined],
  [0x4001, "non-cca-platform-rot-debug"],
  [0x5000, "recoverable-cca-platform-rot-debug"],
  [0x60ff, "decommissioned"],
  [0x7000, undefined],
  [0x1_3000, undefined],
  [-1, undefined],
])("lifecycle %i is %s", (value, state) => {
  expect(lifecycleState(value)).toBe(state);
});

describe.skipIf(!haveVectors)("other projects' vectors (skipped without them)", () => {
  test.each(madeVectors)("$file: $what", ({ file, fails_at }) => {
    const { problems } = decodeCcaToken(vector(`made/${file}`));
    if (fails_at === "decode" || fails_at === "claims") expect(problems[0]?.stage).toBe(fails_at);
    else expect(problems).toEqual([]);
  });

  // Platform tokens of TF-A and of TF-M's iat-verifier: our producer writes the same claims as the same bytes.
  test.each([
    "tf-a/fvp-platform-token-1.0.0.cbor",
    "iat-verifier/cca_example_platform_token.cbor",
    "iat-verifier/cca_example_platform_token_legacy.cbor",
  ])("%s: payload rebuilt byte for byte", (path) => {
    const { part, problems } = decodePlatformToken(vector(path));
    expect(problems).toEqual([]);
    const rebuilt = decodePlatformToken(buildPlatformToken(part!.claims!, cpak)).part!;
    expect(toHex(rebuilt.sign1.payload)).toBe(toHex(part!.sign1.payload));
    expect(rebuilt.bytes.length).toBe(part!.bytes.length);
  });

  test("a token in the form of RMM 1.0 has the sizes of the published one", () => {
    const published = decodeCcaToken(vector("rust-ccatoken/cca-token-draft-ffm-00.cbor"));
    expect(published.problems).toEqual([]);
    const { platform, realm } = published.token!;
    const rebuilt = buildCcaToken(
      buildPlatformToken(platform.claims!, cpak),
      buildRealmToken(realm.claims as RealmClaims & { publicKeyHashAlgorithm: "sha-256" }, rak),
    );
    expect(rebuilt.length).toBe(2124);
    expect(toHex(rebuilt.subarray(0, 1400))).toBe(toHex(published.token!.bytes.subarray(0, 1400)));
  });

  test("the claims of Veraison's good token, as veraison/ccatoken prints them", () => {
    const { token: decoded, problems } = decodeCcaToken(vector("veraison-services/evidence/cca-good.cbor"));
    expect(problems).toEqual([]);
    const published = vectorJson("veraison-services/evidence/cca-good.json");
    const json = tokenToJson(decoded!) as typeof published;
    // The published JSON leaves the realm profile out; its RAK and binding are of the day it was written.
    expect(json["cca-realm-delegated-token"]["cca-realm-profile"]).toBe(REALM_PROFILE_1_0_0);
    delete json["cca-realm-delegated-token"]["cca-realm-profile"];
    for (const half of ["cca-platform-token", "cca-realm-delegated-token"])
      expect(Object.keys(json[half]).sort()).toEqual(Object.keys(published[half]).sort());
    for (const [name, value] of Object.entries(published["cca-platform-token"]))
      if (name !== "cca-platform-challenge") expect(json["cca-platform-token"][name]).toEqual(value);
  });

  /** A claim set in JSON, as CBOR with our labels; base64 text becomes bytes where the row wants bytes. */
  const fromJson = (json: Readonly<Record<string, Json>>, rows: readonly ClaimRow[]): CborMap => {
    const convert = (value: Json, row: ClaimRow | undefined): CborValue => {
      if (Array.isArray(value)) return value.map((v) => convert(v, row));
      if (typeof value === "object" && value !== null) return fromJson(value as never, row?.value.entry ?? []);
      if (typeof value === "string" && /bytes/.test(row?.value.expected ?? "")) return fromBase64(value) ?? value;
      return value as CborValue;
    };
    return new Map(
      Object.entries(json).map(([name, value]) => {
        const row = rows.find((r) => r.name === name);
        return [row?.label ?? name, convert(value, row)];
      }),
    );
  };
  const valid = (name: string) => name === "test-token-valid-full.json" || name === "test-cca-claims-all-valid.json";
  test.each(vectorNames("ccatoken/claims-json-platform"))("ccatoken, platform claims in JSON: %s", (name) => {
    const map = fromJson(vectorJson(`ccatoken/claims-json-platform/${name}`), PLATFORM_CLAIM_ROWS);
    const profile = map.get(265);
    const generation = typeof profile === "string" ? PLATFORM_PROFILES[profile] : undefined;
    const { problems } = readPlatformClaims(map, (generation ?? "legacy") as Generation);
    if (valid(name)) expect(problems).toEqual([]);
    // A profile is refused by the token's decoder, before its claims are read.
    else if (/profile/.test(name)) expect(generation).toBeUndefined();
    else expect(problems.length).toBeGreaterThan(0);
  });
  test.each(vectorNames("ccatoken/claims-json-realm"))("ccatoken, realm claims in JSON: %s", (name) => {
    const map = fromJson(vectorJson(`ccatoken/claims-json-realm/${name}`), REALM_CLAIM_ROWS);
    const { problems } = readRealmClaims(map, "legacy");
    if (valid(name)) expect(problems).toEqual([]);
    // Its public key has the wrong length for a point, which decodeRak finds.
    else if (name !== "test-invalid-public-key.json") expect(problems.length).toBeGreaterThan(0);
  });

  test.each(vectorNames("ccatoken/claims-cbor"))("ccatoken, claims in CBOR: %s", (name) => {
    const item = decodeCbor(vector(`ccatoken/claims-cbor/${name}`));
    if (!item.ok) throw new Error(item.problem.message);
    const map = item.value as CborMap;
    const legacy = /Legacy/.test(name) || (/Realm|CcaClaims/.test(name) && !map.has(265));
    const read = /Platform/.test(name) ? readPlatformClaims : readRealmClaims;
    const { problems } = read(map, legacy ? "legacy" : "1.0.0");
    if (/Missing|Invalid/.test(name)) expect(problems.length).toBeGreaterThan(0);
    else expect(problems).toEqual([]);
  });

  test("rust-ccatoken: claim sets", () => {
    const read = (name: string) => {
      const item = decodeCbor(vector(`rust-ccatoken/${name}.cbor`));
      return item.ok ? (item.value as CborMap) : new Map();
    };
    expect(readPlatformClaims(read("platform-claims"), "legacy").problems).toEqual([]);
    for (const name of ["realm-claims", "realm-claims+spurious-numeric-key", "realm-claims+spurious-text-key"])
      expect(readRealmClaims(read(name), "legacy").problems).toEqual([]);
    expect(readRealmClaims(read("realm-claims-missing-challenge"), "legacy").problems).toMatchObject([
      { code: "claim-missing", claim: "cca-realm-challenge" },
    ]);
    expect(claimsToJson(read("realm-claims+spurious-text-key"), REALM_CLAIM_ROWS)).toHaveProperty(
      "cca-realm-challenge",
    );
  });

  test("the check values of the sample RAK's binding", () => {
    const scalar = vector("tf-a/fvp-realm-attest-key-p384.bin");
    const point = nodeCrypto.ecPublicKey("P-384", scalar);
    expect(toHex(rakClaim(nodeCrypto, { curve: "P-384", point }).challenge)).toBe(
      "0d22e08a98469058486318283489bdb36f09dbefeb1864df433fa6e54ea2d711",
    );
    expect(toHex(nodeCrypto.hash("sha-256", point))).toBe(
      "b5973cb68baa9fc55558786b7ec67f69e40df5ba5aa921cd0c27f40587a011ea",
    );
  });
});
