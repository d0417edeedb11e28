/**
 * Floating point of Advanced SIMD: on the lanes of vectors, and its scalar forms. DDI 0487, "Data Processing -- Scalar
 * Floating-Point and Advanced SIMD", the classes "Advanced SIMD …". Conversions are in fp-vector-convert.ts.
 *
 * `z` is the format of the lanes: 0 single, 1 double. FEAT_FP16's lanes and later extensions (FCMLA, FMLAL, BFDOT, …)
 * are not allocated here.
 */
import type { Context } from "./context.js";
import { constant, type Expr } from "./expr.js";
import { absolute, arithmetic, bytesOf, formatBits, negated, oneOperand, patternType } from "./fp-scalar.js";
import { row } from "./row.js";
import { laneReg, scalarReg, vectorReg } from "./text.js";
import { extractLane, replaceLane, splat, vAndNot, vectorOf, vectorZero, vXor } from "./vector.js";

export const common = { group: "fp-data", fp: true, rare: true } as const;

/** Lanes of a vector of 64 (`q` 0) or 128 bits. */
export const laneCount = (z: number, q: number): number => (q ? 16 : 8) / bytesOf(z);

/** A vector whose lanes of `size` (log2 of bytes) are computed one by one, in order; zeros above. */
export function lanes(c: Context, size: number, count: number, compute: (lane: number) => Expr): Expr {
  let vector = vectorZero;
  for (let lane = 0; lane < count; lane++) vector = c.tmp(replaceLane(size, vector, lane, compute(lane)));
  return vector;
}

/** Lane `lane` of a vector of singles or doubles. */
const laneOf = (z: number, vector: Expr, lane: number): Expr => extractLane(2 + z, vector, lane);

/** A helper over whole vectors, by the name of the one over lanes, without the format. */
const onVectors = (c: Context, z: number, name: string, ...operands: readonly Expr[]): Expr =>
  c.helper(`v${name}${formatBits(z)}`, "v128", ...operands);

/** What a three-operand instruction does with one lane: `c`, format, destination's old value, operands. */
type LaneOperation = (c: Context, z: number, d: Expr, n: Expr, m: Expr) => Expr;

/** The same of whole vectors. */
type VectorOperation = LaneOperation;

const helper =
  (name: string): LaneOperation =>
  (c, z, _d, n, m) =>
    arithmetic(c, z, name, n, m);

/** The helper over whole vectors of the same name. */
const whole =
  (name: string): VectorOperation =>
  (c, z, _d, n, m) =>
    onVectors(c, z, name, n, m);

interface ThreeSame {
  readonly name: string;
  readonly u: 0 | 1;
  readonly a: 0 | 1;
  readonly opcode: string;
  readonly operation: LaneOperation;
  /** The same on whole vectors, where there is a helper for them. */
  readonly vectors?: VectorOperation;
  /** The first operand's lanes in pairs, then the second's. */
  readonly pairwise?: boolean;
  /** Reads the destination. */
  readonly accumulates?: boolean;
  /** Has an Advanced SIMD scalar form. */
  readonly scalar?: boolean;
}

const fmla: LaneOperation = (c, z, d, n, m) => arithmetic(c, z, "fmuladd", d, n, m);
const fmls: LaneOperation = (c, z, d, n, m) => arithmetic(c, z, "fmuladd", d, negated(z, n), m);
const fabd: LaneOperation = (c, z, _d, n, m) => absolute(z, arithmetic(c, z, "fsub", n, m));

/** A sign bit, or all other bits, in every lane. */
const signs = (z: number): Expr => vectorOf(2 + z, z ? 1n << 63n : 1n << 31n);
const vNegated = (z: number, v: Expr): Expr => vXor(v, signs(z));
const vAbsolute = (z: number, v: Expr): Expr => vAndNot(v, signs(z));

const vfmla: VectorOperation = (c, z, d, n, m) => onVectors(c, z, "fmuladd", d, n, m);
const vfmls: VectorOperation = (c, z, d, n, m) => onVectors(c, z, "fmuladd", d, vNegated(z, n), m);
const vfabd: VectorOperation = (c, z, _d, n, m) => vAbsolute(z, onVectors(c, z, "fsub", n, m));

