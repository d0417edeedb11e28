/**
 * Conversions of Advanced SIMD: between formats, to and from integers and fixed point, on the lanes of vectors and in the
 * scalar forms. DDI 0487, "Advanced SIMD two-register miscellaneous", "… scalar two-register miscellaneous", "… shift by
 * immediate", "… scalar shift by immediate".
 */
import { Control, Rounding } from "../fp/index.js";
import type { Context } from "./context.js";
import { type Expr, sub } from "./expr.js";
import { bytesOf, cut, fixedControl, formatBits, patternType, widened } from "./fp-scalar.js";
import { common, laneCount, lanes } from "./fp-vector.js";
import { row } from "./row.js";
import { scalarReg, vectorReg } from "./text.js";
import { bitSelect, extractLane, shuffle, vectorBytes } from "./vector.js";

const vectorExists = ({ q, z }: Readonly<Record<"q" | "z", number>>): boolean => q === 1 || z === 0;

// To and from integers of the lane's size.

const TO_INTEGER = [
  { rounding: "n", a: 0, opcode: "11010" },
  { rounding: "p", a: 1, opcode: "11010" },
  { rounding: "m", a: 0, opcode: "11011" },
  { rounding: "z", a: 1, opcode: "11011" },
  { rounding: "a", a: 0, opcode: "11100" },
] as const;

const INTEGER = (["s", "u"] as const).flatMap((letter, u) => [
  ...TO_INTEGER.map(({ rounding, a, opcode }) => ({
    ...{ u, a, opcode },
    name: `fcvt${rounding}${letter}`,
    helper: (bits: number) => `fcvt${rounding}${letter}${bits}to${bits}`,
  })),
  {
    ...{ u, a: 0, opcode: "11101" },
    name: `${letter}cvtf`,
    helper: (bits: number) => `${letter}cvtf${bits}to${bits}`,
  },
]);

/** Those that have a helper for whole vectors, of singles. */
const ON_VECTORS = ["scvtf", "ucvtf", "fcvtzs", "fcvtzu"];

const integers = INTEGER.flatMap(({ name, u, a, opcode, helper }) => {
  const convert = (c: Context, z: number, value: Expr) => c.helper(helper(formatBits(z)), patternType(z), value);
  return [
    row(`0 q ${u} 01110 ${a} z 10000 ${opcode} 10 nnnnn ddddd` as "q z n d", {
      name: `${name.toUpperCase()} (vector, integer)`,
      ...common,
      shape: ["q", "z"],
      allocated: vectorExists,
      sem: (c, { q, z, n, d }) => {
        const source = c.tmp(c.vector(n, q));
        const result =
          z === 0 && ON_VECTORS.includes(name)
            ? c.tmp(c.helper(`v${helper(32)}`, "v128", source))
            : lanes(c, 2 + z, laneCount(z, q), (i) => convert(c, z, extractLane(2 + z, source, i)));
        c.setVector(d, result, q);
      },
      print: ({ q, z, n, d }) => `${name} ${vectorReg(2 + z, q, d)}, ${vectorReg(2 + z, q, n)}`,
    }),
    row(`01 ${u} 11110 ${a} z 10000 ${opcode} 10 nnnnn ddddd` as "z n d", {
      name: `${name.toUpperCase()} (Advanced SIMD scalar, integer)`,
      ...common,
      shape: ["z"],
      sem: (c, { z, n, d }) => c.setScalar(bytesOf(z), d, convert(c, z, c.scalar(bytesOf(z), n))),
      print: ({ z, n, d }) => `${name} ${scalarReg(2 + z, d)}, ${scalarReg(2 + z, n)}`,
    }),
  ];
});

// Fixed point: the fraction bits are the lane's bits less what the immediate is above immh's highest bit.

const FIXED = (["s", "u"] as const).flatMap((letter, u) => {
  const flag = letter === "u" ? Control.UNSIGNED : 0;
  return [
    { u, opcode: "11100", name: `${letter}cvtf`, helper: "ffromfixed", flags: flag },
    { u, opcode: "11111", name: `fcvtz${letter}`, helper: "ftofixed", flags: flag | Rounding.ZERO },
  ];
});

/** immh is 01xx of singles, 1xxx of doubles. */
const LANES = [
  { z: 0, immediate: "01 iiiii" },
  { z: 1, immediate: "1 iiiiii" },
] as const;

