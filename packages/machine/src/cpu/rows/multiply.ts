/**
 * Multiplication, division, CRC. DDI 0487, "Data-processing (3 source)", "Data-processing (2 source)".
 */
import type { Context } from "./context.js";
import {
  add,
  and,
  choose,
  divS,
  divU,
  type Expr,
  eq,
  i32,
  i64,
  isZero,
  ltS,
  mul,
  neg,
  select,
  sext,
  shrU,
  sub,
  wrap,
  xor,
  zext,
} from "./expr.js";
import { row } from "./row.js";
import { reg } from "./text.js";

/** The high half of the unsigned 128-bit product, out of four products of halves. */
function highProduct(c: Context, a: Expr, b: Expr): Expr {
  const low = (x: Expr) => and(x, 0xffff_ffffn);
  const high = (x: Expr) => shrU(x, 32);
  const cross = c.tmp(add(mul(high(a), low(b)), high(mul(low(a), low(b)))));
  const middle = c.tmp(add(mul(low(a), high(b)), low(cross)));
  return add(add(mul(high(a), high(b)), high(cross)), high(middle));
}

/** Division by zero gives zero; the one overflow gives the dividend. DDI 0487, "SDIV". */
function signedQuotient(f: number, a: Expr, b: Expr): Expr {
  const zero = f ? i64(0) : i32(0);
  return choose(isZero(b), zero, choose(eq(b, -1), neg(a), divS(a, b)));
}

const wide = [
  { op: "001", signed: 1 },
  { op: "101", signed: 0 },
] as const;

/** The CRC of `bytes` low bytes of `data`, byte by byte through a table. */
function crc(c: Context, table: "crc32" | "crc32c", sum: Expr, data: Expr, bytes: number): Expr {
  let acc = c.tmp(sum);
  for (let i = 0; i < bytes; i++) {
    const byte = data.type === "i64" ? wrap(shrU(data, 8 * i)) : shrU(data, 8 * i);
    acc = c.tmp(xor(c.table(table, and(xor(acc, byte), 0xff)), shrU(acc, 8)));
  }
  return acc;
}

export const multiplyRows = [
  row("f0011011000 mmmmm o aaaaa nnnnn ddddd", {
    name: "MADD, MSUB",
    group: "data",
    shape: ["f", "o"],
    sem: (c, { f, m, o, a, n, d }) => {
      const product = mul(c.get(f, n), c.get(f, m));
      c.set(f, d, o ? sub(c.get(f, a), product) : add(c.get(f, a), product));
    },
    print: ({ f, m, o, a, n, d }) => {
      const operands = `${reg(f, d)}, ${reg(f, n)}, ${reg(f, m)}`;
      return a === 31 ? `${o ? "mneg" : "mul"} ${operands}` : `${o ? "msub" : "madd"} ${operands}, ${reg(f, a)}`;
    },
  }),
  ...wide.map(({ op, signed }) =>
    row(`10011011${op} mmmmm o aaaaa nnnnn ddddd`, {
      name: signed ? "SMADDL, SMSUBL" : "UMADDL, UMSUBL",
      group: "data",
      shape: ["o"],
      sem: (c, { m, o, a, n, d }) => {
        const extend = signed ? sext : zext;
        const product = mul(extend(c.get(0, n)), extend(c.get(0, m)));
        c.set(1, d, o ? sub(c.get(1, a), product) : add(c.get(1, a), product));
      },
      print: ({ m, o, a, n, d }) => {
        const operands = `${reg(1, d)}, ${reg(0, n)}, ${reg(0, m)}`;
        const u = signed ? "s" : "u";
        if (a === 31) return `${u}${o ? "mnegl" : "mull"} ${operands}`;
        return `${u}${o ? "msubl" : "maddl"} ${operands}, ${reg(1, a)}`;
      },
    }),
  ),
  row("10011011110 mmmmm 011111 nnnnn ddddd", {
    name: "UMULH",
    group: "data",
    sem: (c, { m, n, d }) => c.set(1, d, highProduct(c, c.tmp(c.get(1, n)), c.tmp(c.get(1, m)))),
    print: ({ m, n, d }) => `umulh ${reg(1, d)}, ${reg(1, n)}, ${reg(1, m)}`,
  }),
  row("10011011010 mmmmm 011111 nnnnn ddddd", {
    name: "SMULH",
    group: "data",
    sem: (c, { m, n, d }) => {
      const a = c.tmp(c.get(1, n));
      const b = c.tmp(c.get(1, m));
      // A negative operand reads as its value plus 2^64 in the unsigned product.
      const excess = add(select(ltS(a, 0), b, i64(0)), select(ltS(b, 0), a, i64(0)));
      c.set(1, d, sub(highProduct(c, a, b), excess));
    },
    print: ({ m, n, d }) => `smulh ${reg(1, d)}, ${reg(1, n)}, ${reg(1, m)}`,
  }),
  row("f0011010110 mmmmm 00001s nnnnn ddddd", {
    name: "UDIV, SDIV",
    group: "data",
    shape: ["f", "s"],
    sem: (c, { f, m, s, n, d }) => {
      const a = c.tmp(c.get(f, n));
      const b = c.tmp(c.get(f, m));
      c.set(f, d, s ? signedQuotient(f, a, b) : choose(isZero(b), b, divU(a, b)));
    },
    print: ({ f, m, s, n, d }) => `${s ? "s" : "u"}div ${reg(f, d)}, ${reg(f, n)}, ${reg(f, m)}`,
  }),
  row("f0011010110 mmmmm 010kzz nnnnn ddddd", {
    name: "CRC32, CRC32C",
    group: "data",
    shape: ["f", "k", "z"],
    allocated: ({ f, z }) => (f === 1) === (z === 3),
    rare: true,
    sem: (c, { f, m, k, z, n, d }) => {
      const data = c.tmp(c.get(f, m));
      c.set(0, d, crc(c, k ? "crc32c" : "crc32", c.get(0, n), data, 1 << z));
    },
    print: ({ f, m, k, z, n, d }) => `crc32${k ? "c" : ""}${"bhwx"[z]} ${reg(0, d)}, ${reg(0, n)}, ${reg(f, m)}`,
  }),
];