const THREE_SAME: readonly ThreeSame[] = [
  { name: "fmaxnm", u: 0, a: 0, opcode: "11000", operation: helper("fmaxnm"), vectors: whole("fmaxnm") },
  { name: "fmla", u: 0, a: 0, opcode: "11001", operation: fmla, vectors: vfmla, accumulates: true },
  { name: "fadd", u: 0, a: 0, opcode: "11010", operation: helper("fadd"), vectors: whole("fadd") },
  { name: "fmulx", u: 0, a: 0, opcode: "11011", operation: helper("fmulx"), scalar: true },
  { name: "fcmeq", u: 0, a: 0, opcode: "11100", operation: helper("fcmeq"), vectors: whole("fcmeq"), scalar: true },
  { name: "fmax", u: 0, a: 0, opcode: "11110", operation: helper("fmax"), vectors: whole("fmax") },
  { name: "frecps", u: 0, a: 0, opcode: "11111", operation: helper("frecps"), scalar: true },
  { name: "fminnm", u: 0, a: 1, opcode: "11000", operation: helper("fminnm"), vectors: whole("fminnm") },
  { name: "fmls", u: 0, a: 1, opcode: "11001", operation: fmls, vectors: vfmls, accumulates: true },
  { name: "fsub", u: 0, a: 1, opcode: "11010", operation: helper("fsub"), vectors: whole("fsub") },
  { name: "fmin", u: 0, a: 1, opcode: "11110", operation: helper("fmin"), vectors: whole("fmin") },
  { name: "frsqrts", u: 0, a: 1, opcode: "11111", operation: helper("frsqrts"), scalar: true },
  { name: "fmaxnmp", u: 1, a: 0, opcode: "11000", operation: helper("fmaxnm"), pairwise: true },
  { name: "faddp", u: 1, a: 0, opcode: "11010", operation: helper("fadd"), pairwise: true },
  { name: "fmul", u: 1, a: 0, opcode: "11011", operation: helper("fmul"), vectors: whole("fmul") },
  { name: "fcmge", u: 1, a: 0, opcode: "11100", operation: helper("fcmge"), vectors: whole("fcmge"), scalar: true },
  { name: "facge", u: 1, a: 0, opcode: "11101", operation: helper("facge"), vectors: whole("facge"), scalar: true },
  { name: "fmaxp", u: 1, a: 0, opcode: "11110", operation: helper("fmax"), pairwise: true },
  { name: "fdiv", u: 1, a: 0, opcode: "11111", operation: helper("fdiv"), vectors: whole("fdiv") },
  { name: "fminnmp", u: 1, a: 1, opcode: "11000", operation: helper("fminnm"), pairwise: true },
  { name: "fabd", u: 1, a: 1, opcode: "11010", operation: fabd, vectors: vfabd, scalar: true },
  { name: "fcmgt", u: 1, a: 1, opcode: "11100", operation: helper("fcmgt"), vectors: whole("fcmgt"), scalar: true },
  { name: "facgt", u: 1, a: 1, opcode: "11101", operation: helper("facgt"), vectors: whole("facgt"), scalar: true },
  { name: "fminp", u: 1, a: 1, opcode: "11110", operation: helper("fmin"), pairwise: true },
];

/** A double's vector has two lanes, never one. */
const vectorExists = ({ q, z }: Readonly<Record<"q" | "z", number>>): boolean => q === 1 || z === 0;

/** The upper lanes of a 64-bit vector are zero, and zero divided by zero raises IOC. */
const upperLanesAreHarmless = (name: string): boolean => name !== "fdiv";

