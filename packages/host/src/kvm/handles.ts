/**
 * The file descriptors: what a process holds of the kernel's objects. Each call first checks that the process is the one
 * that created the object (EIO otherwise), then the arguments as the ioctl does, and hands on.
 *
 * @spec Linux KVM API, arm64: partial: no dirty log, irqfd, ioeventfd, coalesced MMIO, MSI, guest debug, GET_REG_LIST
 * @spec Linux CCA host series v9, KVM_CAP_ARM_RME: complete
 */
import {
  ARM_RME_CONFIG_HASH_ALGO,
  ARM_RME_CONFIG_RPV,
  ARM_RME_POPULATE_FLAGS_MEASURE,
  ArmRmeConfigHash,
  ArmRmeConfigRpv,
  ArmRmeInitRipas,
  ArmRmePopulateRealm,
  KVM_API_VERSION,
  KVM_ARM_TARGET_GENERIC_V8,
  KVM_ARM_VCPU,
  KVM_ARM_VCPU_TIMER_CTRL,
  KVM_ARM_VCPU_TIMER_IRQ_PTIMER,
  KVM_ARM_VCPU_TIMER_IRQ_VTIMER,
  KVM_ARM_VM_SMCCC_CTRL,
  KVM_ARM_VM_SMCCC_FILTER,
  KVM_CAP,
  KVM_CAP_ARM_RME_SUB,
  KVM_CREATE_DEVICE_TEST,
  KVM_DEV_ARM_REALM_GRP,
  KVM_DEV_TYPE_ARM_REALM,
  KVM_DEV_TYPE_ARM_VGIC_V3,
  KVM_IRQ_LINE_FIELD,
  KVM_MEM_GUEST_MEMFD,
  KVM_MEM_READONLY,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  KVM_MP_STATE,
  KVM_SMCCC_FILTER_FWD_TO_USER,
  KVM_SMCCC_FILTER_HANDLE,
  KVM_VM_TYPE,
  KVM_VM_TYPE_ARM_NORMAL,
  KVM_VM_TYPE_ARM_REALM,
  KvmRunHead,
  KvmSmcccFilter,
  RME_API_VERSION,
  RMI_FEATURE_REGISTER_0,
} from "@realmbox/abi";
import { isFault } from "@realmbox/machine";
import type { Kernel } from "../kernel.js";
import { sharedIndex } from "../memory/slots.js";
import { Outcome } from "../vcpu/outcome.js";
import { completePsci } from "../vcpu/realm-vcpu.js";
import { Completion, ThreadState, type VcpuCore } from "../vcpu/vcpu.js";
import type {
  ArmRmeConfig,
  Device,
  GuestMemfd,
  Kvm,
  KvmRun,
  OnExit,
  Op,
  Process,
  RealmState,
  Rme,
  RmeSpace,
  UserMemoryRegion,
  Vcpu,
  Vm,
} from "./api.js";
import { isKvmError, type KvmError, type KvmResult, kvmError } from "./errno.js";
import { getOneReg, setOneReg } from "./one-reg.js";
import type { GuestFile, ProcessCore } from "./process.js";
import { MAX_VCPUS, VmCore } from "./vm-core.js";

const PAGE = 0x1000n;
const MEMSLOTS_MAX = 512;
/** IPA bits of KVM_CREATE_VM with size 0, and the least and the most that the machine's MMU takes. */
const IPA_BITS_DEFAULT = 40;
const IPA_BITS_MIN = 32;
const IPA_BITS_MAX = 48;
const isAligned = (value: bigint): boolean => (value & (PAGE - 1n)) === 0n;

/** The other process's core, behind its handle. */
const coreOf = (process: Process): ProcessCore => (process as ProcessHandle).core;

const notOwner = (): KvmError => kvmError("EIO", "the caller is not the process that created it");

export class ProcessHandle implements Process {
  readonly core: ProcessCore;

  constructor(core: ProcessCore) {
    this.core = core;
  }

  get name(): string {
    return this.core.name;
  }

  openKvm(): KvmResult<Kvm> {
    const { kernel } = this.core;
    if (!kernel.ready) return kvmError("ENXIO", "the Host has not booted");
    return new KvmHandle(kernel, this.core, this.core);
  }

  openRme(): KvmResult<Rme> {
    const { kernel } = this.core;
    if (!kernel.rmm) return kvmError("ENODEV", "no RMM");
    return new RmeHandle(kernel, this.core, this.core);
  }

