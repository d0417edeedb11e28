/**
 * The console of TF-A-Tests (UART0 of the FVP): a banner of NOTICE lines; per suite its name; per test `> Executing 'T'`,
 * messages, `TEST COMPLETE` with the result and behind it the test's own words; then a summary. A test that crashes leaves a
 * line of its own kind and hangs, for the FVP build starts no watchdog. After a reset the framework goes on with the same
 * test (which asked for it) or with the next one (the test has crashed).
 */
import { TestRecorder } from "./recorder.js";
import type { PrintedTotals, Stamp, SuiteParser, SuiteResults, TestStatus } from "./results.js";

const BANNER = "NOTICE:  Booting trusted firmware test framework";
const SESSION = /^NOTICE: {2}(?:Starting a new test session|Resuming interrupted test session)$/;
const NOTICE = /^NOTICE: {2}(.+)$/;
const SUITE = /^Running test suite '(.*)'$/;
const TEST = /^> Executing '(.*)'$/;
const COMPLETE = /^ *TEST COMPLETE +(Passed|Failed|Skipped|Crashed)$/;
const SUMMARY = /^\*{8,} Summary \*{8,}$/;
const TOTAL = /^(?:Tests (Skipped|Passed|Failed|Crashed)|(Total tests)) *: (\d+)$/;
const END = "NOTICE:  Exiting tests.";
/** A realm's messages have a prefix, so these are the framework's own. */
const PANIC = /^(?:PANIC in file: .*|Unhandled exception on CPU\d+\.|BUG: Unreachable code!|ASSERT: .*)$/;

const STATUSES: Readonly<Record<string, TestStatus & keyof PrintedTotals>> = {
  Passed: "passed",
  Failed: "failed",
  Skipped: "skipped",
  Crashed: "crashed",
};

export class TftfParser implements SuiteParser {
  readonly kind = "tftf";
  readonly #recorder = new TestRecorder();
  #recognised = false;
  #ended = false;
  #panic: string | null = null;
  #printed: PrintedTotals | null = null;
  #suite = "";
  /** Between the banner and the first test. */
  #inBanner = false;
  /** Behind a result, where the test's own words are. */
  #explains = false;
  #explained = false;
  #inSummary = false;

  get recognised(): boolean {
    return this.#recognised;
  }

  get ended(): boolean {
    return this.#ended;
  }

  get completed(): number {
    return this.#recorder.completed;
  }

  get panic(): string | null {
    return this.#panic;
  }

  get openTest(): string | null {
    return this.#recorder.open?.name ?? null;
  }

  line(line: string, at: Stamp): void {
    const text = line.trimEnd();
    const recorder = this.#recorder;
    if (this.#isFramework(text, at)) {
      this.#explains = false;
      return;
    }
    const complete = COMPLETE.exec(text);
    if (complete && recorder.open !== undefined) {
      const status = STATUSES[complete[1]!]!;
      recorder.end(status, at, { reason: status === "passed" ? null : this.#lastError() });
      this.#explains = true;
      this.#explained = false;
      return;
    }
    if (PANIC.test(text)) this.#panic ??= text;
    if (recorder.open !== undefined) recorder.output(text);
    else if (this.#explains) {
      if (text === "") this.#explains = false;
      else {
        recorder.explain(text, { more: this.#explained });
        this.#explained = true;
      }
    } else if (this.#inBanner) {
      const notice = NOTICE.exec(text);
      if (notice) recorder.version(notice[1]!);
    }
  }

  reset(): void {
    this.#recorder.reset();
    this.#panic = null;
    this.#explains = false;
  }

  results(at: Stamp): SuiteResults {
    const { versions, notes, dropped } = this.#recorder;
    return {
      suite: this.kind,
      ended: this.#ended,
      versions,
      notes,
      tests: this.#recorder.tests(at),
      testsDropped: dropped,
      printed: this.#printed,
      panic: this.#panic,
    };
  }

  /** Lines of the framework itself. */
  #isFramework(text: string, at: Stamp): boolean {
    const recorder = this.#recorder;
    if (text === BANNER) {
      this.#recognised = true;
      this.#inBanner = true;
      return true;
    }
    if (SESSION.test(text)) {
      this.#inBanner = false;
      return true;
    }
    const suite = SUITE.exec(text);
    if (suite) {
      this.#recognised = true;
      this.#suite = suite[1]!;
      return true;
    }
    const test = TEST.exec(text);
    if (test) {
      // The same name again after a reset is the same test: it asked for the reset, and goes on.
      if (recorder.open?.name !== test[1] || recorder.open?.suite !== this.#suite) this.#crash(at);
      this.#recognised = true;
      this.#inBanner = false;
      recorder.begin(this.#suite, test[1]!, at);
      return true;
    }
    if (SUMMARY.test(text)) {
      this.#crash(at);
      this.#inSummary = true;
      return true;
    }
    const total = this.#inSummary ? TOTAL.exec(text) : null;
    if (total) {
      const name = total[2] === undefined ? STATUSES[total[1]!]! : "tests";
      this.#printed = { ...this.#printed, [name]: Number(total[3]) };
      return true;
    }
    if (text === END) {
      this.#recognised = true;
      this.#ended = true;
      return true;
    }
    return false;
  }

  /** The framework leaves a test without a result only when the machine was reset in it. */
  #crash(at: Stamp): void {
    if (this.#recorder.open !== undefined) this.#recorder.end("crashed", at, { reason: "the machine was reset" });
  }

  /** The last line that complains, for failures that say no more. */
  #lastError(): string | null {
    const output = this.#recorder.open?.output ?? [];
    return output.findLast((line) => /^(?:ERROR|WARNING): /.test(line)) ?? null;
  }
}
