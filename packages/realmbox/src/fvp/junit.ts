/**
 * Results as JUnit XML, in the form that continuous integration servers read: testsuites, testsuite, testcase, and in it at
 * most one of skipped, failure and error, then system-out. Counts are attributes of each level, times are in seconds.
 */
import type { FvpReport } from "./fvp-report.js";
import type { TestResult } from "./results.js";

/** Text for an attribute or an element: XML 1.0 has no place for most control characters, lone surrogates, U+FFFE and U+FFFF. */
function escaped(text: string): string {
  return text
    .replace(
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffd-\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
      "?",
    )
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("\t", "&#9;")
    .replaceAll("\n", "&#10;")
    .replaceAll("\r", "&#13;");
}

/** Text between tags keeps its line ends. */
const content = (text: string): string => escaped(text).replaceAll("&#10;", "\n").replaceAll("&#9;", "\t");

const attributes = (values: Readonly<Record<string, string | number | null>>): string =>
  Object.entries(values)
    .map(([name, value]) => (value === null ? "" : ` ${name}="${escaped(String(value))}"`))
    .join("");

const seconds = (ms: number): string => (ms / 1000).toFixed(3);

/** What the document says of a test. */
export type JunitTest = Pick<
  TestResult,
  "suite" | "name" | "status" | "code" | "reason" | "ms" | "output" | "outputDropped"
>;

/** The element that says why a test did not pass. */
function verdict({ status, reason, code }: JunitTest): string[] {
  const message = reason ?? (code === null ? status : `${status} with code ${code}`);
  switch (status) {
    case "passed":
      return [];
    case "skipped":
      return [`      <skipped${attributes({ message })}/>`];
    case "failed":
      return [`      <failure${attributes({ message, type: code === null ? status : `code ${code}` })}/>`];
    case "error":
    case "crashed":
    case "incomplete":
      return [`      <error${attributes({ message, type: code === null ? status : `${status}, code ${code}` })}/>`];
  }
}

function testcase(test: JunitTest): string[] {
  const { suite, name, output, outputDropped } = test;
  const text = [...output, ...(outputDropped > 0 ? [`[${outputDropped} lines more]`] : [])].join("\n");
  return [
    `    <testcase${attributes({ classname: suite, name, time: seconds(test.ms) })}>`,
    ...verdict(test),
    ...(text === "" ? [] : [`      <system-out>${content(text)}</system-out>`]),
    "    </testcase>",
  ];
}

function countsOf(tests: readonly JunitTest[]) {
  const of = (...statuses: readonly TestResult["status"][]) =>
    tests.filter(({ status }) => statuses.includes(status)).length;
  return {
    tests: tests.length,
    failures: of("failed"),
    errors: of("error", "crashed", "incomplete"),
    skipped: of("skipped"),
    time: seconds(tests.reduce((sum, { ms }) => sum + ms, 0)),
  };
}

/**
 * The document. A run that did not reach the suite's end has one test more, named after the machine, whose error says why: or
 * a server would take the tests so far for all of them.
 */
export function junitXml(report: FvpReport): string {
  const tests: JunitTest[] = [...report.tests];
  if (report.exit > 1) {
    const reason = report.panic ?? report.end.why;
    tests.push({ suite: "fvp", name: "run", status: "error", code: null, reason, ms: 0, output: [], outputDropped: 0 });
  }
  return junitDocument(report.suite ?? "fvp", tests);
}

/** The document of tests, by suite in the order in which they come first. */
export function junitDocument(name: string, tests: readonly JunitTest[]): string {
  const bySuite = new Map<string, JunitTest[]>();
  for (const test of tests) {
    const others = bySuite.get(test.suite);
    if (others) others.push(test);
    else bySuite.set(test.suite, [test]);
  }
  const all = [...bySuite.values()].flat();
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites${attributes({ name, ...countsOf(all) })}>`,
    ...[...bySuite].flatMap(([suite, tests]) => [
      `  <testsuite${attributes({ name: suite, ...countsOf(tests) })}>`,
      ...tests.flatMap(testcase),
      "  </testsuite>",
    ]),
    "</testsuites>",
    "",
  ].join("\n");
}
