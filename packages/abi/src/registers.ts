/**
 * System registers whose fields several rooms read: syndromes, stage-2 and trap control, the virtual GIC interface,
 * timers. DDI 0487 (Arm ARM), each under the register's name; IHI 0069 (GICv3) for ICH_*. Excerpts: fields that nobody
 * uses are left out.
 */
import { bit, bits } from "./layout.js";

/** ESR_ELx, Exception Syndrome Register. */
export const ESR = {
  EC: bits(31, 26),
  IL: bit(25), // 1: the instruction was 32 bits
  ISS: bits(24, 0), // meaning depends on EC
} as const;

/** Exception classes, ESR_ELx.EC. */
export const EC = {
  UNKNOWN: 0x00,
  WFX: 0x01,
  FP: 0x07, // access to SIMD or floating-point, trapped
  PAUTH: 0x09,
  LS64: 0x0a,
  BTI: 0x0d,
  ILLEGAL_STATE: 0x0e,
  SVC64: 0x15,
  HVC64: 0x16,
  SMC64: 0x17,
  SYSREG64: 0x18, // MSR, MRS, SYS
  SVE: 0x19,
  ERET: 0x1a,
  FPAC: 0x1c,
  SME: 0x1d,
  GPC: 0x1e, // granule protection check exception, at EL3
  INSTRUCTION_ABORT_LOWER: 0x20,
  INSTRUCTION_ABORT_SAME: 0x21,
  PC_ALIGNMENT: 0x22,
  DATA_ABORT_LOWER: 0x24,
  DATA_ABORT_SAME: 0x25,
  SP_ALIGNMENT: 0x26,
  FP_EXCEPTION64: 0x2c,
  SERROR: 0x2f,
  BREAKPOINT_LOWER: 0x30, // this and the next two: from the same EL one more
  SOFTWARE_STEP_LOWER: 0x32,
  WATCHPOINT_LOWER: 0x34,
  BRK64: 0x3c,
} as const;

/** ISS of a Data or Instruction Abort. */
export const ISS_ABORT = {
  ISV: bit(24), // data: SAS to AR are valid
  SAS: bits(23, 22), // log2 of the access size in bytes
  SSE: bit(21), // sign-extend
  SRT: bits(20, 16), // register transferred
  SF: bit(15), // 64-bit register
  AR: bit(14), // acquire, release
  VNCR: bit(13),
  SET: bits(12, 11), // for external aborts: 0 UER, 2 UC, 3 UEO
  FNV: bit(10), // FAR not valid
  EA: bit(9),
  CM: bit(8), // cache maintenance
  S1PTW: bit(7), // stage-2 fault on a stage-1 walk
  WNR: bit(6),
  FSC: bits(5, 0),
} as const;

/** Fault status codes; level faults have the level added (0 to 3). */
export const FSC = {
  ADDRESS_SIZE: 0x00,
  TRANSLATION: 0x04,
  ACCESS_FLAG: 0x08,
  PERMISSION: 0x0c,
  EXTERNAL: 0x10,
  EXTERNAL_ON_WALK: 0x14, // plus level; level -1 is 0x13
  ALIGNMENT: 0x21,
  DEBUG: 0x22, // of breakpoint, software step and watchpoint exceptions
  GPF_ON_WALK: 0x24, // plus level; level -1 is 0x23
  GPF: 0x28,
  ADDRESS_SIZE_LEVEL_M1: 0x29,
  TRANSLATION_LEVEL_M1: 0x2b,
} as const;

/** ISS of a trapped MSR, MRS or SYS instruction. */
export const ISS_SYSREG = {
  OP0: bits(21, 20),
  OP2: bits(19, 17),
  OP1: bits(16, 14),
  CRN: bits(13, 10),
  RT: bits(9, 5),
  CRM: bits(4, 1),
  READ: bit(0),
} as const;
/** ISS bits that name the register: all but RT and READ. */
export const ISS_SYSREG_ID_MASK = 0x3ffc1e;
/** The register a trapped access is to, as those bits of the ISS. */
export const sysregIss = (op0: number, op1: number, crn: number, crm: number, op2: number): number =>
  (op0 << 20) | (op2 << 17) | (op1 << 14) | (crn << 10) | (crm << 1);

/** ISS of a trapped WFx. */
export const ISS_WFX = {
  RN: bits(9, 5),
  RV: bit(2),
  TI: bits(1, 0), // 0 WFI, 1 WFE, 2 WFIT, 3 WFET
} as const;

/** ISS of an SError. */
export const ISS_SERROR = { IDS: bit(24), AET: bits(12, 10), EA: bit(9), DFSC: bits(5, 0) } as const;

/** HPFAR_EL2: IPA[51:12] of a stage-2 fault. */
export const HPFAR_EL2 = { FIPA: bits(43, 4), NS: bit(63) } as const;
/** IPA of the page that HPFAR_EL2 names. */
export const ipaOfHpfar = (hpfar: bigint): bigint => HPFAR_EL2.FIPA.get(hpfar) << 12n;
/** HPFAR_EL2 for the page of an IPA. */
export const hpfarOfIpa = (ipa: bigint): bigint => HPFAR_EL2.FIPA.of(ipa >> 12n);

