/**
 * The decode table: which rows an instruction word can be, by a key of its bits 31:21 and 15:10.
 *
 * Rows and values of shape fields that a key allows make a candidate list; equal lists share one handler. A candidate
 * whose fixed bits lie outside the key is compared in the handler. Two rows that match one word are an error, unless one
 * declares that it refines the other: then it comes first.
 */
import { invariant } from "@realmbox/abi";
import { type FieldPlace, fieldOf, type Row } from "../rows/row.js";

export const KEY_COUNT = 1 << 17;
const KEY_MASK = 0xffe0_fc00;

export const keyOf = (word: number): number => ((word >>> 21) << 6) | ((word >>> 10) & 0x3f);

export interface Candidate {
  readonly row: Row;
  /** Values of the row's shape fields. */
  readonly shape: Readonly<Record<string, number>>;
  /** Fixed bits outside the key that the word must have. */
  readonly mask: number;
  readonly value: number;
}

export interface Handler {
  readonly candidates: readonly Candidate[];
}

export interface DecodeTable {
  readonly handlers: readonly Handler[];
  /** Index in `handlers` by key, or -1: no row. */
  readonly byKey: Int32Array;
}

const bitsOf = ({ lo, width }: FieldPlace): number => (2 ** width - 1) << lo;
const inKey = (place: FieldPlace): boolean => (bitsOf(place) & ~KEY_MASK) === 0;

function checkFields(row: Row): void {
  for (const name of row.shape) {
    const place = row.fields[name];
    invariant(place !== undefined && inKey(place), "shape fields lie in the decode key", `${row.name}: ${name}`);
  }
}

/** Whether `a` goes before `b`, both matching one word. */
function refines(a: Row, b: Row): boolean {
  return a.refines === b.name;
}

/** Adds `candidate` to those of a key, in order of refinement. */
function insert(candidates: Candidate[], candidate: Candidate): void {
  let at = candidates.length;
  for (const [i, other] of candidates.entries()) {
    const common = candidate.mask & other.mask;
    if (((candidate.value ^ other.value) & common) !== 0) continue; // no word matches both
    if (refines(candidate.row, other.row)) at = Math.min(at, i);
    else
      invariant(
        refines(other.row, candidate.row),
        "no word matches two rows",
        `${candidate.row.name}, ${other.row.name}`,
      );
  }
  candidates.splice(at, 0, candidate);
}

/** Every key that the row's fixed bits allow, as words. */
function* wordsOf(row: Row): Generator<number> {
  const free = KEY_MASK & ~row.mask;
  let bits = 0;
  do {
    yield ((row.value & KEY_MASK) | bits) >>> 0;
    bits = ((bits | ~free) + 1) & free; // the next subset of the free bits
  } while (bits !== 0);
}

/** Candidates of a row by the bits of its shape fields, so that equal ones are one object. */
function candidatesOf(row: Row): (word: number) => Candidate {
  const places = row.shape.map((name) => row.fields[name]);
  const shapeBits = places.reduce((bits, place) => bits | bitsOf(place), 0);
  const mask = (row.mask & ~KEY_MASK) >>> 0;
  const value = (row.value & ~KEY_MASK) >>> 0;
  const known = new Map<number, Candidate>();
  return (word) => {
    const bits = word & shapeBits;
    let candidate = known.get(bits);
    if (!candidate) {
      const shape = Object.fromEntries(row.shape.map((name, i) => [name, fieldOf(word, places[i])]));
      candidate = { row, shape, mask, value };
      known.set(bits, candidate);
    }
    return candidate;
  };
}

export function decodeTable(rows: readonly Row[]): DecodeTable {
  const candidatesByKey: Candidate[][] = Array.from({ length: KEY_COUNT });
  for (const row of rows) {
    checkFields(row);
    const candidateOf = candidatesOf(row);
    const keyFields = Object.entries(row.fields).filter(([, place]) => inKey(place));
    const fields: Record<string, number> = {};
    for (const word of wordsOf(row)) {
      if (row.allocated) {
        for (const [name, place] of keyFields) fields[name] = fieldOf(word, place);
        if (!row.allocated(fields)) continue;
      }
      insert((candidatesByKey[keyOf(word)] ??= []), candidateOf(word));
    }
  }

  const handlers: Handler[] = [];
  const byKey = new Int32Array(KEY_COUNT).fill(-1);
  const numbers = new Map<Candidate, number>();
  const known = new Map<string, number>();
  for (let key = 0; key < KEY_COUNT; key++) {
    const candidates = candidatesByKey[key];
    if (!candidates) continue;
    let identity = "";
    for (const candidate of candidates) {
      let number = numbers.get(candidate);
      if (number === undefined) numbers.set(candidate, (number = numbers.size));
      identity += `${number} `;
    }
    let index = known.get(identity);
    if (index === undefined) {
      index = handlers.push({ candidates }) - 1;
      known.set(identity, index);
    }
    byKey[key] = index;
  }
  return { handlers, byKey };
}

/** The row of a word, or undefined. The plain decoder: tests and the disassembler. */
export function decode(table: DecodeTable, word: number): Row | undefined {
  const index = table.byKey[keyOf(word)];
  if (index < 0) return undefined;
  return table.handlers[index].candidates.find(({ mask, value }) => (word & mask) >>> 0 === value)?.row;
}
