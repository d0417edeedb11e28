/** Runs cases on a bench, and says of each what came of it. */
import type { Bench } from "../driver/index.js";
import type { CaseKind, ConformanceCase } from "./case.js";

export interface CaseResult {
  readonly id: string;
  readonly command: string;
  readonly kind: CaseKind;
  readonly result: "passed" | "failed" | "skipped";
  /** Why it failed or was skipped. */
  readonly message?: string;
  readonly citation: string;
  /** Conditions that the case claims. */
  readonly conditions: readonly string[];
}

/** Runs one case. Whatever the RMM does, also to its own invariants, is the case's result. */
export function runCase(bench: Bench, testCase: ConformanceCase): CaseResult {
  const { id, command, kind, citation, conditions, skip, run } = testCase;
  const about = { id, command, kind, citation, conditions };
  try {
    const why = skip && bench.play(skip);
    if (why !== undefined) return { ...about, result: "skipped", message: why };
    bench.play(run);
    const missing = bench.namesConditions ? conditions.filter((condition) => !returned(bench, condition)) : [];
    if (missing.length === 0) return { ...about, result: "passed" };
    return { ...about, result: "failed", message: `nothing was refused by ${missing.join(", ")}` };
  } catch (error) {
    return { ...about, result: "failed", message: messageOf(error) };
  }
}

const returned = ({ refusals }: Bench, id: string): boolean =>
  refusals.some(({ command, condition }) => `${command}/${condition}` === id);

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const known = ["CheckFailed", "CallRefused", "PlayStopped", "UnexpectedExit", "Error"];
  return known.includes(error.name) ? error.message : `${error.name}: ${error.message}`;
}
