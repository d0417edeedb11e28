/**
 * What the machine needs from the interrupt controller (`gic/`) and the generic timers (`timers.ts`): the seam between
 * the PEs and the two. Both are called often, so lines and outputs are numbers used as bit sets.
 *
 * A PE sees four signals. Which of them are taken, and where to, is decided by the machine (SCR_EL3, HCR_EL2, PSTATE).
 * DDI 0487, "Asynchronous exception types"; IHI 0069, "CPU interface".
 */
import type { MappedDevice, Snapshotable } from "./bus.js";
import type { Pe } from "./pe.js";

/** The signals of `InterruptController.lines`, as bits. */
export const Line = {
  /** Physical IRQ. */
  IRQ: 1,
  /** Physical FIQ. */
  FIQ: 2,
  /** Virtual IRQ out of the list registers (the machine adds HCR_EL2.VI itself). */
  VIRQ: 4,
  /** Virtual FIQ out of the list registers (the machine adds HCR_EL2.VF itself). */
  VFIQ: 8,
} as const;

/** The physical GICv3: distributor, redistributors, and the CPU interface of each PE over the PE's state. */
export interface InterruptController extends Snapshotable {
  /** GICD and GICR frames. */
  readonly devices: readonly MappedDevice[];
  /**
   * The signals of `pe` now, in its current EL and Security state: a Group 1 Non-secure interrupt is IRQ in Non-secure
   * and Realm state and FIQ at EL3 (IHI 0069, "Interrupt assignment to IRQ and FIQ signals"). The machine calls it after
   * anything that may have changed the answer: a change of EL or Security state, a device access, a register write, a
   * timer event, a step of native firmware. Allocates nothing.
   */
  lines(pe: Pe): number;
  /**
   * A CPU interface register, after access rules, traps and the ICC to ICV redirection: `name` is "ICC_IAR1_EL1",
   * "ICV_IAR1_EL1" (virtual), "ICH_MISR_EL2". Reads of IAR acknowledge. Registers that are plain storage of the PE's
   * state at the same name also come here: one place for masks and RES0 bits.
   */
  read(pe: Pe, name: string): bigint;
  write(pe: Pe, name: string, value: bigint): void;
  /** The level of a private peripheral interrupt (INTID 16 to 31) of one PE. */
  setPpi(pe: number, intid: number, level: boolean): void;
  /** The level of a shared peripheral interrupt (INTID 32 and up). */
  setSpi(intid: number, level: boolean): void;
}

export const TIMER_NAMES = ["CNTP", "CNTV", "CNTHP", "CNTHV", "CNTHPS", "CNTHVS", "CNTPS"] as const;
export type TimerName = (typeof TIMER_NAMES)[number];

/** The generic timers of all PEs, over their state. `count` is CNTPCT, in ticks; a number: it stays far below 2^53. */
export interface Timers {
  /**
   * The PPIs that the timers of `pe` assert at `count`, as a set of bits: bit n is INTID n. The machine drives the
   * interrupt controller with it. Enabled, not masked (IMASK, CNTHCTL_EL2.CNTVMASK and CNTPMASK in Realm state), met.
   */
  outputs(pe: Pe, count: number): number;
  /** The least count above `count` at which `outputs` may change by itself; Infinity when never. */
  nextDeadline(pe: Pe, count: number): number;
  /** CTL with ISTATUS, as a read of the register gives it. */
  ctl(pe: Pe, timer: TimerName, count: number): bigint;
  /** What the timer compares with CVAL: the count minus the offset that applies to it now. */
  counter(pe: Pe, timer: TimerName, count: number): bigint;
}
