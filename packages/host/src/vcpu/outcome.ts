/** How the handling of an exit ends. */
import type { Op } from "../kvm/api.js";

export const Outcome = {
  /** Enter the guest again. */
  RESUME: 0,
  /** The same, after others had their turn. */
  YIELD: 1,
  /** The vCPU waits for an interrupt. */
  WAIT: 2,
  /** KVM_RUN returns; the run page is filled. */
  EXIT: 3,
  /** The vCPU is powered off and waits for PSCI_CPU_ON. */
  POWER_OFF: 4,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

/** An outcome, or the operation that will give it. */
export type Handled = Outcome | Op<Outcome>;
