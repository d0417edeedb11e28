/** The project's own tests at NS-EL2 (guests/el2) on the board `fvp`, over the native monitor and RMM. */
import { expect, test } from "vitest";
import { el2, notPassed, run, secure } from "./support.js";

/** What the machine does not have without an image of the Secure world, in the image's words. */
const SKIPS = Object.fromEntries(
  ["messages", "memory", "interrupt", "interrupt_in_realm", "on_all_pes"].map((name) => [
    `secure_${name}`,
    "skipped: no Secure world that speaks FF-A",
  ]),
);

test("every test passes, but for those that miss something", () => {
  const { end, report } = run();
  expect(notPassed(report)).toEqual(SKIPS);
  expect(end.kind).toBe("suite");
  expect(report).toMatchObject({ exit: 0, suite: "acs", suiteEnded: true, totalsAgree: true });
  expect(report.versions).toEqual(["realmbox EL2 ACS form 1"]);
  expect(report.totals.tests).toBeGreaterThan(80);
  // Two by the watchdog, one by PSCI: each within the test that asks for it, which passes all the same.
  expect(report.resets.map(({ reason, test: name }) => [reason, name])).toEqual([
    ["watchdog", "watchdog_reset"],
    ["watchdog", "watchdog_reset_all"],
    ["PSCI_SYSTEM_RESET", "psci_system_reset"],
  ]);
  const { counts } = report;
  expect(counts.instructions.realm).toBeGreaterThan(1000);
  expect(counts.instructions.root + counts.instructions.secure).toBe(0);
  expect(counts.instructions.total).toBe(counts.instructions.nonSecure + counts.instructions.realm);
  expect(counts.granuleProtectionFaults).toBeGreaterThan(10);
  // The tests' own instructions are less than all: the rest is between them.
  const sum = report.tests.reduce((total, { instructions }) => total + instructions, 0);
  expect(sum).toBeLessThanOrEqual(counts.instructions.total);
  expect(sum).toBeGreaterThan(counts.instructions.total / 2);
});

test("with guests/secure in the Secure world, every test passes", () => {
  const { report, console } = run({ secure: { name: "secure", bytes: secure } });
  expect(notPassed(report)).toEqual({});
  expect(report).toMatchObject({ exit: 0, images: { secure: { name: "secure", address: "0x6000000" } } });
  expect(report.counts.instructions.secure).toBeGreaterThan(1000);
  // Its interrupt brought a REC out of a realm.
  expect(console).toContain("exits by FIQ: 1");
});

test("the same inputs, the same report but for the host's time", () => {
  const withoutHostTime = () => {
    const { report, console } = run({ tests: "only=rec", seed: 7n, interleave: 3n });
    const translator = report.translator && { ...report.translator, emitSeconds: 0, compileSeconds: 0 };
    return { ...report, translator, wallMs: 0, tests: report.tests.map((one) => ({ ...one, ms: 0 })), console };
  };
  expect(withoutHostTime()).toEqual(withoutHostTime());
});

test("one PE: what needs more is skipped with the reason", () => {
  const { report } = run({ pes: 1 });
  expect(report.exit).toBe(0);
  expect(new Set(Object.values(notPassed(report)))).toEqual(
    new Set(["skipped: one PE only", "skipped: fewer than three PEs", "skipped: too few PEs", ...Object.values(SKIPS)]),
  );
});

test("an image at another address, with the second bank of DRAM", () => {
  const { report } = run({ ns: { name: "el2", bytes: el2, address: 0x8a00_1000n }, dram2: true, tests: "only=rmi" });
  expect(report).toMatchObject({ exit: 0, images: { ns: { address: "0x8a001000" } }, board: { dram2: true } });
  expect(report.totals.passed).toBe(report.totals.tests);
});
