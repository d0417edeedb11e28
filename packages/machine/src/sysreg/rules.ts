/**
 * The traps and gates that many registers share. Each is a `Rule`; a row lists them in the architecture's order: what
 * traps to EL1 first, then EL2, then EL3. DDI 0487, "HCR_EL2", "MDCR_EL2", "CPTR_EL2", "CNTHCTL_EL2", "SCR_EL3" and the
 * registers' accessibility pseudocode.
 */
import { R } from "../cpu/state.js";
import { el2Enabled, hcrHi, hcrLo } from "../exceptions.js";
import { fpTrap } from "../fp-access.js";
import type { Processor } from "../processor.js";
import { HCR, HCR_H, HCR_HI, HCR_LO, SCR, SCR_H, SCR_HI, SCR_LO } from "../words.js";
import { type Check, OK, type Rule, UNDEFINED } from "./row.js";

const SCTLR_EL1_LO = R.SCTLR_EL1 * 2;
const SCTLR_EL2_LO = R.SCTLR_EL2 * 2;
const CNTKCTL_LO = R.CNTKCTL_EL1 * 2;
const CNTHCTL_LO = R.CNTHCTL_EL2 * 2;
const MDSCR_LO = R.MDSCR_EL1 * 2;
const MDSCR_TDCC = 1 << 12;
const MDCR_EL2_LO = R.MDCR_EL2 * 2;
const MDCR_EL3_LO = R.MDCR_EL3 * 2;
const CPTR_EL2_LO = R.CPTR_EL2 * 2;
const CPTR_EL3_LO = R.CPTR_EL3 * 2;

/** SCTLR_EL1 bits that let EL0 use something. */
export const SCTLR_EL0 = {
  UMA: 1 << 9,
  DZE: 1 << 14,
  UCT: 1 << 15,
  NTWI: 1 << 16,
  NTWE: 1 << 18,
  TSCXT: 1 << 20,
  UCI: 1 << 26,
};

/** {E2H, TGE} = {1, 1}: EL2 is the host of the EL0 below it. */
export const isHostMode = (w: Int32Array): boolean => (hcrLo(w) & HCR.TGE) !== 0 && (hcrHi(w) & HCR_H.E2H) !== 0;

/** Where EL0 accesses that EL1 controls trap to: EL2 under HCR_EL2.TGE. */
export const el0Target = (pe: Processor): 1 | 2 => ((hcrLo(pe.w) & HCR.TGE) !== 0 ? 2 : 1);

/** SCTLR of the level that controls EL0. */
export const sctlrForEl0 = (w: Int32Array): number => (isHostMode(w) ? w[SCTLR_EL2_LO]! : w[SCTLR_EL1_LO]!);

/** EL0 needs a bit of SCTLR_EL1 (or SCTLR_EL2). */
export const el0Needs =
  (bit: number): Rule =>
  (pe, el) =>
    el === 0 && (sctlrForEl0(pe.w) & bit) === 0 ? el0Target(pe) : OK;

/** A bit of HCR_EL2 traps EL1's access (and EL0's, where the row allows it) to EL2. */
const hcrTrap =
  (bits: number, when?: "write" | "read"): Rule =>
  (pe, el, write) =>
    el < 2 &&
    (hcrLo(pe.w) & bits) !== 0 &&
    (when === undefined || write === (when === "write")) &&
    !(el === 0 && isHostMode(pe.w))
      ? 2
      : OK;

export const tid1 = hcrTrap(HCR.TID1);
export const tid2 = hcrTrap(HCR.TID2);
export const tid3 = hcrTrap(HCR.TID3);
export const tacr = hcrTrap(HCR.TACR);
export const tsw = hcrTrap(HCR.TSW);
export const tpcp = hcrTrap(HCR.TPCP);
export const tpu = hcrTrap(HCR.TPU);
export const ttlb = hcrTrap(HCR.TTLB);
export const tdz = hcrTrap(HCR.TDZ);
/** DC ZVA: EL0 needs SCTLR_EL1.DZE, and HCR_EL2.TDZ traps it. */
export const zvaRules: readonly Rule[] = [el0Needs(SCTLR_EL0.DZE), tdz];
/** Cache maintenance by address: EL0 needs SCTLR_EL1.UCI, and HCR_EL2.TPU and TPCP trap it. */
export const cachePou: readonly Rule[] = [el0Needs(SCTLR_EL0.UCI), tpu];
export const cachePoc: readonly Rule[] = [el0Needs(SCTLR_EL0.UCI), tpcp];
/** CTR_EL0: EL0 needs SCTLR_EL1.UCT, and HCR_EL2.TID2 traps it. */
export const readableCtr: readonly Rule[] = [el0Needs(SCTLR_EL0.UCT), tid2];
/** DCZID_EL0.DZP: DC ZVA is prohibited for EL0, or trapped. */
export const isZvaProhibited = ({ w }: Processor, el: number): boolean =>
  (el === 0 && (sctlrForEl0(w) & SCTLR_EL0.DZE) === 0) || (el < 2 && (hcrLo(w) & HCR.TDZ) !== 0);
