import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RAM_BASE } from "../memory-map.js";
import { type GuestImage, imageEnd, parseImage } from "./image.js";
import { arm64Image, efiImage, elfFile } from "./test-images.oracle.js";

const parse = (file: Uint8Array) => parseImage(file, { ramBase: RAM_BASE });
const parsed = (file: Uint8Array): GuestImage => {
  const result = parse(file);
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
};
const kindOf = (file: Uint8Array) => {
  const result = parse(file);
  return result.ok ? "ok" : result.error.kind;
};
const ascii = (text: string, size = 1024) => {
  const file = new Uint8Array(size);
  file.set(new TextEncoder().encode(text));
  return file;
};
const bytes = (...values: number[]) => {
  const file = new Uint8Array(1024);
  file.set(values);
  return file;
};
const at = (offset: number, text: string) => {
  const file = new Uint8Array(1024);
  file.set(new TextEncoder().encode(text), offset);
  return file;
};
const code = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);

describe("arm64 Image", () => {
  test("goes to text_offset and owns image_size", () => {
    const image = parsed(arm64Image({ textOffset: 0xf_ffc0n, imageSize: 0x20_0000n, size: 5000 }));
    expect(image.format).toBe("arm64 Image");
    expect(image.entry).toBe(0x800f_ffc0n);
    expect(image.segments).toMatchObject([{ address: 0x800f_ffc0n, memorySize: 0x20_0000n, zeroFill: false }]);
    expect(image.segments[0]!.bytes).toHaveLength(5000);
    expect(imageEnd(image)).toBe(0x802f_ffc0n);
  });
  test("with image_size 0 goes to 0x80000, as kvmtool does", () => {
    expect(parsed(arm64Image({ textOffset: 0x1234n, imageSize: 0n })).entry).toBe(0x8008_0000n);
  });
  test("a file larger than image_size owns its file", () => {
    expect(imageEnd(parsed(arm64Image({ imageSize: 1n, size: 8192 })))).toBe(RAM_BASE + 8192n);
  });
  test("big-endian is refused", () => {
    expect(kindOf(arm64Image({ flags: 1n }))).toBe("wrong-architecture");
  });
  test("an EFI-capable Image that was cut is seen by its section table", () => {
    expect(kindOf(efiImage({ sectionSize: 0x600, fileSize: 0x800 }))).toBe("ok");
    expect(kindOf(efiImage({ sectionSize: 0x600, fileSize: 0x7ff }))).toBe("truncated-image");
    expect(kindOf(efiImage({ sectionSize: 0xffff_ffff, fileSize: 0x800 }))).toBe("truncated-image");
  });
});

