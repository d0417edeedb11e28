import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { commandLine, type MachineContent, machineContent, type VmConfig } from "./config.js";
import { machineTree } from "./fdt/machine-tree.js";
import { arm64Image } from "./loader/test-images.oracle.js";
import { MiB } from "./memory-map.js";
import { patternImage, VECTORS } from "./realm/kvmtool-vectors.oracle.js";
import { MemoryDisk } from "./virtio/disk.js";

const contentOf = (config: VmConfig): MachineContent => {
  const result = machineContent(config);
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
};
const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

describe("device tree and places are kvmtool's, byte for byte", () => {
  test.each(VECTORS)("$name", ({ config, deviceTreeSha256, fdt, initrdStart }) => {
    const content = contentOf(config);
    expect(content.placement.fdt).toBe(fdt);
    expect(content.placement.initrd?.start).toBe(initrdStart);
    expect(sha256(content.deviceTree)).toBe(deviceTreeSha256);
  });
  test("with PMU and two virtio-mmio devices", () => {
    const ram = { base: 0x8000_0000n, size: 256n * MiB };
    const tree = machineTree({ cpus: 2, ram, realm: true, pmu: true, virtioDevices: 2 });
    expect(tree.ok && sha256(tree.value)).toBe("f18ddf84a0901b937ca09a1e202dea794a9df81ac97adcba772c7651a6c0c6bd");
  });
});

describe("defaults", () => {
  const kernel = arm64Image();
  test("one vCPU, 256 MiB, a normal VM with 32 bits of IPA", () => {
    expect(contentOf({ kernel })).toMatchObject({
      cpus: 1,
      ram: { base: 0x8000_0000n, size: 256n * MiB },
      realm: false,
      ipaBits: 32,
      entry: 0x8000_0000n,
      measurementAlgorithm: "sha256",
    });
  });
  test.each([
    { cpus: 4, memory: 448n * MiB, realm: true, ipaBits: 33 },
    { cpus: 1, memory: 2048n * MiB, realm: true, ipaBits: 33 },
    { cpus: 1, memory: 2049n * MiB, realm: true, ipaBits: 34 },
    { cpus: 1, memory: 2049n * MiB, realm: false, ipaBits: 33 },
  ])("$cpus vCPUs, realm $realm, $memory bytes: $ipaBits bits", ({ cpus, memory, realm, ipaBits }) => {
    const config = { kernel, cpus, realm };
    expect(contentOf({ ...config, memory }).ipaBits).toBe(ipaBits);
    if (cpus === 4) expect(contentOf(config).ram.size).toBe(memory);
  });
  test("the personalization value is padded", () => {
    const content = contentOf({ kernel, realm: true, personalizationValue: Uint8Array.of(1, 2) });
    expect([...content.personalizationValue]).toEqual([1, 2, ...Array(62).fill(0)]);
  });
});

describe("virtio devices", () => {
  const kernel = arm64Image();
  const disk = new MemoryDisk(512);
  const kinds = (config: Partial<VmConfig>) => contentOf({ kernel, ...config }).virtio.map(({ kind }) => kind);
  test("none without options; else console, disks, entropy", () => {
    expect(kinds({})).toEqual([]);
    expect(kinds({ console: "serial" })).toEqual([]);
    const content = contentOf({ kernel, disks: [disk, disk], rng: true, console: "virtio" });
    expect(content.virtio.map(({ kind }) => kind)).toEqual(["console", "block", "block", "rng"]);
    expect([content.virtioTransport, content.console]).toEqual(["mmio", "virtio"]);
  });
  test("the device tree holds as many slots", () => {
    const nodes = (config: Partial<VmConfig>) =>
      Buffer.from(contentOf({ kernel, ...config }).deviceTree)
        .toString("latin1")
        .match(/virtio@[0-9a-f]+/g);
    expect(nodes({})).toBeNull();
    expect(nodes({ disks: [disk], rng: true, console: "virtio" })).toEqual([
      "virtio@3000000",
      "virtio@3000200",
      "virtio@3000400",
    ]);
  });
  test("five disks are too many", () => {
    expect(machineContent({ kernel, disks: [disk, disk, disk, disk, disk] })).toMatchObject({
      ok: false,
      error: { kind: "too-many-disks" },
    });
  });
  test("the virtio console is hvc0", () => {
    expect(commandLine({ console: "virtio", params: "quiet" })).toEqual({
      ok: true,
      value: " console=hvc0 root=/dev/vda rw  quiet",
    });
    expect(commandLine({ console: "virtio", nodefaults: true })).toEqual({ ok: true, value: undefined });
  });
});

describe("command line", () => {
  const line = (params?: string, nodefaults?: boolean) => {
    const result = commandLine({ ...(params === undefined ? {} : { params }), nodefaults: nodefaults ?? false });
    return result.ok ? result.value : result.error.kind;
  };
  test.each([
    [undefined, false, " console=ttyS0 root=/dev/vda rw "],
    ["quiet", false, " console=ttyS0 root=/dev/vda rw  quiet"],
    ["root=/dev/ram0 x", false, " console=ttyS0 root=/dev/ram0 x"],
    ["app -- a b", true, "app -- a b"],
    [undefined, true, undefined],
    ["", true, undefined],
    ["x".repeat(2047), true, "x".repeat(2047)],
    ["x".repeat(2048), true, "bad-params"],
    ["ü".repeat(1024), true, "bad-params"],
    ["a\0b", true, "bad-params"],
  ])("%j, nodefaults %j", (params, nodefaults, expected) => {
    expect(line(params, nodefaults)).toBe(expected);
  });
});

describe("refusals", () => {
  const kernel = patternImage(64);
  test.each<[string, Partial<VmConfig>, string]>([
    ["no vCPU", { cpus: 0 }, "bad-cpus"],
    ["nine vCPUs", { cpus: 9 }, "bad-cpus"],
    ["half a vCPU", { cpus: 1.5 }, "bad-cpus"],
    ["no memory", { memory: 0n }, "bad-memory"],
    ["negative memory", { memory: -4096n }, "bad-memory"],
    ["half a page", { memory: 2048n }, "bad-memory"],
    ["1 MiB", { memory: 1n * MiB }, "too-little-memory"],
    ["RAM over the devices", { ramBase: 0x4000_0000n }, "bad-memory"],
    ["RAM base not on 2 MiB", { ramBase: 0x8010_0000n }, "bad-memory"],
    ["RAM beyond 48 bits", { ramBase: 1n << 48n }, "bad-memory"],
    ["algorithm without realm", { measurementAlgorithm: "sha512" }, "realm-only-option"],
    ["personalization value without realm", { personalizationValue: new Uint8Array(1) }, "realm-only-option"],
    ["long personalization value", { realm: true, personalizationValue: new Uint8Array(65) }, "bad-realm-pv"],
    ["empty kernel", { kernel: new Uint8Array(0) }, "empty-image"],
    ["large kernel", { kernel: new Uint8Array(8 << 20), memory: 8n * MiB }, "oversized-image"],
    ["large initrd", { initrd: new Uint8Array(8 << 20), memory: 8n * MiB }, "oversized-image"],
  ])("%s", (_, config, kind) => {
    const result = machineContent({ kernel, ...config });
    expect(result).toMatchObject({ ok: false, error: { kind } });
    expect(!result.ok && result.error.message).toMatch(/[^.]$/);
  });
});
