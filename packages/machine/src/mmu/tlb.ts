/**
 * The software TLB of one translation context: the arrays of reads, writes and fetches (cpu/engine.ts has their form), in
 * memory. What was filled is written down, so that to drop a few entries
 * costs little: 3 ns each, where all of the arrays take 20 µs.
 */
import { TLB_ENTRIES, TLB_ENTRY_SIZE, TLB_SIZE } from "../cpu/engine.js";

/**
 * Bit of a tag in the write array: the page has translated code, so the engine must not find the entry. It is kept, so that what
 * the arrays hold, and with it when a walk is made, does not depend on what has been translated.
 */
const HIDDEN = 1;

/** Words of an entry and of an array. */
const ENTRY_WORDS = TLB_ENTRY_SIZE / 4;
const ARRAY_WORDS = TLB_SIZE / 4;
/** From here on everything is cleared at once. */
const FILLED_MAX = TLB_ENTRIES / 2;
/** Pages of 2 MiB. */
const REGION_PAGES = 512;

/** The arrays of one context. */
export const CONTEXT_TLB_SIZE = 3 * TLB_SIZE;

/** Index of a page's entry in each array, in words from its start. */
const indexOf = (lo: number): number => ((lo >>> 12) & (TLB_ENTRIES - 1)) * ENTRY_WORDS;

export class TlbArrays {
  /** Host addresses of the arrays. */
  readonly read: number;
  readonly write: number;
  readonly fetch: number;

  private readonly i32: Int32Array;
  private readonly first: number;
  /** Entries that may hold something in one of the arrays: by entry, and in the order they were filled. */
  private readonly isFilled = new Uint8Array(TLB_ENTRIES);
  private readonly filled = new Uint16Array(FILLED_MAX);
  private filledCount = 0;
  constructor(i32: Int32Array, at: number) {
    this.i32 = i32;
    this.first = at >>> 2;
    this.read = at;
    this.write = at + TLB_SIZE;
    this.fetch = at + 2 * TLB_SIZE;
    i32.fill(-1, this.first, this.first + 3 * ARRAY_WORDS);
  }

  /**
   * Enters the page of an untagged address into the arrays that are asked for. `host`: of the byte at the address. `isCode`: the
   * page has translated code.
   */
  enter(lo: number, hi: number, host: number, reads: boolean, writes: boolean, fetches: boolean, isCode = false): void {
    const { i32 } = this;
    const page = lo & ~0xfff;
    const addend = (host - lo) | 0;
    const entry = (lo >>> 12) & (TLB_ENTRIES - 1);
    if (this.isFilled[entry] === 0) {
      this.isFilled[entry] = 1;
      if (this.filledCount < FILLED_MAX) this.filled[this.filledCount] = entry;
      this.filledCount++;
    }
    let at = this.first + entry * ENTRY_WORDS;
    if (reads) {
      i32[at] = page;
      i32[at + 1] = hi;
      i32[at + 2] = addend;
    }
    if (writes) {
      at += ARRAY_WORDS;
      i32[at] = isCode ? page | HIDDEN : page;
      i32[at + 1] = hi;
      i32[at + 2] = addend;
    }
    if (fetches) {
      at = this.first + 2 * ARRAY_WORDS + entry * ENTRY_WORDS;
      i32[at] = page;
      i32[at + 1] = hi;
      i32[at + 2] = addend;
    }
  }

  /** Drops the page of an address. */
  dropPage(lo: number, hi: number): void {
    const { i32 } = this;
    const page = lo & ~0xfff;
    const at = this.first + indexOf(lo);
    if (i32[at] === page && i32[at + 1] === hi) this.clearEntry(at);
    if ((i32[at + ARRAY_WORDS]! & ~HIDDEN) === page && i32[at + ARRAY_WORDS + 1] === hi)
      this.clearEntry(at + ARRAY_WORDS);
    if (i32[at + 2 * ARRAY_WORDS] === page && i32[at + 2 * ARRAY_WORDS + 1] === hi)
      this.clearEntry(at + 2 * ARRAY_WORDS);
  }

  /** Drops the pages of the 2 MiB around an address. */
  dropRegion(lo: number, hi: number): void {
    const region = lo & -(REGION_PAGES << 12);
    if (this.filledCount < REGION_PAGES) {
      for (let i = 0; i < this.filledCount; i++) {
        const page = region | ((this.filled[i]! << 12) & ((REGION_PAGES << 12) - 1));
        this.dropPage(page, hi);
      }
      return;
    }
    for (let page = 0; page < REGION_PAGES; page++) this.dropPage(region | (page << 12), hi);
  }

  /** Hides the entries of the write array that lead to a page of the memory, by its host address. */
  hideWrites(host: number): void {
    const { i32, filledCount } = this;
    const first = this.first + ARRAY_WORDS;
    const all = filledCount > FILLED_MAX;
    for (let i = 0; i < (all ? TLB_ENTRIES : filledCount); i++) {
      const at = first + (all ? i : this.filled[i]!) * ENTRY_WORDS;
      const page = i32[at]! & ~HIDDEN;
      if ((page + i32[at + 2]!) >>> 0 === host) i32[at] = page | HIDDEN;
    }
  }

  /** Host address of an address whose entry in the write array is hidden, or 0. */
  probeHidden(lo: number, hi: number): number {
    const { i32 } = this;
    const at = this.first + ARRAY_WORDS + indexOf(lo);
    return i32[at] === ((lo & ~0xfff) | HIDDEN) && i32[at + 1] === hi ? (i32[at + 2]! + lo) >>> 0 : 0;
  }

  /** The page of a hidden entry has no translated code any more. */
  show(lo: number): void {
    this.i32[this.first + ARRAY_WORDS + indexOf(lo)] = lo & ~0xfff;
  }

  /** Drops everything. */
  clear(): void {
    const { i32, first, filled, filledCount, isFilled } = this;
    if (filledCount > FILLED_MAX) {
      i32.fill(-1, first, first + 3 * ARRAY_WORDS);
      isFilled.fill(0);
    } else {
      for (let i = 0; i < filledCount; i++) {
        const entry = filled[i]!;
        const at = first + entry * ENTRY_WORDS;
        this.clearEntry(at);
        this.clearEntry(at + ARRAY_WORDS);
        this.clearEntry(at + 2 * ARRAY_WORDS);
        isFilled[entry] = 0;
      }
    }
    this.filledCount = 0;
  }

  private clearEntry(at: number): void {
    this.i32[at] = -1;
    this.i32[at + 1] = -1;
  }
}

/** Host address of an address that an array holds, or 0. */
export function probeTlb(i32: Int32Array, array: number, lo: number, hi: number): number {
  const at = (array >>> 2) + indexOf(lo);
  return i32[at] === (lo & ~0xfff) && i32[at + 1] === hi ? (i32[at + 2]! + lo) >>> 0 : 0;
}
