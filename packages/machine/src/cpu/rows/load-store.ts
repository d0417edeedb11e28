/**
 * Loads and stores of general registers: one register in all index modes, literal, pairs, unprivileged; prefetch.
 * DDI 0487, "Loads and Stores".
 */
import { Access } from "../engine.js";
import { extended } from "./arithmetic.js";
import type { Context, DataAccess } from "./context.js";
import { add, type Expr, type Field, sext, shl, zext } from "./expr.js";
import { row } from "./row.js";
import { EXTENDS, reg, regSP, target } from "./text.js";

/** One transfer of a register: log2 of its bytes, and for sign-extending loads the width of the register. */
interface Transfer {
  /** Manual's mnemonic up to the index mode: "LDRSB". */
  readonly name: string;
  readonly size: 0 | 1 | 2 | 3;
  readonly load: boolean;
  readonly signed: boolean;
  /** 1: X register. */
  readonly sf: 0 | 1;
}

const transfer = (
  name: string,
  size: 0 | 1 | 2 | 3,
  load: boolean,
  signed = false,
  sf: 0 | 1 = size === 3 ? 1 : 0,
) => ({
  name,
  size,
  load,
  signed,
  sf,
});

/** By size and opc, bits 31:30 and 23:22. */
const TRANSFERS = [
  ["00", "00", transfer("STRB", 0, false)],
  ["00", "01", transfer("LDRB", 0, true)],
  ["00", "10", transfer("LDRSB", 0, true, true, 1)],
  ["00", "11", transfer("LDRSB", 0, true, true)],
  ["01", "00", transfer("STRH", 1, false)],
  ["01", "01", transfer("LDRH", 1, true)],
  ["01", "10", transfer("LDRSH", 1, true, true, 1)],
  ["01", "11", transfer("LDRSH", 1, true, true)],
  ["10", "00", transfer("STR", 2, false)],
  ["10", "01", transfer("LDR", 2, true)],
  ["10", "10", transfer("LDRSW", 2, true, true, 1)],
  ["11", "00", transfer("STR", 3, false)],
  ["11", "01", transfer("LDR", 3, true)],
] as const;

/** Transfers register `t` at `va`. */
export function transferRegister(c: Context, { size, load, signed, sf }: Transfer, va: Expr, t: Field, flags: number) {
  const access: DataAccess = { size: 1 << size, flags };
  if (load) {
    const host = c.read(va, access);
    c.set(sf, t, c.peek(host, access.size, sf ? "i64" : "i32", { signed }));
  } else {
    c.write(va, access, [c.get(size === 3 ? 1 : 0, t)]);
  }
}

/** LDR becomes LDUR and LDTR, STRB becomes STURB and STTRB. */
const variant = (name: string, letter: "U" | "T"): string => name.replace(/^(LD|ST)/, `$1${letter}`);
const widthOf = ({ name, sf }: Transfer): string =>
  name.startsWith("LDRS") || name.length === 3 ? (sf ? ", X" : ", W") : "";
const offsetText = (n: number, offset: number): string =>
  offset === 0 ? `[${regSP(1, n)}]` : `[${regSP(1, n)}, #${offset}]`;