const fixedPoint = FIXED.flatMap(({ u, opcode, name, helper, flags }) =>
  LANES.flatMap(({ z, immediate }) => {
    const bits = formatBits(z);
    const convert = (c: Context, value: Expr, i: Expr) => {
      const control = fixedControl(flags | (z ? Control.WIDE : 0), sub(bits, i));
      return cut(patternType(z), c.helper(`${helper}${bits}`, "i64", widened(value), control));
    };
    const title = `${name.toUpperCase()} (fixed-point, ${z ? "D" : "S"}`;
    return [
      row(`0 q ${u} 011110 ${immediate} ${opcode} 1 nnnnn ddddd` as "q i n d", {
        name: `${title}, vector)`,
        ...common,
        shape: ["q"],
        allocated: ({ q }) => vectorExists({ q, z }),
        sem: (c, { q, i, n, d }) => {
          const source = c.tmp(c.vector(n));
          const result = lanes(c, 2 + z, laneCount(z, q), (at) => convert(c, extractLane(2 + z, source, at), i));
          c.setVector(d, result, q);
        },
        print: ({ q, i, n, d }) => `${name} ${vectorReg(2 + z, q, d)}, ${vectorReg(2 + z, q, n)}, #${bits - i}`,
      }),
      row(`01 ${u} 111110 ${immediate} ${opcode} 1 nnnnn ddddd` as "i n d", {
        name: `${title}, scalar)`,
        ...common,
        sem: (c, { i, n, d }) => c.setScalar(bytesOf(z), d, convert(c, c.scalar(bytesOf(z), n), i)),
        print: ({ i, n, d }) => `${name} ${scalarReg(2 + z, d)}, ${scalarReg(2 + z, n)}, #${bits - i}`,
      }),
    ];
  }),
);

// Between formats: `z` 0 is half and single, 1 is single and double.

/** Sets the low half (`upper` 0, zeros above) or the upper half (the rest stays) to the low 8 bytes of `value`. */
function setHalf(c: Context, d: Expr, upper: number, value: Expr): void {
  if (!upper) {
    c.setVector(d, value, 0);
    return;
  }
  const moved = shuffle(value, value, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]);
  const high = vectorBytes([0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1]);
  c.setVector(d, bitSelect(high, moved, c.vector(d)));
}

/** `q`: the upper half of the narrow register. */
const betweenFormats = [
  row("0 q 0 011100 z 10000 10111 10 nnnnn ddddd", {
    name: "FCVTL, FCVTL2",
    ...common,
    shape: ["q", "z"],
    sem: (c, { q, z, n, d }) => {
      const source = c.tmp(c.vector(n));
      const count = laneCount(z, 1);
      const result = lanes(c, 2 + z, count, (i) =>
        c.helper(`fcvt${16 << z}to${32 << z}`, patternType(z), extractLane(1 + z, source, q * count + i)),
      );
      c.setVector(d, result);
    },
    print: ({ q, z, n, d }) => `fcvtl${q ? "2" : ""} ${vectorReg(2 + z, 1, d)}, ${vectorReg(1 + z, q, n)}`,
  }),
  row("0 q 0 011100 z 10000 10110 10 nnnnn ddddd", {
    name: "FCVTN, FCVTN2",
    ...common,
    shape: ["q", "z"],
    sem: (c, { q, z, n, d }) => {
      const source = c.tmp(c.vector(n));
      const result = lanes(c, 1 + z, laneCount(z, 1), (i) =>
        c.helper(`fcvt${32 << z}to${16 << z}`, "i32", extractLane(2 + z, source, i)),
      );
      setHalf(c, d, q, result);
    },
    print: ({ q, z, n, d }) => `fcvtn${q ? "2" : ""} ${vectorReg(1 + z, q, d)}, ${vectorReg(2 + z, 1, n)}`,
  }),
  row("0 q 1 0111001 10000 10110 10 nnnnn ddddd", {
    name: "FCVTXN, FCVTXN2",
    ...common,
    shape: ["q"],
    sem: (c, { q, n, d }) => {
      const source = c.tmp(c.vector(n));
      const result = lanes(c, 2, 2, (i) => c.helper("fcvtxn64to32", "i32", extractLane(3, source, i)));
      setHalf(c, d, q, result);
    },
    print: ({ q, n, d }) => `fcvtxn${q ? "2" : ""} ${vectorReg(2, q, d)}, ${vectorReg(3, 1, n)}`,
  }),
  row("01 1 1111001 10000 10110 10 nnnnn ddddd", {
    name: "FCVTXN (scalar)",
    ...common,
    sem: (c, { n, d }) => c.setScalar(4, d, c.helper("fcvtxn64to32", "i32", c.scalar(8, n))),
    print: ({ n, d }) => `fcvtxn ${scalarReg(2, d)}, ${scalarReg(3, n)}`,
  }),
];

export const fpVectorConvertRows = [...integers, ...fixedPoint, ...betweenFormats];
