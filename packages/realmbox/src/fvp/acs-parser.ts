/**
 * The console of Arm's RMM Architecture Compliance Suite (UART2 of the FVP). Per test a line with suite and name, messages
 * of Host and realm under a heading each, the result, a line of asterisks; then the totals and the end. Releases differ:
 *
 *   v1.0_REL0_12.24   Suite=command : cmd_rtt_create           Result => Failed (Error Code=3)
 *   later             Suite=command : Test=cmd_rtt_create      Result=Failed (Error code=3)
 *
 * When a watchdog has reset the machine during a test, the suite starts anew and goes on: the next line that counts is that
 * test's result.
 */
import { TestRecorder } from "./recorder.js";
import type { PrintedTotals, Stamp, SuiteParser, SuiteResults, TestStatus } from "./results.js";

const TEST = /^Suite=(.*?) : (?:Test=)?(.+)$/;
const RESULT = /^Result(?: => |=)(Passed|Failed|Skipped|Error)(?: \((?:Skip|Error) [Cc]ode=(\d+)\))?$/;
const TITLE = /^\*{3,} (.*ACS.*?) \*{3,}$/;
const END = /^\*{3,} END OF ACS \*{3,}$/;
const TOTAL = /^TOTAL (TESTS|PASSED|FAILED|SKIPPED|SIM ERROR) *: (\d+)$/;
const LEFT_OUT = /not supported, +Skipping .* Suite$/;
/** Who prints what follows. */
const HEADING = /^(?:host|realm|secure|unknown) ?:$/i;

const STATUSES: Readonly<Record<string, TestStatus>> = {
  Passed: "passed",
  Failed: "failed",
  Skipped: "skipped",
  Error: "error",
};
const TOTALS: Readonly<Record<string, keyof PrintedTotals>> = {
  TESTS: "tests",
  PASSED: "passed",
  FAILED: "failed",
  SKIPPED: "skipped",
  "SIM ERROR": "error",
};

export class AcsParser implements SuiteParser {
  readonly kind = "acs";
  readonly panic = null;
  readonly #recorder = new TestRecorder();
  #recognised = false;
  #ended = false;
  #printed: PrintedTotals | null = null;

  get recognised(): boolean {
    return this.#recognised;
  }

  get ended(): boolean {
    return this.#ended;
  }

  get completed(): number {
    return this.#recorder.completed;
  }

  get openTest(): string | null {
    return this.#recorder.open?.name ?? null;
  }

  line(line: string, at: Stamp): void {
    const text = line.trim();
    const recorder = this.#recorder;
    const test = TEST.exec(text);
    if (test) {
      this.#recognised = true;
      recorder.begin(test[1]!.trim(), test[2]!.trim(), at);
      return;
    }
    const result = RESULT.exec(text);
    if (result) {
      const status = STATUSES[result[1]!]!;
      const code = result[2] === undefined ? null : Number(result[2]);
      recorder.end(status, at, { code, reason: status === "passed" ? null : this.#reason() });
      return;
    }
    if (recorder.open !== undefined) {
      recorder.output(line.trimEnd());
      return;
    }
    if (END.test(text)) {
      this.#recognised = true;
      this.#ended = true;
      return;
    }
    const total = TOTAL.exec(text);
    if (total) {
      this.#printed = { ...this.#printed, [TOTALS[total[1]!]!]: Number(total[2]) };
      return;
    }
    const title = TITLE.exec(text);
    if (title) {
      this.#recognised = true;
      recorder.version(title[1]!);
    } else if (LEFT_OUT.test(text)) recorder.note(text);
  }

  reset(): void {
    this.#recorder.reset();
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
      panic: null,
    };
  }

  /** The last thing that the test said. */
  #reason(): string | null {
    const output = this.#recorder.open?.output ?? [];
    const last = output.findLast((line) => line.trim() !== "" && !HEADING.test(line.trim()));
    return last?.trim() ?? null;
  }
}
