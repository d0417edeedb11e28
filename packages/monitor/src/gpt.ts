/**
 * The granule protection tables, in Root memory, and the changes that the RMM may ask for. DDI 0487, "GPT entry formats",
 * "GPCCR_EL3", "GPTBR_EL3".
 *
 * Level 0 covers 1 GiB an entry. What needs a decision per granule (carve-outs, DRAM, Secure memory) has a level 1 table of Granules
 * descriptors; the rest of the protected space is level 0 blocks of GPI ANY: devices, and holes that answer with an
 * external abort. Contiguous descriptors are not used: any granule of DRAM may change on its own.
 *
 * Invariants
 * - Where each level 1 table lies follows from the board alone; no object holds a GPI.
 * - Only NS <-> REALM changes, and only granules of Host DRAM ever are NS in a level 1 table.
 */
import { Gpi, GRANULE_SIZE, invariant } from "@realmbox/abi";
import {
  type Board,
  GPCCR,
  GPTBR,
  isFault,
  L0_ENTRY_BITS,
  type MemoryPort,
  ppsFor,
  protectionOf,
} from "@realmbox/machine";
import type { MonitorMap } from "./memory-map.js";

const L0_ENTRY_SIZE = 1n << BigInt(L0_ENTRY_BITS);
/** 2^30 / 4096 GPIs of four bits. */
export const L1_TABLE_SIZE = 128 * 1024;
const GRANULES_PER_ENTRY = 16n;
const GRANULE = BigInt(GRANULE_SIZE);

const L0_BLOCK = 0x1n;
const L0_TABLE = 0x3n;

/** What a granule transition changes. */
export interface Transition {
  readonly from: Gpi;
  readonly to: Gpi;
}

/** Why a granule transition was refused, in the order of the checks. */
export type TransitionError = "BAD_ADDR" | "BAD_PAS";

export class GranuleTables {
  /** Protected physical address size, log2. */
  readonly ppsBits: number;
  /** GPCCR_EL3 with GPC clear; `enabled` is what it becomes. */
  readonly configured: bigint;
  readonly enabled: bigint;
  readonly gptbr: bigint;

  readonly #board: Board;
  readonly #map: MonitorMap;
  /** Address of the level 1 table by GiB, and its frame. */
  readonly #tables = new Map<bigint, bigint>();
  readonly #tableFrames: number[] = [];
  /** Host DRAM in frames. */
  readonly #dram: readonly { readonly first: number; readonly end: number }[];