describe("ELF", () => {
  const base = 0x8008_0000n;
  test("segments go to their physical addresses, the entry point follows its segment", () => {
    const image = parsed(
      elfFile({
        entry: 0xffff_8000_0000_0004n,
        segments: [
          { vaddr: 0xffff_8000_0010_0000n, paddr: base + 0x10_0000n, bytes: code, memorySize: 0x3000n },
          { vaddr: 0xffff_8000_0000_0000n, paddr: base, bytes: code },
        ],
      }),
    );
    expect(image.entry).toBe(base + 4n);
    expect(image.segments.map(({ address, memorySize }) => [address, memorySize])).toEqual([
      [base, 8n],
      [base + 0x10_0000n, 0x3000n],
    ]);
    expect(image.segments.every(({ zeroFill }) => zeroFill)).toBe(true);
  });
  test("a position-independent one moves as a whole, congruent to its alignment", () => {
    const image = parsed(
      elfFile({
        type: 3,
        entry: 0x1_0120n,
        segments: [
          { vaddr: 0x120n, bytes: code, align: 0x1_0000n },
          { vaddr: 0x1_0120n, bytes: code, align: 0x1_0000n },
        ],
      }),
    );
    expect(image.segments.map(({ address }) => address)).toEqual([base + 0x120n, base + 0x1_0120n]);
    expect(image.entry).toBe(base + 0x1_0120n);
  });
  test.each([
    ["object file", elfFile({ type: 1, entry: 0n, segments: [] }), "unsupported-image"],
    ["core dump", elfFile({ type: 4, entry: 0n, segments: [] }), "unsupported-image"],
    ["x86-64", elfFile({ machine: 62, entry: base, segments: [{ vaddr: base, bytes: code }] }), "wrong-architecture"],
    [
      "32-bit Arm",
      elfFile({ machine: 40, entry: base, segments: [{ vaddr: base, bytes: code }] }),
      "wrong-architecture",
    ],
    ["no program headers", elfFile({ entry: base, segments: [] }), "malformed-image"],
    ["nothing to load", elfFile({ entry: base, segments: [{ vaddr: base, bytes: code, type: 4 }] }), "malformed-image"],
    [
      "dynamic program",
      elfFile({
        type: 3,
        entry: 0n,
        segments: [
          { vaddr: 0n, bytes: code },
          { vaddr: 0n, bytes: code, type: 3 },
        ],
      }),
      "unsupported-image",
    ],
    [
      "headers with a byte of program behind them, below RAM",
      elfFile({
        entry: base,
        segments: [
          { vaddr: base, bytes: code },
          { vaddr: 0x40_0000n, bytes: code, offset: 0, size: 64 + 2 * 56 + 1, flags: 4 },
        ],
      }),
      "outside-ram",
    ],
    ["below RAM", elfFile({ entry: 0x40_0000n, segments: [{ vaddr: 0x40_0000n, bytes: code }] }), "outside-ram"],
    [
      "overlap",
      elfFile({
        entry: base,
        segments: [
          { vaddr: base, bytes: code },
          { vaddr: base + 7n, bytes: code },
        ],
      }),
      "overlapping-image",
    ],
    ["entry outside", elfFile({ entry: base + 8n, segments: [{ vaddr: base, bytes: code }] }), "malformed-image"],
    ["entry unaligned", elfFile({ entry: base + 2n, segments: [{ vaddr: base, bytes: code }] }), "malformed-image"],
    [
      "more in the file than in memory",
      elfFile({ entry: base, segments: [{ vaddr: base, bytes: code, memorySize: 4n }] }),
      "malformed-image",
    ],
  ])("%s", (_, file, kind) => {
    expect(kindOf(file)).toBe(kind);
  });
  test("a segment of headers alone, below RAM, is left out", () => {
    const headers = { vaddr: 0x40_0000n, bytes: code, offset: 0, size: 64 + 2 * 56, flags: 4 };
    const image = parsed(elfFile({ entry: base, segments: [headers, { vaddr: base, bytes: code }] }));
    expect(image.segments.map(({ address }) => address)).toEqual([base]);
  });
  test("every cut of a file is refused as truncated", () => {
    const file = elfFile({ entry: base, segments: [{ vaddr: base, bytes: code }] });
    expect(kindOf(file)).toBe("ok");
    for (let length = 4; length < file.length; length++) {
      expect(kindOf(file.subarray(0, length))).toBe("truncated-image");
    }
  });
  test("addresses near 2^64 are numbers, not wrap-arounds", () => {
    const top = 0xffff_ffff_ffff_f000n;
    const image = parsed(
      elfFile({ entry: top, segments: [{ vaddr: top, bytes: code, memorySize: 0xffff_ffff_ffff_ffffn }] }),
    );
    expect(imageEnd(image)).toBe(top + 0xffff_ffff_ffff_ffffn);
  });
});

