/** What kernels and modules say about themselves, and the Image inside compressed files. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { utf8 } from "./bytes.js";
import { busyboxApplets, makeInitramfs } from "./initramfs.js";
import { isRealmAware, kernelFacts } from "./kernel-image.js";
import { moduleInfo } from "./module-info.js";
import { moduleClosure, modulesAlias, modulesDep, modulesSoftdep } from "./module-set.js";
import { makeBusybox, makeKernel, makeModule } from "./test-archive.oracle.js";
import { unwrapKernel } from "./unwrap-kernel.js";

const folder = mkdtempSync(join(tmpdir(), "realmbox-kernel-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("a kernel", () => {
  const kernel = makeKernel("7.2.13+deb14-arm64", { realmAware: true });
  test("header, version, realm support", () => {
    expect(kernelFacts(kernel)).toEqual({
      ...{ textOffset: 0n, imageSize: 0x3000n, flags: 0xan, endianness: "little", pageSize: 4, placement: "anywhere" },
      ...{
        banner: "Linux version 7.2.13+deb14-arm64 (a@b) (gcc) #1 SMP",
        version: "7.2.13+deb14-arm64",
        realmAware: true,
      },
    });
    expect(isRealmAware(makeKernel("6.12", { realmAware: false }))).toBe(false);
  });
  test.each([
    [0x3n, { endianness: "big", pageSize: 4, placement: "near the start of RAM" }],
    [0xcn, { endianness: "little", pageSize: 16, placement: "anywhere" }],
    [0x6n, { pageSize: 64 }],
    [0x0n, { pageSize: undefined }],
  ] as const)("flags %s", (flags, facts) => {
    const other = kernel.slice();
    new DataView(other.buffer).setBigUint64(24, flags, true);
    expect(kernelFacts(other)).toMatchObject(facts);
  });
  test("what is no Image", () => {
    for (const bytes of [new Uint8Array(), utf8("text"), new Uint8Array(4096)])
      expect(kernelFacts(bytes)).toBeUndefined();
    const banner = kernel.slice(0, 0x400);
    expect(kernelFacts(banner)).toMatchObject({ banner: undefined, version: undefined, realmAware: false });
  });

  /** A self-decompressing EFI kernel around a payload. */
  function zboot(compression: string, payload: Uint8Array, size = payload.length): Uint8Array {
    const file = new Uint8Array(0x1000 + payload.length);
    const view = new DataView(file.buffer);
    file.set(utf8("MZ\0\0zimg"));
    view.setUint32(8, 0x1000, true);
    view.setUint32(12, size, true);
    file.set(utf8(`${compression}\0`), 24);
    file.set(payload, 0x1000);
    return file;
  }
  test("compressed ones are decompressed, and said so; others are as they are", () => {
    expect(unwrapKernel(kernel, "Image")).toEqual({ bytes: kernel, how: undefined });
    const gzip = unwrapKernel(gzipSync(kernel), "Image.gz");
    expect(gzip.bytes).toEqual(kernel);
    expect(gzip.how).toBe("Image.gz: decompressed (gzip)");
    const efi = unwrapKernel(zboot("gzip", gzipSync(kernel)), "vmlinuz.efi");
    expect(efi.bytes).toEqual(kernel);
    expect(efi.how).toBe("vmlinuz.efi: decompressed the Image inside this EFI kernel (gzip)");
  });
  test.skipIf(!have("zstd"))("zstd, alone and inside EFI's", () => {
    const zstd = execFileSync("zstd", ["-c"], { input: kernel });
    expect(unwrapKernel(zstd, "Image.zst").bytes).toEqual(kernel);
    expect(unwrapKernel(zboot("zstd22", zstd), "vmlinuz.efi").bytes).toEqual(kernel);
  });
  test.each([
    ["cut", zboot("gzip", gzipSync(kernel), 1 << 20), /vmlinuz: this EFI kernel is cut/],
    ["an unknown compression", zboot("lzma", utf8("....")), /vmlinuz: this self-decompressing EFI kernel uses lzma/],
    ["damaged inside", zboot("gzip", gzipSync(kernel).subarray(0, 40)), /vmlinuz cannot be unpacked/],
    ["cut gzip", gzipSync(kernel).subarray(0, 40), /vmlinuz cannot be unpacked/],
  ])("%s", (_, file, message) => {
    expect(() => unwrapKernel(file, "vmlinuz")).toThrow(message);
  });
});

