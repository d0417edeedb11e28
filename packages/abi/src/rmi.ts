/**
 * RMI, the interface between the Host and the RMM: FIDs, status codes, enumerations, structures, feature registers.
 * DEN0137 1.0-rel0, "Realm Management Interface". All structures are little-endian. Bytes that no field names are SBZ
 * from Host to RMM and MBZ from RMM to Host.
 */
import { GRANULE_SIZE } from "./granule.js";
import { bit, bits, bytes, i64, layout, u8, u16, u32, u64, u64s } from "./layout.js";

/** Function identifiers of RMI 1.0. 0xC4000156, 160 and 163 are unallocated in this version. */
export const RMI_FID = {
  RMI_VERSION: 0xc400_0150n,
  RMI_GRANULE_DELEGATE: 0xc400_0151n,
  RMI_GRANULE_UNDELEGATE: 0xc400_0152n,
  RMI_DATA_CREATE: 0xc400_0153n,
  RMI_DATA_CREATE_UNKNOWN: 0xc400_0154n,
  RMI_DATA_DESTROY: 0xc400_0155n,
  RMI_REALM_ACTIVATE: 0xc400_0157n,
  RMI_REALM_CREATE: 0xc400_0158n,
  RMI_REALM_DESTROY: 0xc400_0159n,
  RMI_REC_CREATE: 0xc400_015an,
  RMI_REC_DESTROY: 0xc400_015bn,
  RMI_REC_ENTER: 0xc400_015cn,
  RMI_RTT_CREATE: 0xc400_015dn,
  RMI_RTT_DESTROY: 0xc400_015en,
  RMI_RTT_MAP_UNPROTECTED: 0xc400_015fn,
  RMI_RTT_READ_ENTRY: 0xc400_0161n,
  RMI_RTT_UNMAP_UNPROTECTED: 0xc400_0162n,
  RMI_PSCI_COMPLETE: 0xc400_0164n,
  RMI_FEATURES: 0xc400_0165n,
  RMI_RTT_FOLD: 0xc400_0166n,
  RMI_REC_AUX_COUNT: 0xc400_0167n,
  RMI_RTT_INIT_RIPAS: 0xc400_0168n,
  RMI_RTT_SET_RIPAS: 0xc400_0169n,
} as const;
export type RmiCommand = keyof typeof RMI_FID;

/** The range that EL3 forwards to the RMM; its last id is RMI_REQ_COMPLETE (rmm-el3.ts), which only the RMM may issue. */
export const RMI_FID_FIRST = 0xc400_0150n;
export const RMI_FID_LAST = 0xc400_018fn;

/** RmiInterfaceVersion: 15:0 minor, 30:16 major. */
export const RMI_ABI_VERSION_1_0 = 0x0001_0000n;

/** RmiStatusCode. */
export const RMI_STATUS = {
  RMI_SUCCESS: 0,
  RMI_ERROR_INPUT: 1,
  RMI_ERROR_REALM: 2,
  RMI_ERROR_REC: 3,
  RMI_ERROR_RTT: 4,
} as const;
export type RmiStatus = keyof typeof RMI_STATUS;
export type RmiError = Exclude<RmiStatus, "RMI_SUCCESS">;
export const RMI_STATUS_NAMES = Object.keys(RMI_STATUS) as RmiStatus[];

/** RmiCommandReturnCode, X0 of every command. */
export const RMI_RETURN_CODE = {
  STATUS: bits(7, 0),
  INDEX: bits(15, 8), // RMI_ERROR_RTT: the RTT level at which the walk ended; RMI_ERROR_REALM of REC_ENTER: 1 = system off
} as const;

/** X0 of a command that ended with `status` and `index`. */
export const rmiReturnCode = (status: RmiStatus, index = 0): bigint =>
  RMI_RETURN_CODE.STATUS.of(RMI_STATUS[status]) | RMI_RETURN_CODE.INDEX.of(index);

