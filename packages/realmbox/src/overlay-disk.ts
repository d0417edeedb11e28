/** A disk over another: what is written stays in memory, the other disk is only read. For runs that are made more than once. */
import type { Disk, DiskError } from "@realmbox/vmm";

const BLOCK = 4096;

export class OverlayDisk implements Disk {
  readonly readOnly: boolean;
  readonly #below: Disk;
  /** Whole blocks, by their number; the last one may be longer than the disk. */
  readonly #blocks = new Map<number, Uint8Array>();

  constructor(below: Disk, { readOnly }: { readonly readOnly: boolean }) {
    this.#below = below;
    this.readOnly = readOnly;
  }

  get size(): number {
    return this.#below.size;
  }

  read(offset: number, into: Uint8Array): DiskError {
    return this.#each(offset, into, (block, at, part) => {
      const written = this.#blocks.get(block);
      if (written === undefined) return this.#below.read(block * BLOCK + at, part);
      part.set(written.subarray(at, at + part.length));
      return undefined;
    });
  }

  write(offset: number, from: Uint8Array): DiskError {
    return this.#each(offset, from, (block, at, part) => {
      let bytes = this.#blocks.get(block);
      if (bytes === undefined) {
        bytes = new Uint8Array(BLOCK);
        const error = this.#below.read(block * BLOCK, bytes.subarray(0, Math.min(BLOCK, this.size - block * BLOCK)));
        if (error !== undefined) return error;
        this.#blocks.set(block, bytes);
      }
      bytes.set(part, at);
      return undefined;
    });
  }

  flush(): DiskError {
    return undefined;
  }

  /** Calls `transfer` for each block that a transfer touches, to the first error. */
  #each(
    offset: number,
    bytes: Uint8Array,
    transfer: (block: number, at: number, part: Uint8Array) => DiskError,
  ): DiskError {
    for (let done = 0; done < bytes.length; ) {
      const block = Math.floor((offset + done) / BLOCK);
      const at = (offset + done) % BLOCK;
      const part = bytes.subarray(done, done + Math.min(BLOCK - at, bytes.length - done));
      const error = transfer(block, at, part);
      if (error !== undefined) return error;
      done += part.length;
    }
    return undefined;
  }
}
