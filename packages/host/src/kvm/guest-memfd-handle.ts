/** The descriptor of a guest_memfd file: private pages of one realm. */
import { isFault } from "@realmbox/machine";
import type { GuestMemfd, Op } from "./api.js";
import { type KvmResult, kvmError } from "./errno.js";
import { isAligned } from "./handle.js";
import type { GuestFile, ProcessCore } from "./process.js";

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