const threeSame = THREE_SAME.map(({ name, u, a, opcode, operation, vectors, pairwise, accumulates }) =>
  row(`0 q ${u} 01110 ${a} z 1 mmmmm ${opcode} 1 nnnnn ddddd` as "q z m n d", {
    name: `${name.toUpperCase()} (vector)`,
    ...common,
    shape: ["q", "z"],
    allocated: vectorExists,
    sem: (c, { q, z, m, n, d }) => {
      const [first, second] = [c.tmp(c.vector(n, q)), c.tmp(c.vector(m, q))];
      const old = accumulates ? c.tmp(c.vector(d, q)) : vectorZero;
      if (vectors && (q || upperLanesAreHarmless(name))) {
        c.setVector(d, vectors(c, z, old, first, second), q);
        return;
      }
      const count = laneCount(z, q);
      const paired = (i: number) => laneOf(z, i < count ? first : second, i % count);
      const result = lanes(c, 2 + z, count, (i) => {
        const [x, y] = pairwise ? [paired(2 * i), paired(2 * i + 1)] : [laneOf(z, first, i), laneOf(z, second, i)];
        return operation(c, z, laneOf(z, old, i), x, y);
      });
      c.setVector(d, result, q);
    },
    print: ({ q, z, m, n, d }) => `${name} ${[d, n, m].map((r) => vectorReg(2 + z, q, r)).join(", ")}`,
  }),
);

const scalarThreeSame = THREE_SAME.filter(({ scalar }) => scalar).map(({ name, u, a, opcode, operation }) =>
  row(`01 ${u} 11110 ${a} z 1 mmmmm ${opcode} 1 nnnnn ddddd` as "z m n d", {
    name: `${name.toUpperCase()} (Advanced SIMD scalar)`,
    ...common,
    shape: ["z"],
    sem: (c, { z, m, n, d }) => {
      const [first, second] = [n, m].map((r) => c.scalar(bytesOf(z), r));
      c.setScalar(bytesOf(z), d, operation(c, z, constant(patternType(z), 0), first, second));
    },
    print: ({ z, m, n, d }) => `${name} ${[d, n, m].map((r) => scalarReg(2 + z, r)).join(", ")}`,
  }),
);

// By element: the second operand is one lane, whose number is H:L of singles and H of doubles.

const BY_ELEMENT = [
  { name: "fmla", u: 0, opcode: "0001", operation: fmla, vectors: vfmla, accumulates: true },
  { name: "fmls", u: 0, opcode: "0101", operation: fmls, vectors: vfmls, accumulates: true },
  { name: "fmul", u: 0, opcode: "1001", operation: helper("fmul"), vectors: whole("fmul"), accumulates: false },
  { name: "fmulx", u: 1, opcode: "1001", operation: helper("fmulx"), vectors: undefined, accumulates: false },
] as const;

const elementIndex = (z: number, h: number, l: number): number => (z ? h : 2 * h + l);

const byElement = BY_ELEMENT.flatMap(({ name, u, opcode, operation, vectors, accumulates }) => [
  row(`0 q ${u} 0111 11 z l mmmmm ${opcode} h 0 nnnnn ddddd` as "q z l m h n d", {
    name: `${name.toUpperCase()} (by element)`,
    ...common,
    shape: ["q", "z", "l", "h"],
    allocated: ({ q, z, l }) => vectorExists({ q, z }) && !(z && l),
    sem: (c, { q, z, l, m, h, n, d }) => {
      const first = c.tmp(c.vector(n, q));
      const element = c.tmp(c.lane(bytesOf(z), m, elementIndex(z, h, l)));
      const old = accumulates ? c.tmp(c.vector(d, q)) : vectorZero;
      // In the upper lanes of a 64-bit vector an element would meet zeros: an infinite one would raise IOC.
      if (vectors && q) {
        c.setVector(d, vectors(c, z, old, first, splat(2 + z, element)));
        return;
      }
      const result = lanes(c, 2 + z, laneCount(z, q), (i) =>
        operation(c, z, laneOf(z, old, i), laneOf(z, first, i), element),
      );
      c.setVector(d, result, q);
    },
    print: ({ q, z, l, m, h, n, d }) =>
      `${name} ${vectorReg(2 + z, q, d)}, ${vectorReg(2 + z, q, n)}, ${laneReg(2 + z, m, elementIndex(z, h, l))}`,
  }),
  row(`01 ${u} 1111 11 z l mmmmm ${opcode} h 0 nnnnn ddddd` as "z l m h n d", {
    name: `${name.toUpperCase()} (by element, scalar)`,
    ...common,
    shape: ["z", "l", "h"],
    allocated: ({ z, l }) => !(z && l),
    sem: (c, { z, l, m, h, n, d }) => {
      const element = c.lane(bytesOf(z), m, elementIndex(z, h, l));
      const value = operation(c, z, c.scalar(bytesOf(z), d), c.scalar(bytesOf(z), n), element);
      c.setScalar(bytesOf(z), d, value);
    },
    print: ({ z, l, m, h, n, d }) =>
      `${name} ${scalarReg(2 + z, d)}, ${scalarReg(2 + z, n)}, ${laneReg(2 + z, m, elementIndex(z, h, l))}`,
  }),
]);

