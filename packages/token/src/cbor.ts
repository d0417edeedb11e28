/**
 * CBOR (RFC 8949) as CCA tokens use it. cborg splits the bytes into items; what may stand where is decided here,
 * because tokens need a rule set of their own (draft-ffm-rats-cca-token, "Encoding"): definite lengths only, no
 * duplicate keys, nothing after the item, but any key order and longer heads than needed. In addition the nesting is
 * bounded, text must be UTF-8, tags are kept, and a float never passes for an integer.
 *
 * @spec RFC 8949, "Specification of the CBOR Encoding": partial: no indefinite lengths, no unassigned simple values
 */

import { encode, Tagged, Tokenizer, Type } from "cborg";
import { failure, type Result, success } from "./problem.js";

export { Tagged };

/** A floating point number. Kept apart from integers: 1.0 is not a claim label and 12291.0 not a lifecycle. */
export class CborFloat {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** Map keys: labels are integers or text (RFC 8392, 1.1; RFC 9052, 1.4). Beyond 2^53 an integer is a bigint. */
export type CborKey = number | bigint | string;
export type CborMap = Map<CborKey, CborValue>;
export type CborValue =
  | number
  | bigint
  | string
  | Uint8Array
  | boolean
  | null
  | undefined
  | CborFloat
  | Tagged
  | readonly CborValue[]
  | CborMap;

export interface CborProblem {
  readonly code:
    | "cbor-truncated"
    | "cbor-trailing"
    | "cbor-indefinite"
    | "cbor-duplicate-key"
    | "cbor-key-type"
    | "cbor-depth"
    | "cbor-text"
    | "cbor-invalid";
  readonly message: string;
  /** Byte offset of the item at fault. */
  readonly offset: number;
}

/** The deepest token, with every optional claim, nests seven levels. */
const DEPTH_MAX = 32;

class Malformed extends Error {
  readonly problem: CborProblem;
  constructor(problem: CborProblem) {
    super(problem.message);
    this.problem = problem;
  }
}

/**
 * Decodes exactly one item. Byte strings are views of `data`, so that their place in the token can be told; do not
 * change `data` afterwards.
 */
export function decodeCbor(data: Uint8Array): Result<CborValue, CborProblem> {
  const reader = new Reader(data);
  try {
    const value = reader.item(0);
    if (!reader.done()) reader.fail("cbor-trailing", `${data.length - reader.offset()} bytes follow the item`);
    return success(value);
  } catch (e) {
    if (e instanceof Malformed) return failure(e.problem);
    throw e;
  }
}

class Reader {
  readonly #data: Uint8Array;
  readonly #tokens: Tokenizer;
  /** Where the item that is being read began. */
  #start = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
    this.#tokens = new Tokenizer(data, { strict: false, allowBigInt: true, allowUndefined: true });
  }

  done(): boolean {
    return this.#tokens.done();
  }

  offset(): number {
    return this.#tokens.pos();
  }

  fail(code: CborProblem["code"], what: string): never {
    throw new Malformed({ code, message: `${what} (at byte ${this.#start})`, offset: this.#start });
  }

  item(depth: number): CborValue {
    const { type, value } = this.#next();
    const end = this.offset();
    switch (type) {
      case Type.uint:
      case Type.negint:
        return value as number | bigint;
      case Type.bytes:
        return this.#data.subarray(end - this.#contentSize(end), end);
      case Type.string:
        return this.#text(end);
      case Type.array: {
        const count = this.#count(value, 1, depth);
        const array: CborValue[] = [];
        for (let i = 0; i < count; i++) array.push(this.item(depth + 1));
        return array;
      }
      case Type.map:
        return this.#map(this.#count(value, 2, depth), depth);
      case Type.tag:
        this.#count(1, 1, depth);
        return new Tagged(Number(value), this.item(depth + 1));
      case Type.float:
        return new CborFloat(value as number);
      case Type.false:
        return false;
      case Type.true:
        return true;
      case Type.null:
        return null;
      case Type.undefined:
        return undefined;
      default: // a break outside an indefinite-length item
        return this.fail("cbor-invalid", "stray break");
    }
  }

  #map(count: number, depth: number): CborMap {
    const map: CborMap = new Map();
    for (let i = 0; i < count; i++) {
      const key = this.item(depth + 1);
      if (typeof key !== "number" && typeof key !== "bigint" && typeof key !== "string")
        return this.fail("cbor-key-type", "a map key is neither an integer nor text");
      if (map.has(key))
        this.fail(
          "cbor-duplicate-key",
          `the map key ${typeof key === "string" ? JSON.stringify(key) : key} occurs twice`,
        );
      map.set(key, this.item(depth + 1));
    }
    return map;
  }

  /** The next head, and the content of a string; checks what cborg does not. */
  #next(): { type: Type; value: unknown } {
    this.#start = this.offset();
    if (this.done()) this.fail("cbor-truncated", "the data ends where an item must begin");
    const head = this.#data[this.#start]!;
    // Additional information 31 is an indefinite length in the major types 2 to 5 (RFC 8949, 3.2).
    if ((head & 31) === 31 && head >= 0x40 && head < 0xc0) this.fail("cbor-indefinite", "indefinite length");
    try {
      return this.#tokens.next();
    } catch (e) {
      // The tokenizer throws for an incomplete head or content and for reserved heads; nothing else is in its reach.
      const what = e instanceof Error ? e.message.replace(/^CBOR decode error: /, "") : String(e);
      const truncated = /not enough data|unexpected end/.test(what);
      return this.fail(
        truncated ? "cbor-truncated" : "cbor-invalid",
        truncated ? "the data ends inside an item" : what,
      );
    }
  }

  /** Refuses a nesting too deep and a count that the remaining bytes cannot hold, before anything is allocated for it. */
  #count(value: unknown, perEntry: number, depth: number): number {
    if (depth >= DEPTH_MAX) this.fail("cbor-depth", `nested deeper than ${DEPTH_MAX} levels`);
    if (typeof value !== "number" || value * perEntry > this.#data.length - this.offset())
      return this.fail("cbor-truncated", "more entries are announced than bytes follow");
    return value;
  }

  /** Size of the string item that ended at `end`, without its head. */
  #contentSize(end: number): number {
    const additional = this.#data[this.#start]! & 31;
    const headSize = additional < 24 ? 1 : 1 + 2 ** (additional - 24);
    return end - this.#start - headSize;
  }

  #text(end: number): string {
    // cborg replaces what is not UTF-8 and drops a byte order mark, so that two different claims would read alike.
    const percent = Array.from(
      this.#data.subarray(end - this.#contentSize(end), end),
      (byte) => `%${byte.toString(16).padStart(2, "0")}`,
    );
    try {
      return decodeURIComponent(percent.join(""));
    } catch {
      return this.fail("cbor-text", "text that is not UTF-8");
    }
  }
}

/** Encodes with the shortest heads and definite lengths; maps keep their insertion order, as producers of tokens have one. */
export function encodeCbor(value: CborValue): Uint8Array {
  return encode(value, { mapSorter: () => 0 });
}
