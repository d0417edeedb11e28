/**
 * Random programs by the interpreter and by the translator: the same registers, memory, faults, interrupts and counts,
 * however the run is cut. TRANSLATOR_SEED runs one seed, TRANSLATOR_JIT sets the translator's threshold.
 */
import { describe, expect, test } from "vitest";
import { rowOf } from "../../packages/machine/src/cpu/disassemble.js";
import { ROWS } from "../../packages/machine/src/cpu/rows/index.js";
import { checkSeed, type Way } from "./check.js";
import { parseJit } from "./machine.js";
import { randomWorld } from "./random-program.js";
import { machineIn } from "./world.js";

const { TRANSLATOR_SEED, TRANSLATOR_JIT } = process.env;
const COUNTS = 20_000;

/** Translated at once, soon, and seldom; cut everywhere, seldom, and not at all. */
const WAYS: readonly Way[] = [
  { jit: 0, pieces: 200, step: 1_000 },
  { jit: 0, pieces: undefined, step: 10_000 },
  { jit: 2, pieces: 5, step: 2_000 },
  { jit: 40, pieces: 3_000, step: 7_000 },
];

const seeds = TRANSLATOR_SEED ? [Number(TRANSLATOR_SEED)] : Array.from({ length: 16 }, (_, i) => i + 1);

test.each(seeds)("seed %i", (seed) => {
  const ways = TRANSLATOR_SEED ? WAYS : [WAYS[seed % WAYS.length]];
  for (const way of ways) {
    const jit = TRANSLATOR_JIT === undefined ? way.jit : (parseJit(TRANSLATOR_JIT) ?? way.jit);
    expect(checkSeed(seed, { ...way, jit }, COUNTS)).toBeGreaterThan(COUNTS - 1);
  }
});

describe("the programs", () => {
  const EXCEPTIONS = [0x00, 0x07, 0x15, 0x16, 0x17, 0x18, 0x20, 0x21, 0x22, 0x24, 0x25, 0x3c] as const;

  test("go everywhere: EL0 to EL3, exceptions of all classes, interrupts", () => {
    const levels = new Set<number>();
    const exceptions = new Set<number>();
    let irqs = 0;
    for (let seed = 1; seed <= 16; seed++) {
      const machine = machineIn(randomWorld(seed), "off");
      expect(machine.run({ instructions: COUNTS })).toEqual({ kind: "limit" });
      const { counters } = machine;
      for (const level of counters.instructions.keys()) if (counters.instructions[level] > 0) levels.add(level & 3);
      for (const ec of counters.exceptions.keys()) if (counters.exceptions[ec] > 0) exceptions.add(ec);
      irqs += counters.irqs;
    }
    expect([...levels].sort()).toEqual([0, 1, 2, 3]);
    expect([...exceptions]).toEqual(expect.arrayContaining([...EXCEPTIONS]));
    expect(irqs).toBeGreaterThan(500);
  });

  test("are made of all instructions", () => {
    const met = new Set<string>();
    for (let seed = 1; seed <= Math.ceil(ROWS.length / 8); seed++) {
      const { code } = randomWorld(seed);
      for (const word of new Uint32Array(code.buffer)) {
        const row = rowOf(word);
        if (row) met.add(row.name);
      }
    }
    expect(ROWS.map(({ name }) => name).filter((name) => !met.has(name))).toEqual([]);
  });
});
