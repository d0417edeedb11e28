/** A hostile driver, some thousand cases of it; the slow suite has more. What must hold is in fuzz.oracle.ts. */
import { expect, test } from "vitest";
import { Attack } from "./fuzz.oracle.js";

test.each([1, 2, 3])("hostile driver, seed %i, 2000 cases", (seed) => {
  const attack = new Attack(seed);
  attack.run(2000);
  // The attack gets past the first checks, and finds what breaks devices.
  expect(attack.broken).toBeGreaterThan(200);
  expect(attack.broken).toBeLessThan(1800);
  expect(attack.written).toBeGreaterThan(1000);
});
