/** A word is an FP or SIMD instruction here exactly when it is one in QEMU's Cortex-A57; see allocation.ts. */
import { describe, expect, test } from "vitest";
import { disassemble, rowOf } from "../../packages/machine/src/cpu/disassemble.js";
import { allocationProgram, SIGILL, SPACES, wordsOf } from "./allocation.js";
import { oracle } from "./compare.js";
import { Random } from "./random.js";
import { runQemu } from "./run-qemu.js";

/** Of the combinations of opcode bits; all of them in the slow suite. */
const SHARE = Number(process.env.ALLOCATION_SHARE ?? 0.1);

describe.skipIf(oracle === undefined)(`allocated encodings as in ${oracle}`, () => {
  test.each(Object.entries(SPACES))("%s", (_, space) => {
    const words = [...wordsOf(new Random(1), space, SHARE)];
    const signals = runQemu(allocationProgram(words), "cortex-a57");
    expect(signals.length).toBe(words.length);
    const different = words.flatMap((word, i) => {
      const theirs = signals[i] !== SIGILL;
      const ours = rowOf(word) !== undefined;
      return ours === theirs
        ? []
        : [`${word.toString(16)}: ${disassemble(word)}, expected ${theirs ? "an instruction" : "none"}`];
    });
    const allocated = signals.filter((signal) => signal !== SIGILL).length;
    console.log(`${words.length} words, ${allocated} of them instructions, ${different.length} differences`);
    expect(allocated).toBeGreaterThan(words.length / 20);
    expect(different.slice(0, 60)).toEqual([]);
  });
});
