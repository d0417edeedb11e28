/**
 * Advanced SIMD shifts by an immediate. DDI 0487, "Advanced SIMD shift by immediate", "Advanced SIMD scalar shift by
 * immediate".
 *
 * The highest set bit of immh tells the lane's size; a row is drawn for each, with the bits below as its field `i`. A
 * left shift is by i, a right shift by the lane's bits minus i.
 */
import type { Context } from "./context.js";
import { type Expr, type Field, sub } from "./expr.js";
import {
  bitsOf,
  type Form,
  type Narrowing,
  narrow,
  narrowing,
  raiseQc,
  scalarForm,
  shiftRight,
  shiftRightRounding,
  signMask,
  vectorForm,
  widen,
  writeHalf,
} from "./lanes.js";
import { type Row, row } from "./row.js";
import { SCALARS, scalarReg, vectorReg } from "./text.js";
import {
  bitSelect,
  extractLane,
  type LaneSize,
  splat,
  vAdd,
  vectorOf,
  vNe,
  vNot,
  vOr,
  vShl,
  vShrS,
  vShrU,
  vXor,
} from "./vector.js";

const common = { group: "simd-data", fp: true, rare: true } as const;

/** immh:immb by lane size. */
const IMMEDIATES = ["0001iii", "001iiii", "01iiiii", "1iiiiii"] as const;

const ONES = vectorOf(3, -1n);

interface Shift {
  readonly name: string;
  /** Bit 29, and bits 15:11. */
  readonly u: "0" | "1";
  readonly opcode: string;
  readonly left: boolean;
  /** Lane sizes of the scalar form. */
  readonly scalar: readonly LaneSize[];
  /** `count` is 1 to the lane's bits to the right, 0 to its bits less one to the left. */
  readonly sem: (c: Context, size: LaneSize, n: Expr, count: Expr, d: () => Expr) => Expr;
}

const ALL = [0, 1, 2, 3];
const D = [3];

const right = (u: "0" | "1") => {
  const letter = u === "0" ? "S" : "U";
  const signed = u === "0";
  return [
    {
      ...{ name: `${letter}SHR`, u, opcode: "00000", left: false, scalar: D },
      sem: (c, size, n, count) => shiftRight(c, size, signed, n, count),
    },
    {
      ...{ name: `${letter}SRA`, u, opcode: "00010", left: false, scalar: D },
      sem: (c, size, n, count, d) => vAdd(size, d(), shiftRight(c, size, signed, n, count)),
    },
    {
      ...{ name: `${letter}RSHR`, u, opcode: "00100", left: false, scalar: D },
      sem: (c, size, n, count) => shiftRightRounding(c, size, signed, n, count),
    },
    {
      ...{ name: `${letter}RSRA`, u, opcode: "00110", left: false, scalar: D },
      sem: (c, size, n, count, d) => vAdd(size, d(), shiftRightRounding(c, size, signed, n, count)),
    },
  ] satisfies Shift[];
};

/** To the left with saturation: what does not come back was lost. */
function shiftLeftSaturating(
  c: Context,
  size: LaneSize,
  { from, to }: { from: "signed" | "unsigned"; to: "signed" | "unsigned" },
  n: Expr,
  count: Expr,
): Expr {
  const shifted = c.tmp(vShl(size, n, count));
  const back = (to === "signed" ? vShrS : vShrU)(size, shifted, count);
  const lost = vNe(size, back, n);
  if (from === "unsigned") {
    const mask = c.tmp(lost);
    raiseQc(c, mask);
    return vOr(shifted, mask);
  }
  const negative = c.tmp(signMask(size, n));
  const mask = c.tmp(to === "signed" ? lost : vOr(lost, negative));
  raiseQc(c, mask);
  const most = to === "signed" ? vXor(negative, vectorOf(size, (1n << BigInt(bitsOf(size) - 1)) - 1n)) : vNot(negative);
  return bitSelect(mask, most, shifted);
}

const SHIFTS: readonly Shift[] = [
  ...right("0"),
  ...right("1"),
  {
    ...{ name: "SRI", u: "1", opcode: "01000", left: false, scalar: D },
    sem: (c, size, n, count, d) =>
      bitSelect(shiftRight(c, size, false, ONES, count), shiftRight(c, size, false, n, count), d()),
  },
  {
    ...{ name: "SHL", u: "0", opcode: "01010", left: true, scalar: D },
    sem: (_c, size, n, count) => vShl(size, n, count),
  },
  {
    ...{ name: "SLI", u: "1", opcode: "01010", left: true, scalar: D },
    sem: (_c, size, n, count, d) => bitSelect(vShl(size, ONES, count), vShl(size, n, count), d()),
  },
  {
    ...{ name: "SQSHL", u: "0", opcode: "01110", left: true, scalar: ALL },
    sem: (c, size, n, count) => shiftLeftSaturating(c, size, { from: "signed", to: "signed" }, n, count),
  },
  {
    ...{ name: "UQSHL", u: "1", opcode: "01110", left: true, scalar: ALL },
    sem: (c, size, n, count) => shiftLeftSaturating(c, size, { from: "unsigned", to: "unsigned" }, n, count),
  },
  {
    ...{ name: "SQSHLU", u: "1", opcode: "01100", left: true, scalar: ALL },
    sem: (c, size, n, count) => shiftLeftSaturating(c, size, { from: "signed", to: "unsigned" }, n, count),
  },
];

