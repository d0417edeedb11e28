/** Instruction words out of the rows, for the generator and its harness. */
import { rowOf } from "../../packages/machine/src/cpu/disassemble.js";
import { ROWS } from "../../packages/machine/src/cpu/rows/index.js";
import type { Row } from "../../packages/machine/src/cpu/rows/row.js";

const byName = new Map(ROWS.map((row) => [row.name, row]));

export function rowNamed(name: string): Row {
  const row = byName.get(name);
  if (!row) throw new Error(`no row is named ${name}`);
  return row;
}

/** The word of `row` with these fields; those not named are zero. */
export function encode(row: Row, fields: Readonly<Record<string, number>>): number {
  let word = row.value;
  for (const [name, value] of Object.entries(fields)) {
    const place = row.fields[name];
    if (!place) throw new Error(`${row.name} has no field ${name}`);
    word |= (value & (2 ** place.width - 1)) << place.lo;
  }
  if (rowOf(word) !== row) throw new Error(`${row.name} does not match its own word ${(word >>> 0).toString(16)}`);
  return word >>> 0;
}

const op =
  (name: string) =>
  (fields: Readonly<Record<string, number>>): number =>
    encode(rowNamed(name), fields);

export const movz = op("MOVZ");
export const movk = op("MOVK");
export const addImmediate = op("ADD, ADDS, SUB, SUBS (immediate)");
export const stpX = op("STP, X (signed offset)");
export const ldpX = op("LDP, X (signed offset)");
export const ldrX = op("LDR, X (unsigned offset)");
export const strX = op("STR, X (unsigned offset)");
export const branch = op("B");
export const adr = op("ADR");
export const svc = op("SVC");
export const clrex = op("CLREX");

const NZCV = { o: 1, k: 3, n: 4, m: 2, p: 0 };
const TPIDR_EL0 = { o: 1, k: 3, n: 13, m: 0, p: 2 };
const msr = op("MSR (register)");
const mrs = op("MRS");
export const msrNzcv = (t: number): number => msr({ ...NZCV, t });
export const mrsNzcv = (t: number): number => mrs({ ...NZCV, t });
export const msrTpidr = (t: number): number => msr({ ...TPIDR_EL0, t });
export const mrsTpidr = (t: number): number => mrs({ ...TPIDR_EL0, t });

/** X`d` = `value`. */
export function loadConstant(d: number, value: bigint): number[] {
  const chunks = [0, 1, 2, 3].map((h) => ({ h, i: Number((value >> BigInt(16 * h)) & 0xffffn) }));
  const used = chunks.filter(({ i }) => i !== 0);
  if (used.length === 0) return [movz({ f: 1, h: 0, i: 0, d })];
  return used.map(({ h, i }, at) => (at === 0 ? movz : movk)({ f: 1, h, i, d }));
}

/** SP or X`d` = X`n`, by ADD #0. */
export const moveSp = (d: number, n: number): number => addImmediate({ f: 1, o: 0, s: 0, h: 0, i: 0, n, d });
