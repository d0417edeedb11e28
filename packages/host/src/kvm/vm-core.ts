/**
 * A VM in the kernel: memory slots and attributes, stage 2 or realm, VGIC, vCPUs. The handles of kvm/handles.ts check who
 * asks and call this.
 *
 * Invariants
 * - A normal VM has `stage2`, a realm has `realm`; never both.
 * - `sharedMapped` holds exactly the guest pages whose shared half is mapped in the realm.
 */
import { KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_SMCCC_FILTER_HANDLE, PPI, RmiRipas } from "@realmbox/abi";
import type { Kernel } from "../kernel.js";
import type { AddressSpace, Mapping } from "../memory/address-space.js";
import {
  gpaOfPrivate,
  type MemorySlot,
  PageSet,
  type PrivatePages,
  privateIndex,
  SlotTable,
  sharedIndex,
} from "../memory/slots.js";
import { Stage2 } from "../memory/stage2.js";
import { OpLock } from "../rmi/lock.js";
import { Realm } from "../rmi/realm.js";
import { ThreadState, VcpuCore } from "../vcpu/vcpu.js";
import { type TimerIntids, Vgic } from "../vgic/vgic.js";
import type { Op } from "./api.js";
import { type KvmResult, kvmError } from "./errno.js";
import type { ProcessCore } from "./process.js";

const PAGE = 0x1000n;
/** More than any board has PEs, within GICv3's 16 per Aff0. */
export const MAX_VCPUS = 64;
const MPIDR_AFFINITY = 0xff_00ff_ffffn;

export interface SmcccFilter {
  readonly base: number;
  readonly count: number;
  readonly action: number;
}

export class VmCore {
  readonly id: number;
  readonly owner: ProcessCore;
  readonly kernel: Kernel;
  readonly ipaBits: number;
  readonly realm: Realm | undefined;
  readonly stage2: Stage2 | undefined;
  /** VMID of a normal VM; a realm's is the RMM's business. */
  readonly vmid: number;
  readonly lock: OpLock;
  readonly slots = new SlotTable();
  /** Guest pages with KVM_MEMORY_ATTRIBUTE_PRIVATE. */
  readonly privatePages = new PageSet();
  readonly sharedMapped = new PageSet();
  readonly vcpus: VcpuCore[] = [];
  /** INTID of the PMU's overflow interrupt, for vCPUs that have a PMU. */
  pmuIntid: number = PPI.PMU;
  readonly timerIntids: TimerIntids = { virtual: PPI.EL1_VIRTUAL_TIMER, physical: PPI.EL1_PHYSICAL_TIMER };
  vgic: Vgic | undefined = undefined;
  /** Descriptor of a device was made for the realm. */
  hasRealmDevice = false;
  /** CNTVOFF_EL2 of a normal VM: its virtual counter starts at 0 when it is made. */
  counterOffset = 0;
  nisvToUser = false;
  /** A vCPU has been started: the machine's make-up is settled. */
  hasRun = false;
  filters: SmcccFilter[] = [];
  closed = false;

  private constructor(
    kernel: Kernel,
    owner: ProcessCore,
    parts: { id: number; ipaBits: number; vmid: number; realm: Realm | undefined; stage2: Stage2 | undefined },
  ) {
    this.kernel = kernel;
    this.owner = owner;
    this.id = parts.id;
    this.ipaBits = parts.ipaBits;
    this.vmid = parts.vmid;
    this.realm = parts.realm;
    this.stage2 = parts.stage2;
    this.lock = new OpLock(() => kernel.resumeWaiting());
  }

  static create(kernel: Kernel, owner: ProcessCore, id: number, ipaBits: number, isRealm: boolean): KvmResult<VmCore> {
    if (isRealm) {
      const realm = new Realm(kernel.realmEnvironment, ipaBits);
      return new VmCore(kernel, owner, { id, ipaBits, vmid: 0, realm, stage2: undefined });
    }
    const vmid = kernel.vmids.alloc();
    if (vmid === undefined) return kvmError("ENOMEM", "no VMID left");
    const stage2 = Stage2.create(kernel.allocator, () => kernel.port, ipaBits);
    if (!stage2) {
      kernel.vmids.free(vmid);
      return kvmError("ENOMEM", "no page for stage-2 tables");
    }
    const vm = new VmCore(kernel, owner, { id, ipaBits, vmid, realm: undefined, stage2 });
    vm.counterOffset = kernel.count;
    return vm;
  }