/** HCR_EL2.TVM traps writes of the virtual memory control registers, TRVM reads. */
export const virtualMemory: readonly Rule[] = [hcrTrap(HCR.TVM, "write"), hcrTrap(HCR.TRVM, "read")];

/** HCR_EL2.TID4, beside TID2. */
export const tid4: Rule = (pe, el) => (el === 1 && (hcrHi(pe.w) & HCR_H.TID4) !== 0 ? 2 : OK);

/** Error record registers: HCR_EL2.TERR, then SCR_EL3.TERR. */
export const terr: Rule = (pe, el) => {
  if (el === 1 && (hcrHi(pe.w) & HCR_H.TERR) !== 0) return 2;
  return el < 3 && (pe.w[SCR_LO]! & SCR.TERR) !== 0 ? 3 : OK;
};

/** SCXTNUM_ELx: SCTLR.TSCXT for EL0, HCR_EL2.EnSCXT, SCR_EL3.EnSCXT. */
export const scxtnum: Rule = (pe, el) => {
  const { w } = pe;
  if (el === 0 && (sctlrForEl0(w) & SCTLR_EL0.TSCXT) !== 0) return el0Target(pe);
  if (el < 2 && el2Enabled(w) && !isHostMode(w) && (w[HCR_HI]! & HCR_H.ENSCXT) === 0) return 2;
  return el < 3 && (w[SCR_LO]! & SCR.ENSCXT) === 0 ? 3 : OK;
};

const MDCR = { TDE: 1 << 8, TDA: 1 << 9, TDOSA: 1 << 10, TDRA: 1 << 11 };
/** HCR_EL2.TGE counts as MDCR_EL2.TDE, and that as each of the other traps. */
const debugTrap =
  (el2: number, el3 = el2): Rule =>
  ({ w }, el) => {
    const traps = (w[MDCR_EL2_LO]! & (el2 | MDCR.TDE)) !== 0 || (w[HCR_LO]! & HCR.TGE) !== 0;
    if (el < 2 && el2Enabled(w) && traps) return 2;
    return el < 3 && (w[MDCR_EL3_LO]! & el3) !== 0 ? 3 : OK;
  };
/** Debug registers: MDCR_EL2.{TDE, TDA}, MDCR_EL3.TDA. */
export const tda = debugTrap(MDCR.TDA);
/** OS lock and power registers: MDCR_EL2.{TDE, TDOSA}, MDCR_EL3.TDOSA. */
export const tdosa = debugTrap(MDCR.TDOSA);
/** The address of a debug ROM: MDCR_EL2.{TDE, TDRA}, MDCR_EL3.TDA. */
export const tdra = debugTrap(MDCR.TDRA, MDCR.TDA);
/** The debug communications channel: EL0's access by MDSCR_EL1.TDCC, then as the other debug registers. */
export const tdcc: Rule = (pe, el, write) =>
  el === 0 && (pe.w[MDSCR_LO]! & MDSCR_TDCC) !== 0 ? el0Target(pe) : tda(pe, el, write);

const TCPAC = 1 << 31;
/** CPACR_EL1 (EL1) by CPTR_EL2.TCPAC; both CPACR_EL1 and CPTR_EL2 by CPTR_EL3.TCPAC. */
export const tcpac: Rule = ({ w }, el) => {
  if (el === 1 && el2Enabled(w) && (w[CPTR_EL2_LO]! & TCPAC) !== 0) return 2;
  return el < 3 && (w[CPTR_EL3_LO]! & TCPAC) !== 0 ? 3 : OK;
};

/** FPCR and FPSR, as the instructions: they trap with EC 0x07. */
export const fpAccess: Rule = ({ w }, el) => fpTrap(w, el);

/** Keys of pointer authentication: HCR_EL2.APK, SCR_EL3.APK. */
export const apk: Rule = ({ w }, el) => {
  if (el === 1 && el2Enabled(w) && (w[HCR_HI]! & HCR_H.APK) === 0) return 2;
  return el < 3 && (w[SCR_LO]! & SCR.APK) === 0 ? 3 : OK;
};

