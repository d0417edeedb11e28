/**
 * The PE state as 32-bit words: index of the low word of each register that the machine's hot paths use; the high word
 * is the next one. On these paths 64-bit registers stay pairs of words: a bigint would be an allocation each.
 */
import { R } from "./cpu/state.js";

export const PC_LO = R.PC * 2;
export const SP_LO = R.SP * 2;
export const PSTATE_LO = R.PSTATE * 2;
export const NZCV_A_LO = R.NZCV_A * 2;
export const NZCV_B_LO = R.NZCV_B * 2;
export const NZCV_KIND_LO = R.NZCV_KIND * 2;
export const BUDGET_LO = R.BUDGET * 2;
export const EXCL_HOST_LO = R.EXCL_HOST * 2;
export const TLB_READ_LO = R.TLB_READ * 2;
export const TLB_WRITE_LO = R.TLB_WRITE * 2;
export const TLB_FETCH_LO = R.TLB_FETCH * 2;
export const TLB_READ_U_LO = R.TLB_READ_U * 2;
export const TLB_WRITE_U_LO = R.TLB_WRITE_U * 2;
export const ALIGN_CHECK_LO = R.ALIGN_CHECK * 2;
export const SP_CHECK_LO = R.SP_CHECK * 2;
export const FP_TRAP_LO = R.FP_TRAP * 2;
export const ZVA_TRAP_LO = R.ZVA_TRAP * 2;
export const PAUTH_LO = R.PAUTH * 2;
export const SYS_INLINE_LO = R.SYS_INLINE * 2;
export const LINES_LO = R.LINES * 2;
export const MARK_LO = R.MARK * 2;
export const EVENT_LO = R.EVENT * 2;
export const ATTENTION_LO = R.ATTENTION * 2;

export const SCR_LO = R.SCR_EL3 * 2;
export const SCR_HI = SCR_LO + 1;
export const HCR_LO = R.HCR_EL2 * 2;
export const HCR_HI = HCR_LO + 1;

/** SCR_EL3, low word. DDI 0487, "SCR_EL3". */
export const SCR = {
  NS: 1 << 0,
  IRQ: 1 << 1,
  FIQ: 1 << 2,
  EA: 1 << 3,
  SMD: 1 << 7,
  HCE: 1 << 8,
  SIF: 1 << 9,
  RW: 1 << 10,
  ST: 1 << 11,
  TWI: 1 << 12,
  TWE: 1 << 13,
  TERR: 1 << 15,
  APK: 1 << 16,
  API: 1 << 17,
  EEL2: 1 << 18,
  ENSCXT: 1 << 25,
  FGTEN: 1 << 27,
  ECVEN: 1 << 28,
} as const;
/** SCR_EL3, high word. */
export const SCR_H = {
  HXEN: 1 << (38 - 32),
  TRNDR: 1 << (40 - 32),
  GPF: 1 << (48 - 32),
  NSE: 1 << (62 - 32),
} as const;

/** HCR_EL2, low word. DDI 0487, "HCR_EL2". */
export const HCR = {
  VM: 1 << 0,
  SWIO: 1 << 1,
  PTW: 1 << 2,
  FMO: 1 << 3,
  IMO: 1 << 4,
  AMO: 1 << 5,
  VF: 1 << 6,
  VI: 1 << 7,
  VSE: 1 << 8,
  DC: 1 << 12,
  TWI: 1 << 13,
  TWE: 1 << 14,
  TID1: 1 << 16,
  TID2: 1 << 17,
  TID3: 1 << 18,
  TSC: 1 << 19,
  TIDCP: 1 << 20,
  TACR: 1 << 21,
  TSW: 1 << 22,
  TPCP: 1 << 23,
  TPU: 1 << 24,
  TTLB: 1 << 25,
  TVM: 1 << 26,
  TGE: 1 << 27,
  TDZ: 1 << 28,
  HCD: 1 << 29,
  TRVM: 1 << 30,
  RW: 1 << 31,
} as const;
/** HCR_EL2, high word. */
export const HCR_H = {
  CD: 1 << 0,
  ID: 1 << 1,
  E2H: 1 << (34 - 32),
  TERR: 1 << (36 - 32),
  TEA: 1 << (37 - 32),
  APK: 1 << (40 - 32),
  API: 1 << (41 - 32),
  FWB: 1 << (46 - 32),
  GPF: 1 << (48 - 32),
  TID4: 1 << (49 - 32),
  ENSCXT: 1 << (53 - 32),
} as const;

/** PSTATE in SPSR format. DDI 0487, "SPSR_EL1". */
export const PSTATE = {
  /** M[0]: the SP of the current EL is selected, not SP_EL0. */
  SP: 1 << 0,
  AARCH32: 1 << 4,
  F: 1 << 6,
  I: 1 << 7,
  A: 1 << 8,
  D: 1 << 9,
  DAIF: 0xf << 6,
  IL: 1 << 20,
  SS: 1 << 21,
  PAN: 1 << 22,
} as const;
