/** A few hundred random programs at EL2 and below against QEMU; system.slow.test.ts has more. */
import { expect, test } from "vitest";
import { programCases } from "./cases/programs.js";
import { qemuVersion } from "./run-qemu.js";
import { report, runSuite } from "./suite.js";

const cases = programCases(0, 300);

test.skipIf(qemuVersion() === undefined).each(["neoverse-n1", "max"] as const)("as QEMU's %s", async (cpu) => {
  const outcome = await runSuite(
    cases.filter((one) => one.cpu === cpu),
    cpu,
  );
  expect(outcome.cases).toBeGreaterThanOrEqual(100);
  expect(outcome.differences.length, report(outcome)).toBe(0);
});
