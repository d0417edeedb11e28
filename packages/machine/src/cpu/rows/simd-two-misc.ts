/**
 * Advanced SIMD instructions of two registers, across lanes, and of a pair of lanes.
 * DDI 0487, "Advanced SIMD two-register miscellaneous", "Advanced SIMD across lanes", "Advanced SIMD scalar two-register
 * miscellaneous", "Advanced SIMD scalar pairwise".
 */
import type { Context } from "./context.js";
import { add, type Expr, type Field } from "./expr.js";
import {
  addSignedToUnsigned,
  addUnsignedToSigned,
  bitsOf,
  type Form,
  type Narrowing,
  narrow,
  narrowing,
  negateSaturating,
  scalarForm,
  signMask,
  vectorForm,
  widen,
  writeHalf,
} from "./lanes.js";
import { type Row, row } from "./row.js";
import { scalarReg, vectorReg } from "./text.js";
import {
  extractLane,
  type LaneSize,
  popcountBytes,
  shuffle,
  splat,
  vAbs,
  vAdd,
  vAnd,
  vEq,
  vectorOf,
  vectorZero,
  vGe,
  vGt,
  vMax,
  vMin,
  vNeg,
  vNot,
  vOr,
  vShl,
  vShrS,
  vShrU,
  vSub,
  vXor,
} from "./vector.js";

const common = { group: "simd-data", fp: true, rare: true } as const;

interface LaneOperation {
  readonly name: string;
  /** Bit 29, and bits 16:12. */
  readonly u: "0" | "1";
  readonly opcode: string;
  readonly sizes: readonly LaneSize[];
  readonly scalar?: readonly LaneSize[];
  /** What follows the operands in the text. */
  readonly suffix?: string;
  readonly sem: (c: Context, size: LaneSize, n: Expr, d: () => Expr) => Expr;
}

const ALL = [0, 1, 2, 3];
const BHS = [0, 1, 2];
const D = [3];

/** Bytes reversed within parts of `part` bytes, lanes of `size` kept whole. */
function reverse(part: number, size: LaneSize, n: Expr): Expr {
  const lane = 1 << size;
  const from = Array.from({ length: 16 }, (_, i) => {
    const within = i % part;
    return i - within + (part - lane - (within - (within % lane))) + (within % lane);
  });
  return shuffle(n, n, from);
}

/** Set bits of lanes of 1 to 4 bytes, each at most 255. */
function popcount(c: Context, size: LaneSize, n: Expr): Expr {
  let count = popcountBytes(n);
  for (let bits = 8; bits < bitsOf(size); bits *= 2) {
    const parts = c.tmp(count);
    count = vAdd(size, parts, vShl(size, parts, bits));
  }
  return size === 0 ? count : vShrU(size, count, bitsOf(size) - 8);
}

/** Leading zeros of lanes of 1 to 4 bytes: the bits that are zero once the highest one has spread downwards. */
function leadingZeros(c: Context, size: LaneSize, n: Expr): Expr {
  let spread = n;
  for (let by = 1; by < bitsOf(size); by *= 2) {
    const before = c.tmp(spread);
    spread = vOr(before, vShrU(size, before, by));
  }
  return popcount(c, size, c.tmp(vNot(spread)));
}

/** Bits reversed within each byte. */
function reverseBits(c: Context, n: Expr): Expr {
  let value = n;
  for (const [by, mask] of [
    [4, 0x0f],
    [2, 0x33],
    [1, 0x55],
  ] as const) {
    const before = c.tmp(value);
    const low = vectorOf(0, mask);
    value = vOr(vShl(0, vAnd(before, low), by), vAnd(vShrU(0, before, by), low));
  }
  return value;
}

/** Sums of neighbours, as wide as both. `size` is that of the narrow lane. */
function pairSums(size: LaneSize, signed: boolean, n: Expr): Expr {
  const shift = signed ? vShrS : vShrU;
  const bits = bitsOf(size);
  return vAdd(size + 1, shift(size + 1, vShl(size + 1, n, bits), bits), shift(size + 1, n, bits));
}

