import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { fuzzCommand } from "./fuzz.js";
import { UsageError } from "./usage.js";

vi.mock("./output.js", () => ({
  print: (text: string) => printed.push(text),
  printJson: (value: object) => json.push(value),
}));
const printed: string[] = [];
const json: object[] = [];

const flags = { calls: "400", seed: "7", pes: "1" };

test("a campaign in which nothing is found", () => {
  expect(fuzzCommand("host", flags)).toBe(0);
  expect(printed.at(-1)).toMatch(/^fuzz host, seed 7, 1 PEs: \d+ calls in (.|\n)*nothing found\n$/);
  expect(fuzzCommand("host", { ...flags, json: true })).toBe(0);
  expect(json.at(-1)).toMatchObject({ side: "host", seed: 7, pes: 1, failure: undefined });
}, 240_000);

test("a script is replayed", () => {
  const script = join(mkdtempSync(join(tmpdir(), "fuzz-")), "one.script");
  writeFileSync(
    script,
    '{"realmbox-fuzz":1,"seed":1,"pes":1}\n[0,["0xc4000151","0x80000000"],{},0]\n[0,"read","0x80000000"]\n',
  );
  expect(fuzzCommand("host", { ...flags, script })).toBe(0);
  expect(printed.at(-1)).toBe("nothing found in 2 operations\n");
}, 240_000);

test.each([
  ["nobody", {}],
  ["host", { calls: "0" }],
  ["host", { calls: "many" }],
  ["host", { pes: "5" }],
  ["host", { seed: "-1" }],
  ["host", { time: "soon" }],
  ["host", { script: "/nowhere" }],
])("fuzz %s %o is refused", (side, more) => {
  expect(() => fuzzCommand(side, { ...flags, ...more })).toThrow(UsageError);
});