function have(program: string): boolean {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe("modules", () => {
  const MODULE = {
    name: "arm-cca-guest",
    depends: "tsm_report,x-y",
    softdep: "pre: a b-c post: d",
    alias: "platform:arm-cca-dev",
    vermagic: "7.2 SMP",
  };
  test("what one says", () => {
    expect(moduleInfo(makeModule(MODULE))).toEqual({
      ...{ name: "arm_cca_guest", depends: ["tsm_report", "x_y"], softDepends: ["a", "b-c"] },
      ...{ aliases: ["platform:arm-cca-dev"], vermagic: "7.2 SMP" },
    });
  });
  test.skipIf(!have("modinfo"))("as modinfo reads it", () => {
    const path = join(folder, "m.ko");
    writeFileSync(path, makeModule(MODULE));
    expect(execFileSync("modinfo", ["-F", "depends", path], { encoding: "utf8" }).trim()).toBe("tsm_report,x-y");
    expect(execFileSync("modinfo", ["-F", "alias", path], { encoding: "utf8" }).trim()).toBe("platform:arm-cca-dev");
  });
  test("damaged ones are none, wherever they are cut or changed", () => {
    const file = makeModule(MODULE);
    for (let size = 0; size < file.length; size += 7) expect(moduleInfo(file.subarray(0, size))).toBeUndefined();
    for (let at = 0; at < file.length; at++) {
      const changed = file.slice();
      changed[at] = 0xff;
      expect(() => moduleInfo(changed)).not.toThrow();
    }
  });

  const source = (
    modules: Readonly<Record<string, Readonly<Record<string, string>>>>,
    builtin: readonly string[] = [],
  ) => ({
    paths: Object.keys(modules),
    read: async (path: string) => makeModule(modules[path]!),
    builtin: new Set(builtin),
  });
  const TREE = {
    "kernel/a.ko.xz": { name: "a", depends: "b,c", alias: "of:a" },
    "kernel/b.ko.xz": { name: "b", depends: "d" },
    "kernel/c.ko.xz": { name: "c", depends: "d", softdep: "pre: e-f nowhere" },
    "kernel/d.ko.xz": { name: "d", depends: "" },
    "kernel/e-f.ko": { name: "e_f", depends: "" },
  };
  test("a closure, each behind what it needs; the tables of modprobe", async () => {
    const { modules, missing } = await moduleClosure(["a", "in-kernel", "gone"], source(TREE, ["in_kernel"]));
    expect(modules.map(({ info }) => info.name)).toEqual(["d", "b", "e_f", "c", "a"]);
    expect(missing).toEqual(["gone"]);
    // What stands last is loaded first.
    expect(modulesDep(modules)).toBe(
      "kernel/d.ko:\nkernel/b.ko: kernel/d.ko\nkernel/e-f.ko:\nkernel/c.ko: kernel/d.ko\nkernel/a.ko: kernel/c.ko kernel/b.ko kernel/d.ko\n",
    );
    expect(modulesAlias(modules)).toBe("alias of:a a\n");
    expect(modulesSoftdep(modules)).toBe("softdep c pre: e-f nowhere\n");
  });
  test.each([
    ["a missing dependency", { "kernel/a.ko": { name: "a", depends: "gone" } }, /lack the module gone/],
    [
      "a circle",
      { "kernel/a.ko": { name: "a", depends: "b" }, "kernel/b.ko": { name: "b", depends: "a" } },
      /module a depends on itself/,
    ],
    ["no module", { "kernel/a.ko": {} }, /'kernel\/a\.ko' is no AArch64 kernel module/],
  ])("%s", async (_, tree, message) => {
    await expect(moduleClosure(["a"], source(tree))).rejects.toThrow(message);
  });
});

describe("the initramfs", () => {
  test("the same inputs give the same bytes", () => {
    const input = { busybox: makeBusybox(), kernelVersion: "7.0", modules: [] };
    expect(makeInitramfs(input)).toEqual(makeInitramfs(input));
  });
  test("busybox's commands; without a table none, and /init makes the links", () => {
    expect(busyboxApplets(makeBusybox())).toEqual(["[", "[[", "ash", "cat", "mount", "sh", "zcat"]);
    expect(busyboxApplets(utf8("nothing"))).toBeUndefined();
    expect(busyboxApplets(utf8("[\0[[\0"))).toBeUndefined();
    expect(makeInitramfs({ busybox: utf8("x"), kernelVersion: "7.0", modules: [] }).length).toBeGreaterThan(4000);
  });
});
