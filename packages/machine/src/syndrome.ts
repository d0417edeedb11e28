/**
 * From a fault to the exception: target EL, ESR, FAR, HPFAR, MFAR. The one place where aborts are reported.
 * DDI 0487, "ISS encoding for an exception from a Data Abort", "… from an Instruction Abort", "… for a GPC exception",
 * "Routing of synchronous exceptions", "Granule protection check exceptions and faults".
 *
 * HPFAR_EL2 is written for every stage-2 abort, Permission faults included: hypervisors and the RMM read it.
 */
import { EC, FSC, SecurityState } from "@realmbox/abi";
import { Access } from "./cpu/engine.js";
import { R } from "./cpu/state.js";
import { defaultTarget, FAR_WORD, hcrHi, hcrLo, makeEsr, type TargetEl, takeSync } from "./exceptions.js";
import type { Fault, FaultKind } from "./fault.js";
import { GPCSC } from "./gpt.js";
import type { Processor } from "./processor.js";
import { HCR, HCR_H, SCR, SCR_H, SCR_HI, SCR_LO } from "./words.js";

const HPFAR_LO = R.HPFAR_EL2 * 2;

// ISS bits of aborts, as numbers.
const ISV = 1 << 24;
const SSE = 1 << 21;
const SF = 1 << 15;
const AR = 1 << 14;
const CM = 1 << 8;
const S1PTW = 1 << 7;
const WNR = 1 << 6;
// Of GPC exceptions.
const S2PTW = 1 << 21;
const IND = 1 << 20;
const GPCSC_SHIFT = 14;

/** FSC of an exclusive or atomic access to memory that has none: IMPLEMENTATION DEFINED fault. */
const FSC_UNSUPPORTED = 0x35;

/** What was accessed, for the syndrome. */
export interface AccessInfo {
  /** The virtual address as the instruction gave it, tag included. */
  readonly lo: number;
  readonly hi: number;
  readonly fetch: boolean;
  /** Report a write: stores, and atomics whose read would have been allowed; maintenance instructions. */
  readonly write: boolean;
  /** The instruction word, and its `Access` flags, for loads and stores. */
  readonly insn: number;
  readonly flags: number;
}

/** Fault status code. */
export function faultStatus(fault: Fault): number {
  const { level } = fault;
  switch (fault.fault) {
    case "translation":
      return FSC.TRANSLATION + level;
    case "access-flag":
      return FSC.ACCESS_FLAG + level;
    case "permission":
      return FSC.PERMISSION + level;
    case "address-size":
      return FSC.ADDRESS_SIZE + level;
    case "alignment":
      return FSC.ALIGNMENT;
    case "unsupported-atomic":
      return FSC_UNSUPPORTED;
    case "external":
      return fault.onWalk ? FSC.EXTERNAL_ON_WALK + level : FSC.EXTERNAL;
    default:
      return fault.onWalk ? FSC.GPF_ON_WALK + level : FSC.GPF;
  }
}

/**
 * SAS to AR of a data abort: the syndrome of a load or store of one general-purpose register without write-back, or 0.
 * DDI 0487, "ISS encoding for an exception from a Data Abort", ISV.
 */
export function accessSyndrome(insn: number): number {
  const size = insn >>> 30;
  const srt = (insn & 0x1f) << 16;
  if ((insn & 0x3f00_0000) >>> 0 === 0x0800_0000) {
    // Load-acquire, store-release (bit 23 = 1, bit 21 = 0); exclusives have no syndrome.
    const ordered = (insn & (1 << 23)) !== 0 && (insn & (1 << 21)) === 0;
    return ordered ? ISV | (size << 22) | srt | (size === 3 ? SF : 0) | AR : 0;
  }
  if ((insn & 0x3f00_0000) >>> 0 === 0x1800_0000) {
    // Literal loads: LDR Wt, LDR Xt, LDRSW, PRFM.
    if (size === 3) return 0;
    const sign = size === 2;
    return ISV | ((size === 1 ? 3 : 2) << 22) | (sign ? SSE : 0) | srt | (size >= 1 ? SF : 0);
  }
  // Loads and stores of one register: bits 29:27 = 111, V = 0.
  if ((insn & 0x3c00_0000) >>> 0 !== 0x3800_0000) return 0;
  const unsignedOffset = (insn & (1 << 24)) !== 0;
  if (!unsignedOffset) {
    const mode = (insn >>> 10) & 3;
    const register = (insn & (1 << 21)) !== 0;
    if (register && mode === 1 && size === 3) return ISV | (size << 22) | srt | SF; // LDRAA, LDRAB
    // Unscaled, unprivileged, register offset; not pre- and post-index, nor atomics (bit 21 = 1, mode 0).
    if (register ? mode !== 2 : mode === 1 || mode === 3) return 0;
  }
  const opc = (insn >>> 22) & 3;
  if (opc >= 2 && size === 3) return 0; // PRFM
  const sign = opc >= 2;
  const sf = opc === 2 || size === 3; // opc 2 sign-extends to 64 bits, 3 to 32
  return ISV | (size << 22) | (sign ? SSE : 0) | srt | (sf ? SF : 0);
}

