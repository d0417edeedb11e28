/** Debian's kernel in lockstep: prefixes of its boot, a short one cut often and a long one cut seldom. */
import { describe, expect, test } from "vitest";
import { DEBIAN, missing, withImages } from "../linux/debian.js";

const EQUAL = /^interpreter and translator are equal up to count [\d,]+ \((?<end>.*)\): [\d,]+ comparisons\n$/;

const why = await missing(DEBIAN);
if (why !== undefined) console.log(why);

describe.skipIf(why !== undefined)("Debian", () => {
  const RUNS: readonly (readonly [string, readonly string[]])[] = [
    ["a prefix as a normal VM", ["--check-translator", "20000", "--max-instructions", "30000000"]],
    [
      "a prefix as a realm, soon",
      ["--realm", "--check-translator", "50000", "--jit", "5", "--max-instructions", "60000000"],
    ],
    [
      "a prefix with two vCPUs that interleave",
      ["-c", "2", "--interleave", "3", "--check-translator", "20000", "--max-instructions", "60000000"],
    ],
    [
      "a long prefix as a realm",
      ["--realm", "--check-translator", "2000000", "-p", "cryptomgr.notests=1", "--max-instructions", "150000000"],
    ],
  ];

  test.each(RUNS)("%s", async (_, options) => {
    const { code, stdout } = await withImages(["run", "-q", ...options, DEBIAN.name], { hangMs: 900_000 });
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(EQUAL) });
  });
});
