/**
 * Loads and stores of FP and SIMD registers: one register in all index modes, literal, pairs; and the structures of
 * LD1 to LD4, ST1 to ST4. DDI 0487, "Loads and Stores", "Advanced SIMD load/store structures".
 *
 * The registers are written when the whole access is known to succeed, so that a fault leaves all of them alone.
 */
import { Access } from "../engine.js";
import { extended } from "./arithmetic.js";
import type { Context, DataAccess, VectorRegister } from "./context.js";
import { add, type Expr, eq, type Field, i64, or, select, sext, shl, zext } from "./expr.js";
import { registerOffset } from "./load-store.js";
import { row } from "./row.js";
import { arrangement, reg, regSP, SCALARS, scalarReg, target, vectorList } from "./text.js";
import { gather, splat } from "./vector.js";

const group = "simd-load-store";
const flags = Access.NO_SYNDROME;

/** The low `1 << size` bytes of a register: what a store of it writes. */
const scalarValue = (c: Context, size: number, t: VectorRegister): Expr =>
  size === 4 ? c.vector(t) : c.scalar(1 << size, t);

/** Bt to Qt = the bytes at a host address; the rest of the register becomes zero. */
function loadScalar(c: Context, size: number, t: VectorRegister, host: Expr, offset = 0): void {
  const bytes = 1 << size;
  if (size < 2) c.setScalar(bytes, t, c.peek(host, bytes, "i32", { offset }));
  else c.setVector(t, c.peek(host, bytes, "v128", { offset }));
}

interface Transfer {
  /** log2 of the register's bytes. */
  readonly size: number;
  readonly load: boolean;
}

function transferRegister(c: Context, { size, load }: Transfer, va: Expr, t: Field): void {
  const access: DataAccess = { size: 1 << size, flags };
  if (load) loadScalar(c, size, t, c.read(va, access));
  else c.write(va, access, [scalarValue(c, size, t)]);
}

/** Seldom used forms become functions of their own. */
const isRare = (size: number): boolean => size < 3;

/** By size and opc, bits 31:30 and 23:22. */
const TRANSFERS = [
  ["00", "00", { size: 0, load: false }],
  ["00", "01", { size: 0, load: true }],
  ["01", "00", { size: 1, load: false }],
  ["01", "01", { size: 1, load: true }],
  ["10", "00", { size: 2, load: false }],
  ["10", "01", { size: 2, load: true }],
  ["11", "00", { size: 3, load: false }],
  ["11", "01", { size: 3, load: true }],
  ["00", "10", { size: 4, load: false }],
  ["00", "11", { size: 4, load: true }],
] as const;

const offsetText = (n: number, offset: number): string =>
  offset === 0 ? `[${regSP(1, n)}]` : `[${regSP(1, n)}, #${offset}]`;

