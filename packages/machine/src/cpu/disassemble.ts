/**
 * Instruction words as text, out of the rows: the syntax and the preferred names of GNU objdump.
 */
import { ROWS } from "./rows/index.js";
import { fieldsOf, type Row } from "./rows/row.js";

/** Rows by bits 28:25, the manual's main classification; refinements first. */
const byClass: Row[][] = Array.from({ length: 16 }, (_, group) =>
  ROWS.filter(({ mask, value }) => (((group << 25) ^ value) & mask & (0xf << 25)) === 0).sort(
    (a, b) => Number(b.refines !== undefined) - Number(a.refines !== undefined),
  ),
);

/** The rows that may match a word by its bits 28:25; refinements first. */
export const rowsOfClass = (word: number): readonly Row[] => byClass[(word >>> 25) & 0xf]!;

/** The row that a word is, or undefined: unallocated, or of an extension that is not here yet. */
export function rowOf(word: number): Row | undefined {
  return rowsOfClass(word).find(
    (row) => (word & row.mask) >>> 0 === row.value && (row.allocated?.(fieldsOf(row, word)) ?? true),
  );
}

/** The instruction at `pc`, as in `add x0, x1, #0x10`; branch targets and literals are absolute addresses. */
export function disassemble(word: number, pc = 0n): string {
  const row = rowOf(word);
  return row ? row.print(fieldsOf(row, word), pc) : `.inst 0x${(word >>> 0).toString(16).padStart(8, "0")}`;
}
