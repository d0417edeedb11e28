/** `realmbox bench`, with so little work that its figures mean nothing: tables, the document of --json, wrong options. */
import { expect, test } from "vitest";
import { realmbox, temporaryFolder } from "../../../../conformance/support/cli.js";

const cwd = temporaryFolder("bench");
const bench = (line: string) => realmbox(["bench", ...line.split(" ")], { cwd });
const quick = "--rounds 1 --scale 0.001 --no-qemu";

test("a row of the classes, as text", async () => {
  const { code, stdout } = await bench(`classes --only calls --jit off ${quick}`);
  expect(stdout).toMatch(/^ {2}calls +[\d.]+ +[\d.,]+$/m);
  expect(code).toBe(0);
});

test("the document alone on stdout; rows that are not asked for are not there", async () => {
  const { code, stdout } = await bench(`classes rmm --only svc,rsi,delegate --json ${quick}`);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({
    schemaVersion: 2,
    rounds: 1,
    classes: [{ name: "SVC + ERET", must: 4, aim: 9, parts: [{ name: "svc", count: 500 }] }],
  });
  expect(report.rmm.map(({ name }: { name: string }) => name)).toEqual(["delegate", "rsi"]);
  for (const { median } of report.rmm) expect(median).toBeGreaterThan(0);
  expect(code).toBe(0);
});

test.each([
  ["tables", /there is no table 'tables'; classes, /],
  ["classes --only fib", /--only fib: there is none; integer, /],
  ["--rounds 0", /--rounds 0/],
  ["--scale x", /--scale x/],
  ["--jit fast", /--jit fast/],
  ["--nothing", /Unknown option '--nothing'/],
])("wrong: %s", async (line, said) => {
  const { code, stderr } = await bench(line);
  expect(stderr).toMatch(said);
  expect(code).toBe(125);
});
