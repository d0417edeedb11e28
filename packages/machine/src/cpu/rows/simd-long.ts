/**
 * Advanced SIMD instructions whose operands and results have different widths: long, wide, narrowing to the high half.
 * DDI 0487, "Advanced SIMD three different", "Advanced SIMD scalar three different".
 */
import type { Context } from "./context.js";
import type { Expr } from "./expr.js";
import { absoluteDifference, addSaturating, bitsOf, narrow, subSaturating, widen, writeHalf } from "./lanes.js";
import { doublingWide, polynomialMultiplyWide8, wideProduct } from "./products.js";
import { type Row, row } from "./row.js";
import { scalarReg, vectorReg } from "./text.js";
import { extractLane, type LaneSize, splat, vAdd, vectorOf, vShrU, vSub } from "./vector.js";

const common = { group: "simd-data", fp: true, rare: true } as const;

/** Operands of lanes of `size`, of which the low (`q` 0) or the high half counts. */
export interface LongOperands {
  readonly size: LaneSize;
  readonly q: number;
  readonly signed: boolean;
  readonly n: Expr;
  readonly m: Expr;
  /** The destination's old value, wide lanes. */
  readonly d: () => Expr;
}
export type LongOperation = (c: Context, operands: LongOperands) => Expr;

const sum: LongOperation = (_c, { size, q, signed, n, m }) =>
  vAdd(size + 1, widen(size, q, signed, n), widen(size, q, signed, m));
const difference: LongOperation = (_c, { size, q, signed, n, m }) =>
  vSub(size + 1, widen(size, q, signed, n), widen(size, q, signed, m));
/** The difference of narrow lanes always fits in as many bits without a sign. */
const distance: LongOperation = (c, { size, q, signed, n, m }) =>
  widen(size, q, false, c.tmp(absoluteDifference(size, signed, n, m)));
export const product: LongOperation = (_c, { size, q, signed, n, m }) => wideProduct(size, q, signed, n, m);
export const doubled: LongOperation = (c, { size, q, n, m }) => doublingWide(c, size, q, n, m);

export const adding =
  (operation: LongOperation): LongOperation =>
  (c, operands) =>
    vAdd(operands.size + 1, operands.d(), operation(c, operands));
export const subtracting =
  (operation: LongOperation): LongOperation =>
  (c, operands) =>
    vSub(operands.size + 1, operands.d(), operation(c, operands));
/** With saturation of the product and of the sum, each of which sets QC. */
export const addingSaturated: LongOperation = (c, operands) =>
  addSaturating(c, operands.size + 1, true, c.tmp(operands.d()), c.tmp(doubled(c, operands)));
export const subtractingSaturated: LongOperation = (c, operands) =>
  subSaturating(c, operands.size + 1, true, c.tmp(operands.d()), c.tmp(doubled(c, operands)));

/** By bits 15:12; names without S or U. */
const LONG: readonly (readonly [string, string, LongOperation])[] = [
  ["ADDL", "0000", sum],
  ["SUBL", "0010", difference],
  ["ABAL", "0101", adding(distance)],
  ["ABDL", "0111", distance],
  ["MLAL", "1000", adding(product)],
  ["MLSL", "1010", subtracting(product)],
  ["MULL", "1100", product],
];

const SIGNS = [
  ["S", "0"],
  ["U", "1"],
] as const;

const longText = (mnemonic: string, q: number, z: number, { n, m, d }: Record<"n" | "m" | "d", number>) =>
  `${mnemonic}${q ? "2" : ""} ${vectorReg(z + 1, 1, d)}, ${vectorReg(z, q, n)}, ${vectorReg(z, q, m)}`;

const long = LONG.flatMap(([name, opcode, operation]) =>
  SIGNS.map(([letter, u]) =>
    row(`0 q ${u} 01110 zz 1 mmmmm ${opcode as "1010"} 00 nnnnn ddddd`, {
      name: `${letter}${name}, ${letter}${name}2`,
      ...common,
      shape: ["q", "z"],
      allocated: ({ z }) => z < 3,
      sem: (c, { q, z, m, n, d }) => {
        const operands = { size: z, q, signed: u === "0", d: () => c.vector(d) };
        c.setVector(d, operation(c, { ...operands, n: c.tmp(c.vector(n)), m: c.tmp(c.vector(m)) }));
      },
      print: ({ q, z, ...f }) => longText(`${letter}${name}`.toLowerCase(), q, z, f),
    }),
  ),
);

const DOUBLING: readonly (readonly [string, "1001" | "1011" | "1101", LongOperation])[] = [
  ["SQDMLAL", "1001", addingSaturated],
  ["SQDMLSL", "1011", subtractingSaturated],
  ["SQDMULL", "1101", doubled],
];

