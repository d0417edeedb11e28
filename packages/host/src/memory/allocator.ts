/**
 * The Host's page allocator over the board's Non-secure DRAM: 4 KiB pages, lowest address first, so that the same calls
 * give the same addresses. Each page is booked under the use that it was taken for; a page that the RMM did not give back
 * is `leaked` and never handed out again.
 *
 * Invariants
 * - A page is free, or has exactly one use; the counters add up to the number of pages.
 * - `#clean` holds for a free page only while nobody has had it: its content is then the zero of a fresh memory.
 */
import { GRANULE_SIZE, invariant } from "@realmbox/abi";
import type { MemoryRange } from "@realmbox/machine";

const USES = ["free", "reserved", "user", "guestMemfd", "realm", "stage2", "shared", "leaked"] as const;
/** What a page is taken for; see `PageUse` of the KVM interface. */
export type PageUseName = (typeof USES)[number];
const FREE = 0;

export interface AllocatorState {
  readonly use: string;
  readonly dirty: string;
}

export class PageAllocator {
  /** Number of pages under management. */
  readonly count: number;
  readonly #ranges: readonly { readonly firstPfn: number; readonly first: number; readonly count: number }[];
  /** Index into USES of each page. */
  readonly #use: Uint8Array;
  /** 1: the page has been used since the start, so its content is arbitrary. */
  readonly #dirty: Uint8Array;
  readonly #counts: Uint32Array;
  /** No free page has an index below this. */
  #hint = 0;

  constructor(dram: readonly MemoryRange[]) {
    let first = 0;
    this.#ranges = dram.map((range) => {
      const count = Number(range.size / BigInt(GRANULE_SIZE));
      const entry = { firstPfn: Number(range.base / BigInt(GRANULE_SIZE)), first, count };
      first += count;
      return entry;
    });
    this.count = first;
    this.#use = new Uint8Array(first);
    this.#dirty = new Uint8Array(first);
    this.#counts = new Uint32Array(USES.length);
    this.#counts[FREE] = first;
  }

  /** Number of pages of a use. */
  pagesOf(use: PageUseName): number {
    return this.#counts[USES.indexOf(use)]!;
  }

  /** A page frame number (physical address / 4096), or undefined when memory is exhausted. */
  alloc(use: PageUseName): number | undefined {
    const pages = this.#use;
    for (let i = this.#hint; i < this.count; i++) {
      if (pages[i] !== FREE) continue;
      this.#hint = i + 1;
      this.#take(i, use);
      return this.#pfnOf(i);
    }
    this.#hint = this.count;
    return undefined;
  }

  /**
   * `count` consecutive pages aligned to `count` (a power of two): from the top of memory, so that they do not tear up
   * where single pages come from. The frame number of the first, or undefined.
   */
  allocContiguous(count: number, use: PageUseName): number | undefined {
    if (count === 1) return this.alloc(use);
    for (let r = this.#ranges.length - 1; r >= 0; r--) {
      const range = this.#ranges[r]!;
      const end = range.firstPfn + range.count;
      for (let pfn = end - (end % count) - count; pfn >= range.firstPfn; pfn -= count) {
        const index = pfn - range.firstPfn + range.first;
        let n = 0;
        while (n < count && this.#use[index + n] === FREE) n++;
        if (n < count) continue;
        for (n = 0; n < count; n++) this.#take(index + n, use);
        return pfn;
      }
    }
    return undefined;
  }

  /** Gives a page back. `use` is what it was taken for: a page freed twice, or under another use, is a defect. */
  free(pfn: number, use: PageUseName): void {
    const index = this.#indexOf(pfn);
    this.#give(index, use, FREE);
    if (index < this.#hint) this.#hint = index;
  }

  /** The page is lost: the RMM refused to give it back. */
  leak(pfn: number, use: PageUseName): void {
    this.#give(this.#indexOf(pfn), use, USES.indexOf("leaked"));
  }

  /** Whether the page that was just taken may hold data of an earlier use. */
  isDirty(pfn: number): boolean {
    return this.#dirty[this.#indexOf(pfn)]! > 1;
  }

  #take(index: number, use: PageUseName): void {
    const to = USES.indexOf(use);
    this.#use[index] = to;
    this.#counts[FREE]!--;
    this.#counts[to]!++;
    // 0: never used; 1: in its first use; 2: used before.
    this.#dirty[index] = this.#dirty[index] === 0 ? 1 : 2;
  }

  #give(index: number, use: PageUseName, to: number): void {
    const from = USES.indexOf(use);
    invariant(this.#use[index] === from, `page booked as ${use}`, USES[this.#use[index]!]);
    this.#use[index] = to;
    this.#counts[from]!--;
    this.#counts[to]!++;
  }

  #pfnOf(index: number): number {
    for (const range of this.#ranges) {
      if (index < range.first + range.count) return range.firstPfn + index - range.first;
    }
    throw new Error("page index beyond memory");
  }

  #indexOf(pfn: number): number {
    for (const range of this.#ranges) {
      const at = pfn - range.firstPfn;
      if (at >= 0 && at < range.count) return range.first + at;
    }
    throw new Error(`no such page: ${pfn.toString(16)}`);
  }

  /** Runs of equal values, "value*length …": most of memory is one run. */
  save(): AllocatorState {
    return { use: runs(this.#use), dirty: runs(this.#dirty) };
  }

  restore(state: AllocatorState): void {
    fill(this.#use, state.use);
    fill(this.#dirty, state.dirty);
    this.#counts.fill(0);
    for (const use of this.#use) this.#counts[use]!++;
    this.#hint = 0;
  }
}

function runs(values: Uint8Array): string {
  const parts: string[] = [];
  for (let i = 0; i < values.length; ) {
    let end = i + 1;
    while (end < values.length && values[end] === values[i]) end++;
    parts.push(`${values[i]}*${end - i}`);
    i = end;
  }
  return parts.join(" ");
}

function fill(into: Uint8Array, text: string): void {
  let at = 0;
  for (const part of text === "" ? [] : text.split(" ")) {
    const [value, length] = part.split("*").map(Number);
    into.fill(value!, at, at + length!);
    at += length!;
  }
  invariant(at === into.length, "snapshot of a memory of the same size");
}