const single = TRANSFERS.flatMap(([z, o, t_]) => {
  const { size, load } = t_;
  const mnemonic = load ? "ldr" : "str";
  const unscaled = load ? "ldur" : "stur";
  const tag = `${mnemonic.toUpperCase()}, ${SCALARS[size].toUpperCase()}`;
  const rare = isRare(size);
  return [
    row(`${z}111101${o} iiiiiiiiiiii nnnnn ttttt`, {
      name: `${tag} (unsigned offset)`,
      ...{ group, fp: true, rare },
      sem: (c, { i, n, t }) => transferRegister(c, t_, c.tmp(add(c.base(n), zext(shl(i, size)))), t),
      print: ({ i, n, t }) => `${mnemonic} ${scalarReg(size, t)}, ${offsetText(n, i << size)}`,
    }),
    row(`${z}111100${o}0 iiiiiiiii 00 nnnnn ttttt`, {
      name: `${unscaled.toUpperCase()}, ${SCALARS[size].toUpperCase()}`,
      ...{ group, fp: true, rare },
      signed: ["i"],
      sem: (c, { i, n, t }) => transferRegister(c, t_, c.tmp(add(c.base(n), sext(i))), t),
      print: ({ i, n, t }) => `${unscaled} ${scalarReg(size, t)}, ${offsetText(n, i)}`,
    }),
    row(`${z}111100${o}0 iiiiiiiii 01 nnnnn ttttt`, {
      name: `${tag} (post-index)`,
      ...{ group, fp: true, rare },
      signed: ["i"],
      sem: (c, { i, n, t }) => {
        const va = c.base(n);
        transferRegister(c, t_, va, t);
        c.setsp(1, n, add(va, sext(i)));
      },
      print: ({ i, n, t }) => `${mnemonic} ${scalarReg(size, t)}, [${regSP(1, n)}], #${i}`,
    }),
    row(`${z}111100${o}0 iiiiiiiii 11 nnnnn ttttt`, {
      name: `${tag} (pre-index)`,
      ...{ group, fp: true, rare },
      signed: ["i"],
      sem: (c, { i, n, t }) => {
        const va = c.tmp(add(c.base(n), sext(i)));
        transferRegister(c, t_, va, t);
        c.setsp(1, n, va);
      },
      print: ({ i, n, t }) => `${mnemonic} ${scalarReg(size, t)}, [${regSP(1, n)}, #${i}]!`,
    }),
    row(`${z}111100${o}1 mmmmm eee s 10 nnnnn ttttt`, {
      name: `${tag} (register)`,
      ...{ group, fp: true, rare: true },
      shape: ["e", "s"],
      allocated: ({ e }) => (e & 2) !== 0,
      sem: (c, { m, e, s, n, t }) =>
        transferRegister(c, t_, c.tmp(add(c.base(n), extended(c, 1, m, e, s ? size : 0))), t),
      print: ({ m, e, s, n, t }) => `${mnemonic} ${scalarReg(size, t)}, ${registerOffset({ m, e, s, n }, size)}`,
    }),
  ];
});

/** By opc, bits 31:30: S, D, Q. */
const OPC = [
  ["00", 2],
  ["01", 3],
  ["10", 4],
] as const;

const literal = OPC.map(([o, size]) =>
  row(`${o}011100 iiiiiiiiiiiiiiiiiii ttttt`, {
    name: `LDR, ${SCALARS[size].toUpperCase()} (literal)`,
    ...{ group, fp: true, rare: true },
    signed: ["i"],
    sem: (c, { i, t }) => transferRegister(c, { size, load: true }, c.tmp(add(c.pc(), sext(shl(i, 2)))), t),
    print: ({ i, t }, pc) => `ldr ${scalarReg(size, t)}, ${target(pc, i * 4)}`,
  }),
);

function transferPair(c: Context, { size, load }: Transfer, va: Expr, t: Field, u: Field): void {
  const bytes = 1 << size;
  const access: DataAccess = { size: 2 * bytes, align: bytes, flags };
  if (!load) {
    c.write(va, access, [scalarValue(c, size, t), scalarValue(c, size, u)]);
    return;
  }
  const host = c.read(va, access);
  loadScalar(c, size, t, host);
  loadScalar(c, size, u, host, bytes);
}