  /** The VM that a snapshot describes, without its parts' contents. */
  static revive(
    kernel: Kernel,
    owner: ProcessCore,
    parts: { id: number; ipaBits: number; vmid: number; realm: Realm | undefined; stage2: Stage2 | undefined },
  ): VmCore {
    return new VmCore(kernel, owner, parts);
  }

  get memory(): AddressSpace {
    return this.owner.memory;
  }

  vcpuByMpidr(mpidr: bigint): VcpuCore | undefined {
    const affinity = mpidr & MPIDR_AFFINITY;
    return this.vcpus.find((vcpu) => (vcpu.mpidr & MPIDR_AFFINITY) === affinity);
  }

  isPrivate(gpa: bigint): boolean {
    return this.privatePages.has(Number(gpa >> 12n));
  }

  /** What is to be done with an SMCCC function: KVM_SMCCC_FILTER_*. */
  smcccAction(fid: number): number {
    for (const { base, count, action } of this.filters) if (fid >= base && fid - base < count) return action;
    return KVM_SMCCC_FILTER_HANDLE;
  }

  makeVgic(): Vgic {
    const vgic = new Vgic(this.ipaBits, (cpu) => {
      const vcpu = this.vcpus[cpu];
      if (vcpu) this.kernel.interruptsOf(vcpu);
    });
    this.vgic = vgic;
    return vgic;
  }

  /** `restored`: the vCPU comes from a snapshot, so the order of construction does not matter. */
  createVcpu(id: number, restored = false): KvmResult<VcpuCore> {
    if (id < 0 || id >= MAX_VCPUS || !Number.isInteger(id)) return kvmError("EINVAL", `vCPU id ${id}`);
    if (this.vcpus.some((vcpu) => vcpu.id === id)) return kvmError("EEXIST", `vCPU ${id} exists`);
    if (this.vgic?.distributor) return kvmError("EBUSY", "the VGIC is initialised");
    if (!restored && this.realm && this.realm.state !== "none" && this.realm.state !== "new") {
      return kvmError("EBUSY", "the realm is active");
    }
    const vcpu = new VcpuCore(this, id, this.vcpus.length, this.kernel.homeFor(this.vcpus.length));
    vcpu.home.threads.push(vcpu);
    this.vcpus.push(vcpu);
    return vcpu;
  }

  // Private memory

