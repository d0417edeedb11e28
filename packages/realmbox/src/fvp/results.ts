/**
 * What a test suite that runs in the machine has told: tests with their results, the totals that it printed, versions. All
 * of it comes from console lines, that is from a program nobody trusts, so that everything kept is bounded.
 */

export const SUITE_KINDS = ["acs", "tftf"] as const;
/** Arm's RMM Architecture Compliance Suite; TF-A-Tests. */
export type SuiteKind = (typeof SUITE_KINDS)[number];

/** `incomplete`: the run ended, or the suite went on, before the test had a result. */
export const TEST_STATUSES = ["passed", "failed", "skipped", "error", "crashed", "incomplete"] as const;
export type TestStatus = (typeof TEST_STATUSES)[number];

/** When something happened. */
export interface Stamp {
  /** Emulated instructions retired so far, in all worlds. */
  readonly instructions: number;
  /** The machine's own time, milliseconds. */
  readonly machineMs: number;
  /** The host's time, milliseconds from any zero. */
  readonly hostMs: number;
}

export interface TestResult {
  readonly suite: string;
  readonly name: string;
  readonly status: TestStatus;
  /** The code that the suite gave with the result. */
  readonly code: number | null;
  /** Why it was skipped or did not pass, in the suite's own words. */
  readonly reason: string | null;
  /** Resets of the machine while it ran. */
  readonly resets: number;
  readonly instructions: number;
  readonly machineMs: number;
  /** Host time. */
  readonly ms: number;
  /** Lines between the test's name and its result. */
  readonly output: readonly string[];
  /** Lines beyond those kept. */
  readonly outputDropped: number;
}

export interface Totals {
  readonly tests: number;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** The suite could not carry the test out. */
  readonly error: number;
  readonly crashed: number;
}

/** Totals as the suite printed them; it need not print all. */
export type PrintedTotals = Partial<Totals>;

export interface SuiteResults {
  readonly suite: SuiteKind;
  /** Whether the suite said that it is done. */
  readonly ended: boolean;
  /** What the image tells of itself. */
  readonly versions: readonly string[];
  /** What it tells about whole groups of tests, such as why it leaves them out. */
  readonly notes: readonly string[];
  readonly tests: readonly TestResult[];
  /** Tests beyond those kept. */
  readonly testsDropped: number;
  readonly printed: PrintedTotals | null;
  /** The first line with which the suite told that it cannot go on. */
  readonly panic: string | null;
}

/** Counts of what was seen, test by test. */
export function countTests(tests: readonly TestResult[]): Totals & { readonly incomplete: number } {
  const count = (status: TestStatus) => tests.filter((test) => test.status === status).length;
  return {
    tests: tests.length,
    passed: count("passed"),
    failed: count("failed"),
    skipped: count("skipped"),
    error: count("error"),
    crashed: count("crashed"),
    incomplete: count("incomplete"),
  };
}

/** Whether the suite's own totals are those that were seen, as far as it printed any. */
export function totalsAgree({ tests, printed }: SuiteResults): boolean {
  if (printed === null) return true;
  const seen = countTests(tests);
  return Object.entries(printed).every(([name, count]) => seen[name as keyof Totals] === count);
}

/** A parser of one suite's console: it is given every line, and told of resets. */
export interface SuiteParser {
  readonly kind: SuiteKind;
  /** Whether some line so far was this suite's. */
  readonly recognised: boolean;
  readonly ended: boolean;
  /** Different tests that have a result: what counts as progress across resets. */
  readonly completed: number;
  readonly panic: string | null;
  /** The name of the test that runs. */
  readonly openTest: string | null;
  line(text: string, at: Stamp): void;
  /** The machine was reset. */
  reset(): void;
  /** Results so far; a test without a result counts as incomplete at that time. */
  results(at: Stamp): SuiteResults;
}
