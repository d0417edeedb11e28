/** Random programs, many and long. TRANSLATOR_FIRST is the first seed, TRANSLATOR_SEEDS how many. */
import { expect, test } from "vitest";
import { checkSeed, type Way } from "./check.js";

const FIRST = Number(process.env.TRANSLATOR_FIRST ?? 1000);
const SEEDS = Number(process.env.TRANSLATOR_SEEDS ?? 200);
const COUNTS = 150_000;

const WAYS: readonly Way[] = [
  { jit: 0, pieces: 200, step: 1_000 },
  { jit: 0, pieces: 1, step: 5_000 },
  { jit: 0, pieces: undefined, step: 50_000 },
  { jit: 3, pieces: 30, step: 2_000 },
  { jit: 100, pieces: 3_000, step: 7_000 },
];

const BATCH = 20;
test.each(Array.from({ length: SEEDS / BATCH }, (_, i) => FIRST + i * BATCH))(`${BATCH} seeds from %i`, (first) => {
  for (let seed = first; seed < first + BATCH; seed++) {
    expect(checkSeed(seed, WAYS[seed % WAYS.length], COUNTS)).toBeGreaterThanOrEqual(COUNTS);
  }
});