  mmap(size: bigint): KvmResult<bigint> {
    const mapping = this.core.memory.mmap(size);
    return isKvmError(mapping) ? mapping : mapping.base;
  }

  munmap(address: bigint): KvmResult {
    return this.core.memory.munmap(address);
  }

  read(address: bigint, into: Uint8Array): KvmResult {
    return this.core.memory.read(address, into);
  }

  write(address: bigint, from: Uint8Array): KvmResult {
    return this.core.memory.write(address, from);
  }

  exitOp(): Op<KvmResult> {
    return this.core.exit();
  }
}

abstract class Handle {
  readonly kernel: Kernel;
  readonly owner: ProcessCore;
  readonly caller: ProcessCore;

  constructor(kernel: Kernel, owner: ProcessCore, caller: ProcessCore) {
    this.kernel = kernel;
    this.owner = owner;
    this.caller = caller;
  }

  protected get refused(): KvmError | undefined {
    return this.caller === this.owner ? undefined : notOwner();
  }
}

class KvmHandle extends Handle implements Kvm {
  // The system calls on /dev/kvm are open to whoever has it; what they make belongs to the caller.

  getApiVersion(): KvmResult<number> {
    return KVM_API_VERSION;
  }

  checkExtension(cap: number): KvmResult<number> {
    return capability(this.kernel, cap);
  }

  getVcpuMmapSize(): KvmResult<number> {
    return (KvmRunHead.size + 0xfff) & ~0xfff;
  }

  createVm(type: bigint): KvmResult<Vm> {
    const known = KVM_VM_TYPE.IPA_SIZE.mask | KVM_VM_TYPE.MACHINE.mask;
    const machine = KVM_VM_TYPE.MACHINE.get(type);
    if ((type & ~known) !== 0n || (machine !== KVM_VM_TYPE_ARM_NORMAL && machine !== KVM_VM_TYPE_ARM_REALM)) {
      return kvmError("EINVAL", `VM type 0x${type.toString(16)}`);
    }
    const { kernel } = this;
    const isRealm = machine === KVM_VM_TYPE_ARM_REALM;
    if (isRealm && !kernel.rmm) return kvmError("EPERM", "no RMM");
    const ipaBits = Number(KVM_VM_TYPE.IPA_SIZE.get(type)) || IPA_BITS_DEFAULT;
    if (ipaBits < IPA_BITS_MIN || ipaBits > ipaBitsMax(kernel, isRealm)) {
      return kvmError("EINVAL", `IPA space of ${ipaBits} bits`);
    }
    const vm = VmCore.create(kernel, this.caller, kernel.nextVmId, ipaBits, isRealm);
    if (isKvmError(vm)) return vm;
    kernel.nextVmId++;
    kernel.vms.push(vm);
    return new VmHandle(vm, this.caller);
  }

  as(other: Process): Kvm {
    return new KvmHandle(this.kernel, this.owner, coreOf(other));
  }
}

function ipaBitsMax(kernel: Kernel, isRealm: boolean): number {
  const machine = Math.min(kernel.machine.board.paBits, IPA_BITS_MAX);
  if (!isRealm) return machine;
  return Math.min(machine, Number(RMI_FEATURE_REGISTER_0.S2SZ.get(kernel.features0)));
}

