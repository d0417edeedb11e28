/** The descriptor of a VM's device: KVM_DEV_TYPE_ARM_VGIC_V3, KVM_DEV_TYPE_ARM_REALM. */
import { KVM_DEV_ARM_REALM_GRP, KVM_DEV_TYPE_ARM_REALM, KVM_DEV_TYPE_ARM_VGIC_V3 } from "@realmbox/abi";
import type { Device, Op, Process, RealmState } from "./api.js";
import { type KvmError, type KvmResult, kvmError } from "./errno.js";
import { coreOf, notOwner } from "./handle.js";
import type { ProcessCore } from "./process.js";
import { realmSubCommand } from "./realm-commands.js";
import type { VmHandle } from "./vm-handle.js";

/** The attribute groups of KVM_DEV_TYPE_ARM_REALM are the sub-commands in their order. */
const REALM_STATES: readonly RealmState[] = ["none", "new", "active", "off"];

export class DeviceHandle implements Device {
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
