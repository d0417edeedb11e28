/** Random worlds in lockstep: one machine interprets in one piece, the other translates in pieces of any size. */
import { expect } from "vitest";
import { Random } from "../oracle/random.js";
import { type Jit, type LockstepSubject, lockstep, lockstepText, type Machine } from "./machine.js";
import { randomWorld } from "./random-program.js";
import { machineIn } from "./world.js";

/** The machine, run in pieces of 1 to `most` counts that follow from a seed; in one piece when `most` is undefined. */
export function inPieces(machine: Machine, seed: number, most: number | undefined): LockstepSubject {
  const random = new Random(seed);
  return {
    machine,
    run(clock) {
      while (machine.now < clock) {
        const left = clock - machine.now;
        const piece = most === undefined ? left : Math.min(left, 1 + random.below(most));
        const end = machine.run({ instructions: piece });
        if (end.kind !== "limit") return JSON.stringify(end);
      }
      return undefined;
    },
  };
}

/** How a program is run. */
export interface Way {
  readonly jit: Jit;
  /** Counts of a piece at most; undefined: one piece for each step. */
  readonly pieces: number | undefined;
  /** Counts between two comparisons. */
  readonly step: number;
}

/** Clock counts that the machine did with `seed`'s program; fails where interpreter and translator differ. */
export function checkSeed(seed: number, { jit, pieces, step }: Way, counts: number): number {
  const world = randomWorld(seed);
  const create = (mode: Jit) => inPieces(machineIn(world, mode), seed, mode === "off" ? undefined : pieces);
  const result = lockstep({ create, jit, step, counts, deepEvery: 10_000 });
  if (result.difference) {
    const repeat = `TRANSLATOR_SEED=${seed} TRANSLATOR_JIT=${jit} npx vitest run conformance/translator/random.test.ts`;
    expect.fail(`seed ${seed}, jit ${jit}: ${lockstepText(result, repeat)}`);
  }
  return result.clock;
}
