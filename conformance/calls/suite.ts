/**
 * Every function identifier of the interfaces (RMI, RSI, PSCI, RMM-EL3), their neighbours and random others, with random
 * arguments, from an RMM, and from a realm and a normal VM that the Host runs in full: architected results only, no crash, no
 * hang, and in the end no granule is lost. All runs are their seed's. What a Host calls is fuzzed in `rmm/src/fuzz/`.
 */
import { expect, test } from "vitest";
import { problems } from "../../packages/rmm/src/testing/invariants.js";
import { hostile, MiB, makeBox, makeGuest } from "../support/box.js";
import { delegatedGranules, inspect } from "../support/memory.js";
import { fuzzRmm } from "./rmm-fuzz.js";

/** Calls by caller and run. */
export interface Amounts {
  readonly rmm: number;
  readonly realm: number;
  readonly vm: number;
  readonly seeds: readonly number[];
}

export function callSuite({ rmm, realm, vm, seeds }: Amounts): void {
  const number = (n: number) => n.toLocaleString("en-US");

  test.each(seeds)(`${number(rmm)} SMCs of an RMM, seed %i`, (seed) => {
    const { counts, gptBefore, gptAfter } = fuzzRmm({ seed, calls: rmm });
    expect(gptAfter).toEqual(gptBefore);
    expect(counts["RMM-EL3 0"]).toBeGreaterThan(rmm / 40);
    expect(counts["RMM-EL3 -2"]).toBeGreaterThan(0); // E_RMM_BAD_ADDR
    expect(counts["RMM-EL3 -3"]).toBeGreaterThan(0); // E_RMM_BAD_PAS
  });

  const guests = seeds.flatMap((seed) => [
    { what: "realm", isRealm: true, calls: realm, seed },
    { what: "normal VM", isRealm: false, calls: vm, seed },
  ]);
  for (const { what, isRealm, calls, seed } of guests) {
    test(`${number(calls)} calls of a ${what}, seed ${seed}`, () => {
      const box = makeBox({ dramSize: 128n * MiB });
      const guest = makeGuest(box, { ...hostile("fuzz", { seed, calls }), realm: isRealm });
      // The guest makes up 30 registers and a checksum for each call.
      expect(guest.run({ instructions: 20_000_000 + calls * 20_000 })).toEqual({ kind: "exit", status: 0 });
      expect(guest.console).toContain(`${calls} calls: X0 was`);
      expect(problems(inspect(box.machine))).toEqual([]);
      expect(guest.close().ok).toBe(true);
      expect(problems(inspect(box.machine))).toEqual([]);
      for (const [state, list] of delegatedGranules(box.machine)) expect(list, state).toEqual([]);
      expect(box.host.pages.leaked).toBe(0);
    });
  }
}
