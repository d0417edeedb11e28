/**
 * AES, SHA-1 and SHA-256. DDI 0487, "Cryptographic AES", "Cryptographic three-register SHA", "Cryptographic two-register
 * SHA"; the functions are those of FIPS 197 and FIPS 180-4.
 */
import type { Context } from "./context.js";
import { add, and, type Expr, type Field, or, rotr, shrU, xor } from "./expr.js";
import { type Row, row } from "./row.js";
import { scalarReg, vectorReg } from "./text.js";
import {
  replaceLane,
  shuffle,
  swizzle,
  vAnd,
  vectorBytes,
  vectorOf,
  vectorZero,
  vOr,
  vShl,
  vShrS,
  vSub,
  vXor,
} from "./vector.js";

const common = { group: "simd-data", fp: true, rare: true } as const;

// AES. A state's columns are the words of the register.

/** Product by x in GF(2^8) with the polynomial of FIPS 197. */
const times2 = (a: number): number => ((a << 1) ^ (a & 0x80 ? 0x11b : 0)) & 0xff;

/** The substitution box: the inverse in GF(2^8), then an affine map; and its inverse. FIPS 197, section 5.1.1. */
function substitutionBoxes(): { readonly forward: number[]; readonly inverse: number[] } {
  // Powers of x + 1 reach every element but 0.
  const powers: number[] = [];
  for (let i = 0, a = 1; i < 255; i++, a ^= times2(a)) powers.push(a);
  const forward = new Array<number>(256);
  const inverse = new Array<number>(256);
  for (let value = 0; value < 256; value++) {
    const reciprocal = value === 0 ? 0 : powers[(255 - powers.indexOf(value)) % 255];
    let result = 0x63;
    for (let turn = 0; turn < 5; turn++) result ^= (reciprocal << turn) | (reciprocal >> (8 - turn));
    forward[value] = result & 0xff;
    inverse[result & 0xff] = value;
  }
  return { forward, inverse };
}

const BOX = substitutionBoxes();

/** Each byte by a table of 256: sixteen look-ups of sixteen, of which one finds something. */
function substitute(c: Context, table: readonly number[], state: Expr): Expr {
  const indices = c.tmp(state);
  let found: Expr = vectorZero;
  for (let part = 0; part < 16; part++) {
    const entries = vectorBytes(table.slice(part * 16, part * 16 + 16));
    found = vOr(found, swizzle(entries, part === 0 ? indices : vSub(0, indices, vectorOf(0, part * 16))));
  }
  return found;
}

/** Row r of the state moves by r columns. */
const shiftRows = (inverse: boolean, state: Expr): Expr => {
  const from = Array.from({ length: 16 }, (_, i) => (i + (inverse ? 12 : 4) * (i % 4)) % 16);
  return shuffle(state, state, from);
};

/** Within each column, byte i of the result is byte i + `by`. */
const rotateColumns = (state: Expr, by: number): Expr =>
  shuffle(
    state,
    state,
    Array.from({ length: 16 }, (_, i) => (i & ~3) + ((i + by) & 3)),
  );

/** Every byte times x. */
const double = (c: Context, a: Expr): Expr => {
  const value = c.tmp(a);
  return vXor(vShl(0, value, 1), vAnd(vShrS(0, value, 7), vectorOf(0, 0x1b)));
};

function mixColumns(c: Context, column: Expr): Expr {
  const a = c.tmp(column);
  const next = c.tmp(rotateColumns(a, 1));
  const others = vXor(rotateColumns(a, 2), rotateColumns(a, 3));
  return vXor(vXor(double(c, vXor(a, next)), next), others);
}

/** The inverse matrix is the forward one times {04}x^2 + {05}. */
function inverseMixColumns(c: Context, column: Expr): Expr {
  const a = c.tmp(column);
  const correction = double(c, double(c, vXor(a, rotateColumns(a, 2))));
  return mixColumns(c, vXor(a, correction));
}