const COMPARES = [
  ["CMGT", "0", "01000", (size: LaneSize, n: Expr) => vGt(size, true, n, vectorZero)],
  ["CMGE", "1", "01000", (size: LaneSize, n: Expr) => vGe(size, true, n, vectorZero)],
  ["CMEQ", "0", "01001", (size: LaneSize, n: Expr) => vEq(size, n, vectorZero)],
  ["CMLE", "1", "01001", (size: LaneSize, n: Expr) => vGe(size, true, vectorZero, n)],
  ["CMLT", "0", "01010", (size: LaneSize, n: Expr) => vGt(size, true, vectorZero, n)],
] as const;

const OPERATIONS: readonly LaneOperation[] = [
  { name: "REV64", u: "0", opcode: "00000", sizes: BHS, sem: (_c, size, n) => reverse(8, size, n) },
  { name: "REV32", u: "1", opcode: "00000", sizes: [0, 1], sem: (_c, size, n) => reverse(4, size, n) },
  { name: "REV16", u: "0", opcode: "00001", sizes: [0], sem: (_c, size, n) => reverse(2, size, n) },
  {
    ...{ name: "SUQADD", u: "0", opcode: "00011", sizes: ALL, scalar: ALL },
    sem: (c, size, n, d) => addUnsignedToSigned(c, size, d(), n),
  },
  {
    ...{ name: "USQADD", u: "1", opcode: "00011", sizes: ALL, scalar: ALL },
    sem: (c, size, n, d) => addSignedToUnsigned(c, size, d(), n),
  },
  {
    ...{ name: "CLS", u: "0", opcode: "00100", sizes: BHS },
    // Bits that differ from the sign; the sign itself does not count.
    sem: (c, size, n) => vSub(size, leadingZeros(c, size, vXor(n, signMask(size, n))), vectorOf(size, 1)),
  },
  { name: "CLZ", u: "1", opcode: "00100", sizes: BHS, sem: (c, size, n) => leadingZeros(c, size, n) },
  { name: "CNT", u: "0", opcode: "00101", sizes: [0], sem: (_c, _size, n) => popcountBytes(n) },
  {
    ...{ name: "SQABS", u: "0", opcode: "00111", sizes: ALL, scalar: ALL },
    sem: (c, size, n) => negateSaturating(c, size, n, c.tmp(signMask(size, n))),
  },
  {
    ...{ name: "SQNEG", u: "1", opcode: "00111", sizes: ALL, scalar: ALL },
    sem: (c, size, n) => negateSaturating(c, size, n, vectorOf(3, -1n)),
  },
  { name: "ABS", u: "0", opcode: "01011", sizes: ALL, scalar: D, sem: (_c, size, n) => vAbs(size, n) },
  { name: "NEG", u: "1", opcode: "01011", sizes: ALL, scalar: D, sem: (_c, size, n) => vNeg(size, n) },
  ...COMPARES.map(([name, u, opcode, sem]) => ({
    ...{ name: `${name} (zero)`, u, opcode, sizes: ALL, scalar: D, suffix: ", #0" },
    sem: (_c: Context, size: LaneSize, n: Expr) => sem(size, n),
  })),
];

function operate(c: Context, form: Form, { sem }: LaneOperation, { n, d }: Record<"n" | "d", Field>): void {
  form.write(
    c,
    d,
    sem(c, form.size, form.read(c, n), () => form.read(c, d)),
  );
}

const laneWise: readonly Row[] = OPERATIONS.flatMap((operation) => {
  const { name, u, opcode, sizes, scalar, suffix = "" } = operation;
  const mnemonic = name.split(" ")[0].toLowerCase();
  const text = (form: Form, { n, d }: Record<"n" | "d", number>) =>
    `${mnemonic} ${form.text(d)}, ${form.text(n)}${suffix}`;
  const vectors = row(`0 q ${u} 01110 zz 10000 ${opcode as "01010"} 10 nnnnn ddddd`, {
    name: `${name}, vector`,
    ...common,
    shape: ["q", "z"],
    allocated: ({ q, z }) => sizes.includes(z) && (z !== 3 || q === 1),
    sem: (c, { q, z, ...f }) => operate(c, vectorForm(z, q), operation, f),
    print: ({ q, z, ...f }) => text(vectorForm(z, q), f),
  });
  if (!scalar) return [vectors];
  const scalars = row(`01 ${u} 11110 zz 10000 ${opcode as "01010"} 10 nnnnn ddddd`, {
    name: `${name}, scalar`,
    ...common,
    shape: ["z"],
    allocated: ({ z }) => scalar.includes(z),
    sem: (c, { z, ...f }) => operate(c, scalarForm(z), operation, f),
    print: ({ z, ...f }) => text(scalarForm(z), f),
  });
  return [vectors, scalars];
});