const doubling = DOUBLING.flatMap(([name, opcode, operation]): Row[] => [
  row(`0 q 0 01110 zz 1 mmmmm ${opcode} 00 nnnnn ddddd`, {
    name: `${name}, ${name}2 (vector)`,
    ...common,
    shape: ["q", "z"],
    allocated: ({ z }) => z === 1 || z === 2,
    sem: (c, { q, z, m, n, d }) =>
      c.setVector(d, operation(c, { size: z, q, signed: true, n: c.vector(n), m: c.vector(m), d: () => c.vector(d) })),
    print: ({ q, z, ...f }) => longText(name.toLowerCase(), q, z, f),
  }),
  row(`01 0 11110 zz 1 mmmmm ${opcode} 00 nnnnn ddddd`, {
    name: `${name} (scalar)`,
    ...common,
    shape: ["z"],
    allocated: ({ z }) => z === 1 || z === 2,
    sem: (c, { z, m, n, d }) => {
      const lane = (bytes: number, r: typeof n, size: number) => splat(size, c.scalar(bytes, r));
      const operands = { size: z, q: 0, signed: true, n: lane(1 << z, n, z), m: lane(1 << z, m, z) };
      const result = operation(c, { ...operands, d: () => lane(2 << z, d, z + 1) });
      c.setScalar(2 << z, d, extractLane(z + 1, result, 0));
    },
    print: ({ z, m, n, d }) => `${name.toLowerCase()} ${scalarReg(z + 1, d)}, ${scalarReg(z, n)}, ${scalarReg(z, m)}`,
  }),
]);

/** ADDW and SUBW: the first operand is wide already. */
const WIDE = [
  ["ADDW", "0001", vAdd],
  ["SUBW", "0011", vSub],
] as const;

const wide = WIDE.flatMap(([name, opcode, operation]) =>
  SIGNS.map(([letter, u]) =>
    row(`0 q ${u} 01110 zz 1 mmmmm ${opcode} 00 nnnnn ddddd`, {
      name: `${letter}${name}, ${letter}${name}2`,
      ...common,
      shape: ["q", "z"],
      allocated: ({ z }) => z < 3,
      sem: (c, { q, z, m, n, d }) => c.setVector(d, operation(z + 1, c.vector(n), widen(z, q, u === "0", c.vector(m)))),
      print: ({ q, z, m, n, d }) =>
        `${letter}${name}${q ? "2" : ""}`.toLowerCase() +
        ` ${vectorReg(z + 1, 1, d)}, ${vectorReg(z + 1, 1, n)}, ${vectorReg(z, q, m)}`,
    }),
  ),
);

/** The high halves of wide sums and differences; U rounds. */
const HIGH = [
  ["ADDHN", "0", "0100", vAdd],
  ["RADDHN", "1", "0100", vAdd],
  ["SUBHN", "0", "0110", vSub],
  ["RSUBHN", "1", "0110", vSub],
] as const;

const high = HIGH.map(([name, u, opcode, operation]) =>
  row(`0 q ${u} 01110 zz 1 mmmmm ${opcode} 00 nnnnn ddddd`, {
    name: `${name}, ${name}2`,
    ...common,
    shape: ["q", "z"],
    allocated: ({ z }) => z < 3,
    sem: (c, { q, z, m, n, d }) => {
      const exact = operation(z + 1, c.vector(n), c.vector(m));
      const rounded = u === "1" ? vAdd(z + 1, exact, vectorOf(z + 1, 1n << BigInt(bitsOf(z) - 1))) : exact;
      writeHalf(c, q, d, narrow(z, vShrU(z + 1, rounded, bitsOf(z))));
    },
    print: ({ q, z, m, n, d }) =>
      `${name.toLowerCase()}${q ? "2" : ""} ${vectorReg(z, q, d)}, ${vectorReg(z + 1, 1, n)}, ${vectorReg(z + 1, 1, m)}`,
  }),
);

const polynomial = [
  row("0 q 0 01110 00 1 mmmmm 1110 00 nnnnn ddddd", {
    name: "PMULL, PMULL2 (8-bit)",
    ...common,
    shape: ["q"],
    sem: (c, { q, m, n, d }) => {
      const wideOf = (r: typeof n) => c.tmp(widen(0, q, false, c.vector(r)));
      c.setVector(d, polynomialMultiplyWide8(c, wideOf(n), wideOf(m)));
    },
    print: ({ q, ...f }) => longText("pmull", q, 0, f),
  }),
  row("0 q 0 01110 11 1 mmmmm 1110 00 nnnnn ddddd", {
    name: "PMULL, PMULL2 (64-bit)",
    ...common,
    shape: ["q"],
    sem: (c, { q, m, n, d }) => c.setVector(d, c.helper("pmull64", "v128", c.lane(8, n, q), c.lane(8, m, q))),
    print: ({ q, m, n, d }) => `pmull${q ? "2" : ""} v${d}.1q, ${vectorReg(3, q, n)}, ${vectorReg(3, q, m)}`,
  }),
];

export const simdLongRows: readonly Row[] = [...long, ...doubling, ...wide, ...high, ...polynomial];
