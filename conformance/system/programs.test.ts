/** Some random programs and histories of tables at EL2 and below against QEMU; system.slow.test.ts has more. */
import { expect, test } from "vitest";
import { programCases } from "./cases/programs.js";
import { tlbHistoryCases } from "./cases/tlb-histories.js";
import { qemuVersion } from "./run-qemu.js";
import { report, runSuite } from "./suite.js";

const programs = programCases(0, 300);
const noQemu = qemuVersion() === undefined;

test.skipIf(noQemu).each(["neoverse-n1", "max"] as const)("programs as QEMU's %s", async (cpu) => {
  const outcome = await runSuite(
    programs.filter((one) => one.cpu === cpu),
    cpu,
  );
  expect(outcome.cases).toBeGreaterThanOrEqual(100);
  expect(outcome.differences.length, report(outcome)).toBe(0);
});

test.skipIf(noQemu)("histories of tables", async () => {
  const outcome = await runSuite(tlbHistoryCases(0, 20), "neoverse-n1");
  expect(outcome.fields).toBeGreaterThan(40_000);
  expect(outcome.differences.length, report(outcome)).toBe(0);
});
