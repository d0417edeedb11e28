/**
 * The physical CPU interface of one PE: what the ICC_* registers do. IHI 0069H, "AArch64 System register descriptions";
 * "Interrupt prioritization" for masks, preemption and the running priority.
 *
 * The banked registers: ICC_BPR1, ICC_IGRPEN1, ICC_AP1R0 and ICC_CTLR_EL1 have a Secure and a Non-secure copy; EL3 chooses
 * by SCR_EL3.NS. Non-secure stands for Realm as well.
 */
import { SecurityState } from "@realmbox/abi";
import { R } from "../cpu/state.js";
import { Line } from "../irq.js";
import type { Pe } from "../pe.js";
import type { Distributor } from "./distributor.js";
import {
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
} from "./interrupts.js";
import { BPR_MIN, BPR1_MIN, CTLR_EL1, IDLE_PRIORITY, intidOf, lowestBit, type Slots } from "./slots.js";

const CTLR_EL3 = {
  CBPR_EL1S: 1 << 0,
  CBPR_EL1NS: 1 << 1,
  EOIMODE_EL3: 1 << 2,
  EOIMODE_EL1S: 1 << 3,
  EOIMODE_EL1NS: 1 << 4,
  PMHE: 1 << 6,
};
const CTLR_EL3_WRITABLE = 0x5f;
const SCR = { NS: 1 << 0, FIQ: 1 << 2 };

export class PhysicalInterface {
  readonly #pe: Pe;
  readonly #slots: Slots;
  readonly #distributor: Distributor;

  constructor(pe: Pe, slots: Slots, distributor: Distributor) {
    this.#pe = pe;
    this.#slots = slots;
    this.#distributor = distributor;
  }

  /** Values after a reset: everything zero but the binary points. */
  reset(): void {
    for (const slot of RESET_TO_ZERO) this.#slots.set(slot, 0);
    this.#slots.set(R.ICC_BPR0_EL1, BPR_MIN);
    this.#slots.set(R.ICC_BPR1_EL1_S, BPR_MIN);
    this.#slots.set(R.ICC_BPR1_EL1, BPR1_MIN);
    this.forwardGroups();
  }

  // Who accesses

