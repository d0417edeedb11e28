/**
 * Makes a failing script small: delta debugging over its operations (Zeller's ddmin, complements only), each candidate
 * replayed from the start. What must stay is the invariant that breaks, not the sentence about it.
 */
import type { Crypto } from "@realmbox/abi";
import { Run, type RunOptions, type RunOutcome } from "./runner.js";
import type { Operation, Script } from "./script.js";

export interface ReplayOptions {
  readonly crypto: Crypto;
  readonly engine: Uint8Array;
  /** Look at everything after each call: finds a failure where it happens. */
  readonly thorough: boolean;
  readonly createRmm?: NonNullable<RunOptions["createRmm"]>;
}

/** Plays a script from reset. */
export function replay(script: Script, options: ReplayOptions): { outcome: RunOutcome; run: Run } {
  let at = 0;
  const { operations, pes, seed, interleave } = script;
  const source = { next: () => operations[at++] };
  const run = new Run({ ...options, pes, seed, interleave, source });
  return { outcome: run.play(), run };
}

export interface ShrinkOptions extends ReplayOptions {
  /** Milliseconds of any zero. */
  readonly now: () => number;
  /** Milliseconds that shrinking may take. */
  readonly budget: number;
}

/** The smallest script found that breaks the same invariant; the script itself when it does not fail again. */
export function shrink(script: Script, invariant: string, options: ShrinkOptions): Script {
  const end = options.now() + options.budget;
  let thorough = options.thorough;
  const fails = (operations: readonly Operation[]): readonly Operation[] | undefined => {
    const { outcome, run } = replay({ ...script, operations }, { ...options, thorough });
    if (outcome.kind !== "violation" || outcome.invariant !== invariant) return undefined;
    return operations.slice(0, run.begun);
  };
  let best = fails(script.operations);
  if (!best) return script;
  for (let parts = 2; best.length > 1 && options.now() < end; ) {
    const size: number = Math.ceil(best.length / parts);
    let smaller: readonly Operation[] | undefined;
    for (let from = 0; from < best.length && !smaller && options.now() < end; from += size) {
      const rest: readonly Operation[] = [...best.slice(0, from), ...best.slice(from + size)];
      if (rest.length > 0) smaller = fails(rest);
    }
    if (smaller) {
      best = smaller;
      parts = Math.max(parts - 1, 2);
      // Short scripts are worth a look at everything after each call.
      if (best.length < 400) thorough = true;
    } else if (size === 1) {
      break;
    } else {
      parts = Math.min(parts * 2, best.length);
    }
  }
  return { ...script, operations: best };
}