describe("a stock cross compiler's output", () => {
  const gcc = "aarch64-linux-gnu-gcc";
  const source = ".globl _start\n_start: wfi\n b _start\n.data\n.quad 0x1122334455667788\n.bss\n.skip 64\n";
  test.skipIf(spawnSync(gcc, ["--version"]).status !== 0)("links as ELF and as a flat binary", () => {
    const dir = mkdtempSync(join(tmpdir(), "vmm-loader-"));
    try {
      writeFileSync(join(dir, "a.S"), source);
      const link = (option: string) => {
        const flags = ["-nostdlib", "-static", "-Wl,-Ttext=0x80080000", option];
        execFileSync(gcc, [...flags, "-o", join(dir, "a.elf"), join(dir, "a.S")]);
        return parsed(new Uint8Array(readFileSync(join(dir, "a.elf"))));
      };
      // With a build id the headers and its note are a segment of their own, far below RAM.
      expect(link("-Wl,--build-id")).toMatchObject({ format: "ELF", entry: 0x8008_0000n });
      const image = link("-Wl,--build-id=none");
      expect(image.format).toBe("ELF");
      expect(image.entry).toBe(0x8008_0000n);
      const holdsEntry = image.segments.find(
        ({ address, memorySize }) => address <= image.entry && image.entry < address + memorySize,
      )!;
      const offset = Number(image.entry - holdsEntry.address);
      expect([...holdsEntry.bytes.subarray(offset, offset + 4)]).toEqual([0x7f, 0x20, 0x03, 0xd5]); // WFI
      execFileSync("aarch64-linux-gnu-objcopy", ["-O", "binary", join(dir, "a.elf"), join(dir, "a.bin")]);
      expect(parsed(new Uint8Array(readFileSync(join(dir, "a.bin"))))).toMatchObject({
        format: "flat binary",
        entry: 0x8008_0000n,
      });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe("flat binaries and what is none", () => {
  test("anything unknown runs from its first byte at 0x80000", () => {
    const image = parsed(new Uint8Array([0x1f, 0x20, 0x03, 0xd5]));
    expect(image).toMatchObject({ format: "flat binary", entry: 0x8008_0000n });
    expect(imageEnd(image)).toBe(0x8008_0004n);
  });
  test.each([
    ["empty file", new Uint8Array(0), "empty-image"],
    ["gzip", bytes(0x1f, 0x8b), "unsupported-image"],
    ["zstd", bytes(0x28, 0xb5, 0x2f, 0xfd), "unsupported-image"],
    ["xz", bytes(0xfd, 0x37, 0x7a, 0x58, 0x5a), "unsupported-image"],
    ["bzip2", ascii("BZh9"), "unsupported-image"],
    ["lz4", bytes(0x04, 0x22, 0x4d, 0x18), "unsupported-image"],
    ["EFI zboot", ascii("MZ\0\0zimg"), "unsupported-image"],
    ["U-Boot image", bytes(0x27, 0x05, 0x19, 0x56), "unsupported-image"],
    ["x86 kernel", at(0x202, "HdrS"), "wrong-architecture"],
    ["RISC-V kernel", at(0x38, "RSC\x05"), "wrong-architecture"],
    ["Mach-O", bytes(0xcf, 0xfa, 0xed, 0xfe), "unsupported-image"],
    ["script", ascii("#!/bin/sh\n"), "unsupported-image"],
    ["cpio archive", ascii("070701"), "unsupported-image"],
    ["device tree", bytes(0xd0, 0x0d, 0xfe, 0xed), "unsupported-image"],
    ["EFI program", ascii("MZ"), "unsupported-image"],
  ])("%s", (_, file, kind) => {
    expect(kindOf(file)).toBe(kind);
  });
});

describe("hostile files", () => {
  const elf = elfFile({
    entry: 0x8008_0000n,
    segments: [
      { vaddr: 0x8008_0000n, bytes: code },
      { vaddr: 0x8009_0000n, bytes: code, memorySize: 0x100n },
    ],
  });
  const image = efiImage({ sectionSize: 0x100, fileSize: 0x300 });
  /** What the rest of the VMM relies on. */
  const check = (file: Uint8Array) => {
    const result = parse(file);
    if (!result.ok) return expect(result.error.message).not.toBe("");
    let end = RAM_BASE;
    for (const segment of result.value.segments) {
      expect(segment.address >= end).toBe(true);
      expect(segment.memorySize >= BigInt(segment.bytes.length)).toBe(true);
      end = segment.address + segment.memorySize;
    }
    expect(result.value.segments.length > 0 && result.value.entry < end).toBe(true);
  };
  test.each([
    ["ELF", elf],
    ["Image", image],
  ])("%s with any changes gives a value that holds its promises", (_, file) => {
    const change = fc.tuple(fc.nat(file.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat(file.length), (changes, length) => {
        const changed = file.slice();
        for (const [offset, value] of changes) changed[offset] = value;
        check(changed);
        check(changed.subarray(0, length));
      }),
      { numRuns: 2000, seed: 1 },
    );
  });
});
