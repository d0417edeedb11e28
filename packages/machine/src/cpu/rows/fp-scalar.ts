/**
 * Scalar floating point: arithmetic, comparison, selection, conversion. DDI 0487, "Data Processing -- Scalar
 * Floating-Point and Advanced SIMD", the floating-point classes. Moves are in simd-move.ts.
 *
 * Arithmetic is the interpreter's helpers' (interpreter/fp-helpers.ts), which also raise FPSR's flags. `t` is the format:
 * 0 single, 1 double. Without FEAT_FP16 half precision is converted only.
 */
import { Control, Rounding } from "../fp/index.js";
import type { Context } from "./context.js";
import { and, choose, constant, type Expr, type IntType, i32, or, shl, sub, xor, zext } from "./expr.js";
import { row } from "./row.js";
import { CONDITIONS, imm, reg, scalarReg } from "./text.js";

const common = { group: "fp-data", fp: true } as const;

/** The integer type that holds a format's bit patterns. */
export const patternType = (t: number): IntType => (t ? "i64" : "i32");
/** In helpers' names. */
export const formatBits = (t: number): 32 | 64 => (t ? 64 : 32);
export const bytesOf = (t: number): number => (t ? 8 : 4);

/** The sign inverted, or cleared: no arithmetic, so that NaNs pass and no flag is raised. */
export const negated = (t: number, bits: Expr): Expr => xor(bits, constant(patternType(t), t ? 1n << 63n : 1n << 31n));
export const absolute = (t: number, bits: Expr): Expr =>
  and(bits, constant(patternType(t), t ? (1n << 63n) - 1n : (1n << 31n) - 1n));

/** A helper over one format, by its name without the format: result and operands are of it. */
export const arithmetic = (c: Context, t: number, name: string, ...operands: readonly Expr[]): Expr =>
  c.helper(`${name}${formatBits(t)}`, patternType(t), ...operands);

/** A scalar register of a format, as text. */
const fpReg = (t: number, n: number): string => scalarReg(2 + t, n);

const TWO_SOURCES = ["fmul", "fdiv", "fadd", "fsub", "fmax", "fmin", "fmaxnm", "fminnm", "fnmul"];

const twoSources = TWO_SOURCES.map((name, opcode) =>
  row(`000111100 t 1 mmmmm ${opcode.toString(2).padStart(4, "0")} 10 nnnnn ddddd` as "t m n d", {
    name: `${name.toUpperCase()} (scalar)`,
    ...common,
    shape: ["t"],
    sem: (c, { t, m, n, d }) => {
      const operands = [c.scalar(bytesOf(t), n), c.scalar(bytesOf(t), m)];
      const value =
        name === "fnmul" ? negated(t, arithmetic(c, t, "fmul", ...operands)) : arithmetic(c, t, name, ...operands);
      c.setScalar(bytesOf(t), d, value);
    },
    print: ({ t, m, n, d }) => `${name} ${fpReg(t, d)}, ${fpReg(t, n)}, ${fpReg(t, m)}`,
  }),
);

const multiplyAdd = row("000111110 t p mmmmm o aaaaa nnnnn ddddd", {
  name: "FMADD, FMSUB, FNMADD, FNMSUB",
  ...common,
  shape: ["t", "p", "o"],
  sem: (c, { t, p, m, o, a, n, d }) => {
    const [addend, op1, op2] = [a, n, m].map((r) => c.scalar(bytesOf(t), r));
    const value = arithmetic(c, t, "fmuladd", p ? negated(t, addend) : addend, p === o ? op1 : negated(t, op1), op2);
    c.setScalar(bytesOf(t), d, value);
  },
  print: ({ t, p, m, o, a, n, d }) =>
    `f${p ? "n" : ""}m${o ? "sub" : "add"} ${fpReg(t, d)}, ${fpReg(t, n)}, ${fpReg(t, m)}, ${fpReg(t, a)}`,
});

/** By opcode. */
const ONE_SOURCE: readonly (readonly [string, string])[] = [
  ["000001", "fabs"],
  ["000010", "fneg"],
  ["000011", "fsqrt"],
  ["001000", "frintn"],
  ["001001", "frintp"],
  ["001010", "frintm"],
  ["001011", "frintz"],
  ["001100", "frinta"],
  ["001110", "frintx"],
  ["001111", "frinti"],
];

/** FABS, FNEG, or a helper of that name. */
export function oneOperand(c: Context, t: number, name: string, value: Expr): Expr {
  if (name === "fabs") return absolute(t, value);
  return name === "fneg" ? negated(t, value) : arithmetic(c, t, name, value);
}

