import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MiB, RAM_BASE } from "../memory-map.js";
import { type GuestImage, imageEnd } from "./image.js";
import { placeImages } from "./placement.js";

const kernelOf = (size: bigint, address = RAM_BASE): GuestImage => ({
  format: "flat binary",
  entry: address,
  segments: [{ address, bytes: new Uint8Array(0), memorySize: size, zeroFill: false }],
});
const place = (mem: bigint, kernel: GuestImage, initrdSize = 0, realm = false) =>
  placeImages({ ram: { base: RAM_BASE, size: mem }, kernel, initrd: new Uint8Array(initrdSize), realm });

// kvmtool's own arithmetic, by the worked examples of its machine.
test.each([
  { mem: 256n * MiB, fdt: 0x8fe0_0000n },
  { mem: 512n * MiB, fdt: 0x8fe0_0000n },
  { mem: 64n * MiB, fdt: 0x83e0_0000n },
])("device tree of a $mem byte machine", ({ mem, fdt }) => {
  expect(place(mem, kernelOf(1000n))).toMatchObject({ ok: true, value: { fdt } });
});

test("an initrd of 1,000,000 bytes ends below the device tree", () => {
  const result = place(256n * MiB, kernelOf(1000n), 1_000_000);
  expect(result).toMatchObject({ ok: true, value: { initrd: { start: 0x8fd0_bdbcn } } });
});

describe("refusals", () => {
  test.each([
    ["image above RAM", place(64n * MiB, kernelOf(8n, RAM_BASE + 64n * MiB)), "outside-ram"],
    ["image larger than RAM", place(64n * MiB, kernelOf(65n * MiB)), "oversized-image"],
    ["too little memory", place(1n * MiB, kernelOf(8n)), "too-little-memory"],
    ["image up to the device tree", place(64n * MiB, kernelOf(62n * MiB + 1n)), "too-little-memory"],
    ["image beyond the first 256 MiB", place(512n * MiB, kernelOf(254n * MiB + 1n)), "overlapping-image"],
    ["initrd too large", place(64n * MiB, kernelOf(8n * MiB), 54 << 20), "oversized-image"],
  ])("%s", (_, result, kind) => {
    expect(result).toMatchObject({ ok: false, error: { kind } });
  });
  test("the hint's size is enough", () => {
    const kernel = kernelOf(62n * MiB + 1n);
    const result = place(64n * MiB, kernel);
    expect(!result.ok && result.error.hint).toBe("give the guest at least 66 MiB (-m)");
    expect(place(66n * MiB, kernel).ok).toBe(true);
  });
});

test("in a realm no two images share a Granule", () => {
  const kernel = kernelOf(62n * MiB - 2n * MiB + 1n);
  const initrd = (2 << 20) - 8; // fits behind the kernel's last byte, but not behind its last Granule
  expect(place(64n * MiB, kernel, initrd, false).ok).toBe(true);
  expect(place(64n * MiB, kernel, initrd, true).ok).toBe(false);
});

test("whatever is placed lies in RAM, in order, without overlap", () => {
  const size = fc.bigInt({ min: 1n, max: 80n * MiB });
  fc.assert(
    fc.property(
      size,
      size,
      fc.bigInt({ min: 0n, max: 300n * MiB }),
      fc.nat(1 << 22),
      fc.boolean(),
      (mem, kernelSize, offset, initrdSize, realm) => {
        const kernel = kernelOf(kernelSize, RAM_BASE + offset);
        const result = place(mem, kernel, initrdSize, realm);
        if (!result.ok) return;
        const { fdt, initrd } = result.value;
        const initrdStart = initrd?.start ?? fdt;
        expect(imageEnd(kernel) <= initrdStart).toBe(true);
        expect(initrdStart + BigInt(initrdSize) <= fdt).toBe(true);
        expect(fdt + 0x1_0000n <= RAM_BASE + mem).toBe(true);
        if (realm) expect((imageEnd(kernel) - 1n) >> 12n < initrdStart >> 12n).toBe(true);
      },
    ),
    { numRuns: 500, seed: 1 },
  );
});
