/** Runs a table of cases on both machines and lists the differences, field by field. */
import { type Allowance, Bench, type Case } from "./case.js";
import { explain } from "./explain.js";
import { Program } from "./program.js";
import { runMachine } from "./run-machine.js";
import { type Cpu, runQemu } from "./run-qemu.js";

export interface Built {
  readonly program: Program;
  readonly cases: readonly Case[];
  readonly allowances: readonly (readonly Allowance[])[];
}

export function build(cases: readonly Case[]): Built {
  const program = new Program();
  const bench = new Bench(program);
  program.begin(0);
  bench.initialize();
  const allowances = cases.map((one, at) => {
    bench.begin(at);
    one.run(bench);
    return [...bench.allowances];
  });
  return { program, cases, allowances };
}

export interface Difference {
  readonly name: string;
  readonly lines: readonly string[];
}

export interface Outcome {
  readonly cases: number;
  readonly fields: number;
  readonly differences: readonly Difference[];
}

/** Differences of our output from what is expected: QEMU's, but for the allowances. */
export function compare({ program, cases, allowances }: Built, ours: BigUint64Array, theirs: BigUint64Array): Outcome {
  const lines = new Map<number, string[]>();
  program.fields.forEach(({ at, name, compared: isCompared }, i) => {
    if (!isCompared) return;
    let expected = theirs[i];
    let compared = (1n << 64n) - 1n;
    for (const allowance of allowances[at]) {
      if (!allowance.field.test(name) || allowance.when?.(theirs[i]) === false) continue;
      const mask = allowance.mask ?? (1n << 64n) - 1n;
      if (allowance.expect === undefined) compared &= ~mask;
      else expected = (expected & ~mask) | (allowance.expect & mask);
    }
    if (((ours[i] ^ expected) & compared) === 0n) return;
    const list = lines.get(at) ?? [];
    lines.set(at, list);
    list.push(`${name}: ours ${explain(name, ours[i])}, expected ${explain(name, expected)}`);
  });
  return {
    cases: cases.length,
    fields: program.fields.filter((field) => field.compared).length,
    differences: [...lines].map(([at, list]) => ({ name: cases[at].name, lines: list })),
  };
}

/** Runs the cases of one CPU on QEMU and on ours. */
export async function runSuite(cases: readonly Case[], cpu: Cpu): Promise<Outcome> {
  const built = build(cases);
  const theirs = await runQemu(built.program, cpu, cases[0].counted);
  return compare(built, runMachine(built.program), theirs);
}

export const report = ({ differences }: Outcome, most = 40): string =>
  [
    `${differences.length} cases differ`,
    ...differences.slice(0, most).map(({ name, lines }) => `${name}\n    ${lines.join("\n    ")}`),
  ].join("\n");
