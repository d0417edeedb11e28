/**
 * Bit fields, extraction, variable shifts and the one-source operations.
 * DDI 0487, "Bitfield", "Extract", "Data-processing (1 source)", "Data-processing (2 source)".
 */
import type { Context } from "./context.js";
import { and, clz, type Expr, i32, i64, not, or, rotr, shl, shrS, shrU, sub, xor, zext } from "./expr.js";
import { row } from "./row.js";
import { reg, SHIFTS, widthName } from "./text.js";

/**
 * The bit field move of immr and imms: bits imms:0 of `x` go to the top of the register, then down by
 * immr - imms - 1 modulo the width. Both cases of the manual (extract when imms >= immr, insert otherwise) are this.
 */
function fieldMove(f: number, x: Expr, r: Expr, s: Expr, arithmetic: boolean): Expr {
  const up = sub(f ? 63 : 31, s);
  const down = sub(sub(r, s), 1);
  return (arithmetic ? shrS : shrU)(shl(x, f ? zext(up) : up), f ? zext(down) : down);
}

const ones = (f: number): Expr => (f ? i64(-1) : i32(-1));

/** Swaps neighbouring groups of `width` bits, of which `mask` names the lower ones. */
const swap = (x: Expr, width: number, mask: bigint): Expr => or(and(shrU(x, width), mask), shl(and(x, mask), width));

const M1 = 0x5555_5555_5555_5555n;
const M2 = 0x3333_3333_3333_3333n;
const M4 = 0x0f0f_0f0f_0f0f_0f0fn;
const M8 = 0x00ff_00ff_00ff_00ffn;
const M16 = 0x0000_ffff_0000_ffffn;

const rev16 = (c: Context, x: Expr): Expr => swap(c.tmp(x), 8, M8);
const rev32 = (c: Context, x: Expr): Expr => swap(c.tmp(rev16(c, x)), 16, M16);
const rbit = (c: Context, f: number, x: Expr): Expr => {
  const nibbles = swap(c.tmp(swap(c.tmp(swap(c.tmp(x), 1, M1)), 2, M2)), 4, M4);
  const words = rev32(c, nibbles);
  return f ? rotr(words, 32) : words;
};

/** objdump's names for the cases of SBFM and UBFM. */
function moveText(signed: boolean, f: number, { r, s, n, d }: Record<"r" | "s" | "n" | "d", number>): string {
  const u = signed ? "s" : "u";
  const width = f ? 64 : 32;
  const operands = `${reg(f, d)}, ${reg(f, n)}`;
  if (!signed && s + 1 === r) return `lsl ${operands}, #${width - 1 - s}`;
  if (s === width - 1) return `${signed ? "asr" : "lsr"} ${operands}, #${r}`;
  if (s < r) return `${u}bfiz ${operands}, #${width - r}, #${s + 1}`;
  if (r === 0 && (signed || !f)) {
    if (s === 7) return `${u}xtb ${reg(f, d)}, ${reg(0, n)}`;
    if (s === 15) return `${u}xth ${reg(f, d)}, ${reg(0, n)}`;
    if (s === 31 && signed) return `sxtw ${reg(f, d)}, ${reg(0, n)}`;
  }
  return `${u}bfx ${operands}, #${r}, #${s - r + 1}`;
}

function insertText(f: number, { r, s, n, d }: Record<"r" | "s" | "n" | "d", number>): string {
  const width = f ? 64 : 32;
  if (s >= r) return `bfxil ${reg(f, d)}, ${reg(f, n)}, #${r}, #${s - r + 1}`;
  const place = `#${width - r}, #${s + 1}`;
  return n === 31 ? `bfc ${reg(f, d)}, ${place}` : `bfi ${reg(f, d)}, ${reg(f, n)}, ${place}`;
}

const bitfieldRows = (
  [
    [1, "1oo1001101 rrrrrr ssssss nnnnn ddddd"],
    [0, "0oo1001100 0rrrrr 0sssss nnnnn ddddd"],
  ] as const
).map(([f, pattern]) =>
  row(pattern, {
    name: `SBFM, BFM, UBFM, ${widthName(f)}`,
    group: "data",
    shape: ["o"],
    allocated: ({ o }) => o !== 3,
    sem: (c, { o, r, s, n, d }) => {
      const value = fieldMove(f, c.get(f, n), r, s, o === 0);
      if (o !== 1) return c.set(f, d, value);
      const mask = c.tmp(fieldMove(f, ones(f), r, s, false));
      c.set(f, d, or(and(c.get(f, d), not(mask)), value));
    },
    print: ({ o, ...f_ }) => (o === 1 ? insertText(f, f_) : moveText(o === 0, f, f_)),
  }),
);

