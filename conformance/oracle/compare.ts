/**
 * The comparison that every suite of the oracle makes: random sequences of instructions in the interpreter and in
 * qemu-aarch64. Registers, flags, FPSR and memory after each test must be equal.
 *
 * To add a suite, call `compare` with its rows (by `group`, or VECTOR_ROWS, INTEGER_ROWS of generate.ts), how often each
 * must run, and, for instructions on V registers, the operands: special values and FPCR settings (vectors.ts). One test
 * file for `npm test` with few instances, and a `*.slow.test.ts` with at least a thousand.
 *
 * ORACLE_SEED repeats a run, ORACLE_INSTANCES changes how often each row runs, ORACLE_ROW restricts the rows to those
 * whose name begins with it.
 */
import { expect } from "vitest";
import { disassemble } from "../../packages/machine/src/cpu/disassemble.js";
import { generateInterpreter } from "../../packages/machine/src/cpu/index.js";
import type { Row } from "../../packages/machine/src/cpu/rows/row.js";
import { generateTests, type Test, type VectorOperands, weighted } from "./generate.js";
import { buildProgram, OUTPUT, REGISTERS, windowAt } from "./image.js";
import { Random } from "./random.js";
import { type EngineMode, runEngine } from "./run-engine.js";
import { qemuVersion, runQemu } from "./run-qemu.js";

const SEED = Number(process.env.ORACLE_SEED ?? 1);
const PER_BODY = 12;
const BATCH = 2000;

const MODES: readonly EngineMode[] = [
  { name: "software TLB", tlb: true, slice: 1_000_000 },
  { name: "slow path, slices of 7 instructions", tlb: false, slice: 7 },
  { name: "translated", tlb: true, slice: 1_000_000, translated: true },
];

/** The words of a block of image.ts. */
const NAMES = [
  ...Array.from({ length: 31 }, (_, i) => `X${i}`),
  ...["SP", "NZCV", "FPSR"],
  ...Array.from({ length: 32 }, (_, i) => [`V${i} low half`, `V${i} high half`]).flat(),
];

export interface Suite {
  readonly rows: readonly Row[];
  /** How often each row runs at least. */
  readonly instances: number;
  /** For rows that use V registers. */
  readonly vectors?: VectorOperands;
}

export interface Coverage {
  /** How often each row ran, by its name. */
  readonly instances: ReadonlyMap<string, number>;
  /** Instructions retired in the first mode. */
  readonly retired: number;
}

/** What the tests are compared with, or undefined when it is not installed: then suites are skipped. */
export const oracle = qemuVersion();

/** Where two outputs of a program with `tests` tests differ: the first test, and what in it. */
function difference(tests: number, ours: Uint8Array, theirs: Uint8Array): { test: number; what: string } | undefined {
  if (Buffer.compare(ours, theirs) === 0) return undefined;
  const [a, b] = [ours, theirs].map((bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  for (let test = 0; test < tests; test++) {
    const register = NAMES.findIndex((_, i) => {
      const at = (test * REGISTERS + i) * 8;
      return a.getBigUint64(at, true) !== b.getBigUint64(at, true);
    });
    const value = (view: DataView) => view.getBigUint64((test * REGISTERS + register) * 8, true).toString(16);
    if (register >= 0) return { test, what: `${NAMES[register]} is ${value(a)}, expected ${value(b)}` };
    const start = windowAt(tests, test) - OUTPUT;
    const end = windowAt(tests, test + 1) - OUTPUT;
    for (let at = start; at < end; at++)
      if (ours[at] !== theirs[at])
        return {
          test,
          what: `memory at window + ${at - start} is ${ours[at].toString(16)}, expected ${theirs[at].toString(16)}`,
        };
  }
  return { test: -1, what: "outside the tests' results" };
}

/** The shortest beginning of the failing test's body that fails, as text. */
function localize(module: Uint8Array, tests: readonly Test[], failing: number, mode: EngineMode): string {
  for (let length = 1; length <= tests[failing].body.length; length++) {
    const body = tests[failing].body.slice(0, length);
    // With the tests before it, of which translated code may take in a part.
    const isNear = (i: number) => i < failing && i > failing - 4;
    const alone = tests.map((test, i) => ({ ...test, body: i === failing ? body : isNear(i) ? test.body : [] }));
    const program = buildProgram(alone, new Random(SEED));
    const found = difference(tests.length, runEngine(module, program, mode).output, runQemu(program));
    if (!found) continue;
    const words = body.map(({ word }) => disassemble(word(0x40_0000, 0x40_0000)));
    return `${found.what} after\n  ${words.join("\n  ")}`;
  }
  return "not reproduced alone";
}

/** Runs a suite; fails the test at the first difference, or when a row ran too seldom. */
export function compare(suite: Suite): Coverage {
  const only = process.env.ORACLE_ROW ?? "";
  const tested = suite.rows.filter(({ name }) => name.startsWith(only));
  const wanted = Number(process.env.ORACLE_INSTANCES ?? suite.instances);
  const random = new Random(SEED);
  const module = generateInterpreter();
  const instances = new Map(tested.map((row) => [row.name, 0]));
  const batches = Math.ceil(weighted(tested, wanted).length / PER_BODY / BATCH);
  const rows = weighted(tested, Math.ceil(wanted / batches));
  const count = Math.ceil(rows.length / PER_BODY);
  let retired = 0;
  for (let batch = 0; batch < batches; batch++) {
    const tests = generateTests(random, {
      rows,
      perBody: PER_BODY,
      windowOf: (index) => windowAt(count, index),
      vectors: suite.vectors,
    });
    expect(tests.length).toBe(count);
    const program = buildProgram(tests, random);
    const theirs = runQemu(program);
    for (const mode of MODES) {
      const { output, instructions, translated } = runEngine(module, program, mode);
      // What the tests begin with (FPCR, FPSR, NZCV) is always left to the interpreter.
      if (mode.translated) expect(translated).toBeGreaterThan(instructions / 3);
      if (mode.tlb) retired += instructions;
      const found = difference(tests.length, output, theirs);
      if (found) {
        const where = found.test < 0 ? "" : localize(module, tests, found.test, mode);
        expect.fail(`ORACLE_SEED=${SEED}, batch ${batch}, test ${found.test} (${mode.name}): ${found.what}\n${where}`);
      }
    }
    for (const { body } of tests)
      for (const { row } of body) if (row) instances.set(row.name, (instances.get(row.name) ?? 0) + 1);
  }
  const total = [...instances.values()].reduce((sum, n) => sum + n, 0);
  console.log([...instances].map(([name, n]) => `${String(n).padStart(6)}  ${name}`).join("\n"));
  console.log(`seed ${SEED}: ${instances.size} rows, ${total} instances, ${retired} instructions retired`);
  for (const [name, n] of instances) expect(n, name).toBeGreaterThanOrEqual(wanted);
  return { instances, retired };
}