const oneSource = ONE_SOURCE.map(([opcode, name]) =>
  row(`000111100 t 1 ${opcode} 10000 nnnnn ddddd` as "t n d", {
    name: `${name.toUpperCase()} (scalar)`,
    ...common,
    shape: ["t"],
    sem: (c, { t, n, d }) => c.setScalar(bytesOf(t), d, oneOperand(c, t, name, c.scalar(bytesOf(t), n))),
    print: ({ t, n, d }) => `${name} ${fpReg(t, d)}, ${fpReg(t, n)}`,
  }),
);

/** `type` and the opcode's low bits: 00 single, 01 double, 11 half; log2 of the bytes. */
const FORMATS = [
  { type: "00", size: 2 },
  { type: "01", size: 3 },
  { type: "11", size: 1 },
] as const;

const betweenFormats = FORMATS.flatMap((from) =>
  FORMATS.filter((to) => to !== from).map((to) =>
    row(`00011110 ${from.type} 1 0001${to.type} 10000 nnnnn ddddd` as "n d", {
      name: `FCVT, ${"HSD"[from.size - 1]} to ${"HSD"[to.size - 1]}`,
      ...common,
      sem: (c, { n, d }) => {
        const name = `fcvt${8 << from.size}to${8 << to.size}`;
        c.setScalar(1 << to.size, d, c.helper(name, patternType(to.size === 3 ? 1 : 0), c.scalar(1 << from.size, n)));
      },
      print: ({ n, d }) => `fcvt ${scalarReg(to.size, d)}, ${scalarReg(from.size, n)}`,
    }),
  ),
);

const zeroOf = (t: number): Expr => constant(patternType(t), 0);
/** NZCV of a comparison. */
const compared = (c: Context, t: number, name: string, a: Expr, b: Expr): Expr =>
  c.helper(`${name}${formatBits(t)}`, "i32", a, b);

const comparisons = (["fcmp", "fcmpe"] as const).flatMap((name) => {
  const e = name === "fcmpe" ? "1" : "0";
  return [
    row(`000111100 t 1 mmmmm 001000 nnnnn ${e}0000` as "t m n", {
      name: `${name.toUpperCase()} (register)`,
      ...common,
      shape: ["t"],
      sem: (c, { t, m, n }) => c.setNzcv(compared(c, t, name, c.scalar(bytesOf(t), n), c.scalar(bytesOf(t), m))),
      print: ({ t, m, n }) => `${name} ${fpReg(t, n)}, ${fpReg(t, m)}`,
    }),
    row(`000111100 t 1 mmmmm 001000 nnnnn ${e}1000` as "t m n", {
      name: `${name.toUpperCase()} (zero)`,
      ...common,
      shape: ["t"],
      unpredictable: ({ m }) => m !== 0,
      sem: (c, { t, n }) => c.setNzcv(compared(c, t, name, c.scalar(bytesOf(t), n), zeroOf(t))),
      print: ({ t, n }) => `${name} ${fpReg(t, n)}, #0.0`,
    }),
    row(`000111100 t 1 mmmmm cccc 01 nnnnn ${e} vvvv` as "t m c n v", {
      name: name.replace("fcmp", "fccmp").toUpperCase(),
      ...common,
      shape: ["t"],
      sem: (ctx, { t, m, c, n, v }) => {
        const result = compared(ctx, t, name, ctx.scalar(bytesOf(t), n), ctx.scalar(bytesOf(t), m));
        ctx.setNzcv(choose(ctx.condition(c), result, shl(v, 28)));
      },
      print: ({ t, m, c, n, v }) =>
        `${name.replace("fcmp", "fccmp")} ${fpReg(t, n)}, ${fpReg(t, m)}, ${imm(v)}, ${CONDITIONS[c]}`,
    }),
  ];
});

const selection = row("000111100 t 1 mmmmm cccc 11 nnnnn ddddd", {
  name: "FCSEL",
  ...common,
  shape: ["t"],
  sem: (ctx, { t, m, c, n, d }) =>
    ctx.setScalar(bytesOf(t), d, choose(ctx.condition(c), ctx.scalar(bytesOf(t), n), ctx.scalar(bytesOf(t), m))),
  print: ({ t, m, c, n, d }) => `fcsel ${fpReg(t, d)}, ${fpReg(t, n)}, ${fpReg(t, m)}, ${CONDITIONS[c]}`,
});

