/**
 * Whole runs are the same run with the translator off, at once, soon and seldom: every event of the trace, console, token,
 * clock, counters, and the final memory.
 */

import type { VmConfig } from "realmbox";
import { expect } from "vitest";
import { contentOf } from "../support/memory.js";
import { type TracedRun, tracedRun } from "../support/run.js";
import type { Jit } from "./machine.js";

/** Everything that a run leaves behind. */
export function remains({ box, guest, end, lines }: TracedRun) {
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

/** Fails unless the guest's run is the same without the translator and with each of these thresholds. */
export function expectOneRun(config: VmConfig, thresholds: readonly Jit[], interleave = 0n): void {
  const run = (jit: Jit) => tracedRun(config, { pes: config.cpus ?? 1, jit, interleave });
  const interpreted = run("off");
  expect(interpreted.box.machine.translator).toBeUndefined();
  const expected = remains(interpreted);
  expect(expected.end).toEqual({ kind: "exit", status: 0 });
  for (const jit of thresholds) {
    const translated = run(jit);
    expect({ jit, ...remains(translated) }).toEqual({ jit, ...expected });
    // The usual threshold is more than a short run reaches anywhere.
    if (jit !== "on")
      expect(translated.box.machine.translator!.translatedInstructions, `jit ${jit}`).toBeGreaterThan(0);
  }
}
