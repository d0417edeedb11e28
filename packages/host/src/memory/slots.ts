/**
 * Memory slots of a VM, guest_memfd files, and the memory attributes: which guest physical addresses are memory, where
 * the shared and the private content of each page is, and which of the two the VMM wants.
 */
import { invariant } from "@realmbox/abi";
import type { Mapping } from "./address-space.js";

/** The pages behind a guest_memfd: private memory of one realm. A page that is there is delegated and mapped. */
export class PrivatePages {
  readonly size: bigint;
  /** Page frame number plus 1; 0: no page. */
  readonly pages: Uint32Array;
  /** The slot that uses the file. */
  slot: MemorySlot | undefined;

  constructor(size: bigint) {
    this.size = size;
    this.pages = new Uint32Array(Number(size >> 12n));
  }
}

export interface MemorySlot {
  readonly id: number;
  readonly readOnly: boolean;
  /** Guest physical address and size, page aligned. */
  readonly base: bigint;
  readonly size: bigint;
  readonly userspaceAddr: bigint;
  readonly mapping: Mapping;
  readonly privatePages: PrivatePages | undefined;
  readonly privateOffset: bigint;
}

/** Index of the page of `gpa` in the slot's mapping of process memory. */
export const sharedIndex = (slot: MemorySlot, gpa: bigint): number =>
  Number((gpa - slot.base + slot.userspaceAddr - slot.mapping.base) >> 12n);

/** Index of the page of `gpa` in the slot's guest_memfd. */
export const privateIndex = (slot: MemorySlot, gpa: bigint): number =>
  Number((gpa - slot.base + slot.privateOffset) >> 12n);

/** Guest physical address of a page of a slot's guest_memfd; undefined when the slot does not cover it. */
export function gpaOfPrivate(slot: MemorySlot, index: number): bigint | undefined {
  const at = (BigInt(index) << 12n) - slot.privateOffset;
  return at >= 0n && at < slot.size ? slot.base + at : undefined;
}

export class SlotTable {
  #slots: MemorySlot[] = [];

  get all(): readonly MemorySlot[] {
    return this.#slots;
  }

  find(gpa: bigint): MemorySlot | undefined {
    for (const slot of this.#slots) if (gpa >= slot.base && gpa < slot.base + slot.size) return slot;
    return undefined;
  }

  byId(id: number): MemorySlot | undefined {
    return this.#slots.find((slot) => slot.id === id);
  }

  overlaps(base: bigint, size: bigint): boolean {
    return this.#slots.some((slot) => base < slot.base + slot.size && slot.base < base + size);
  }

  add(slot: MemorySlot): void {
    invariant(!this.overlaps(slot.base, slot.size) && !this.byId(slot.id), "new slot", slot.id);
    this.#slots.push(slot);
    slot.mapping.users++;
    if (slot.privatePages) slot.privatePages.slot = slot;
  }

  remove(slot: MemorySlot): void {
    this.#slots = this.#slots.filter((one) => one !== slot);
    slot.mapping.users--;
    if (slot.privatePages) slot.privatePages.slot = undefined;
  }
}

/** A set of guest page numbers, kept as bitmaps of 2 MiB each. */
export class PageSet {
  readonly #chunks = new Map<number, Uint8Array>();

  has(page: number): boolean {
    const chunk = this.#chunks.get(Math.floor(page / 512));
    return chunk !== undefined && ((chunk[(page % 512) >> 3]! >> (page & 7)) & 1) === 1;
  }

  set(page: number, member: boolean): void {
    const key = Math.floor(page / 512);
    let chunk = this.#chunks.get(key);
    if (chunk === undefined) {
      if (!member) return;
      chunk = new Uint8Array(64);
      this.#chunks.set(key, chunk);
    }
    const mask = 1 << (page & 7);
    if (member) chunk[(page % 512) >> 3]! |= mask;
    else chunk[(page % 512) >> 3]! &= ~mask;
  }

  /** The members, ascending. */
  *pages(): Generator<number> {
    for (const key of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      for (let n = 0; n < 512; n++) if (this.has(key * 512 + n)) yield key * 512 + n;
    }
  }

  /** Runs of members as [first, count]. */
  save(): [number, number][] {
    const runs: [number, number][] = [];
    for (const page of this.pages()) {
      const last = runs.at(-1);
      if (last && last[0] + last[1] === page) last[1]++;
      else runs.push([page, 1]);
    }
    return runs;
  }

  restore(runs: readonly (readonly [number, number])[]): void {
    this.#chunks.clear();
    for (const [first, count] of runs) for (let n = 0; n < count; n++) this.set(first + n, true);
  }
}
