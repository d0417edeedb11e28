/** The machinery of the comparison: an RMM equals itself, and each way in which one can differ is found and decided. */
import {
  Bench,
  compareRmms,
  differences,
  type Recording,
  RULES,
  randomScripts,
  record,
  ruleFor,
} from "@realmbox/conformance";
import { nodeCrypto } from "realmbox";
import { expect, test } from "vitest";

const benches = () => ({ own: new Bench({ crypto: nodeCrypto }), other: new Bench({ crypto: nodeCrypto }) });

test("an RMM does not differ from itself, and its random calls get somewhere", () => {
  const { own, other } = benches();
  const comparison = compareRmms({ own, other }, randomScripts([1, 2, 3], 100));
  expect(comparison.differences).toEqual([]);
  expect(comparison.calls).toBeGreaterThan(300);
  const [one] = randomScripts([5], 200);
  const { calls, error } = record(own, one!.script);
  expect(error).toBeUndefined();
  const of = (status: string) => calls.filter((call) => call.status === status).length;
  expect(of("RMI_SUCCESS")).toBeGreaterThan(40);
  expect(of("RMI_ERROR_INPUT")).toBeGreaterThan(20);
  expect(of("RMI_ERROR_RTT")).toBeGreaterThan(5);
  expect(calls.some(({ exit }) => exit !== undefined)).toBe(true);
});

test("a status, an output, an exit's field and the end of a script count", () => {
  const call = {
    command: "RMI_REC_ENTER",
    args: [1n, 2n],
    status: "RMI_SUCCESS",
    index: 0,
    out: [0n, 0n, 0n, 0n],
    exit: { exit_reason: 0n, esr: 5n },
  } as const;
  const recording = (change: object, error?: string): Recording => ({ calls: [{ ...call, ...change }], error });
  const fieldsOf = (second: Recording) =>
    differences("script", recording({}), second).flatMap(({ fields }) => fields.map(({ field }) => field));
  expect(fieldsOf(recording({}))).toEqual([]);
  expect(fieldsOf(recording({ status: "RMI_ERROR_REC", exit: undefined }))).toEqual(["X0"]);
  expect(fieldsOf(recording({ index: 1 }))).toEqual(["X0"]);
  expect(fieldsOf(recording({ out: [0n, 0n, 3n, 0n] }))).toEqual(["X3"]);
  expect(fieldsOf(recording({ exit: { exit_reason: 0n, esr: 6n } }))).toEqual(["esr"]);
  expect(fieldsOf(recording({ exit: { exit_reason: 1n, esr: 5n } }))).toEqual(["X0"]);
  expect(fieldsOf(recording({}, "failed"))).toEqual(["end"]);
  // Another call in its place is another script: nothing to compare.
  expect(fieldsOf(recording({ args: [1n, 3n] }))).toEqual([]);
});

test("rules have names of their own and cite; what none of them says is unknown", () => {
  expect(new Set(RULES.map(({ name }) => name)).size).toBe(RULES.length);
  for (const { citation, rule } of RULES) {
    expect(citation).toMatch(/^(DEN0137 1\.0-rel0|DDI 0487), "/);
    expect(rule).toMatch(/\.$/);
  }
  const difference = (command: "RMI_DATA_CREATE" | "RMI_REC_AUX_COUNT", field: string) => ({
    script: "script",
    at: 0,
    command,
    args: [],
    fields: [{ field, first: "0x2", second: "0x10" }],
    about: "RMI_SUCCESS",
  });
  expect(ruleFor(difference("RMI_REC_AUX_COUNT", "X1"))?.name).toBe("aux_count");
  expect(ruleFor(difference("RMI_REC_AUX_COUNT", "X2"))).toBeUndefined();
  expect(ruleFor(difference("RMI_DATA_CREATE", "X1"))).toBeUndefined();
});
