import { Buffer } from "node:buffer";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import type { EcCurve } from "@realmbox/abi";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromJwk, fromSpki, parseTrustAnchors, toJwk, toPem } from "./keys.js";
import { cpak, otherKey } from "./recipe.oracle.js";

const CURVES: readonly { curve: EcCurve }[] = [{ curve: "P-256" }, { curve: "P-384" }, { curve: "P-521" }];

describe.each(CURVES)("$curve", ({ curve }) => {
  test("OpenSSL's PEM and JWK are read, and written the same", () => {
    for (let i = 0; i < 4; i++) {
      const { publicKey } = generateKeyPairSync("ec", { namedCurve: curve });
      const pem = publicKey.export({ format: "pem", type: "spki" }).toString();
      const jwk = publicKey.export({ format: "jwk" });
      const read = parseTrustAnchors(pem);
      if (!read.ok) throw new Error(read.problem);
      expect(read.value).toHaveLength(1);
      expect(toPem(read.value[0]!.key)).toBe(pem);
      expect(toJwk(read.value[0]!.key)).toEqual(jwk);
      expect(fromJwk(jwk)).toEqual({ ok: true, value: read.value[0]!.key });
      expect(parseTrustAnchors(JSON.stringify(jwk))).toEqual(read);
    }
  });

  test("what we write, OpenSSL reads", () => {
    const { publicKey } = generateKeyPairSync("ec", { namedCurve: curve });
    const key = fromJwk(publicKey.export({ format: "jwk" }));
    if (!key.ok) throw new Error(key.problem);
    expect(createPublicKey(toPem(key.value)).equals(publicKey)).toBe(true);
  });
});

const pem = toPem(cpak.key);
const jwk = toJwk(cpak.key);
const read = (text: string) => parseTrustAnchors(text);

test("several keys in a file: PEM blocks with text around them, JWK set, rust-ccatoken's store", () => {
  const expected = { ok: true, value: [{ key: cpak.key }, { key: otherKey.key }] };
  expect(read(`# two keys\n${pem}\nsecond:\r\n${toPem(otherKey.key).replaceAll("\n", "\r\n")}`)).toEqual(expected);
  expect(read(JSON.stringify({ keys: [jwk, toJwk(otherKey.key)] }))).toEqual(expected);
  const ids = { "implementation-id": "00FF", "instance-id": "01" };
  expect(read(JSON.stringify([{ pkey: jwk, ...ids }]))).toEqual({
    ok: true,
    value: [{ key: cpak.key, implementationId: Uint8Array.of(0, 255), instanceId: Uint8Array.of(1) }],
  });
});

const privatePem = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey.export({
  format: "pem",
  type: "pkcs8",
});
const compressed = `-----BEGIN PUBLIC KEY-----\n${Buffer.from(
  `3046301006072a8648ce3d020106052b8104002203320002${"11".repeat(48)}`,
  "hex",
).toString("base64")}\n-----END PUBLIC KEY-----\n`;
test.each<[string, string, RegExp]>([
  ["empty", "", /neither PEM nor JSON/],
  ["text", "hello", /neither PEM nor JSON/],
  ["PEM that does not end", pem.slice(0, 100), /does not end/],
  ["PEM with another character", pem.replace("M", "*"), /not base64/],
  ["a private key", String(privatePem), /PRIVATE KEY.*pubout/],
  ["a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", /CERTIFICATE/],
  [
    "an RSA key",
    String(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "pem", type: "spki" })),
    /not an uncompressed/,
  ],
  ["a compressed point", compressed, /not an uncompressed/],
  ["a point off the curve", pem.replace(/A/g, "B"), /public key/],
  ["an empty list", "[]", /no key/],
  ["an empty set", '{"keys":[]}', /no key/],
  ["a number", "1", /not a JWK/],
  ["null", "null", /not a JWK/],
  ["an OKP key", '{"kty":"OKP","crv":"Ed25519","x":"AA"}', /not a JWK of key type/],
  ["another curve", JSON.stringify({ ...jwk, crv: "secp256k1" }), /secp256k1/],
  ["no y", JSON.stringify({ ...jwk, y: undefined }), /48 bytes/],
  ["a short x", JSON.stringify({ ...jwk, x: "AAAA" }), /48 bytes/],
  ["x and y exchanged", JSON.stringify({ ...jwk, x: jwk.y, y: jwk.x }), /not a point/],
  ["a store entry without pkey", JSON.stringify([{ "instance-id": "01" }]), /without pkey/],
  ["a store entry with a bad id", JSON.stringify([{ pkey: jwk, "instance-id": "0x01" }]), /not hexadecimal/],
])("refused: %s", (_what, text, problem) => {
  const result = read(text);
  expect(result.ok).toBe(false);
  if (!result.ok) expect(result.problem).toMatch(problem);
});

test("any text and any DER: a value or a sentence", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.string().map((s) => `-----BEGIN ${s}`),
      ),
      (text) => {
        read(text);
      },
    ),
    { numRuns: 500, seed: 8 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (der) => {
      expect(fromSpki(der).ok).toBe(false);
    }),
    { seed: 8 },
  );
});
