import * as cbor2 from "cbor2";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromHex, toHex } from "./bytes.js";
import { CborFloat, type CborValue, decodeCbor, encodeCbor, Tagged } from "./cbor.js";

const bytes = (hex: string) => fromHex(hex.replaceAll(" ", ""))!;
const decode = (hex: string) => decodeCbor(bytes(hex));

/** RFC 8949, appendix A: the examples that a token may contain. */
const RFC8949: readonly [string, CborValue][] = [
  ["00", 0],
  ["17", 23],
  ["1818", 24],
  ["1903e8", 1000],
  ["1a000f4240", 1_000_000],
  ["1b000000e8d4a51000", 1_000_000_000_000],
  ["1bffffffffffffffff", 18446744073709551615n],
  ["20", -1],
  ["3903e7", -1000],
  ["3bffffffffffffffff", -18446744073709551616n],
  ["f93c00", new CborFloat(1)],
  ["fb3ff199999999999a", new CborFloat(1.1)],
  ["f97c00", new CborFloat(Number.POSITIVE_INFINITY)],
  ["f4", false],
  ["f5", true],
  ["f6", null],
  ["f7", undefined],
  ["c11a514b67b0", new Tagged(1, 1363896240)],
  ["d818456449455446", new Tagged(24, bytes("6449455446"))],
  ["40", new Uint8Array(0)],
  ["4401020304", bytes("01020304")],
  ["60", ""],
  ["6449455446", "IETF"],
  ["62225c", '"\\'],
  ["62c3bc", "\u00fc"],
  ["63e6b0b4", "\u6c34"],
  ["64f0908591", "\ud800\udd51"],
  ["80", []],
  ["8301820203820405", [1, [2, 3], [4, 5]]],
  ["a0", new Map()],
  [
    "a201020304",
    new Map([
      [1, 2],
      [3, 4],
    ]),
  ],
  ["a26161016162820203", new Map<string, CborValue>([["a", 1] as const, ["b", [2, 3]] as const])],
  ["826161a161626163", ["a", new Map([["b", "c"]])]],
];

describe("RFC 8949, appendix A", () => {
  test.each(RFC8949)("%s", (hex, value) => {
    expect(decode(hex)).toEqual({ ok: true, value });
    const isFloat = value instanceof CborFloat;
    if (!isFloat) expect(toHex(encodeCbor(value))).toBe(hex);
  });
});

test("heads that are longer than needed and any key order are accepted", () => {
  expect(decode("1900ff")).toEqual({ ok: true, value: 255 });
  expect(decode("b80203021b000000000000000104")).toEqual({
    ok: true,
    value: new Map([
      [3, 2],
      [1, 4],
    ]),
  });
  expect(decode("5b0000000000000001aa")).toEqual({ ok: true, value: bytes("aa") });
  expect(decode("7a000000026f6b")).toEqual({ ok: true, value: "ok" });
});

test("maps are written in insertion order", () => {
  const map = new Map<number | string, CborValue>([
    [44237, 1],
    [10, 2],
    [-1, 3],
    ["a", 4],
  ]);
  expect(toHex(encodeCbor(map))).toBe("a419accd010a022003616104");
});

test("byte strings are views at their place in the data", () => {
  const data = bytes("82 43010203 5801ff");
  const result = decodeCbor(data);
  if (!result.ok) throw new Error(result.problem.code);
  const [a, b] = result.value as Uint8Array[];
  expect([a!.byteOffset - data.byteOffset, a!.length, b!.byteOffset - data.byteOffset, b!.length]).toEqual([
    2, 3, 7, 1,
  ]);
});

describe("refused", () => {
  test.each([
    ["cbor-truncated", "empty", ""],
    ["cbor-truncated", "head without its argument", "19ff"],
    ["cbor-truncated", "byte string longer than the data", "5affffffff00"],
    ["cbor-truncated", "array that announces 2^32 - 1 entries", "9affffffff00"],
    ["cbor-truncated", "map that announces more than can follow", "a20102"],
    ["cbor-invalid", "array that announces 2^64 - 1 entries", "9bffffffffffffffff00"],
    ["cbor-truncated", "tag without content", "d2"],
    ["cbor-trailing", "a second item", "0000"],
    ["cbor-indefinite", "byte string", "5f4101ff"],
    ["cbor-indefinite", "text", "7f6161ff"],
    ["cbor-indefinite", "array", "9f01ff"],
    ["cbor-indefinite", "map", "bf0102ff"],
    ["cbor-duplicate-key", "integer", "a201010102"],
    ["cbor-duplicate-key", "integer in another encoding", "a2010119000102"],
    ["cbor-duplicate-key", "text", "a2616101616102"],
    ["cbor-key-type", "byte string as a key", "a1410101"],
    ["cbor-key-type", "float as a key, which is not the integer 1", "a1f93c0001"],
    ["cbor-text", "overlong form", "62c080"],
    ["cbor-text", "surrogate", "63eda080"],
    ["cbor-text", "lone continuation", "6180"],
    ["cbor-invalid", "reserved additional information", "1c"],
    ["cbor-invalid", "stray break", "ff"],
    ["cbor-invalid", "break as an entry", "81ff"],
  ])("%s: %s", (code, _what, hex) => {
    expect(decode(hex)).toMatchObject({ ok: false, problem: { code } });
  });

  test.each([
    ["arrays", "81"],
    ["tags", "c1"],
    ["maps", "a100"],
  ])("cbor-depth: 100,000 nested %s", (_what, level) => {
    expect(decode(level.repeat(100_000))).toMatchObject({ ok: false, problem: { code: "cbor-depth" } });
  });
});

test("a byte order mark stays part of the text", () => {
  expect(decode("66efbbbf616263")).toEqual({ ok: true, value: "\ufeffabc" });
});

test("an integer and the same float are different", () => {
  expect(decode("f93c00")).not.toEqual(decode("01"));
});

const cborValue: fc.Arbitrary<CborValue> = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.integer(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array({ maxLength: 40 }),
    fc.string({ unit: "grapheme", maxLength: 20 }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(fc.tuple(fc.oneof(fc.integer(), fc.string()), tie("value")), { maxLength: 4 }).map((e) => new Map(e)),
    fc.tuple(fc.nat(100_000), tie("value")).map(([tag, value]) => new Tagged(tag, value)),
  ),
})).value;

test("decoding what was encoded gives it back", () => {
  fc.assert(
    fc.property(cborValue, (value) => {
      expect(decodeCbor(encodeCbor(value))).toEqual({ ok: true, value });
    }),
    { numRuns: 500, seed: 1 },
  );
});

test("any bytes give a value or a problem; what is accepted, cbor2 accepts under the same rules", () => {
  let accepted = 0;
  const random = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    // Valid items with one byte changed, so that more than the first head is reached.
    fc.tuple(cborValue, fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
      const data = encodeCbor(value).slice();
      data[at % data.length] = byte;
      return data;
    }),
  );
  fc.assert(
    fc.property(random, (data) => {
      const result = decodeCbor(data);
      if (!result.ok) return;
      accepted++;
      // ignoreGlobalTags and no registered classes: tags stay tags.
      expect(() =>
        cbor2.decode(data, { rejectStreaming: true, rejectDuplicateKeys: true, ignoreGlobalTags: true }),
      ).not.toThrow();
    }),
    { numRuns: 3000, seed: 2 },
  );
  expect(accepted).toBeGreaterThan(500);
});
