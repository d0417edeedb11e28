/** Compiled numeric code in the interpreter and in qemu-aarch64: every result, bit for bit. */
import { expect, test } from "vitest";
import { generateInterpreter } from "../../packages/machine/src/cpu/index.js";
import { oracle } from "./compare.js";
import { compile, compilerVersion } from "./programs.js";
import { runEngine } from "./run-engine.js";
import { runQemu } from "./run-qemu.js";

const STRICT = ["-frounding-math", "-fno-math-errno"];

test.skipIf(oracle === undefined || compilerVersion() === undefined).each([
  ["-O0", ...STRICT],
  ["-O2", ...STRICT],
  ["-O3", ...STRICT, "-ffp-contract=off"],
  ["-O3", "-ffast-math", "-fno-finite-math-only"],
])("numeric.c with %s %s %s", (...options) => {
  const program = compile("numeric", options);
  const mode = { name: "software TLB", tlb: true, slice: 1_000_000 };
  const ours = runEngine(generateInterpreter(), program, mode);
  const theirs = runQemu(program);
  const words = (bytes: Uint8Array) => [...new BigUint64Array(bytes.slice().buffer)].map((word) => word.toString(16));
  const [a, b] = [words(ours.output), words(theirs)];
  expect(
    a.flatMap((word, i) => (word === b[i] ? [] : [`result ${i}: ${word}, expected ${b[i]}`])).slice(0, 20),
  ).toEqual([]);
  expect(ours.instructions).toBeGreaterThan(100_000);
});
