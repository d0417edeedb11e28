/**
 * Advanced SIMD instructions by an element of Vm. DDI 0487, "Advanced SIMD vector x indexed element", "Advanced SIMD
 * scalar x indexed element".
 */
import type { Context, VectorRegister } from "./context.js";
import { type Expr, type Field, or, shl } from "./expr.js";
import { type Form, scalarForm, vectorForm } from "./lanes.js";
import { doublingHigh } from "./products.js";
import { type Row, row } from "./row.js";
import {
  adding,
  addingSaturated,
  doubled,
  type LongOperation,
  product,
  subtracting,
  subtractingSaturated,
} from "./simd-long.js";
import { laneReg, scalarReg, vectorReg } from "./text.js";
import { extractLane, type LaneSize, splat, vAdd, vMul, vSub } from "./vector.js";

const common = { group: "simd-data", fp: true, rare: true } as const;

/**
 * Where the element is: lanes of 2 bytes have index H:L:M and four bits of Vm, lanes of 4 bytes H:L and five. `l` is bit
 * 21, `k` bit 20, `h` bit 11.
 */
const PLACES = [
  { size: 1, z: "01", m: "k mmmm" },
  { size: 2, z: "10", m: "mmmmm" },
] as const;

type Index<T> = { readonly h: T; readonly l: T; readonly k?: T };
const indexOf = ({ h, l, k }: Index<Field>): Expr =>
  k === undefined ? or(shl(h, 1), l) : or(or(shl(h, 2), shl(l, 1)), k);
const indexNumber = ({ h, l, k }: Index<number>): number => (k === undefined ? h * 2 + l : h * 4 + l * 2 + k);

/** Vm's element in every lane. */
const element = (c: Context, size: LaneSize, m: VectorRegister, index: Index<Field>): Expr =>
  c.tmp(splat(size, c.lane(1 << size, m, indexOf(index))));

type LaneOperation = (c: Context, size: LaneSize, n: Expr, m: Expr, d: () => Expr) => Expr;

/** By U and bits 15:12: results as wide as the operands. */
const PLAIN: readonly (readonly [string, "0" | "1", string, LaneOperation, scalar: boolean])[] = [
  ["MUL", "0", "1000", (_c, size, n, m) => vMul(size, n, m), false],
  ["MLA", "1", "0000", (_c, size, n, m, d) => vAdd(size, d(), vMul(size, n, m)), false],
  ["MLS", "1", "0100", (_c, size, n, m, d) => vSub(size, d(), vMul(size, n, m)), false],
  ["SQDMULH", "0", "1100", (c, size, n, m) => doublingHigh(c, size, false, n, m), true],
  ["SQRDMULH", "0", "1101", (c, size, n, m) => doublingHigh(c, size, true, n, m), true],
];

const plain = PLAIN.flatMap(([name, u, opcode, operation, scalar]) =>
  PLACES.flatMap(({ size, z, m: bits }) => {
    const mnemonic = name.toLowerCase();
    const operate = (c: Context, form: Form, f: Record<"n" | "m" | "d", Field> & Index<Field>) =>
      form.write(
        c,
        f.d,
        operation(c, size, form.read(c, f.n), element(c, size, f.m, f), () => form.read(c, f.d)),
      );
    const text = (form: Form, f: Record<"n" | "m" | "d", number> & Index<number>) =>
      `${mnemonic} ${form.text(f.d)}, ${form.text(f.n)}, ${laneReg(size, f.m, indexNumber(f))}`;
    const tag = `(by element), ${size === 1 ? "H" : "S"}`;
    const vectors: Row = row(`0 q ${u} 01111 ${z} l ${bits as "k mmmm"} ${opcode as "1100"} h 0 nnnnn ddddd`, {
      name: `${name} ${tag}`,
      ...common,
      shape: ["q"],
      sem: (c, { q, ...f }) => operate(c, vectorForm(size, q), f),
      print: ({ q, ...f }) => text(vectorForm(size, q), f),
    });
    if (!scalar) return [vectors];
    const scalars: Row = row(`01 ${u} 11111 ${z} l ${bits as "k mmmm"} ${opcode as "1100"} h 0 nnnnn ddddd`, {
      name: `${name} (scalar, by element), ${size === 1 ? "H" : "S"}`,
      ...common,
      sem: (c, f) => operate(c, scalarForm(size), f),
      print: (f) => text(scalarForm(size), f),
    });
    return [vectors, scalars];
  }),
);

/** Results twice as wide. */
const LONG: readonly (readonly [string, "0" | "1", string, LongOperation, scalar: boolean])[] = [
  ["SMLAL", "0", "0010", adding(product), false],
  ["UMLAL", "1", "0010", adding(product), false],
  ["SMLSL", "0", "0110", subtracting(product), false],
  ["UMLSL", "1", "0110", subtracting(product), false],
  ["SMULL", "0", "1010", product, false],
  ["UMULL", "1", "1010", product, false],
  ["SQDMLAL", "0", "0011", addingSaturated, true],
  ["SQDMLSL", "0", "0111", subtractingSaturated, true],
  ["SQDMULL", "0", "1011", doubled, true],
];

const long = LONG.flatMap(([name, u, opcode, operation, scalar]) =>
  PLACES.flatMap(({ size, z, m: bits }) => {
    const letter = size === 1 ? "H" : "S";
    const mnemonic = name.toLowerCase();
    const signed = u === "0";
    const vectors: Row = row(`0 q ${u} 01111 ${z} l ${bits as "k mmmm"} ${opcode as "1011"} h 0 nnnnn ddddd`, {
      name: `${name}, ${name}2 (by element), ${letter}`,
      ...common,
      shape: ["q"],
      sem: (c, { q, n, m, d, ...index }) => {
        const operands = { size, q, signed, n: c.vector(n), m: element(c, size, m, index), d: () => c.vector(d) };
        c.setVector(d, operation(c, operands));
      },
      print: ({ q, n, m, d, ...index }) =>
        `${mnemonic}${q ? "2" : ""} ${vectorReg(size + 1, 1, d)}, ${vectorReg(size, q, n)}, ` +
        laneReg(size, m, indexNumber(index)),
    });
    if (!scalar) return [vectors];
    const scalars: Row = row(`01 ${u} 11111 ${z} l ${bits as "k mmmm"} ${opcode as "1011"} h 0 nnnnn ddddd`, {
      name: `${name} (scalar, by element), ${letter}`,
      ...common,
      sem: (c, { n, m, d, ...index }) => {
        const operands = {
          ...{ size, q: 0, signed },
          n: splat(size, c.scalar(1 << size, n)),
          m: element(c, size, m, index),
          d: () => splat(size + 1, c.scalar(2 << size, d)),
        };
        c.setScalar(2 << size, d, extractLane(size + 1, operation(c, operands), 0));
      },
      print: ({ n, m, d, ...index }) =>
        `${mnemonic} ${scalarReg(size + 1, d)}, ${scalarReg(size, n)}, ${laneReg(size, m, indexNumber(index))}`,
    });
    return [vectors, scalars];
  }),
);

export const simdElementRows: readonly Row[] = [...plain, ...long];