// The size field is part of the opcode here.
const bytes: readonly Row[] = [
  row("0 q 1 01110 00 10000 00101 10 nnnnn ddddd", {
    name: "NOT",
    ...common,
    shape: ["q"],
    sem: (c, { q, n, d }) => c.setVector(d, vNot(c.vector(n)), q),
    print: ({ q, n, d }) => `mvn ${vectorReg(0, q, d)}, ${vectorReg(0, q, n)}`,
  }),
  row("0 q 1 01110 01 10000 00101 10 nnnnn ddddd", {
    name: "RBIT (vector)",
    ...common,
    shape: ["q"],
    sem: (c, { q, n, d }) => c.setVector(d, reverseBits(c, c.vector(n)), q),
    print: ({ q, n, d }) => `rbit ${vectorReg(0, q, d)}, ${vectorReg(0, q, n)}`,
  }),
];

const PAIR_SUMS = [
  ["SADDLP", "0", "00010", true, false],
  ["UADDLP", "1", "00010", false, false],
  ["SADALP", "0", "00110", true, true],
  ["UADALP", "1", "00110", false, true],
] as const;

const pairSumRows = PAIR_SUMS.map(([name, u, opcode, signed, accumulate]) =>
  row(`0 q ${u} 01110 zz 10000 ${opcode} 10 nnnnn ddddd`, {
    name,
    ...common,
    shape: ["q", "z"],
    allocated: ({ z }) => z < 3,
    sem: (c, { q, z, n, d }) => {
      const sums = pairSums(z, signed, c.tmp(c.vector(n)));
      c.setVector(d, accumulate ? vAdd(z + 1, c.vector(d), sums) : sums, q);
    },
    print: ({ q, z, n, d }) => `${name.toLowerCase()} ${vectorReg(z + 1, q, d)}, ${vectorReg(z, q, n)}`,
  }),
);

const NARROWINGS: readonly (readonly [string, "0" | "1", "10010" | "10100", Narrowing])[] = [
  ["XTN", "0", "10010", "truncate"],
  ["SQXTUN", "1", "10010", "signed to unsigned"],
  ["SQXTN", "0", "10100", "signed"],
  ["UQXTN", "1", "10100", "unsigned"],
];

const narrowings = NARROWINGS.flatMap(([name, u, opcode, how]) => {
  const mnemonic = name.toLowerCase();
  const vectors: Row = row(`0 q ${u} 01110 zz 10000 ${opcode} 10 nnnnn ddddd`, {
    name: `${name}, ${name}2`,
    ...common,
    shape: ["q", "z"],
    allocated: ({ z }) => z < 3,
    sem: (c, { q, z, n, d }) => writeHalf(c, q, d, narrow(z, narrowing(c, z, how, c.vector(n)))),
    print: ({ q, z, n, d }) => `${mnemonic}${q ? "2" : ""} ${vectorReg(z, q, d)}, ${vectorReg(z + 1, 1, n)}`,
  });
  if (how === "truncate") return [vectors];
  const scalars: Row = row(`01 ${u} 11110 zz 10000 ${opcode} 10 nnnnn ddddd`, {
    name: `${name} (scalar)`,
    ...common,
    shape: ["z"],
    allocated: ({ z }) => z < 3,
    sem: (c, { z, n, d }) => {
      const wide = splat(z + 1, c.scalar(2 << z, n));
      c.setScalar(1 << z, d, extractLane(z, narrowing(c, z, how, wide), 0));
    },
    print: ({ z, n, d }) => `${mnemonic} ${scalarReg(z, d)}, ${scalarReg(z + 1, n)}`,
  });
  return [vectors, scalars];
});

