import { expect, test } from "vitest";
import { Rate } from "./rate.js";

/** What a rate should be, by exact arithmetic. */
const exact = (hz: number, perSecond: number) => ({
  ticks: (count: number) => Number((BigInt(count) * BigInt(hz)) / BigInt(perSecond)),
  count: (ticks: number) => Number((BigInt(ticks) * BigInt(perSecond) + BigInt(hz) - 1n) / BigInt(hz)),
});

test.each([
  [100_000_000, 1_000_000_000],
  [35_000_000, 100_000_000],
  [24_000_000, 1_000_000_000],
  [32_768, 100_000_000],
  [32_768, 1_000_000_000],
  [100, 100_000_000],
])("%i Hz in %i counts a second, in both directions", (hz, perSecond) => {
  const rate = new Rate(hz, perSecond);
  const reference = exact(hz, perSecond);
  for (const value of [0, 1, 2, 3, 7, 99, 100, 101, 12_345, 2 ** 31 - 1, 2 ** 32 + 5, 10 ** 12 + 7, 10 ** 14 + 1]) {
    expect(rate.ticks(value)).toBe(reference.ticks(value));
    if (value < 2 ** 33) {
      expect(rate.count(value)).toBe(reference.count(value));
      expect(rate.ticks(rate.count(value))).toBeGreaterThanOrEqual(value);
      if (value > 0) expect(rate.ticks(rate.count(value) - 1)).toBeLessThan(value);
    }
  }
});
