/**
 * Which conditions the cases have exercised, and which of them are proven needed: deleting the check from the RMM made a
 * case fail (`npm run mutate`).
 */
import { PSCI_FUNCTIONS, PSCI_UNKNOWN, RMI_COMMANDS, RSI_COMMANDS } from "@realmbox/rmm";
import type { CaseResult } from "./run.js";

/** How the deletion of a check was noticed. */
export type Caught = "behaviour" | "id" | "crash" | "hang";

/** What `npm run mutate` has found. */
export interface Proof {
  /** SHA-256 of the sources that it holds for. */
  readonly digest: string;
  /** Mutants that no case has caught. */
  readonly missed: readonly string[];
  /** By mutant: "RMI_X/condition", or "RMI_X/condition#2" for the second of several checks. */
  readonly mutants: Readonly<Record<string, { readonly how: Caught; readonly by?: string }>>;
}

/** Every condition that the RMM declares: "RMI_DATA_CREATE/src_align". */
export const CONDITIONS: readonly string[] = [
  ...RMI_COMMANDS,
  ...RSI_COMMANDS,
  ...PSCI_FUNCTIONS,
  PSCI_UNKNOWN,
].flatMap(({ name, conditions }) => conditions.map((condition) => `${name}/${condition}`));

export interface UnreachableCondition {
  readonly id: string;
  readonly reason: string;
}

const NO_MEMORY_THERE =
  "without LPA2 the address must be below 2^48; only DRAM is delegable, and the largest board has 48 bits of physical address, " +
  "so that data_bound or rtt_bound refuses every address from 2^48 on first: RMI_DATA_CREATE/data_bound/beyond_pa, " +
  "RMI_DATA_CREATE_UNKNOWN/data_bound/beyond_pa, RMI_RTT_CREATE/rtt_bound/beyond_pa";

/** Conditions that cannot occur on a machine. */
export const UNREACHABLE_CONDITIONS: readonly UnreachableCondition[] = [
  { id: "RMI_DATA_CREATE/data_bound2", reason: NO_MEMORY_THERE },
  { id: "RMI_DATA_CREATE_UNKNOWN/data_bound2", reason: NO_MEMORY_THERE },
  { id: "RMI_RTT_CREATE/rtt_bound2", reason: NO_MEMORY_THERE },
];

export interface ConditionCoverage {
  readonly id: string;
  /** Cases that passed and in which the RMM returned the condition. */
  readonly cases: readonly string[];
  /** How the deletion of each of its checks was noticed; empty when it was not tried, or not noticed. */
  readonly proven: readonly Caught[];
}

export interface ConformanceCoverage {
  readonly conditions: number;
  readonly covered: number;
  /** Conditions without a passing case, or without proof; which, is said in `details`. */
  readonly missing: readonly string[];
  readonly unreachable: readonly UnreachableCondition[];
  readonly details: readonly ConditionCoverage[];
}

export function coverageOf(results: readonly CaseResult[], proof: Proof): ConformanceCoverage {
  const passed = results.filter(({ result }) => result === "passed");
  const details = CONDITIONS.map((id): ConditionCoverage => {
    const cases = passed.filter(({ conditions }) => conditions.includes(id)).map((one) => one.id);
    const isOf = (key: string) => key === id || key.startsWith(`${id}#`);
    const missed = proof.missed.some(isOf);
    const proven = Object.entries(proof.mutants).flatMap(([key, { how }]) => (isOf(key) && !missed ? [how] : []));
    return { id, cases, proven };
  });
  const unreachable = new Set(UNREACHABLE_CONDITIONS.map(({ id }) => id));
  const reachable = details.filter(({ id }) => !unreachable.has(id));
  const missing = reachable
    .filter(({ cases, proven }) => cases.length === 0 || proven.length === 0)
    .map(({ id }) => id);
  return {
    conditions: CONDITIONS.length,
    covered: reachable.length - missing.length,
    missing,
    unreachable: UNREACHABLE_CONDITIONS,
    details,
  };
}
