/**
 * Why an access failed. A value, never an exception: guests and hosts cause it. ESR is built from it in one function.
 * DDI 0487, "ISS encoding for an exception from a Data Abort"; "GPC faults".
 */
import type { Pas } from "@realmbox/abi";

export type FaultKind =
  | "translation"
  | "access-flag"
  | "permission"
  | "address-size"
  | "alignment"
  | "unsupported-atomic" // an exclusive or atomic access to a device
  | "external" // nothing answers at the physical address
  | "granule-protection" // the GPI forbids the PAS
  | "gpt-walk" // invalid GPT entry or GPCCR_EL3
  | "gpt-address-size"
  | "gpt-external";

export interface Fault {
  readonly fault: FaultKind;
  /** 1 or 2: the stage of translation that failed; 0: the physical access itself, after translation. */
  readonly stage: 0 | 1 | 2;
  /** Translation table level; 0 when no translation took part. */
  readonly level: number;
  /** For granule-protection and gpt-* faults: the GPT level that refused. */
  readonly gptLevel?: number;
  /** The fault was on a table access: of stage 1 through stage 2 (S1PTW), or of this stage itself. */
  readonly onWalk: boolean;
  readonly s1ptw: boolean;
  /** For stage-2 faults: the IPA that failed. */
  readonly ipa?: bigint;
  /** For external and granule faults: where. */
  readonly pa?: bigint;
  readonly pas?: Pas;
}

/** Whether a port's answer is a refusal. Bytes are told apart first: `in` looks through their prototypes (15 ns). */
export const isFault = (value: unknown): value is Fault =>
  typeof value === "object" && value !== null && !(value instanceof Uint8Array) && "fault" in value;