  /** Secure state or EL3. */
  get #secure(): boolean {
    return this.#pe.el === 3 || this.#pe.state === SecurityState.SECURE;
  }

  /** Which copy of a banked register is accessed: EL3 chooses by SCR_EL3.NS. */
  get #secureBank(): boolean {
    if (this.#pe.el === 3) return (this.#slots.low(R.SCR_EL3) & SCR.NS) === 0 && !this.#distributor.singleSecurityState;
    return this.#pe.state === SecurityState.SECURE && !this.#distributor.singleSecurityState;
  }

  /** Priorities are shown shifted: Non-secure (and Realm) accesses while Group 0 is EL3's own. */
  get #shifted(): boolean {
    return !this.#secure && (this.#slots.low(R.SCR_EL3) & SCR.FIQ) !== 0 && !this.#distributor.singleSecurityState;
  }

  // Signalling

  /** Line.IRQ, Line.FIQ or 0: what is signalled to the PE in its present EL and Security state. */
  lines(): number {
    const hppi = this.#signalled();
    if (hppi === NO_HPPI) return 0;
    return this.#asFiq(hppiGroup(hppi)) ? Line.FIQ : Line.IRQ;
  }

  /** Tells the redistributor which groups this interface has enabled: the others are not sent to it. */
  forwardGroups(): void {
    this.#distributor.setCpuGroups(
      this.#pe.index,
      (this.#slots.low(R.ICC_IGRPEN0_EL1) & 1) |
        ((this.#slots.low(R.ICC_IGRPEN1_EL1) & 1) << Group.G1NS) |
        ((this.#slots.low(R.ICC_IGRPEN1_EL1_S) & 1) << Group.G1S),
    );
  }

  /** Group 0 is always FIQ; Group 1 is IRQ in the Security state that it belongs to. */
  #asFiq(group: Group): boolean {
    if (group === Group.G0) return true;
    if (this.#distributor.singleSecurityState) return false;
    if (this.#pe.el === 3) return true;
    return (group === Group.G1S) !== (this.#pe.state === SecurityState.SECURE);
  }

  /** The highest priority pending interrupt if it is signalled to the PE: by mask and running priority. */
  #signalled(): Hppi {
    const hppi = this.#distributor.hppi(this.#pe.index);
    if (hppi === NO_HPPI) return NO_HPPI;
    const priority = hppiPriority(hppi);
    if (priority >= this.#slots.low(R.ICC_PMR_EL1)) return NO_HPPI;
    const running = this.#runningPriority();
    if (running === IDLE_PRIORITY) return hppi;
    const mask = this.#groupPriorityMask(hppiGroup(hppi));
    return (priority & mask) < (running & mask) ? hppi : NO_HPPI;
  }

  #groupPriorityMask(group: Group): number {
    const ctlr = this.#slots.low(R.ICC_CTLR_EL3);
    const bpr0 = Math.max(this.#slots.low(R.ICC_BPR0_EL1) & 7, BPR_MIN);
    let point = bpr0;
    if (group === Group.G1S) {
      if (!(ctlr & CTLR_EL3.CBPR_EL1S)) point = Math.max(this.#slots.low(R.ICC_BPR1_EL1_S) & 7, BPR_MIN);
    } else if (group === Group.G1NS) {
      if (!(ctlr & CTLR_EL3.CBPR_EL1NS)) point = Math.max(this.#slots.low(R.ICC_BPR1_EL1) & 7, BPR1_MIN) - 1;
    }
    return (0xff << (point + 1)) & 0xff;
  }

  #runningPriority(): number {
    const active =
      this.#slots.low(R.ICC_AP0R0_EL1) | this.#slots.low(R.ICC_AP1R0_EL1) | this.#slots.low(R.ICC_AP1R0_EL1_S);
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
    this.#slots.set(slot, (this.#slots.low(slot) | (1 << (priority >> 3))) >>> 0);
    this.#distributor.acknowledge(this.#pe.index, intid);
    return intid;
  }

  /** Whether priority drop and deactivation are split for the accessing EL and state. */
  get #eoiSplit(): boolean {
    const ctlr = this.#slots.low(R.ICC_CTLR_EL3);
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
    if (this.#slots.low(R.ICC_AP0R0_EL1) & bit) {
      if (!group0 || (!this.#secure && !this.#distributor.singleSecurityState)) return;
      slot = R.ICC_AP0R0_EL1;
    } else if (this.#slots.low(R.ICC_AP1R0_EL1_S) & bit) {
      if (group0 || !this.#secure) return;
      slot = R.ICC_AP1R0_EL1_S;
    } else {
      const foreign = this.#pe.el !== 3 && this.#secure && !this.#distributor.singleSecurityState;
      if (group0 || foreign) return;
      slot = R.ICC_AP1R0_EL1;
    }
    this.#slots.set(slot, (this.#slots.low(slot) & ~bit) >>> 0);
    if (!this.#eoiSplit) this.#distributor.deactivate(this.#pe.index, intid);
  }

  #deactivate(intid: number): void {
    if (!this.#eoiSplit || intid >= INTID_SECURE) return;
    const group = this.#distributor.groupOf(this.#pe.index, intid);
    const own = this.#secure ? this.#pe.el === 3 || group !== Group.G1NS : group === Group.G1NS;
    if (own || this.#distributor.singleSecurityState) this.#distributor.deactivate(this.#pe.index, intid);
  }

  // Registers, as the table of gic/cpu-registers.ts names them.

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
    const pmr = this.#slots.low(R.ICC_PMR_EL1);
    if (!this.#shifted) return BigInt(pmr);
    return BigInt(pmr & 0x80 ? (pmr << 1) & 0xff : 0);
  }

  writePmr(value: bigint): void {
    const mask = Number(value & 0xffn);
    if (!this.#shifted) {
      this.#slots.set(R.ICC_PMR_EL1, mask & PRIORITY_MASK);
    } else if (this.#slots.low(R.ICC_PMR_EL1) & 0x80) {
      // A Non-secure write cannot touch a mask in the Secure half.
      this.#slots.set(R.ICC_PMR_EL1, (0x80 | (mask >> 1)) & PRIORITY_MASK);
    }
  }

  readRpr(): bigint {
    const running = this.#runningPriority();
    if (!this.#shifted || running === IDLE_PRIORITY) return BigInt(running);
    return BigInt(running & 0x80 ? (running << 1) & 0xff : 0);
  }

  readCtlrEl1(): bigint {
    const ctlr = this.#slots.low(R.ICC_CTLR_EL3);
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
    let ctlr = this.#slots.low(R.ICC_CTLR_EL3) & ~eoimode;
    if (bits & CTLR_EL1.EOIMODE) ctlr |= eoimode;
    // IHI 0069H, ICC_CTLR_EL1.CBPR: read-only with two Security states; there ICC_CTLR_EL3 sets it.
    if (this.#distributor.singleSecurityState) ctlr = (ctlr & ~cbpr) | (bits & CTLR_EL1.CBPR ? cbpr : 0);
    if (this.#secure || this.#distributor.singleSecurityState) {
      ctlr = (ctlr & ~CTLR_EL3.PMHE) | (bits & CTLR_EL1.PMHE);
    }
    this.#slots.set(R.ICC_CTLR_EL3, ctlr);
  }

  #ctlrBits(): readonly [number, number] {
    return this.#secureBank
      ? [CTLR_EL3.CBPR_EL1S, CTLR_EL3.EOIMODE_EL1S]
      : [CTLR_EL3.CBPR_EL1NS, CTLR_EL3.EOIMODE_EL1NS];
  }

  readBpr0(): bigint {
    return BigInt(Math.max(this.#slots.low(R.ICC_BPR0_EL1) & 7, BPR_MIN));
  }

  writeBpr0(value: bigint): void {
    this.#slots.set(R.ICC_BPR0_EL1, Math.max(Number(value & 7n), BPR_MIN));
  }

  /** Whether CBPR makes the accessing state's BPR1 a view of BPR0; EL3 always sees the register itself. */
  get #commonBpr(): boolean {
    const bit = this.#secureBank ? CTLR_EL3.CBPR_EL1S : CTLR_EL3.CBPR_EL1NS;
    return this.#pe.el !== 3 && (this.#slots.low(R.ICC_CTLR_EL3) & bit) !== 0;
  }

  readBpr1(): bigint {
    const bpr0 = Math.max(this.#slots.low(R.ICC_BPR0_EL1) & 7, BPR_MIN);
    if (this.#secureBank) {
      return BigInt(this.#commonBpr ? bpr0 : Math.max(this.#slots.low(R.ICC_BPR1_EL1_S) & 7, BPR_MIN));
    }
    return BigInt(this.#commonBpr ? Math.min(bpr0 + 1, 7) : Math.max(this.#slots.low(R.ICC_BPR1_EL1) & 7, BPR1_MIN));
  }

  writeBpr1(value: bigint): void {
    const point = Number(value & 7n);
    if (this.#secureBank) {
      this.#slots.set(this.#commonBpr ? R.ICC_BPR0_EL1 : R.ICC_BPR1_EL1_S, Math.max(point, BPR_MIN));
    } else if (!this.#commonBpr) {
      this.#slots.set(R.ICC_BPR1_EL1, Math.max(point, BPR1_MIN));
    }
  }

  #igrpenSlot(group1: boolean): number {
    if (!group1) return R.ICC_IGRPEN0_EL1;
    return this.#secureBank ? R.ICC_IGRPEN1_EL1_S : R.ICC_IGRPEN1_EL1;
  }

  readIgrpen(group1: boolean): bigint {
    return BigInt(this.#slots.low(this.#igrpenSlot(group1)) & 1);
  }

  writeIgrpen(value: bigint, group1: boolean): void {
    this.#slots.set(this.#igrpenSlot(group1), Number(value & 1n));
    this.forwardGroups();
  }

  #aprSlot(group1: boolean): number {
    return this.#activePrioritySlot(group1 ? (this.#secureBank ? Group.G1S : Group.G1NS) : Group.G0);
  }

  readApr(group1: boolean): bigint {
    return BigInt(this.#slots.low(this.#aprSlot(group1)));
  }

  writeApr(value: bigint, group1: boolean): void {
    this.#slots.set(this.#aprSlot(group1), Number(value & 0xffff_ffffn));
  }

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

  readCtlrEl3(): bigint {
    return BigInt((this.#slots.low(R.ICC_CTLR_EL3) & CTLR_EL3_WRITABLE) | CTLR_EL1.PRIBITS);
  }
  writeCtlrEl3(value: bigint): void {
    this.#slots.set(R.ICC_CTLR_EL3, Number(value & BigInt(CTLR_EL3_WRITABLE)));
  }
  readIgrpen1El3(): bigint {
    return BigInt((this.#slots.low(R.ICC_IGRPEN1_EL1) & 1) | ((this.#slots.low(R.ICC_IGRPEN1_EL1_S) & 1) << 1));
  }
  writeIgrpen1El3(value: bigint): void {
    this.#slots.set(R.ICC_IGRPEN1_EL1, Number(value & 1n));
    this.#slots.set(R.ICC_IGRPEN1_EL1_S, Number((value >> 1n) & 1n));
    this.forwardGroups();
  }
}

const RESET_TO_ZERO = [
  R.ICC_PMR_EL1,
  R.ICC_IGRPEN0_EL1,
  R.ICC_IGRPEN1_EL1,
  R.ICC_IGRPEN1_EL1_S,
  R.ICC_AP0R0_EL1,
  R.ICC_AP1R0_EL1,
  R.ICC_AP1R0_EL1_S,
  R.ICC_CTLR_EL3,
];
