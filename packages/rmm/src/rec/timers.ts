/**
 * EL1 timers of a running REC. They run natively; an output that the Host knows to be asserted is masked (CNTHCTL_EL2), so
 * that the REC can make progress until it serves the timer. DEN0137 1.0-rel0, "REC interrupts and timers".
 */
import { CNT_CTL, CNTHCTL_EL2, timerAsserted } from "@realmbox/abi";
import { type Pe, R } from "@realmbox/machine";

/** Outputs as a set of bits, in the REC's `timers_asserted` too. */
const VIRTUAL = 1;
const PHYSICAL = 2;

/** A timer that is off cannot be asserted: spares the count. */
const asserted = (pe: Pe, timer: "CNTV" | "CNTP", ctl: bigint): boolean =>
  (ctl & CNT_CTL.ENABLE.mask) !== 0n && timerAsserted(pe.timerCtl(timer));

/** The EL1 timer outputs of the REC that is loaded. */
export function timersAsserted(pe: Pe): number {
  return (
    (asserted(pe, "CNTV", pe.r[R.CNTV_CTL_EL0]!) ? VIRTUAL : 0) |
    (asserted(pe, "CNTP", pe.r[R.CNTP_CTL_EL0]!) ? PHYSICAL : 0)
  );
}

/** Before the REC runs, and after each trap that the RMM handles itself: masks the outputs that are asserted. */
export function maskTimers(pe: Pe, outputs: number): void {
  pe.r[R.CNTHCTL_EL2] =
    (pe.r[R.CNTHCTL_EL2]! & ~(CNTHCTL_EL2.CNTVMASK.mask | CNTHCTL_EL2.CNTPMASK.mask)) |
    (outputs & VIRTUAL ? CNTHCTL_EL2.CNTVMASK.mask : 0n) |
    (outputs & PHYSICAL ? CNTHCTL_EL2.CNTPMASK.mask : 0n);
}
