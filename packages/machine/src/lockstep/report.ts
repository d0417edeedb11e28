/** What a lockstep run says, for people. */
import type { LockstepDifference, LockstepResult } from "./lockstep.js";

const count = (n: number): string => n.toLocaleString("en-US");

/** The report as text; `repeat` is how to see the same again. */
export function lockstepText(result: LockstepResult, repeat: string): string {
  const { clock, comparisons, end, difference } = result;
  if (difference !== undefined) return differenceText(difference, repeat);
  const why = end === undefined ? "the limit" : end;
  return `interpreter and translator are equal up to count ${count(clock)} (${why}): ${count(comparisons)} comparisons\n`;
}

function differenceText({ clock, equalAt, differences, executed }: LockstepDifference, repeat: string): string {
  const last = executed.at(-1);
  const where = last === undefined ? "" : `, PE ${last.pe} at ${last.level}, PC 0x${last.pc.toString(16)}`;
  const columns = ["", "interpreter", "translator"] as const;
  const rows = differences.map(({ what, interpreter, translator }) => [what, interpreter, translator] as const);
  const table = [columns, ...rows];
  const widths = [0, 1].map((column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = [
    `interpreter and translator differ at count ${clock}${where}; equal at ${equalAt}`,
    ...table.map(([what, a, b]) => `  ${what.padEnd(widths[0]!)}  ${a.padEnd(widths[1]!)}  ${b}`.trimEnd()),
  ];
  if (executed.length > 0) lines.push("executed before, by the interpreter:");
  let level = "";
  for (const one of executed) {
    const now = `PE ${one.pe} ${one.level}`;
    if (now !== level) lines.push(`  ${now}`);
    level = now;
    lines.push(`  ${String(one.clock).padStart(12)}  ${one.pc.toString(16).padStart(16, "0")}  ${one.text ?? "…"}`);
  }
  lines.push(`repeat: ${repeat}`);
  return `${lines.join("\n")}\n`;
}