/** SPSR_ELx and PSTATE in that format, AArch64. */
export const SPSR = {
  NZCV: bits(31, 28),
  TCO: bit(25),
  DIT: bit(24),
  UAO: bit(23),
  PAN: bit(22),
  SS: bit(21),
  IL: bit(20),
  ALLINT: bit(13),
  SSBS: bit(12),
  BTYPE: bits(11, 10),
  DAIF: bits(9, 6),
  AARCH32: bit(4),
  M: bits(3, 0), // 0 EL0, 4 EL1t, 5 EL1h, 8 EL2t, 9 EL2h, 12 EL3t, 13 EL3h
} as const;
/** EL1h and EL2h with D, A, I and F masked. */
export const SPSR_EL1H_MASKED = 0x3c5n;
export const SPSR_EL2H_MASKED = 0x3c9n;

/** HCR_EL2, Hypervisor Configuration Register. */
export const HCR_EL2 = {
  VM: bit(0),
  SWIO: bit(1),
  PTW: bit(2),
  FMO: bit(3),
  IMO: bit(4),
  AMO: bit(5),
  VF: bit(6),
  VI: bit(7),
  VSE: bit(8),
  FB: bit(9),
  BSU: bits(11, 10),
  DC: bit(12),
  TWI: bit(13),
  TWE: bit(14),
  TID0: bit(15),
  TID1: bit(16),
  TID2: bit(17),
  TID3: bit(18),
  TSC: bit(19),
  TIDCP: bit(20),
  TACR: bit(21),
  TSW: bit(22),
  TVM: bit(26),
  TGE: bit(27),
  HCD: bit(29),
  TRVM: bit(30),
  RW: bit(31),
  E2H: bit(34),
  TLOR: bit(35),
  TERR: bit(36),
  TEA: bit(37),
  APK: bit(40),
  API: bit(41),
  FWB: bit(46),
  GPF: bit(48),
} as const;

/** VTCR_EL2, stage-2 translation control. */
export const VTCR_EL2 = {
  T0SZ: bits(5, 0),
  SL0: bits(7, 6),
  IRGN0: bits(9, 8),
  ORGN0: bits(11, 10),
  SH0: bits(13, 12),
  TG0: bits(15, 14),
  PS: bits(18, 16),
  VS: bit(19),
  HA: bit(21),
  HD: bit(22),
  NSW: bit(29),
  NSA: bit(30),
  RES1: bit(31),
  DS: bit(32),
  SL2: bit(33),
} as const;

/** VTTBR_EL2. */
export const VTTBR_EL2 = { BADDR: bits(47, 1), VMID: bits(63, 48) } as const;

/** CNTx_CTL_EL0, timer control. */
export const CNT_CTL = { ENABLE: bit(0), IMASK: bit(1), ISTATUS: bit(2) } as const;
/** Whether a timer's output is asserted, from its control register with ISTATUS live. */
export const timerAsserted = (ctl: number): boolean => (ctl & 7) === 5;

/** CNTHCTL_EL2 with HCR_EL2.E2H = 1. */
export const CNTHCTL_EL2 = {
  EL1PCTEN: bit(10),
  EL1PTEN: bit(11),
  CNTVMASK: bit(18), // FEAT_RME: masks the EL1 virtual timer's output
  CNTPMASK: bit(19),
} as const;

/** ICH_LR<n>_EL2, list register. */
export const ICH_LR = {
  VINTID: bits(31, 0),
  PINTID: bits(44, 32), // HW = 1; with HW = 0 bit 41 is EOI
  EOI: bit(41),
  PRIORITY: bits(55, 48),
  GROUP: bit(60),
  HW: bit(61),
  STATE: bits(63, 62), // 0 inactive, 1 pending, 2 active, 3 both
} as const;

/** ICH_HCR_EL2. */
export const ICH_HCR_EL2 = {
  EN: bit(0),
  UIE: bit(1),
  LRENPIE: bit(2),
  NPIE: bit(3),
  VGRP0EIE: bit(4),
  VGRP0DIE: bit(5),
  VGRP1EIE: bit(6),
  VGRP1DIE: bit(7),
  VSGIEOICOUNT: bit(8),
  TC: bit(10),
  TALL0: bit(11),
  TALL1: bit(12),
  TSEI: bit(13),
  TDIR: bit(14),
  DVIM: bit(15),
  EOICOUNT: bits(31, 27),
} as const;

/** ICH_VTR_EL2. */
export const ICH_VTR_EL2 = {
  LISTREGS: bits(4, 0), // list registers minus one
  TDS: bit(19),
  NV4: bit(20),
  A3V: bit(21),
  SEIS: bit(22),
  IDBITS: bits(25, 23), // 0: 16 bits, 1: 24 bits
  PREBITS: bits(28, 26), // minus one
  PRIBITS: bits(31, 29), // minus one
} as const;

/** Private peripheral interrupts of the EL1 timers. Server Base System Architecture. */
export const PPI = {
  PMU: 23,
  EL1_VIRTUAL_TIMER: 27,
  EL1_PHYSICAL_TIMER: 30,
  EL2_PHYSICAL_TIMER: 26,
  EL2_VIRTUAL_TIMER: 28,
} as const;
