/**
 * The Realm Initial Measurement: what `measure` computes from the inputs is what the realm's token carries, and for hello
 * it is what a program computes that shares nothing with this project.
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeCcaToken, toHex } from "@realmbox/token";
import { machineContent } from "@realmbox/vmm";
import { measure, nodeCrypto, realmPlatform, type VmConfig } from "realmbox";
import { describe, expect, test } from "vitest";
import { image, MiB, makeBox, makeGuest, runToEnd, small } from "../support/box.js";
import { realmbox, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder("measure");
const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

function measured(config: VmConfig): string {
  const content = machineContent(config);
  if (!content.ok) throw new Error(content.error.message);
  return toHex(measure(nodeCrypto, content.value, realmPlatform(makeBox().host.rmm!.features0)));
}

describe.each(["hello", "rsi-check", "smp"])("%s", (name) => {
  describe.each(["sha256", "sha512"] as const)("%s", (measurementAlgorithm) => {
    test.each([
      ["without a personalization value", {}],
      ["with a personalization value", { personalizationValue: new TextEncoder().encode("of this realm") }],
    ])("%s", (_, more) => {
      const config: VmConfig = { ...small(name, name === "smp" ? 4 : 1), realm: true, measurementAlgorithm, ...more };
      const guest = makeGuest(makeBox({ pes: config.cpus ?? 1 }), config);
      expect(runToEnd(guest)).toEqual({ kind: "exit", status: 0 });
      const { realm } = decodeCcaToken(guest.token!).token!;
      expect(toHex(realm.claims!.initialMeasurement)).toBe(measured(config));
      expect(realm.claims!.initialMeasurement).toHaveLength(measurementAlgorithm === "sha256" ? 32 : 64);
      const rpv = new Uint8Array(64);
      rpv.set(config.personalizationValue ?? []);
      expect(realm.claims!.personalizationValue).toEqual(rpv);
    });
  });
});

test("the command prints the RIM that the same run's token carries", async () => {
  const initrd = join(folder, "initrd");
  writeFileSync(initrd, Buffer.alloc(9999, 7));
  for (const args of [
    ["hello"],
    ["--measurement-algo", "sha512", "--realm-pv", "x", "-c", "4", "-m", "100", "smp"],
    ["-i", initrd, "-p", "a b c", "hello"],
  ]) {
    const run = JSON.parse((await realmbox(["run", "--realm", "--json", ...args])).stdout);
    const plain = await realmbox(["measure", "--realm", ...args]);
    expect(plain).toEqual({ code: 0, stdout: `${run.rim.token}\n`, stderr: "" });
    expect(JSON.parse((await realmbox(["measure", "--json", ...args])).stdout).rim).toBe(run.rim.token);
  }
});

test("whatever is measured changes it, the personalization value does not", () => {
  const base: VmConfig = { ...small("hello"), realm: true };
  const other = image("hello");
  other[other.length - 1]! ^= 1;
  const changed: readonly VmConfig[] = [
    { ...base, kernel: other },
    { ...base, cpus: 2 },
    { ...base, memory: 64n * MiB },
    { ...base, params: "x" },
    { ...base, initrd: Uint8Array.of(1) },
    { ...base, measurementAlgorithm: "sha512" },
    { ...base, kaslrSeed: 1n },
  ];
  const rims = [base, ...changed].map(measured);
  expect(new Set(rims).size).toBe(rims.length);
  expect(measured({ ...base, personalizationValue: Uint8Array.of(1) })).toBe(rims[0]);
});

/**
 * RIMs of hello, computed once by a program of its own (Python's hashlib and struct, written from the text of DEN0137
 * 1.0-rel0, "Realm measurements", with kernel and device tree as files). The inputs are pinned: when the image or the
 * tree changes, the constants must be computed anew, by a program that is not this one.
 */
describe("RIM of hello as an independent program computes it", () => {
  test.each<readonly [string, Partial<VmConfig>, { deviceTree: string; rim: string }]>([
    [
      "sha256, defaults",
      {},
      {
        deviceTree: "2c175068cb206b232dd97326388b6b0e6f7d46070d368fb50ee136b33ceeb3de",
        rim: "d93736a72105e6ed78d1a17357ecdd9d6dc72ea0d95965548ebd3eb49e94b43d",
      },
    ],
    [
      "sha512, defaults",
      { measurementAlgorithm: "sha512" },
      {
        deviceTree: "2c175068cb206b232dd97326388b6b0e6f7d46070d368fb50ee136b33ceeb3de",
        rim: "8ebc3c4fa66791fae2faac44a36c689fe708777fb32499c3fad95fb5da08f2cfb2dd6f3700fff9ac05729b64a78196981e6ed2b8e6e3b0a899e0b09f34ea2ab3",
      },
    ],
    [
      "sha256, 2 vCPUs, 64 MiB, initrd, parameters",
      {
        cpus: 2,
        memory: 64n * MiB,
        initrd: Uint8Array.from({ length: 5000 }, (_, i) => (i * 7 + 3) & 0xff),
        params: "exit=3 quiet",
      },
      {
        deviceTree: "333e92591ca9f1a3c1f4f70d4082c3318f5bf21f65df9b0f52867a3f5f5077ce",
        rim: "fb5b02ab30c568d9de0ae1e7d2710329537880c449fe38b6ec8814a4565ed5c9",
      },
    ],
  ])("%s", (_, options, expected) => {
    const config: VmConfig = { kernel: image("hello"), realm: true, ...options };
    const content = machineContent(config);
    if (!content.ok) throw new Error(content.error.message);
    expect({ kernel: sha256(config.kernel), deviceTree: sha256(content.value.deviceTree) }).toEqual({
      kernel: "99f67b437078db51375ff5b6c3dcbf27b77c6c1b7a395f96ae068c468403a6d6",
      deviceTree: expected.deviceTree,
    });
    expect(measured(config)).toBe(expected.rim);
  });
});
