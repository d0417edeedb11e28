/** The conformance cases over the native RMM, and what they cover. */
import { Benches, CASES, coverageOf, PROOF, runCase } from "@realmbox/conformance";
import { nodeCrypto } from "realmbox";
import { expect, test } from "vitest";
import { afterData, afterRec, afterRipas, initialRim } from "./src/cases/measure.js";

const benches = new Benches({ crypto: nodeCrypto });
const commands = [...new Set(CASES.map(({ command }) => command))];

test.each(commands)("%s", (command) => {
  const results = CASES.filter((one) => one.command === command).map((one) => runCase(benches, one));
  const failed = results.filter(({ result }) => result === "failed").map(({ id, message }) => `${id}: ${message}`);
  expect(failed).toEqual([]);
});

test("every condition has a case and a proof, and ids are unique", () => {
  const results = CASES.map((one) => ({ ...one, result: "passed" as const }));
  expect(coverageOf(results, PROOF).missing).toEqual([]);
  expect(new Set(CASES.map(({ id }) => id)).size).toBe(CASES.length);
  expect(CASES.length).toBeGreaterThan(300);
});

// Values that TF-RMM's measurement code gives for the same calls, and cca-realm-measurements for the parameters alone.
test("the cases' own measurements agree with TF-RMM's", () => {
  const params = { flags: 0n, s2sz: 40, sve_vl: 0, num_bps: 1, num_wps: 1, pmu_num_ctrs: 0, hash_algo: 0 };
  const hex = (value: Uint8Array) => Buffer.from(value).toString("hex");
  const content = Uint8Array.from({ length: 4096 }, (_, i) => i & 0xff);
  const rec = { flags: 1n, pc: 0x1000n, gprs: [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n] };
  const sequence = (hash: "sha-256" | "sha-512", hash_algo: number) => {
    const values = [initialRim(nodeCrypto, hash, { ...params, hash_algo })];
    const last = () => values.at(-1)!;
    values.push(afterRipas(nodeCrypto, hash, last(), { base: 0n, top: 0x20_0000n }));
    values.push(afterData(nodeCrypto, hash, last(), { ipa: 0x1000n, flags: 1n, content }));
    values.push(afterData(nodeCrypto, hash, last(), { ipa: 0x2000n, flags: 0n }));
    values.push(afterRec(nodeCrypto, hash, last(), rec));
    return values.map(hex);
  };
  const padded = (digest: string) => digest.padEnd(128, "0");
  expect(sequence("sha-256", 0)).toEqual(
    [
      "045cb3602843a6845cb710fbbfbb92f0c7d611afe0106ac2953e46950a70c42b",
      "7f8c7d7dd5d0845f56a62190d6d1fd15458a1132897bf0041ea3e0720af799d1",
      "11f7e448ee3f3b149348a529a99498daf54e4d8ae43c1f70f180e1802536dd3c",
      "037450935bf87572ffa5479c18a41d80761097ccf1e30361b35770fbd61edaa8",
      "939d4935fd21ec86a67310fcdfd8e7884711169260cb8a51afd606bc0c0e8c7f",
    ].map(padded),
  );
  expect(sequence("sha-512", 1).at(-1)).toBe(
    "ad7c1e9ab4a0d52b230d1079c326b04ed0073b01471f5caeb6456ee1d0adc0acc2f47ff4a4fa972dca408a5b157d8072803d0cc2b6d25141f2b949260a9e47a3",
  );
  expect(hex(initialRim(nodeCrypto, "sha-256", { ...params, s2sz: 48 }))).toBe(
    padded("6739dfb22b75ee1268d08dfa8369f501bc0b066243553f069f560d1fa1172973"),
  );
});
