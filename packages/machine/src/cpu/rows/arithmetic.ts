/**
 * Addition and subtraction: immediate, shifted register, extended register, with carry; addresses relative to PC.
 * DDI 0487, "Data Processing -- Immediate" and "Data Processing -- Register".
 */
import type { Context } from "./context.js";
import {
  add,
  and,
  type Expr,
  extend8,
  extend16,
  type Field,
  i32,
  i64,
  ltU,
  not,
  or,
  rotr,
  sext,
  shl,
  shrS,
  shrU,
  sub,
  zext,
} from "./expr.js";
import { row } from "./row.js";
import { EXTENDS, imm, reg, regSP, shiftText, target, widthName } from "./text.js";

/** An unsigned field as a value of the operation's width. */
export const immediate = (sf: number, field: Expr): Expr => (sf ? zext(field) : field);

/** `value` shifted by a field: LSL, LSR, ASR, ROR. */
export function shifted(sf: number, value: Expr, type: number, amount: Expr): Expr {
  const count = sf ? zext(amount) : amount;
  return [shl, shrU, shrS, rotr][type](value, count);
}

/** Register `m` extended as `option` says, then shifted left. */
export function extended(c: Context, sf: number, m: Field, option: number, amount: Expr | number): Expr {
  const low = c.get(0, m);
  const narrow = [
    () => and(low, 0xff),
    () => and(low, 0xffff),
    () => low,
    () => low,
    () => extend8(low),
    () => extend16(low),
    () => low,
    () => low,
  ][option]();
  const wide = option === 3 || option === 7 ? c.get(1, m) : option >= 4 ? sext(narrow) : zext(narrow);
  const count = typeof amount === "number" ? (sf ? i64(amount) : i32(amount)) : immediate(sf, amount);
  return shl(sf ? wide : narrow, count);
}

/** The flag-setting forms write the zero register at 31, the others the stack pointer. */
function addSub(c: Context, f: number, op: number, s: number, d: Field, a: Expr, b: Expr, sp: boolean): void {
  if (s) {
    const left = c.tmp(a);
    const right = c.tmp(b);
    c.setFlags(op ? "sub" : "add", left, right);
    c.set(f, d, op ? sub(left, right) : add(left, right));
    return;
  }
  const result = op ? sub(a, b) : add(a, b);
  if (sp) c.setsp(f, d, result);
  else c.set(f, d, result);
}

const mnemonic = (op: number, s: number): string => `${op ? "sub" : "add"}${s ? "s" : ""}`;

/** a + b + carry, with its flags: ADC as it is, SBC as ADC of the complement. */
function addWithCarry(c: Context, f: number, s: number, d: Field, a: Expr, b: Expr): void {
  const carryIn = c.tmp(c.condition(i32(2)));
  if (!s) {
    c.set(f, d, add(add(a, b), f ? zext(carryIn) : carryIn));
    return;
  }
  const left = c.tmp(a);
  const right = c.tmp(b);
  const partial = c.tmp(add(left, right));
  const result = c.tmp(add(partial, f ? zext(carryIn) : carryIn));
  // The two additions cannot both carry out.
  const carry = or(ltU(partial, left), ltU(result, partial));
  c.setSumFlags({ a: left, b: right, result, carry });
  c.set(f, d, result);
}

/** objdump's names for forms that discard their result or have no first operand. */
function addSubShiftedText(f: number, op: number, s: number, d: number, n: number, second: string): string {
  if (s && d === 31) return `${op ? "cmp" : "cmn"} ${reg(f, n)}, ${second}`;
  if (op && n === 31) return `neg${s ? "s" : ""} ${reg(f, d)}, ${second}`;
  return `${mnemonic(op, s)} ${reg(f, d)}, ${reg(f, n)}, ${second}`;
}

