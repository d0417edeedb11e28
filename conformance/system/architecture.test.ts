/** What the architecture says where QEMU cannot be asked: each outcome is written beside its access. */
import { expect, test } from "vitest";
import { architectureCases } from "./cases/architecture.js";
import { debugArchitectureCases } from "./cases/debug-architecture.js";
import { granuleCases } from "./cases/granules.js";
import { Expecting } from "./expecting.js";
import { explain } from "./explain.js";
import { Program } from "./program.js";
import { runMachine } from "./run-machine.js";

const cases = [...architectureCases, ...granuleCases, ...debugArchitectureCases];

const program = new Program();
const bench = new Expecting(program);
program.begin(0);
bench.initialize();
for (const [at, { name, run }] of cases.entries()) {
  bench.beginNamed(at, name);
  run(bench);
}
const values = new Map<string, bigint>();

test("the image comes to its end", () => {
  const output = runMachine(program);
  for (const [i, { name }] of program.fields.entries()) values.set(name, output[i]);
});

test.each(cases.map(({ name }) => name))("%s", (name) => {
  const expectations = bench.expectations.filter(({ field }) => field.startsWith(`${name}, step `));
  expect(expectations.length).toBeGreaterThan(0);
  const wrong = expectations.flatMap(({ field, value, mask }) => {
    const found = values.get(field);
    if (found === undefined) return [`${field} is not noted`];
    return (found & mask) === value ? [] : [`${field}: ${explain(field, found)}, expected ${explain(field, value)}`];
  });
  expect(wrong.join("\n")).toBe("");
});
