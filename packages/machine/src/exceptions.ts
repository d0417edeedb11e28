/**
 * Exception entry and return, and which interrupt is taken where. Only AArch64; Root is the state of EL3.
 * DDI 0487, "Exception entry", "Exception return", "Illegal return events", "Routing of asynchronous exceptions".
 *
 * @spec DDI 0487, "Exceptions": partial: no physical SError
 */
import { EC, SecurityState } from "@realmbox/abi";
import { R } from "./cpu/state.js";
import { advanceStep, isStepActive, stepAfterReturn } from "./debug/enabled.js";
import { takeStep } from "./debug/exceptions.js";
import { Line } from "./irq.js";
import { el2Enabled, hcrHi, hcrLo, lowerState } from "./lower-state.js";
import { armPmu, countPmuEvent } from "./pmu/counting.js";
import { PmuEvent } from "./pmu/registers.js";
import type { Processor } from "./processor.js";
import { packFlags, setFlags, setPstate } from "./pstate.js";
import type { SlotEvent } from "./slot.js";
import { EVENT_LO, EXCL_HOST_LO, HCR, HCR_H, HCR_HI, HCR_LO, PC_LO, PSTATE, PSTATE_LO, SCR, SCR_LO } from "./words.js";

export { el2Enabled, hcrHi, hcrLo, lowerState } from "./lower-state.js";

export type TargetEl = 1 | 2 | 3;

/** Offset of the four kinds within a group of vectors. */
export const Vector = { SYNC: 0x000, IRQ: 0x080, FIQ: 0x100, SERROR: 0x180 } as const;
export type Vector = (typeof Vector)[keyof typeof Vector];

/**
 * The reserved PC at which native firmware "is": the return address of its SMC. An ERET to it in a slot with native
 * firmware is the slot's `return` event. It is no canonical address, so no software runs there.
 */
export const NATIVE_PC = 0x00ff_0000_0000_0000n;
const NATIVE_PC_HI = 0x00ff_0000;

/** ESR_ELx for a class and its syndrome; IL is 1: every A64 instruction has 32 bits. */
export const makeEsr = (ec: number, iss: number): number => (ec << 26) | (1 << 25) | iss;

// Word indices by EL; EL0 has none.
const byEl = (name: "SPSR" | "ELR" | "ESR" | "VBAR" | "FAR"): readonly number[] => [
  0,
  R[`${name}_EL1`] * 2,
  R[`${name}_EL2`] * 2,
  R[`${name}_EL3`] * 2,
];
const SPSR = byEl("SPSR");
const ELR = byEl("ELR");
const ESR_WORD = byEl("ESR");
const VBAR = byEl("VBAR");
export const FAR_WORD = byEl("FAR");

const SCTLR_EL1_LO = R.SCTLR_EL1 * 2;
const SCTLR_EL2_LO = R.SCTLR_EL2 * 2;
const VSESR_LO = R.VSESR_EL2 * 2;
const SCTLR_SPAN = 1 << 23;

/** PSTATE fields that an exception entry leaves alone (DIT, SSBS) and that exist on this machine. */
const KEPT = PSTATE.PAN | (1 << 24) | (1 << 12);
/** PSTATE fields that an exception return takes from SPSR, but for M, SS and NZCV. */
const RESTORED = PSTATE.DAIF | PSTATE.IL | PSTATE.PAN | (1 << 24) | (1 << 12);

const exceptionEvents = (lower: boolean): readonly SlotEvent[] =>
  (["sync", "irq", "fiq", "serror"] as const).map((vector) => ({ kind: "exception", vector, lower }));
const EVENTS_LOWER = exceptionEvents(true);
const EVENTS_SAME = exceptionEvents(false);
const EVENT_START: SlotEvent = { kind: "start" };
const EVENT_RETURN: SlotEvent = { kind: "return" };

/**
 * Takes an exception to `target`: SPSR, ELR, ESR (unless an interrupt), PSTATE and PC. The return address is PC, or the
 * next instruction's when `after` is 4. FAR, HPFAR and MFAR are the caller's.
 */
