/**
 * The address space of a Host process: anonymous memory, page by page on first touch. This is the memory that a VMM
 * sees and that memory slots give to guests: all RAM of a normal VM, the shared half of a realm.
 *
 * Content is reached through the Host's Non-secure port alone: a page that somebody delegated gives a granule protection
 * fault here, as everywhere.
 */
import { GRANULE_SIZE, invariant } from "@realmbox/abi";
import { type Fault, isFault, type MemoryPort } from "@realmbox/machine";
import { type KvmResult, kvmError } from "../kvm/errno.js";
import type { PageAllocator } from "./allocator.js";

/** Where the first mapping of each process goes; mappings are 2 MiB aligned with an unmapped gap between them. */
const MMAP_BASE = 0x10_0000_0000n;
const MMAP_ALIGN = 1n << 21n;

/** What an address space needs of the Host. */
export interface PageSource {
  readonly allocator: PageAllocator;
  readonly port: MemoryPort;
  /** Tells of a granule protection fault on an access of the Host. */
  reportFault(fault: Fault, what: string): void;
}

export interface Mapping {
  readonly base: bigint;
  readonly size: bigint;
  /** Page frame number plus 1 of each page; 0: not touched yet. */
  readonly pages: Uint32Array;
  /** Memory slots and spaces that use it: it cannot be unmapped. */
  users: number;
}

export interface AddressSpaceState {
  readonly next: string;
  readonly mappings: readonly { readonly base: string; readonly size: string; readonly pages: readonly number[] }[];
}

export class AddressSpace {
  readonly #source: PageSource;
  #mappings: Mapping[] = [];
  #next = MMAP_BASE;

  constructor(source: PageSource) {
    this.#source = source;
  }

  mmap(size: bigint): KvmResult<Mapping> {
    if (size <= 0n) return kvmError("EINVAL", "a mapping needs a size");
    const pages = (size + 0xfffn) >> 12n;
    if (pages > BigInt(this.#source.allocator.count)) {
      return kvmError("ENOMEM", `${size} bytes exceed the memory of the Host`);
    }
    const mapping: Mapping = { base: this.#next, size: pages << 12n, pages: new Uint32Array(Number(pages)), users: 0 };
    this.#next = (mapping.base + mapping.size + 2n * MMAP_ALIGN - 1n) & -MMAP_ALIGN;
    this.#mappings.push(mapping);
    return mapping;
  }

  munmap(address: bigint): KvmResult {
    const mapping = this.#mappings.find((one) => one.base === address);
    if (!mapping) return kvmError("EINVAL", "no mapping starts there");
    if (mapping.users > 0) return kvmError("EBUSY", "a memory slot uses the mapping");
    this.#drop(mapping);
    return undefined;
  }

  /** Everything goes back to the allocator. */
  clear(): void {
    for (const mapping of [...this.#mappings]) this.#drop(mapping);
  }

  #drop(mapping: Mapping): void {
    invariant(mapping.users === 0, "dropped mapping is unused", mapping.users);
    for (const pfn of mapping.pages) if (pfn !== 0) this.#source.allocator.free(pfn - 1, "user");
    this.#mappings = this.#mappings.filter((one) => one !== mapping);
  }

  /** The mapping that holds all of [address, address + size). */
  find(address: bigint, size: bigint): Mapping | undefined {
    return this.#mappings.find((one) => address >= one.base && address + size <= one.base + one.size);
  }

  /** Physical address of a page of a mapping, taken now when it was not touched yet; undefined without memory left. */
  touch(mapping: Mapping, index: number): bigint | undefined {
    const known = mapping.pages[index]!;
    if (known !== 0) return BigInt(known - 1) << 12n;
    const { allocator, port } = this.#source;
    const pfn = allocator.alloc("user");
    if (pfn === undefined) return undefined;
    const pa = BigInt(pfn) << 12n;
    if (allocator.isDirty(pfn)) {
      const fault = port.zero(pa, GRANULE_SIZE);
      invariant(fault === undefined, "a free page is Non-secure", fault?.fault);
    }
    mapping.pages[index] = pfn + 1;
    return pa;
  }

  /** Gives one page back, when nobody maps it any more: its content is gone, the next touch finds zeros. */
  discard(mapping: Mapping, index: number): void {
    const pfn = mapping.pages[index]!;
    if (pfn === 0) return;
    mapping.pages[index] = 0;
    this.#source.allocator.free(pfn - 1, "user");
  }

  read(address: bigint, into: Uint8Array): KvmResult {
    return this.#access(address, into.length, (mapping, index, offset, at, n) => {
      const pfn = mapping.pages[index]!;
      const part = into.subarray(at, at + n);
      if (pfn === 0) {
        part.fill(0);
        return undefined;
      }
      return this.#source.port.copyIn((BigInt(pfn - 1) << 12n) + BigInt(offset), part);
    });
  }

  write(address: bigint, from: Uint8Array): KvmResult {
    return this.#access(address, from.length, (mapping, index, offset, at, n) => {
      const pa = this.touch(mapping, index);
      if (pa === undefined) return "memory";
      return this.#source.port.copyOut(pa + BigInt(offset), from.subarray(at, at + n));
    });
  }

  /** Splits an access at page boundaries; stops at the first page that refuses. */
  #access(
    address: bigint,
    length: number,
    page: (mapping: Mapping, index: number, offset: number, at: number, n: number) => Fault | "memory" | undefined,
  ): KvmResult {
    const mapping = this.find(address, BigInt(length));
    if (!mapping) return kvmError("EFAULT", `no memory at 0x${address.toString(16)}`);
    let offset = Number(address - mapping.base);
    for (let at = 0; at < length; ) {
      const inPage = offset % GRANULE_SIZE;
      const n = Math.min(length - at, GRANULE_SIZE - inPage);
      const refused = page(mapping, Math.floor(offset / GRANULE_SIZE), inPage, at, n);
      if (refused === "memory") return kvmError("ENOMEM", "no page left");
      if (isFault(refused)) {
        this.#source.reportFault(refused, "process memory");
        return kvmError("EFAULT", `${refused.fault} fault`);
      }
      at += n;
      offset += n;
    }
    return undefined;
  }

  save(): AddressSpaceState {
    return {
      next: this.#next.toString(),
      mappings: this.#mappings.map(({ base, size, pages }) => ({
        base: base.toString(),
        size: size.toString(),
        pages: [...pages],
      })),
    };
  }

  restore(state: AddressSpaceState): void {
    this.#next = BigInt(state.next);
    this.#mappings = state.mappings.map(({ base, size, pages }) => ({
      base: BigInt(base),
      size: BigInt(size),
      pages: Uint32Array.from(pages),
      users: 0, // counted again by the slots as they come back
    }));
  }
}
