import { baseBoard, isFault, Machine } from "@realmbox/machine";
import { describe, expect, test } from "vitest";
import { PageAllocator } from "./allocator.js";
import { Stage2, stage2Geometry } from "./stage2.js";

const BASE = 0x8000_0000n;

function tables(ipaBits: number, pages = 64) {
  const machine = new Machine({ board: baseBoard({ dramSize: 1n << 24n }) });
  const port = machine.devicePort();
  const allocator = new PageAllocator([{ base: BASE, size: BigInt(pages) << 12n }]);
  const stage2 = Stage2.create(allocator, () => port, ipaBits)!;
  return { machine, port, allocator, stage2 };
}

// DDI 0487, concatenation at the initial lookup level; the same table as a realm's parameters.
test.each([
  [32, 2, 4],
  [33, 2, 8],
  [34, 2, 16],
  [35, 1, 1],
  [39, 1, 1],
  [40, 1, 2],
  [43, 1, 16],
  [44, 0, 1],
  [48, 0, 1],
])("%i bits start at level %i with %i tables", (bits, startLevel, count) => {
  expect(stage2Geometry(bits)).toEqual({ startLevel, tables: count });
});

/** Walks the tables as the architecture does, independent of the builder. */
function walk(port: { read64(pa: bigint): unknown }, root: bigint, ipaBits: number, ipa: bigint): bigint {
  const { startLevel } = stage2Geometry(ipaBits);
  const shift = (level: number) => BigInt(12 + 9 * (3 - level));
  let table = root;
  let index = ipa >> shift(startLevel);
  for (let level = startLevel; ; level++) {
    const descriptor = port.read64(table + 8n * index);
    if (typeof descriptor !== "bigint") throw new Error("fault on a table");
    if ((descriptor & 3n) !== 3n || level === 3) return descriptor;
    table = descriptor & 0xffff_ffff_f000n;
    index = (ipa >> shift(level + 1)) & 511n;
  }
}

describe.each([32, 33, 40, 48])("an IPA space of %i bits", (bits) => {
  const ipas = [0n, 0x1000n, (1n << BigInt(bits)) - 0x1000n, 1n << BigInt(bits - 1), 0x8020_3000n];

  test("maps and unmaps", () => {
    const { port, stage2 } = tables(bits);
    ipas.forEach((ipa, n) => {
      expect(stage2.map(ipa, BASE + 0x10_0000n + (BigInt(n) << 12n), n % 2 === 0)).toBe(true);
    });
    ipas.forEach((ipa, n) => {
      const descriptor = walk(port, stage2.root, bits, ipa);
      const pa = BASE + 0x10_0000n + (BigInt(n) << 12n);
      // AF, Inner Shareable, Normal Write-Back by FWB, S2AP read or read-write, page.
      expect(descriptor).toBe(pa | 0x400n | 0x300n | (6n << 2n) | (n % 2 === 0 ? 0xc0n : 0x40n) | 3n);
      expect(stage2.isMapped(ipa)).toEqual({ writable: n % 2 === 0 });
    });
    for (const ipa of ipas) expect(stage2.unmap(ipa)).toBe(true);
    for (const ipa of ipas) expect(stage2.unmap(ipa)).toBe(false);
    expect(ipas.every((ipa) => (walk(port, stage2.root, bits, ipa) & 1n) === 0n)).toBe(true);
  });

  test("gives its pages back", () => {
    const { allocator, stage2 } = tables(bits);
    for (const ipa of ipas) stage2.map(ipa, BASE, true);
    expect(allocator.pagesOf("stage2")).toBeGreaterThan(stage2.tables);
    stage2.destroy();
    expect(allocator.pagesOf("stage2")).toBe(0);
  });
});

test("the root is aligned to its size", () => {
  const { stage2 } = tables(34);
  expect(stage2.root % (16n << 12n)).toBe(0n);
});

test("tables that were something else before start empty", () => {
  const { port, allocator, stage2 } = tables(32, 16);
  const dirty: number[] = [];
  for (let pfn = allocator.alloc("user"); pfn !== undefined; pfn = allocator.alloc("user")) dirty.push(pfn);
  for (const pfn of dirty) {
    port.copyOut(BigInt(pfn) << 12n, new Uint8Array(4096).fill(0xff));
    allocator.free(pfn, "user");
  }
  expect(stage2.map(0x1000n, BASE, true)).toBe(true);
  expect(isFault(port.read64(stage2.root))).toBe(false);
  expect(stage2.isMapped(0x2000n)).toBeUndefined();
});

test("no page for a table is false, and nothing is mapped", () => {
  const { allocator, stage2 } = tables(32, 4);
  expect(allocator.pagesOf("free")).toBe(0);
  expect(stage2.map(0n, BASE, true)).toBe(false);
  expect(stage2.isMapped(0n)).toBeUndefined();
});
