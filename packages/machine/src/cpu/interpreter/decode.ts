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

const inKey = ({ lo, width }: FieldPlace): boolean => (((2 ** width - 1) << lo) & ~KEY_MASK) >>> 0 === 0;

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

export function decodeTable(rows: readonly Row[]): DecodeTable {
  const candidatesByKey = new Map<number, Candidate[]>();
  for (const row of rows) {
    checkFields(row);
    const keyFields = Object.entries(row.fields).filter(([, place]) => inKey(place));
    const mask = (row.mask & ~KEY_MASK) >>> 0;
    const value = (row.value & ~KEY_MASK) >>> 0;
    for (const word of wordsOf(row)) {
      if (row.allocated && !row.allocated(Object.fromEntries(keyFields.map(([n, p]) => [n, fieldOf(word, p)]))))
        continue;
      const shape = Object.fromEntries(row.shape.map((name) => [name, fieldOf(word, row.fields[name])]));
      const key = keyOf(word);
      const candidates = candidatesByKey.get(key) ?? [];
      insert(candidates, { row, shape, mask, value });
      candidatesByKey.set(key, candidates);
    }
  }

  const handlers: Handler[] = [];
  const known = new Map<string, number>();
  const byKey = new Int32Array(KEY_COUNT).fill(-1);
  const rowNumbers = new Map(rows.map((row, i) => [row, i]));
  for (let key = 0; key < KEY_COUNT; key++) {
    const candidates = candidatesByKey.get(key);
    if (!candidates) continue;
    const identity = candidates
      .map(({ row, shape }) => [rowNumbers.get(row), ...Object.values(shape)].join())
      .join(";");
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
