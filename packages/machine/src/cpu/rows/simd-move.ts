/**
 * Moves of FP and SIMD registers: FMOV that does not compute, immediates, lanes (DUP, INS, SMOV, UMOV), permutations
 * (EXT, ZIP, UZP, TRN) and table look-up. DDI 0487, "Advanced SIMD modified immediate", "Advanced SIMD copy", "… permute",
 * "… extract", "… table lookup", "Floating-point immediate", "Conversion between floating-point and integer".
 */
import type { Context } from "./context.js";
import { add, and, type Expr, type Field, mul, or, sext, shl, shrU, sub, zext } from "./expr.js";
import { row } from "./row.js";
import { imm, laneReg, reg, SCALARS, scalarReg, vectorList, vectorReg } from "./text.js";
import { bitSelect, shuffle, splat, swizzle, vAndNot, vectorOf, vGt, vOr, vSub } from "./vector.js";

const common = { group: "simd-data", fp: true, rare: true } as const;

// FMOV

/** The value of an 8-bit floating-point immediate. DDI 0487, "VFPExpandImm". */
function fpImmediate(i: number): number {
  const exponent = ((i >> 4) & 3) - (i & 0x40 ? 3 : -1);
  return (i & 0x80 ? -1 : 1) * (1 + (i & 15) / 16) * 2 ** exponent;
}

/** As objdump prints it: eighteen decimals, an exponent of two digits. */
const fpImmediateText = (i: number): string =>
  `#${fpImmediate(i)
    .toExponential(18)
    .replace(/e([+-])(\d)$/, "e$10$2")}`;

/** The bits of an 8-bit immediate (i32) as a single (i32) or double (i64): sign, then NOT b6 and b6 repeated, b5 to b0. */
function fpBits(double: number, i: Expr): Expr {
  const [sign, high, low] = [shrU(i, 7), and(shrU(i, 6), 1), and(i, 0x3f)];
  if (!double) return or(or(shl(sign, 31), sub(0x4000_0000, shl(high, 25))), shl(low, 19));
  return or(or(shl(zext(sign), 63), sub(0x4000_0000_0000_0000n, shl(zext(high), 54))), shl(zext(low), 48));
}

const GENERAL = [
  { name: "FMOV, W to S", bits: "0001111000100111000000", sf: 0, size: 2, to: true },
  { name: "FMOV, S to W", bits: "0001111000100110000000", sf: 0, size: 2, to: false },
  { name: "FMOV, X to D", bits: "1001111001100111000000", sf: 1, size: 3, to: true },
  { name: "FMOV, D to X", bits: "1001111001100110000000", sf: 1, size: 3, to: false },
] as const;

const fmov = [
  ...GENERAL.map(({ name, bits, sf, size, to }) =>
    row(`${bits} nnnnn ddddd`, {
      name,
      ...common,
      sem: (c, { n, d }) => (to ? c.setScalar(1 << size, d, c.get(sf, n)) : c.set(sf, d, c.scalar(1 << size, n))),
      print: ({ n, d }) =>
        to ? `fmov ${scalarReg(size, d)}, ${reg(sf, n)}` : `fmov ${reg(sf, d)}, ${scalarReg(size, n)}`,
    }),
  ),
  row("1001111010101111000000 nnnnn ddddd", {
    name: "FMOV, X to V.D[1]",
    ...common,
    sem: (c, { n, d }) => c.setLane(8, d, 1, c.get(1, n)),
    print: ({ n, d }) => `fmov ${laneReg(3, d, 1)}, ${reg(1, n)}`,
  }),
  row("1001111010101110000000 nnnnn ddddd", {
    name: "FMOV, V.D[1] to X",
    ...common,
    sem: (c, { n, d }) => c.set(1, d, c.lane(8, n, 1)),
    print: ({ n, d }) => `fmov ${reg(1, d)}, ${laneReg(3, n, 1)}`,
  }),
  row("000111100 t 1000000 10000 nnnnn ddddd", {
    name: "FMOV (register)",
    ...common,
    shape: ["t"],
    sem: (c, { t, n, d }) => c.setScalar(4 << t, d, c.scalar(4 << t, n)),
    print: ({ t, n, d }) => `fmov ${scalarReg(2 + t, d)}, ${scalarReg(2 + t, n)}`,
  }),
  row("000111100 t 1 iiiiiiii 100 00000 ddddd", {
    name: "FMOV (scalar, immediate)",
    ...common,
    shape: ["t"],
    sem: (c, { t, i, d }) => c.setScalar(4 << t, d, fpBits(t, c.tmp(i))),
    print: ({ t, i, d }) => `fmov ${scalarReg(2 + t, d)}, ${fpImmediateText(i)}`,
  }),
];

