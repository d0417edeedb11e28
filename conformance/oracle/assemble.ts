/** The instructions that the oracle's harness is made of. */
import { encode, rowNamed } from "../../packages/machine/src/cpu/encode.js";

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

export const stpQ = op("STP, Q (signed offset)");
export const ldpQ = op("LDP, Q (signed offset)");

const NZCV = { o: 1, k: 3, n: 4, m: 2, p: 0 };
const FPCR = { o: 1, k: 3, n: 4, m: 4, p: 0 };
const FPSR = { o: 1, k: 3, n: 4, m: 4, p: 1 };
const msr = op("MSR (register)");
const mrs = op("MRS");
export const msrNzcv = (t: number): number => msr({ ...NZCV, t });
export const mrsNzcv = (t: number): number => mrs({ ...NZCV, t });
const msrTpidrRow = op("MSR TPIDR_EL0");
const mrsTpidrRow = op("MRS TPIDR_EL0");
export const msrTpidr = (t: number): number => msrTpidrRow({ t });
export const mrsTpidr = (t: number): number => mrsTpidrRow({ t });

export const msrFpcr = (t: number): number => msr({ ...FPCR, t });
export const msrFpsr = (t: number): number => msr({ ...FPSR, t });
export const mrsFpsr = (t: number): number => mrs({ ...FPSR, t });

/** X`d` = `value`. */
export function loadConstant(d: number, value: bigint): number[] {
  const chunks = [0, 1, 2, 3].map((h) => ({ h, i: Number((value >> BigInt(16 * h)) & 0xffffn) }));
  const used = chunks.filter(({ i }) => i !== 0);
  if (used.length === 0) return [movz({ f: 1, h: 0, i: 0, d })];
  return used.map(({ h, i }, at) => (at === 0 ? movz : movk)({ f: 1, h, i, d }));
}

/** SP or X`d` = X`n`, by ADD #0. */
export const moveSp = (d: number, n: number): number => addImmediate({ f: 1, o: 0, s: 0, h: 0, i: 0, n, d });