function capability(kernel: Kernel, cap: number): number {
  switch (cap) {
    case KVM_CAP.IRQCHIP:
    case KVM_CAP.USER_MEMORY:
    case KVM_CAP.USER_MEMORY2:
    case KVM_CAP.MP_STATE:
    case KVM_CAP.SYNC_MMU:
    case KVM_CAP.VCPU_EVENTS:
    case KVM_CAP.ONE_REG:
    case KVM_CAP.READONLY_MEM:
    case KVM_CAP.ARM_PSCI:
    case KVM_CAP.ARM_PSCI_0_2:
    case KVM_CAP.DEVICE_CTRL:
    case KVM_CAP.ENABLE_CAP_VM:
    case KVM_CAP.CHECK_EXTENSION_VM:
    case KVM_CAP.VCPU_ATTRIBUTES:
    case KVM_CAP.IMMEDIATE_EXIT:
    case KVM_CAP.ARM_NISV_TO_USER:
    case KVM_CAP.ARM_INJECT_EXT_DABT:
    case KVM_CAP.MEMORY_FAULT_INFO:
      return 1;
    case KVM_CAP.NR_VCPUS:
      return kernel.machine.pes.length;
    case KVM_CAP.MAX_VCPUS:
    case KVM_CAP.MAX_VCPU_ID:
      return MAX_VCPUS;
    case KVM_CAP.NR_MEMSLOTS:
      return MEMSLOTS_MAX;
    case KVM_CAP.ARM_VM_IPA_SIZE:
      return ipaBitsMax(kernel, false);
    case KVM_CAP.MEMORY_ATTRIBUTES:
      return Number(KVM_MEMORY_ATTRIBUTE_PRIVATE);
    case KVM_CAP.GUEST_MEMFD:
    case KVM_CAP.ARM_RME:
    case KVM_CAP.ARM_RME_V10:
    case KVM_CAP.ARM_RME_V1:
      return kernel.rmm ? 1 : 0;
    case KVM_CAP.VM_TYPES:
      return kernel.rmm ? 3 : 1; // bit n: machine type n
  }
  return 0;
}

class RmeHandle extends Handle implements Rme {
  getApiVersion(): KvmResult<number> {
    return this.refused ?? RME_API_VERSION;
  }

  getFeatures(index: number): KvmResult<bigint> {
    return this.refused ?? (index === 0 ? this.kernel.features0 : 0n);
  }

  createSpace(size: bigint): KvmResult<RmeSpace> {
    if (this.refused) return this.refused;
    const file = this.caller.createFile(size, undefined);
    if (isKvmError(file)) return file;
    const mapping = this.caller.memory.mmap(size);
    if (isKvmError(mapping)) return mapping;
    return { userspace_addr: mapping.base, guest_memfd: new GuestMemfdHandle(file, this.caller), size };
  }

  *destroySpaceOp(space: RmeSpace): Op<KvmResult> {
    if (this.refused) return this.refused;
    const failed = yield* space.guest_memfd.closeOp();
    return failed ?? this.caller.memory.munmap(space.userspace_addr);
  }

  as(other: Process): Rme {
    return new RmeHandle(this.kernel, this.owner, coreOf(other));
  }
}

export class GuestMemfdHandle implements GuestMemfd {
  readonly file: GuestFile;
  readonly #process: ProcessCore;

  constructor(file: GuestFile, process: ProcessCore) {
    this.file = file;
    this.#process = process;
  }

  get size(): bigint {
    return this.file.pages.size;
  }

  *punchHoleOp(offset: bigint, size: bigint): Op<KvmResult> {
    if (!isAligned(offset) || !isAligned(size)) return kvmError("EINVAL", "not page aligned");
    if (offset < 0n || size <= 0n || offset + size > this.size) return kvmError("EINVAL", "beyond the file");
    const { vm, pages } = this.file;
    if (!vm || vm.closed) return undefined; // nothing was ever there
    return yield* vm.lock.with(vm.punch(pages, Number(offset >> 12n), Number(size >> 12n)));
  }

  read(offset: bigint, into: Uint8Array): KvmResult {
    const { kernel } = this.#process;
    for (let at = 0; at < into.length; ) {
      const from = Number(offset) + at;
      const n = Math.min(into.length - at, 4096 - (from % 4096));
      const pfn = this.file.pages.pages[Math.floor(from / 4096)] ?? 0;
      if (pfn === 0) return kvmError("EFAULT", "no page there");
      const fault = kernel.port.copyIn((BigInt(pfn - 1) << 12n) + BigInt(from % 4096), into.subarray(at, at + n));
      if (isFault(fault)) {
        kernel.reportFault(fault, "guest_memfd");
        return kvmError("EFAULT", `${fault.fault} fault`);
      }
      at += n;
    }
    return undefined;
  }

  // biome-ignore lint/correctness/useYield: an operation for the caller's convenience; a file without a slot has no pages
  *closeOp(): Op<KvmResult> {
    if (this.file.pages.slot) return kvmError("EBUSY", "a memory slot uses the file");
    this.#process.files[this.file.id] = undefined;
    return undefined;
  }
}

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
    this.core.kernel.traceLine(this.core, irq, level);
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
      const index = Number((gpa - slot.base + slot.privateOffset) >> 12n);
      const failed = yield* core.realm!.populate(slot.privatePages, index, gpa, source, measure);
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

