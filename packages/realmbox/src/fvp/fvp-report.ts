/**
 * The report of a run on the FVP: how it ended, what the suite told, what it cost. A plain document; `schemaVersion` rises
 * when a field changes its meaning. Everything but host times repeats from run to run.
 */
import { SecurityState } from "@realmbox/abi";
import { type Counters, instructionsAt } from "@realmbox/machine";
import { VERSION } from "../build-info.js";
import type { TranslatorReport } from "../translator-report.js";
import type { FvpEnd } from "./fvp-end.js";
import {
  countTests,
  type PrintedTotals,
  type SuiteResults,
  type TestResult,
  type Totals,
  totalsAgree,
} from "./results.js";

/** A reset of the machine within a run. */
export interface FvpReset {
  readonly reason: string;
  /** The machine's time, milliseconds. */
  readonly machineMs: number;
  /** The test that it interrupted. */
  readonly test: string | null;
}

/** An image that the machine was given. */
export interface FvpImage {
  readonly name: string;
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
  /** Where it lies, hexadecimal. */
  readonly address: string;
}

export interface FvpReport {
  readonly schemaVersion: 1;
  readonly realmbox: string;
  readonly images: {
    readonly ns: FvpImage;
    /** null: realmbox's own RMM. */
    readonly rmm: FvpImage | null;
    readonly secure: FvpImage | null;
  };
  readonly board: { readonly name: string; readonly pes: number; readonly dram2: boolean };
  readonly seed: string;
  /** The exit code of the command: 0 passed, 1 a test failed, 124 time limit, 126 no end of the suite. */
  readonly exit: number;
  readonly end: { readonly kind: FvpEnd["kind"]; readonly why: string };
  readonly suite: SuiteResults["suite"] | null;
  /** Whether the suite reached its end. */
  readonly suiteEnded: boolean;
  /** What the images tell of themselves. */
  readonly versions: readonly string[];
  readonly notes: readonly string[];
  readonly panic: string | null;
  readonly totals: Totals & { readonly incomplete: number };
  /** The suite's own totals, and whether they are those above. */
  readonly printedTotals: PrintedTotals | null;
  readonly totalsAgree: boolean;
  /** Host time. */
  readonly wallMs: number;
  readonly machineMs: number;
  readonly counts: FvpCounts;
  /** Null: everything was interpreted. Its seconds are the host's. */
  readonly translator: TranslatorReport | null;
  readonly resets: readonly FvpReset[];
  readonly tests: readonly TestResult[];
  /** Tests beyond those kept. */
  readonly testsDropped: number;
}

export interface FvpCounts {
  /** Emulated instructions retired by world; native firmware retires none. */
  readonly instructions: Readonly<Record<"nonSecure" | "realm" | "secure" | "root" | "total", number>>;
  readonly smcs: number;
  readonly worldSwitches: number;
  /** Synchronous exceptions, those to EL3 included. */
  readonly exceptions: number;
  readonly irqs: number;
  readonly fiqs: number;
  readonly serrors: number;
  readonly granuleTransitions: number;
  readonly granuleProtectionFaults: number;
}

export function countsOf(counters: Counters): FvpCounts {
  const world = (state: SecurityState) =>
    [0, 1, 2, 3].reduce((sum, el) => sum + instructionsAt(counters, state, el), 0);
  const nonSecure = world(SecurityState.NON_SECURE);
  const realm = world(SecurityState.REALM);
  const secure = world(SecurityState.SECURE);
  const root = world(SecurityState.ROOT);
  return {
    instructions: { nonSecure, realm, secure, root, total: nonSecure + realm + secure + root },
    smcs: counters.smcs,
    worldSwitches: counters.worldSwitches,
    exceptions: counters.exceptions.reduce((sum, count) => sum + count, 0),
    irqs: counters.irqs,
    fiqs: counters.fiqs,
    serrors: counters.serrors,
    granuleTransitions: counters.granuleTransitions,
    granuleProtectionFaults: counters.granuleProtectionFaults,
  };
}

