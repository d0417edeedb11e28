/**
 * Advanced SIMD instructions of three registers of one kind, vectors and scalars.
 * DDI 0487, "Advanced SIMD three same", "Advanced SIMD scalar three same".
 */
import type { Context } from "./context.js";
import { type Expr, type Field, i32, sext, shl, wrap, zext } from "./expr.js";
import {
  absoluteDifference,
  addSaturating,
  bitsOf,
  type Form,
  scalarForm,
  subSaturating,
  vectorForm,
} from "./lanes.js";
import { doublingHigh, polynomialMultiply8 } from "./products.js";
import { type Row, row } from "./row.js";
import { vectorReg } from "./text.js";
import {
  bitSelect,
  type LaneSize,
  lanesToBytes,
  shuffle,
  vAdd,
  vAnd,
  vAndNot,
  vEq,
  vectorZero,
  vGe,
  vGt,
  vMax,
  vMin,
  vMul,
  vNe,
  vNot,
  vOr,
  vShrS,
  vShrU,
  vSub,
  vXor,
} from "./vector.js";

const common = { group: "simd-data", fp: true, rare: true } as const;

/** Operands of a lane-wise operation; `d` is the destination's old value. */
interface Operands {
  readonly n: Expr;
  readonly m: Expr;
  readonly d: () => Expr;
}

interface LaneOperation {
  readonly name: string;
  /** Bit 29, and bits 15:11. */
  readonly u: "0" | "1";
  readonly opcode: string;
  /** Largest and smallest lane: log2 of bytes. */
  readonly sizes: readonly LaneSize[];
  /** Lane sizes of the scalar form. */
  readonly scalar?: readonly LaneSize[];
  readonly sem: (c: Context, size: LaneSize, operands: Operands) => Expr;
}

const ALL = [0, 1, 2, 3];
const BHS = [0, 1, 2];
const D = [3];

/** Rows that exist as signed (U = 0) and unsigned (U = 1). */
const both = (
  names: readonly [string, string],
  opcode: string,
  sizes: readonly LaneSize[],
  sem: (c: Context, signed: boolean, size: LaneSize, operands: Operands) => Expr,
  scalar?: readonly LaneSize[],
): LaneOperation[] =>
  (["0", "1"] as const).map((u, i) => ({
    name: names[i]!,
    u,
    opcode,
    sizes,
    ...(scalar && { scalar }),
    sem: (c, size, operands) => sem(c, u === "0", size, operands),
  }));

const shiftOf = (signed: boolean) => (signed ? vShrS : vShrU);

const OPERATIONS: readonly LaneOperation[] = [
  // Sums and differences halved without their lost bit: carries aside, a + b = (a ^ b) + 2 (a & b).
  ...both(["SHADD", "UHADD"], "00000", BHS, (_c, signed, size, { n, m }) =>
    vAdd(size, vAnd(n, m), shiftOf(signed)(size, vXor(n, m), 1)),
  ),
  ...both(["SRHADD", "URHADD"], "00010", BHS, (_c, signed, size, { n, m }) =>
    vSub(size, vOr(n, m), shiftOf(signed)(size, vXor(n, m), 1)),
  ),
  ...both(["SHSUB", "UHSUB"], "00100", BHS, (_c, signed, size, { n, m }) =>
    vSub(size, shiftOf(signed)(size, vXor(n, m), 1), vAndNot(m, n)),
  ),
  ...both(["SQADD", "UQADD"], "00001", ALL, (c, signed, size, { n, m }) => addSaturating(c, size, signed, n, m), ALL),
  ...both(["SQSUB", "UQSUB"], "00101", ALL, (c, signed, size, { n, m }) => subSaturating(c, size, signed, n, m), ALL),
  ...both(["CMGT", "CMHI"], "00110", ALL, (_c, signed, size, { n, m }) => vGt(size, signed, n, m), D),
  ...both(["CMGE", "CMHS"], "00111", ALL, (_c, signed, size, { n, m }) => vGe(size, signed, n, m), D),
  ...both(["SMAX", "UMAX"], "01100", BHS, (_c, signed, size, { n, m }) => vMax(size, signed, n, m)),
  ...both(["SMIN", "UMIN"], "01101", BHS, (_c, signed, size, { n, m }) => vMin(size, signed, n, m)),
  ...both(["SABD", "UABD"], "01110", BHS, (_c, signed, size, { n, m }) => absoluteDifference(size, signed, n, m)),
  ...both(["SABA", "UABA"], "01111", BHS, (_c, signed, size, { n, m, d }) =>
    vAdd(size, d(), absoluteDifference(size, signed, n, m)),
  ),
  ...both(
    ["ADD", "SUB"],
    "10000",
    ALL,
    (_c, isAdd, size, { n, m }) => (isAdd ? vAdd(size, n, m) : vSub(size, n, m)),
    D,
  ),
  ...both(
    ["CMTST", "CMEQ"],
    "10001",
    ALL,
    (_c, isTest, size, { n, m }) => (isTest ? vNe(size, vAnd(n, m), vectorZero) : vEq(size, n, m)),
    D,
  ),
  ...both(["MLA", "MLS"], "10010", BHS, (_c, isAdd, size, { n, m, d }) =>
    isAdd ? vAdd(size, d(), vMul(size, n, m)) : vSub(size, d(), vMul(size, n, m)),
  ),
  { name: "MUL", u: "0", opcode: "10011", sizes: BHS, sem: (_c, size, { n, m }) => vMul(size, n, m) },
  { name: "PMUL", u: "1", opcode: "10011", sizes: [0], sem: (c, _size, { n, m }) => polynomialMultiply8(c, n, m) },
  ...both(
    ["SQDMULH", "SQRDMULH"],
    "10110",
    [1, 2],
    (c, isPlain, size, { n, m }) => doublingHigh(c, size, !isPlain, n, m),
    [1, 2],
  ),
];

