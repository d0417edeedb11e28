/**
 * The GIC CPU interface of one PE, through system registers only: the physical one (ICC_*), the virtual one that EL1 sees
 * in its place (ICV_*), and the hypervisor's control of it (ICH_*). IHI 0069H, "AArch64 System register descriptions",
 * "AArch64 virtual interface control System registers"; DDI 0487 has the same registers.
 *
 * All state is in the PE's slots (`cpu/state.ts`, groups ICC and ICH), so that firmware moves it as blocks; nothing is
 * cached here. 16 list registers, 5 priority and 5 preemption bits, 16 INTID bits.
 *
 * @spec IHI 0069H, "CPU interface and virtual interface control System registers": partial: no LPIs, GICv4 direct
 *   injection, NMIs, memory-mapped operation (ICC_SRE_ELx is constant), routing modifier (ICC_CTLR_EL3.RM is RES0)
 */
import { SecurityState } from "@realmbox/abi";
import { R } from "../cpu/state.js";
import type { Pe } from "../pe.js";
import { GIC_READS, GIC_WRITES, type GicRegister } from "./cpu-registers.js";
import type { Distributor } from "./distributor.js";
import { PhysicalInterface } from "./physical-interface.js";
import { Slots } from "./slots.js";
import { VirtualInterface } from "./virtual-interface.js";

/** The maintenance interrupt's PPI. */
export const MAINTENANCE_INTID = 25;

const ICH_HCR = { EN: 1 << 0, TC: 1 << 10, TALL0: 1 << 11, TALL1: 1 << 12, TDIR: 1 << 14 };
const SCR = { NS: 1 << 0, IRQ: 1 << 1, FIQ: 1 << 2, EEL2: 1 << 18 };
const HCR = { FMO: 1 << 3, IMO: 1 << 4 };

/**
 * What an access by MRS or MSR meets, before anything is read or written. "virtual": the ICV_* register of the same name
 * is accessed instead. Traps are reported with EC 0x18.
 */
export type GicAccess = "ok" | "virtual" | "undefined" | "trap-el2" | "trap-el3";

export class CpuInterface {
  readonly physical: PhysicalInterface;
  readonly virtual: VirtualInterface;
  readonly #pe: Pe;
  readonly #distributor: Distributor;
  readonly #slots: Slots;

  constructor(pe: Pe, distributor: Distributor) {
    this.#pe = pe;
    this.#distributor = distributor;
    this.#slots = new Slots(pe);
    this.physical = new PhysicalInterface(pe, this.#slots, distributor);
    this.virtual = new VirtualInterface(pe.index, this.#slots, distributor);
  }

  reset(): void {
    this.physical.reset();
  }

  /** Which lines into the PE are asserted, for its present EL and Security state: bits of `Line`. */
  lines(): number {
    const { virtual } = this;
    const isActive = virtual.isActive();
    this.#distributor.setPpi(this.#pe.index, MAINTENANCE_INTID, isActive && virtual.misr() !== 0);
    this.physical.forwardGroups();
    return isActive ? this.physical.lines() | virtual.lines() : this.physical.lines();
  }

  /** EL2 exists in the PE's Security state. */
  get #el2Enabled(): boolean {
    return this.#pe.state !== SecurityState.SECURE || (this.#slots.low(R.SCR_EL3) & SCR.EEL2) !== 0;
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
      const ich = this.#slots.low(R.ICH_HCR_EL2);
      const hcr = this.#slots.low(R.HCR_EL2);
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
    const routed = this.#slots.low(R.SCR_EL3) & (SCR.IRQ | SCR.FIQ);
    if (row.class === "group0") return routed & SCR.FIQ ? "trap-el3" : "ok";
    if (row.class === "group1") return routed & SCR.IRQ ? "trap-el3" : "ok";
    return routed === (SCR.IRQ | SCR.FIQ) ? "trap-el3" : "ok";
  }

  /** At EL3, the ICH_* registers of the state below: absent for Secure state without Secure EL2. */
  get #el2EnabledBelowEl3(): boolean {
    return (this.#slots.low(R.SCR_EL3) & (SCR.NS | SCR.EEL2)) !== 0;
  }

  readSlot(slot: number): bigint {
    return this.#pe.r[slot]!;
  }

  writeSlot(slot: number, value: bigint): void {
    this.#pe.r[slot] = value;
  }

  /** Reads a register by name, ICC_*, ICV_* or ICH_*; `access` has allowed it. Reads of IAR acknowledge. */
  read(name: string): bigint {
    const read = GIC_READS.get(name);
    if (read === undefined) throw new Error(`no readable GIC register ${name}`);
    return read(this);
  }

  /** Writes a register by name, ICC_*, ICV_* or ICH_*; `access` has allowed it. */
  write(name: string, value: bigint): void {
    const write = GIC_WRITES.get(name);
    if (write === undefined) throw new Error(`no writable GIC register ${name}`);
    write(this, value);
  }
}
