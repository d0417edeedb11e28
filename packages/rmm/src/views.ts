/**
 * Views of granules, for the hot path. Making a view costs more than most of what is done with it (DataView 110 ns,
 * subarray 70 ns, the getter `buffer` 30 ns, Node 20), and a round trip of a REC looks at twenty granules. So views are
 * made once for each page of memory and found again by the bytes that the port has just given: every look still goes
 * through the port and its granule protection check.
 *
 * On the hot path an address is its frame number (PA / 4096), which is a small integer, and a register is two 32-bit
 * words: a 64-bit value of its own is an object on the heap.
 */
import { GRANULE_SIZE } from "@realmbox/abi";
import type { Struct } from "./struct.js";

/** One granule, or another run of bytes, and the views of it that somebody has needed. */
export class Page {
  /** Frame number; NO_FRAME for what is no granule. */
  readonly frame: number;
  readonly bytes: Uint8Array;
  /** Where the bytes are in the machine's memory: an argument of a block move. */
  readonly at: number;
  readonly data: DataView;
  private signed32: Int32Array | undefined = undefined;
  private words32: Uint32Array | undefined = undefined;
  private words64: BigUint64Array | undefined = undefined;
  private upper: Page | undefined = undefined;
  private struct: Struct | undefined = undefined;
  private structKind: unknown = undefined;

  constructor(frame: number, bytes: Uint8Array) {
    this.frame = frame;
    this.bytes = bytes;
    this.at = bytes.byteOffset;
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A page of the RMM's own, outside of the machine. */
  static scratch(size: number): Page {
    return new Page(NO_FRAME, new Uint8Array(size));
  }

  get i32(): Int32Array {
    const { bytes } = this;
    return (this.signed32 ??= new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4));
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

  /** The upper half of a granule as a page of its own: RmiRecRun has a structure in each half. */
  get upperHalf(): Page {
    return (this.upper ??= new Page(this.frame, this.bytes.subarray(GRANULE_SIZE / 2)));
  }

  /** The structure at the start of the page. */
  as<T extends Struct>(kind: new (page: Page) => T): T {
    if (this.structKind === kind) return this.struct as T;
    this.structKind = kind;
    return (this.struct = new kind(this)) as T;
  }
}

/** A run of bytes inside a larger array. */
export interface Block {
  readonly offset: number;
  readonly size: number;
}

const PAGES = 4096;

/** The pages looked at lately: one for each value of the low bits of a frame number. */
export class Pages {
  private readonly pages = new Array<Page | undefined>(PAGES).fill(undefined);

  /** The page of a frame, if these are its bytes: what the port has just given, which may be a fault. */
  known(frame: number, bytes: unknown): Page | undefined {
    const page = this.pages[frame & (PAGES - 1)];
    return page !== undefined && page.bytes === bytes && page.frame === frame ? page : undefined;
  }

  add(frame: number, bytes: Uint8Array): Page {
    return (this.pages[frame & (PAGES - 1)] = new Page(frame, bytes));
  }
}

const word = new BigUint64Array(1);
const halves = new Int32Array(word.buffer);

/** A 64-bit value as a number: exact up to 2^53, and above the PA space otherwise. */
export function toNumber(value: bigint): number {
  word[0] = value;
  return (halves[1]! >>> 0) * 0x1_0000_0000 + (halves[0]! >>> 0);
}

/** The 64-bit value of two words. */
export function join(low: number, high: number): bigint {
  halves[0] = low;
  halves[1] = high;
  return word[0]!;
}

/** The words of a 64-bit constant. */
export const lowOf = (value: bigint): number => Number(BigInt.asIntN(32, value));
export const highOf = (value: bigint): number => Number(BigInt.asIntN(32, value >> 32n));

/** In place of a frame number: an address beyond 2^43, where no memory is; and one that is no granule's. */
export const NO_FRAME = 0x7fff_ffff;
export const UNALIGNED = -1;

/** Frame number of the address in two words, or UNALIGNED. */
export function frameOfWords(low: number, high: number): number {
  if ((low & (GRANULE_SIZE - 1)) !== 0) return UNALIGNED;
  return high >>> 11 === 0 ? (high << 20) | (low >>> 12) : NO_FRAME;
}

/** The same of an address. */
export function frameOf(addr: bigint): number {
  word[0] = addr;
  return frameOfWords(halves[0]!, halves[1]!);
}

/** Number of the page that an intermediate address in two words lies in: below 2^36, the widest IPA space. */
export const pageOfWords = (low: number, high: number): number => (high >>> 0) * 0x10_0000 + (low >>> 12);

/** The address of a frame. */
export const addressOf = (frame: number): bigint => BigInt(frame) << 12n;
