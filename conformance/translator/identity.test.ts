/** Whole runs of built-in guests with the translator off and on; identity.slow.test.ts has the long ones. */
import { expect, test } from "vitest";
import { hostile, small } from "../support/box.js";
import { tracedRun } from "../support/run.js";
import { expectOneRun, remains } from "./identity.js";

test("hello as a realm, with its token", () => {
  expectOneRun({ ...small("hello"), realm: true }, [0, 3, 200]);
});
test("smp as a realm, PEs that interleave", () => {
  expectOneRun({ ...small("smp", 4), realm: true }, [0], 5n);
});
test("hostile case=fuzz as a normal VM", () => {
  expectOneRun(hostile("fuzz", { calls: 50, seed: 3 }), [0, 20]);
});

test("where single runs end makes no difference", () => {
  const config = { ...small("smp", 2), realm: true };
  const whole = tracedRun(config, { pes: 2, jit: 0 });
  const pieces = tracedRun(config, { pes: 2, jit: 0 }, {}, { checkEvery: 251 });
  expect(remains(pieces)).toEqual(remains(whole));
});