const shll = row("0 q 1 01110 zz 10000 10011 10 nnnnn ddddd", {
  name: "SHLL, SHLL2",
  ...common,
  shape: ["q", "z"],
  allocated: ({ z }) => z < 3,
  sem: (c, { q, z, n, d }) => c.setVector(d, vShl(z + 1, widen(z, q, false, c.vector(n)), bitsOf(z))),
  print: ({ q, z, n, d }) => `shll${q ? "2" : ""} ${vectorReg(z + 1, 1, d)}, ${vectorReg(z, q, n)}, #${bitsOf(z)}`,
});

// Across lanes

/** All lanes of the register combined, in lane 0: the upper half is folded onto the lower, and so on. */
function fold(c: Context, size: LaneSize, q: number, n: Expr, combine: (a: Expr, b: Expr) => Expr): Expr {
  let value = n;
  for (let by = q ? 8 : 4; by >= 1 << size; by /= 2) {
    const before = c.tmp(value);
    const moved = Array.from({ length: 16 }, (_, i) => (i + by) % 16);
    value = combine(before, shuffle(before, before, moved));
  }
  return value;
}

const LONG_SUMS = [
  ["SADDLV", "0", true],
  ["UADDLV", "1", false],
] as const;

const FOLDS = [
  ["ADDV", "0", "11011", (size: LaneSize) => (a: Expr, b: Expr) => vAdd(size, a, b)],
  ["SMAXV", "0", "01010", (size: LaneSize) => (a: Expr, b: Expr) => vMax(size, true, a, b)],
  ["UMAXV", "1", "01010", (size: LaneSize) => (a: Expr, b: Expr) => vMax(size, false, a, b)],
  ["SMINV", "0", "11010", (size: LaneSize) => (a: Expr, b: Expr) => vMin(size, true, a, b)],
  ["UMINV", "1", "11010", (size: LaneSize) => (a: Expr, b: Expr) => vMin(size, false, a, b)],
] as const;

const hasLanes = ({ q, z }: Record<"q" | "z", number>): boolean => z < 2 || (z === 2 && q === 1);

const acrossLanes = [
  ...FOLDS.map(([name, u, opcode, combine]) =>
    row(`0 q ${u} 01110 zz 11000 ${opcode} 10 nnnnn ddddd`, {
      name,
      ...common,
      shape: ["q", "z"],
      allocated: hasLanes,
      sem: (c, { q, z, n, d }) => c.setScalar(1 << z, d, extractLane(z, fold(c, z, q, c.vector(n), combine(z)), 0)),
      print: ({ q, z, n, d }) => `${name.toLowerCase()} ${scalarReg(z, d)}, ${vectorReg(z, q, n)}`,
    }),
  ),
  ...LONG_SUMS.map(([name, u, signed]) =>
    row(`0 q ${u} 01110 zz 11000 00011 10 nnnnn ddddd`, {
      name,
      ...common,
      shape: ["q", "z"],
      allocated: hasLanes,
      sem: (c, { q, z, n, d }) => {
        const sums = pairSums(z, signed, c.tmp(c.vector(n)));
        const sum = fold(c, z + 1, q, sums, (a, b) => vAdd(z + 1, a, b));
        c.setScalar(2 << z, d, extractLane(z + 1, sum, 0));
      },
      print: ({ q, z, n, d }) => `${name.toLowerCase()} ${scalarReg(z + 1, d)}, ${vectorReg(z, q, n)}`,
    }),
  ),
  row("01 0 11110 11 11000 11011 10 nnnnn ddddd", {
    name: "ADDP (scalar)",
    ...common,
    sem: (c, { n, d }) => c.setScalar(8, d, add(c.lane(8, n, 0), c.lane(8, n, 1))),
    print: ({ n, d }) => `addp ${scalarReg(3, d)}, ${vectorReg(3, 1, n)}`,
  }),
];

export const simdTwoMiscRows: readonly Row[] = [
  ...laneWise,
  ...bytes,
  ...pairSumRows,
  ...narrowings,
  shll,
  ...acrossLanes,
];
