import { toHex } from "@realmbox/token";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { haveVectors, madeVectors, vector } from "../../token/src/vectors.oracle.js";
import { explainToken, renderTree } from "./explain.js";
import { tokenVariants } from "./mutate.js";
import { cpak, recipe } from "./recipe.oracle.js";

const variants = tokenVariants(recipe);
const variant = (name: string) => variants.find((v) => v.name === name)!.bytes;
const text = (data: Uint8Array) => renderTree(explainToken(data));

test("a good token: every claim with its name, label and value", () => {
  const shown = text(variant("unchanged"));
  const { platform, realm } = recipe;
  for (const line of [
    `CCA token: ${variant("unchanged").length} bytes, collection with tag 399`,
    "      alg (1): ES384 (-35)",
    "    unprotected header: empty",
    '      cca-platform-profile (265): "tag:arm.com,2023:cca_platform#1.0.0"',
    `      cca-platform-instance-id (256): ${toHex(platform.instanceId)}`,
    "      cca-platform-lifecycle (2395): 0x3000, secured",
    '          measurement-type (1): "AP_BL31"',
    `          measurement-value (2): ${toHex(platform.softwareComponents[0]!.measurement)}`,
    `      cca-realm-initial-measurement (44238): ${toHex(realm.initialMeasurement)}`,
    `        [3]: ${toHex(realm.extensibleMeasurements[3]!)}`,
  ])
    expect(shown.split("\n")).toContain(line);
  expect(shown).toMatch(/realm attestation key: P-384 COSE_Key, 04[0-9a-f]{192}\n/);
  expect(shown).not.toContain(toHex(cpak.key.point));
});

test.each([
  ["truncated", /not valid CBOR: the data ends inside an item/],
  ["tag-500", /tag 500 is not that of a CCA collection/],
  ["realm-untagged", /platform token: .*\n(.*\n)+ {2}realm token: .*tag 18 is missing/],
  ["platform-claims-twice", /claims: the map key 10 occurs twice/],
  ["platform-lifecycle-outside-the-ranges", /lifecycle \(2395\): 0x3100, invalid/],
  ["realm-public-key-off-the-curve", /realm attestation key: the public key is not a point of P-384/],
  ["unknown-claims", /-75000 \(unknown\)\n +\[0\]: 1\n(.*\n)+ +"comment" \(unknown\)\n +tag 1: 0/],
  ["kid", /unprotected header\n +kid \(4\): 00000000/],
])("%s: shown as far as it can be decoded", (name, expected) => {
  expect(text(variant(name))).toMatch(expected);
});

test("any bytes can be shown", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), (data, at) => {
      text(data);
      const changed = variant("unchanged").slice();
      changed.set(data.subarray(0, 8), at % (changed.length - 8));
      text(changed);
    }),
    { numRuns: 500, seed: 4 },
  );
});

describe.skipIf(!haveVectors)("other projects' vectors (skipped without them)", () => {
  test.each(madeVectors)("$file", ({ file, fails_at }) => {
    const lines = text(vector(`made/${file}`)).split("\n");
    if (fails_at !== "decode") expect(lines.length).toBeGreaterThan(30);
  });
});
