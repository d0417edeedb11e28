/**
 * `realmbox conform`: the conformance cases for RMM 1.0 over realmbox's RMM or a foreign one. Results are on stdout,
 * progress is on stderr. Exit codes: 0 all passed or were skipped, 1 some failed, 125 a wrong option or file.
 */
import {
  Benches,
  CASES,
  type CaseResult,
  type ConformanceCase,
  type ConformanceCoverage,
  coverageOf,
  PROOF,
  type RunOptions,
  runCase,
} from "@realmbox/conformance";
import { fvpBoard, generateInterpreter } from "@realmbox/machine";
import { ENGINE } from "../build-info.js";
import { nodeCrypto } from "../crypto/node.js";
import { type JunitTest, junitDocument } from "../fvp/index.js";
import { readInput } from "./images.js";
import { print, printJson } from "./output.js";
import { writeAll, writeOutput } from "./run.js";
import { EXIT, UsageError } from "./usage.js";

/** Options as commander gives them. */
export interface ConformFlags {
  readonly filter?: readonly string[];
  readonly coverage?: boolean;
  readonly rmm?: string;
  readonly junit?: string;
  readonly json?: boolean;
}

/** A case failed. */
const FAILED = 1;
/** A line of progress at most so often, in milliseconds. */
const PROGRESS_EVERY = 5_000;

type TimedResult = CaseResult & { readonly ms: number };

export function conformCommand({ filter = [], coverage, rmm, junit, json }: ConformFlags): number {
  if (coverage && rmm !== undefined)
    throw new UsageError("--coverage is of realmbox's own RMM", "leave --rmm out: a foreign RMM tells no conditions");
  const cases = CASES.filter(({ id }) => filter.length === 0 || filter.some((text) => id.includes(text)));
  if (cases.length === 0)
    throw new UsageError(
      `--filter: no case's id contains '${filter.join("' or '")}'`,
      "an id is RMI_DATA_CREATE/src_align",
    );
  const results = runCases(cases, optionsOf(rmm));
  const count = (result: CaseResult["result"]) => results.filter((one) => one.result === result).length;
  const counts = { passed: count("passed"), failed: count("failed"), skipped: count("skipped") };
  const covered = coverage ? coverageOf(results, PROOF) : undefined;
  if (junit !== undefined) writeOutput("option '--junit'", junit, junitDocument("conform", results.map(junitTest)));
  if (json) printJson({ ...counts, cases: results.map(publicResult), ...(covered && { coverage: covered }) });
  else print(textOf(results, counts, covered));
  return counts.failed > 0 ? FAILED : EXIT.OK;
}

function optionsOf(rmm: string | undefined): RunOptions {
  const engine = ENGINE ?? generateInterpreter();
  if (rmm === undefined) return { crypto: nodeCrypto, engine };
  const image = readInput("option '--rmm'", rmm);
  // A foreign RMM is built for a platform: Arm's FVP Base, with its memory map and its UARTs.
  return { crypto: nodeCrypto, engine, rmm: { kind: "binary", image }, board: fvpBoard() };
}

function runCases(cases: readonly ConformanceCase[], options: RunOptions): TimedResult[] {
  const benches = new Benches(options);
  let told = performance.now();
  return cases.map((one, i) => {
    const start = performance.now();
    if (start - told > PROGRESS_EVERY) {
      told = start;
      writeAll(2, Buffer.from(`realmbox: ${i} of ${cases.length} cases\n`));
    }
    const result = runCase(benches, one);
    return { ...result, ms: performance.now() - start };
  });
}

const publicResult = ({ id, command, kind, result, message, citation }: CaseResult) => ({
  ...{ id, command, kind, result },
  ...(message !== undefined && { message }),
  citation,
});

const junitTest = ({ id, command, result, message, citation, ms }: TimedResult): JunitTest => ({
  ...{ suite: command, name: id, status: result, code: null, reason: message ?? null, ms },
  ...{ output: [citation], outputDropped: 0 },
});

function textOf(
  results: readonly CaseResult[],
  { passed, failed, skipped }: { readonly passed: number; readonly failed: number; readonly skipped: number },
  coverage: ConformanceCoverage | undefined,
): string {
  const lines = results
    .filter(({ result }) => result !== "passed")
    .map(({ id, result, message, citation }) => {
      const where = result === "failed" ? `\n        ${citation}` : "";
      return `${result.padEnd(7)} ${id}: ${message}${where}`;
    });
  if (coverage) lines.push(...coverageLines(coverage));
  lines.push(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return `${lines.join("\n")}\n`;
}

function coverageLines({ details, unreachable, missing, conditions, covered }: ConformanceCoverage): string[] {
  const reasons = new Map(unreachable.map(({ id, reason }) => [id, reason]));
  const rows = details.map(({ id, cases, proven }) => {
    const reason = reasons.get(id);
    if (reason !== undefined) return `${id}: unreachable: ${reason}`;
    const how = proven.length === 0 ? "NOT PROVEN" : `proven by ${[...new Set(proven)].join(", ")}`;
    const which = cases.length === 0 ? "NO CASE" : `${cases.length} cases, first ${cases[0]}`;
    return `${id}: ${which}; ${how}`;
  });
  return [
    ...rows,
    `${covered} of ${conditions} conditions covered, ${unreachable.length} unreachable, ${missing.length} missing`,
  ];
}
