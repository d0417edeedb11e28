/**
 * Views of granules, for the hot path. Making a view costs more than most of what is done with it (DataView 110 ns,
 * subarray 70 ns, the getter `buffer` 30 ns, Node 20), and a round trip of a REC looks at twenty granules. So views are
 * made once for each page of memory and found again by the bytes that the port has just given: every look still goes
 * through the port and its granule protection check.
 */
import { GRANULE_SIZE } from "@realmbox/abi";
import type { Struct } from "./struct.js";

/** One granule, or another run of bytes, and the views of it that somebody has needed. */
export class Page {
  readonly bytes: Uint8Array;
  readonly data: DataView;
  private words32: Uint32Array | undefined = undefined;
  private words64: BigUint64Array | undefined = undefined;
  private struct: Struct | undefined = undefined;
  private structKind: unknown = undefined;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get u32(): Uint32Array {
    const { bytes } = this;
    return (this.words32 ??= new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4));
  }

  get u64(): BigUint64Array {
    const { bytes } = this;
    return (this.words64 ??= new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8));
  }

  /** The words of a field: a view that the caller keeps. */
  wordsOf({ offset, size }: Block): BigUint64Array {
    return this.u64.subarray(offset / 8, (offset + size) / 8);
  }

  /** The structure at the start of the page, whose physical address is `addr`. */
  as<T extends Struct>(kind: new (addr: bigint, page: Page) => T, addr: bigint): T {
    if (this.structKind === kind && this.struct!.addr === addr) return this.struct as T;
    this.structKind = kind;
    return (this.struct = new kind(addr, this)) as T;
  }
}

/** A run of bytes inside a larger array. */
export interface Block {
  readonly offset: number;
  readonly size: number;
}

const PAGES = 4096;

/** The pages looked at lately: one for each value of the low bits of an address. */
export class Pages {
  private readonly known = new Array<Page | undefined>(PAGES).fill(undefined);

  /** The page whose bytes the port has given for `pa`. */
  of(pa: number, bytes: Uint8Array): Page {
    const index = (pa / GRANULE_SIZE) & (PAGES - 1);
    const page = this.known[index];
    return page?.bytes === bytes ? page : (this.known[index] = new Page(bytes));
  }
}

/** Copies the words of `from` to word `at` of `to`: 2 ns each, where `set` needs a view of the place first. */
export function putWords(to: BigUint64Array, at: number, from: BigUint64Array): void {
  for (let i = 0; i < from.length; i++) to[at + i] = from[i]!;
}

/** Fills `to` with the words from word `at` of `from` on. */
export function takeWords(to: BigUint64Array, from: BigUint64Array, at: number): void {
  for (let i = 0; i < to.length; i++) to[i] = from[at + i]!;
}

const word = new BigUint64Array(1);
const halves = new Uint32Array(word.buffer);

/** A 64-bit value as a number: exact up to 2^53, and above the PA space otherwise. */
export function toNumber(value: bigint): number {
  word[0] = value;
  return halves[1]! * 0x1_0000_0000 + halves[0]!;
}
