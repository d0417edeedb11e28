/** What is behind a block device: a row of bytes, read and written at once (synchronously), that may fail. */

/** Undefined: done. Else the error's name, such as ENOSPC, EIO. */
export type DiskError = string | undefined;

export interface Disk {
  /** Bytes; what is beyond the last whole sector of 512 is not shown. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Fills `into`; [offset, offset + length) lies inside. */
  read(offset: number, into: Uint8Array): DiskError;
  /** Writes all of `from`. It may stay in caches until `flush`. */
  write(offset: number, from: Uint8Array): DiskError;
  /** Returns when all writes before it will survive the end of the process and of its computer. */
  flush(): DiskError;
}

/** A disk in memory: for programs without files, and tests. */
export class MemoryDisk implements Disk {
  readonly bytes: Uint8Array;
  readonly readOnly: boolean;

  constructor(content: Uint8Array | number, { readOnly = false }: { readonly readOnly?: boolean } = {}) {
    this.bytes = typeof content === "number" ? new Uint8Array(content) : content;
    this.readOnly = readOnly;
  }

  get size(): number {
    return this.bytes.length;
  }

  read(offset: number, into: Uint8Array): DiskError {
    into.set(this.bytes.subarray(offset, offset + into.length));
    return undefined;
  }

  write(offset: number, from: Uint8Array): DiskError {
    this.bytes.set(from, offset);
    return undefined;
  }

  flush(): DiskError {
    return undefined;
  }
}