// Pairwise to a scalar, and across lanes. U is 1.

const PAIRWISE = [
  { name: "fmaxnmp", a: 0, opcode: "01100", operation: "fmaxnm" },
  { name: "faddp", a: 0, opcode: "01101", operation: "fadd" },
  { name: "fmaxp", a: 0, opcode: "01111", operation: "fmax" },
  { name: "fminnmp", a: 1, opcode: "01100", operation: "fminnm" },
  { name: "fminp", a: 1, opcode: "01111", operation: "fmin" },
] as const;

const pairwiseScalar = PAIRWISE.map(({ name, a, opcode, operation }) =>
  row(`011 11110 ${a} z 11000 ${opcode} 10 nnnnn ddddd` as "z n d", {
    name: `${name.toUpperCase()} (scalar)`,
    ...common,
    shape: ["z"],
    sem: (c, { z, n, d }) =>
      c.setScalar(bytesOf(z), d, arithmetic(c, z, operation, c.lane(bytesOf(z), n, 0), c.lane(bytesOf(z), n, 1))),
    print: ({ z, n, d }) => `${name} ${scalarReg(2 + z, d)}, ${vectorReg(2 + z, z, n)}`,
  }),
);

const acrossLanes = PAIRWISE.filter(({ operation }) => operation !== "fadd").map(({ a, opcode, operation }) =>
  row(`011 01110 ${a} 0 11000 ${opcode} 10 nnnnn ddddd` as "n d", {
    name: `${operation.toUpperCase()}V`,
    ...common,
    sem: (c, { n, d }) => {
      // Halves first: the order decides between NaNs. DDI 0487, "Reduce".
      const pair = (i: number) => c.tmp(arithmetic(c, 0, operation, c.lane(4, n, i), c.lane(4, n, i + 1)));
      const [low, high] = [pair(0), pair(2)];
      c.setScalar(4, d, arithmetic(c, 0, operation, low, high));
    },
    print: ({ n, d }) => `${operation}v ${scalarReg(2, d)}, ${vectorReg(2, 1, n)}`,
  }),
);

// Two registers: one operand to one result of the format.

interface OneOperand {
  readonly name: string;
  readonly u: 0 | 1;
  readonly a: 0 | 1;
  readonly opcode: string;
  /** Has a vector form, a scalar form, or both. */
  readonly forms: "vector" | "scalar" | "both";
  /** There is a helper over whole vectors. */
  readonly whole?: true;
  /** A comparison with zero: the helper, and whether zero is its first operand. */
  readonly zero?: readonly [helper: string, first: boolean];
}

const ONE_OPERAND: readonly OneOperand[] = [
  { name: "frintn", u: 0, a: 0, opcode: "11000", forms: "vector", whole: true },
  { name: "frintm", u: 0, a: 0, opcode: "11001", forms: "vector", whole: true },
  { name: "fcmgt", u: 0, a: 1, opcode: "01100", forms: "both", whole: true, zero: ["fcmgt", false] },
  { name: "fcmeq", u: 0, a: 1, opcode: "01101", forms: "both", whole: true, zero: ["fcmeq", false] },
  { name: "fcmlt", u: 0, a: 1, opcode: "01110", forms: "both", whole: true, zero: ["fcmgt", true] },
  { name: "fabs", u: 0, a: 1, opcode: "01111", forms: "vector", whole: true },
  { name: "frintp", u: 0, a: 1, opcode: "11000", forms: "vector", whole: true },
  { name: "frintz", u: 0, a: 1, opcode: "11001", forms: "vector", whole: true },
  { name: "frecpe", u: 0, a: 1, opcode: "11101", forms: "both" },
  { name: "frecpx", u: 0, a: 1, opcode: "11111", forms: "scalar" },
  { name: "frinta", u: 1, a: 0, opcode: "11000", forms: "vector" },
  { name: "frintx", u: 1, a: 0, opcode: "11001", forms: "vector" },
  { name: "fcmge", u: 1, a: 1, opcode: "01100", forms: "both", whole: true, zero: ["fcmge", false] },
  { name: "fcmle", u: 1, a: 1, opcode: "01101", forms: "both", whole: true, zero: ["fcmge", true] },
  { name: "fneg", u: 1, a: 1, opcode: "01111", forms: "vector", whole: true },
  { name: "frinti", u: 1, a: 1, opcode: "11001", forms: "vector" },
  { name: "frsqrte", u: 1, a: 1, opcode: "11101", forms: "both" },
  { name: "fsqrt", u: 1, a: 1, opcode: "11111", forms: "vector", whole: true },
];

