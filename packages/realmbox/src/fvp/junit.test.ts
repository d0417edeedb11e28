/** JUnit XML whose texts are hostile: a parser that takes nothing but XML reads them back. */
import { DOMParser } from "@xmldom/xmldom";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { FvpReport } from "./fvp-report.js";
import { junitXml } from "./junit.js";
import { TEST_STATUSES, type TestResult } from "./results.js";

const testOf = (values: Partial<TestResult>): TestResult => ({
  ...{ suite: "s", name: "n", status: "passed", code: null, reason: null, resets: 0 },
  ...{ instructions: 1, machineMs: 1, ms: 1500, output: [], outputDropped: 0 },
  ...values,
});
/** As much of a report as the document is made of. */
const reportOf = (tests: readonly TestResult[], exit = 0): FvpReport =>
  ({
    ...{ tests, exit, suite: "acs", panic: null, end: { kind: "suite", why: "why" }, machineMs: 5 },
    counts: { instructions: { total: 7 } },
  }) as unknown as FvpReport;

function parse(xml: string) {
  const stop = (level: string, message: string) => {
    throw new Error(`${level}: ${message}`);
  };
  return new DOMParser({ onError: stop }).parseFromString(xml, "application/xml").documentElement!;
}

test("verdicts, counts and times", () => {
  const tests = [
    testOf({ name: "a" }),
    testOf({ name: "b", status: "skipped", reason: "no such thing", code: 4 }),
    testOf({ name: "c", status: "failed", code: 3, output: ["\tone", "two"], outputDropped: 2 }),
    testOf({ suite: "t", name: "d", status: "crashed", reason: "reset" }),
  ];
  expect(junitXml(reportOf(tests))).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="acs" tests="4" failures="1" errors="1" skipped="1" time="6.000">
  <testsuite name="s" tests="3" failures="1" errors="0" skipped="1" time="4.500">
    <testcase classname="s" name="a" time="1.500">
    </testcase>
    <testcase classname="s" name="b" time="1.500">
      <skipped message="no such thing"/>
    </testcase>
    <testcase classname="s" name="c" time="1.500">
      <failure message="failed with code 3" type="code 3"/>
      <system-out>	one
two
[2 lines more]</system-out>
    </testcase>
  </testsuite>
  <testsuite name="t" tests="1" failures="0" errors="1" skipped="0" time="1.500">
    <testcase classname="t" name="d" time="1.500">
      <error message="reset" type="crashed"/>
    </testcase>
  </testsuite>
</testsuites>
`);
});

test("a run that did not reach its end has an error of its own", () => {
  const root = parse(junitXml(reportOf([], 126)));
  expect(root.getAttribute("errors")).toBe("1");
  expect(root.getElementsByTagName("error")[0]!.getAttribute("message")).toBe("why");
});

test("any text comes back, but for what XML cannot hold", () => {
  const text = fc.string({ unit: "binary", maxLength: 20 });
  const anyTest = fc.record({ suite: text, name: text, reason: text, status: fc.constantFrom(...TEST_STATUSES) });
  const held = (s: string) =>
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what XML 1.0 has no place for
    s.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffd-\uffff]/g, "?");
  fc.assert(
    fc.property(fc.array(anyTest, { minLength: 1, maxLength: 5 }), fc.array(text), (tests, output) => {
      const root = parse(junitXml(reportOf(tests.map((one) => testOf({ ...one, output })))));
      const names = [...root.getElementsByTagName("testcase")].map((element) => element.getAttribute("name")).sort();
      expect(names).toEqual(tests.map(({ name }) => held(name)).sort());
    }),
    { seed: 2, numRuns: 300 },
  );
});