/** What X0 of a command says; undefined when it is no RmiCommandReturnCode (SMCCC_NOT_SUPPORTED). */
export function parseRmiReturnCode(x0: bigint): { readonly status: RmiStatus; readonly index: number } | undefined {
  const status = RMI_STATUS_NAMES[Number(RMI_RETURN_CODE.STATUS.get(x0))];
  if (status === undefined || x0 >> 16n !== 0n) return undefined;
  return { status, index: Number(RMI_RETURN_CODE.INDEX.get(x0)) };
}

/** RmiFeatureRegister0, RMI_FEATURES index 0. */
export const RMI_FEATURE_REGISTER_0 = {
  S2SZ: bits(7, 0), // maximum Realm IPA width in bits
  LPA2: bit(8),
  SVE_EN: bit(9),
  SVE_VL: bits(13, 10), // maximum vector length = (SVE_VL + 1) * 128 bits
  NUM_BPS: bits(19, 14), // breakpoints minus one; 0 reserved
  NUM_WPS: bits(25, 20), // watchpoints minus one; 0 reserved
  PMU_EN: bit(26),
  PMU_NUM_CTRS: bits(31, 27), // not minus one
  HASH_SHA_256: bit(32),
  HASH_SHA_512: bit(33),
  GICV3_NUM_LRS: bits(37, 34), // list registers minus one
  MAX_RECS_ORDER: bits(41, 38), // RECs of one Realm: at most 2^MAX_RECS_ORDER - 1
  MBZ: bits(63, 42),
} as const;

/** RmiHashAlgorithm. */
export const RmiHashAlgorithm = { SHA_256: 0, SHA_512: 1 } as const;

/** RmiRipas. */
export const RmiRipas = { EMPTY: 0, RAM: 1, DESTROYED: 2 } as const;
export type RmiRipas = (typeof RmiRipas)[keyof typeof RmiRipas];
export const RIPAS_NAMES = ["EMPTY", "RAM", "DESTROYED"] as const;

/** RmiRttEntryState: UNASSIGNED also for UNASSIGNED_NS, ASSIGNED also for ASSIGNED_NS. */
export const RmiRttEntryState = { UNASSIGNED: 0, ASSIGNED: 1, TABLE: 2 } as const;

/** RmiDataFlags, RMI_DATA_CREATE X5. */
export const RMI_DATA_FLAGS = { MEASURE: bit(0), SBZ: bits(63, 1) } as const;

/** RmiRealmFlags. */
export const RMI_REALM_FLAGS = { LPA2: bit(0), SVE: bit(1), PMU: bit(2), SBZ: bits(63, 3) } as const;

/** RmiRealmParams, the argument of RMI_REALM_CREATE. DEN0137, "RmiRealmParams type". */
export const RmiRealmParams = layout("RmiRealmParams", GRANULE_SIZE, {
  flags: u64(0x0), // RMI_REALM_FLAGS
  s2sz: u8(0x8), // requested IPA width in bits
  sve_vl: u8(0x10), // vector length = (sve_vl + 1) * 128 bits
  num_bps: u8(0x18), // breakpoints minus one
  num_wps: u8(0x20), // watchpoints minus one
  pmu_num_ctrs: u8(0x28),
  hash_algo: u8(0x30), // RmiHashAlgorithm
  rpv: bytes(0x400, 64), // Realm Personalization Value
  vmid: u16(0x800),
  rtt_base: u64(0x808),
  rtt_level_start: i64(0x810),
  rtt_num_start: u32(0x818),
});

/** RmiRecMpidr. Bits 7:4 and 63:32 SBZ. */
export const RMI_REC_MPIDR = {
  AFF0: bits(3, 0),
  AFF1: bits(15, 8),
  AFF2: bits(23, 16),
  AFF3: bits(31, 24),
} as const;

