/** The hostile driver at length: 250,000 cases. */
import { expect, test } from "vitest";
import { Attack } from "./fuzz.oracle.js";

test.each(Array.from({ length: 25 }, (_, i) => 1000 + i))("hostile driver, seed %i, 10,000 cases", (seed) => {
  const attack = new Attack(seed);
  attack.run(10_000);
  expect(attack.broken).toBeGreaterThan(1000);
  expect(attack.written).toBeGreaterThan(5000);
});
