import type { HashAlgorithm } from "@realmbox/abi";
import { toHex } from "@realmbox/token";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../../realmbox/src/crypto/node.js";
import { extendRem, RimCalculator } from "./measurement.js";

const parameters = (hashAlgorithm: HashAlgorithm, s2sz: number) =>
  ({ hashAlgorithm, flags: 0n, s2sz, sveVl: 0, numBps: 1, numWps: 1, pmuNumCtrs: 0 }) as const;
const bytes = Uint8Array.from({ length: 4096 }, (_, i) => i % 256);

describe("values computed with TF-RMM's rim.c at rmm-spec-v1.0-rel0", () => {
  test("the five steps, SHA-256", () => {
    const rim = new RimCalculator(nodeCrypto, parameters("sha-256", 40));
    expect(toHex(rim.value())).toBe("045cb3602843a6845cb710fbbfbb92f0c7d611afe0106ac2953e46950a70c42b");
    rim.ripas(0n, 0x20_0000n);
    expect(toHex(rim.value())).toBe("7f8c7d7dd5d0845f56a62190d6d1fd15458a1132897bf0041ea3e0720af799d1");
    rim.data(0x1000n, 1n, bytes);
    expect(toHex(rim.value())).toBe("11f7e448ee3f3b149348a529a99498daf54e4d8ae43c1f70f180e1802536dd3c");
    rim.data(0x2000n, 0n, bytes);
    expect(toHex(rim.value())).toBe("037450935bf87572ffa5479c18a41d80761097ccf1e30361b35770fbd61edaa8");
    rim.rec(1n, 0x1000n, [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
    expect(toHex(rim.value())).toBe("939d4935fd21ec86a67310fcdfd8e7884711169260cb8a51afd606bc0c0e8c7f");
  });

  test("the five steps, SHA-512", () => {
    const rim = new RimCalculator(nodeCrypto, parameters("sha-512", 40));
    expect(toHex(rim.value())).toBe(
      "066e19aa2c3418dadc20ef31b5595907c612991952553e1e99731a677b5797c9898dffb6e3963a20b8e1af6d136cd2fe6fe25f048577dc3d7e5bf3a79a4b1e81",
    );
    rim
      .ripas(0n, 0x20_0000n)
      .data(0x1000n, 1n, bytes)
      .data(0x2000n, 0n, bytes)
      .rec(1n, 0x1000n, [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
    expect(toHex(rim.value())).toBe(
      "ad7c1e9ab4a0d52b230d1079c326b04ed0073b01471f5caeb6456ee1d0adc0acc2f47ff4a4fa972dca408a5b157d8072803d0cc2b6d25141f2b949260a9e47a3",
    );
  });
});

// The first two equal unit tests of veraison/cca-realm-measurements.
test.each([
  ["sha-256", "6739dfb22b75ee1268d08dfa8369f501bc0b066243553f069f560d1fa1172973"],
  [
    "sha-512",
    "799e434048fb57eb9d4f0e2a2b98158720377252deab2bdfcd69b5a8f82237f434bd6bb1c75bf160a2d49382f733b3439a3ff769e4ea5dd9a6f72239d44bbbab",
  ],
  ["sha-384", "603f43537f78daeef6add25efc4ba8f5bfe7189297b2eddc67688856d902195cacd5af5ac4975b67abd810e806c83696"],
] as const)("REALM_CREATE with s2sz 48, %s", (algorithm, value) => {
  expect(toHex(new RimCalculator(nodeCrypto, parameters(algorithm, 48)).value())).toBe(value);
});

test("one RIPAS step for each entry, not for the range", () => {
  const make = () => new RimCalculator(nodeCrypto, parameters("sha-256", 40));
  const pages = make().ripas(0n, 0x3000n, 0x1000n).value();
  expect(pages).toEqual(make().ripas(0n, 0x1000n).ripas(0x1000n, 0x2000n).ripas(0x2000n, 0x3000n).value());
  expect(pages).not.toEqual(make().ripas(0n, 0x3000n).value());
  expect(() => make().ripas(0n, 0x3000n, 0x2000n)).toThrow(RangeError);
  expect(() => make().ripas(0x1000n, 0x1000n)).toThrow(RangeError);
});

test("a REC that is not runnable leaves no trace; missing registers are zero; a Granule has 4096 bytes", () => {
  const make = () => new RimCalculator(nodeCrypto, parameters("sha-256", 40));
  expect(make().rec(0n, 1n, [1n]).value()).toEqual(make().value());
  expect(make().rec(1n, 1n, [1n]).value()).toEqual(make().rec(1n, 1n, [1n, 0n, 0n]).value());
  expect(() => make().data(0n, 1n, bytes.subarray(1))).toThrow(RangeError);
});

test("a REM is the hash of its old value and the new bytes, without padding", () => {
  const zeros = new Uint8Array(32);
  // SHA-256 over 32 zero bytes, then over that and "abc"; computed with coreutils' sha256sum.
  const empty = extendRem(nodeCrypto, "sha-256", zeros, new Uint8Array(0));
  expect(toHex(empty)).toBe("66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
  expect(toHex(extendRem(nodeCrypto, "sha-256", empty, Uint8Array.from([0x61, 0x62, 0x63])))).toBe(
    "2ac71ac8cc2af5aa591301af3c74daa9de69ea99a08185e82d3ed35f62e5fb2f",
  );
});
