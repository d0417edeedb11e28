/**
 * `realmbox diff-rmm`: the same calls to realmbox's RMM and to one as an image, and the rule that decides where they differ.
 * The table is on stdout, progress on stderr. Exit codes: 0 every difference has a rule, 1 some have none, 125 a wrong option
 * or an image that does not boot.
 */
import {
  caseScripts,
  compareRmms,
  comparisonText,
  differenceText,
  PlayStopped,
  randomScripts,
  rmmPair,
  ruleRows,
} from "@realmbox/conformance";
import { generateInterpreter } from "@realmbox/machine";
import { ENGINE } from "../build-info.js";
import { nodeCrypto } from "../crypto/node.js";
import { readInput } from "./images.js";
import { print, printJson } from "./output.js";
import { parseInteger, writeAll } from "./run.js";
import { parseCount } from "./size.js";
import { EXIT, UsageError } from "./usage.js";

/** Options as commander gives them. */
export interface DiffRmmFlags {
  readonly random: string;
  readonly seed: string;
  readonly filter?: string;
  readonly json?: boolean;
}

/** A difference that no rule decides. */
const UNKNOWN = 1;
/** Random scripts at most, so that seeds stay numbers of 32 bits. */
const RANDOM_MAX = 1_000_000;
/** A line of progress at most so often, in milliseconds. */
const PROGRESS_EVERY = 10_000;

export function diffRmmCommand(path: string, { random, seed, filter, json }: DiffRmmFlags): number {
  const image = readInput("image", path);
  const count = parseCount("--random", random, { min: 0, max: RANDOM_MAX });
  const first = Number(BigInt.asUintN(31, parseInteger("--seed", seed)));
  const seeds = Array.from({ length: count }, (_, n) => first + n);
  const scripts = [
    ...caseScripts().filter(({ name }) => filter === undefined || name.includes(filter)),
    ...randomScripts(seeds),
  ];
  if (scripts.length === 0) throw new UsageError(`option '--filter': no case's id contains '${filter}'`);
  const pair = rmmPair({ crypto: nodeCrypto, image, engine: ENGINE ?? generateInterpreter() });
  try {
    // A script that does nothing: does the image boot?
    pair.other.play(function* (host) {
      const { status } = yield* host.rmi("RMI_VERSION", 0x1_0000n);
      if (status === undefined) throw new UsageError(`image '${path}': it does not boot, or knows no RMI_VERSION`);
    });
  } catch (error) {
    if (error instanceof PlayStopped) throw new UsageError(`image '${path}': it does not boot: ${error.message}`);
    throw error;
  }
  let told = performance.now();
  const comparison = compareRmms(pair, scripts, (name, done) => {
    if (performance.now() - told < PROGRESS_EVERY) return;
    told = performance.now();
    writeAll(2, Buffer.from(`${done} of ${scripts.length} scripts; ${name}\n`));
  });
  if (json) {
    const { scripts: played, calls, unknown, differences } = comparison;
    printJson({
      scripts: played,
      calls,
      rules: ruleRows(comparison),
      unknown: differences.filter(({ rule }) => rule === undefined).map(({ difference }) => differenceText(difference)),
      unknownCount: unknown,
    });
  } else {
    print(`${comparisonText(comparison)}\n`);
  }
  return comparison.unknown > 0 ? UNKNOWN : EXIT.OK;
}
