/** A comparison as a table: one row per rule, with the calls that differ by it, and every difference that is unknown. */
import type { Difference } from "./compare.js";
import type { Right } from "./rules.js";
import type { Comparison } from "./run.js";

export interface RuleRow {
  readonly name: string;
  readonly right: Right;
  readonly rule: string;
  readonly citation: string;
  /** How often, and where first. */
  readonly count: number;
  readonly example: string;
}

/** One row per rule that decided something, in order of appearance. */
export function ruleRows({ differences }: Comparison): RuleRow[] {
  const rows = new Map<string, RuleRow>();
  for (const { difference, rule } of differences) {
    if (rule === undefined) continue;
    const { name, right, rule: text, citation } = rule;
    const row = rows.get(name) ?? { name, right, rule: text, citation, count: 0, example: differenceText(difference) };
    rows.set(name, { ...row, count: row.count + 1 });
  }
  return [...rows.values()];
}

/** The script, the call, and each field as both RMMs gave it. */
export function differenceText({ script, at, command, args, fields }: Difference): string {
  const values = args.map((arg) => `0x${arg.toString(16)}`).join(", ");
  const shown = fields.map(({ field, first, second }) => `${field} ${first} / ${second}`);
  return `${script} call ${at}: ${command}(${values}): ${shown.join("; ")}`;
}

const RIGHT_TEXT: Readonly<Record<Right, string>> = { own: "realmbox", other: "the image", both: "both" };

export function comparisonText(comparison: Comparison): string {
  const { scripts, calls, differences, unknown } = comparison;
  const rows = ruleRows(comparison).flatMap(({ name, right, rule, citation, count, example }) => [
    `${name} (${count}): right is ${RIGHT_TEXT[right]}`,
    `  ${rule}`,
    `  ${citation}`,
    `  ${example}`,
  ]);
  const unexplained = differences.flatMap(({ difference, rule }) =>
    rule === undefined ? [`UNKNOWN ${differenceText(difference)}`] : [],
  );
  return [
    ...rows,
    ...unexplained,
    `${scripts} scripts, ${calls} calls on both; ${differences.length} differ, ${unknown} of them by no known rule`,
  ].join("\n");
}