/** A CCA sub-command with its structure as bytes. `v1`: 16-byte ranges, every populated page measured. */
function* realmSubCommand(vm: Vm, command: number, data: Uint8Array | undefined, v1: boolean): Op<KvmResult> {
  const needs = (size: number): Uint8Array | undefined => (data && data.length >= size ? data : undefined);
  switch (command) {
    case KVM_CAP_ARM_RME_SUB.CONFIG_REALM: {
      const item = needs(ArmRmeConfigRpv.size);
      if (!item) return kvmError("EFAULT", "the structure is 260 bytes");
      const { cfg, rpv } = ArmRmeConfigRpv.decode(item);
      const { hash_algo } = ArmRmeConfigHash.decode(item);
      return vm.configRealm(cfg === ARM_RME_CONFIG_RPV ? { cfg, rpv } : { cfg, hash_algo });
    }
    case KVM_CAP_ARM_RME_SUB.CREATE_REALM:
      return yield* vm.createRealmOp();
    case KVM_CAP_ARM_RME_SUB.INIT_RIPAS_REALM: {
      const range = needs(v1 ? 16 : ArmRmeInitRipas.size);
      if (!range) return kvmError("EFAULT", "the structure is 32 bytes");
      const view = new DataView(range.buffer, range.byteOffset);
      const { base, size } = ArmRmeInitRipas.fields;
      return yield* vm.initRipasRealmOp({ base: base.read(view, 0), size: size.read(view, 0) });
    }
    case KVM_CAP_ARM_RME_SUB.POPULATE_REALM: {
      const range = needs(v1 ? 16 : ArmRmePopulateRealm.size);
      if (!range) return kvmError("EFAULT", "the structure is 32 bytes");
      const view = new DataView(range.buffer, range.byteOffset);
      const { base, size, flags } = ArmRmePopulateRealm.fields;
      return yield* vm.populateRealmOp({
        base: base.read(view, 0),
        size: size.read(view, 0),
        flags: v1 ? ARM_RME_POPULATE_FLAGS_MEASURE : flags.read(view, 0),
      });
    }
    case KVM_CAP_ARM_RME_SUB.ACTIVATE_REALM:
      return yield* vm.activateRealmOp();
  }
  return kvmError("EINVAL", `sub-command ${command}`);
}

/** The attribute groups of KVM_DEV_TYPE_ARM_REALM are the sub-commands in their order. */
const REALM_STATES: readonly RealmState[] = ["none", "new", "active", "off"];

class DeviceHandle implements Device {
  readonly type: number;
  readonly #vm: VmHandle;
  readonly #owner: ProcessCore;
  readonly #caller: ProcessCore;

  constructor(type: number, vm: VmHandle, owner: ProcessCore, caller: ProcessCore) {
    this.type = type;
    this.#vm = vm;
    this.#owner = owner;
    this.#caller = caller;
  }

  get #refused(): KvmError | undefined {
    if (this.#caller !== this.#owner) return notOwner();
    const { core } = this.#vm;
    if (core.closed) return kvmError("EBADF", "the VM is closed");
    // KVM_CREATE_DEVICE_TEST made no device.
    const exists = this.type === KVM_DEV_TYPE_ARM_VGIC_V3 ? core.vgic !== undefined : core.hasRealmDevice;
    return exists ? undefined : kvmError("EBADF", "there is no such device");
  }

