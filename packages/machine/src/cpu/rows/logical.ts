/**
 * Logical operations and wide moves. DDI 0487, "Logical (immediate)", "Logical (shifted register)", "Move wide (immediate)".
 */
import { shifted } from "./arithmetic.js";
import type { Context } from "./context.js";
import { and, type Expr, type Field, i32, i64, not, or, shl, wrap, xor, zext } from "./expr.js";
import { row } from "./row.js";
import { bitmaskImmediate, imm, reg, regSP, shiftText, widthName } from "./text.js";

/** opc: 0 AND, 1 ORR, 2 EOR, 3 ANDS. */
const combine = (opc: number, a: Expr, b: Expr): Expr => [and, or, xor, and][opc](a, b);

function flagged(c: Context, f: number, d: Field, value: Expr): void {
  const result = c.tmp(value);
  c.setFlags("logic", result);
  c.set(f, d, result);
}

const MNEMONICS = ["and", "orr", "eor", "ands"];
const INVERTED = ["bic", "orn", "eon", "bics"];

/** A value of the register's width, as objdump prints MOV's. */
const wideImm = (f: number, value: bigint): string => imm(BigInt.asUintN(f ? 64 : 32, value));

/** Whether MOVZ or MOVN can make the value: then objdump keeps ORR's own name. DDI 0487, "MoveWidePreferred". */
function isMoveWide(f: number, value: bigint): boolean {
  const width = f ? 64 : 32;
  const bits = BigInt.asUintN(width, value);
  for (const candidate of [bits, BigInt.asUintN(width, ~bits)])
    for (let at = 0n; at < width; at += 16n) if ((candidate & ~(0xffffn << at)) === 0n) return true;
  return false;
}

export const logicalRows = [
  row("foo100100 t rrrrrr ssssss nnnnn ddddd", {
    name: "AND, ORR, EOR, ANDS (immediate)",
    group: "data",
    shape: ["f", "o"],
    // Reserved are 64-bit elements in a 32-bit operation, and elements of one bit or of ones only.
    allocated: ({ f, t, s }) => (f === 1 || t === 0) && bitmaskImmediate(t, 0, s) !== undefined,
    sem: (c, { f, o, t, r, s, n, d }) => {
      const mask = c.table("bitmask", or(shl(t, 12), or(shl(r, 6), s)));
      const value = combine(o, c.get(f, n), f ? mask : wrap(mask));
      if (o === 3) flagged(c, f, d, value);
      else c.setsp(f, d, value);
    },
    print: ({ f, o, t, r, s, n, d }) => {
      const value = bitmaskImmediate(t, r, s) ?? 0n;
      const text = wideImm(f, value);
      if (o === 3 && d === 31) return `tst ${reg(f, n)}, ${text}`;
      if (o === 1 && n === 31 && (d === 31 || !isMoveWide(f, value))) return `mov ${regSP(f, d)}, ${text}`;
      return `${MNEMONICS[o]} ${o === 3 ? reg(f, d) : regSP(f, d)}, ${reg(f, n)}, ${text}`;
    },
  }),
  ...(
    [
      [1, "1oo01010 tt v mmmmm iiiiii nnnnn ddddd"],
      [0, "0oo01010 tt v mmmmm 0iiiii nnnnn ddddd"],
    ] as const
  ).map(([f, pattern]) =>
    row(pattern, {
      name: `AND, BIC, ORR, ORN, EOR, EON, ANDS, BICS (shifted register), ${widthName(f)}`,
      group: "data",
      shape: ["o", "t", "v"],
      sem: (c, { o, t, v, m, i, n, d }) => {
        const second = shifted(f, c.get(f, m), t, i);
        const value = combine(o, c.get(f, n), v ? not(second) : second);
        if (o === 3) flagged(c, f, d, value);
        else c.set(f, d, value);
      },
      print: ({ o, t, v, m, i, n, d }) => {
        const second = `${reg(f, m)}${shiftText(t, i)}`;
        if (o === 3 && !v && d === 31) return `tst ${reg(f, n)}, ${second}`;
        if (o === 1 && !v && n === 31 && t === 0 && i === 0) return `mov ${reg(f, d)}, ${second}`;
        if (o === 1 && v && n === 31) return `mvn ${reg(f, d)}, ${second}`;
        return `${(v ? INVERTED : MNEMONICS)[o]} ${reg(f, d)}, ${reg(f, n)}, ${second}`;
      },
    }),
  ),
  row("f00100101 hh iiiiiiiiiiiiiiii ddddd", {
    name: "MOVN",
    group: "data",
    shape: ["f", "h"],
    allocated: ({ f, h }) => f === 1 || h < 2,
    sem: (c, { f, h, i, d }) => c.set(f, d, not(shl(f ? zext(i) : i, h * 16))),
    print: ({ f, h, i, d }) => {
      if ((i === 0 && h !== 0) || (!f && i === 0xffff))
        return `movn ${reg(f, d)}, ${imm(i)}${h ? `, lsl #${h * 16}` : ""}`;
      return `mov ${reg(f, d)}, ${wideImm(f, ~(BigInt(i) << BigInt(h * 16)))}`;
    },
  }),
  row("f10100101 hh iiiiiiiiiiiiiiii ddddd", {
    name: "MOVZ",
    group: "data",
    shape: ["f", "h"],
    allocated: ({ f, h }) => f === 1 || h < 2,
    sem: (c, { f, h, i, d }) => c.set(f, d, shl(f ? zext(i) : i, h * 16)),
    print: ({ f, h, i, d }) => {
      if (i === 0 && h !== 0) return `movz ${reg(f, d)}, ${imm(i)}, lsl #${h * 16}`;
      return `mov ${reg(f, d)}, ${wideImm(f, BigInt(i) << BigInt(h * 16))}`;
    },
  }),
  row("f11100101 hh iiiiiiiiiiiiiiii ddddd", {
    name: "MOVK",
    group: "data",
    shape: ["f", "h"],
    allocated: ({ f, h }) => f === 1 || h < 2,
    sem: (c, { f, h, i, d }) => {
      const keep = f ? i64(~(0xffffn << BigInt(h * 16))) : i32(~(0xffff << (h * 16)));
      c.set(f, d, or(and(c.get(f, d), keep), shl(f ? zext(i) : i, h * 16)));
    },
    print: ({ f, h, i, d }) => `movk ${reg(f, d)}, ${imm(i)}${h ? `, lsl #${h * 16}` : ""}`,
  }),
];
