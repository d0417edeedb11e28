/**
 * What a row of the system register tables says: the encoding, where the value lives or what an access does, and who may
 * access it. DDI 0487, "AArch64 System Register Descriptions": each register's "Accessibility" pseudocode.
 */
import type { RegName } from "../cpu/state.js";
import type { Processor } from "../processor.js";

/** op0, op1, CRn, CRm, op2. */
export type Encoding = readonly [op0: number, op1: number, crn: number, crm: number, op2: number];

/** The encoding as 16 bits: what bits 20:5 of MRS and MSR hold, with op0 whole. */
export const encodingKey = ([op0, op1, crn, crm, op2]: Encoding): number =>
  (op0 << 14) | (op1 << 11) | (crn << 7) | (crm << 3) | op2;

/** What an access meets: nothing, the UNDEFINED exception, or a trap with EC 0x18 to an EL. */
export const OK = 0;
export const UNDEFINED = -1;
export type Check = typeof OK | typeof UNDEFINED | 1 | 2 | 3 | FpTrap;

/** FP and SIMD are disabled: EC 0x07 to an EL, or EC 0 to EL2 (from an EL0 without an EL1 that could have enabled them). */
export const FP_TRAP = { EL1: 4, EL2: 5, EL3: 6, UNKNOWN_EL2: 7 } as const;
export type FpTrap = (typeof FP_TRAP)[keyof typeof FP_TRAP];

/** A condition under which an access is refused; the first refusal counts. Called with the EL of the access. */
export type Rule = (pe: Processor, el: number, write: boolean) => Check;

/** What a write changes beside the register; the machine brings it up to date before the next instruction. */
export const Effect = {
  NONE: 0,
  /** Translation: the current context is found again. */
  CONTEXT: 1,
  /** Interrupt signals and masks alone: DAIF, the GIC's registers. */
  SIGNALS: 2,
  /** Timers. */
  TIMER: 3,
  /** What the engine checks at a level: whether FP and SIMD trap, whether EL0 may read a counter. */
  CHECKS: 5,
  /** Self-hosted debug: what is watched, and whether software step is active. */
  DEBUG: 6,
  /** Performance monitors: what counts, and the overflow interrupt. */
  PMU: 7,
  /** The Security state below EL3, routing, traps: everything. */
  WORLD: 4,
} as const;
export type Effect = (typeof Effect)[keyof typeof Effect];

export interface Row {
  readonly name: string;
  readonly encoding: Encoding;
  /** The lowest EL that may access it at all; below, the access is UNDEFINED. EL0 rows have rules instead. */
  readonly el: 0 | 1 | 2 | 3;
  /** Its storage; default: the slot of its name. Rows with `read` need none. */
  readonly slot?: RegName;
  /** A read that is more than the slot; `el` is where the access is made. */
  readonly read?: (pe: Processor, el: number) => bigint;
  /** A write that is more than the slot. */
  readonly write?: (pe: Processor, value: bigint, el: number) => void;
  /** Bits that a write can change, the others stay zero; default all. */
  readonly mask?: bigint;
  /** Bits that read as one whatever is written. */
  readonly res1?: bigint;
  readonly readOnly?: boolean;
  readonly writeOnly?: boolean;
  readonly rules?: readonly Rule[];
  readonly effect?: Effect;
  /** The register that EL2 reaches under this name while HCR_EL2.E2H is 1. */
  readonly e2h?: string;
  /** An alias of op1 = 5 (`_EL12`, `_EL02`): exists at EL2 and EL3 while HCR_EL2.E2H is 1. */
  readonly alias?: boolean;
}
