/** Plays scripts on two RMMs and says where they differ, and which rule decides. */
import type { Crypto } from "@realmbox/abi";
import { baseBoard } from "@realmbox/machine";
import { CASES } from "../cases/index.js";
import { Bench, type Host, type Script } from "../driver/index.js";
import { type Difference, differences } from "./compare.js";
import { randomScript } from "./random.js";
import { record } from "./recording.js";
import { type Rule, ruleFor } from "./rules.js";

export interface NamedScript {
  readonly name: string;
  readonly script: (host: Host) => Script<unknown>;
}

export interface Decided {
  readonly difference: Difference;
  /** Undefined: unknown. */
  readonly rule: Rule | undefined;
}

export interface Comparison {
  readonly scripts: number;
  /** Calls made on both. */
  readonly calls: number;
  readonly differences: readonly Decided[];
  /** Differences that no rule explains. */
  readonly unknown: number;
}

/** Every conformance case as a script; what it asserts matters only in where it ends. */
export const caseScripts = (): NamedScript[] => CASES.map(({ id, run }) => ({ name: id, script: run }));

export const randomScripts = (seeds: readonly number[], calls?: number): NamedScript[] =>
  seeds.map((seed) => ({ name: `random/${seed}`, script: randomScript(seed, calls) }));

/** The two machines of a comparison: realmbox's RMM, and one as an image. */
export interface Pair {
  readonly own: Bench;
  readonly other: Bench;
}

/** Enough for a Realm with as many RECs as it may have, sixteen auxiliary granules each. */
const DRAM_SIZE = 256n << 20n;
/** Counts of the clock that one play may take: some hundred times what the longest takes. */
const CLOCK_MAX = { own: 100_000_000, other: 2_000_000_000 } as const;

/** Two machines alike but for the RMM. */
export function rmmPair(options: {
  readonly crypto: Crypto;
  readonly image: Uint8Array;
  readonly engine?: Uint8Array;
}): Pair {
  const { crypto, image, engine } = options;
  const board = () => baseBoard({ peCount: 2, dramSize: DRAM_SIZE });
  const common = { crypto, ...(engine === undefined ? {} : { engine }) };
  return {
    own: new Bench({ ...common, board: board(), clockMax: CLOCK_MAX.own }),
    other: new Bench({ ...common, board: board(), rmm: { kind: "binary", image }, clockMax: CLOCK_MAX.other }),
  };
}

/** Plays each script on both. Differences behind one that leaves the RMMs in states of their own are not told. */
export function compareRmms(
  { own, other }: Pair,
  scripts: readonly NamedScript[],
  onScript: (name: string, done: number) => void = () => {},
): Comparison {
  const decided: Decided[] = [];
  let calls = 0;
  scripts.forEach(({ name, script }, n) => {
    onScript(name, n);
    const [first, second] = [record(own, script), record(other, script)];
    calls += Math.min(first.calls.length, second.calls.length);
    let isExplained = false;
    for (const difference of differences(name, first, second)) {
      const rule = ruleFor(difference);
      // A script that asserts ends early where a difference has been told already.
      if (rule === undefined && isExplained && difference.fields[0]!.field === "end") break;
      decided.push({ difference, rule });
      if (rule === undefined || rule.diverges === true) break;
      if (rule.name !== "aux_count") isExplained = true;
    }
  });
  return {
    scripts: scripts.length,
    calls,
    differences: decided,
    unknown: decided.filter(({ rule }) => rule === undefined).length,
  };
}
