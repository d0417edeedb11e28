/**
 * Instruction words as the translator wants them: the row, the values of its shape fields, and what the row is known to do
 * whatever its operands are. Looked up once per decode key and remembered.
 */

import { rowsOfClass } from "../disassemble.js";
import { KEY_COUNT, keyOf } from "../interpreter/decode.js";
import { type Expr, i32 } from "../rows/expr.js";
import { type FieldPlace, fieldOf, type Row } from "../rows/row.js";
import { type Effects, effectsOf } from "./effects.js";

const KEY_MASK = 0xffe0_fc00;

/** A row with the shape that its key gives it. */
export interface Form {
  readonly row: Row;
  readonly shape: Readonly<Record<string, number>>;
  readonly fields: readonly (readonly [name: string, place: FieldPlace])[];
  /** What `sem` is given: the shape, and a place for each other field, filled in anew for each instruction. */
  readonly operands: Record<string, number | Expr>;
  /** The fields that are not the shape's. */
  readonly values: readonly (readonly [name: string, place: FieldPlace])[];
  /** Fixed bits outside the key. */
  readonly mask: number;
  readonly value: number;
  readonly effects: Effects;
}

const SMALL: readonly Expr[] = Array.from({ length: 64 }, (_, value) => i32(value));
/** A constant; most fields are register numbers. */
export const fieldValue = (value: number): Expr => SMALL[value] ?? i32(value);

const inKey = ({ lo, width }: FieldPlace): boolean => (((2 ** width - 1) << lo) & ~KEY_MASK) === 0;

/** Forms by key, refinements first. */
const known = new Array<readonly Form[] | undefined>(KEY_COUNT);

function formsOf(word: number): readonly Form[] {
  const forms: Form[] = [];
  for (const row of rowsOfClass(word)) {
    if (((word ^ row.value) & row.mask & KEY_MASK) !== 0) continue;
    const entries = Object.entries(row.fields);
    if (row.allocated) {
      const values = Object.fromEntries(entries.map(([name, place]) => [name, fieldOf(word, place)]));
      // As in the decode table of the interpreter: `allocated` looks at fields within the key only.
      for (const [name, place] of entries) if (!inKey(place)) delete values[name];
      if (!row.allocated(values)) continue;
    }
    const shape = Object.fromEntries(row.shape.map((name) => [name, fieldOf(word, row.fields[name]!)]));
    forms.push({
      row,
      shape,
      fields: entries,
      operands: Object.fromEntries(entries.map(([name]) => [name, shape[name] ?? fieldValue(0)])),
      values: entries.filter(([name]) => !(name in shape)),
      mask: (row.mask & ~KEY_MASK) >>> 0,
      value: (row.value & ~KEY_MASK) >>> 0,
      effects: effectsOf(row, shape, entries),
    });
  }
  return forms;
}

/** The form of a word; undefined: unallocated. */
export function formOf(word: number): Form | undefined {
  const key = keyOf(word);
  const forms = (known[key] ??= formsOf(word));
  for (const form of forms) if ((word & form.mask) >>> 0 === form.value) return form;
  return undefined;
}

/** Whether an instruction is always the interpreter's. */
export const isLeft = (word: number): boolean => formOf(word)?.effects.leaves ?? true;
