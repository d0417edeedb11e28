/**
 * The GIC CPU interface of one PE, through system registers only: the physical one (ICC_*), the virtual one that EL1 sees
 * in its place (ICV_*), and the hypervisor's control of it (ICH_*). IHI 0069H, "AArch64 System register descriptions",
 * "AArch64 virtual interface control System registers"; DDI 0487 has the same registers.
 *
 * All state is in the PE's slots (`cpu/state.ts`, groups ICC and ICH), so that firmware moves it as blocks; nothing is
 * cached here. What a block move can have left unarchitected (a binary point below its minimum) is corrected where it is
 * used. 16 list registers, 5 priority and 5 preemption bits, 16 INTID bits.
 *
 * Left out: LPIs, GICv4 direct injection, NMIs, memory-mapped operation (ICC_SRE_ELx is constant), pseudocode's routing
 * modifier (ICC_CTLR_EL3.RM is RES0).
 */
import { SecurityState } from "@realmbox/abi";
import { R } from "../cpu/state.js";
import { Line } from "../irq.js";
import type { Pe } from "../pe.js";
import {
  type Distributor,
  Group,
  type Hppi,
  hppiGroup,
  hppiIntid,
  hppiPriority,
  INTID_NONSECURE,
  INTID_SECURE,
  INTID_SPURIOUS,
  NO_HPPI,
  PRIORITY_MASK,
} from "./distributor.js";

/** ICH_VTR_EL2: 16 list registers, TDS, nV4, IDbits 16, PREbits 5, PRIbits 5. */
export const ICH_VTR = 0x9018_000fn;
export const LIST_REGISTERS = 16;
/** The maintenance interrupt's PPI. */
export const MAINTENANCE_INTID = 25;

const IDLE_PRIORITY = 0xff;
/** Smallest binary points with five preemption bits: Group 0 and Secure Group 1; Non-secure and virtual Group 1. */
const BPR_MIN = 2;
const BPR1_MIN = 3;

const CTLR_EL1 = { CBPR: 1 << 0, EOIMODE: 1 << 1, PMHE: 1 << 6, PRIBITS: 4 << 8 };
const CTLR_EL3 = {
  CBPR_EL1S: 1 << 0,
  CBPR_EL1NS: 1 << 1,
  EOIMODE_EL3: 1 << 2,
  EOIMODE_EL1S: 1 << 3,
  EOIMODE_EL1NS: 1 << 4,
  PMHE: 1 << 6,
};
const CTLR_EL3_WRITABLE = 0x5f;
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
  TC: 1 << 10,
  TALL0: 1 << 11,
  TALL1: 1 << 12,
  TDIR: 1 << 14,
};
const ICH_HCR_WRITABLE = 0xf800_fdff;
/** Fields of a list register's high word. */
const LR_HI = { EOI: 1 << 9, GROUP1: 1 << 28, HW: 1 << 29 };
const LrState = { INVALID: 0, PENDING: 1, ACTIVE: 2, BOTH: 3 } as const;

const SCR = { NS: 1 << 0, IRQ: 1 << 1, FIQ: 1 << 2, EEL2: 1 << 18 };
const HCR = { FMO: 1 << 3, IMO: 1 << 4 };

/**
 * What an access by MRS or MSR meets, before anything is read or written. "virtual": the ICV_* register of the same name
 * is accessed instead. Traps are reported with EC 0x18.
 */
export type GicAccess = "ok" | "virtual" | "undefined" | "trap-el2" | "trap-el3";

type Class = "group0" | "group1" | "common" | "sgi" | "sre" | "el2" | "el3";

interface Row {
  /** op0, op1, CRn, CRm, op2. */
  readonly encoding: readonly [number, number, number, number, number];
  readonly class: Class;
  readonly read?: (c: CpuInterface) => bigint;
  readonly write?: (c: CpuInterface, value: bigint) => void;
  /** The virtual register that takes its place at EL1. */
  readonly virtual?: Pick<Row, "read" | "write">;
}

/** One register as the system register layer lists it. */
export interface GicRegister extends Row {
  readonly name: string;
}

const LR_SLOT = R.ICH_LR0;

export class CpuInterface {
  readonly #pe: Pe;
  readonly #distributor: Distributor;
  /** The PE's state as 32-bit words: the low half of slot s is at 2s. */
  readonly #w: Uint32Array;

  constructor(pe: Pe, distributor: Distributor) {
    this.#pe = pe;
    this.#distributor = distributor;
    this.#w = new Uint32Array(pe.bytes.buffer, pe.bytes.byteOffset, pe.bytes.byteLength >> 2);
  }

  /** Values after a reset: everything zero but the binary points. */
  reset(): void {
    for (const name of ["ICC_PMR_EL1", "ICC_IGRPEN0_EL1", "ICC_IGRPEN1_EL1", "ICC_IGRPEN1_EL1_S"] as const) {
      this.#pe.r[R[name]] = 0n;
    }
    for (const name of ["ICC_AP0R0_EL1", "ICC_AP1R0_EL1", "ICC_AP1R0_EL1_S", "ICC_CTLR_EL3"] as const) {
      this.#pe.r[R[name]] = 0n;
    }
    this.#pe.r[R.ICC_BPR0_EL1] = BigInt(BPR_MIN);
    this.#pe.r[R.ICC_BPR1_EL1_S] = BigInt(BPR_MIN);
    this.#pe.r[R.ICC_BPR1_EL1] = BigInt(BPR1_MIN);
  }

  // Slots

