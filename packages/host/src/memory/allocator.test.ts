import { expect, test } from "vitest";
import { PageAllocator } from "./allocator.js";

const MiB = 1n << 20n;
const memory = () =>
  new PageAllocator([
    { base: 0x8000_0000n, size: 4n * MiB },
    { base: 0x1_0000_0000n, size: MiB },
  ]);

test("pages come lowest first, and a freed page comes again first", () => {
  const pages = memory();
  expect([pages.alloc("user"), pages.alloc("realm"), pages.alloc("user")]).toEqual([0x80000, 0x80001, 0x80002]);
  pages.free(0x80001, "realm");
  expect(pages.alloc("stage2")).toBe(0x80001);
  expect(pages.alloc("stage2")).toBe(0x80003);
});

test("all pages of all ranges are handed out once, then none", () => {
  const pages = memory();
  const seen = new Set<number>();
  for (;;) {
    const pfn = pages.alloc("user");
    if (pfn === undefined) break;
    seen.add(pfn);
  }
  expect(seen.size).toBe(1024 + 256);
  expect(seen.has(0x1000ff)).toBe(true);
  expect(pages.pagesOf("free")).toBe(0);
  expect(pages.allocContiguous(2, "user")).toBeUndefined();
});

test("contiguous pages are aligned and do not overlap", () => {
  const pages = memory();
  pages.alloc("user");
  const first = pages.allocContiguous(16, "realm")!;
  const second = pages.allocContiguous(16, "realm")!;
  expect(first % 16).toBe(0);
  expect(second % 16).toBe(0);
  expect(Math.abs(first - second)).toBeGreaterThanOrEqual(16);
  for (let i = 0; i < 16; i++) pages.free(first + i, "realm");
  expect(pages.allocContiguous(16, "realm")).toBe(first);
});

test("a page freed twice or under another use is a defect", () => {
  const pages = memory();
  const pfn = pages.alloc("user")!;
  expect(() => pages.free(pfn, "realm")).toThrow(/booked/);
  pages.free(pfn, "user");
  expect(() => pages.free(pfn, "user")).toThrow(/booked/);
});

test("a leaked page is never handed out again", () => {
  const pages = memory();
  const pfn = pages.alloc("realm")!;
  pages.leak(pfn, "realm");
  expect(pages.alloc("realm")).not.toBe(pfn);
  expect(pages.pagesOf("leaked")).toBe(1);
});

test("only a page that was used before is dirty", () => {
  const pages = memory();
  const pfn = pages.alloc("user")!;
  expect(pages.isDirty(pfn)).toBe(false);
  pages.free(pfn, "user");
  expect(pages.alloc("user")).toBe(pfn);
  expect(pages.isDirty(pfn)).toBe(true);
});

test("restore gives the same pages as before", () => {
  const pages = memory();
  for (let i = 0; i < 10; i++) pages.alloc("user");
  pages.free(0x80004, "user");
  const copy = memory();
  copy.restore(JSON.parse(JSON.stringify(pages.save())));
  expect(copy.pagesOf("user")).toBe(9);
  expect([copy.alloc("user"), copy.alloc("user")]).toEqual([pages.alloc("user"), pages.alloc("user")]);
  expect(copy.isDirty(0x80004)).toBe(true);
});