const shifts = SHIFTS.flatMap((shift) =>
  IMMEDIATES.flatMap((immediate, size): Row[] => {
    const { name, u, opcode, left, scalar } = shift;
    const operate = (c: Context, form: Form, { i, n, d }: Record<"i" | "n" | "d", Field>) => {
      const count = c.tmp(left ? i : sub(bitsOf(size), i));
      form.write(
        c,
        d,
        shift.sem(c, size, form.read(c, n), count, () => form.read(c, d)),
      );
    };
    const text = (form: Form, { i, n, d }: Record<"i" | "n" | "d", number>) =>
      `${name.toLowerCase()} ${form.text(d)}, ${form.text(n)}, #${left ? i : bitsOf(size) - i}`;
    const letter = SCALARS[size].toUpperCase();
    return [
      row(`0 q ${u} 011110 ${immediate as "1iiiiii"} ${opcode as "01010"} 1 nnnnn ddddd`, {
        name: `${name} (vector, immediate), ${letter}`,
        ...common,
        shape: ["q"],
        allocated: ({ q }) => size < 3 || q === 1,
        sem: (c, { q, ...f }) => operate(c, vectorForm(size, q), f),
        print: ({ q, ...f }) => text(vectorForm(size, q), f),
      }),
      ...(scalar.includes(size)
        ? [
            row(`01 ${u} 111110 ${immediate as "1iiiiii"} ${opcode as "01010"} 1 nnnnn ddddd`, {
              name: `${name} (scalar, immediate), ${letter}`,
              ...common,
              sem: (c, f) => operate(c, scalarForm(size), f),
              print: (f) => text(scalarForm(size), f),
            }),
          ]
        : []),
    ];
  }),
);

interface NarrowingShift {
  readonly name: string;
  readonly u: "0" | "1";
  readonly opcode: string;
  readonly rounding: boolean;
  readonly how: Narrowing;
}

const NARROWINGS: readonly NarrowingShift[] = [
  { name: "SHRN", u: "0", opcode: "10000", rounding: false, how: "truncate" },
  { name: "RSHRN", u: "0", opcode: "10001", rounding: true, how: "truncate" },
  { name: "SQSHRN", u: "0", opcode: "10010", rounding: false, how: "signed" },
  { name: "SQRSHRN", u: "0", opcode: "10011", rounding: true, how: "signed" },
  { name: "SQSHRUN", u: "1", opcode: "10000", rounding: false, how: "signed to unsigned" },
  { name: "SQRSHRUN", u: "1", opcode: "10001", rounding: true, how: "signed to unsigned" },
  { name: "UQSHRN", u: "1", opcode: "10010", rounding: false, how: "unsigned" },
  { name: "UQRSHRN", u: "1", opcode: "10011", rounding: true, how: "unsigned" },
];

const narrowings = NARROWINGS.flatMap(({ name, u, opcode, rounding, how }) =>
  IMMEDIATES.slice(0, 3).flatMap((immediate, size): Row[] => {
    const signed = how === "signed" || how === "signed to unsigned";
    const shifted = (c: Context, wide: Expr, i: Field) => {
      const shift = rounding ? shiftRightRounding : shiftRight;
      return narrowing(c, size, how, shift(c, size + 1, signed, wide, c.tmp(sub(bitsOf(size), i))));
    };
    const mnemonic = name.toLowerCase();
    const letter = SCALARS[size].toUpperCase();
    const vectors = row(`0 q ${u} 011110 ${immediate as "1iiiiii"} ${opcode as "01010"} 1 nnnnn ddddd`, {
      name: `${name}, ${name}2, ${letter}`,
      ...common,
      shape: ["q"],
      sem: (c, { q, i, n, d }) => writeHalf(c, q, d, narrow(size, shifted(c, c.tmp(c.vector(n)), i))),
      print: ({ q, i, n, d }) =>
        `${mnemonic}${q ? "2" : ""} ${vectorReg(size, q, d)}, ${vectorReg(size + 1, 1, n)}, #${bitsOf(size) - i}`,
    });
    if (how === "truncate") return [vectors];
    return [
      vectors,
      row(`01 ${u} 111110 ${immediate as "1iiiiii"} ${opcode as "01010"} 1 nnnnn ddddd`, {
        name: `${name} (scalar), ${letter}`,
        ...common,
        sem: (c, { i, n, d }) => {
          const wide = c.tmp(splat(size + 1, c.scalar(2 << size, n)));
          c.setScalar(1 << size, d, extractLane(size, shifted(c, wide, i), 0));
        },
        print: ({ i, n, d }) => `${mnemonic} ${scalarReg(size, d)}, ${scalarReg(size + 1, n)}, #${bitsOf(size) - i}`,
      }),
    ];
  }),
);

const widenings = (["0", "1"] as const).flatMap((u) =>
  IMMEDIATES.slice(0, 3).map((immediate, size) => {
    const letter = u === "0" ? "s" : "u";
    return row(`0 q ${u} 011110 ${immediate as "1iiiiii"} 10100 1 nnnnn ddddd`, {
      name: `${letter.toUpperCase()}SHLL, ${letter.toUpperCase()}SHLL2, ${SCALARS[size].toUpperCase()}`,
      ...common,
      shape: ["q"],
      sem: (c, { q, i, n, d }) => c.setVector(d, vShl(size + 1, widen(size, q, u === "0", c.vector(n)), i)),
      print: ({ q, i, n, d }) => {
        const registers = `${vectorReg(size + 1, 1, d)}, ${vectorReg(size, q, n)}`;
        const suffix = q ? "2" : "";
        return i === 0 ? `${letter}xtl${suffix} ${registers}` : `${letter}shll${suffix} ${registers}, #${i}`;
      },
    });
  }),
);

export const simdShiftRows: readonly Row[] = [...shifts, ...narrowings, ...widenings];
