/**
 * The descriptor of a VM: checks who asks and the arguments as the ioctl does, and hands on to the VM.
 *
 * @spec Linux KVM API, "arm64": partial: no dirty log, irqfd, ioeventfd, coalesced MMIO, MSI, guest debug, GET_REG_LIST
 * @spec Linux CCA host series v9, "KVM_CAP_ARM_RME": complete
 */
import {
  ARM_RME_CONFIG_HASH_ALGO,
  ARM_RME_CONFIG_PMU,
  ARM_RME_CONFIG_RPV,
  ARM_RME_POPULATE_FLAGS_MEASURE,
  KVM_ARM_TARGET_GENERIC_V8,
  KVM_ARM_VM_SMCCC_CTRL,
  KVM_ARM_VM_SMCCC_FILTER,
  KVM_CAP,
  KVM_CREATE_DEVICE_TEST,
  KVM_DEV_TYPE_ARM_REALM,
  KVM_DEV_TYPE_ARM_VGIC_V3,
  KVM_IRQ_LINE_FIELD,
  KVM_MEM_GUEST_MEMFD,
  KVM_MEM_READONLY,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  KVM_SMCCC_FILTER_FWD_TO_USER,
  KVM_SMCCC_FILTER_HANDLE,
  KvmSmcccFilter,
  RMI_FEATURE_REGISTER_0,
} from "@realmbox/abi";
import { privateIndex, sharedIndex } from "../memory/slots.js";
import type { ArmRmeConfig, Device, GuestMemfd, Op, Process, RealmState, UserMemoryRegion, Vcpu, Vm } from "./api.js";
import { DeviceHandle } from "./device-handle.js";
import { isKvmError, type KvmError, type KvmResult, kvmError } from "./errno.js";
import { GuestMemfdHandle } from "./guest-memfd-handle.js";
import { coreOf, isAligned, notOwner, PAGE } from "./handle.js";
import type { GuestFile, ProcessCore } from "./process.js";
import { realmSubCommand } from "./realm-commands.js";
import { capability } from "./system-handles.js";
import { VcpuHandle } from "./vcpu-handle.js";
import type { VmCore } from "./vm-core.js";

/** KVM_CAP_NR_MEMSLOTS. */
export const MEMSLOTS_MAX = 512;

export class VmHandle implements Vm {
  readonly core: VmCore;
  readonly #caller: ProcessCore;

  constructor(core: VmCore, caller: ProcessCore) {
    this.core = core;
    this.#caller = caller;
  }