const pairs = OPC.flatMap(([o, size]) =>
  (["0", "1"] as const).flatMap((l) => {
    const t_ = { size, load: l === "1" };
    const mnemonic = t_.load ? "ldp" : "stp";
    const nonTemporal = t_.load ? "ldnp" : "stnp";
    const letter = SCALARS[size].toUpperCase();
    const registers = (t: number, u: number) => `${scalarReg(size, t)}, ${scalarReg(size, u)}`;
    const unpredictable = ({ t, u }: Record<"t" | "u", number>) => t_.load && t === u;
    const plain = [
      { mode: "010", name: `${mnemonic.toUpperCase()}, ${letter} (signed offset)`, text: mnemonic },
      { mode: "000", name: `${nonTemporal.toUpperCase()}, ${letter}`, text: nonTemporal },
    ] as const;
    return [
      ...plain.map(({ mode, name, text }) =>
        row(`${o}1011${mode}${l} iiiiiii uuuuu nnnnn ttttt`, {
          name,
          ...{ group, fp: true, rare: isRare(size) || mode === "000", unpredictable },
          signed: ["i"],
          sem: (c, { i, u, n, t }) => transferPair(c, t_, c.tmp(add(c.base(n), sext(shl(i, size)))), t, u),
          print: ({ i, u, n, t }) => `${text} ${registers(t, u)}, ${offsetText(n, i << size)}`,
        }),
      ),
      row(`${o}1011001${l} iiiiiii uuuuu nnnnn ttttt`, {
        name: `${mnemonic.toUpperCase()}, ${letter} (post-index)`,
        ...{ group, fp: true, rare: isRare(size), unpredictable },
        signed: ["i"],
        sem: (c, { i, u, n, t }) => {
          const va = c.base(n);
          transferPair(c, t_, va, t, u);
          c.setsp(1, n, add(va, sext(shl(i, size))));
        },
        print: ({ i, u, n, t }) => `${mnemonic} ${registers(t, u)}, [${regSP(1, n)}], #${i << size}`,
      }),
      row(`${o}1011011${l} iiiiiii uuuuu nnnnn ttttt`, {
        name: `${mnemonic.toUpperCase()}, ${letter} (pre-index)`,
        ...{ group, fp: true, rare: isRare(size), unpredictable },
        signed: ["i"],
        sem: (c, { i, u, n, t }) => {
          const va = c.tmp(add(c.base(n), sext(shl(i, size))));
          transferPair(c, t_, va, t, u);
          c.setsp(1, n, va);
        },
        print: ({ i, u, n, t }) => `${mnemonic} ${registers(t, u)}, [${regSP(1, n)}, #${i << size}]!`,
      }),
    ];
  }),
);

/** Register `i` after Vt; they are counted modulo 32. */
const following = (t: Field, i: number): VectorRegister => (i === 0 ? t : add(t, i));

/** LDn, STn of whole registers: `count` structures' elements in each of `elements` registers, or plain registers. */
interface Multiple {
  readonly name: string;
  /** Registers. */
  readonly count: number;
  /** Elements of a structure: 1 for LD1 and ST1, else `count`. */
  readonly elements: number;
}

/** By opcode, bits 15:12. */
const MULTIPLE = [
  ["0000", { name: "4", count: 4, elements: 4 }],
  ["0010", { name: "1", count: 4, elements: 1 }],
  ["0100", { name: "3", count: 3, elements: 3 }],
  ["0110", { name: "1", count: 3, elements: 1 }],
  ["0111", { name: "1", count: 1, elements: 1 }],
  ["1000", { name: "2", count: 2, elements: 2 }],
  ["1010", { name: "1", count: 2, elements: 1 }],
] as const;

function transferMultiple(
  c: Context,
  { count, elements }: Multiple,
  { q, size, load }: { q: number; size: number; load: boolean },
  va: Expr,
  t: Field,
): void {
  const bytes = q ? 16 : 8;
  const access: DataAccess = { size: count * bytes, align: 1 << size, flags };
  const registers = Array.from({ length: count }, (_, i) => following(t, i));
  const step = 1 << size;
  // Byte `at` of register `r` lies in memory at this place, and the other way round.
  const inMemory = (r: number, at: number) =>
    elements === 1 ? r * bytes + at : (Math.floor(at / step) * elements + r) * step + (at % step);
  const bytesOf = (place: (i: number) => number) => Array.from({ length: bytes }, (_, i) => place(i));
  if (load) {
    const host = c.read(va, access);
    const parts = registers.map((_, i) => c.peek(host, bytes, "v128", { offset: i * bytes }));
    if (elements === 1) {
      for (const [i, register] of registers.entries()) c.setVector(register, parts[i], q);
      return;
    }
    const loaded = parts.map((part) => c.tmp(part));
    for (const [r, register] of registers.entries())
      c.setVector(
        register,
        gather(
          loaded,
          bytes,
          bytesOf((at) => inMemory(r, at)),
        ),
        q,
      );
    return;
  }
  const values = registers.map((register) => c.vector(register, q));
  if (elements === 1) {
    c.write(va, access, values);
    return;
  }
  const inRegisters = new Array<number>(count * bytes);
  for (let r = 0; r < count; r++) for (let at = 0; at < bytes; at++) inRegisters[inMemory(r, at)] = r * bytes + at;
  const held = values.map((value) => c.tmp(value));
  c.write(
    va,
    access,
    registers.map((_, part) =>
      gather(
        held,
        bytes,
        bytesOf((at) => inRegisters[part * bytes + at]),
      ),
    ),
  );
}

