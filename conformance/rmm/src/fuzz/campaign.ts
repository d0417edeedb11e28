/**
 * A campaign: episodes of calls, each from reset with a seed of its own, until the number of calls or the time is reached or
 * an invariant breaks. A failure is shrunk to a script that replays.
 */
import type { Crypto } from "@realmbox/abi";
import { Coverage, UNREACHABLE } from "./coverage.js";
import { Generator, type Side } from "./generator.js";
import { Run, type RunOptions } from "./runner.js";
import type { Script } from "./script.js";
import { shrink } from "./shrink.js";

export interface CampaignOptions {
  readonly crypto: Crypto;
  /** The interpreter's bytes. */
  readonly engine: Uint8Array;
  /** The RMM that is fuzzed: the native one when absent. */
  readonly createRmm?: NonNullable<RunOptions["createRmm"]>;
  readonly side: Side;
  readonly calls: number;
  readonly seed: number;
  readonly pes: number;
  /** Milliseconds, of any zero. */
  readonly now: () => number;
  /** Milliseconds after which no episode begins and the one under way takes everything back. */
  readonly time?: number;
  /** Milliseconds for shrinking a failure. */
  readonly shrinking?: number;
  /** Called after each episode. */
  readonly onProgress?: (progress: {
    readonly calls: number;
    readonly episodes: number;
    readonly conditions: number;
  }) => void;
}

export interface Failure {
  readonly invariant: string;
  readonly sentence: string;
  readonly script: Script;
  /** Operations before shrinking. */
  readonly operations: number;
  /** Calls of the whole campaign until it was found. */
  readonly calls: number;
}

export interface CampaignReport {
  readonly side: Side;
  readonly seed: number;
  readonly pes: number;
  readonly calls: number;
  readonly rmiCalls: number;
  readonly realmCalls: number;
  readonly otherCalls: number;
  readonly episodes: number;
  /** Milliseconds, without shrinking. */
  readonly time: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly conditions: {
    readonly declared: number;
    readonly reached: Readonly<Record<string, number>>;
    /** Declared, and not met; with the reason where no sequence can. */
    readonly missing: Readonly<Record<string, string>>;
  };
  readonly states: Readonly<Record<string, number>>;
  readonly failure?: Failure;
}

/** Calls of an episode: few enough that a failure is soon replayed, many enough for deep states. */
const EPISODE = 20_000;
/** Conditions are counted in one episode of so many: the RMM's trace takes a tenth of the time. */
const TRACED_EVERY = 4;
/** Operations between two looks at the states that objects are in. */
const SAMPLE = 500;

/** The seed of an episode. */
const seedOf = (seed: number, episode: number): number => (seed * 0x1_0001 + episode) >>> 0;

export function fuzz(options: CampaignOptions): CampaignReport {
  const { crypto, engine, side, calls, seed, pes, now, time = Number.POSITIVE_INFINITY } = options;
  const rmm = options.createRmm ? { createRmm: options.createRmm } : {};
  const start = now();
  const coverage = new Coverage();
  const outcomes: Record<string, number> = {};
  const sums = { calls: 0, rmiCalls: 0, realmCalls: 0, otherCalls: 0, episodes: 0 };
  let failure: Failure | undefined;
  let spent = 0;
  while (sums.calls < calls && now() - start < time && !failure) {
    const episodeSeed = seedOf(seed, sums.episodes);
    const interleave = pes > 1 ? episodeSeed || 1 : 0;
    const isOver = () => now() - start >= time;
    const generator = new Generator({ side, seed: episodeSeed, calls: Math.min(EPISODE, calls - sums.calls), isOver });
    let sinceSample = 0;
    const source = {
      next(run: Run) {
        if (++sinceSample === SAMPLE) {
          sinceSample = 0;
          coverage.sample(run.ledger);
        }
        return generator.next(run);
      },
      done: generator.done.bind(generator),
    };
    const traced = sums.episodes % TRACED_EVERY === 0 ? { onTrace: coverage.onTrace } : {};
    const run = new Run({ crypto, engine, pes, seed: episodeSeed, interleave, source, ...traced, ...rmm });
    const outcome = run.play();
    sums.episodes++;
    sums.calls += run.calls;
    sums.rmiCalls += run.observer?.rmiCalls ?? 0;
    sums.realmCalls += run.observer?.realmCalls ?? 0;
    sums.otherCalls += run.otherCalls;
    for (const [name, n] of run.observer?.outcomes ?? []) outcomes[name] = (outcomes[name] ?? 0) + n;
    spent = now() - start;
    if (outcome.kind === "violation") {
      const { invariant, sentence } = outcome;
      const operations = generator.operations.slice(0, run.begun);
      const script = shrink(
        { seed: episodeSeed, pes, interleave, note: `${invariant}: ${sentence}`, operations },
        invariant,
        { crypto, engine, ...rmm, thorough: false, now, budget: options.shrinking ?? 60_000 },
      );
      failure = { invariant, sentence, script, operations: operations.length, calls: sums.calls };
    }
    options.onProgress?.({ ...sums, conditions: Object.keys(coverage.reached()).length });
  }
  const missing = coverage.missing();
  return {
    side,
    seed,
    pes,
    ...sums,
    time: spent,
    outcomes: sorted(outcomes),
    conditions: {
      declared: Coverage.declared().length,
      reached: sorted(coverage.reached()),
      missing: Object.fromEntries(missing.map((id) => [id, UNREACHABLE[id] ?? "not met in these calls"])),
    },
    states: sorted(Object.fromEntries(coverage.states)),
    ...(failure ? { failure } : {}),
  };
}

const sorted = (counts: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
