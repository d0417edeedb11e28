/** Runs cases on machines, and says of each what came of it. */
import { baseBoard, generateInterpreter } from "@realmbox/machine";
import { Bench, type BenchOptions } from "../driver/index.js";
import { type CaseKind, type ConformanceCase, type MachineKind, SECURE_GRANULE } from "./case.js";

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
  /** It failed by an error of the RMM's own, or of the machine's. */
  readonly crashed?: true;
}

/** What the machines of a run have in common. */
export type RunOptions = Pick<BenchOptions, "crypto" | "rmm" | "engine" | "board">;

/** The machines of a run, made when a case first needs them. */
export class Benches {
  private readonly options: RunOptions & { readonly engine: Uint8Array };
  private readonly made = new Map<MachineKind, Bench>();

  constructor(options: RunOptions) {
    this.options = { ...options, engine: options.engine ?? generateInterpreter() };
  }

  get(kind: MachineKind): Bench {
    let bench = this.made.get(kind);
    if (!bench) {
      bench = new Bench({ ...this.options, ...this.machineOptions(kind) });
      this.made.set(kind, bench);
    }
    return bench;
  }

  private machineOptions(kind: MachineKind): Partial<BenchOptions> {
    const { rmm, board = baseBoard({ peCount: 2, dramSize: 64n << 20n }) } = this.options;
    switch (kind) {
      case "default":
        return { board };
      case "long-turns":
        return { board, interleave: 0n, ...(rmm?.kind !== "binary" && { clockMax: 200_000_000 }) };
      case "large-platform-token":
        return { board, configs: LARGE_CONFIGS };
      case "secure-memory":
        return { board: { ...board, fixed: [...(board.fixed ?? []), SECURE_MEMORY] } };
    }
  }
}

const SECURE_MEMORY = { name: "Secure DRAM", base: SECURE_GRANULE, size: 0x1_0000n, pas: "secure" } as const;

/** Names of configurations are part of the platform token: these make it larger than the RMM has room for. */
const LARGE_CONFIGS = Array.from({ length: 6 }, (_, n) => ({
  name: `CONFIG_${n}_${"X".repeat(430)}`,
  data: Uint8Array.of(n),
}));

/** Runs one case. Whatever the RMM does, also to its own invariants, is the case's result. */
export function runCase(benches: Benches, testCase: ConformanceCase): CaseResult {
  const { id, command, kind, citation, conditions, machine = "default", skip, run } = testCase;
  const about = { id, command, kind, citation, conditions };
  try {
    const bench = benches.get(machine);
    const why = skip && bench.play(skip);
    if (why !== undefined) return { ...about, result: "skipped", message: why };
    bench.play(run);
    const missing = bench.namesConditions ? conditions.filter((condition) => !returned(bench, condition)) : [];
    if (missing.length === 0) return { ...about, result: "passed" };
    return { ...about, result: "failed", message: `nothing was refused by ${missing.join(", ")}` };
  } catch (error) {
    const crashed = isFinding(error) ? {} : ({ crashed: true } as const);
    return { ...about, result: "failed", message: messageOf(error), ...crashed };
  }
}

const returned = ({ refusals }: Bench, id: string): boolean =>
  refusals.some(({ command, condition }) => `${command}/${condition}` === id);

/** Errors by which a case says what the RMM did: the others are the RMM's own, or the machine's. */
const FINDINGS: readonly string[] = ["CheckFailed", "CallRefused", "PlayStopped", "UnexpectedExit", "HostError"];
const isFinding = (error: unknown): boolean => error instanceof Error && FINDINGS.includes(error.name);

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return isFinding(error) ? error.message : `${error.name}: ${error.message}`;
}
