/**
 * Which system registers the engine accesses itself at the current EL: bits of SYS_INLINE in the PE's state. The machine
 * makes the word (`inlineWord` of ../sysreg/inline.ts) whenever a register or a level changes that it depends on. Where a bit is
 * not set an access is the machine's: it may trap, be UNDEFINED, or mean another register.
 */
import { DC_ZVA_BYTES } from "./engine.js";

export const INLINE = {
  /** EL1: registers of EL1 that nothing traps. */
  EL1: 1 << 0,
  /** EL1: reads of the virtual memory control registers (HCR_EL2.TRVM). */
  VM_READ: 1 << 1,
  /** EL1: their writes (HCR_EL2.TVM). */
  VM_WRITE: 1 << 2,
  /** EL1 reads its identity from VPIDR_EL2 and VMPIDR_EL2. */
  IDENTITY: 1 << 3,
  /** CTR_EL0. */
  CACHE_TYPE: 1 << 4,
  /** DCZID_EL0 shows that DC ZVA is allowed. */
  ZVA: 1 << 5,
  /** CNTVCT_EL0: the machine's count less CNTVOFF_EL2. */
  VIRTUAL_COUNT: 1 << 6,
  /** Cache maintenance by address: to the point of unification, and of coherency. */
  CACHE_POU: 1 << 7,
  CACHE_POC: 1 << 8,
} as const;

/** CTR_EL0: 64-byte lines, PIPT, IDC = 1, DIC = 0. */
export const CTR = 0x9444_c004;
/** DCZID_EL0: log2 of the words that DC ZVA zeroes. */
export const DCZID = Math.log2(DC_ZVA_BYTES / 4);
