/** VMSAv8-64 translation tables of the 4 KiB granule, stage 1 and 2, as cases write them. DDI 0487, "VMSAv8-64". */
import { TABLES } from "./layout.js";
import type { Program } from "./program.js";

/** Fields of a stage-1 leaf; what is absent is 0, but for `af`. */
export interface Leaf {
  /** Index into MAIR. */
  readonly attr?: number;
  readonly ns?: number;
  /** AP[2:1]. */
  readonly ap?: number;
  readonly sh?: number;
  readonly af?: number;
  readonly ng?: number;
  readonly contiguous?: number;
  readonly pxn?: number;
  readonly uxn?: number;
}

/** Restrictions of a stage-1 table descriptor. */
export interface TableLimits {
  readonly pxn?: number;
  readonly uxn?: number;
  readonly ap?: number;
  readonly ns?: number;
}

const bit = (value: number | undefined, at: number): bigint => BigInt(value ?? 0) << BigInt(at);

/** A block or page descriptor without its address. */
export const leaf = (level: number, l: Leaf = {}): bigint =>
  (level === 3 ? 3n : 1n) |
  bit(l.attr, 2) |
  bit(l.ns, 5) |
  bit(l.ap, 6) |
  bit(l.sh, 8) |
  bit(l.af ?? 1, 10) |
  bit(l.ng, 11) |
  bit(l.contiguous, 52) |
  bit(l.pxn, 53) |
  bit(l.uxn, 54);

/** A table descriptor without its address. */
export const table = (t: TableLimits = {}): bigint =>
  3n | bit(t.pxn, 59) | bit(t.uxn, 60) | bit(t.ap, 61) | bit(t.ns, 63);

/** Fields of a stage-2 leaf; default: Normal Write-Back, read and write, execute. */
export interface Leaf2 {
  readonly attr?: number;
  readonly s2ap?: number;
  readonly sh?: number;
  readonly af?: number;
  readonly xn?: number;
  readonly ns?: number;
}

export const leaf2 = (level: number, l: Leaf2 = {}): bigint =>
  (level === 3 ? 3n : 1n) |
  bit(l.attr ?? 0xf, 2) |
  bit(l.s2ap ?? 3, 6) |
  bit(l.sh, 8) |
  bit(l.af ?? 1, 10) |
  bit(l.xn, 54) |
  bit(l.ns, 55);

/** Bits of address below an entry of each level. */
export const SHIFT = [39, 30, 21, 12] as const;
const PAGE = 4096;

/** Gives out physical pages for tables; one per case. */
export class Arena {
  private next: number;
  readonly first: number;

  constructor(first = TABLES) {
    this.first = first;
    this.next = first;
  }

  /** `bytes` of memory aligned to their size. */
  take(bytes = PAGE): number {
    this.next = Math.ceil(this.next / bytes) * bytes;
    const at = this.next;
    this.next += bytes;
    return at;
  }

  get used(): number {
    return this.next - this.first;
  }
}

/** One tree of tables. Entries are collected, then written by `emit`. */
export class Tree {
  /** Address of the first table. */
  readonly root: number;
  /** Descriptors by their physical address. */
  readonly entries = new Map<number, bigint>();
  /** log2 of the input range, and the level of the first look-up. */
  readonly bits: number;
  readonly level: number;
  private readonly arena: Arena;

  /** `level`: for stage 2, which may start lower with concatenated tables. */
  constructor(arena: Arena, bits: number, level = 3 - Math.floor((bits - 13) / 9)) {
    this.arena = arena;
    this.bits = bits;
    this.level = level;
    this.root = arena.take(Math.max(64, 8 * 2 ** (bits - SHIFT[level as 0])));
  }

  /** Physical address of the descriptor at `level` for an input address; tables above are made as needed. */
  at(address: bigint, level: number, limits?: TableLimits): number {
    let base = this.root;
    for (let at = this.level; ; at++) {
      const width = at === this.level ? this.bits - SHIFT[at as 0] : 9;
      const index = Number(BigInt.asUintN(width, address >> BigInt(SHIFT[at as 0])));
      const entry = base + index * 8;
      if (at === level) return entry;
      const found = this.entries.get(entry);
      if (found === undefined) {
        base = this.arena.take();
        this.entries.set(entry, table(limits) | BigInt(base));
      } else {
        base = Number(found & 0xffff_ffff_f000n);
      }
    }
  }

  /** Sets the descriptor for an address at a level. */
  set(address: bigint, level: number, descriptor: bigint, limits?: TableLimits): void {
    this.entries.set(this.at(address, level, limits), descriptor);
  }

  /** Maps one leaf of stage 1. */
  map(va: bigint, pa: number | bigint, options: Leaf & { readonly level?: number } = {}, limits?: TableLimits): void {
    const { level = 3, ...attributes } = options;
    this.set(va, level, BigInt(pa) | leaf(level, attributes), limits);
  }

  /** Maps one leaf of stage 2. */
  map2(ipa: bigint, pa: number | bigint, options: Leaf2 & { readonly level?: number } = {}): void {
    const { level = 3, ...attributes } = options;
    this.set(ipa, level, BigInt(pa) | leaf2(level, attributes));
  }

  emit(program: Program): void {
    for (const [address, descriptor] of this.entries) program.write64(address, descriptor);
  }
}