const isAllocated =
  (sizes: readonly LaneSize[]) =>
  ({ q, z }: Record<"q" | "z", number>): boolean =>
    sizes.includes(z) && (z !== 3 || q === 1);

function operate(c: Context, form: Form, { sem }: LaneOperation, f: Record<"n" | "m" | "d", Field>): void {
  const operands = { n: form.read(c, f.n), m: form.read(c, f.m), d: () => form.read(c, f.d) };
  form.write(c, f.d, sem(c, form.size, operands));
}

const laneWise: readonly Row[] = OPERATIONS.flatMap((operation) => {
  const { name, u, opcode, sizes, scalar } = operation;
  const text = (form: Form, { n, m, d }: Record<"n" | "m" | "d", number>) =>
    `${name.toLowerCase()} ${form.text(d)}, ${form.text(n)}, ${form.text(m)}`;
  const vectors = row(`0 q ${u} 01110 zz 1 mmmmm ${opcode as "oooo0"} 1 nnnnn ddddd`, {
    name: `${name} (vector)`,
    ...common,
    shape: ["q", "z"],
    allocated: isAllocated(sizes),
    sem: (c, { q, z, ...f }) => operate(c, vectorForm(z, q), operation, f),
    print: ({ q, z, ...f }) => text(vectorForm(z, q), f),
  });
  if (!scalar) return [vectors];
  const scalars = row(`01 ${u} 11110 zz 1 mmmmm ${opcode as "oooo0"} 1 nnnnn ddddd`, {
    name: `${name} (scalar)`,
    ...common,
    shape: ["z"],
    allocated: ({ z }) => scalar.includes(z),
    sem: (c, { z, ...f }) => operate(c, scalarForm(z), operation, f),
    print: ({ z, ...f }) => text(scalarForm(z), f),
  });
  return [vectors, scalars];
});

// Bitwise: U and size say which.

const BITWISE = [
  ["0", "00", "AND", ({ n, m }: Operands) => vAnd(n, m)],
  ["0", "01", "BIC", ({ n, m }: Operands) => vAndNot(n, m)],
  ["0", "10", "ORR", ({ n, m }: Operands) => vOr(n, m)],
  ["0", "11", "ORN", ({ n, m }: Operands) => vOr(n, vNot(m))],
  ["1", "00", "EOR", ({ n, m }: Operands) => vXor(n, m)],
  ["1", "01", "BSL", ({ n, m, d }: Operands) => bitSelect(d(), n, m)],
  ["1", "10", "BIT", ({ n, m, d }: Operands) => bitSelect(m, n, d())],
  ["1", "11", "BIF", ({ n, m, d }: Operands) => bitSelect(m, d(), n)],
] as const;

const bitwise = BITWISE.map(([u, z, name, sem]) =>
  row(`0 q ${u} 01110 ${z} 1 mmmmm 00011 1 nnnnn ddddd`, {
    name: `${name} (vector)`,
    ...common,
    shape: ["q"],
    sem: (c, { q, m, n, d }) => c.setVector(d, sem({ n: c.vector(n), m: c.vector(m), d: () => c.vector(d) }), q),
    print: ({ q, m, n, d }) =>
      name === "ORR" && n === m
        ? `mov ${vectorReg(0, q, d)}, ${vectorReg(0, q, n)}`
        : `${name.toLowerCase()} ${vectorReg(0, q, d)}, ${vectorReg(0, q, n)}, ${vectorReg(0, q, m)}`,
  }),
);

// Pairs of neighbours of Vn, then of Vm.

/** The first and the second of each pair, for both widths of register. */
function pairs(c: Context, { size, count }: Form, n: Expr, m: Expr): { readonly a: Expr; readonly b: Expr } {
  const lanes = (odd: number) => {
    const from = Array.from({ length: 16 >> size }, (_, i) => {
      const lane = 2 * (i % (count / 2)) + odd;
      return i >= count ? 0 : i < count / 2 ? lane : (16 >> size) + lane;
    });
    return c.tmp(shuffle(n, m, lanesToBytes(size, from)));
  };
  return { a: lanes(0), b: lanes(1) };
}