  setDeviceAttr(group: number, attr: bigint, value?: Uint8Array): KvmResult {
    if (this.#refused) return this.#refused;
    const { core } = this.#vm;
    if (this.type === KVM_DEV_TYPE_ARM_VGIC_V3) {
      return core.vgic!.setAttr(group, attr, value, () => core.vcpus.map((vcpu) => vcpu.mpidr));
    }
    return kvmError("EINVAL", "the attributes of a realm are set by setDeviceAttrOp");
  }

  *setDeviceAttrOp(group: number, attr: bigint, value?: Uint8Array): Op<KvmResult> {
    if (this.type !== KVM_DEV_TYPE_ARM_REALM) return this.setDeviceAttr(group, attr, value);
    if (this.#refused) return this.#refused;
    const failed = this.hasDeviceAttr(group, attr);
    if (failed) return failed;
    if (group === KVM_DEV_ARM_REALM_GRP.STATE) return kvmError("EINVAL", "the state is read-only");
    return yield* realmSubCommand(this.#vm, group, value, false);
  }

  getDeviceAttr(group: number, attr: bigint, into: Uint8Array): KvmResult {
    if (this.#refused) return this.#refused;
    if (this.type === KVM_DEV_TYPE_ARM_VGIC_V3) return this.#vm.core.vgic!.getAttr(group, attr, into);
    if (group !== KVM_DEV_ARM_REALM_GRP.STATE || into.length < 1) return kvmError("ENXIO", "unknown attribute");
    into[0] = REALM_STATES.indexOf(this.#vm.realmState);
    return undefined;
  }

  hasDeviceAttr(group: number, attr: bigint): KvmResult {
    if (this.#refused) return this.#refused;
    if (this.type === KVM_DEV_TYPE_ARM_VGIC_V3) return this.#vm.core.vgic!.hasAttr(group, attr);
    const known = group >= 0 && group <= KVM_DEV_ARM_REALM_GRP.STATE && attr === 0n;
    return known ? undefined : kvmError("ENXIO", "unknown attribute");
  }

  as(other: Process): Device {
    return new DeviceHandle(this.type, this.#vm, this.#owner, coreOf(other));
  }
}

const FEATURES_KNOWN = (1 << KVM_ARM_VCPU.POWER_OFF) | (1 << KVM_ARM_VCPU.PSCI_0_2) | (1 << KVM_ARM_VCPU.REC);

export class VcpuHandle implements Vcpu {
  readonly core: VcpuCore;
  readonly #caller: ProcessCore;

  constructor(core: VcpuCore, caller: ProcessCore) {
    this.core = core;
    this.#caller = caller;
  }

  get id(): number {
    return this.core.id;
  }
  get vm(): Vm {
    return new VmHandle(this.core.vm, this.#caller);
  }
  get run(): KvmRun {
    return this.core.run;
  }
  get started(): boolean {
    return this.core.state !== ThreadState.STOPPED;
  }

  get #refused(): KvmError | undefined {
    if (this.#caller !== this.core.vm.owner) return notOwner();
    return this.core.vm.closed ? kvmError("EBADF", "the VM is closed") : undefined;
  }

  armVcpuInit(init: { target: number; features: readonly number[] }): KvmResult {
    if (this.#refused) return this.#refused;
    const { core } = this;
    const features = init.features[0] ?? 0;
    if (init.target !== KVM_ARM_TARGET_GENERIC_V8) return kvmError("EINVAL", `target ${init.target}`);
    if ((features & ~FEATURES_KNOWN) !== 0 || init.features.slice(1).some((word) => word !== 0)) {
      return kvmError("ENOENT", "a feature that this CPU does not have");
    }
    const wantsRec = ((features >> KVM_ARM_VCPU.REC) & 1) === 1;
    if (wantsRec !== (core.vm.realm !== undefined)) return kvmError("EINVAL", "REC is for the vCPUs of realms");
    if (wantsRec && ((features >> KVM_ARM_VCPU.PSCI_0_2) & 1) === 0) return kvmError("EINVAL", "REC needs PSCI_0_2");
    if (core.features !== undefined && core.features !== features)
      return kvmError("EINVAL", "other features than before");
    if (core.state !== ThreadState.STOPPED) return kvmError("EBUSY", "the vCPU runs");
    if (core.rec) return kvmError("EPERM", "the REC is created");
    core.features = features;
    core.reset();
    core.powered = ((features >> KVM_ARM_VCPU.POWER_OFF) & 1) === 0;
    return undefined;
  }

  *armVcpuFinalizeOp(feature: number): Op<KvmResult> {
    if (this.#refused) return this.#refused;
    const { core } = this;
    const { vm } = core;
    if (core.features === undefined || !core.hasFeature(feature))
      return kvmError("EPERM", "the feature was not asked for");
    if (feature !== KVM_ARM_VCPU.REC) return kvmError("EINVAL", `feature ${feature} needs no finalization`);
    if (vm.realm!.state !== "new") return kvmError("ENOENT", `the realm's state is ${vm.realm!.state}`);
    if (core.rec) return kvmError("EPERM", "the REC is created");
    const rec = yield* vm.lock.with(
      vm.realm!.createRec({
        index: core.id,
        runnable: core.powered,
        pc: core.pc,
        gprs: [...core.gprs.subarray(0, 8)],
      }),
    );
    if (isKvmError(rec)) return rec;
    core.rec = rec;
    core.runView.bind(rec);
    return undefined;
  }

  getOneReg(id: bigint): KvmResult<bigint> {
    return this.#refused ?? getOneReg(this.core, id);
  }

  setOneReg(id: bigint, value: bigint): KvmResult {
    return this.#refused ?? setOneReg(this.core, id, value);
  }

  getMpState(): KvmResult<number> {
    return this.#refused ?? (this.core.powered ? KVM_MP_STATE.RUNNABLE : KVM_MP_STATE.STOPPED);
  }

  setMpState(state: number): KvmResult {
    if (this.#refused) return this.#refused;
    const { core } = this;
    if (core.vm.realm) return kvmError("EINVAL", "a realm's REC is turned on by the realm");
    if (state === KVM_MP_STATE.RUNNABLE) core.vm.kernel.powerOn(core);
    else if (state === KVM_MP_STATE.STOPPED) {
      core.powered = false;
      core.vm.kernel.kick(core);
    } else return kvmError("EINVAL", `state ${state}`);
    return undefined;
  }

  setVcpuEvents(events: { ext_dabt_pending?: boolean; serror_pending?: boolean }): KvmResult {
    if (this.#refused) return this.#refused;
    const { core } = this;
    if (core.vm.realm && events.serror_pending) return kvmError("EINVAL", "no SError into a realm");
    if (events.ext_dabt_pending) {
      // Only the access that made KVM_RUN return can be aborted.
      if (core.completion === Completion.NONE) return kvmError("EINVAL", "no MMIO access to abort");
      core.injectAbort = true;
    }
    if (events.serror_pending) core.injectSError = true;
    return undefined;
  }

  setDeviceAttr(group: number, attr: bigint, value: Uint8Array): KvmResult {
    if (this.#refused) return this.#refused;
    if (group !== KVM_ARM_VCPU_TIMER_CTRL) return kvmError("ENXIO", "unknown attribute group");
    if (value.length !== 4) return kvmError("EFAULT", "the interrupt is 4 bytes");
    const intid = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
    if (intid < 16 || intid > 31) return kvmError("EINVAL", `${intid} is not a PPI`);
    const { vm } = this.core;
    if (vm.hasRun) return kvmError("EBUSY", "a vCPU has run");
    if (attr === KVM_ARM_VCPU_TIMER_IRQ_VTIMER) vm.timerIntids.virtual = intid;
    else if (attr === KVM_ARM_VCPU_TIMER_IRQ_PTIMER) vm.timerIntids.physical = intid;
    else return kvmError("ENXIO", "unknown timer");
    return undefined;
  }

  *rmmPsciCompleteOp(args: { target_mpidr: bigint; psci_status: number }): Op<KvmResult> {
    if (this.#refused) return this.#refused;
    const { core } = this;
    const { vm } = core;
    if (core.psciTarget === undefined) return kvmError("EINVAL", "no PSCI request is pending");
    if (vm.vcpuByMpidr(core.psciTarget) !== vm.vcpuByMpidr(args.target_mpidr))
      return kvmError("EINVAL", "another target");
    const status = BigInt.asUintN(64, BigInt(args.psci_status | 0));
    const outcome = yield* vm.lock.with(completePsci(vm.kernel, core, status));
    return outcome === Outcome.RESUME ? undefined : kvmError("ENXIO", "RMI_PSCI_COMPLETE was refused");
  }

  start(onExit: OnExit): KvmResult {
    if (this.#refused) return this.#refused;
    const { core } = this;
    if (core.state !== ThreadState.STOPPED) {
      if (core.onExit) return kvmError("EBUSY", "the thread runs");
      // A snapshot brought the thread back, but not its VMM: it goes on where it was.
      core.onExit = onExit;
      core.handle = this;
      return undefined;
    }
    const refused = core.vm.readyToRun(core);
    if (refused) return refused;
    core.onExit = onExit;
    core.handle = this;
    core.vm.hasRun = true;
    core.vm.kernel.start(core);
    return undefined;
  }

  interrupt(): KvmResult {
    if (this.#refused) return this.#refused;
    this.core.vm.kernel.interrupt(this.core);
    return undefined;
  }

  as(other: Process): Vcpu {
    return new VcpuHandle(this.core, coreOf(other));
  }
}