type AesOperation = (c: Context, n: Expr, d: () => Expr) => Expr;
const AES: readonly (readonly [string, "00100" | "00101" | "00110" | "00111", AesOperation])[] = [
  ["AESE", "00100", (c, n, d) => substitute(c, BOX.forward, shiftRows(false, c.tmp(vXor(d(), n))))],
  ["AESD", "00101", (c, n, d) => substitute(c, BOX.inverse, shiftRows(true, c.tmp(vXor(d(), n))))],
  ["AESMC", "00110", (c, n) => mixColumns(c, n)],
  ["AESIMC", "00111", (c, n) => inverseMixColumns(c, n)],
];

const aes = AES.map(([name, opcode, sem]) =>
  row(`01001110 00 10100 ${opcode} 10 nnnnn ddddd`, {
    name,
    ...common,
    sem: (c, { n, d }) =>
      c.setVector(
        d,
        sem(c, c.vector(n), () => c.vector(d)),
      ),
    print: ({ n, d }) => `${name.toLowerCase()} ${vectorReg(0, 1, d)}, ${vectorReg(0, 1, n)}`,
  }),
);

// SHA

const rotl = (a: Expr, by: number): Expr => rotr(a, 32 - by);
const chooseBits = (x: Expr, y: Expr, z: Expr): Expr => xor(and(xor(y, z), x), z);
const parity = (x: Expr, y: Expr, z: Expr): Expr => xor(xor(x, y), z);
const majority = (x: Expr, y: Expr, z: Expr): Expr => or(and(x, y), and(or(x, y), z));

type Words = readonly [Expr, Expr, Expr, Expr];
const wordsOf = (c: Context, r: Field): Words => [0, 1, 2, 3].map((i) => c.tmp(c.lane(4, r, i))) as unknown as Words;
const vectorOfWords = (words: readonly Expr[]): Expr =>
  words.reduce((vector, word, i) => replaceLane(2, vector, i, word), vectorZero);

type Sha1Function = typeof parity;
const SHA1 = [
  ["SHA1C", "000", chooseBits],
  ["SHA1P", "001", parity],
  ["SHA1M", "010", majority],
] as const;

/** Four rounds of SHA-1. */
function sha1Rounds(c: Context, f: Sha1Function, d: Field, n: Field, m: Field): void {
  let [x0, x1, x2, x3] = wordsOf(c, d);
  let y = c.tmp(c.lane(4, n, 0));
  for (const word of wordsOf(c, m)) {
    const next = c.tmp(add(add(add(y, rotl(x0, 5)), f(x1, x2, x3)), word));
    [y, x3, x2, x1, x0] = [x3, x2, c.tmp(rotl(x1, 30)), x0, next];
  }
  c.setVector(d, vectorOfWords([x0, x1, x2, x3]));
}

/** Four rounds of SHA-256 over the halves `x` (a to d) and `y` (e to h) of the hash. */
function sha256Rounds(c: Context, halves: { x: Field; y: Field; m: Field }): { x: Words; y: Words } {
  let x = wordsOf(c, halves.x);
  let y = wordsOf(c, halves.y);
  const sigma0 = (a: Expr) => xor(xor(rotr(a, 2), rotr(a, 13)), rotr(a, 22));
  const sigma1 = (a: Expr) => xor(xor(rotr(a, 6), rotr(a, 11)), rotr(a, 25));
  for (const word of wordsOf(c, halves.m)) {
    const t = c.tmp(add(add(add(y[3], sigma1(y[0])), chooseBits(y[0], y[1], y[2])), word));
    const first = c.tmp(add(add(t, sigma0(x[0])), majority(x[0], x[1], x[2])));
    const fifth = c.tmp(add(t, x[3]));
    x = [first, x[0], x[1], x[2]];
    y = [fifth, y[0], y[1], y[2]];
  }
  return { x, y };
}

const schedule0 = (a: Expr): Expr => xor(xor(rotr(a, 7), rotr(a, 18)), shrU(a, 3));
const schedule1 = (a: Expr): Expr => xor(xor(rotr(a, 17), rotr(a, 19)), shrU(a, 10));

const words = (n: number): string => vectorReg(2, 1, n);