/** Post-index: register 31 stands for the number of bytes transferred. */
const postIndex = (c: Context, m: Field, va: Expr, bytes: number): Expr =>
  add(va, select(eq(m, 31), i64(bytes), c.get(1, m)));
const postText = (m: number, bytes: number): string => (m === 31 ? `#${bytes}` : reg(1, m));

const multiple = MULTIPLE.flatMap(([o, what]) => {
  const { name, count, elements } = what;
  const allocated = ({ q, z }: Record<"q" | "z", number>) => elements === 1 || q === 1 || z !== 3;
  const mnemonic = (l: number) => `${l ? "ld" : "st"}${name}`;
  const tag = `LD${name}, ST${name} (multiple structures)${elements === 1 ? `, ${count} registers` : ""}`;
  return [
    row(`0 q 0011000 l 000000 ${o} zz nnnnn ttttt`, {
      name: tag,
      ...{ group, fp: true, rare: true, allocated },
      shape: ["q", "l", "z"],
      sem: (c, { q, l, z, n, t }) => transferMultiple(c, what, { q, size: z, load: l === 1 }, c.base(n), t),
      print: ({ q, l, z, n, t }) => `${mnemonic(l)} ${vectorList(t, count, arrangement(z, q))}, [${regSP(1, n)}]`,
    }),
    row(`0 q 0011001 l 0 mmmmm ${o} zz nnnnn ttttt`, {
      name: `${tag} (post-index)`,
      ...{ group, fp: true, rare: true, allocated },
      shape: ["q", "l", "z"],
      sem: (c, { q, l, m, z, n, t }) => {
        const va = c.base(n);
        transferMultiple(c, what, { q, size: z, load: l === 1 }, va, t);
        c.setsp(1, n, postIndex(c, m, va, count * (q ? 16 : 8)));
      },
      print: ({ q, l, m, z, n, t }) =>
        `${mnemonic(l)} ${vectorList(t, count, arrangement(z, q))}, [${regSP(1, n)}], ${postText(m, count * (q ? 16 : 8))}`,
    }),
  ];
});

/** One structure to or from one lane of each register. */
function transferLane(
  c: Context,
  { size, count, load }: { size: number; count: number; load: boolean },
  va: Expr,
  t: Field,
  index: Expr,
): void {
  const bytes = 1 << size;
  const access: DataAccess = { size: count * bytes, align: bytes, flags };
  const registers = Array.from({ length: count }, (_, i) => following(t, i));
  if (!load) {
    c.write(
      va,
      access,
      registers.map((register) => c.lane(bytes, register, index)),
    );
    return;
  }
  const host = c.read(va, access);
  const type = size === 3 ? "i64" : "i32";
  for (const [i, register] of registers.entries())
    c.setLane(bytes, register, index, c.peek(host, bytes, type, { offset: i * bytes }));
}

/**
 * Lanes by the log2 of their bytes: opcode without the bit that counts registers, S and size (bits 12:10), and where the
 * index lies in Q, S and size.
 */
const LANES = [
  { size: 0, o: "00", sz: "s zz" },
  { size: 1, o: "01", sz: "s z0" },
  { size: 2, o: "10", sz: "s 00" },
  { size: 3, o: "10", sz: "001" },
] as const;

const laneTag = (size: number): string => `LDn, STn (single structure), ${SCALARS[size].toUpperCase()}`;