// Modified immediates: abc:defgh, and cmode says what becomes of it.

/** An i32 in every lane of 2 or 4 bytes. */
const repeated = (size: 1 | 2, value: Expr): Expr => splat(size, value);
const byteOf = (a: Expr, h: Expr): Expr => or(shl(a, 5), h);

/** What MOVI, MVNI, ORR and BIC do with the value that cmode makes. */
const IMMEDIATE_OPS = {
  MOVI: (_c: Context, value: Expr, _d: Field) => value,
  MVNI: (_c: Context, value: Expr, _d: Field) => vAndNot(vectorOf(3, -1n), value),
  ORR: (c: Context, value: Expr, d: Field) => vOr(c.vector(d), value),
  BIC: (c: Context, value: Expr, d: Field) => vAndNot(c.vector(d), value),
} as const;

/** op is bit 29, the last bit of cmode tells the two of a line apart. */
const SHIFTED = [
  ["MOVI", "0", "0"],
  ["ORR", "0", "1"],
  ["MVNI", "1", "0"],
  ["BIC", "1", "1"],
] as const;

const immediates = [
  ...SHIFTED.flatMap(([name, p, x]) => [
    row(`0 q ${p} 0111100000 aaa 0 ss ${x} 01 hhhhh ddddd`, {
      name: `${name} (vector, immediate), 32-bit`,
      ...common,
      shape: ["q", "s"],
      sem: (c, { q, s, a, h, d }) =>
        c.setVector(d, IMMEDIATE_OPS[name](c, repeated(2, shl(byteOf(a, h), 8 * s)), d), q),
      print: ({ q, s, a, h, d }) =>
        `${name.toLowerCase()} ${vectorReg(2, q, d)}, ${imm((a << 5) | h)}${s ? `, lsl #${8 * s}` : ""}`,
    }),
    row(`0 q ${p} 0111100000 aaa 10 s ${x} 01 hhhhh ddddd`, {
      name: `${name} (vector, immediate), 16-bit`,
      ...common,
      shape: ["q", "s"],
      sem: (c, { q, s, a, h, d }) =>
        c.setVector(d, IMMEDIATE_OPS[name](c, repeated(1, shl(byteOf(a, h), 8 * s)), d), q),
      print: ({ q, s, a, h, d }) =>
        `${name.toLowerCase()} ${vectorReg(1, q, d)}, ${imm((a << 5) | h)}${s ? `, lsl #${8 * s}` : ""}`,
    }),
  ]),
  ...(["MOVI", "MVNI"] as const).map((name, p) =>
    row(`0 q ${p as 0 | 1} 0111100000 aaa 110 s 01 hhhhh ddddd`, {
      name: `${name} (vector, immediate), 32-bit shifting ones`,
      ...common,
      shape: ["q", "s"],
      sem: (c, { q, s, a, h, d }) => {
        const shift = 8 << s;
        c.setVector(d, IMMEDIATE_OPS[name](c, repeated(2, or(shl(byteOf(a, h), shift), 2 ** shift - 1)), d), q);
      },
      print: ({ q, s, a, h, d }) => `${name.toLowerCase()} ${vectorReg(2, q, d)}, ${imm((a << 5) | h)}, msl #${8 << s}`,
    }),
  ),
  row("0 q 00111100000 aaa 1110 01 hhhhh ddddd", {
    name: "MOVI (vector, immediate), 8-bit",
    ...common,
    shape: ["q"],
    sem: (c, { q, a, h, d }) => c.setVector(d, splat(0, byteOf(a, h)), q),
    print: ({ q, a, h, d }) => `movi ${vectorReg(0, q, d)}, ${imm((a << 5) | h)}`,
  }),
  row("0 q 10111100000 aaa 1110 01 hhhhh ddddd", {
    name: "MOVI (vector, immediate), 64-bit",
    ...common,
    shape: ["q"],
    sem: (c, { q, a, h, d }) => {
      // Each bit goes to the lowest bit of a byte, which is then repeated.
      let bits: Expr = zext(byteOf(a, h));
      for (const [shift, mask] of [
        [28, 0x0000_000f_0000_000fn],
        [14, 0x0003_0003_0003_0003n],
        [7, 0x0101_0101_0101_0101n],
      ] as const)
        bits = c.tmp(and(or(bits, shl(bits, shift)), mask));
      c.setVector(d, splat(3, mul(bits, 0xff)), q);
    },
    print: ({ q, a, h, d }) => {
      const byte = (a << 5) | h;
      const value = Array.from({ length: 8 }, (_, i) => (byte & (1 << i) ? 0xffn << BigInt(8 * i) : 0n));
      return `movi ${q ? vectorReg(3, 1, d) : scalarReg(3, d)}, ${imm(value.reduce((sum, part) => sum | part))}`;
    },
  }),
  row("0 q 00111100000 aaa 1111 01 hhhhh ddddd", {
    name: "FMOV (vector, immediate), single",
    ...common,
    shape: ["q"],
    sem: (c, { q, a, h, d }) => c.setVector(d, splat(2, fpBits(0, c.tmp(byteOf(a, h)))), q),
    print: ({ q, a, h, d }) => `fmov ${vectorReg(2, q, d)}, ${fpImmediateText((a << 5) | h)}`,
  }),
  row("0110111100000 aaa 1111 01 hhhhh ddddd", {
    name: "FMOV (vector, immediate), double",
    ...common,
    sem: (c, { a, h, d }) => c.setVector(d, splat(3, fpBits(1, c.tmp(byteOf(a, h))))),
    print: ({ a, h, d }) => `fmov ${vectorReg(3, 1, d)}, ${fpImmediateText((a << 5) | h)}`,
  }),
];

