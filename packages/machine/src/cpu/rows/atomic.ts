/**
 * Exclusives, acquire and release, and the Large System Extensions.
 * DDI 0487, "Load/store exclusive", "Load/store ordered", "Compare and swap", "Atomic memory operations".
 */
import { Access } from "../engine.js";
import type { Context, DataAccess } from "./context.js";
import {
  add,
  and,
  type Expr,
  eq,
  extend8,
  extend16,
  type Field,
  gtS,
  gtU,
  ltS,
  ltU,
  not,
  or,
  select,
  xor,
} from "./expr.js";
import { row } from "./row.js";
import { reg, regSP } from "./text.js";

const SIZES = ["00", "01", "10", "11"] as const;
/** Suffix of the mnemonic by size: byte, half, and none for W and X. */
const SUFFIX = ["b", "h", "", ""];
const NAME_SUFFIX = ["B", "H", ", W", ", X"];

const typeOf = (size: number) => (size === 3 ? "i64" : "i32");
const sfOf = (size: number) => (size === 3 ? 1 : 0);

/** The part of a register that takes part in a comparison with a zero-extended value of memory. */
const truncate = (size: number, e: Expr): Expr => (size === 0 ? and(e, 0xff) : size === 1 ? and(e, 0xffff) : e);
const signExtend = (size: number, e: Expr): Expr => (size === 0 ? extend8(e) : size === 1 ? extend16(e) : e);

const exclusive = (size: number): DataAccess => ({ size, flags: Access.ORDERED | Access.NO_SYNDROME });

/** Store-exclusive: the status register gets 0 when the monitor held. */
function storeExclusive(c: Context, size: number, n: Field, s: Field, poke: (host: Expr) => void): void {
  const host = c.modify(c.base(n), exclusive(size));
  const holds = c.tmp(c.monitorHolds(host, size));
  c.when(holds, () => poke(host));
  c.clearMonitor();
  c.set(0, s, xor(holds, 1));
}

const single = SIZES.flatMap((z, size) => {
  const bytes = 1 << size;
  const sf = sfOf(size);
  return [
    row(`${z}001000000 sssss a11111 nnnnn ttttt`, {
      name: `STXR, STLXR${NAME_SUFFIX[size]}`,
      group: "exclusive",
      rare: true,
      unpredictable: ({ s, n, t }) => s === t || (s === n && n !== 31),
      sem: (c, { s, n, t }) => storeExclusive(c, bytes, n, s, (host) => c.poke(host, bytes, c.get(sf, t))),
      print: ({ s, a, n, t }) => `st${a ? "l" : ""}xr${SUFFIX[size]} ${reg(0, s)}, ${reg(sf, t)}, [${regSP(1, n)}]`,
    }),
    row(`${z}001000010 11111 a11111 nnnnn ttttt`, {
      name: `LDXR, LDAXR${NAME_SUFFIX[size]}`,
      group: "exclusive",
      rare: true,
      sem: (c, { n, t }) => {
        const host = c.read(c.base(n), exclusive(bytes));
        c.monitor(host, bytes);
        c.set(sf, t, c.peek(host, bytes, typeOf(size)));
      },
      print: ({ a, n, t }) => `ld${a ? "a" : ""}xr${SUFFIX[size]} ${reg(sf, t)}, [${regSP(1, n)}]`,
    }),
    row(`${z}001000100 11111 111111 nnnnn ttttt`, {
      name: `STLR${NAME_SUFFIX[size]}`,
      group: "load-store",
      rare: true,
      sem: (c, { n, t }) => c.write(c.base(n), { size: bytes, flags: Access.ORDERED }, [c.get(sf, t)]),
      print: ({ n, t }) => `stlr${SUFFIX[size]} ${reg(sf, t)}, [${regSP(1, n)}]`,
    }),
    row(`${z}001000110 11111 111111 nnnnn ttttt`, {
      name: `LDAR${NAME_SUFFIX[size]}`,
      group: "load-store",
      rare: true,
      sem: (c, { n, t }) => {
        const host = c.read(c.base(n), { size: bytes, flags: Access.ORDERED });
        c.set(sf, t, c.peek(host, bytes, typeOf(size)));
      },
      print: ({ n, t }) => `ldar${SUFFIX[size]} ${reg(sf, t)}, [${regSP(1, n)}]`,
    }),
    row(`${z}0010001 a 1 sssss r11111 nnnnn ttttt`, {
      name: `CAS${NAME_SUFFIX[size]}`,
      group: "atomic",
      rare: true,
      sem: (c, { s, n, t }) => {
        const host = c.modify(c.base(n), { size: bytes, flags: ATOMIC });
        const old = c.tmp(c.peek(host, bytes, typeOf(size)));
        c.when(eq(old, truncate(size, c.get(sf, s))), () => c.poke(host, bytes, c.get(sf, t)));
        c.set(sf, s, old);
      },
      print: ({ a, s, r, n, t }) => `cas${order(a, r)}${SUFFIX[size]} ${reg(sf, s)}, ${reg(sf, t)}, [${regSP(1, n)}]`,
    }),
  ];
});

const ATOMIC = Access.ATOMIC | Access.NO_SYNDROME;
const order = (acquire: number, release: number): string => `${acquire ? "a" : ""}${release ? "l" : ""}`;

