/** A process of the Host's user space as a VMM sees it. */
import type { Kvm, Op, Process, Rme } from "./api.js";
import { isKvmError, type KvmResult, kvmError } from "./errno.js";
import type { ProcessCore } from "./process.js";
import { KvmHandle, RmeHandle } from "./system-handles.js";

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

  dontNeed(address: bigint, size: bigint): KvmResult {
    return this.core.dontNeed(address, size);
  }

  get now(): number {
    return this.core.kernel.count;
  }

  get clockHz(): number {
    return this.core.kernel.machine.board.counterHz;
  }

  setTimer(at: number | undefined): void {
    this.core.kernel.setProcessTimer(this.core, at);
  }

  onTimer(handler: () => void): void {
    this.core.onTimer = handler;
  }

  exitOp(): Op<KvmResult> {
    return this.core.exit();
  }
}
