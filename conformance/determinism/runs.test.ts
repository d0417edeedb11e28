/** Two runs with the same inputs are the same run: every event of the trace, the console, the token, the final memory. */

import type { VmConfig } from "realmbox";
import { describe, expect, test } from "vitest";
import { hostile, small } from "../support/box.js";
import { contentOf } from "../support/memory.js";
import { type TracedRun, tracedRun } from "../support/run.js";

const guests: readonly (readonly [string, VmConfig])[] = [
  ["hello", small("hello")],
  ["smp with 4 vCPUs", small("smp", 4)],
  ["rsi-check", small("rsi-check")],
  ["hostile case=fuzz", hostile("fuzz", { calls: 500, seed: 3 })],
];

/** Everything that a run leaves behind. */
function remains({ box, guest, end, lines }: TracedRun) {
  const { board, counters, now } = box.machine;
  return {
    end,
    lines,
    console: guest.console,
    token: guest.token && Buffer.from(guest.token).toString("hex"),
    now,
    counters: structuredClone(counters),
    memory: contentOf(box.machine, [board.root, board.realm, ...board.dram]),
  };
}

describe.each(guests)("%s", (_, config) => {
  test.each([
    ["as a realm", true],
    ["as a normal VM", false],
  ])("%s", (_as, realm) => {
    const pes = config.cpus ?? 1;
    const first = remains(tracedRun({ ...config, realm }, { pes }));
    const second = remains(tracedRun({ ...config, realm }, { pes }));
    expect(first.end).toEqual({ kind: "exit", status: 0 });
    expect(first.lines.length).toBeGreaterThan(realm ? 500 : 10);
    expect(second).toEqual(first);
  });
});

test("the limits of the single runs make no difference", () => {
  const config = { ...small("smp", 4), realm: true };
  const whole = tracedRun(config, { pes: 4 });
  const pieces = tracedRun(config, { pes: 4 }, {}, { checkEvery: 997 });
  expect(pieces.lines).toEqual(whole.lines);
  expect(pieces.box.machine.now).toBe(whole.box.machine.now);
});

test("another seed is another run: keys and tokens differ", () => {
  const config = { ...small("hello"), realm: true };
  const [one, other] = [tracedRun(config, { seed: 1n }), tracedRun(config, { seed: 2n })];
  expect(Buffer.from(one.guest.token!).equals(other.guest.token!)).toBe(false);
  expect(one.box.identity.cpak).not.toEqual(other.box.identity.cpak);
});

describe("with an interleaving of PEs", () => {
  const config = { ...small("smp", 4), realm: true };
  const seeds = [1n, 2n, 3n];

  test("every seed is a run that repeats, and comes to the same end", () => {
    const runs = seeds.map((interleave) => remains(tracedRun(config, { pes: 4, interleave })));
    for (const run of runs) expect(run.end).toEqual({ kind: "exit", status: 0 });
    expect(remains(tracedRun(config, { pes: 4, interleave: seeds[0] }))).toEqual(runs[0]);
    expect(new Set(runs.map(({ lines }) => lines.join("\n"))).size).toBe(seeds.length);
  });

  test("the limits of the single runs make no difference", () => {
    const whole = tracedRun(config, { pes: 4, interleave: 4n });
    const pieces = tracedRun(config, { pes: 4, interleave: 4n }, {}, { checkEvery: 997 });
    expect(pieces.lines).toEqual(whole.lines);
    expect(pieces.box.machine.now).toBe(whole.box.machine.now);
  });
});