const pair = ([0, 1] as const).flatMap((sf) => {
  const bytes = sf ? 8 : 4;
  const type = sf ? "i64" : "i32";
  const tag = sf ? "X" : "W";
  return [
    row(`1${sf}001000001 sssss a uuuuu nnnnn ttttt`, {
      name: `STXP, STLXP, ${tag}`,
      group: "exclusive",
      rare: true,
      unpredictable: ({ s, u, n, t }) => s === t || s === u || (s === n && n !== 31),
      sem: (c, { s, u, n, t }) =>
        storeExclusive(c, 2 * bytes, n, s, (host) => {
          c.poke(host, bytes, c.get(sf, t));
          c.poke(host, bytes, c.get(sf, u), bytes);
        }),
      print: ({ s, a, u, n, t }) => `st${a ? "l" : ""}xp ${reg(0, s)}, ${reg(sf, t)}, ${reg(sf, u)}, [${regSP(1, n)}]`,
    }),
    row(`1${sf}001000011 11111 a uuuuu nnnnn ttttt`, {
      name: `LDXP, LDAXP, ${tag}`,
      group: "exclusive",
      rare: true,
      unpredictable: ({ u, t }) => t === u,
      sem: (c, { u, n, t }) => {
        const host = c.read(c.base(n), exclusive(2 * bytes));
        c.monitor(host, 2 * bytes);
        c.set(sf, t, c.peek(host, bytes, type));
        c.set(sf, u, c.peek(host, bytes, type, { offset: bytes }));
      },
      print: ({ a, u, n, t }) => `ld${a ? "a" : ""}xp ${reg(sf, t)}, ${reg(sf, u)}, [${regSP(1, n)}]`,
    }),
    row(`0${sf}0010000 a 1 ssss0 r11111 nnnnn tttt0`, {
      name: `CASP, ${tag}`,
      group: "atomic",
      rare: true,
      even: ["s", "t"],
      sem: (c, { s, n, t }) => {
        const host = c.modify(c.base(n), { size: 2 * bytes, flags: ATOMIC });
        const first = c.tmp(c.peek(host, bytes, type));
        const second = c.tmp(c.peek(host, bytes, type, { offset: bytes }));
        c.when(and(eq(first, c.get(sf, s)), eq(second, c.getOdd(sf, s))), () => {
          c.poke(host, bytes, c.get(sf, t));
          c.poke(host, bytes, c.getOdd(sf, t), bytes);
        });
        c.set(sf, s, first);
        c.setOdd(sf, s, second);
      },
      print: ({ a, s, r, n, t }) =>
        `casp${order(a, r)} ${reg(sf, s)}, ${reg(sf, s + 1)}, ${reg(sf, t)}, ${reg(sf, t + 1)}, [${regSP(1, n)}]`,
    }),
  ];
});

/** By bits 14:12: the new value out of the old one and the operand. */
const OPERATIONS = [
  { opc: "000", text: "add", apply: (_: number, a: Expr, b: Expr) => add(a, b) },
  { opc: "001", text: "clr", apply: (_: number, a: Expr, b: Expr) => and(a, not(b)) },
  { opc: "010", text: "eor", apply: (_: number, a: Expr, b: Expr) => xor(a, b) },
  { opc: "011", text: "set", apply: (_: number, a: Expr, b: Expr) => or(a, b) },
  {
    opc: "100",
    text: "smax",
    apply: (z: number, a: Expr, b: Expr) => select(gtS(signExtend(z, a), signExtend(z, b)), a, b),
  },
  {
    opc: "101",
    text: "smin",
    apply: (z: number, a: Expr, b: Expr) => select(ltS(signExtend(z, a), signExtend(z, b)), a, b),
  },
  { opc: "110", text: "umax", apply: (z: number, a: Expr, b: Expr) => select(gtU(a, truncate(z, b)), a, b) },
  { opc: "111", text: "umin", apply: (z: number, a: Expr, b: Expr) => select(ltU(a, truncate(z, b)), a, b) },
] as const;

const readModifyWrite = SIZES.flatMap((z, size) => {
  const bytes = 1 << size;
  const sf = sfOf(size);
  return [
    ...OPERATIONS.map(({ opc, text, apply }) =>
      row(`${z}111000 a r 1 sssss 0${opc}00 nnnnn ttttt`, {
        name: `LD${text.toUpperCase()}${NAME_SUFFIX[size]}`,
        group: "atomic",
        rare: true,
        sem: (c, { s, n, t }) => {
          const host = c.modify(c.base(n), { size: bytes, flags: ATOMIC });
          const old = c.tmp(c.peek(host, bytes, typeOf(size)));
          c.poke(host, bytes, apply(size, old, c.tmp(c.get(sf, s))));
          c.set(sf, t, old);
        },
        print: ({ a, r, s, n, t }) =>
          t === 31 && !a
            ? `st${text}${order(a, r)}${SUFFIX[size]} ${reg(sf, s)}, [${regSP(1, n)}]`
            : `ld${text}${order(a, r)}${SUFFIX[size]} ${reg(sf, s)}, ${reg(sf, t)}, [${regSP(1, n)}]`,
      }),
    ),
    row(`${z}111000 a r 1 sssss 100000 nnnnn ttttt`, {
      name: `SWP${NAME_SUFFIX[size]}`,
      group: "atomic",
      rare: true,
      sem: (c, { s, n, t }) => {
        const host = c.modify(c.base(n), { size: bytes, flags: ATOMIC });
        const old = c.tmp(c.peek(host, bytes, typeOf(size)));
        c.poke(host, bytes, c.get(sf, s));
        c.set(sf, t, old);
      },
      print: ({ a, r, s, n, t }) => `swp${order(a, r)}${SUFFIX[size]} ${reg(sf, s)}, ${reg(sf, t)}, [${regSP(1, n)}]`,
    }),
  ];
});

export const atomicRows = [...single, ...pair, ...readModifyWrite];
