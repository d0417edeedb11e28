/**
 * The physical memory of the machine and everything that lives beside it in the one WebAssembly memory. The memory is
 * allocated once and never grown, so views and host addresses stay valid for the machine's life.
 *
 *   host address
 *   0x0000_0000  engine tables, ENGINE_TABLES_SIZE: host address 0 is never data and means "none"
 *                PE state blocks, PE_STATE_SIZE each
 *                the empty TLB array: what a PE points at while its translation context is not known
 *                TLB contexts: per PE TLB_CONTEXTS of three arrays each
 *                frames, board.frameBytes: physical pages in the order of their first touch
 *
 * Physical addresses are numbers here: they stay below 2^52. A page takes a frame when it is first touched; a frame is
 * zero then. When the frames are used up, an access to a new page fails like one to an address where nothing answers.
 */
import { invariant } from "@realmbox/abi";
import { type Board, type MemoryRange, memoryOf } from "./board/board.js";
import { ENGINE_TABLES_SIZE, TLB_SIZE } from "./cpu/engine.js";
import { PE_STATE_SIZE } from "./cpu/state.js";
import { WASM_PAGE_SIZE, Wasm, type WasmMemory } from "./cpu/wasm/api.js";
import { CONTEXT_TLB_SIZE } from "./mmu/tlb.js";

export const PAGE_SIZE = 4096;
/** Translation contexts that one PE keeps at a time. */
export const TLB_CONTEXTS = 12;
/** `PhysicalMemory.inTlb`: a TLB entry or a remembered walk; an entry that allows writes. */
export const InTlb = { ANY: 1, WRITE: 2 } as const;
const CHUNK_SIZE = 1 << 21;
const CHUNK_PAGE_BITS = 9;
const CHUNK_PAGES = 1 << CHUNK_PAGE_BITS;

/** What `PhysicalMemory.host` answers when there is no host address. */
export const NO_MEMORY = 0;
export const NO_FRAME = -1;

/** Entries of the frame table that are no host address. */
const UNTOUCHED = 0;
const ABSENT = 1;

export class PhysicalMemory {
  readonly memory: WasmMemory;
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u64: BigUint64Array;
  readonly view: DataView;
  /** Host addresses of the parts. */
  readonly peStates: number;
  readonly emptyTlb: number;
  readonly tlbs: number;
  readonly frames: number;
  readonly frameCount: number;
  readonly ranges: readonly MemoryRange[];
  /** Pages that may hold memory; page indices are below it. */
  readonly pageCount: number;
  /** By page index, a set of InTlb: what may have been made from this granule since everything was flushed. */
  readonly inTlb: Uint8Array;

  /**
   * By page of this memory (host address / 4096): not zero when there is translated code of it. No TLB entry allows writes to
   * such a page, and whoever writes to memory by another way says so first (`writes`).
   */
  readonly codePages: Uint8Array;
  /** Called before a page with translated code is written, with its host address. */
  onCodeWrite: (page: number) => void = () => {};

  /** Host address of the page by page index, or UNTOUCHED or ABSENT. */
  private readonly frameOf: Uint32Array;
  /** Page index of the first page of each 2 MiB of physical address space, or -1. */
  private readonly chunks: Int32Array;
  private readonly limit: number;
  /** Page index by frame. */
  private readonly pageOf: Uint32Array;
  private readonly pageViews: (Uint8Array | undefined)[] = [];
  private framesUsed = 0;

  constructor(board: Board) {
    this.ranges = memoryOf(board);
    const chunkOf = (pa: bigint) => Number(pa / BigInt(CHUNK_SIZE));
    const end = Math.max(...this.ranges.map(({ base, size }) => chunkOf(base + size - 1n) + 1));
    this.limit = end * CHUNK_SIZE;
    this.chunks = new Int32Array(this.limit / CHUNK_SIZE).fill(-1);
    let pages = 0;
    for (const { base, size } of this.ranges) {
      invariant(size > 0n && (base | size) % BigInt(PAGE_SIZE) === 0n, "memory ranges are whole pages", base);
      for (let chunk = chunkOf(base); chunk <= chunkOf(base + size - 1n); chunk++) {
        if (this.chunks[chunk] !== -1) continue;
        this.chunks[chunk] = pages;
        pages += CHUNK_PAGES;
      }
    }
    this.pageCount = pages;
    this.frameOf = new Uint32Array(pages).fill(ABSENT);
    for (const { base, size } of this.ranges) {
      for (let pa = Number(base); pa < Number(base + size); pa += PAGE_SIZE)
        this.frameOf[this.pageIndex(pa)] = UNTOUCHED;
    }
    this.inTlb = new Uint8Array(pages);

    let at: number = ENGINE_TABLES_SIZE;
    const reserve = (size: number) => {
      const start = at;
      at = Math.ceil((at + size) / PAGE_SIZE) * PAGE_SIZE;
      return start;
    };
    this.peStates = reserve(PE_STATE_SIZE * board.peCount);
    this.emptyTlb = reserve(TLB_SIZE);
    this.tlbs = reserve(CONTEXT_TLB_SIZE * TLB_CONTEXTS * board.peCount);
    this.frames = reserve(0);
    this.frameCount = Math.floor(board.frameBytes / PAGE_SIZE);
    reserve(this.frameCount * PAGE_SIZE);
    const wasmPages = Math.ceil(at / WASM_PAGE_SIZE);
    invariant(wasmPages <= 65_536, "board.frameBytes fits in 4 GiB beside the PE states", board.frameBytes);
    this.pageOf = new Uint32Array(this.frameCount);

    this.memory = new Wasm.Memory({ initial: wasmPages, maximum: wasmPages });
    const { buffer } = this.memory;
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u64 = new BigUint64Array(buffer);
    this.view = new DataView(buffer);
    this.codePages = new Uint8Array(buffer.byteLength / PAGE_SIZE);
  }

