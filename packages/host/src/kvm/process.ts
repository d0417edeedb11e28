/** A process of the Host's user space: its memory, and what it has open. */
import type { Kernel } from "../kernel.js";
import { AddressSpace } from "../memory/address-space.js";
import { PrivatePages } from "../memory/slots.js";
import type { Op } from "./api.js";
import { type KvmResult, kvmError } from "./errno.js";
import type { VmCore } from "./vm-core.js";

export class ProcessCore {
  readonly name: string;
  readonly kernel: Kernel;
  readonly memory: AddressSpace;
  /** guest_memfd files, with their owner VM; undefined entries are closed. */
  readonly files: (GuestFile | undefined)[] = [];
  exited = false;
  /** When the process's timer expires; Infinity: never. */
  timerAt = Infinity;
  /** The PE whose timer it uses. */
  timerHome = 0;
  onTimer: (() => void) | undefined = undefined;

  constructor(kernel: Kernel, name: string) {
    this.kernel = kernel;
    this.name = name;
    this.memory = new AddressSpace(kernel.pageSource);
  }

  vms(): VmCore[] {
    return this.kernel.vms.filter((vm) => vm.owner === this);
  }

  createFile(size: bigint, vm: VmCore | undefined): KvmResult<GuestFile> {
    if (size <= 0n || (size & 0xfffn) !== 0n) return kvmError("EINVAL", "the size is a multiple of 4 KiB");
    if (size >> 12n > BigInt(this.kernel.allocator.count)) return kvmError("ENOMEM", "larger than the Host's memory");
    const file: GuestFile = { id: this.files.length, pages: new PrivatePages(size), vm };
    this.files.push(file);
    return file;
  }

  /** Gives pages of the process's memory back that no VM has mapped. */
  dontNeed(address: bigint, size: bigint): KvmResult {
    if (((address | size) & 0xfffn) !== 0n || size <= 0n) return kvmError("EINVAL", "whole pages");
    const mapping = this.memory.find(address, size);
    if (!mapping) return kvmError("EFAULT", `no memory at 0x${address.toString(16)}`);
    const first = Number((address - mapping.base) >> 12n);
    const end = first + Number(size >> 12n);
    if (this.vms().some((vm) => vm.maps(mapping, first, end))) return kvmError("EBUSY", "a VM has mapped a page");
    for (let index = first; index < end; index++) this.memory.discard(mapping, index);
    return undefined;
  }

  *exit(): Op<KvmResult> {
    let failed: KvmResult;
    for (const vm of this.vms()) {
      const result = yield* vm.close();
      failed ??= result;
    }
    this.files.length = 0;
    this.memory.clear();
    this.exited = true;
    this.kernel.processes.delete(this.name);
    return failed;
  }
}

/** A guest_memfd: made for one VM (KVM), or unbound until a slot takes it (/dev/rme). */
export interface GuestFile {
  readonly id: number;
  readonly pages: PrivatePages;
  vm: VmCore | undefined;
}
