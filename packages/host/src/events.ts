/** What the Host tells whoever subscribes to the machine's trace. Nothing is built when nobody listens. */
import { PSCI_FID, type Trace } from "@realmbox/abi";
import type { Fault } from "@realmbox/machine";
import type { HostCounters, RmmInfo } from "./kvm/api.js";
import type { VmCore } from "./kvm/vm-core.js";
import type { VcpuCore } from "./vcpu/vcpu.js";

export class HostEvents {
  readonly #trace: Trace;
  readonly #counters: HostCounters;

  constructor(trace: Trace, counters: HostCounters) {
    this.#trace = trace;
    this.#counters = counters;
  }

  booted(pe: number, rmm: RmmInfo | undefined): void {
    if (!this.#trace.wants("boot")) return;
    this.#trace.emit({ category: "boot", name: "Host", fields: { pe, rmm: rmm?.version ?? 0n } });
  }

  /** A refused access of the Host itself; granule protection faults are counted. */
  fault(fault: Fault, what: string): void {
    if (fault.fault === "granule-protection") this.#counters.granuleFaults++;
    if (!this.#trace.wants("fault")) return;
    const fields = { what, kind: fault.fault, pa: fault.pa ?? 0n };
    this.#trace.emit({ category: "fault", name: "Host access refused", fields });
  }

  /** An access that goes to the VMM; `write` is the value written, undefined for a read. */
  mmio(vcpu: VcpuCore, gpa: bigint, size: number, write: bigint | undefined): void {
    if (!this.#trace.wants("mmio")) return;
    const fields = { vm: vcpu.vm.id, vcpu: vcpu.id, gpa, size };
    this.#trace.emit({
      category: "mmio",
      name: write === undefined ? "MMIO read" : "MMIO write",
      fields: write === undefined ? fields : { ...fields, value: write },
    });
  }

  irqLine(vm: VmCore, irq: number, level: boolean): void {
    if (!this.#trace.wants("irq")) return;
    this.#trace.emit({ category: "irq", name: "KVM_IRQ_LINE", fields: { vm: vm.id, irq: BigInt(irq), level } });
  }

  /** A PSCI call of a normal VM that the Host has answered. */
  psci(vcpu: VcpuCore, fid: bigint, x1: bigint, x0: bigint): void {
    if (!this.#trace.wants("psci")) return;
    const name = Object.entries(PSCI_FID).find(([, value]) => value === fid)?.[0] ?? "PSCI";
    this.#trace.emit({ category: "psci", name, fields: { vm: vcpu.vm.id, vcpu: vcpu.id, fid, x1, x0 } });
  }
}