  get id(): number {
    return this.core.id;
  }
  get isRealm(): boolean {
    return this.core.realm !== undefined;
  }
  get ipaBits(): number {
    return this.core.ipaBits;
  }
  get realmState(): RealmState {
    return this.core.realm?.state ?? "none";
  }
  get rd(): bigint | undefined {
    const { realm } = this.core;
    return realm && realm.state !== "none" ? realm.rdPa : undefined;
  }
  get vcpus(): readonly Vcpu[] {
    return this.core.vcpus.map((vcpu) => new VcpuHandle(vcpu, this.#caller));
  }

  get #refused(): KvmError | undefined {
    if (this.#caller !== this.core.owner) return notOwner();
    return this.core.closed ? kvmError("EBADF", "the VM is closed") : undefined;
  }

  checkExtension(cap: number): KvmResult<number> {
    return this.#refused ?? capability(this.core.kernel, cap);
  }

  createVcpu(id: number): KvmResult<Vcpu> {
    if (this.#refused) return this.#refused;
    const vcpu = this.core.createVcpu(id);
    return isKvmError(vcpu) ? vcpu : new VcpuHandle(vcpu, this.#caller);
  }

  setUserMemoryRegion(region: UserMemoryRegion): KvmResult {
    if (this.#refused) return this.#refused;
    const { core } = this;
    const { slot: id, flags = 0, guest_phys_addr: base, memory_size: size, userspace_addr: address } = region;
    const offset = region.guest_memfd_offset ?? 0n;
    if (size === 0n) return kvmError("EINVAL", "a slot is removed by deleteUserMemoryRegionOp");
    if (![base, size, address, offset].every(isAligned)) return kvmError("EINVAL", "not page aligned");
    if (size < 0n || base < 0n || offset < 0n || !Number.isInteger(id) || id < 0 || id >= MEMSLOTS_MAX) {
      return kvmError("EINVAL", "slot number, address or size");
    }
    // A realm's slots lie in the half of the IPA space that it can keep private.
    const limit = 1n << BigInt(core.realm ? core.ipaBits - 1 : core.ipaBits);
    if (base + size > limit) return kvmError("EINVAL", "beyond the IPA space");
    const isPrivate = (flags & KVM_MEM_GUEST_MEMFD) !== 0;
    if ((flags & ~(KVM_MEM_READONLY | KVM_MEM_GUEST_MEMFD)) !== 0 || (isPrivate && (flags & KVM_MEM_READONLY) !== 0)) {
      return kvmError("EINVAL", "flags");
    }
    if (core.slots.byId(id)) return kvmError("EEXIST", "the slot exists");
    if (core.slots.overlaps(base, size)) return kvmError("EEXIST", "overlaps another slot");
    const mapping = core.memory.find(address, size);
    if (!mapping) return kvmError("EFAULT", "no memory of the process behind the slot");
    let privatePages: GuestFile["pages"] | undefined;
    if (isPrivate) {
      const file = (region.guest_memfd as GuestMemfdHandle | undefined)?.file;
      if (!file || !core.realm) return kvmError("EINVAL", "guest_memfd of a realm");
      if ((file.vm && file.vm !== core) || file.pages.slot) return kvmError("EINVAL", "the file is another's");
      if (offset + size > file.pages.size) return kvmError("EINVAL", "beyond the guest_memfd");
      file.vm = core;
      privatePages = file.pages;
    }
    core.slots.add({
      id,
      readOnly: (flags & KVM_MEM_READONLY) !== 0,
      base,
      size,
      userspaceAddr: address,
      mapping,
      privatePages,
      privateOffset: offset,
    });
    return undefined;
  }

  *deleteUserMemoryRegionOp(id: number): Op<KvmResult> {
    if (this.#refused) return this.#refused;
    const slot = this.core.slots.byId(id);
    if (!slot) return kvmError("EINVAL", "no such slot");
    return yield* this.core.lock.with(this.core.removeSlot(slot));
  }

  createGuestMemfd(size: bigint, flags = 0n): KvmResult<GuestMemfd> {
    if (this.#refused) return this.#refused;
    if (flags !== 0n) return kvmError("EINVAL", "flags");
    if (!this.core.realm) return kvmError("EINVAL", "a normal VM has no private memory");
    const file = this.#caller.createFile(size, this.core);
    return isKvmError(file) ? file : new GuestMemfdHandle(file, this.#caller);
  }

  *setMemoryAttributesOp(range: { address: bigint; size: bigint; attributes: bigint }): Op<KvmResult> {
    if (this.#refused) return this.#refused;
    const { address, size, attributes } = range;
    if (!this.core.realm || (attributes & ~KVM_MEMORY_ATTRIBUTE_PRIVATE) !== 0n)
      return kvmError("EINVAL", "attributes");
    if (!isAligned(address) || !isAligned(size)) return kvmError("EINVAL", "not page aligned");
    if (address < 0n || size <= 0n || address + size > this.core.realm.sharedBit) return kvmError("EINVAL", "range");
    return yield* this.core.lock.with(this.core.setAttributes(address, size, attributes));
  }

  irqLine(irq: number, level: boolean): KvmResult {
    if (this.#refused) return this.#refused;
    if (!this.core.vgic) return kvmError("ENXIO", "no VGIC");
    const word = BigInt(irq >>> 0);
    const cpu = Number(KVM_IRQ_LINE_FIELD.VCPU.get(word)) + 256 * Number(KVM_IRQ_LINE_FIELD.VCPU2.get(word));
    const intid = Number(KVM_IRQ_LINE_FIELD.NUMBER.get(word));
    this.core.kernel.events.irqLine(this.core, irq, level);
    return this.core.vgic.irqLine(Number(KVM_IRQ_LINE_FIELD.TYPE.get(word)), cpu, intid, level);
  }

  createDevice(type: number, flags = 0): KvmResult<Device> {
    if (this.#refused) return this.#refused;
    const { core } = this;
    if ((flags & ~KVM_CREATE_DEVICE_TEST) !== 0) return kvmError("EINVAL", "flags");
    const isGic = type === KVM_DEV_TYPE_ARM_VGIC_V3;
    if (!isGic && !(type === KVM_DEV_TYPE_ARM_REALM && core.realm)) return kvmError("ENODEV", `device type ${type}`);
    if (isGic ? core.vgic : core.hasRealmDevice) return kvmError("EEXIST", "the VM has one");
    if (isGic && core.hasRun) return kvmError("EBUSY", "a vCPU has run");
    const device = new DeviceHandle(type, this, core.owner, this.#caller);
    if ((flags & KVM_CREATE_DEVICE_TEST) !== 0) return device;
    if (isGic) core.makeVgic();
    else core.hasRealmDevice = true;
    return device;
  }

  preferredTarget(): KvmResult<{ target: number; features: number[] }> {
    return this.#refused ?? { target: KVM_ARM_TARGET_GENERIC_V8, features: [0, 0, 0, 0, 0, 0, 0] };
  }

  setDeviceAttr(group: number, attr: bigint, value: Uint8Array): KvmResult {
    const refused = this.#refused ?? this.hasDeviceAttr(group, attr);
    if (refused) return refused;
    if (value.length !== KvmSmcccFilter.size) return kvmError("EFAULT", "kvm_smccc_filter is 24 bytes");
    const { base, nr_functions: count, action, pad } = KvmSmcccFilter.decode(value);
    if (pad.some((byte) => byte !== 0)) return kvmError("EINVAL", "padding");
    if (count === 0 || base + count > 0x1_0000_0000) return kvmError("EINVAL", "range");
    if (action < KVM_SMCCC_FILTER_HANDLE || action > KVM_SMCCC_FILTER_FWD_TO_USER) return kvmError("EINVAL", "action");
    if (this.core.hasRun) return kvmError("EBUSY", "a vCPU has run");
    if (this.core.filters.some((other) => base < other.base + other.count && other.base < base + count)) {
      return kvmError("EEXIST", "overlaps another filter");
    }
    this.core.filters.push({ base, count, action });
    return undefined;
  }

  hasDeviceAttr(group: number, attr: bigint): KvmResult {
    const known = group === KVM_ARM_VM_SMCCC_CTRL && attr === KVM_ARM_VM_SMCCC_FILTER;
    return this.#refused ?? (known ? undefined : kvmError("ENXIO", "unknown attribute"));
  }

  // CCA

  *enableCapOp(cap: number, args: readonly bigint[] = [], data?: Uint8Array): Op<KvmResult> {
    if (this.#refused) return this.#refused;
    if (cap === KVM_CAP.ARM_NISV_TO_USER) {
      this.core.nisvToUser = true;
      return undefined;
    }
    if (cap !== KVM_CAP.ARM_RME && cap !== KVM_CAP.ARM_RME_V10 && cap !== KVM_CAP.ARM_RME_V1) {
      return kvmError("EINVAL", `capability ${cap}`);
    }
    return yield* realmSubCommand(this, Number(args[0] ?? -1n), data, cap === KVM_CAP.ARM_RME_V1);
  }

  configRealm(config: ArmRmeConfig): KvmResult {
    if (this.#refused) return this.#refused;
    const { realm } = this.core;
    if (!realm) return kvmError("EPERM", "not a realm");
    if (realm.state !== "none") return kvmError("EPERM", "the realm is created");
    if (config.cfg === ARM_RME_CONFIG_RPV && config.rpv?.length === 64) {
      realm.rpv = config.rpv.slice();
      return undefined;
    }
    if (config.cfg === ARM_RME_CONFIG_HASH_ALGO && config.hash_algo !== undefined) {
      const { HASH_SHA_256, HASH_SHA_512 } = RMI_FEATURE_REGISTER_0;
      const field = [HASH_SHA_256, HASH_SHA_512][config.hash_algo];
      if (!field || field.get(this.core.kernel.features0) === 0n) return kvmError("EINVAL", "hash algorithm");
      realm.hashAlgo = config.hash_algo;
      return undefined;
    }
    if (config.cfg === ARM_RME_CONFIG_PMU && config.num_pmu_cntrs !== undefined) {
      const { PMU_EN, PMU_NUM_CTRS } = RMI_FEATURE_REGISTER_0;
      const { features0 } = this.core.kernel;
      if (PMU_EN.get(features0) === 0n || BigInt(config.num_pmu_cntrs) > PMU_NUM_CTRS.get(features0))
        return kvmError("EINVAL", `${config.num_pmu_cntrs} event counters`);
      realm.pmuCounters = config.num_pmu_cntrs;
      return undefined;
    }
    return kvmError("EINVAL", "configuration item");
  }

  *createRealmOp(): Op<KvmResult> {
    if (this.#refused) return this.#refused;
    const { realm, lock } = this.core;
    if (!realm) return kvmError("EPERM", "not a realm");
    if (realm.state !== "none") return kvmError("EEXIST", "the realm is created");
    return yield* lock.with(realm.create());
  }

  *initRipasRealmOp(range: { base: bigint; size: bigint }): Op<KvmResult> {
    const refused = this.#refused ?? this.#newRealm() ?? this.#privateRange(range.base, range.size);
    if (refused) return refused;
    const { realm, lock } = this.core;
    return yield* lock.with(realm!.initRipas(range.base, range.base + range.size));
  }

  *populateRealmOp(range: { base: bigint; size: bigint; flags?: number }): Op<KvmResult> {
    const { base, size, flags = 0 } = range;
    const refused = this.#refused ?? this.#newRealm() ?? this.#privateRange(base, size);
    if (refused) return refused;
    if ((flags & ~ARM_RME_POPULATE_FLAGS_MEASURE) !== 0) return kvmError("EINVAL", "flags");
    return yield* this.core.lock.with(this.#populate(base, size, (flags & ARM_RME_POPULATE_FLAGS_MEASURE) !== 0));
  }

  *#populate(base: bigint, size: bigint, measure: boolean): Op<KvmResult> {
    const { core } = this;
    for (let gpa = base; gpa < base + size; gpa += PAGE) {
      const slot = core.slots.find(gpa);
      if (!slot) return kvmError("EINVAL", `no memory at 0x${gpa.toString(16)}`);
      if (!slot.privatePages) return kvmError("EPERM", "the slot has no guest_memfd");
      const source = core.memory.touch(slot.mapping, sharedIndex(slot, gpa));
      if (source === undefined) return kvmError("ENOMEM", "no page for the source");
      const index = privateIndex(slot, gpa);
      const failed = yield* core.realm!.populate(
        slot.privatePages,
        index,
        Number(gpa >> 12n),
        Number(source >> 12n),
        measure,
      );
      if (failed) return failed;
    }
    return undefined;
  }

  *activateRealmOp(): Op<KvmResult> {
    const refused = this.#refused ?? this.#newRealm();
    if (refused) return refused;
    return yield* this.core.lock.with(this.core.realm!.activate());
  }

  #newRealm(): KvmError | undefined {
    const { realm } = this.core;
    if (!realm) return kvmError("EPERM", "not a realm");
    return realm.state === "new" ? undefined : kvmError("EPERM", `the realm's state is ${realm.state}`);
  }

  #privateRange(base: bigint, size: bigint): KvmError | undefined {
    if (!isAligned(base) || !isAligned(size)) return kvmError("EINVAL", "not page aligned");
    const { sharedBit } = this.core.realm!;
    return base < 0n || size <= 0n || base + size > sharedBit ? kvmError("EINVAL", "range") : undefined;
  }

  *closeOp(): Op<KvmResult> {
    if (this.#refused) return this.#refused;
    return yield* this.core.close();
  }

  as(other: Process): Vm {
    return new VmHandle(this.core, coreOf(other));
  }
}
