/**
 * What a conformance case is. Cases are written from DEN0137 1.0-rel0; a case knows nothing of the RMM that it runs on but
 * its interface, and the ids of conditions when the RMM tells them.
 */
import type { Host, Script } from "../driver/index.js";

export const CASE_KINDS = ["failure", "order", "effect"] as const;
/** A failure condition; two of them at once, of which the document says which is reported; what a command does. */
export type CaseKind = (typeof CASE_KINDS)[number];

export interface ConformanceCase {
  /** "RMI_DATA_CREATE/src_align", "RMI_DATA_CREATE/order/rd_state<rtt_walk", "RMI_DATA_CREATE/effect/entry". */
  readonly id: string;
  /** The command, or the part of the document, that the case is about. */
  readonly command: string;
  readonly kind: CaseKind;
  /** Where the rule is written. */
  readonly citation: string;
  /** What holds before the call, or what is done, in a sentence. */
  readonly preconditions: string;
  /** Conditions that must have refused a call in this case: "RMI_DATA_CREATE/src_align". */
  readonly conditions: readonly string[];
  /** The machine that the case needs; `default` when absent. */
  readonly machine?: MachineKind;
  /** Why the case makes no sense on this RMM: what it does not offer, or what the machine lacks. */
  readonly skip?: (host: Host) => Script<string | undefined>;
  /** Throws when the RMM does otherwise than the rule says. */
  readonly run: (host: Host) => Script;
}

/**
 * Machines that cases run on.
 * - default: PEs interleave in short turns
 * - long-turns: a Realm's call is rarely cut short, as signing needs it
 * - large-platform-token: so many measured configurations that a token does not fit its granule
 * - secure-memory: a part of the DRAM that the RMM knows is in the Secure PAS
 */
export type MachineKind = "default" | "long-turns" | "large-platform-token" | "secure-memory";

/** A granule of the machine `secure-memory` that is in the Secure PAS. */
export const SECURE_GRANULE = 0x8010_0000n;

/** The document that the headings of citations are in. */
export const DEN0137 = "DEN0137 1.0-rel0";

/** Makes a family's effects out of a table: id, what is done, where it is written, how. */
export function effects(
  command: string,
  citation: string,
  table: Readonly<
    Record<string, readonly [preconditions: string, run: (host: Host) => Script, options?: EffectOptions]>
  >,
): ConformanceCase[] {
  return Object.entries(table).map(([name, [preconditions, run, options]]) => ({
    id: `${command}/effect/${name}`,
    command,
    kind: "effect",
    citation: `${DEN0137}, "${options?.citation ?? citation}"`,
    preconditions,
    conditions: options?.conditions ?? [],
    ...(options?.skip && { skip: options.skip }),
    ...(options?.machine && { machine: options.machine }),
    run,
  }));
}

export interface EffectOptions {
  readonly citation?: string;
  readonly conditions?: readonly string[];
  readonly machine?: MachineKind;
  readonly skip?: (host: Host) => Script<string | undefined>;
}