/** On one lane. */
function onLane(c: Context, z: number, { name, zero }: OneOperand, value: Expr): Expr {
  if (!zero) return oneOperand(c, z, name, value);
  const none = constant(patternType(z), 0);
  return arithmetic(c, z, zero[0], ...(zero[1] ? [none, value] : [value, none]));
}

/** On all lanes at once. */
function onWhole(c: Context, z: number, { name, zero }: OneOperand, value: Expr): Expr {
  if (name === "fabs") return vAbsolute(z, value);
  if (name === "fneg") return vNegated(z, value);
  if (!zero) return onVectors(c, z, name, value);
  return onVectors(c, z, zero[0], ...(zero[1] ? [vectorZero, value] : [value, vectorZero]));
}

const oneOperandRows = ONE_OPERAND.flatMap((instruction) => {
  const { name, u, a, opcode, forms, whole, zero } = instruction;
  const suffix = zero ? ", #0.0" : "";
  const title = name.toUpperCase() + (zero ? ", zero" : "");
  const vector = row(`0 q ${u} 01110 ${a} z 10000 ${opcode} 10 nnnnn ddddd` as "q z n d", {
    name: `${title} (vector)`,
    ...common,
    shape: ["q", "z"],
    allocated: vectorExists,
    sem: (c, { q, z, n, d }) => {
      const source = c.tmp(c.vector(n, q));
      const result = whole
        ? c.tmp(onWhole(c, z, instruction, source))
        : lanes(c, 2 + z, laneCount(z, q), (i) => onLane(c, z, instruction, laneOf(z, source, i)));
      c.setVector(d, result, q);
    },
    print: ({ q, z, n, d }) => `${name} ${vectorReg(2 + z, q, d)}, ${vectorReg(2 + z, q, n)}${suffix}`,
  });
  const scalar = row(`01 ${u} 11110 ${a} z 10000 ${opcode} 10 nnnnn ddddd` as "z n d", {
    name: `${title} (Advanced SIMD scalar)`,
    ...common,
    shape: ["z"],
    sem: (c, { z, n, d }) => c.setScalar(bytesOf(z), d, onLane(c, z, instruction, c.scalar(bytesOf(z), n))),
    print: ({ z, n, d }) => `${name} ${scalarReg(2 + z, d)}, ${scalarReg(2 + z, n)}${suffix}`,
  });
  return forms === "both" ? [vector, scalar] : [forms === "vector" ? vector : scalar];
});

const unsignedEstimates = (["urecpe", "ursqrte"] as const).map((name, u) =>
  row(`0 q ${u} 01110 10 10000 11100 10 nnnnn ddddd` as "q n d", {
    name: name.toUpperCase(),
    ...common,
    shape: ["q"],
    sem: (c, { q, n, d }) => {
      const source = c.tmp(c.vector(n));
      c.setVector(
        d,
        lanes(c, 2, laneCount(0, q), (i) => c.helper(name, "i32", laneOf(0, source, i))),
        q,
      );
    },
    print: ({ q, n, d }) => `${name} ${vectorReg(2, q, d)}, ${vectorReg(2, q, n)}`,
  }),
);

export const fpVectorRows = [
  ...threeSame,
  ...scalarThreeSame,
  ...byElement,
  ...pairwiseScalar,
  ...acrossLanes,
  ...oneOperandRows,
  ...unsignedEstimates,
];
