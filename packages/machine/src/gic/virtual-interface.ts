/**
 * The virtual CPU interface of one PE: what the ICV_* registers do over the list registers, and the hypervisor's view of
 * it, ICH_*. IHI 0069H, "AArch64 virtual interface control System registers", "AArch64 System register descriptions of
 * the virtual registers".
 *
 * A block move can leave ICH_VMCR_EL2 with binary points below their minimum; they count as the minimum.
 */
import { R } from "../cpu/state.js";
import { Line } from "../irq.js";
import type { Distributor } from "./distributor.js";
import { INTID_SECURE, INTID_SPURIOUS, PRIORITY_MASK } from "./interrupts.js";
import { BPR_MIN, BPR1_MIN, CTLR_EL1, IDLE_PRIORITY, intidOf, lowestBit, type Slots } from "./slots.js";

/** ICH_VTR_EL2: 16 list registers, TDS, nV4, IDbits 16, PREbits 5, PRIbits 5. */
export const ICH_VTR = 0x9018_000fn;
export const LIST_REGISTERS = 16;

const VMCR = { VENG0: 1 << 0, VENG1: 1 << 1, VFIQEN: 1 << 3, VCBPR: 1 << 4, VEOIM: 1 << 9 };
const ICH_HCR = {
  EN: 1 << 0,
  UIE: 1 << 1,
  LRENPIE: 1 << 2,
  NPIE: 1 << 3,
  VGRP0EIE: 1 << 4,
  VGRP0DIE: 1 << 5,
  VGRP1EIE: 1 << 6,
  VGRP1DIE: 1 << 7,
};
const ICH_HCR_WRITABLE = 0xf800_fdff;
/** Bits that ask for a maintenance interrupt, whatever the list registers hold. */
const ICH_HCR_CONDITIONS = 0xfe;
/** Fields of a list register's high word. */
const LR_HI = { EOI: 1 << 9, GROUP1: 1 << 28, HW: 1 << 29 };
const LrState = { INVALID: 0, PENDING: 1, ACTIVE: 2, BOTH: 3 } as const;
const LR_SLOT = R.ICH_LR0;
/** Word of the first list register's high half. */
const LR_HIGH = R.ICH_LR0 * 2 + 1;

export class VirtualInterface {
  readonly #pe: number;
  readonly #slots: Slots;
  /** For list registers with HW = 1. */
  readonly #distributor: Distributor;

  constructor(pe: number, slots: Slots, distributor: Distributor) {
    this.#pe = pe;
    this.#slots = slots;
    this.#distributor = distributor;
  }

