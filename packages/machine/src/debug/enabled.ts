/**
 * Where debug exceptions go and whether they are generated at all: the target EL, the OS Lock, Secure state, and at the
 * target EL itself MDSCR_EL1.KDE and PSTATE.D. DDI 0487, "Self-hosted debug", "Enabling debug exceptions from the current
 * Exception level", AArch64.GenerateDebugExceptionsFrom. Halting debug and the OS Double Lock do not exist here.
 */
import { SecurityState } from "@realmbox/abi";
import { R } from "../cpu/state.js";
import { el2Enabled, lowerState } from "../lower-state.js";
import { HCR, HCR_LO, PSTATE, PSTATE_LO } from "../words.js";

export const MDSCR_LO = R.MDSCR_EL1 * 2;
const MDCR_EL2_LO = R.MDCR_EL2 * 2;
const MDCR_EL3_LO = R.MDCR_EL3 * 2;
const OSLSR_LO = R.OSLSR_EL1 * 2;

/** MDSCR_EL1: software step, exceptions from the target EL itself, breakpoints and watchpoints. */
export const MDSCR = { SS: 1 << 0, KDE: 1 << 13, MDE: 1 << 15 } as const;
const OSLK = 1 << 1;
const MDCR_EL2_TDE = 1 << 8;
/** MDCR_EL3.SDD: no debug exceptions from Secure state. */
const MDCR_EL3_SDD = 1 << 16;

/** ELD, the EL that debug exceptions of EL0 to EL2 target: EL2 where HCR_EL2.TGE or MDCR_EL2.TDE says so, else EL1. */
export const debugTarget = (w: Int32Array): 1 | 2 =>
  el2Enabled(w) && ((w[HCR_LO]! & HCR.TGE) !== 0 || (w[MDCR_EL2_LO]! & MDCR_EL2_TDE) !== 0) ? 2 : 1;

/** Whether debug exceptions are generated at `el` of the Security state that SCR_EL3 selects; `masked` is PSTATE.D. */
export function debugEnabledFrom(w: Int32Array, el: number, masked: boolean): boolean {
  if ((w[OSLSR_LO]! & OSLK) !== 0) return false;
  const target = debugTarget(w);
  if (el > target) return false;
  if (el === target && ((w[MDSCR_LO]! & MDSCR.KDE) === 0 || masked)) return false;
  return lowerState(w) !== SecurityState.SECURE || (w[MDCR_EL3_LO]! & MDCR_EL3_SDD) === 0;
}

/** The same for the current EL and PSTATE.D. */
export function debugEnabled(w: Int32Array): boolean {
  const pstate = w[PSTATE_LO]!;
  return debugEnabledFrom(w, (pstate >> 2) & 3, (pstate & PSTATE.D) !== 0);
}

/** Whether software step is active: not pending while PSTATE.SS is 1, else pending. "Software Step exceptions". */
export const isStepActive = (w: Int32Array): boolean => (w[MDSCR_LO]! & MDSCR.SS) !== 0 && debugEnabled(w);

/** Advances the state machine when an instruction completes that takes an exception itself: SVC, HVC, SMC. SSAdvance. */
export function advanceStep(w: Int32Array): void {
  if ((w[MDSCR_LO]! & MDSCR.SS) !== 0) w[PSTATE_LO] = w[PSTATE_LO]! & ~PSTATE.SS;
}

/**
 * PSTATE.SS after an exception return of the current EL to `el` with this SPSR: SPSR's, when stepping is not enabled here
 * and is enabled there; else 0. DebugExceptionReturnSS.
 */
export function stepAfterReturn(w: Int32Array, el: number, spsr: number): number {
  if ((spsr & PSTATE.SS) === 0 || !(w[MDSCR_LO]! & MDSCR.SS) || debugEnabled(w)) return 0;
  return debugEnabledFrom(w, el, (spsr & PSTATE.D) !== 0) ? PSTATE.SS : 0;
}