  /** A RIPAS change to EMPTY that covers the page is pending: the page goes when the change is made, not before. */
  #awaitsEmpty(gpa: bigint): boolean {
    return this.vcpus.some(
      ({ ripas }) => ripas !== undefined && ripas.value === RmiRipas.EMPTY && gpa >= ripas.base && gpa < ripas.top,
    );
  }

  /** Takes the private page of `gpa` back from the realm, if there is one. */
  *destroyPrivatePage(gpa: bigint): Op<boolean> {
    const slot = this.slots.find(gpa);
    if (!slot?.privatePages || !this.realm) return true;
    return yield* this.realm.destroyPage(slot.privatePages, privateIndex(slot, gpa), Number(gpa >> 12n));
  }

  /** Takes [first, first + count) of a guest_memfd back; `force`: also what a pending RIPAS change would take. */
  *punch(file: PrivatePages, first: number, count: number, force = false): Op<KvmResult> {
    let failed = false;
    for (let index = first; index < first + count; index++) {
      if (file.pages[index] === 0) continue;
      const gpa = file.slot && gpaOfPrivate(file.slot, index);
      if (gpa === undefined || (!force && this.#awaitsEmpty(gpa))) continue;
      if (!(yield* this.realm!.destroyPage(file, index, Number(gpa >> 12n)))) failed = true;
    }
    return failed ? kvmError("EIO", "the RMM did not give a page back") : undefined;
  }

  /** KVM_SET_MEMORY_ATTRIBUTES: the half that a page is no longer wanted for is unmapped. */
  *setAttributes(address: bigint, size: bigint, attributes: bigint): Op<KvmResult> {
    const wantPrivate = (attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE) !== 0n;
    for (let gpa = address; gpa < address + size; gpa += PAGE) {
      const page = Number(gpa >> 12n);
      if (this.privatePages.has(page) === wantPrivate) continue;
      this.privatePages.set(page, wantPrivate);
      if (wantPrivate) {
        if (this.sharedMapped.has(page)) yield* this.unmapShared(gpa);
      } else if (!this.#awaitsEmpty(gpa)) yield* this.destroyPrivatePage(gpa);
    }
    return undefined;
  }

  /** Whether a guest may have one of the pages [first, end) of a process's mapping: a normal VM all that it was shown. */
  maps(mapping: Mapping, first: number, end: number): boolean {
    for (const slot of this.slots.all) {
      if (slot.mapping !== mapping) continue;
      const offset = Number((slot.userspaceAddr - mapping.base) >> 12n);
      const page = Number(slot.base >> 12n) - offset;
      const from = Math.max(first, offset);
      const to = Math.min(end, offset + Number(slot.size >> 12n));
      if (from < to && !this.realm) return true;
      for (let index = from; index < to; index++) if (this.sharedMapped.has(page + index)) return true;
    }
    return false;
  }

  /** Takes the mapping of a shared page out of the realm; the page stays the VMM's. */
  *unmapShared(gpa: bigint): Op<void> {
    const page = Number(gpa >> 12n);
    if (!this.realm || !this.sharedMapped.has(page)) return;
    yield* this.realm.unmapUnprotected(gpa | this.realm.sharedBit);
    this.sharedMapped.set(page, false);
  }

  /** Memory pressure: takes private pages of [gpa, gpa + size) from the realm; their content is gone. How many. */
  *reclaim(gpa: bigint, size: bigint): Op<number> {
    let taken = 0;
    for (let at = gpa & -PAGE; at < gpa + size; at += PAGE) {
      const slot = this.slots.find(at);
      if (!this.realm || !slot?.privatePages || slot.privatePages.pages[privateIndex(slot, at)] === 0) continue;
      if (yield* this.destroyPrivatePage(at)) taken++;
    }
    return taken;
  }

  // Removal

  /** Everything that maps the slot's memory goes. */
  *removeSlot(slot: MemorySlot): Op<KvmResult> {
    let failed: KvmResult;
    if (this.realm) {
      for (let gpa = slot.base; gpa < slot.base + slot.size; gpa += PAGE) {
        if (this.sharedMapped.has(Number(gpa >> 12n))) yield* this.unmapShared(gpa);
      }
      if (slot.privatePages) {
        const first = Number(slot.privateOffset >> 12n);
        failed = yield* this.punch(slot.privatePages, first, Number(slot.size >> 12n), true);
      }
    } else {
      let unmapped = false;
      for (let gpa = slot.base; gpa < slot.base + slot.size; gpa += PAGE) {
        if (slot.mapping.pages[sharedIndex(slot, gpa)] !== 0 && this.stage2!.unmap(gpa)) unmapped = true;
      }
      if (unmapped) this.kernel.flushVmid(this.vmid);
    }
    this.slots.remove(slot);
    return failed;
  }

  /** Stops the vCPUs and gives everything back. */
  *close(): Op<KvmResult> {
    this.closed = true;
    for (const vcpu of this.vcpus) this.kernel.retire(vcpu);
    // A vCPU on another PE is still in the guest: its exit comes with the kick.
    while (this.vcpus.some((vcpu) => vcpu.state !== ThreadState.STOPPED && vcpu !== this.kernel.callingThread)) {
      yield "wait";
    }
    let failed: KvmResult;
    const keep = (result: KvmResult) => {
      failed ??= result;
    };
    for (const vcpu of this.vcpus) {
      if (vcpu.rec) yield* this.realm!.destroyRec(vcpu.rec);
      vcpu.rec = undefined;
    }
    for (const slot of [...this.slots.all]) keep(yield* this.removeSlot(slot));
    if (this.realm && this.realm.state !== "none") keep(yield* this.realm.destroy());
    if (this.stage2) {
      this.stage2.destroy();
      this.kernel.flushVmid(this.vmid);
      this.kernel.vmids.free(this.vmid);
    }
    this.kernel.forget(this);
    return failed;
  }

  /** What KVM_RUN checks before a vCPU may enter. */
  readyToRun(vcpu: VcpuCore): KvmResult {
    if (this.closed) return kvmError("EIO", "the VM is closed");
    if (vcpu.features === undefined) return kvmError("EINVAL", "the vCPU is not initialised");
    const { realm } = this;
    if (realm) {
      if (realm.state !== "active" && realm.state !== "off") return kvmError("EINVAL", "the realm is not active");
      if (!vcpu.rec) return kvmError("EPERM", "the vCPU has no REC");
    }
    return this.vgic?.readyToRun();
  }
}
