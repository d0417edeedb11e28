/** Test suites and other programs at NS-EL2 of Arm's FVP Base platform: the library's second entry beside `Box`. */
export * from "./fvp.js";
export type { FvpEnd } from "./fvp-end.js";
export {
  type FvpCounts,
  type FvpImage,
  type FvpReport,
  type FvpReset,
  fvpExitCode,
  fvpReportText,
} from "./fvp-report.js";
export { type JunitTest, junitDocument, junitXml } from "./junit.js";
export {
  countTests,
  type PrintedTotals,
  SUITE_KINDS,
  type SuiteKind,
  type SuiteResults,
  TEST_STATUSES,
  type TestResult,
  type TestStatus,
  type Totals,
  totalsAgree,
} from "./results.js";
