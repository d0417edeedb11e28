/** Instruction words out of the rows: the other direction of the disassembler, for tests and generated code. */
import { invariant } from "@realmbox/abi";
import { rowOf } from "./disassemble.js";
import { ROWS } from "./rows/index.js";
import type { Row } from "./rows/row.js";

const byName = new Map(ROWS.map((row) => [row.name, row]));

/** The row of that name, such as "ADR" or "LDP, X (signed offset)". Throws when there is none. */
export function rowNamed(name: string): Row {
  const row = byName.get(name);
  invariant(row !== undefined, "a row has this name", name);
  return row;
}

/** The word of a row with these fields (letters of its pattern); those not named are zero. Throws when it is neither the row's nor that of one which refines it. */
export function encode(row: Row, fields: Readonly<Record<string, number>>): number {
  let word = row.value;
  for (const [name, value] of Object.entries(fields)) {
    const place = row.fields[name];
    invariant(place !== undefined, "the row has this field", `${row.name}: ${name}`);
    word |= (value & (2 ** place.width - 1)) << place.lo;
  }
  const found = rowOf(word);
  const isRows = found === row || found?.refines === row.name;
  invariant(isRows, "the word is the row's", `${row.name}: ${(word >>> 0).toString(16)}`);
  return word >>> 0;
}
