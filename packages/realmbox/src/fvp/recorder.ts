/** Keeps the tests that a parser recognises, within bounds: lines per test, tests, versions. */
import type { Stamp, TestResult, TestStatus } from "./results.js";

/** Tests kept; the suites have some hundred. */
const TESTS_MAX = 10_000;
/** Characters of output kept for one test: its first ones. */
const OUTPUT_MAX = 64 * 1024;
/** Characters of output kept for all tests. */
const OUTPUT_TOTAL_MAX = 16 * 1024 * 1024;
const VERSIONS_MAX = 32;
const NOTES_MAX = 100;
const NAME_MAX = 200;
const REASON_MAX = 1000;

const cut = (text: string, max: number): string => (text.length <= max ? text : `${text.slice(0, max)}…`);

/** A test that has begun. */
interface OpenTest {
  readonly suite: string;
  readonly name: string;
  readonly from: Stamp;
  readonly output: string[];
  size: number;
  dropped: number;
  resets: number;
}

export class TestRecorder {
  readonly #tests: TestResult[] = [];
  readonly #completed = new Set<string>();
  readonly #versions: string[] = [];
  readonly #notes: string[] = [];
  #dropped = 0;
  #keptTotal = 0;
  #open: OpenTest | undefined;

  /** The test that runs. */
  get open(): { readonly suite: string; readonly name: string; readonly output: readonly string[] } | undefined {
    return this.#open;
  }

  /** Different tests that have a result. */
  get completed(): number {
    return this.#completed.size;
  }

  get versions(): readonly string[] {
    return this.#versions;
  }

  get notes(): readonly string[] {
    return this.#notes;
  }

  get dropped(): number {
    return this.#dropped;
  }

  version(text: string): void {
    const version = cut(text.trim(), NAME_MAX);
    if (this.#versions.length < VERSIONS_MAX && !this.#versions.includes(version)) this.#versions.push(version);
  }

  /** What the suite tells about itself between tests. */
  note(text: string): void {
    if (this.#notes.length < NOTES_MAX) this.#notes.push(cut(text.trim().replace(/\s+/g, " "), REASON_MAX));
  }

  /** A test begins. One that has no result yet is incomplete, unless it is the same again after a reset. */
  begin(suite: string, name: string, at: Stamp): void {
    const test = { suite: cut(suite, NAME_MAX), name: cut(name, NAME_MAX) };
    const open = this.#open;
    if (open !== undefined && open.resets > 0 && open.name === test.name && open.suite === test.suite) return;
    if (open !== undefined) this.end("incomplete", at);
    this.#open = { ...test, from: at, output: [], size: 0, dropped: 0, resets: 0 };
  }

  /** A line of the test that runs. */
  output(line: string): void {
    const open = this.#open;
    if (open === undefined) return;
    if (open.size + line.length > OUTPUT_MAX || this.#keptTotal + line.length > OUTPUT_TOTAL_MAX) {
      open.dropped++;
      return;
    }
    // An empty line takes memory, too.
    const size = line.length + 16;
    open.size += size;
    this.#keptTotal += size;
    open.output.push(line);
  }

  reset(): void {
    if (this.#open !== undefined) this.#open.resets++;
  }

  /** The test that runs has a result. */
  end(
    status: TestStatus,
    at: Stamp,
    { code = null, reason = null }: { readonly code?: number | null; readonly reason?: string | null } = {},
  ): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const { suite, name } = open;
    if (this.#tests.length >= TESTS_MAX) {
      this.#dropped++;
      return;
    }
    if (status !== "incomplete") this.#completed.add(`${suite}\n${name}`);
    this.#tests.push(
      this.#result(open, at, { status, code, reason: reason === null ? null : cut(reason, REASON_MAX) }),
    );
  }

  /** A line about the result of the last test, for suites that print it behind it; `more`: one after another such line. */
  explain(line: string, { more }: { readonly more: boolean }): void {
    const last = this.#tests.at(-1);
    if (last === undefined) return;
    const reason = cut(more && last.reason !== null ? `${last.reason} ${line.trim()}` : line.trim(), REASON_MAX);
    this.#tests[this.#tests.length - 1] = { ...last, reason };
  }

  /** All tests; the one that runs is incomplete. */
  tests(at: Stamp): TestResult[] {
    const open = this.#open;
    if (open === undefined) return [...this.#tests];
    return [...this.#tests, this.#result(open, at, { status: "incomplete", code: null, reason: null })];
  }

  #result(
    { suite, name, from, output, dropped, resets }: OpenTest,
    at: Stamp,
    result: Pick<TestResult, "status" | "code" | "reason">,
  ): TestResult {
    return {
      suite,
      name,
      ...result,
      resets,
      instructions: at.instructions - from.instructions,
      machineMs: at.machineMs - from.machineMs,
      ms: at.hostMs - from.hostMs,
      output: trimmed(output),
      outputDropped: dropped,
    };
  }
}

/** Without the empty lines at both ends. */
function trimmed(lines: readonly string[]): string[] {
  const first = lines.findIndex((line) => line.trim() !== "");
  if (first < 0) return [];
  const last = lines.findLastIndex((line) => line.trim() !== "");
  return lines.slice(first, last + 1);
}
