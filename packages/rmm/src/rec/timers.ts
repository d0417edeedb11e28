/**
 * EL1 timers of a running REC. They run natively; an output that the Host knows to be asserted is masked (CNTHCTL_EL2), so
 * that the REC can make progress until it serves the timer. DEN0137 1.0-rel0, "REC interrupts and timers".
 */
import { CNT_CTL, CNTHCTL_EL2, timerAsserted } from "@realmbox/abi";
import { type Pe, R } from "@realmbox/machine";
import type { Rmm } from "../rmm.js";

/** Outputs as a set of bits, in the REC's `timers_asserted` too. */
const VIRTUAL = 1;
const PHYSICAL = 2;

const ENABLE = Number(CNT_CTL.ENABLE.mask);

const CTL = { CNTV: R.CNTV_CTL_EL0, CNTP: R.CNTP_CTL_EL0 } as const;

/** Control of a timer with ISTATUS; a timer that is off has none, which spares the count. */
export const timerControl = ({ pe, words }: Rmm, timer: keyof typeof CTL): bigint =>
  words[2 * CTL[timer]]! & ENABLE ? pe.timerCtl(timer) : pe.r[CTL[timer]]!;

/** Outputs by the two controls. */
export const outputs = (cntv: bigint, cntp: bigint): number =>
  (timerAsserted(cntv) ? VIRTUAL : 0) | (timerAsserted(cntp) ? PHYSICAL : 0);

/** The EL1 timer outputs of the REC that is loaded. */
export function timersAsserted(rmm: Rmm): number {
  const { words } = rmm;
  if (((words[2 * CTL.CNTV]! | words[2 * CTL.CNTP]!) & ENABLE) === 0) return 0;
  return outputs(timerControl(rmm, "CNTV"), timerControl(rmm, "CNTP"));
}

const MASKS = CNTHCTL_EL2.CNTVMASK.mask | CNTHCTL_EL2.CNTPMASK.mask;

/** Before the REC runs, and after each trap that the RMM handles itself: masks the outputs that are asserted. */
export function maskTimers(pe: Pe, asserted: number): void {
  const { r } = pe;
  r[R.CNTHCTL_EL2]! &= ~MASKS;
  if (asserted & VIRTUAL) r[R.CNTHCTL_EL2]! |= CNTHCTL_EL2.CNTVMASK.mask;
  if (asserted & PHYSICAL) r[R.CNTHCTL_EL2]! |= CNTHCTL_EL2.CNTPMASK.mask;
}
