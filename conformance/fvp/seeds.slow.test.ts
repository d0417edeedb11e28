/** guests/el2 with PEs that interleave by a seed, and with every number of PEs; a test that hangs until the watchdog. */
import { expect, test } from "vitest";
import { notPassed, run, secure } from "./support.js";

const SEEDS = Array.from({ length: 12 }, (_, n) => BigInt(n + 1));

test.each(SEEDS)("interleaving seed %s: every test passes", (interleave) => {
  const { report } = run({ interleave, secure: { name: "secure", bytes: secure } });
  expect(notPassed(report)).toEqual({});
  expect(report.exit).toBe(0);
});

test.each([2, 3, 4, 5, 6, 7])("%s PEs", (pes) => {
  const { report } = run({ pes, interleave: BigInt(pes) });
  expect(report.exit).toBe(0);
  for (const verdict of Object.values(notPassed(report))) expect(verdict).toMatch(/^skipped: /);
});

test("a test that hangs is reset by the watchdog and counts as an error; the suite goes on", () => {
  const { end, report } = run({ tests: "only=gic also=ending_hang" });
  expect(end.kind).toBe("suite");
  expect(report).toMatchObject({ exit: 1, suiteEnded: true, totalsAgree: true, totals: { passed: 6, error: 1 } });
  expect(report.resets).toMatchObject([{ reason: "watchdog", test: "ending_hang" }]);
  expect(report.tests.at(-1)).toMatchObject({ name: "ending_hang", status: "error", code: 1, resets: 1 });
});