const isGranuleFault = (kind: FaultKind): boolean =>
  kind === "granule-protection" || kind === "gpt-walk" || kind === "gpt-address-size" || kind === "gpt-external";

/** Where the fault's exception goes; `gpc`: it is a GPC exception, EC 0x1E. */
function route(pe: Processor, fault: Fault): { readonly target: TargetEl; readonly gpc: boolean } {
  const { w, el } = pe;
  if (isGranuleFault(fault.fault)) {
    const gpf = fault.fault === "granule-protection";
    if (!gpf || (el < 3 && (w[SCR_HI]! & SCR_H.GPF) !== 0)) return { target: 3, gpc: true };
    if (el >= 2) return { target: el as TargetEl, gpc: false };
    const toEl2 = fault.stage === 2 || (hcrLo(w) & HCR.TGE) !== 0 || (hcrHi(w) & HCR_H.GPF) !== 0;
    return { target: toEl2 ? 2 : 1, gpc: false };
  }
  if (fault.fault === "external" && ((w[SCR_LO]! & SCR.EA) !== 0 || el === 3)) return { target: 3, gpc: false };
  if (fault.stage === 2) return { target: 2, gpc: false };
  if (fault.fault === "external" && el < 2 && (hcrHi(w) & HCR_H.TEA) !== 0) return { target: 2, gpc: false };
  return { target: defaultTarget(pe), gpc: false };
}

/** Whether a fault of the current EL's access is a GPC exception, EC 0x1E, taken to EL3. */
export const isGpcException = (pe: Processor, fault: Fault): boolean => route(pe, fault).gpc;

const GPCSC_OF: Readonly<Partial<Record<FaultKind, number>>> = {
  "granule-protection": GPCSC.GPF,
  "gpt-walk": GPCSC.WALK,
  "gpt-address-size": GPCSC.ADDRESS_SIZE,
  "gpt-external": GPCSC.EXTERNAL,
};

/** Takes the exception for a fault of the instruction at PC. */
export function takeAbort(pe: Processor, fault: Fault, info: AccessInfo): void {
  const { w } = pe;
  const { target, gpc } = route(pe, fault);
  const maintenance = (info.flags & Access.MAINTENANCE) !== 0;
  const common =
    (fault.s1ptw ? S1PTW : 0) |
    (info.write && !info.fetch ? WNR : 0) |
    (maintenance && !isZeroing(info.insn) ? CM : 0) |
    faultStatus(fault);
  let esr: number;
  if (gpc) {
    const gpcsc = GPCSC_OF[fault.fault]! | (fault.gptLevel ?? 0);
    const s2ptw = fault.onWalk && fault.stage === 2 ? S2PTW : 0;
    esr = makeEsr(EC.GPC, s2ptw | (info.fetch ? IND : 0) | (gpcsc << GPCSC_SHIFT) | common);
    pe.r[R.MFAR_EL3] =
      (BigInt(fault.pas ?? 0) & 1n ? 1n << 63n : 0n) |
      (BigInt(fault.pas ?? 0) & 2n ? 1n << 62n : 0n) |
      ((fault.pa ?? 0n) & ~0xfffn);
  } else {
    const lower = target > pe.el;
    if (info.fetch) {
      esr = makeEsr(lower ? EC.INSTRUCTION_ABORT_LOWER : EC.INSTRUCTION_ABORT_SAME, common);
    } else {
      // The syndrome of the instruction is for who emulates the access: stage-2 faults of the access itself.
      const hasSyndrome =
        fault.stage === 2 &&
        !fault.s1ptw &&
        !fault.onWalk &&
        (info.flags & (Access.NO_SYNDROME | Access.MAINTENANCE)) === 0;
      const iss = hasSyndrome ? accessSyndrome(info.insn) : 0;
      esr = makeEsr(lower ? EC.DATA_ABORT_LOWER : EC.DATA_ABORT_SAME, iss | common);
    }
  }
  if (fault.stage === 2 && fault.ipa !== undefined) writeHpfar(pe, fault);
  w[FAR_WORD[target]!] = info.lo;
  w[FAR_WORD[target]! + 1] = info.hi;
  pe.machine.reports.abort(pe, fault, info, target);
  takeSync(pe, target, esr);
}

/** HPFAR_EL2: IPA[51:12] in bits 43:4; bit 63 says Non-secure IPA, in Secure state only. */
function writeHpfar(pe: Processor, fault: Fault): void {
  const ipa = Number(fault.ipa);
  const page = Math.floor(ipa / 4096);
  pe.w[HPFAR_LO] = (page * 16) | 0;
  const ns = pe.state === SecurityState.SECURE && fault.pas === 1;
  pe.w[HPFAR_LO + 1] = Math.floor(page / 2 ** 28) | (ns ? 0x8000_0000 : 0);
}

/** DC ZVA: reported as a store, not as maintenance. */
const isZeroing = (insn: number): boolean => (insn & 0xffff_ffe0) >>> 0 === 0xd50b_7420;
