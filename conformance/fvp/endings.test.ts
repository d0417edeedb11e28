/** However a program at NS-EL2 ends, or does not: the run ends, with a report of what is known so far. */
import { Fvp, type FvpEnd, type FvpOptions, type FvpRunOptions, nodeCrypto } from "realmbox";
import { describe, expect, test } from "vitest";
import { choice, el2, run } from "./support.js";

const CASES: readonly {
  readonly ending: string;
  readonly kind: FvpEnd["kind"];
  readonly exit: number;
  readonly why: RegExp;
  readonly options?: Partial<FvpOptions>;
  readonly limits?: FvpRunOptions;
}[] = [
  { ending: "off", kind: "off", exit: 126, why: /PSCI_SYSTEM_OFF/ },
  { ending: "shutdown", kind: "off", exit: 126, why: /V2M shutdown/ },
  { ending: "deadlock", kind: "deadlock", exit: 126, why: /PE 0 waits/ },
  { ending: "exceptions", kind: "exception-loop", exit: 126, why: /64 exceptions/ },
  { ending: "resets", kind: "resets", exit: 126, why: /4 resets in a row and no test finished/ },
  { ending: "resets", kind: "resets", exit: 126, why: /1 resets in a row/, options: { resetsMax: 0 } },
  { ending: "spin", kind: "limit", exit: 124, why: /instruction limit/, limits: { instructions: 3_000_000 } },
  { ending: "spin", kind: "timeout", exit: 124, why: /time limit/, limits: { timeoutMs: 500 } },
  { ending: "flood", kind: "limit", exit: 124, why: /instruction limit/, limits: { instructions: 1_000_000 } },
];

test.each(CASES)("ending_$ending: $kind", ({ ending, kind, exit, why, options = {}, limits = {} }) => {
  const { end, report, console } = run({ tests: `only=gic_sgi_self also=ending_${ending}`, ...options }, limits);
  expect(end.kind).toBe(kind);
  expect(end.why).toMatch(why);
  expect(report).toMatchObject({
    exit,
    suiteEnded: false,
    suite: "acs",
    totals: { passed: 1, incomplete: 1, tests: 2 },
  });
  expect(report.tests[1]).toMatchObject({ suite: "ending", name: `ending_${ending}`, status: "incomplete" });
  if (ending === "flood") {
    const [line] = report.tests[1]!.output;
    expect(console.length).toBeGreaterThan(10_000);
    expect(line ?? "").not.toContain("\x1b");
    expect(JSON.stringify(report).length).toBeLessThan(100_000);
  }
});

test("a limit is no end: the run goes on from there, and is the same", () => {
  const { report: whole } = run({ tests: "only=mmu" });
  const fvp = new Fvp({ crypto: nodeCrypto, ns: { name: "el2", bytes: el2 }, hwConfig: choice("only=mmu") });
  let pieces = 0;
  let end = fvp.run({ instructions: 20_011 });
  for (; end.kind === "limit"; pieces++) end = fvp.run({ instructions: 20_011 });
  expect(pieces).toBeGreaterThan(3);
  const { counts, totals, machineMs } = fvp.report(end);
  expect({ counts, totals, machineMs }).toEqual({
    counts: whole.counts,
    totals: whole.totals,
    machineMs: whole.machineMs,
  });
});

describe("images that are no program", () => {
  test.each([
    ["zeros", new Uint8Array(4096)],
    ["a branch to itself", Uint8Array.of(0, 0, 0, 0x14)],
    ["one byte", Uint8Array.of(1)],
  ])("%s", (_name, bytes) => {
    const { end, report } = run({ ns: { name: "x", bytes } }, { instructions: 3_000_000 });
    expect(["exception-loop", "limit"]).toContain(end.kind);
    expect(report).toMatchObject({ suite: null, suiteEnded: false, tests: [], exit: end.kind === "limit" ? 124 : 126 });
  });

  test("an RMM that is none: the machine boots without", () => {
    const { report } = run({ rmm: { name: "x", bytes: new Uint8Array(4096) } }, { instructions: 3_000_000 });
    expect([124, 126]).toContain(report.exit);
  });
});
