import { describe, expect, test } from "vitest";
import { refuseForeignOptions } from "./foreign-options.js";
import { parseCount, parseMemory } from "./size.js";

describe("-m", () => {
  test.each([
    ["128", 128n << 20n, undefined],
    ["64K", 64n << 10n, undefined],
    ["1g@0x80000000", 1n << 30n, 0x8000_0000n],
    ["4096b", 4096n, undefined],
  ])("%s", (text, size, base) => {
    expect(parseMemory(text)).toEqual(base === undefined ? { size } : { size, base });
  });
  test.each(["", "0", "12x", "-5", "1.5g", "5b", "128@", "999@zz"])("refuses '%s'", (text) => {
    expect(() => parseMemory(text)).toThrow(/-m, --mem/);
  });
});

test("counts name the option and the bounds", () => {
  expect(parseCount("-c, --cpus", "8", { min: 1, max: 8 })).toBe(8);
  expect(() => parseCount("-c, --cpus", "9", { min: 1, max: 8 })).toThrow(
    "option '-c, --cpus': '9' is not a whole number from 1 to 8",
  );
});

describe("options of other programs", () => {
  const known = (option: string) => ["-k", "-c", "-m", "-i", "-p", "--kernel", "--realm", "--cpus"].includes(option);
  test.each([
    ["-kernel", "--kernel FILE"],
    ["-smp", "--cpus N"],
    ["-realm", "--realm"],
    ["-append", "--params"],
  ])("%s", (arg, hint) => {
    expect(() => refuseForeignOptions(["run", arg, "x"], known)).toThrow(
      expect.objectContaining({ hint: expect.stringContaining(hint) }),
    );
  });
  test("own options pass, and everything after --", () => {
    refuseForeignOptions(["run", "-k", "Image", "-c", "2", "-m128", "--realm", "--", "-kernel"], known);
  });
});