const single = TRANSFERS.flatMap(([z, o, t_]) => {
  const bytes = 1 << t_.size;
  const mnemonic = t_.name.toLowerCase();
  const tag = `${t_.name}${widthOf(t_)}`;
  return [
    row(`${z}111001${o} iiiiiiiiiiii nnnnn ttttt`, {
      name: `${tag} (unsigned offset)`,
      group: "load-store",
      sem: (c, { i, n, t }) => transferRegister(c, t_, c.tmp(add(c.base(n), zext(shl(i, t_.size)))), t, 0),
      print: ({ i, n, t }) => `${mnemonic} ${reg(t_.sf, t)}, ${offsetText(n, i * bytes)}`,
    }),
    row(`${z}111000${o}0 iiiiiiiii 00 nnnnn ttttt`, {
      name: `${variant(tag, "U")} (unscaled)`,
      group: "load-store",
      signed: ["i"],
      sem: (c, { i, n, t }) => transferRegister(c, t_, c.tmp(add(c.base(n), sext(i))), t, 0),
      print: ({ i, n, t }) =>
        `${variant(mnemonic.toUpperCase(), "U").toLowerCase()} ${reg(t_.sf, t)}, ${offsetText(n, i)}`,
    }),
    row(`${z}111000${o}0 iiiiiiiii 10 nnnnn ttttt`, {
      name: `${variant(tag, "T")} (unprivileged)`,
      group: "load-store",
      signed: ["i"],
      rare: true,
      sem: (c, { i, n, t }) => transferRegister(c, t_, c.tmp(add(c.base(n), sext(i))), t, Access.UNPRIVILEGED),
      print: ({ i, n, t }) =>
        `${variant(mnemonic.toUpperCase(), "T").toLowerCase()} ${reg(t_.sf, t)}, ${offsetText(n, i)}`,
    }),
    row(`${z}111000${o}0 iiiiiiiii 01 nnnnn ttttt`, {
      name: `${tag} (post-index)`,
      group: "load-store",
      signed: ["i"],
      unpredictable: ({ n, t }) => n === t && n !== 31,
      sem: (c, { i, n, t }) => {
        const va = c.base(n);
        transferRegister(c, t_, va, t, Access.NO_SYNDROME);
        c.setsp(1, n, add(va, sext(i)));
      },
      print: ({ i, n, t }) => `${mnemonic} ${reg(t_.sf, t)}, [${regSP(1, n)}], #${i}`,
    }),
    row(`${z}111000${o}0 iiiiiiiii 11 nnnnn ttttt`, {
      name: `${tag} (pre-index)`,
      group: "load-store",
      signed: ["i"],
      unpredictable: ({ n, t }) => n === t && n !== 31,
      sem: (c, { i, n, t }) => {
        const va = c.tmp(add(c.base(n), sext(i)));
        transferRegister(c, t_, va, t, Access.NO_SYNDROME);
        c.setsp(1, n, va);
      },
      print: ({ i, n, t }) => `${mnemonic} ${reg(t_.sf, t)}, [${regSP(1, n)}, #${i}]!`,
    }),
    row(`${z}111000${o}1 mmmmm eee s 10 nnnnn ttttt`, {
      name: `${tag} (register)`,
      group: "load-store",
      shape: ["e", "s"],
      allocated: ({ e }) => (e & 2) !== 0,
      sem: (c, { m, e, s, n, t }) =>
        transferRegister(c, t_, c.tmp(add(c.base(n), extended(c, 1, m, e, s ? t_.size : 0))), t, 0),
      print: ({ m, e, s, n, t }) => `${mnemonic} ${reg(t_.sf, t)}, ${registerOffset({ m, e, s, n }, t_.size)}`,
    }),
  ];
});

export function registerOffset({ m, e, s, n }: Record<"m" | "e" | "s" | "n", number>, size: number): string {
  const index = reg((e & 3) === 3 ? 1 : 0, m);
  const amount = s ? ` #${size}` : "";
  const extension = e === 3 ? (s ? `, lsl #${size}` : "") : `, ${EXTENDS[e]}${amount}`;
  return `[${regSP(1, n)}, ${index}${extension}]`;
}

const LITERALS = [
  ["00", transfer("LDR", 2, true)],
  ["01", transfer("LDR", 3, true)],
  ["10", transfer("LDRSW", 2, true, true, 1)],
] as const;

const literal = LITERALS.map(([o, t_]) =>
  row(`${o}011000 iiiiiiiiiiiiiiiiiii ttttt`, {
    name: `${t_.name}${widthOf(t_)} (literal)`,
    group: "load-store",
    signed: ["i"],
    sem: (c, { i, t }) => transferRegister(c, t_, c.tmp(add(c.pc(), sext(shl(i, 2)))), t, 0),
    print: ({ i, t }, pc) => `${t_.name.toLowerCase()} ${reg(t_.sf, t)}, ${target(pc, i * 4)}`,
  }),
);

/** By opc and L, bits 31:30 and 22. */
const PAIRS = [
  ["00", "0", transfer("STP", 2, false)],
  ["00", "1", transfer("LDP", 2, true)],
  ["01", "1", transfer("LDPSW", 2, true, true, 1)],
  ["10", "0", transfer("STP", 3, false)],
  ["10", "1", transfer("LDP", 3, true)],
] as const;

/** Transfers registers `t` and `u` at `va`. */
function transferPair(c: Context, { size, load, signed, sf }: Transfer, va: Expr, t: Field, u: Field): void {
  const bytes = 1 << size;
  const access: DataAccess = { size: 2 * bytes, align: bytes, flags: Access.NO_SYNDROME };
  if (!load) {
    c.write(va, access, [c.get(sf, t), c.get(sf, u)]);
    return;
  }
  const host = c.read(va, access);
  const type = sf ? "i64" : "i32";
  c.set(sf, t, c.peek(host, bytes, type, { signed }));
  c.set(sf, u, c.peek(host, bytes, type, { signed, offset: bytes }));
}

