/**
 * The PMU's registers: how many counters there are, which events they count, and the bits that decide when they do.
 * DDI 0487, "PMCR_EL0", "PMEVTYPER<n>_EL0", "MDCR_EL2", "MDCR_EL3"; "Common event numbers".
 */
import { R, type RegName } from "../cpu/state.js";

/** Event counters beside the cycle counter: PMCR_EL0.N. */
export const PMU_COUNTERS = 6;
/** The cycle counter's bit in PMCNTENSET_EL0 and its like. */
export const CYCLE_COUNTER = 31;
/** INTID of the overflow interrupt, a PPI. SBSA, "PPI assignments". */
export const PMU_PPI = 23;

/**
 * Events by number. A cycle is a count of the clock that this PE itself used: an instruction retired, an exception taken,
 * an ERET; none passes while the PE waits or others run. STALL events are counted exactly: they never happen here.
 */
export const PmuEvent = {
  SW_INCR: 0x00,
  INST_RETIRED: 0x08,
  EXC_TAKEN: 0x09,
  EXC_RETURN: 0x0a,
  CPU_CYCLES: 0x11,
  CHAIN: 0x1e,
  STALL_FRONTEND: 0x23,
  STALL_BACKEND: 0x24,
  STALL: 0x3c,
} as const;

/** PMCEID0_EL0 and PMCEID1_EL0: a bit for each event 0x00 to 0x1f and 0x20 to 0x3f. */
export const PMCEID = [0, 0x20].map((first) =>
  Object.values(PmuEvent)
    .filter((event) => event >= first && event < first + 32)
    .reduce((bits, event) => bits | (1n << BigInt(event - first)), 0n),
) as [bigint, bigint];

export const PMCR = {
  E: 1 << 0,
  /** Resets the event counters; reads as zero. */
  P: 1 << 1,
  /** Resets the cycle counter; reads as zero. */
  C: 1 << 2,
  DP: 1 << 5,
  /** RES1 without AArch32: the cycle counter overflows at 64 bits. */
  LC: 1 << 6,
  LP: 1 << 7,
  FZO: 1 << 9,
  N_SHIFT: 11,
} as const;
/** What a write of PMCR_EL0 keeps. X is RAZ/WI: events are exported to nobody. */
export const PMCR_STORED = PMCR.E | PMCR.DP | PMCR.LP | PMCR.FZO;

/** Filters of PMEVTYPER<n>_EL0 and PMCCFILTR_EL0. */
export const FILTER = {
  P: 31,
  U: 30,
  NSK: 29,
  NSU: 28,
  NSH: 27,
  M: 26,
  SH: 24,
  RLK: 22,
  RLU: 21,
  RLH: 20,
} as const;
const FILTERS = Object.values(FILTER).reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n);
export const PMCCFILTR_MASK = FILTERS;
/** The filters and the event's number; MT is RES0. */
export const PMEVTYPER_MASK = FILTERS | 0xffffn;

/** PMU fields of MDCR_EL2, low word. */
export const MDCR2 = {
  HPMN: 0x1f,
  TPMCR: 1 << 5,
  TPM: 1 << 6,
  HPME: 1 << 7,
  HPMD: 1 << 17,
  HCCD: 1 << 23,
  HLP: 1 << 26,
  HPMFZO: 1 << 29,
} as const;

/** PMU fields of MDCR_EL3: low word, then high word. */
export const MDCR3 = { TPM: 1 << 6, SPME: 1 << 17, SCCD: 1 << 23 } as const;
export const MDCR3_H = { MCCD: 1 << (34 - 32), MPMX: 1 << (35 - 32) } as const;

/** PMUSERENR_EL0: what EL0 may do. */
export const PMUSERENR = { EN: 1 << 0, SW: 1 << 1, CR: 1 << 2, ER: 1 << 3 } as const;

/** Word indices. */
export const PMCR_LO = R.PMCR_EL0 * 2;
export const PMSELR_LO = R.PMSELR_EL0 * 2;
export const PMUSERENR_LO = R.PMUSERENR_EL0 * 2;
export const PMCNTENSET_LO = R.PMCNTENSET_EL0 * 2;
export const PMINTENSET_LO = R.PMINTENSET_EL1 * 2;
export const PMOVSSET_LO = R.PMOVSSET_EL0 * 2;
export const MDCR_EL2_LO = R.MDCR_EL2 * 2;
export const MDCR_EL3_LO = R.MDCR_EL3 * 2;

/** Slot of a counter's value and of its type, by counter; the cycle counter's are PMCCNTR_EL0 and PMCCFILTR_EL0. */
const slotOf = (name: string): number => R[name as RegName];
export const counterSlot = (n: number): number => (n === CYCLE_COUNTER ? R.PMCCNTR_EL0 : slotOf("PMEVCNTR0") + n);
export const typeSlot = (n: number): number => (n === CYCLE_COUNTER ? R.PMCCFILTR_EL0 : slotOf("PMEVTYPER0") + n);

/** Counters of the first range, by MDCR_EL2.HPMN: EL1's. The others are EL2's. A number above N stands for N. */
export const firstRange = (w: Int32Array): number => Math.min(w[MDCR_EL2_LO]! & MDCR2.HPMN, PMU_COUNTERS);