export const arithmeticRows = [
  row("fos100010h iiiiiiiiiiii nnnnn ddddd", {
    name: "ADD, ADDS, SUB, SUBS (immediate)",
    group: "data",
    shape: ["f", "o", "s", "h"],
    sem: (c, { f, o, s, h, i, n, d }) => addSub(c, f, o, s, d, c.getsp(f, n), immediate(f, shl(i, h ? 12 : 0)), true),
    print: ({ f, o, s, h, i, n, d }) => {
      const value = `${imm(i)}${h ? ", lsl #12" : ""}`;
      if (!o && !s && !h && i === 0 && (d === 31 || n === 31)) return `mov ${regSP(f, d)}, ${regSP(f, n)}`;
      if (s && d === 31) return `${o ? "cmp" : "cmn"} ${regSP(f, n)}, ${value}`;
      return `${mnemonic(o, s)} ${s ? reg(f, d) : regSP(f, d)}, ${regSP(f, n)}, ${value}`;
    },
  }),
  ...(
    [
      [1, "1os01011 tt 0 mmmmm iiiiii nnnnn ddddd"],
      [0, "0os01011 tt 0 mmmmm 0iiiii nnnnn ddddd"],
    ] as const
  ).map(([f, pattern]) =>
    row(pattern, {
      name: `ADD, ADDS, SUB, SUBS (shifted register), ${widthName(f)}`,
      group: "data",
      shape: ["o", "s", "t"],
      allocated: ({ t }) => t !== 3,
      sem: (c, { o, s, t, m, i, n, d }) => addSub(c, f, o, s, d, c.get(f, n), shifted(f, c.get(f, m), t, i), false),
      print: ({ o, s, t, m, i, n, d }) => addSubShiftedText(f, o, s, d, n, `${reg(f, m)}${shiftText(t, i)}`),
    }),
  ),
  row("fos01011001 mmmmm eee iii nnnnn ddddd", {
    name: "ADD, ADDS, SUB, SUBS (extended register)",
    group: "data",
    shape: ["f", "o", "s", "e", "i"],
    allocated: ({ i }) => i <= 4,
    sem: (c, { f, o, s, m, e, i, n, d }) => addSub(c, f, o, s, d, c.getsp(f, n), extended(c, f, m, e, i), true),
    print: ({ f, o, s, m, e, i, n, d }) => {
      // The extension that moves all bits is written LSL, or not at all, when SP is an operand.
      const spUsed = n === 31 || (!s && d === 31);
      const plain = e === (f ? 3 : 2) && spUsed;
      const extension = plain ? (i === 0 ? "" : `, lsl #${i}`) : `, ${EXTENDS[e]}${i === 0 ? "" : ` #${i}`}`;
      const second = `${reg(f && (e & 3) === 3 ? 1 : 0, m)}${extension}`;
      if (s && d === 31) return `${o ? "cmp" : "cmn"} ${regSP(f, n)}, ${second}`;
      return `${mnemonic(o, s)} ${s ? reg(f, d) : regSP(f, d)}, ${regSP(f, n)}, ${second}`;
    },
  }),
  row("fos11010000 mmmmm 000000 nnnnn ddddd", {
    name: "ADC, ADCS, SBC, SBCS",
    group: "data",
    shape: ["f", "o", "s"],
    sem: (c, { f, o, s, m, n, d }) => {
      const second = c.get(f, m);
      addWithCarry(c, f, s, d, c.get(f, n), o ? not(second) : second);
    },
    print: ({ f, o, s, m, n, d }) => {
      if (o && n === 31) return `ngc${s ? "s" : ""} ${reg(f, d)}, ${reg(f, m)}`;
      return `${o ? "sbc" : "adc"}${s ? "s" : ""} ${reg(f, d)}, ${reg(f, n)}, ${reg(f, m)}`;
    },
  }),
  row("0ll10000 hhhhhhhhhhhhhhhhhhh ddddd", {
    name: "ADR",
    group: "data",
    signed: ["h"],
    sem: (c, { l, h, d }) => c.set(1, d, add(c.pc(), sext(or(shl(h, 2), l)))),
    print: ({ l, h, d }, pc) => `adr ${reg(1, d)}, ${target(pc, h * 4 + l)}`,
  }),
  row("1ll10000 hhhhhhhhhhhhhhhhhhh ddddd", {
    name: "ADRP",
    group: "data",
    signed: ["h"],
    sem: (c, { l, h, d }) => c.set(1, d, add(and(c.pc(), ~0xfffn), shl(sext(or(shl(h, 2), l)), 12))),
    print: ({ l, h, d }, pc) => `adrp ${reg(1, d)}, ${target(pc & ~0xfffn, (BigInt(h) * 4n + BigInt(l)) << 12n)}`,
  }),
];