  /** The page at a host address is about to be written, now or through a view that is handed out. */
  writes(host: number): void {
    if (this.codePages[host >>> 12] !== 0) this.onCodeWrite((host & -PAGE_SIZE) >>> 0);
  }

  /** Number of a page within the machine's memory, or -1 when no memory is at `pa`. */
  pageIndex(pa: number): number {
    if (pa >= this.limit) return -1;
    const first = this.chunks[(pa / CHUNK_SIZE) | 0]!;
    return first < 0 ? -1 : first + ((pa >>> 12) & (CHUNK_PAGES - 1));
  }

  /** The same for a page frame number (`pa` / 4096): all integers, for the hot path. */
  pageIndexOf(pfn: number): number {
    if (pfn >= this.limit / PAGE_SIZE) return -1;
    const first = this.chunks[pfn >>> CHUNK_PAGE_BITS]!;
    return first < 0 ? -1 : first + (pfn & (CHUNK_PAGES - 1));
  }

  /** The same for an address in two words. */
  pageIndexOfWords(lo: number, hi: number): number {
    const chunk = (hi << 11) | (lo >>> 21);
    if (chunk >= this.chunks.length || hi >>> 16 !== 0) return -1;
    const first = this.chunks[chunk]!;
    return first < 0 ? -1 : first + ((lo >>> 12) & (CHUNK_PAGES - 1));
  }

  /** Host address of a page by its index, or 0 when it has not been touched. */
  touchedPage(page: number): number {
    const frame = this.frameOf[page]!;
    return frame > ABSENT ? frame : 0;
  }

  /** Whether memory (not a device, not nothing) answers at `pa`. */
  isMemory(pa: number): boolean {
    const page = this.pageIndex(pa);
    return page >= 0 && this.frameOf[page] !== ABSENT;
  }

  /** Whether the page at `pa` was ever touched; a page that was not reads as zeros. */
  isTouched(pa: number): boolean {
    const page = this.pageIndex(pa);
    return page >= 0 && this.frameOf[page]! > ABSENT;
  }

  /**
   * Host address of the byte at `pa`, valid to the end of its page. NO_MEMORY: no memory there. NO_FRAME: the page was
   * never touched and all frames are in use.
   */
  host(pa: number): number {
    const page = this.pageIndex(pa);
    if (page < 0) return NO_MEMORY;
    const frame = this.frameOf[page]!;
    if (frame > ABSENT) return frame + (pa & (PAGE_SIZE - 1));
    if (frame === ABSENT) return NO_MEMORY;
    if (this.framesUsed === this.frameCount) return NO_FRAME;
    const taken = this.frames + this.framesUsed * PAGE_SIZE;
    this.pageOf[this.framesUsed++] = page;
    this.frameOf[page] = taken;
    return taken + (pa & (PAGE_SIZE - 1));
  }

  /** Page index of the page that a host address (of a frame) belongs to. */
  pageOfHost(host: number): number {
    return this.pageOf[((host >>> 0) - this.frames) >>> 12]!;
  }

  /** The page at host address `host` (page aligned) as bytes; one view per frame, made once. */
  pageBytes(host: number): Uint8Array {
    const frame = (host - this.frames) >>> 12;
    return (this.pageViews[frame] ??= this.u8.subarray(host, host + PAGE_SIZE));
  }

  /** The bytes of a page that has its frame and its view already, by page index; else undefined. */
  knownBytes(page: number): Uint8Array | undefined {
    const frame = this.frameOf[page]!;
    return frame > ABSENT ? this.pageViews[(frame - this.frames) >>> 12] : undefined;
  }

  /** Whether a TLB entry may have been made from a granule of [pa, pa + size). */
  anyInTlb(pa: number, size: number): boolean {
    if (size > CHUNK_SIZE) return true;
    for (let at = pa; at < pa + size; at += PAGE_SIZE) {
      const page = this.pageIndex(at);
      if (page >= 0 && this.inTlb[page] !== 0) return true;
    }
    return false;
  }

  /** Frames in use, for reports. */
  get framesInUse(): number {
    return this.framesUsed;
  }

  /** The page indices of all frames in use, in frame order: with `frameBytes` what a snapshot holds. */
  saveFrames(): Uint32Array {
    return this.pageOf.slice(0, this.framesUsed);
  }

  /** Takes the frames over from a snapshot: the same pages get the same frames. Contents are zero afterwards. */
  restoreFrames(pages: Uint32Array): void {
    invariant(pages.length <= this.frameCount, "a snapshot's frames fit", pages.length);
    for (let frame = 0; frame < this.framesUsed; frame++) this.writes(this.frames + frame * PAGE_SIZE);
    this.u8.fill(0, this.frames, this.frames + this.framesUsed * PAGE_SIZE);
    for (let frame = 0; frame < this.framesUsed; frame++) this.frameOf[this.pageOf[frame]!] = UNTOUCHED;
    this.inTlb.fill(0);
    this.framesUsed = pages.length;
    pages.forEach((page, frame) => {
      invariant(page < this.pageCount && this.frameOf[page] === UNTOUCHED, "a snapshot's frame is memory", page);
      this.pageOf[frame] = page;
      this.frameOf[page] = this.frames + frame * PAGE_SIZE;
    });
  }
}