// Lanes: the lowest set bit of imm5 is the size, the bits above it the index.

const LANES = [
  { size: 0, imm5: "iiii1" },
  { size: 1, imm5: "iii10" },
  { size: 2, imm5: "ii100" },
  { size: 3, imm5: "i1000" },
] as const;

const copies = LANES.flatMap(({ size, imm5 }) => {
  const bytes = 1 << size;
  const sf = size === 3 ? 1 : 0;
  const letter = SCALARS[size].toUpperCase();
  const generalText = size === 3 ? 1 : 0;
  const allocated = ({ q }: { q: number }) => size < 3 || q === 1;
  return [
    row(`0 q 001110000 ${imm5} 000001 nnnnn ddddd`, {
      name: `DUP (element, vector), ${letter}`,
      ...common,
      shape: ["q"],
      allocated,
      sem: (c, { q, i, n, d }) => c.setVector(d, splat(size, c.lane(bytes, n, i)), q),
      print: ({ q, i, n, d }) => `dup ${vectorReg(size, q, d)}, ${laneReg(size, n, i)}`,
    }),
    row(`01011110000 ${imm5} 000001 nnnnn ddddd`, {
      name: `DUP (element, scalar), ${letter}`,
      ...common,
      sem: (c, { i, n, d }) => c.setScalar(bytes, d, c.lane(bytes, n, i)),
      print: ({ i, n, d }) => `mov ${scalarReg(size, d)}, ${laneReg(size, n, i)}`,
    }),
    row(`0 q 001110000 ${imm5} 000011 nnnnn ddddd`, {
      name: `DUP (general), ${letter}`,
      ...common,
      shape: ["q"],
      allocated,
      sem: (c, { q, n, d }) => c.setVector(d, splat(size, c.get(sf, n)), q),
      print: ({ q, n, d }) => `dup ${vectorReg(size, q, d)}, ${reg(generalText, n)}`,
    }),
    row(`01001110000 ${imm5} 000111 nnnnn ddddd`, {
      name: `INS (general), ${letter}`,
      ...common,
      sem: (c, { i, n, d }) => c.setLane(bytes, d, i, c.get(sf, n)),
      print: ({ i, n, d }) => `mov ${laneReg(size, d, i)}, ${reg(generalText, n)}`,
    }),
    row(`01101110000 ${imm5} 0 jjjj 1 nnnnn ddddd`, {
      name: `INS (element), ${letter}`,
      ...common,
      sem: (c, { i, j, n, d }) => c.setLane(bytes, d, i, c.lane(bytes, n, shrU(j, size))),
      print: ({ i, j, n, d }) => `mov ${laneReg(size, d, i)}, ${laneReg(size, n, j >> size)}`,
    }),
    ...(size === 3
      ? []
      : [
          row(`0 q 001110000 ${imm5} 001011 nnnnn ddddd`, {
            name: `SMOV, ${letter}`,
            ...common,
            shape: ["q"],
            allocated: ({ q }) => size < 2 || q === 1,
            sem: (c, { q, i, n, d }) => {
              const value = c.lane(bytes, n, i, true);
              c.set(q, d, q ? sext(value) : value);
            },
            print: ({ q, i, n, d }) => `smov ${reg(q, d)}, ${laneReg(size, n, i)}`,
          }),
        ]),
    row(`0 ${size === 3 ? "1" : "0"} 001110000 ${imm5} 001111 nnnnn ddddd`, {
      name: `UMOV, ${letter}`,
      ...common,
      sem: (c, { i, n, d }) => c.set(sf, d, c.lane(bytes, n, i)),
      print: ({ i, n, d }) => `${size < 2 ? "umov" : "mov"} ${reg(sf, d)}, ${laneReg(size, n, i)}`,
    }),
  ];
});