const PAIRWISE = [
  ["0", "10100", "SMAXP", BHS, (size: LaneSize, a: Expr, b: Expr) => vMax(size, true, a, b)],
  ["1", "10100", "UMAXP", BHS, (size: LaneSize, a: Expr, b: Expr) => vMax(size, false, a, b)],
  ["0", "10101", "SMINP", BHS, (size: LaneSize, a: Expr, b: Expr) => vMin(size, true, a, b)],
  ["1", "10101", "UMINP", BHS, (size: LaneSize, a: Expr, b: Expr) => vMin(size, false, a, b)],
  ["0", "10111", "ADDP", ALL, (size: LaneSize, a: Expr, b: Expr) => vAdd(size, a, b)],
] as const;

const pairwise = PAIRWISE.map(([u, opcode, name, sizes, sem]) =>
  row(`0 q ${u} 01110 zz 1 mmmmm ${opcode} 1 nnnnn ddddd`, {
    name: `${name} (vector)`,
    ...common,
    shape: ["q", "z"],
    allocated: isAllocated(sizes),
    sem: (c, { q, z, m, n, d }) => {
      const form = vectorForm(z, q);
      const { a, b } = pairs(c, form, form.read(c, n), form.read(c, m));
      form.write(c, d, sem(z, a, b));
    },
    print: ({ q, z, m, n, d }) =>
      `${name.toLowerCase()} ${vectorReg(z, q, d)}, ${vectorReg(z, q, n)}, ${vectorReg(z, q, m)}`,
  }),
);

// Shifts by the signed low byte of each lane of Vm: lane by lane, in helper functions.

interface RegisterShift {
  readonly name: string;
  readonly u: "0" | "1";
  readonly opcode: string;
  readonly rounding: number;
  readonly saturating: boolean;
}

const REGISTER_SHIFTS: readonly RegisterShift[] = (["0", "1"] as const).flatMap((u) => {
  const letter = u === "0" ? "S" : "U";
  return [
    { name: `${letter}SHL`, u, opcode: "01000", rounding: 0, saturating: false },
    { name: `${letter}QSHL`, u, opcode: "01001", rounding: 0, saturating: true },
    { name: `${letter}RSHL`, u, opcode: "01010", rounding: 1, saturating: false },
    { name: `${letter}QRSHL`, u, opcode: "01011", rounding: 1, saturating: true },
  ];
});

function shiftLanes(c: Context, form: Form, what: RegisterShift, f: Record<"n" | "m" | "d", Field>): void {
  const { size } = form;
  const bytes = 1 << size;
  const signed = what.u === "0";
  c.repeat(form.count, (i) => {
    const lane = c.lane(bytes, f.n, i, signed);
    const value = size === 3 ? lane : signed ? sext(lane) : zext(lane);
    const count = c.lane(1, f.m, shl(i, size), true);
    const rounding = i32(what.rounding);
    const result = what.saturating
      ? c.helper(signed ? "sqshl" : "uqshl", "i64", value, count, rounding, i32(bitsOf(size)))
      : c.helper(signed ? "sshl" : "ushl", "i64", value, count, rounding);
    c.setLane(bytes, f.d, i, size === 3 ? result : wrap(result));
  });
  form.clearAbove(c, f.d);
}

const registerShifts = REGISTER_SHIFTS.flatMap((what) => {
  const { name, u, opcode, saturating } = what;
  const text = (form: Form, { n, m, d }: Record<"n" | "m" | "d", number>) =>
    `${name.toLowerCase()} ${form.text(d)}, ${form.text(n)}, ${form.text(m)}`;
  return [
    row(`0 q ${u} 01110 zz 1 mmmmm ${opcode as "oooo0"} 1 nnnnn ddddd`, {
      name: `${name} (vector, register)`,
      ...common,
      shape: ["q", "z"],
      allocated: isAllocated(ALL),
      sem: (c, { q, z, ...f }) => shiftLanes(c, vectorForm(z, q), what, f),
      print: ({ q, z, ...f }) => text(vectorForm(z, q), f),
    }),
    row(`01 ${u} 11110 zz 1 mmmmm ${opcode as "oooo0"} 1 nnnnn ddddd`, {
      name: `${name} (scalar, register)`,
      ...common,
      shape: ["z"],
      allocated: ({ z }) => saturating || z === 3,
      sem: (c, { z, ...f }) => shiftLanes(c, scalarForm(z), what, f),
      print: ({ z, ...f }) => text(scalarForm(z), f),
    }),
  ];
});

export const simdThreeSameRows: readonly Row[] = [...laneWise, ...bitwise, ...pairwise, ...registerShifts];
