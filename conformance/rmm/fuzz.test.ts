/** Short campaigns; that equal seeds make equal runs; and that what is found is shrunk to a script that replays. */
import { Pas } from "@realmbox/abi";
import { generateInterpreter, type Pe, type SlotEvent } from "@realmbox/machine";
import { createRmm } from "@realmbox/rmm";
import { nodeCrypto } from "realmbox";
import { describe, expect, test } from "vitest";
import { type CampaignOptions, Coverage, formatScript, fuzz, parseScript, replay } from "./src/fuzz/index.js";

const common = { crypto: nodeCrypto, engine: generateInterpreter(), now: () => performance.now() };
const campaign = (options: Pick<CampaignOptions, "side" | "seed" | "calls" | "pes">) => fuzz({ ...common, ...options });

test.each([
  { side: "host", seed: 1, pes: 2, calls: 6_000, conditions: 130 },
  { side: "both", seed: 2, pes: 3, calls: 4_000, conditions: 90 },
  { side: "realm", seed: 3, pes: 1, calls: 3_000, conditions: 15 },
] as const)("$calls calls, hostile $side, seed $seed, $pes PEs: nothing found", ({ conditions, ...options }) => {
  const report = campaign(options);
  expect(report.failure).toBeUndefined();
  expect(report.calls).toBeGreaterThanOrEqual(options.calls);
  expect(Object.keys(report.conditions.reached).length).toBeGreaterThan(conditions);
  expect(report.outcomes["RMI_REC_ENTER RMI_SUCCESS"]).toBeGreaterThan(100);
  for (const state of ["realm NEW", "realm ACTIVE", "entry of level 3: ASSIGNED RAM", "granule REC_AUX"])
    expect(report.states[state], state).toBeGreaterThan(0);
});

test("equal seeds, equal runs", () => {
  const options = { side: "both", seed: 11, pes: 2, calls: 1_000 } as const;
  const [one, two] = [campaign(options), campaign(options)];
  expect({ ...one, time: 0 }).toEqual({ ...two, time: 0 });
});

test("conditions are those that the RMM declares", () => {
  expect(Coverage.declared()).toContain("RMI_RTT_CREATE rtte_state");
  expect(new Set(Coverage.declared()).size).toBe(Coverage.declared().length);
});

/** An RMM that writes over its keys after the 200th call. */
const spoiling: typeof createRmm = (options) => {
  const rmm = createRmm(options);
  let calls = 0;
  return {
    ...rmm,
    step(pe: Pe, event: SlotEvent) {
      const exit = rmm.step(pe, event);
      if (event.kind === "return" && ++calls > 200) pe.port(Pas.REALM).write64(KEYS, 1n);
      return exit;
    },
  };
};
const KEYS = 0x4010_3900n;

describe("a broken RMM", () => {
  const options = { side: "host", seed: 5, pes: 1, calls: 3000, createRmm: spoiling } as const;
  const { failure } = fuzz({ ...common, ...options, shrinking: 10_000 });

  test("is found", () => {
    expect(failure).toMatchObject({ invariant: "no unexplained change" });
    expect(failure!.script.operations.length).toBeLessThan(failure!.operations);
  });

  test("replays from text", () => {
    const script = parseScript(formatScript(failure!.script));
    expect(script).toEqual(failure!.script);
    const { outcome } = replay(script, { ...common, thorough: true, createRmm: spoiling });
    expect(outcome).toMatchObject({ kind: "violation", invariant: "no unexplained change" });
    expect(replay(script, { ...common, thorough: true }).outcome).toEqual({ kind: "done" });
  });
});

test.each([
  ["", "empty"],
  ["{}", "line 1"],
  ['{"realmbox-fuzz":1,"seed":1,"pes":9}', "line 1"],
  ['{"realmbox-fuzz":1,"seed":1,"pes":1}\n[1,["0x0"]]', "line 2"],
  ['{"realmbox-fuzz":1,"seed":1,"pes":1}\n[0,["1"],{},0]', "line 2"],
  ['{"realmbox-fuzz":1,"seed":1,"pes":1}\n[0,"read"', "line 2"],
])("a script that is none: %s", (text, problem) => {
  expect(() => parseScript(text)).toThrow(problem);
});