export function enterException(pe: Processor, target: TargetEl, vector: Vector, esr: number, after: 0 | 4): void {
  const { w } = pe;
  pe.account();
  if (pe.pmu.live) countPmuEvent(pe, PmuEvent.EXC_TAKEN);
  const before = w[PSTATE_LO]!;
  const el = (before >> 2) & 3;
  const lower = target > el;

  w[SPSR[target]!] = before | packFlags(w);
  w[SPSR[target]! + 1] = 0;
  const pcLo = (w[PC_LO]! + after) | 0;
  w[ELR[target]!] = pcLo;
  w[ELR[target]! + 1] = (w[PC_LO + 1]! + (after !== 0 && pcLo >>> 0 < 4 ? 1 : 0)) | 0;
  if (vector === Vector.SYNC || vector === Vector.SERROR) {
    w[ESR_WORD[target]!] = esr;
    w[ESR_WORD[target]! + 1] = 0;
  }

  setPstate(w, (target << 2) | PSTATE.SP | PSTATE.DAIF | (before & KEPT) | panOnEntry(w, target));
  const group = lower ? 0x400 : (before & PSTATE.SP) !== 0 ? 0x200 : 0;
  w[PC_LO] = (w[VBAR[target]!]! & ~0x7ff) + group + vector;
  w[PC_LO + 1] = w[VBAR[target]! + 1]!;

  pe.event = (lower ? EVENTS_LOWER : EVENTS_SAME)[vector >> 7]!;
  pe.charge();
  if (target === 1) pe.guestLevelChanged();
  else pe.levelChanged();
  if (pe.pmu.live) armPmu(pe);
}

/** PAN is set on entry to EL1, and to EL2 under the EL2&0 regime, unless SCTLR_ELx.SPAN says to leave it. */
function panOnEntry(w: Int32Array, target: TargetEl): number {
  if (target === 1) return (w[SCTLR_EL1_LO]! & SCTLR_SPAN) === 0 ? PSTATE.PAN : 0;
  if (target === 3) return 0;
  const host = (w[HCR_LO]! & HCR.TGE) !== 0 && (w[HCR_HI]! & HCR_H.E2H) !== 0;
  return host && (w[SCTLR_EL2_LO]! & SCTLR_SPAN) === 0 ? PSTATE.PAN : 0;
}

/** A synchronous exception with PC as its return address. */
export function takeSync(pe: Processor, target: TargetEl, esr: number): void {
  pe.countSync(esr >>> 26);
  if (target === pe.el && !pe.firmware) pe.countNested(VBAR[target]!, esr >>> 26);
  enterException(pe, target, Vector.SYNC, esr, 0);
}

/** A synchronous exception that returns to the next instruction: SVC, HVC, SMC. */
export function takeCall(pe: Processor, target: TargetEl, esr: number): void {
  advanceStep(pe.w);
  pe.countSync(esr >>> 26);
  enterException(pe, target, Vector.SYNC, esr, 4);
}

/** Where a synchronous exception of the current EL goes by default: EL1, or EL2 from EL0 under HCR_EL2.TGE. */
export function defaultTarget(pe: Processor): TargetEl {
  const { el } = pe;
  if (el >= 2) return el as TargetEl;
  return el === 0 && (hcrLo(pe.w) & HCR.TGE) !== 0 ? 2 : 1;
}

/** An instruction that the architecture leaves UNDEFINED here: EC 0. */
export const takeUndefined = (pe: Processor): void => takeSync(pe, defaultTarget(pe), makeEsr(EC.UNKNOWN, 0));

/** SPSR's mode when it names one that can be returned to from `el` now; else -1. DDI 0487, "Illegal return events". */
function legalMode(pe: Processor, spsr: number, el: number): number {
  const { w } = pe;
  const mode = spsr & 0xf;
  const target = (mode >> 2) & 3;
  if ((spsr & PSTATE.AARCH32) !== 0 || (mode & 2) !== 0 || mode === 1 || target > el) return -1;
  if (el === 3 && target < 3 && lowerState(w) === SecurityState.ROOT) return -1;
  if (target === 2 && !el2Enabled(w)) return -1;
  if (target === 1 && (hcrLo(w) & HCR.TGE) !== 0) return -1;
  return mode;
}

/** ERET of the current EL: PSTATE and PC from SPSR and ELR, or an illegal state exception. */
export function exceptionReturn(pe: Processor): void {
  const { w } = pe;
  pe.account();
  if (pe.pmu.live) countPmuEvent(pe, PmuEvent.EXC_RETURN);
  pe.nested = 0;
  const { el } = pe;
  const spsr = w[SPSR[el]!]!;
  const mode = legalMode(pe, spsr, el);
  const illegal = mode < 0;
  const kept = illegal ? (w[PSTATE_LO]! & 0xf) | PSTATE.IL : mode;
  const step = stepAfterReturn(w, (kept >> 2) & 3, spsr);
  setPstate(w, kept | (spsr & RESTORED) | step);
  setFlags(w, spsr);
  w[PC_LO] = w[ELR[el]!]!;
  w[PC_LO + 1] = w[ELR[el]! + 1]!;
  w[EXCL_HOST_LO] = 0;
  w[EVENT_LO] = 1;
  pe.event = w[PC_LO + 1] === NATIVE_PC_HI && w[PC_LO] === 0 ? EVENT_RETURN : EVENT_START;
  pe.charge();
  if (el === 1) pe.guestLevelChanged();
  else pe.levelChanged();
  if (pe.pmu.live) armPmu(pe);
  if ((w[PSTATE_LO]! & PSTATE.IL) === 0) return;
  // The next instruction of an illegal state is an exception itself; only a pending software step has priority.
  if (step === 0 && isStepActive(w)) takeStep(pe, false, false);
  else takeSync(pe, defaultTarget(pe), makeEsr(EC.ILLEGAL_STATE, 0));
}

