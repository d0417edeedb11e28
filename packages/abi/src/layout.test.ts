import fc from "fast-check";
import { expect, test } from "vitest";
import { bit, bits, bytes, i64, layout, u8, u16, u32, u64, u64s } from "./layout.js";

test("bits: get and set are inverse, other bits stay", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.bigInt({ min: 0n, max: 63n }), (reg, value) => {
      const field = bits(17, 12);
      const changed = field.set(reg, value);
      expect(field.get(changed)).toBe(value);
      expect(changed & ~field.mask).toBe(reg & ~field.mask);
    }),
  );
  expect(bit(63).of(1)).toBe(1n << 63n);
  expect(bits(7, 4).of(0x123)).toBe(0x30n);
});

test("layout: encode then decode, unlisted bytes zero", () => {
  const s = layout("S", 64, {
    a: u8(0),
    b: u16(2),
    c: u32(4),
    d: u64(8),
    e: i64(16),
    f: bytes(24, 4),
    g: u64s(32, 2),
  });
  const values = {
    a: 255,
    b: 0xffff,
    c: 0xffff_ffff,
    d: (1n << 64n) - 1n,
    e: -1n,
    f: Uint8Array.of(1, 2, 3, 4),
    g: [5n, 6n],
  };
  const data = s.encode(values);
  expect(data.length).toBe(64);
  expect(s.decode(data)).toEqual(values);
  expect(data[1]).toBe(0);
  const shifted = new Uint8Array(80);
  shifted.set(data, 16);
  expect(s.decode(shifted, 16)).toEqual(values);
});

test("layout: overlap, overflow and oversized values are refused", () => {
  expect(() => layout("S", 16, { a: u64(0), b: u8(7) })).toThrow("S: field b overlaps a");
  expect(() => layout("S", 4, { a: u64(0) })).toThrow("beyond the size");
  const s = layout("S", 8, { a: bytes(0, 4) });
  expect(() => s.encode({ a: new Uint8Array(5) })).toThrow(RangeError);
});