/** What a run was, beside its results. */
export interface FvpRunFacts
  extends Pick<FvpReport, "images" | "board" | "wallMs" | "machineMs" | "counts" | "translator" | "resets"> {
  readonly seed: bigint;
  readonly end: FvpEnd;
  readonly results: SuiteResults | undefined;
  /** What the other images tell of themselves. */
  readonly versions: readonly string[];
}

export function makeFvpReport({ end, results, seed, versions, ...facts }: FvpRunFacts): FvpReport {
  const tests = results?.tests ?? [];
  return {
    schemaVersion: 1,
    realmbox: VERSION,
    images: facts.images,
    board: facts.board,
    seed: seed.toString(),
    exit: fvpExitCode(end, results),
    end: { kind: end.kind, why: end.why },
    suite: results?.suite ?? null,
    suiteEnded: results?.ended ?? false,
    versions: [...(results?.versions ?? []), ...versions],
    notes: results?.notes ?? [],
    panic: results?.panic ?? null,
    totals: countTests(tests),
    printedTotals: results?.printed ?? null,
    totalsAgree: results === undefined || totalsAgree(results),
    wallMs: facts.wallMs,
    machineMs: facts.machineMs,
    counts: facts.counts,
    translator: facts.translator,
    resets: facts.resets,
    tests,
    testsDropped: results?.testsDropped ?? 0,
  };
}

/**
 * 0: everything passed or was skipped and the suite reached its end, or there was no suite and the image switched the machine
 * off. 1: the suite reached its end and something did not pass. 124: a limit. 126: no end of the suite.
 */
export function fvpExitCode(end: FvpEnd, results: SuiteResults | undefined): number {
  if (end.kind === "limit" || end.kind === "timeout") return 124;
  if (end.kind === "signal") return 128 + end.number;
  if (results === undefined) return end.kind === "off" ? 0 : 126;
  if (!results.ended) return 126;
  const { passed, skipped, tests } = countTests(results.tests);
  const { failed = 0, error = 0, crashed = 0 } = results.printed ?? {};
  return passed + skipped === tests && failed + error + crashed === 0 ? 0 : 1;
}

const n = (value: number): string => value.toLocaleString("en-US");

/** The report for people: what did not pass, totals, cost. */
export function fvpReportText(report: FvpReport): string {
  const { totals, counts, tests } = report;
  const lines: string[] = [];
  for (const version of report.versions) lines.push(`  ${version}`);
  for (const test of tests) {
    if (test.status === "passed") continue;
    const code = test.code === null ? "" : ` (code ${test.code})`;
    const why = test.reason === null ? "" : `: ${test.reason}`;
    lines.push(`  ${test.status.padEnd(10)} ${test.suite === "" ? "" : `${test.suite}: `}${test.name}${code}${why}`);
  }
  if (report.suite !== null) {
    const parts = Object.entries(totals).filter(
      ([name, count]) => name === "passed" || (name !== "tests" && count > 0),
    );
    lines.push(`  tests      ${n(totals.tests)}: ${parts.map(([name, count]) => `${n(count)} ${name}`).join(", ")}`);
    if (!report.totalsAgree) {
      const printed = Object.entries(report.printedTotals ?? {}).map(([name, count]) => `${name} ${n(count)}`);
      lines.push(`  the suite counted otherwise: ${printed.join(", ")}`);
    }
  }
  if (report.resets.length > 0) {
    lines.push(
      `  resets     ${report.resets.length}: ${[...new Set(report.resets.map(({ reason }) => reason))].join(", ")}`,
    );
  }
  const { instructions } = counts;
  lines.push(
    `  cost       ${n(instructions.total)} instructions (non-secure ${n(instructions.nonSecure)}, realm ${n(instructions.realm)}), ` +
      `${n(counts.smcs)} SMCs, ${n(counts.exceptions)} exceptions, ${n(counts.worldSwitches)} world switches`,
    `  time       ${(report.wallMs / 1000).toFixed(1)} s; the machine's ${(report.machineMs / 1000).toFixed(3)} s`,
  );
  return `fvp: exit ${report.exit} (${report.end.why})\n${lines.map((line) => `${line}\n`).join("")}`;
}