/** The index of a REC, 0, 1, 2 ... in order of creation, as RmiRecMpidr carries it. DEN0137, "RecIndex". */
export const recMpidrOfIndex = (index: number): bigint =>
  RMI_REC_MPIDR.AFF0.of(index & 0xf) |
  RMI_REC_MPIDR.AFF1.of((index >> 4) & 0xff) |
  RMI_REC_MPIDR.AFF2.of((index >> 12) & 0xff) |
  RMI_REC_MPIDR.AFF3.of((index >> 20) & 0xff);

/** MPIDR_EL1 as the REC of that index reads it, bit 31 (RES1) set; without bit 31: PSCI target, device tree `reg`. */
export const mpidrOfIndex = (index: number): bigint =>
  0x8000_0000n |
  BigInt((index & 0xf) | (((index >> 4) & 0xff) << 8) | (((index >> 12) & 0xff) << 16)) |
  (BigInt((index >> 20) & 0xff) << 32n);

/** The index that an MPIDR_EL1 value (PSCI target) names; bits that are no affinity bits are ignored. */
export const indexOfMpidr = (mpidr: bigint): number =>
  Number(mpidr & 0xfn) +
  16 * Number((mpidr >> 8n) & 0xffn) +
  4096 * Number((mpidr >> 16n) & 0xffn) +
  1048576 * Number((mpidr >> 32n) & 0xffn);

/** RmiRecCreateFlags. */
export const RMI_REC_CREATE_FLAGS = { RUNNABLE: bit(0), SBZ: bits(63, 1) } as const;

/** Auxiliary Granules that RmiRecParams can name. */
export const REC_AUX_MAX = 16;

/** RmiRecParams, the argument of RMI_REC_CREATE. DEN0137, "RmiRecParams type". */
export const RmiRecParams = layout("RmiRecParams", GRANULE_SIZE, {
  flags: u64(0x0), // RMI_REC_CREATE_FLAGS
  mpidr: u64(0x100), // RMI_REC_MPIDR
  pc: u64(0x200),
  gprs: u64s(0x300, 8), // X0 to X7; the others start as 0
  num_aux: u64(0x800),
  aux: u64s(0x808, REC_AUX_MAX),
});

/** RmiRecEnterFlags. */
export const RMI_REC_ENTER_FLAGS = {
  EMUL_MMIO: bit(0), // the Host has emulated the access of the last Emulatable Data Abort
  INJECT_SEA: bit(1), // inject a Synchronous External Abort for it; EMUL_MMIO is then ignored
  TRAP_WFI: bit(2),
  TRAP_WFE: bit(3),
  RIPAS_RESPONSE: bit(4), // RmiResponse
  SBZ: bits(63, 5),
} as const;

/** RmiResponse. */
export const RmiResponse = { ACCEPT: 0, REJECT: 1 } as const;

/** Number of general registers that RmiRecRun carries each way. */
export const REC_RUN_GPRS = 31;
/** Number of list registers that RmiRecRun has room for; RMI_FEATURE_REGISTER_0.GICV3_NUM_LRS says how many count. */
export const REC_GIC_LRS = 16;

/** Offset of RmiRecExit in RmiRecRun. */
export const REC_EXIT_OFFSET = 0x800;

/** RmiRecEnter, first half of RmiRecRun: read by the RMM, never written. DEN0137, "RmiRecEnter type". */
export const RmiRecEnter = layout("RmiRecEnter", 0x800, {
  flags: u64(0x0), // RMI_REC_ENTER_FLAGS
  gprs: u64s(0x200, REC_RUN_GPRS),
  gicv3_hcr: u64(0x300), // only the bits of REC_GIC_HCR_HOST_MASK
  gicv3_lrs: u64s(0x308, REC_GIC_LRS),
});