/** rmode, opcode without its lowest bit, and the letter of the rounding. */
const TO_INTEGER = [
  ["00", "00", "n"],
  ["01", "00", "p"],
  ["10", "00", "m"],
  ["11", "00", "z"],
  ["00", "10", "a"],
] as const;

const SIGNS = [
  { u: "0", letter: "s", flag: 0 },
  { u: "1", letter: "u", flag: Control.UNSIGNED },
] as const;

const toInteger = TO_INTEGER.flatMap(([rmode, opcode, rounding]) =>
  SIGNS.map(({ u, letter }) =>
    row(`f00111100 t 1 ${rmode} ${opcode}${u} 000000 nnnnn ddddd` as "f t n d", {
      name: `FCVT${rounding}${letter} (scalar)`.toUpperCase().replace("SCALAR", "scalar"),
      ...common,
      shape: ["f", "t"],
      sem: (c, { f, t, n, d }) => {
        const name = `fcvt${rounding}${letter}${formatBits(t)}to${f ? 64 : 32}`;
        c.set(f, d, c.helper(name, f ? "i64" : "i32", c.scalar(bytesOf(t), n)));
      },
      print: ({ f, t, n, d }) => `fcvt${rounding}${letter} ${reg(f, d)}, ${fpReg(t, n)}`,
    }),
  ),
);

const fromInteger = SIGNS.map(({ u, letter }) =>
  row(`f00111100 t 1 00 01${u} 000000 nnnnn ddddd` as "f t n d", {
    name: `${letter.toUpperCase()}CVTF (scalar, integer)`,
    ...common,
    shape: ["f", "t"],
    sem: (c, { f, t, n, d }) =>
      c.setScalar(
        bytesOf(t),
        d,
        c.helper(`${letter}cvtf${f ? 64 : 32}to${formatBits(t)}`, patternType(t), c.get(f, n)),
      ),
    print: ({ f, t, n, d }) => `${letter}cvtf ${fpReg(t, d)}, ${reg(f, n)}`,
  }),
);

/** A helper's second operand for fixed-point numbers with `fraction` bits (i32) below the point. */
export const fixedControl = (flags: number, fraction: Expr): Expr =>
  or(shl(fraction, Control.FRACTION_SHIFT), i32(flags));

/** Widened to 64 bits without sign, or cut to the type. */
export const widened = (value: Expr): Expr => (value.type === "i64" ? value : zext(value));
export const cut = (type: IntType, value: Expr): Expr =>
  type === "i64" ? value : { op: "wrap", type: "i32", arg: value };

const fixedPoint = SIGNS.flatMap(({ u, letter, flag }) => [
  row(`f00111100 t 0 00 01${u} ssssss nnnnn ddddd` as "f t s n d", {
    name: `${letter.toUpperCase()}CVTF (scalar, fixed-point)`,
    ...common,
    rare: true,
    shape: ["f", "t"],
    allocated: ({ f, s }) => f === 1 || s >= 32,
    sem: (c, { f, t, s, n, d }) => {
      const control = fixedControl(flag | (f ? Control.WIDE : 0), sub(64, s));
      const value = c.helper(`ffromfixed${formatBits(t)}`, "i64", widened(c.get(f, n)), control);
      c.setScalar(bytesOf(t), d, cut(patternType(t), value));
    },
    print: ({ f, t, s, n, d }) => `${letter}cvtf ${fpReg(t, d)}, ${reg(f, n)}, #${64 - s}`,
  }),
  row(`f00111100 t 0 11 00${u} ssssss nnnnn ddddd` as "f t s n d", {
    name: `FCVTZ${letter.toUpperCase()} (scalar, fixed-point)`,
    ...common,
    rare: true,
    shape: ["f", "t"],
    allocated: ({ f, s }) => f === 1 || s >= 32,
    sem: (c, { f, t, s, n, d }) => {
      const control = fixedControl(flag | (f ? Control.WIDE : 0) | Rounding.ZERO, sub(64, s));
      const value = c.helper(`ftofixed${formatBits(t)}`, "i64", widened(c.scalar(bytesOf(t), n)), control);
      c.set(f, d, cut(f ? "i64" : "i32", value));
    },
    print: ({ f, t, s, n, d }) => `fcvtz${letter} ${reg(f, d)}, ${fpReg(t, n)}, #${64 - s}`,
  }),
]);

export const fpScalarRows = [
  ...twoSources,
  multiplyAdd,
  ...oneSource,
  ...betweenFormats,
  ...comparisons,
  selection,
  ...toInteger,
  ...fromInteger,
  ...fixedPoint,
];