const extractRows = (
  [
    [1, "10010011110 mmmmm iiiiii nnnnn ddddd"],
    [0, "00010011100 mmmmm 0iiiii nnnnn ddddd"],
  ] as const
).map(([f, pattern]) =>
  row(pattern, {
    name: `EXTR, ${widthName(f)}`,
    group: "data",
    sem: (c, { m, i, n, d }) => {
      const count = c.tmp(f ? zext(i) : i);
      // In two steps, because a shift by the whole width is a shift by 0.
      const high = shl(shl(c.get(f, n), 1), sub(f ? 63 : 31, count));
      c.set(f, d, or(shrU(c.get(f, m), count), high));
    },
    print: ({ m, i, n, d }) =>
      n === m ? `ror ${reg(f, d)}, ${reg(f, n)}, #${i}` : `extr ${reg(f, d)}, ${reg(f, n)}, ${reg(f, m)}, #${i}`,
  }),
);

/** Reversals and counts. REV of a 64-bit register is opcode 3; opcode 2 reverses each word. */
const ONE_SOURCE = [
  { name: "RBIT", text: "rbit", opcode: "000000", sem: rbit },
  { name: "REV16", text: "rev16", opcode: "000001", sem: (c: Context, _f: number, x: Expr) => rev16(c, x) },
  { name: "CLZ", text: "clz", opcode: "000100", sem: (_c: Context, _f: number, x: Expr) => clz(x) },
  {
    name: "CLS",
    text: "cls",
    opcode: "000101",
    // Leading zeros of x with its sign removed count the sign bit itself, which CLS does not.
    sem: (c: Context, f: number, x: Expr) => {
      const value = c.tmp(x);
      return sub(clz(xor(value, shrS(value, f ? 63 : 31))), 1);
    },
  },
] as const;

export const bitRows = [
  ...bitfieldRows,
  ...extractRows,
  row("f0011010110 mmmmm 0010tt nnnnn ddddd", {
    name: "LSLV, LSRV, ASRV, RORV",
    group: "data",
    shape: ["f", "t"],
    // WebAssembly takes the count modulo the width, as the manual does.
    sem: (c, { f, m, t, n, d }) => c.set(f, d, [shl, shrU, shrS, rotr][t](c.get(f, n), c.get(f, m))),
    print: ({ f, m, t, n, d }) => `${SHIFTS[t]} ${reg(f, d)}, ${reg(f, n)}, ${reg(f, m)}`,
  }),
  ...ONE_SOURCE.map(({ name, text, opcode, sem }) =>
    row(`f1011010110 00000 ${opcode} nnnnn ddddd`, {
      name,
      group: "data",
      shape: ["f"],
      sem: (c, { f, n, d }) => c.set(f, d, sem(c, f, c.get(f, n))),
      print: ({ f, n, d }) => `${text} ${reg(f, d)}, ${reg(f, n)}`,
    }),
  ),
  row("01011010110 00000 000010 nnnnn ddddd", {
    name: "REV, 32-bit",
    group: "data",
    sem: (c, { n, d }) => c.set(0, d, rev32(c, c.get(0, n))),
    print: ({ n, d }) => `rev ${reg(0, d)}, ${reg(0, n)}`,
  }),
  row("11011010110 00000 000010 nnnnn ddddd", {
    name: "REV32",
    group: "data",
    sem: (c, { n, d }) => c.set(1, d, rev32(c, c.get(1, n))),
    print: ({ n, d }) => `rev32 ${reg(1, d)}, ${reg(1, n)}`,
  }),
  row("11011010110 00000 000011 nnnnn ddddd", {
    name: "REV, 64-bit",
    group: "data",
    sem: (c, { n, d }) => c.set(1, d, rotr(rev32(c, c.get(1, n)), 32)),
    print: ({ n, d }) => `rev ${reg(1, d)}, ${reg(1, n)}`,
  }),
];