/** RmiRecExit, second half of RmiRecRun; offsets here are from the half's start. DEN0137, "RmiRecExit type". */
export const RmiRecExit = layout("RmiRecExit", 0x800, {
  exit_reason: u8(0x0), // RmiRecExitReason
  esr: u64(0x100),
  far: u64(0x108),
  hpfar: u64(0x110),
  gprs: u64s(0x200, REC_RUN_GPRS),
  gicv3_hcr: u64(0x300),
  gicv3_lrs: u64s(0x308, REC_GIC_LRS),
  gicv3_misr: u64(0x388),
  gicv3_vmcr: u64(0x390),
  cntp_ctl: u64(0x400),
  cntp_cval: u64(0x408),
  cntv_ctl: u64(0x410),
  cntv_cval: u64(0x418),
  ripas_base: u64(0x500),
  ripas_top: u64(0x508),
  ripas_value: u8(0x510), // RmiRipas
  imm: u16(0x600), // of RSI_HOST_CALL
  pmu_ovf_status: u8(0x700),
});

/** RmiRecExitReason. */
export const RmiRecExitReason = {
  RMI_EXIT_SYNC: 0,
  RMI_EXIT_IRQ: 1,
  RMI_EXIT_FIQ: 2,
  RMI_EXIT_PSCI: 3,
  RMI_EXIT_RIPAS_CHANGE: 4,
  RMI_EXIT_HOST_CALL: 5,
  RMI_EXIT_SERROR: 6,
} as const;
export type RmiRecExitReason = (typeof RmiRecExitReason)[keyof typeof RmiRecExitReason];
export const REC_EXIT_REASON_NAMES = Object.keys(RmiRecExitReason) as (keyof typeof RmiRecExitReason)[];

/**
 * ICH_HCR_EL2 bits that the Host may set in RmiRecEnter.gicv3_hcr: UIE, LRENPIE, NPIE, VGrp0EIE, VGrp0DIE, VGrp1EIE,
 * VGrp1DIE, TDIR. Any other bit: RMI_ERROR_REC. DEN0137, "RmiRecEnter type".
 */
export const REC_GIC_HCR_HOST_MASK = 0x40fen;
/** ICH_HCR_EL2 bits that RmiRecExit.gicv3_hcr shows: EOIcount and the Host's own. */
export const REC_GIC_HCR_EXIT_MASK = 0xf800_40fen;

/**
 * ESR_EL2 fields that RmiRecExit.esr shows, per kind of exit; all other bits are zero. DEN0137, "REC exit due to Data
 * Abort" and its siblings. IL is hidden throughout: the ACS requires 0 where the text of 1.0-rel0 would show it.
 */
export const REC_EXIT_ESR_MASK = {
  WFX: 0xfc00_0003n, // EC, TI
  EMULATABLE_ABORT: 0xfdc0_9e7fn, // EC, ISV, SAS, SF, SET, FnV, EA, WnR, DFSC
  DATA_ABORT: 0xfc00_1e3fn, // EC, SET, FnV, EA, DFSC
  INSTRUCTION_ABORT: 0xfc00_1a3fn, // EC, SET, EA, IFSC
  SERROR: 0xfd00_1e3fn, // EC, IDS, AET, EA, DFSC
} as const;

/** Bits of an NS descriptor that the Host gives to RMI_RTT_MAP_UNPROTECTED and reads back; every other bit MBZ. */
export const RMI_NS_DESC = {
  MEM_ATTR: bits(4, 2), // FEAT_S2FWB encoding; 0b100 is reserved
  S2AP: bits(7, 6), // bit 0 read, bit 1 write
  ADDR: bits(47, 12),
} as const;
/** MemAttr[2:0] with FEAT_S2FWB: Normal Write-Back, Normal Non-cacheable, as stage 1 says. */
export const NS_MEM_ATTR = { NORMAL_WB: 6, NORMAL_NC: 5, STAGE1: 7 } as const;
export const NS_S2AP = { NONE: 0, READ: 1, WRITE: 2, READ_WRITE: 3 } as const;

/** log2 of the size of an RTT entry at a level, in bytes: 12, 21, 30, 39 for levels 3 to 0. */
export const rttEntryShift = (level: number): number => 12 + 9 * (3 - level);
/** Size of an RTT entry at a level, in bytes. */
export const rttEntrySize = (level: number): bigint => 1n << BigInt(rttEntryShift(level));