  constructor(board: Board, map: MonitorMap) {
    this.#board = board;
    this.#map = map;
    this.#dram = board.dram.map(({ base, size }) => ({
      first: Number(base / GRANULE),
      end: Number((base + size) / GRANULE),
    }));
    const ranges = protectionOf(board);
    // The highest address of each range, as its number of bits.
    const pps = ppsFor(Math.max(...ranges.map(({ base, size }) => (base + size - 1n).toString(2).length)));
    this.ppsBits = PPS_BITS[pps]!;
    this.configured = GPCCR.PPS.of(pps) | GPCCR.IRGN.of(1) | GPCCR.ORGN.of(1) | GPCCR.SH.of(3);
    this.enabled = this.configured | GPCCR.GPC.mask;
    this.gptbr = GPTBR.BADDR.of(map.l0 >> 12n);
    const gibs = new Set<bigint>();
    for (const { base, size } of ranges) {
      for (let gib = base / L0_ENTRY_SIZE; gib * L0_ENTRY_SIZE < base + size; gib++) gibs.add(gib);
    }
    let table = map.l1;
    for (const gib of [...gibs].sort((a, b) => (a < b ? -1 : 1))) {
      this.#tables.set(gib, table);
      this.#tableFrames[Number(gib)] = Number(table / GRANULE);
      table += BigInt(L1_TABLE_SIZE);
    }
    invariant(table <= map.end, "level 1 tables fit into their place", table);
  }

  /** Writes both levels. The granule protection check is still off. */
  build(root: MemoryPort): void {
    const l0 = new BigUint64Array(1 << Math.max(this.ppsBits - L0_ENTRY_BITS, 0)).fill(
      L0_BLOCK | (BigInt(Gpi.ANY) << 4n),
    );
    for (const [gib, table] of this.#tables) l0[Number(gib)] = L0_TABLE | table;
    write(root, this.#map.l0, l0);

    for (const [gib, table] of this.#tables) {
      const base = gib * L0_ENTRY_SIZE;
      const entries = new BigUint64Array(L1_TABLE_SIZE / 8).fill(filled(Gpi.ANY));
      for (const { gpi, ...range } of protectionOf(this.#board)) {
        const from = range.base > base ? range.base : base;
        const end = range.base + range.size;
        const to = end < base + L0_ENTRY_SIZE ? end : base + L0_ENTRY_SIZE;
        const step = GRANULES_PER_ENTRY * GRANULE;
        if (from >= to) continue;
        invariant(from % step === 0n && to % step === 0n, "ranges of the board are multiples of 64 KiB", range.base);
        entries.fill(filled(gpi), Number((from - base) / step), Number((to - base) / step));
      }
      write(root, table, entries);
    }
  }

  /**
   * Zeroes what the tables, as a former boot left them, say is Realm memory. For a reset: real machines lose the keys of
   * that memory's encryption. The granule protection check is off.
   */
  scrubRealm({ root, realm }: { root: MemoryPort; realm: MemoryPort }): void {
    const entries = new BigUint64Array(L1_TABLE_SIZE / 8);
    for (const [gib, table] of this.#tables) {
      const fault = root.copyIn(table, new Uint8Array(entries.buffer));
      invariant(fault === undefined, "the GPT is in Root memory", fault?.fault);
      for (const [n, descriptor] of entries.entries()) {
        if (descriptor === filled(Gpi.NS) || descriptor === filled(Gpi.ANY)) continue;
        for (let granule = 0n; granule < GRANULES_PER_ENTRY; granule++) {
          if (Number((descriptor >> (granule * 4n)) & 0xfn) !== Gpi.REALM) continue;
          const pa = gib * L0_ENTRY_SIZE + (BigInt(n) * GRANULES_PER_ENTRY + granule) * GRANULE;
          invariant(realm.zero(pa, GRANULE_SIZE) === undefined, "Realm granules are memory", pa);
        }
      }
    }
  }

  /** The GPI of a granule that a level 1 table covers; undefined for what is in a level 0 block or beyond. */
  gpi(root: MemoryPort, pa: bigint): Gpi | undefined {
    const frame = Number(pa / GRANULE);
    const table = this.#tableOf(frame);
    if (table === undefined) return undefined;
    const bytes = pageOf(root, table, frame);
    return ((bytes[byteOf(frame)]! >> shiftOf(frame)) & 0xf) as Gpi;
  }

  /**
   * Changes a granule of Host DRAM from one GPI to another; the caller then invalidates what PEs remember. Never fails
   * for a frame there whose granule has the GPI `from`. The carve-outs never change.
   */
  change(root: MemoryPort, frame: number, { from, to }: Transition): TransitionError | undefined {
    const table = this.#tableOf(frame);
    if (table === undefined) return "BAD_ADDR";
    if (!this.#isDram(frame)) return "BAD_PAS";
    const bytes = pageOf(root, table, frame);
    const at = byteOf(frame);
    const shift = shiftOf(frame);
    const two = bytes[at]!;
    if (((two >> shift) & 0xf) !== from) return "BAD_PAS";
    bytes[at] = (two & ~(0xf << shift)) | (to << shift);
    return undefined;
  }

  #isDram(frame: number): boolean {
    for (let i = 0; i < this.#dram.length; i++) {
      if (frame >= this.#dram[i]!.first && frame < this.#dram[i]!.end) return true;
    }
    return false;
  }

  /** Frame of the level 1 table that has a frame's GPI. */
  #tableOf(frame: number): number | undefined {
    return this.#tableFrames[frame >>> FRAME_BITS_OF_L0];
  }
}

/** log2 of the frames of a level 0 entry. */
const FRAME_BITS_OF_L0 = L0_ENTRY_BITS - 12;
/** Frames whose GPIs are in one page of a table: four bits each, the lower frame in the lower half of a byte. */
const FRAME_BITS_OF_PAGE = 13;

const byteOf = (frame: number): number => (frame >>> 1) & (GRANULE_SIZE - 1);
const shiftOf = (frame: number): number => (frame & 1) * 4;

/** The page of a level 1 table that has a frame's GPI, in place. */
function pageOf(root: MemoryPort, table: number, frame: number): Uint8Array {
  const index = (frame & ((1 << FRAME_BITS_OF_L0) - 1)) >>> FRAME_BITS_OF_PAGE;
  const bytes = root.page(table + index);
  invariant(!isFault(bytes), "the GPT is in Root memory", frame);
  return bytes;
}

/** GPCCR_EL3.PPS encodings. */
const PPS_BITS = [32, 36, 40, 42, 44, 48, 52] as const;

/** A Granules descriptor with one GPI for all sixteen. */
const filled = (gpi: Gpi): bigint => BigInt(gpi) * 0x1111_1111_1111_1111n;

function write(root: MemoryPort, pa: bigint, words: BigUint64Array): void {
  const fault = root.copyOut(pa, new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
  invariant(fault === undefined, "the GPT is in Root memory", fault?.fault);
}