const lanes = LANES.flatMap(({ size, o, sz }) => {
  type Fields<T> = { readonly q: T; readonly s?: T; readonly z?: T };
  const fieldBits = sz === "s zz" ? 2 : sz === "s z0" ? 1 : 0;
  /** Q:S:size without the bits that are not the index. */
  const indexOf = ({ q, s, z }: Fields<Field>): Expr => {
    const low = s === undefined ? undefined : z === undefined ? s : or(shl(s, fieldBits), z);
    return low === undefined ? q : or(shl(q, 1 + fieldBits), low);
  };
  const indexNumber = ({ q, s = 0, z = 0 }: Fields<number>): number =>
    size === 3 ? q : (q << (1 + fieldBits)) | (s << fieldBits) | z;
  const list = (f: Fields<number> & Record<"t" | "r" | "k", number>) =>
    `${vectorList(f.t, 1 + f.r + 2 * f.k, SCALARS[size])}[${indexNumber(f)}]`;
  const mnemonic = (l: number, count: number) => `${l ? "ld" : "st"}${count}`;
  return [
    row(`0 q 0011010 l r 00000 ${o} k ${sz as "s zz"} nnnnn ttttt`, {
      name: laneTag(size),
      ...{ group, fp: true, rare: true },
      shape: ["l", "r", "k"],
      sem: (c, { q, l, r, k, s, z, n, t }) =>
        transferLane(c, { size, count: 1 + r + 2 * k, load: l === 1 }, c.base(n), t, c.tmp(indexOf({ q, s, z }))),
      print: (f) => `${mnemonic(f.l, 1 + f.r + 2 * f.k)} ${list(f)}, [${regSP(1, f.n)}]`,
    }),
    row(`0 q 0011011 l r mmmmm ${o} k ${sz as "s zz"} nnnnn ttttt`, {
      name: `${laneTag(size)} (post-index)`,
      ...{ group, fp: true, rare: true },
      shape: ["l", "r", "k"],
      sem: (c, { q, l, r, k, s, z, m, n, t }) => {
        const va = c.base(n);
        const count = 1 + r + 2 * k;
        transferLane(c, { size, count, load: l === 1 }, va, t, c.tmp(indexOf({ q, s, z })));
        c.setsp(1, n, postIndex(c, m, va, count << size));
      },
      print: (f) => {
        const count = 1 + f.r + 2 * f.k;
        return `${mnemonic(f.l, count)} ${list(f)}, [${regSP(1, f.n)}], ${postText(f.m, count << size)}`;
      },
    }),
  ];
});

/** LD1R to LD4R: one structure to all lanes. */
function loadReplicated(c: Context, q: number, size: number, count: number, va: Expr, t: Field): void {
  const bytes = 1 << size;
  const host = c.read(va, { size: count * bytes, align: bytes, flags });
  const type = size === 3 ? "i64" : "i32";
  for (let i = 0; i < count; i++)
    c.setVector(following(t, i), splat(size, c.peek(host, bytes, type, { offset: i * bytes })), q);
}

const replicated = [
  row("0 q 00110101 r 00000 11 k 0 zz nnnnn ttttt", {
    name: "LDnR",
    ...{ group, fp: true, rare: true },
    shape: ["q", "r", "k", "z"],
    sem: (c, { q, r, k, z, n, t }) => loadReplicated(c, q, z, 1 + r + 2 * k, c.base(n), t),
    print: ({ q, r, k, z, n, t }) =>
      `ld${1 + r + 2 * k}r ${vectorList(t, 1 + r + 2 * k, arrangement(z, q))}, [${regSP(1, n)}]`,
  }),
  row("0 q 00110111 r mmmmm 11 k 0 zz nnnnn ttttt", {
    name: "LDnR (post-index)",
    ...{ group, fp: true, rare: true },
    shape: ["q", "r", "k", "z"],
    sem: (c, { q, r, k, z, m, n, t }) => {
      const va = c.base(n);
      const count = 1 + r + 2 * k;
      loadReplicated(c, q, z, count, va, t);
      c.setsp(1, n, postIndex(c, m, va, count << z));
    },
    print: ({ q, r, k, z, m, n, t }) => {
      const count = 1 + r + 2 * k;
      return `ld${count}r ${vectorList(t, count, arrangement(z, q))}, [${regSP(1, n)}], ${postText(m, count << z)}`;
    },
  }),
];

export const simdLoadStoreRows = [...single, ...literal, ...pairs, ...multiple, ...lanes, ...replicated];
