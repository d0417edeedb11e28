/**
 * The state of a PE as 32-bit words, and what the physical and the virtual interface share. Words, because a bigint for
 * each look at a list register would be an allocation.
 */
import type { Pe } from "../pe.js";

export class Slots {
  readonly words: Uint32Array;

  constructor(pe: Pe) {
    this.words = new Uint32Array(pe.bytes.buffer, pe.bytes.byteOffset, pe.bytes.byteLength >> 2);
  }

  /** The low half of a slot. */
  low(slot: number): number {
    return this.words[slot * 2]!;
  }

  high(slot: number): number {
    return this.words[slot * 2 + 1]!;
  }

  /** Sets a slot to a 32-bit value. */
  set(slot: number, value: number): void {
    this.words[slot * 2] = value;
    this.words[slot * 2 + 1] = 0;
  }

  setHigh(slot: number, value: number): void {
    this.words[slot * 2 + 1] = value;
  }
}

/** Number of the lowest bit set; -1 for none. */
export const lowestBit = (bits: number): number => 31 - Math.clz32(bits & -bits);

/** The INTID of a write of EOIR or DIR. */
export const intidOf = (value: bigint): number => Number(value & 0xff_ffffn);

/** No interrupt is active. */
export const IDLE_PRIORITY = 0xff;

/** Smallest binary points with five preemption bits: Group 0 and Secure Group 1; Non-secure and virtual Group 1. */
export const BPR_MIN = 2;
export const BPR1_MIN = 3;

/** ICC_CTLR_EL1 and ICV_CTLR_EL1. */
export const CTLR_EL1 = { CBPR: 1 << 0, EOIMODE: 1 << 1, PMHE: 1 << 6, PRIBITS: 4 << 8 };
