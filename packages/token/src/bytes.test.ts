import { Buffer } from "node:buffer";
import fc from "fast-check";
import { expect, test } from "vitest";
import { equalBytes, fromBase64, fromHex, toBase64, toHex } from "./bytes.js";

test("hexadecimal and base64 agree with Node's Buffer", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (data) => {
      expect(toHex(data)).toBe(Buffer.from(data).toString("hex"));
      expect(fromHex(toHex(data).toUpperCase())).toEqual(data);
      expect(toBase64(data)).toBe(Buffer.from(data).toString("base64"));
      expect(fromBase64(toBase64(data))).toEqual(data);
      expect(fromBase64(Buffer.from(data).toString("base64url"))).toEqual(data);
    }),
    { seed: 1 },
  );
});

test.each(["A", "AB==C", "AA=A", "A===", "AAAAA", "AB", "AAB", "A B=", "AA=", "ä"])("%j is not base64", (text) => {
  expect(fromBase64(text)).toBeUndefined();
});

test.each(["0", "0g", " 00", "0x00"])("%j is not hexadecimal", (text) => {
  expect(fromHex(text)).toBeUndefined();
});

test("equalBytes", () => {
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false);
});