const sha: readonly Row[] = [
  ...SHA1.map(([name, opcode, f]) =>
    row(`01011110000 mmmmm 0 ${opcode} 00 nnnnn ddddd`, {
      name,
      ...common,
      sem: (c, { m, n, d }) => sha1Rounds(c, f, d, n, m),
      print: ({ m, n, d }) => `${name.toLowerCase()} ${scalarReg(4, d)}, ${scalarReg(2, n)}, ${words(m)}`,
    }),
  ),
  row("01011110000 mmmmm 0 011 00 nnnnn ddddd", {
    name: "SHA1SU0",
    ...common,
    sem: (c, { m, n, d }) => {
      const old = c.tmp(c.vector(d));
      const moved = shuffle(old, c.vector(n), [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]);
      c.setVector(d, vXor(vXor(moved, old), c.vector(m)));
    },
    print: ({ m, n, d }) => `sha1su0 ${words(d)}, ${words(n)}, ${words(m)}`,
  }),
  row("01011110 00 10100 00000 10 nnnnn ddddd", {
    name: "SHA1H",
    ...common,
    sem: (c, { n, d }) => c.setScalar(4, d, rotl(c.lane(4, n, 0), 30)),
    print: ({ n, d }) => `sha1h ${scalarReg(2, d)}, ${scalarReg(2, n)}`,
  }),
  row("01011110 00 10100 00001 10 nnnnn ddddd", {
    name: "SHA1SU1",
    ...common,
    sem: (c, { n, d }) => {
      const old = wordsOf(c, d);
      const next = wordsOf(c, n);
      const t = old.map((word, i) => (i < 3 ? c.tmp(xor(word, next[i + 1])) : word));
      const rotated = t.map((word) => rotl(word, 1));
      c.setVector(d, vectorOfWords([...rotated.slice(0, 3), xor(rotated[3], rotl(t[0], 2))]));
    },
    print: ({ n, d }) => `sha1su1 ${words(d)}, ${words(n)}`,
  }),
  row("01011110000 mmmmm 0 100 00 nnnnn ddddd", {
    name: "SHA256H",
    ...common,
    sem: (c, { m, n, d }) => c.setVector(d, vectorOfWords(sha256Rounds(c, { x: d, y: n, m }).x)),
    print: ({ m, n, d }) => `sha256h ${scalarReg(4, d)}, ${scalarReg(4, n)}, ${words(m)}`,
  }),
  row("01011110000 mmmmm 0 101 00 nnnnn ddddd", {
    name: "SHA256H2",
    ...common,
    sem: (c, { m, n, d }) => c.setVector(d, vectorOfWords(sha256Rounds(c, { x: n, y: d, m }).y)),
    print: ({ m, n, d }) => `sha256h2 ${scalarReg(4, d)}, ${scalarReg(4, n)}, ${words(m)}`,
  }),
  row("01011110 00 10100 00010 10 nnnnn ddddd", {
    name: "SHA256SU0",
    ...common,
    sem: (c, { n, d }) => {
      const old = wordsOf(c, d);
      const after = [old[1], old[2], old[3], c.tmp(c.lane(4, n, 0))];
      c.setVector(d, vectorOfWords(old.map((word, i) => add(word, schedule0(after[i])))));
    },
    print: ({ n, d }) => `sha256su0 ${words(d)}, ${words(n)}`,
  }),
  row("01011110000 mmmmm 0 110 00 nnnnn ddddd", {
    name: "SHA256SU1",
    ...common,
    sem: (c, { m, n, d }) => {
      const old = wordsOf(c, d);
      const [, n1, n2, n3] = wordsOf(c, n);
      const [m0, , m2, m3] = wordsOf(c, m);
      const word = (i: number, before: Expr, t: Expr) => c.tmp(add(add(schedule1(before), old[i]), t));
      const first = word(0, m2, n1);
      const second = word(1, m3, n2);
      c.setVector(d, vectorOfWords([first, second, word(2, first, n3), word(3, second, m0)]));
    },
    print: ({ m, n, d }) => `sha256su1 ${words(d)}, ${words(n)}, ${words(m)}`,
  }),
];

export const cryptoRows: readonly Row[] = [...aes, ...sha];