/** CNTPOFF_EL2 at EL2 needs SCR_EL3.ECVEn. */
export const ecvEnabled: Rule = ({ w }, el) => (el === 2 && (w[SCR_LO]! & SCR.ECVEN) === 0 ? 3 : OK);

/** HCRX_EL2 at EL2 needs SCR_EL3.HXEn. */
export const hxEnabled: Rule = ({ w }, el) => (el === 2 && (w[SCR_HI]! & SCR_H.HXEN) === 0 ? 3 : OK);

/** The Secure EL1 timer: EL3, and Secure EL1 when SCR_EL3.ST says so. */
export const secureTimer: Rule = ({ w, state }, el) => {
  if (el === 3) return OK;
  if (el !== 1 || state !== 0) return UNDEFINED;
  return (w[SCR_LO]! & SCR.ST) === 0 ? 3 : OK;
};

/** Registers of Secure EL2: there, and at EL3 where SCR_EL3.EEL2 enables it. */
export const secureEl2: Rule = ({ w }, el) => {
  const scr = w[SCR_LO]!;
  return (scr & SCR.EEL2) !== 0 && (el === 3 || (scr & SCR.NS) === 0) ? OK : UNDEFINED;
};

// Bits of CNTKCTL_EL1, and of CNTHCTL_EL2 with E2H = 1.
const EL0PCTEN = 1 << 0;
const EL0VCTEN = 1 << 1;
const EL0VTEN = 1 << 8;
const EL0PTEN = 1 << 9;
// CNTHCTL_EL2 with E2H = 1.
const EL1PCTEN = 1 << 10;
const EL1PTEN = 1 << 11;
const EL1TVT = 1 << 13;
const EL1TVCT = 1 << 14;
// CNTHCTL_EL2 with E2H = 0.
const EL1PCTEN_E2H0 = 1 << 0;
const EL1PCEN_E2H0 = 1 << 1;

/** EL0's access to a counter or timer: a bit of CNTKCTL_EL1, or of CNTHCTL_EL2 in host mode. */
function el0Timer(pe: Processor, bit: number): Check {
  const { w } = pe;
  if (isHostMode(w)) return (w[CNTHCTL_LO]! & bit) === 0 ? 2 : OK;
  return (w[CNTKCTL_LO]! & bit) === 0 ? el0Target(pe) : OK;
}

/** Physical counter and timer below EL2, under CNTHCTL_EL2. */
function physicalTrap({ w }: Processor, bits: { e2h1: number; e2h0: number }): Check {
  if (!el2Enabled(w) || isHostMode(w)) return OK;
  const bit = (w[HCR_HI]! & HCR_H.E2H) !== 0 ? bits.e2h1 : bits.e2h0;
  return (w[CNTHCTL_LO]! & bit) === 0 ? 2 : OK;
}

const first = (...checks: readonly Check[]): Check => checks.find((check) => check !== OK) ?? OK;

export const physicalCounter: Rule = (pe, el) =>
  el > 1
    ? OK
    : first(el === 0 ? el0Timer(pe, EL0PCTEN) : OK, physicalTrap(pe, { e2h1: EL1PCTEN, e2h0: EL1PCTEN_E2H0 }));

export const physicalTimer: Rule = (pe, el) =>
  el > 1 ? OK : first(el === 0 ? el0Timer(pe, EL0PTEN) : OK, physicalTrap(pe, { e2h1: EL1PTEN, e2h0: EL1PCEN_E2H0 }));

/** FEAT_ECV: CNTHCTL_EL2.EL1TVCT and EL1TVT trap the virtual counter and timer. */
const virtualTrap = ({ w }: Processor, bit: number): Check =>
  el2Enabled(w) && !isHostMode(w) && (w[CNTHCTL_LO]! & bit) !== 0 ? 2 : OK;

export const virtualCounter: Rule = (pe, el) =>
  el > 1 ? OK : first(el === 0 ? el0Timer(pe, EL0VCTEN) : OK, virtualTrap(pe, EL1TVCT));

export const virtualTimer: Rule = (pe, el) =>
  el > 1 ? OK : first(el === 0 ? el0Timer(pe, EL0VTEN) : OK, virtualTrap(pe, EL1TVT));

/** CNTFRQ_EL0 at EL0: either counter enabled. */
export const anyCounter: Rule = (pe, el) =>
  el === 0 && el0Timer(pe, EL0PCTEN) !== OK && el0Timer(pe, EL0VCTEN) !== OK ? el0Target(pe) : OK;