const pairs = PAIRS.flatMap(([o, l, t_]) => {
  const mnemonic = t_.name.toLowerCase();
  const tag = `${t_.name}, ${t_.sf ? "X" : "W"}`;
  const registers = (t: number, u: number) => `${reg(t_.sf, t)}, ${reg(t_.sf, u)}`;
  const scale = 1 << t_.size;
  const writeBackUnpredictable = ({ n, t, u }: Record<"n" | "t" | "u", number>) =>
    (n !== 31 && (n === t || n === u)) || (t_.load && t === u);
  const plain = [
    { mode: "010", name: `${tag} (signed offset)`, text: mnemonic },
    ...(t_.name === "LDPSW" ? [] : [{ mode: "000", name: `${tag} (non-temporal)`, text: `${mnemonic.slice(0, 2)}np` }]),
  ] as const;
  return [
    ...plain.map(({ mode, name, text }) =>
      row(`${o}1010${mode as "010" | "000"}${l} iiiiiii uuuuu nnnnn ttttt`, {
        name: name.replace(/^(LD|ST)P(.*non-temporal)/, "$1NP$2"),
        group: "load-store",
        signed: ["i"],
        unpredictable: ({ t, u }) => t_.load && t === u,
        sem: (c, { i, u, n, t }) => transferPair(c, t_, c.tmp(add(c.base(n), sext(shl(i, t_.size)))), t, u),
        print: ({ i, u, n, t }) => `${text} ${registers(t, u)}, ${offsetText(n, i * scale)}`,
      }),
    ),
    row(`${o}1010001${l} iiiiiii uuuuu nnnnn ttttt`, {
      name: `${tag} (post-index)`,
      group: "load-store",
      signed: ["i"],
      unpredictable: writeBackUnpredictable,
      sem: (c, { i, u, n, t }) => {
        const va = c.base(n);
        transferPair(c, t_, va, t, u);
        c.setsp(1, n, add(va, sext(shl(i, t_.size))));
      },
      print: ({ i, u, n, t }) => `${mnemonic} ${registers(t, u)}, [${regSP(1, n)}], #${i * scale}`,
    }),
    row(`${o}1010011${l} iiiiiii uuuuu nnnnn ttttt`, {
      name: `${tag} (pre-index)`,
      group: "load-store",
      signed: ["i"],
      unpredictable: writeBackUnpredictable,
      sem: (c, { i, u, n, t }) => {
        const va = c.tmp(add(c.base(n), sext(shl(i, t_.size))));
        transferPair(c, t_, va, t, u);
        c.setsp(1, n, va);
      },
      print: ({ i, u, n, t }) => `${mnemonic} ${registers(t, u)}, [${regSP(1, n)}, #${i * scale}]!`,
    }),
  ];
});

function prefetchText(t: number): string {
  const [kind, level] = [t >> 3, (t >> 1) & 3];
  return kind === 3 || level === 3
    ? `#0x${t.toString(16).padStart(2, "0")}`
    : `${["pld", "pli", "pst"][kind]}l${level + 1}${t & 1 ? "strm" : "keep"}`;
}

/** Prefetches do nothing, whatever their address. */
const prefetch = [
  row("1111100110 iiiiiiiiiiii nnnnn ttttt", {
    name: "PRFM (immediate)",
    group: "load-store",
    sem: () => {},
    print: ({ i, n, t }) => `prfm ${prefetchText(t)}, ${offsetText(n, i * 8)}`,
  }),
  row("11111000100 iiiiiiiii 00 nnnnn ttttt", {
    name: "PRFUM",
    group: "load-store",
    signed: ["i"],
    sem: () => {},
    print: ({ i, n, t }) => `prfum ${prefetchText(t)}, ${offsetText(n, i)}`,
  }),
  row("11111000101 mmmmm eee s 10 nnnnn ttttt", {
    name: "PRFM (register)",
    group: "load-store",
    allocated: ({ e }) => (e & 2) !== 0,
    sem: () => {},
    print: ({ m, e, s, n, t }) => `prfm ${prefetchText(t)}, ${registerOffset({ m, e, s, n }, 3)}`,
  }),
  row("11011000 iiiiiiiiiiiiiiiiiii ttttt", {
    name: "PRFM (literal)",
    group: "load-store",
    signed: ["i"],
    sem: () => {},
    print: ({ i, t }, pc) => `prfm ${prefetchText(t)}, ${target(pc, i * 4)}`,
  }),
];

export const loadStoreRows = [...single, ...literal, ...pairs, ...prefetch];