  #lrState(n: number): number {
    return this.#slots.high(LR_SLOT + n) >>> 30;
  }

  #lrHigh(n: number): number {
    return this.#slots.high(LR_SLOT + n);
  }

  #setLrState(n: number, state: number): void {
    this.#slots.setHigh(LR_SLOT + n, (this.#lrHigh(n) & 0x3fff_ffff) | (state << 30));
  }

  /**
   * Whether a list register may hold an interrupt or ask for maintenance. Mostly none does, and the signals of a PE are
   * looked at at each ERET of a guest: the scans after this one would take a third of an exception's round trip.
   */
  #anyInUse(): boolean {
    const { words } = this.#slots;
    let union = 0;
    for (let n = 0; n < LIST_REGISTERS; n++) union |= words[LR_HIGH + 2 * n]!;
    return union !== 0;
  }

  /**
   * Whether the interface is on and has anything to say: without list registers in use and without maintenance interrupts
   * asked for, as most of the time, there is neither a line nor a maintenance condition.
   */
  isActive(): boolean {
    const hcr = this.#slots.low(R.ICH_HCR_EL2);
    return (hcr & ICH_HCR.EN) !== 0 && ((hcr & ICH_HCR_CONDITIONS) !== 0 || this.#anyInUse());
  }

  /** Line.VIRQ, Line.VFIQ or 0. */
  lines(): number {
    if (!this.#anyInUse() || !this.#isEnabled()) return 0;
    const n = this.#hppi();
    if (n < 0 || !this.#preempts(n)) return 0;
    return this.#lrHigh(n) & LR_HI.GROUP1 ? Line.VIRQ : Line.VFIQ;
  }

  /** IHI 0069H, ICH_HCR_EL2.En: without it nothing is signalled, and reads of ICV_IARn_EL1 are spurious; no more. */
  #isEnabled(): boolean {
    return (this.#slots.low(R.ICH_HCR_EL2) & ICH_HCR.EN) !== 0;
  }

  /** The list register with the highest priority pending interrupt of an enabled group; -1: none. */
  #hppi(): number {
    const vmcr = this.#slots.low(R.ICH_VMCR_EL2);
    let best = -1;
    let bestPriority = 0x100;
    for (let n = 0; n < LIST_REGISTERS; n++) {
      const high = this.#lrHigh(n);
      if (high >>> 30 !== LrState.PENDING) continue;
      if (!(vmcr & (high & LR_HI.GROUP1 ? VMCR.VENG1 : VMCR.VENG0))) continue;
      const priority = (high >>> 16) & 0xff;
      if (priority < bestPriority) {
        bestPriority = priority;
        best = n;
      }
    }
    return best;
  }

  #preempts(n: number): boolean {
    const high = this.#lrHigh(n);
    const priority = (high >>> 16) & 0xff;
    if (priority >= this.#slots.low(R.ICH_VMCR_EL2) >>> 24) return false;
    const running = this.#runningPriority();
    if (running === IDLE_PRIORITY) return true;
    const mask = this.#priorityMask((high & LR_HI.GROUP1) !== 0);
    return (priority & mask) < (running & mask);
  }

  #runningPriority(): number {
    const active = this.#slots.low(R.ICH_AP0R0_EL2) | this.#slots.low(R.ICH_AP1R0_EL2);
    return active === 0 ? IDLE_PRIORITY : lowestBit(active) << 3;
  }

  #priorityMask(group1: boolean): number {
    const vmcr = this.#slots.low(R.ICH_VMCR_EL2);
    const point = group1 && !(vmcr & VMCR.VCBPR) ? vbpr1Of(vmcr) - 1 : vbpr0Of(vmcr);
    return (0xff << (point + 1)) & 0xff;
  }

  #acknowledge(group1: boolean): number {
    const n = this.#isEnabled() ? this.#hppi() : -1;
    if (n < 0 || ((this.#lrHigh(n) & LR_HI.GROUP1) !== 0) !== group1 || !this.#preempts(n)) {
      return INTID_SPURIOUS;
    }
    const intid = this.#slots.low(LR_SLOT + n);
    if (intid >= INTID_SECURE && intid <= INTID_SPURIOUS) {
      this.#setLrState(n, LrState.INVALID);
      return INTID_SPURIOUS;
    }
    const priority = (this.#lrHigh(n) >>> 16) & 0xff & this.#priorityMask(group1);
    const slot = group1 ? R.ICH_AP1R0_EL2 : R.ICH_AP0R0_EL2;
    this.#slots.set(slot, (this.#slots.low(slot) | (1 << (priority >> 3))) >>> 0);
    this.#setLrState(n, LrState.ACTIVE);
    return intid;
  }

  #hppirOf(group1: boolean): number {
    const n = this.#hppi();
    if (n < 0 || ((this.#lrHigh(n) & LR_HI.GROUP1) !== 0) !== group1) return INTID_SPURIOUS;
    return this.#slots.low(LR_SLOT + n);
  }

  #eoi(intid: number, group1: boolean): void {
    if (intid >= INTID_SECURE && intid <= INTID_SPURIOUS) return;
    const running = this.#runningPriority();
    if (running === IDLE_PRIORITY) return;
    const bit = 1 << (running >> 3);
    const slot = this.#slots.low(R.ICH_AP0R0_EL2) & bit ? R.ICH_AP0R0_EL2 : R.ICH_AP1R0_EL2;
    this.#slots.set(slot, (this.#slots.low(slot) & ~bit) >>> 0);
    if (this.#slots.low(R.ICH_VMCR_EL2) & VMCR.VEOIM) return;
    const n = this.#findActive(intid);
    if (n < 0) {
      this.#countEoi(intid);
      return;
    }
    const high = this.#lrHigh(n);
    const own = ((high & LR_HI.GROUP1) !== 0) === group1;
    const dropped = ((high >>> 16) & 0xff & this.#priorityMask(group1) & PRIORITY_MASK) === running;
    if (own && dropped) this.#deactivate(n);
  }

  #dir(intid: number): void {
    if (!(this.#slots.low(R.ICH_VMCR_EL2) & VMCR.VEOIM)) return;
    if (intid >= INTID_SECURE && intid <= INTID_SPURIOUS) return;
    const n = this.#findActive(intid);
    if (n < 0) this.#countEoi(intid);
    else this.#deactivate(n);
  }

  #findActive(intid: number): number {
    for (let n = 0; n < LIST_REGISTERS; n++) {
      if (this.#lrState(n) & LrState.ACTIVE && this.#slots.low(LR_SLOT + n) === intid) return n;
    }
    return -1;
  }

  #deactivate(n: number): void {
    const high = this.#lrHigh(n);
    this.#setLrState(n, this.#lrState(n) & ~LrState.ACTIVE);
    if (!(high & LR_HI.HW)) return;
    const pintid = high & 0x1fff;
    if (pintid < INTID_SECURE) this.#distributor.deactivate(this.#pe, pintid);
  }

  /** A deactivation of an INTID that is in no list register; LPIs do not count. */
  #countEoi(intid: number): void {
    if (intid >= 8192) return;
    const hcr = this.#slots.low(R.ICH_HCR_EL2);
    this.#slots.set(R.ICH_HCR_EL2, ((hcr & 0x07ff_ffff) | ((((hcr >>> 27) + 1) & 0x1f) << 27)) >>> 0);
  }

  #eisr(): number {
    let bits = 0;
    for (let n = 0; n < LIST_REGISTERS; n++) {
      const high = this.#lrHigh(n);
      if (high >>> 30 === LrState.INVALID && !(high & LR_HI.HW) && high & LR_HI.EOI) bits |= 1 << n;
    }
    return bits;
  }

  #elrsr(): number {
    let bits = 0;
    for (let n = 0; n < LIST_REGISTERS; n++) {
      const high = this.#lrHigh(n);
      if (high >>> 30 === LrState.INVALID && (high & LR_HI.HW || !(high & LR_HI.EOI))) bits |= 1 << n;
    }
    return bits;
  }

  /** ICH_MISR_EL2: which maintenance conditions hold. */
  misr(): number {
    const hcr = this.#slots.low(R.ICH_HCR_EL2);
    const vmcr = this.#slots.low(R.ICH_VMCR_EL2);
    let valid = 0;
    let pending = false;
    let misr = 0;
    if (this.#anyInUse()) {
      for (let n = 0; n < LIST_REGISTERS; n++) {
        const state = this.#lrState(n);
        if (state !== LrState.INVALID) valid++;
        if (state === LrState.PENDING) pending = true;
      }
      if (this.#eisr() !== 0) misr |= 1 << 0;
    }
    if (hcr & ICH_HCR.UIE && valid <= 1) misr |= 1 << 1;
    if (hcr & ICH_HCR.LRENPIE && hcr >>> 27 !== 0) misr |= 1 << 2;
    if (hcr & ICH_HCR.NPIE && !pending) misr |= 1 << 3;
    if (hcr & ICH_HCR.VGRP0EIE && vmcr & VMCR.VENG0) misr |= 1 << 4;
    if (hcr & ICH_HCR.VGRP0DIE && !(vmcr & VMCR.VENG0)) misr |= 1 << 5;
    if (hcr & ICH_HCR.VGRP1EIE && vmcr & VMCR.VENG1) misr |= 1 << 6;
    if (hcr & ICH_HCR.VGRP1DIE && !(vmcr & VMCR.VENG1)) misr |= 1 << 7;
    return misr;
  }

  /** The maintenance interrupt. */
  maintenance(): boolean {
    return this.#isEnabled() && this.misr() !== 0;
  }

  #setVmcrBits(mask: number, value: number): void {
    this.#slots.set(R.ICH_VMCR_EL2, ((this.#slots.low(R.ICH_VMCR_EL2) & ~mask) | (value & mask)) >>> 0);
  }

  // Registers, as the table of gic/cpu-registers.ts names them.

  readIar(group1: boolean): bigint {
    return BigInt(this.#acknowledge(group1));
  }

  readHppir(group1: boolean): bigint {
    return BigInt(this.#hppirOf(group1));
  }

  writeEoir(value: bigint, group1: boolean): void {
    this.#eoi(intidOf(value), group1);
  }

  writeDir(value: bigint): void {
    this.#dir(intidOf(value));
  }

  readPmr(): bigint {
    return BigInt(this.#slots.low(R.ICH_VMCR_EL2) >>> 24);
  }

  writePmr(value: bigint): void {
    this.#setVmcrBits(0xff00_0000, (Number(value & 0xffn) & PRIORITY_MASK) << 24);
  }

  readRpr(): bigint {
    return BigInt(this.#runningPriority());
  }

  readCtlr(): bigint {
    const vmcr = this.#slots.low(R.ICH_VMCR_EL2);
    return BigInt(
      CTLR_EL1.PRIBITS | (vmcr & VMCR.VCBPR ? CTLR_EL1.CBPR : 0) | (vmcr & VMCR.VEOIM ? CTLR_EL1.EOIMODE : 0),
    );
  }

  writeCtlr(value: bigint): void {
    const bits = Number(value & 0xffff_ffffn);
    this.#setVmcrBits(
      VMCR.VCBPR | VMCR.VEOIM,
      (bits & CTLR_EL1.CBPR ? VMCR.VCBPR : 0) | (bits & CTLR_EL1.EOIMODE ? VMCR.VEOIM : 0),
    );
  }

  readBpr0(): bigint {
    return BigInt(vbpr0Of(this.#slots.low(R.ICH_VMCR_EL2)));
  }

  writeBpr0(value: bigint): void {
    this.#setVmcrBits(7 << 21, Math.max(Number(value & 7n), BPR_MIN) << 21);
  }

  readBpr1(): bigint {
    const vmcr = this.#slots.low(R.ICH_VMCR_EL2);
    return BigInt(vmcr & VMCR.VCBPR ? Math.min(vbpr0Of(vmcr) + 1, 7) : vbpr1Of(vmcr));
  }

  writeBpr1(value: bigint): void {
    if (this.#slots.low(R.ICH_VMCR_EL2) & VMCR.VCBPR) return;
    this.#setVmcrBits(7 << 18, Math.max(Number(value & 7n), BPR1_MIN) << 18);
  }

  readIgrpen(group1: boolean): bigint {
    return BigInt((this.#slots.low(R.ICH_VMCR_EL2) >>> (group1 ? 1 : 0)) & 1);
  }

  writeIgrpen(value: bigint, group1: boolean): void {
    const enable = Number(value & 1n);
    this.#setVmcrBits(group1 ? VMCR.VENG1 : VMCR.VENG0, group1 ? enable << 1 : enable);
  }

  readIchHcr(): bigint {
    return BigInt((this.#slots.low(R.ICH_HCR_EL2) & ICH_HCR_WRITABLE) >>> 0);
  }

  writeIchHcr(value: bigint): void {
    this.#slots.set(R.ICH_HCR_EL2, (Number(value & 0xffff_ffffn) & ICH_HCR_WRITABLE) >>> 0);
  }

  /** VFIQEn is RES1 and VAckCtl RES0 without memory-mapped operation; binary points are at least their minimum. */
  readIchVmcr(): bigint {
    return BigInt(ichVmcr(this.#slots.low(R.ICH_VMCR_EL2)));
  }

  writeIchVmcr(value: bigint): void {
    this.#slots.set(R.ICH_VMCR_EL2, Number(value & 0xffff_ffffn));
    this.#slots.set(R.ICH_VMCR_EL2, Number(this.readIchVmcr()));
  }

  readIchMisr(): bigint {
    return BigInt(this.misr());
  }
  readIchEisr(): bigint {
    return BigInt(this.#eisr());
  }
  readIchElrsr(): bigint {
    return BigInt(this.#elrsr());
  }
}

const vbpr0Of = (vmcr: number): number => Math.max((vmcr >>> 21) & 7, BPR_MIN);
const vbpr1Of = (vmcr: number): number => Math.max((vmcr >>> 18) & 7, BPR1_MIN);

/** ICH_VMCR_EL2 as it reads when its bits were moved as a block: RES1, RES0, and the least binary points. */
export function ichVmcr(bits: number): number {
  const kept = bits & ((PRIORITY_MASK << 24) | VMCR.VEOIM | VMCR.VCBPR | VMCR.VENG1 | VMCR.VENG0);
  return (kept | VMCR.VFIQEN | (vbpr0Of(bits) << 21) | (vbpr1Of(bits) << 18)) >>> 0;
}