// Permutations

/** Lanes of the result out of those of Vn (from 0) and Vm (after them), for both widths of register. */
function permute(
  c: Context,
  q: number,
  size: number,
  n: Field,
  m: Field,
  from: (lane: number, count: number) => number,
) {
  const count = (q ? 16 : 8) >> size;
  const bytes = Array.from({ length: 16 }, (_, at) => {
    const lane = at >> size;
    if (lane >= count) return 0;
    const source = from(lane, count);
    const register = source >= count ? 16 : 0;
    return register + ((source % count) << size) + (at % (1 << size));
  });
  return shuffle(c.vector(n), c.vector(m), bytes);
}

/** By opcode, bits 14:12: the lane of the sources that each lane of the result is. */
const PERMUTATIONS = [
  ["001", "UZP1", (i: number, _count: number) => 2 * i],
  ["101", "UZP2", (i: number, _count: number) => 2 * i + 1],
  ["010", "TRN1", (i: number, count: number) => (i & ~1) + (i & 1) * count],
  ["110", "TRN2", (i: number, count: number) => (i | 1) + (i & 1) * count],
  ["011", "ZIP1", (i: number, count: number) => (i >> 1) + (i & 1) * count],
  ["111", "ZIP2", (i: number, count: number) => (count >> 1) + (i >> 1) + (i & 1) * count],
] as const;

const permutations = [
  ...PERMUTATIONS.map(([o, name, from]) =>
    row(`0 q 001110 zz 0 mmmmm 0 ${o} 10 nnnnn ddddd`, {
      name,
      ...common,
      shape: ["q", "z"],
      allocated: ({ q, z }) => q === 1 || z !== 3,
      sem: (c, { q, z, m, n, d }) => c.setVector(d, permute(c, q, z, n, m, from), q),
      print: ({ q, z, m, n, d }) =>
        `${name.toLowerCase()} ${vectorReg(z, q, d)}, ${vectorReg(z, q, n)}, ${vectorReg(z, q, m)}`,
    }),
  ),
  row("0 q 101110000 mmmmm 0 iiii 0 nnnnn ddddd", {
    name: "EXT",
    ...common,
    shape: ["q", "i"],
    allocated: ({ q, i }) => q === 1 || i < 8,
    sem: (c, { q, i, m, n, d }) =>
      c.setVector(
        d,
        permute(c, q, 0, n, m, (lane) => lane + i),
        q,
      ),
    print: ({ q, i, m, n, d }) => `ext ${vectorReg(0, q, d)}, ${vectorReg(0, q, n)}, ${vectorReg(0, q, m)}, #${i}`,
  }),
  row("0 q 001110000 mmmmm 0 ll o 00 nnnnn ddddd", {
    name: "TBL, TBX",
    ...common,
    shape: ["q", "l", "o"],
    sem: (c, { q, l, o, m, n, d }) => {
      const indices = c.tmp(c.vector(m));
      let found: Expr | undefined;
      for (let i = 0; i <= l; i++) {
        // An index below the register's first becomes one of 240 and more: it finds nothing either.
        const part = swizzle(
          c.vector(i === 0 ? n : add(n, i)),
          i === 0 ? indices : vSub(0, indices, vectorOf(0, 16 * i)),
        );
        found = found ? vOr(found, part) : part;
      }
      const beyond = vectorOf(0, 16 * (l + 1) - 1);
      c.setVector(d, o ? bitSelect(vGt(0, false, indices, beyond), c.vector(d), found as Expr) : (found as Expr), q);
    },
    print: ({ q, l, o, m, n, d }) =>
      `${o ? "tbx" : "tbl"} ${vectorReg(0, q, d)}, ${vectorList(n, l + 1, "16b")}, ${vectorReg(0, q, m)}`,
  }),
];

export const simdMoveRows = [...fmov, ...immediates, ...copies, ...permutations];