/** The interrupt that is taken now, or 0: the target EL in bits 1:0, virtual in bit 2, its vector above. */
function nextInterrupt(pe: Processor, lines: number): number {
  const { w } = pe;
  const scr = w[SCR_LO]!;
  const hcr = hcrLo(w);
  const el = (w[PSTATE_LO]! >> 2) & 3;
  const pstate = w[PSTATE_LO]!;
  const tge = (hcr & HCR.TGE) !== 0;

  if ((lines & Line.FIQ) !== 0) {
    const target = (scr & SCR.FIQ) !== 0 ? 3 : tge || (hcr & HCR.FMO) !== 0 ? 2 : 1;
    if (isTaken(w, el, target, (pstate & PSTATE.F) !== 0)) return target | Vector.FIQ;
  }
  if ((lines & Line.IRQ) !== 0) {
    const target = (scr & SCR.IRQ) !== 0 ? 3 : tge || (hcr & HCR.IMO) !== 0 ? 2 : 1;
    if (isTaken(w, el, target, (pstate & PSTATE.I) !== 0)) return target | Vector.IRQ;
  }
  if (el > 1 || tge) return 0;
  if ((hcr & (HCR.VSE | HCR.AMO)) === (HCR.VSE | HCR.AMO) && (pstate & PSTATE.A) === 0) return 5 | Vector.SERROR;
  const virtual = virtualLines(hcr, lines);
  if ((virtual & Line.VFIQ) !== 0 && (pstate & PSTATE.F) === 0) return 5 | Vector.FIQ;
  if ((virtual & Line.VIRQ) !== 0 && (pstate & PSTATE.I) === 0) return 5 | Vector.IRQ;
  return 0;
}

/** Virtual IRQ and FIQ as EL1 would see them: the list registers' and HCR_EL2's, each with its routing bit set. */
export const virtualLines = (hcr: number, lines: number): number =>
  ((hcr & HCR.FMO) !== 0 ? (lines & Line.VFIQ) | ((hcr & HCR.VF) !== 0 ? Line.VFIQ : 0) : 0) |
  ((hcr & HCR.IMO) !== 0 ? (lines & Line.VIRQ) | ((hcr & HCR.VI) !== 0 ? Line.VIRQ : 0) : 0);

function isTaken(w: Int32Array, el: number, target: number, masked: boolean): boolean {
  if (target < el) return false;
  if (target === el) return !masked;
  // A higher EL: PSTATE does not mask, except for the privileged level of the regime that EL0 runs in.
  if (el === 0 && (target === 1 || (target === 2 && isHostEl0(w)))) return !masked;
  return true;
}

const isHostEl0 = (w: Int32Array): boolean => (hcrLo(w) & HCR.TGE) !== 0 && (hcrHi(w) & HCR_H.E2H) !== 0;

/** Whether an interrupt would be taken before the next instruction. */
export const isInterruptDue = (pe: Processor, lines: number): boolean => nextInterrupt(pe, lines) !== 0;

/** Takes the interrupt that is due, if any; the emulated code's PC is the next instruction. */
export function takeInterrupt(pe: Processor, lines: number): boolean {
  const due = nextInterrupt(pe, lines);
  if (due === 0) return false;
  const { w } = pe;
  const vector = (due & 0x180) as Vector;
  const target = (due & 3) as TargetEl;
  let esr = 0;
  if (vector === Vector.SERROR) {
    // A virtual SError reports VSESR_EL2 and is consumed.
    esr = makeEsr(EC.SERROR, w[VSESR_LO]! & 0x1ff_ffff);
    w[HCR_LO] = w[HCR_LO]! & ~HCR.VSE;
  }
  pe.countInterrupt(vector);
  enterException(pe, target, vector, esr, 0);
  return true;
}
