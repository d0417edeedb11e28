/** The committed guest images: what a loader and the tests that change them rely on. Format: guests/README.md. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const prebuilt = new URL("../../guests/prebuilt/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, prebuilt));
const images = readdirSync(prebuilt).filter((name) => name.endsWith(".bin"));

test("SHA256SUMS lists every image with its hash", () => {
  const files = readdirSync(prebuilt).filter((name) => name !== "SHA256SUMS");
  const lines = files.map((name) => `${createHash("sha256").update(read(name)).digest("hex")}  ${name}`);
  expect(read("SHA256SUMS").toString().trim().split("\n").sort()).toEqual(lines.sort());
});

describe.each(images)("%s", (name) => {
  const image = read(name);

  test("has an arm64 Image header", () => {
    expect(image.toString("latin1", 56, 60)).toBe("ARMd");
    expect(image.readBigUInt64LE(8)).toBe(0n); // text_offset
    expect(Number(image.readBigUInt64LE(16))).toBeGreaterThanOrEqual(image.length); // image_size
    expect(image.readBigUInt64LE(24)).toBe(0xan); // little-endian, 4 KiB pages, anywhere
    expect(image.readUInt32LE(0) >>> 26).toBe(0b000101); // code0: B
  });

  test("is the ELF file's loadable part", () => {
    const elf = read(name.replace(".bin", ".elf"));
    const entry = elf.readBigUInt64LE(24);
    const headers = Number(elf.readBigUInt64LE(32));
    let end = 0n;
    for (let i = 0; i < elf.readUInt16LE(56); i++) {
      const at = headers + i * elf.readUInt16LE(54);
      const [offset, address, size] = [8, 24, 32].map((field) => Number(elf.readBigUInt64LE(at + field)));
      const place = address - Number(entry); // entry is the image's first byte
      expect(image.subarray(place, place + size).equals(elf.subarray(offset, offset + size))).toBe(true);
      end = elf.readBigUInt64LE(at + 24) + elf.readBigUInt64LE(at + 40);
    }
    expect(end - entry).toBe(image.readBigUInt64LE(16));
  });
});

test("rsi-check has a readable table of expectations", () => {
  const image = read("rsi-check.bin");
  const at = image.indexOf("RSI-CHECK TABLE\0");
  expect(image.indexOf("RSI-CHECK TABLE\0", at + 1)).toBe(-1);
  const count = Number(image.readBigUInt64LE(at + 16));
  expect(image.readBigUInt64LE(at + 24)).toBe(64n);
  expect(count).toBeGreaterThan(100);
  const names = Array.from({ length: count }, (_, row) => {
    const start = at + 32 + 64 * row;
    return image.toString("latin1", start, start + 56).replace(/\0+$/, "");
  });
  expect(new Set(names).size).toBe(count);
  for (const name of names) expect(name).toMatch(/^[\x20-\x7e]{3,55}$/);
  const version = names.indexOf("RSI_VERSION 1.0: lower");
  expect(image.readBigUInt64LE(at + 32 + 64 * version + 56)).toBe(0x10000n);
});
