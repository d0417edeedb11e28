/** The descriptors of /dev/kvm and /dev/rme: versions, capabilities, and what makes VMs and spaces. */
import {
  KVM_API_VERSION,
  KVM_CAP,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  KVM_VM_TYPE,
  KVM_VM_TYPE_ARM_NORMAL,
  KVM_VM_TYPE_ARM_REALM,
  KvmRunHead,
  RME_API_VERSION,
  RMI_FEATURE_REGISTER_0,
} from "@realmbox/abi";
import type { Kernel } from "../kernel.js";
import type { Kvm, Op, Process, Rme, RmeSpace, Vm } from "./api.js";
import { isKvmError, type KvmResult, kvmError } from "./errno.js";
import { GuestMemfdHandle } from "./guest-memfd-handle.js";
import { coreOf, Handle } from "./handle.js";
import { MAX_VCPUS, VmCore } from "./vm-core.js";
import { MEMSLOTS_MAX, VmHandle } from "./vm-handle.js";

/** IPA bits of KVM_CREATE_VM with size 0, and the least and the most that the machine's MMU takes. */
const IPA_BITS_DEFAULT = 40;
const IPA_BITS_MIN = 32;
const IPA_BITS_MAX = 48;

export class KvmHandle extends Handle implements Kvm {
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

/** The value of a capability; 0: absent. */
export function capability(kernel: Kernel, cap: number): number {
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
    case KVM_CAP.ARM_PMU_V3:
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

export class RmeHandle extends Handle implements Rme {
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
