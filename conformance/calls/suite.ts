/**
 * Every function identifier of the four interfaces (RMI, RSI, PSCI, RMM-EL3), their neighbours and random others, with
 * random arguments, from a Host, from an RMM, from a realm and from a normal VM: architected results only, no crash, no
 * hang, and in the end no granule is lost. All runs are their seed's.
 */
import { Gpi, RMI_FID } from "@realmbox/abi";
import { expect, test } from "vitest";
import { problems } from "../../packages/rmm/src/testing/invariants.js";
import { hostile, MiB, makeBox, makeGuest } from "../support/box.js";
import { delegatedGranules, gpiAt, inspect } from "../support/memory.js";
import { fuzzHost } from "./host-fuzz.js";
import { fuzzRmm } from "./rmm-fuzz.js";

/** Calls by caller and run. */
export interface Amounts {
  readonly host: number;
  readonly rmm: number;
  readonly realm: number;
  readonly vm: number;
  readonly seeds: readonly number[];
  /** Each RMI command must have succeeded at least once: the runs are long enough. */
  readonly everyCommand: boolean;
}

export function callSuite({ host, rmm, realm, vm, seeds, everyCommand }: Amounts): void {
  const number = (n: number) => n.toLocaleString("en-US");

  test.each(seeds)(`${number(host)} SMCs of a Host on two PEs, seed %i`, (seed) => {
    const { counts, problems: wrong, machine } = fuzzHost({ seed, calls: host, checkEvery: Math.ceil(host / 20) });
    expect(wrong).toEqual([]);
    for (const [state, list] of delegatedGranules(machine)) expect(list, state).toEqual([]);
    for (const pa of inspect(machine).granules()) {
      if (gpiAt(machine, pa) !== Gpi.NS) expect.fail(`the GPI of ${pa.toString(16)} is not Non-secure`);
    }
    const successful = Object.keys(RMI_FID).filter((name) => (counts[`${name} RMI_SUCCESS`] ?? 0) > 0);
    if (everyCommand) expect(successful).toEqual(Object.keys(RMI_FID));
    else expect(successful.length).toBeGreaterThan(15);
    expect(counts["RMI_REC_ENTER RMI_SUCCESS"]).toBeGreaterThan(host / 1000);
    for (const reason of ["SYNC", "IRQ"]) expect(counts[`exit RMI_EXIT_${reason}`], reason).toBeGreaterThan(0);
    expect(counts["not supported"]).toBeGreaterThan(host / 20);
  });

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
