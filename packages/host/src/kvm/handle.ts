/** What all descriptors share: who opened it, who asks, and the refusal when they differ. */
import type { Kernel } from "../kernel.js";
import type { Process } from "./api.js";
import { type KvmError, kvmError } from "./errno.js";
import type { ProcessCore } from "./process.js";
import type { ProcessHandle } from "./process-handle.js";

/** Size of a page of guest and process memory. */
export const PAGE = 0x1000n;
export const isAligned = (value: bigint): boolean => (value & (PAGE - 1n)) === 0n;

/** The other process's core, behind its handle. */
export const coreOf = (process: Process): ProcessCore => (process as ProcessHandle).core;

export const notOwner = (): KvmError => kvmError("EIO", "the caller is not the process that created it");

/** A descriptor of the system's own devices, as `caller` has it. */
export abstract class Handle {
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
