/**
 * `realmbox fuzz`: hostile software against the RMM, with an oracle of invariants. The summary is on stdout, progress on
 * stderr. Exit codes: 0 nothing found, 1 an invariant is broken, 125 a wrong option, or a script that cannot be read or
 * that no machine can play.
 */
import {
  type CampaignReport,
  formatScript,
  fuzz,
  parseScript,
  replay,
  type Side,
  UNREACHABLE,
} from "@realmbox/conformance";
import { generateInterpreter } from "@realmbox/machine";
import { ENGINE } from "../build-info.js";
import { nodeCrypto } from "../crypto/node.js";
import { readInput } from "./images.js";
import { print, printJson } from "./output.js";
import { parseChoice, parseInteger, writeAll, writeOutput } from "./run.js";
import { parseCount } from "./size.js";
import { EXIT, UsageError } from "./usage.js";

/** Options as commander gives them. */
export interface FuzzFlags {
  readonly calls: string;
  readonly seed: string;
  readonly pes: string;
  readonly time?: string;
  readonly json?: boolean;
  readonly script?: string;
  readonly out?: string;
}

const SIDES: readonly Side[] = ["host", "realm", "both"];
/** An invariant is broken. */
const FOUND = 1;
/** A line of progress at most so often, in milliseconds. */
const PROGRESS_EVERY = 10_000;

export function fuzzCommand(sideText: string, flags: FuzzFlags): number {
  const side = parseChoice("side", sideText, SIDES);
  if (flags.script !== undefined) return replayScript(flags.script, flags);
  const seed = parseInteger("--seed", flags.seed);
  const calls = flags.time === undefined ? flags.calls : flags.calls || "1000000000";
  const out = flags.out ?? `fuzz-${side}-${seed}.script`;
  const start = performance.now();
  let told = start;
  const report = fuzz({
    crypto: nodeCrypto,
    engine: ENGINE ?? generateInterpreter(),
    side,
    calls: parseCount("--calls", calls || "100000", { min: 1, max: 1e12 }),
    seed: Number(BigInt.asUintN(32, seed)),
    pes: parseCount("--pes", flags.pes, { min: 1, max: 4 }),
    now: () => performance.now(),
    ...(flags.time === undefined ? {} : { time: secondsOf(flags.time) }),
    onProgress({ calls, conditions }) {
      const now = performance.now();
      if (now - told < PROGRESS_EVERY) return;
      told = now;
      say(`${grouped(calls)} calls, ${conditions} conditions, ${grouped((calls * 1000) / (now - start))} calls/s`);
    },
  });
  if (report.failure) writeOutput("--out", out, formatScript(report.failure.script));
  if (flags.json) printJson({ ...report, failure: failureOf(report, out) });
  else print(textOf(report, out));
  return report.failure ? FOUND : EXIT.OK;
}

function replayScript(path: string, flags: FuzzFlags): number {
  const text = new TextDecoder().decode(readInput("--script", path));
  let script: ReturnType<typeof parseScript>;
  try {
    script = parseScript(text);
  } catch (error) {
    throw new UsageError(`--script: '${path}': ${(error as Error).message}`);
  }
  const { outcome } = replay(script, { crypto: nodeCrypto, engine: ENGINE ?? generateInterpreter(), thorough: true });
  if (flags.json) printJson({ operations: script.operations.length, outcome });
  else if (outcome.kind === "done") print(`nothing found in ${script.operations.length} operations\n`);
  else print(`broken: ${outcome.invariant}\n  ${outcome.sentence}\n`);
  return outcome.kind === "done" ? EXIT.OK : FOUND;
}

function textOf(report: CampaignReport, out: string): string {
  const { side, seed, pes, calls, rmiCalls, realmCalls, otherCalls, episodes, time, conditions, states, failure } =
    report;
  const { declared, reached, missing } = conditions;
  const lines = [
    `fuzz ${side}, seed ${seed}, ${pes} PEs: ${grouped(calls)} calls in ${(time / 1000).toFixed(1)} s (${grouped((calls * 1000) / time)} calls/s), ${episodes} episodes`,
    `  ${grouped(rmiCalls)} RMI, ${grouped(realmCalls)} of realms, ${grouped(otherCalls)} others`,
    `  ${Object.keys(reached).length} of ${declared} conditions reached, ${Object.keys(states).length} states`,
    ...missingText(missing),
  ];
  if (failure) {
    lines.push(
      `broken: ${failure.invariant}`,
      `  ${failure.sentence}`,
      `  script of ${failure.script.operations.length} operations, shrunk from ${failure.operations}: ${out}`,
      `  replay: realmbox fuzz ${side} --script ${out}`,
    );
  } else {
    lines.push("nothing found");
  }
  return `${lines.join("\n")}\n`;
}

/** Conditions that cannot be met each with the reason, the others in a line. */
function missingText(missing: CampaignReport["conditions"]["missing"]): string[] {
  const entries = Object.entries(missing);
  const others = entries.filter(([id]) => UNREACHABLE[id] === undefined).map(([id]) => id);
  return [
    ...(others.length > 0 ? [`  not reached: ${others.join(", ")}`] : []),
    ...entries.filter(([id]) => UNREACHABLE[id] !== undefined).map(([id, why]) => `  out of reach: ${id}: ${why}`),
  ];
}

function failureOf({ failure }: CampaignReport, out: string): object | undefined {
  if (!failure) return undefined;
  const { invariant, sentence, script, operations, calls } = failure;
  return { invariant, sentence, script: out, operations: script.operations.length, shrunkFrom: operations, calls };
}

function secondsOf(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value > 0)) throw new UsageError(`option '--time': '${text}' is not a positive number of seconds`);
  return value * 1000;
}

const say = (line: string): void => writeAll(2, new TextEncoder().encode(`realmbox: ${line}\n`));
const grouped = (n: number): string => Math.round(n).toLocaleString("en-US");
