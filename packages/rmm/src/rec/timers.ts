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
export const timerControl = ({ pe, words }: Rmm, timer: keyof typeof CTL): number =>
  words[2 * CTL[timer]]! & ENABLE ? Number(pe.timerCtl(timer)) : words[2 * CTL[timer]]!;

/** Outputs by the two controls. */
export const outputs = (cntv: number, cntp: number): number =>
  (timerAsserted(cntv) ? VIRTUAL : 0) | (timerAsserted(cntp) ? PHYSICAL : 0);

/** The EL1 timer outputs of the REC that is loaded. */
export function timersAsserted(rmm: Rmm): number {
  const { words } = rmm;
  if (((words[2 * CTL.CNTV]! | words[2 * CTL.CNTP]!) & ENABLE) === 0) return 0;
  return outputs(timerControl(rmm, "CNTV"), timerControl(rmm, "CNTP"));
}

const CNTVMASK = Number(CNTHCTL_EL2.CNTVMASK.mask);
const CNTPMASK = Number(CNTHCTL_EL2.CNTPMASK.mask);
const CNTHCTL = 2 * R.CNTHCTL_EL2;

/** Before the REC runs, and after each trap that the RMM handles itself: masks the outputs that are asserted. */
export function maskTimers({ w }: Pe, asserted: number): void {
  let control = w[CNTHCTL]! & ~(CNTVMASK | CNTPMASK);
  if (asserted & VIRTUAL) control |= CNTVMASK;
  if (asserted & PHYSICAL) control |= CNTPMASK;
  w[CNTHCTL] = control;
}