  #get(slot: number): number {
    return this.#w[slot * 2]!;
  }

  #set(slot: number, value: number): void {
    this.#w[slot * 2] = value;
    this.#w[slot * 2 + 1] = 0;
  }

  #lrState(n: number): number {
    return this.#w[(LR_SLOT + n) * 2 + 1]! >>> 30;
  }

  #lrHigh(n: number): number {
    return this.#w[(LR_SLOT + n) * 2 + 1]!;
  }

  #setLrState(n: number, state: number): void {
    const at = (LR_SLOT + n) * 2 + 1;
    this.#w[at] = (this.#w[at]! & 0x3fff_ffff) | (state << 30);
  }

  // Who accesses

  get #scr(): number {
    return this.#get(R.SCR_EL3);
  }

  /** Secure state or EL3. */
  get #secure(): boolean {
    return this.#pe.el === 3 || this.#pe.state === SecurityState.SECURE;
  }

  /** Which copy of a banked register is accessed: EL3 chooses by SCR_EL3.NS. */
  get #secureBank(): boolean {
    if (this.#pe.el === 3) return (this.#scr & SCR.NS) === 0 && !this.#distributor.singleSecurityState;
    return this.#pe.state === SecurityState.SECURE && !this.#distributor.singleSecurityState;
  }

  get #el2Enabled(): boolean {
    return this.#pe.state !== SecurityState.SECURE || (this.#scr & SCR.EEL2) !== 0;
  }

  /** Priorities are shown shifted: Non-secure (and Realm) accesses while Group 0 is EL3's own. */
  get #shifted(): boolean {
    return !this.#secure && (this.#scr & SCR.FIQ) !== 0 && !this.#distributor.singleSecurityState;
  }

  /** Whether the PE's current EL may read or write an ICC_* or ICH_* register, and where the access goes otherwise. */
  access(row: GicRegister, write: boolean): GicAccess {
    const { el } = this.#pe;
    if (el === 0 || (write ? row.write : row.read) === undefined) return "undefined";
    switch (row.class) {
      case "el3":
        return el === 3 ? "ok" : "undefined";
      case "el2":
        if (el === 1) return "undefined";
        return el === 2 || this.#el2EnabledBelowEl3 ? "ok" : "undefined";
      case "sre":
        return "ok";
    }
    if (el === 3) return "ok";
    if (el === 1 && this.#el2Enabled) {
      const ich = this.#get(R.ICH_HCR_EL2);
      const hcr = this.#get(R.HCR_EL2);
      if (row.class === "group0") {
        if (ich & ICH_HCR.TALL0) return "trap-el2";
        if (hcr & HCR.FMO) return "virtual";
      } else if (row.class === "group1") {
        if (ich & ICH_HCR.TALL1) return "trap-el2";
        if (hcr & HCR.IMO) return "virtual";
      } else {
        if (ich & ICH_HCR.TC) return "trap-el2";
        if (row.name === "ICC_DIR_EL1" && ich & ICH_HCR.TDIR) return "trap-el2";
        // There is no virtual SGI register: the hypervisor sees these writes.
        if (hcr & (HCR.FMO | HCR.IMO)) return row.class === "sgi" ? "trap-el2" : "virtual";
      }
    }
    const routed = this.#scr & (SCR.IRQ | SCR.FIQ);
    if (row.class === "group0") return routed & SCR.FIQ ? "trap-el3" : "ok";
    if (row.class === "group1") return routed & SCR.IRQ ? "trap-el3" : "ok";
    return routed === (SCR.IRQ | SCR.FIQ) ? "trap-el3" : "ok";
  }

  /** At EL3, the ICH_* registers of the state below: absent for Secure state without Secure EL2. */
  get #el2EnabledBelowEl3(): boolean {
    return (this.#scr & (SCR.NS | SCR.EEL2)) !== 0;
  }

  // Lines

  /** Which lines into the PE are asserted, for its present EL and Security state: bits of `Line`. */
  lines(): number {
    const distributor = this.#distributor;
    const index = this.#pe.index;
    distributor.setPpi(index, MAINTENANCE_INTID, this.#maintenance());
    this.#forwardGroups();
    let lines = 0;
    const hppi = this.#signalled();
    if (hppi !== NO_HPPI) lines = this.#asFiq(hppiGroup(hppi)) ? Line.FIQ : Line.IRQ;
    if (this.#get(R.ICH_HCR_EL2) & ICH_HCR.EN) {
      const n = this.#virtualHppi();
      if (n >= 0 && this.#virtualPreempts(n)) lines |= this.#lrHigh(n) & LR_HI.GROUP1 ? Line.VIRQ : Line.VFIQ;
    }
    return lines;
  }

  /** Tells the redistributor which groups this interface has enabled: the others are not sent to it. */
  #forwardGroups(): void {
    this.#distributor.setCpuGroups(
      this.#pe.index,
      (this.#get(R.ICC_IGRPEN0_EL1) & 1) |
        ((this.#get(R.ICC_IGRPEN1_EL1) & 1) << Group.G1NS) |
        ((this.#get(R.ICC_IGRPEN1_EL1_S) & 1) << Group.G1S),
    );
  }

  /** Group 0 is always FIQ; Group 1 is IRQ in the Security state that it belongs to. */
  #asFiq(group: Group): boolean {
    if (group === Group.G0) return true;
    if (this.#distributor.singleSecurityState) return false;
    if (this.#pe.el === 3) return true;
    return (group === Group.G1S) !== (this.#pe.state === SecurityState.SECURE);
  }

  // Physical interface

  /** The highest priority pending interrupt if it is signalled to the PE: by mask and running priority. */
  #signalled(): Hppi {
    const hppi = this.#distributor.hppi(this.#pe.index);
    if (hppi === NO_HPPI) return NO_HPPI;
    const priority = hppiPriority(hppi);
    if (priority >= this.#get(R.ICC_PMR_EL1)) return NO_HPPI;
    const running = this.#runningPriority();
    if (running === IDLE_PRIORITY) return hppi;
    const mask = this.#groupPriorityMask(hppiGroup(hppi));
    return (priority & mask) < (running & mask) ? hppi : NO_HPPI;
  }

  #groupPriorityMask(group: Group): number {
    const ctlr = this.#get(R.ICC_CTLR_EL3);
    const bpr0 = Math.max(this.#get(R.ICC_BPR0_EL1) & 7, BPR_MIN);
    let point = bpr0;
    if (group === Group.G1S) {
      if (!(ctlr & CTLR_EL3.CBPR_EL1S)) point = Math.max(this.#get(R.ICC_BPR1_EL1_S) & 7, BPR_MIN);
    } else if (group === Group.G1NS) {
      if (!(ctlr & CTLR_EL3.CBPR_EL1NS)) point = Math.max(this.#get(R.ICC_BPR1_EL1) & 7, BPR1_MIN) - 1;
    }
    return (0xff << (point + 1)) & 0xff;
  }

  #runningPriority(): number {
    const active = this.#get(R.ICC_AP0R0_EL1) | this.#get(R.ICC_AP1R0_EL1) | this.#get(R.ICC_AP1R0_EL1_S);
    return active === 0 ? IDLE_PRIORITY : lowestBit(active) << 3;
  }

  #activePrioritySlot(group: Group): number {
    if (group === Group.G0) return R.ICC_AP0R0_EL1;
    return group === Group.G1S ? R.ICC_AP1R0_EL1_S : R.ICC_AP1R0_EL1;
  }

  /** The INTID that ICC_HPPIR0_EL1 and ICC_IAR0_EL1 show for a pending interrupt. */
  #group0View(hppi: Hppi): number {
    if (hppi === NO_HPPI) return INTID_SPURIOUS;
    const group = hppiGroup(hppi);
    const secureInterrupt = !this.#distributor.singleSecurityState && group !== Group.G1NS;
    if (group !== Group.G0) {
      // EL3 learns that an interrupt of the other kind is pending.
      if (this.#pe.el !== 3) return INTID_SPURIOUS;
      return secureInterrupt ? INTID_SECURE : INTID_NONSECURE;
    }
    return secureInterrupt && !this.#secure ? INTID_SPURIOUS : hppiIntid(hppi);
  }

  #group1View(hppi: Hppi): number {
    if (hppi === NO_HPPI) return INTID_SPURIOUS;
    const group = hppiGroup(hppi);
    if (group === Group.G0) return INTID_SPURIOUS;
    if (group === Group.G1S) return this.#secure ? hppiIntid(hppi) : INTID_SPURIOUS;
    const foreign = this.#pe.el !== 3 && this.#secure && !this.#distributor.singleSecurityState;
    return foreign ? INTID_SPURIOUS : hppiIntid(hppi);
  }

  #acknowledge(intid: number, hppi: Hppi): number {
    if (intid >= INTID_SECURE) return intid;
    const group = hppiGroup(hppi);
    const priority = hppiPriority(hppi) & this.#groupPriorityMask(group);
    const slot = this.#activePrioritySlot(group);
    this.#set(slot, (this.#get(slot) | (1 << (priority >> 3))) >>> 0);
    this.#distributor.acknowledge(this.#pe.index, intid);
    return intid;
  }

  /** Whether priority drop and deactivation are split for the accessing EL and state. */
  get #eoiSplit(): boolean {
    const ctlr = this.#get(R.ICC_CTLR_EL3);
    if (this.#pe.el === 3) return (ctlr & CTLR_EL3.EOIMODE_EL3) !== 0;
    return (ctlr & (this.#secureBank ? CTLR_EL3.EOIMODE_EL1S : CTLR_EL3.EOIMODE_EL1NS)) !== 0;
  }

  #endOfInterrupt(intid: number, group0: boolean): void {
    if (intid >= INTID_SECURE) return;
    const running = this.#runningPriority();
    if (running === IDLE_PRIORITY) return;
    const bit = 1 << (running >> 3);
    // The group that the running priority belongs to must be one that this register and this state may end.
    let slot: number;
    if (this.#get(R.ICC_AP0R0_EL1) & bit) {
      if (!group0 || (!this.#secure && !this.#distributor.singleSecurityState)) return;
      slot = R.ICC_AP0R0_EL1;
    } else if (this.#get(R.ICC_AP1R0_EL1_S) & bit) {
      if (group0 || !this.#secure) return;
      slot = R.ICC_AP1R0_EL1_S;
    } else {
      const foreign = this.#pe.el !== 3 && this.#secure && !this.#distributor.singleSecurityState;
      if (group0 || foreign) return;
      slot = R.ICC_AP1R0_EL1;
    }
    this.#set(slot, (this.#get(slot) & ~bit) >>> 0);
    if (!this.#eoiSplit) this.#distributor.deactivate(this.#pe.index, intid);
  }

  #deactivate(intid: number): void {
    if (!this.#eoiSplit || intid >= INTID_SECURE) return;
    const group = this.#distributor.groupOf(this.#pe.index, intid);
    const own = this.#secure ? this.#pe.el === 3 || group !== Group.G1NS : group === Group.G1NS;
    if (own || this.#distributor.singleSecurityState) this.#distributor.deactivate(this.#pe.index, intid);
  }

  // Virtual interface

  /** The list register with the highest priority pending interrupt of an enabled group; -1: none. */
  #virtualHppi(): number {
    if (!(this.#get(R.ICH_HCR_EL2) & ICH_HCR.EN)) return -1;
    const vmcr = this.#get(R.ICH_VMCR_EL2);
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

  #virtualPreempts(n: number): boolean {
    const high = this.#lrHigh(n);
    const priority = (high >>> 16) & 0xff;
    if (priority >= this.#get(R.ICH_VMCR_EL2) >>> 24) return false;
    const running = this.#virtualRunningPriority();
    if (running === IDLE_PRIORITY) return true;
    const mask = this.#virtualPriorityMask((high & LR_HI.GROUP1) !== 0);
    return (priority & mask) < (running & mask);
  }

  #virtualRunningPriority(): number {
    const active = this.#get(R.ICH_AP0R0_EL2) | this.#get(R.ICH_AP1R0_EL2);
    return active === 0 ? IDLE_PRIORITY : lowestBit(active) << 3;
  }

  #virtualPriorityMask(group1: boolean): number {
    const vmcr = this.#get(R.ICH_VMCR_EL2);
    const point = group1 && !(vmcr & VMCR.VCBPR) ? vbpr1Of(vmcr) - 1 : vbpr0Of(vmcr);
    return (0xff << (point + 1)) & 0xff;
  }

  #virtualAcknowledge(group1: boolean): number {
    const n = this.#virtualHppi();
    if (n < 0 || ((this.#lrHigh(n) & LR_HI.GROUP1) !== 0) !== group1 || !this.#virtualPreempts(n)) {
      return INTID_SPURIOUS;
    }
    const intid = this.#w[(LR_SLOT + n) * 2]!;
    if (intid >= INTID_SECURE && intid <= INTID_SPURIOUS) {
      this.#setLrState(n, LrState.INVALID);
      return INTID_SPURIOUS;
    }
    const priority = (this.#lrHigh(n) >>> 16) & 0xff & this.#virtualPriorityMask(group1);
    const slot = group1 ? R.ICH_AP1R0_EL2 : R.ICH_AP0R0_EL2;
    this.#set(slot, (this.#get(slot) | (1 << (priority >> 3))) >>> 0);
    this.#setLrState(n, LrState.ACTIVE);
    return intid;
  }

  #virtualHppirOf(group1: boolean): number {
    const n = this.#virtualHppi();
    if (n < 0 || ((this.#lrHigh(n) & LR_HI.GROUP1) !== 0) !== group1) return INTID_SPURIOUS;
    return this.#w[(LR_SLOT + n) * 2]!;
  }

  #virtualEoi(intid: number, group1: boolean): void {
    if (intid >= INTID_SECURE && intid <= INTID_SPURIOUS) return;
    const running = this.#virtualRunningPriority();
    if (running === IDLE_PRIORITY) return;
    const bit = 1 << (running >> 3);
    const slot = this.#get(R.ICH_AP0R0_EL2) & bit ? R.ICH_AP0R0_EL2 : R.ICH_AP1R0_EL2;
    this.#set(slot, (this.#get(slot) & ~bit) >>> 0);
    if (this.#get(R.ICH_VMCR_EL2) & VMCR.VEOIM) return;
    const n = this.#findActive(intid);
    if (n < 0) {
      this.#countEoi(intid);
      return;
    }
    const high = this.#lrHigh(n);
    const own = ((high & LR_HI.GROUP1) !== 0) === group1;
    const dropped = ((high >>> 16) & 0xff & this.#virtualPriorityMask(group1) & PRIORITY_MASK) === running;
    if (own && dropped) this.#virtualDeactivate(n);
  }

  #virtualDir(intid: number): void {
    if (!(this.#get(R.ICH_VMCR_EL2) & VMCR.VEOIM)) return;
    if (intid >= INTID_SECURE && intid <= INTID_SPURIOUS) return;
    const n = this.#findActive(intid);
    if (n < 0) this.#countEoi(intid);
    else this.#virtualDeactivate(n);
  }

  #findActive(intid: number): number {
    for (let n = 0; n < LIST_REGISTERS; n++) {
      if (this.#lrState(n) & LrState.ACTIVE && this.#w[(LR_SLOT + n) * 2] === intid) return n;
    }
    return -1;
  }

  #virtualDeactivate(n: number): void {
    const high = this.#lrHigh(n);
    this.#setLrState(n, this.#lrState(n) & ~LrState.ACTIVE);
    if (!(high & LR_HI.HW)) return;
    const pintid = high & 0x1fff;
    if (pintid < INTID_SECURE) this.#distributor.deactivate(this.#pe.index, pintid);
  }

  /** A deactivation of an INTID that is in no list register; LPIs do not count. */
  #countEoi(intid: number): void {
    if (intid >= 8192) return;
    const hcr = this.#get(R.ICH_HCR_EL2);
    this.#set(R.ICH_HCR_EL2, ((hcr & 0x07ff_ffff) | ((((hcr >>> 27) + 1) & 0x1f) << 27)) >>> 0);
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
    const hcr = this.#get(R.ICH_HCR_EL2);
    const vmcr = this.#get(R.ICH_VMCR_EL2);
    let valid = 0;
    let pending = false;
    for (let n = 0; n < LIST_REGISTERS; n++) {
      const state = this.#lrState(n);
      if (state !== LrState.INVALID) valid++;
      if (state === LrState.PENDING) pending = true;
    }
    let misr = this.#eisr() !== 0 ? 1 << 0 : 0;
    if (hcr & ICH_HCR.UIE && valid <= 1) misr |= 1 << 1;
    if (hcr & ICH_HCR.LRENPIE && hcr >>> 27 !== 0) misr |= 1 << 2;
    if (hcr & ICH_HCR.NPIE && !pending) misr |= 1 << 3;
    if (hcr & ICH_HCR.VGRP0EIE && vmcr & VMCR.VENG0) misr |= 1 << 4;
    if (hcr & ICH_HCR.VGRP0DIE && !(vmcr & VMCR.VENG0)) misr |= 1 << 5;
    if (hcr & ICH_HCR.VGRP1EIE && vmcr & VMCR.VENG1) misr |= 1 << 6;
    if (hcr & ICH_HCR.VGRP1DIE && !(vmcr & VMCR.VENG1)) misr |= 1 << 7;
    return misr;
  }

  #maintenance(): boolean {
    return (this.#get(R.ICH_HCR_EL2) & ICH_HCR.EN) !== 0 && this.misr() !== 0;
  }

  #setVmcrBits(mask: number, value: number): void {
    this.#set(R.ICH_VMCR_EL2, ((this.#get(R.ICH_VMCR_EL2) & ~mask) | (value & mask)) >>> 0);
  }

  // Physical registers; the table below names them.

  readIar(group1: boolean): bigint {
    const hppi = this.#signalled();
    return BigInt(this.#acknowledge(group1 ? this.#group1View(hppi) : this.#group0View(hppi), hppi));
  }

  readHppir(group1: boolean): bigint {
    const hppi = this.#distributor.hppi(this.#pe.index);
    return BigInt(group1 ? this.#group1View(hppi) : this.#group0View(hppi));
  }

  writeEoir(value: bigint, group1: boolean): void {
    this.#endOfInterrupt(intidOf(value), !group1);
  }

  writeDir(value: bigint): void {
    this.#deactivate(intidOf(value));
  }

  readPmr(): bigint {
    const pmr = this.#get(R.ICC_PMR_EL1);
    if (!this.#shifted) return BigInt(pmr);
    return BigInt(pmr & 0x80 ? (pmr << 1) & 0xff : 0);
  }

  writePmr(value: bigint): void {
    const mask = Number(value & 0xffn);
    if (!this.#shifted) {
      this.#set(R.ICC_PMR_EL1, mask & PRIORITY_MASK);
    } else if (this.#get(R.ICC_PMR_EL1) & 0x80) {
      // A Non-secure write cannot touch a mask in the Secure half.
      this.#set(R.ICC_PMR_EL1, (0x80 | (mask >> 1)) & PRIORITY_MASK);
    }
  }

  readRpr(): bigint {
    const running = this.#runningPriority();
    if (!this.#shifted || running === IDLE_PRIORITY) return BigInt(running);
    return BigInt(running & 0x80 ? (running << 1) & 0xff : 0);
  }

  readCtlrEl1(): bigint {
    const ctlr = this.#get(R.ICC_CTLR_EL3);
    const [cbpr, eoimode] = this.#ctlrBits();
    return BigInt(
      CTLR_EL1.PRIBITS |
        (ctlr & CTLR_EL3.PMHE) |
        (ctlr & cbpr ? CTLR_EL1.CBPR : 0) |
        (ctlr & eoimode ? CTLR_EL1.EOIMODE : 0),
    );
  }

  writeCtlrEl1(value: bigint): void {
    const bits = Number(value & 0xffff_ffffn);
    const [cbpr, eoimode] = this.#ctlrBits();
    let ctlr = this.#get(R.ICC_CTLR_EL3) & ~(cbpr | eoimode);
    if (bits & CTLR_EL1.CBPR) ctlr |= cbpr;
    if (bits & CTLR_EL1.EOIMODE) ctlr |= eoimode;
    if (this.#secure || this.#distributor.singleSecurityState) {
      ctlr = (ctlr & ~CTLR_EL3.PMHE) | (bits & CTLR_EL1.PMHE);
    }
    this.#set(R.ICC_CTLR_EL3, ctlr);
  }

  #ctlrBits(): readonly [number, number] {
    return this.#secureBank
      ? [CTLR_EL3.CBPR_EL1S, CTLR_EL3.EOIMODE_EL1S]
      : [CTLR_EL3.CBPR_EL1NS, CTLR_EL3.EOIMODE_EL1NS];
  }

  readBpr0(): bigint {
    return BigInt(Math.max(this.#get(R.ICC_BPR0_EL1) & 7, BPR_MIN));
  }

  writeBpr0(value: bigint): void {
    this.#set(R.ICC_BPR0_EL1, Math.max(Number(value & 7n), BPR_MIN));
  }

  /** Whether CBPR makes the accessing state's BPR1 a view of BPR0; EL3 always sees the register itself. */
  get #commonBpr(): boolean {
    const bit = this.#secureBank ? CTLR_EL3.CBPR_EL1S : CTLR_EL3.CBPR_EL1NS;
    return this.#pe.el !== 3 && (this.#get(R.ICC_CTLR_EL3) & bit) !== 0;
  }

  readBpr1(): bigint {
    const bpr0 = Math.max(this.#get(R.ICC_BPR0_EL1) & 7, BPR_MIN);
    if (this.#secureBank) {
      return BigInt(this.#commonBpr ? bpr0 : Math.max(this.#get(R.ICC_BPR1_EL1_S) & 7, BPR_MIN));
    }
    return BigInt(this.#commonBpr ? Math.min(bpr0 + 1, 7) : Math.max(this.#get(R.ICC_BPR1_EL1) & 7, BPR1_MIN));
  }

  writeBpr1(value: bigint): void {
    const point = Number(value & 7n);
    if (this.#secureBank) {
      this.#set(this.#commonBpr ? R.ICC_BPR0_EL1 : R.ICC_BPR1_EL1_S, Math.max(point, BPR_MIN));
    } else if (!this.#commonBpr) {
      this.#set(R.ICC_BPR1_EL1, Math.max(point, BPR1_MIN));
    }
  }

  #igrpenSlot(group1: boolean): number {
    if (!group1) return R.ICC_IGRPEN0_EL1;
    return this.#secureBank ? R.ICC_IGRPEN1_EL1_S : R.ICC_IGRPEN1_EL1;
  }

  readIgrpen(group1: boolean): bigint {
    return BigInt(this.#get(this.#igrpenSlot(group1)) & 1);
  }

  writeIgrpen(value: bigint, group1: boolean): void {
    this.#set(this.#igrpenSlot(group1), Number(value & 1n));
    this.#forwardGroups();
  }

  #aprSlot(group1: boolean): number {
    return this.#activePrioritySlot(group1 ? (this.#secureBank ? Group.G1S : Group.G1NS) : Group.G0);
  }

  readApr(group1: boolean): bigint {
    return BigInt(this.#get(this.#aprSlot(group1)));
  }

  writeApr(value: bigint, group1: boolean): void {
    this.#set(this.#aprSlot(group1), Number(value & 0xffff_ffffn));
  }

  // Virtual registers

  readVirtualIar(group1: boolean): bigint {
    return BigInt(this.#virtualAcknowledge(group1));
  }

  readVirtualHppir(group1: boolean): bigint {
    return BigInt(this.#virtualHppirOf(group1));
  }

  writeVirtualEoir(value: bigint, group1: boolean): void {
    this.#virtualEoi(intidOf(value), group1);
  }

  writeVirtualDir(value: bigint): void {
    this.#virtualDir(intidOf(value));
  }

  readVirtualPmr(): bigint {
    return BigInt(this.#get(R.ICH_VMCR_EL2) >>> 24);
  }

  writeVirtualPmr(value: bigint): void {
    this.#setVmcrBits(0xff00_0000, (Number(value & 0xffn) & PRIORITY_MASK) << 24);
  }

  readVirtualRpr(): bigint {
    return BigInt(this.#virtualRunningPriority());
  }

  readVirtualCtlr(): bigint {
    const vmcr = this.#get(R.ICH_VMCR_EL2);
    return BigInt(
      CTLR_EL1.PRIBITS | (vmcr & VMCR.VCBPR ? CTLR_EL1.CBPR : 0) | (vmcr & VMCR.VEOIM ? CTLR_EL1.EOIMODE : 0),
    );
  }

  writeVirtualCtlr(value: bigint): void {
    const bits = Number(value & 0xffff_ffffn);
    this.#setVmcrBits(
      VMCR.VCBPR | VMCR.VEOIM,
      (bits & CTLR_EL1.CBPR ? VMCR.VCBPR : 0) | (bits & CTLR_EL1.EOIMODE ? VMCR.VEOIM : 0),
    );
  }

  readVirtualBpr0(): bigint {
    return BigInt(vbpr0Of(this.#get(R.ICH_VMCR_EL2)));
  }

  writeVirtualBpr0(value: bigint): void {
    this.#setVmcrBits(7 << 21, Math.max(Number(value & 7n), BPR_MIN) << 21);
  }

  readVirtualBpr1(): bigint {
    const vmcr = this.#get(R.ICH_VMCR_EL2);
    return BigInt(vmcr & VMCR.VCBPR ? Math.min(vbpr0Of(vmcr) + 1, 7) : vbpr1Of(vmcr));
  }

  writeVirtualBpr1(value: bigint): void {
    if (this.#get(R.ICH_VMCR_EL2) & VMCR.VCBPR) return;
    this.#setVmcrBits(7 << 18, Math.max(Number(value & 7n), BPR1_MIN) << 18);
  }

  readVirtualIgrpen(group1: boolean): bigint {
    return BigInt((this.#get(R.ICH_VMCR_EL2) >>> (group1 ? 1 : 0)) & 1);
  }

  writeVirtualIgrpen(value: bigint, group1: boolean): void {
    const enable = Number(value & 1n);
    this.#setVmcrBits(group1 ? VMCR.VENG1 : VMCR.VENG0, group1 ? enable << 1 : enable);
  }

  // SGIs and the hypervisor's control

  writeSgi(value: bigint, register: "SGI0R" | "SGI1R" | "ASGI1R"): void {
    const secure = this.#secure;
    let group: Group = Group.G0;
    if (register !== "SGI0R") {
      const own = secure && !this.#distributor.singleSecurityState ? Group.G1S : Group.G1NS;
      const other = own === Group.G1S || this.#distributor.singleSecurityState ? Group.G1NS : Group.G1S;
      group = register === "SGI1R" ? own : other;
    }
    this.#distributor.sendSgi(this.#pe.index, value, group, secure);
  }

  readIchHcr(): bigint {
    return BigInt((this.#get(R.ICH_HCR_EL2) & ICH_HCR_WRITABLE) >>> 0);
  }

  writeIchHcr(value: bigint): void {
    this.#set(R.ICH_HCR_EL2, (Number(value & 0xffff_ffffn) & ICH_HCR_WRITABLE) >>> 0);
  }

  /** VFIQEn is RES1 and VAckCtl RES0 without memory-mapped operation; binary points are at least their minimum. */
  readIchVmcr(): bigint {
    const vmcr = this.#get(R.ICH_VMCR_EL2);
    const kept = vmcr & ((PRIORITY_MASK << 24) | VMCR.VEOIM | VMCR.VCBPR | VMCR.VENG1 | VMCR.VENG0);
    return BigInt((kept | VMCR.VFIQEN | (vbpr0Of(vmcr) << 21) | (vbpr1Of(vmcr) << 18)) >>> 0);
  }

  writeIchVmcr(value: bigint): void {
    this.#set(R.ICH_VMCR_EL2, Number(value & 0xffff_ffffn));
    this.#set(R.ICH_VMCR_EL2, Number(this.readIchVmcr()));
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

  readSlot(slot: number): bigint {
    return this.#pe.r[slot]!;
  }
  writeSlot(slot: number, value: bigint): void {
    this.#pe.r[slot] = value;
  }

  readCtlrEl3(): bigint {
    return BigInt((this.#get(R.ICC_CTLR_EL3) & CTLR_EL3_WRITABLE) | CTLR_EL1.PRIBITS);
  }
  writeCtlrEl3(value: bigint): void {
    this.#set(R.ICC_CTLR_EL3, Number(value & BigInt(CTLR_EL3_WRITABLE)));
  }
  readIgrpen1El3(): bigint {
    return BigInt((this.#get(R.ICC_IGRPEN1_EL1) & 1) | ((this.#get(R.ICC_IGRPEN1_EL1_S) & 1) << 1));
  }
  writeIgrpen1El3(value: bigint): void {
    this.#set(R.ICC_IGRPEN1_EL1, Number(value & 1n));
    this.#set(R.ICC_IGRPEN1_EL1_S, Number((value >> 1n) & 1n));
    this.#forwardGroups();
  }

  /** Reads a register by name, ICC_*, ICV_* or ICH_*; `access` has allowed it. Reads of IAR acknowledge. */
  read(name: string): bigint {
    const read = READS.get(name);
    if (read === undefined) throw new Error(`no readable GIC register ${name}`);
    return read(this);
  }

  /** Writes a register by name, ICC_*, ICV_* or ICH_*; `access` has allowed it. */
  write(name: string, value: bigint): void {
    const write = WRITES.get(name);
    if (write === undefined) throw new Error(`no writable GIC register ${name}`);
    write(this, value);
  }
}

const lowestBit = (bits: number): number => 31 - Math.clz32(bits & -bits);
const vbpr0Of = (vmcr: number): number => Math.max((vmcr >>> 21) & 7, BPR_MIN);
const vbpr1Of = (vmcr: number): number => Math.max((vmcr >>> 18) & 7, BPR1_MIN);

const intidOf = (value: bigint): number => Number(value & 0xff_ffffn);

const none = (): void => {};
const listRegister = (n: number): readonly [string, Row] => [
  `ICH_LR${n}_EL2`,
  {
    encoding: [3, 4, 12, 12 + (n >> 3), n & 7],
    class: "el2",
    read: (c) => c.readSlot(LR_SLOT + n),
    write: (c, v) => c.writeSlot(LR_SLOT + n, v),
  },
];

const ROWS: readonly (readonly [string, Row])[] = [
  [
    "ICC_PMR_EL1",
    {
      encoding: [3, 0, 4, 6, 0],
      class: "common",
      read: (c) => c.readPmr(),
      write: (c, v) => c.writePmr(v),
      virtual: { read: (c) => c.readVirtualPmr(), write: (c, v) => c.writeVirtualPmr(v) },
    },
  ],
  [
    "ICC_IAR0_EL1",
    {
      encoding: [3, 0, 12, 8, 0],
      class: "group0",
      read: (c) => c.readIar(false),
      virtual: { read: (c) => c.readVirtualIar(false) },
    },
  ],
  [
    "ICC_EOIR0_EL1",
    {
      encoding: [3, 0, 12, 8, 1],
      class: "group0",
      write: (c, v) => c.writeEoir(v, false),
      virtual: { write: (c, v) => c.writeVirtualEoir(v, false) },
    },
  ],
  [
    "ICC_HPPIR0_EL1",
    {
      encoding: [3, 0, 12, 8, 2],
      class: "group0",
      read: (c) => c.readHppir(false),
      virtual: { read: (c) => c.readVirtualHppir(false) },
    },
  ],
  [
    "ICC_BPR0_EL1",
    {
      encoding: [3, 0, 12, 8, 3],
      class: "group0",
      read: (c) => c.readBpr0(),
      write: (c, v) => c.writeBpr0(v),
      virtual: { read: (c) => c.readVirtualBpr0(), write: (c, v) => c.writeVirtualBpr0(v) },
    },
  ],
  [
    "ICC_AP0R0_EL1",
    {
      encoding: [3, 0, 12, 8, 4],
      class: "group0",
      read: (c) => c.readApr(false),
      write: (c, v) => c.writeApr(v, false),
      virtual: {
        read: (c) => c.readSlot(R.ICH_AP0R0_EL2),
        write: (c, v) => c.writeSlot(R.ICH_AP0R0_EL2, v & 0xffff_ffffn),
      },
    },
  ],
  [
    "ICC_AP1R0_EL1",
    {
      encoding: [3, 0, 12, 9, 0],
      class: "group1",
      read: (c) => c.readApr(true),
      write: (c, v) => c.writeApr(v, true),
      virtual: {
        read: (c) => c.readSlot(R.ICH_AP1R0_EL2),
        write: (c, v) => c.writeSlot(R.ICH_AP1R0_EL2, v & 0xffff_ffffn),
      },
    },
  ],
  [
    "ICC_DIR_EL1",
    {
      encoding: [3, 0, 12, 11, 1],
      class: "common",
      write: (c, v) => c.writeDir(v),
      virtual: { write: (c, v) => c.writeVirtualDir(v) },
    },
  ],
  [
    "ICC_RPR_EL1",
    {
      encoding: [3, 0, 12, 11, 3],
      class: "common",
      read: (c) => c.readRpr(),
      virtual: { read: (c) => c.readVirtualRpr() },
    },
  ],
  ["ICC_SGI1R_EL1", { encoding: [3, 0, 12, 11, 5], class: "sgi", write: (c, v) => c.writeSgi(v, "SGI1R") }],
  ["ICC_ASGI1R_EL1", { encoding: [3, 0, 12, 11, 6], class: "sgi", write: (c, v) => c.writeSgi(v, "ASGI1R") }],
  ["ICC_SGI0R_EL1", { encoding: [3, 0, 12, 11, 7], class: "sgi", write: (c, v) => c.writeSgi(v, "SGI0R") }],
  [
    "ICC_IAR1_EL1",
    {
      encoding: [3, 0, 12, 12, 0],
      class: "group1",
      read: (c) => c.readIar(true),
      virtual: { read: (c) => c.readVirtualIar(true) },
    },
  ],
  [
    "ICC_EOIR1_EL1",
    {
      encoding: [3, 0, 12, 12, 1],
      class: "group1",
      write: (c, v) => c.writeEoir(v, true),
      virtual: { write: (c, v) => c.writeVirtualEoir(v, true) },
    },
  ],
  [
    "ICC_HPPIR1_EL1",
    {
      encoding: [3, 0, 12, 12, 2],
      class: "group1",
      read: (c) => c.readHppir(true),
      virtual: { read: (c) => c.readVirtualHppir(true) },
    },
  ],
  [
    "ICC_BPR1_EL1",
    {
      encoding: [3, 0, 12, 12, 3],
      class: "group1",
      read: (c) => c.readBpr1(),
      write: (c, v) => c.writeBpr1(v),
      virtual: { read: (c) => c.readVirtualBpr1(), write: (c, v) => c.writeVirtualBpr1(v) },
    },
  ],
  [
    "ICC_CTLR_EL1",
    {
      encoding: [3, 0, 12, 12, 4],
      class: "common",
      read: (c) => c.readCtlrEl1(),
      write: (c, v) => c.writeCtlrEl1(v),
      virtual: { read: (c) => c.readVirtualCtlr(), write: (c, v) => c.writeVirtualCtlr(v) },
    },
  ],
  ["ICC_SRE_EL1", { encoding: [3, 0, 12, 12, 5], class: "sre", read: () => 0x7n, write: none }],
  [
    "ICC_IGRPEN0_EL1",
    {
      encoding: [3, 0, 12, 12, 6],
      class: "group0",
      read: (c) => c.readIgrpen(false),
      write: (c, v) => c.writeIgrpen(v, false),
      virtual: { read: (c) => c.readVirtualIgrpen(false), write: (c, v) => c.writeVirtualIgrpen(v, false) },
    },
  ],
  [
    "ICC_IGRPEN1_EL1",
    {
      encoding: [3, 0, 12, 12, 7],
      class: "group1",
      read: (c) => c.readIgrpen(true),
      write: (c, v) => c.writeIgrpen(v, true),
      virtual: { read: (c) => c.readVirtualIgrpen(true), write: (c, v) => c.writeVirtualIgrpen(v, true) },
    },
  ],
  ["ICC_SRE_EL2", { encoding: [3, 4, 12, 9, 5], class: "el2", read: () => 0xfn, write: none }],
  [
    "ICH_AP0R0_EL2",
    {
      encoding: [3, 4, 12, 8, 0],
      class: "el2",
      read: (c) => c.readSlot(R.ICH_AP0R0_EL2),
      write: (c, v) => c.writeSlot(R.ICH_AP0R0_EL2, v & 0xffff_ffffn),
    },
  ],
  [
    "ICH_AP1R0_EL2",
    {
      encoding: [3, 4, 12, 9, 0],
      class: "el2",
      read: (c) => c.readSlot(R.ICH_AP1R0_EL2),
      write: (c, v) => c.writeSlot(R.ICH_AP1R0_EL2, v & 0xffff_ffffn),
    },
  ],
  [
    "ICH_HCR_EL2",
    { encoding: [3, 4, 12, 11, 0], class: "el2", read: (c) => c.readIchHcr(), write: (c, v) => c.writeIchHcr(v) },
  ],
  ["ICH_VTR_EL2", { encoding: [3, 4, 12, 11, 1], class: "el2", read: () => ICH_VTR }],
  ["ICH_MISR_EL2", { encoding: [3, 4, 12, 11, 2], class: "el2", read: (c) => c.readIchMisr() }],
  ["ICH_EISR_EL2", { encoding: [3, 4, 12, 11, 3], class: "el2", read: (c) => c.readIchEisr() }],
  ["ICH_ELRSR_EL2", { encoding: [3, 4, 12, 11, 5], class: "el2", read: (c) => c.readIchElrsr() }],
  [
    "ICH_VMCR_EL2",
    { encoding: [3, 4, 12, 11, 7], class: "el2", read: (c) => c.readIchVmcr(), write: (c, v) => c.writeIchVmcr(v) },
  ],
  ...Array.from({ length: LIST_REGISTERS }, (_, n) => listRegister(n)),
  [
    "ICC_CTLR_EL3",
    { encoding: [3, 6, 12, 12, 4], class: "el3", read: (c) => c.readCtlrEl3(), write: (c, v) => c.writeCtlrEl3(v) },
  ],
  ["ICC_SRE_EL3", { encoding: [3, 6, 12, 12, 5], class: "el3", read: () => 0xfn, write: none }],
  [
    "ICC_IGRPEN1_EL3",
    {
      encoding: [3, 6, 12, 12, 7],
      class: "el3",
      read: (c) => c.readIgrpen1El3(),
      write: (c, v) => c.writeIgrpen1El3(v),
    },
  ],
];

/** Every ICC_* and ICH_* register by name: its encoding and who may access it. Others of the space are UNDEFINED. */
export const GIC_REGISTERS: ReadonlyMap<string, GicRegister> = new Map(
  ROWS.map(([name, row]) => [name, { ...row, name }] as const),
);

/** The name of the virtual register at the same encoding: ICV_IAR1_EL1 for ICC_IAR1_EL1. */
export const virtualName = (name: string): string => `ICV_${name.slice(4)}`;

const READS = new Map<string, NonNullable<Row["read"]>>();
const WRITES = new Map<string, NonNullable<Row["write"]>>();
for (const [name, row] of ROWS) {
  if (row.read) READS.set(name, row.read);
  if (row.write) WRITES.set(name, row.write);
  if (row.virtual?.read) READS.set(virtualName(name), row.virtual.read);
  if (row.virtual?.write) WRITES.set(virtualName(name), row.virtual.write);
}
