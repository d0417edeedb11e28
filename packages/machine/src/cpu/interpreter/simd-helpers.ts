/**
 * Helper functions of the Advanced SIMD and crypto rows: shifts by register, products of 64-bit polynomials.
 * DDI 0487, "SSHL", "USHL", "SQRSHL", "UQRSHL", "PMULL".
 */
import {
  add,
  and,
  type Expr,
  eq,
  geS,
  gtS,
  i64,
  leS,
  ltS,
  mul,
  neg,
  or,
  rotr,
  select,
  shl,
  shrS,
  shrU,
  sub,
  xor,
  zext,
} from "../rows/expr.js";
import { replaceLane, splat } from "../rows/vector.js";
import type { HelperBody, HelperFunction, HelperTable } from "./functions.js";

const FPSR_QC = 1 << 27;

/** Shift counts are i32, as nodes of i64. */
const wide = (count: Expr): Expr => zext(count);

/**
 * `value` shifted left by `count`, or right by its negative; to the right rounded when `rounding` is 1. Lanes narrower
 * than 64 bits come extended, and only their bits of the result count.
 */
function shift(s: HelperBody, signed: boolean): Expr {
  const [value, count, rounding] = [s.param(0).value, s.param(1).value, s.param(2).value];
  const right = signed ? shrS : shrU;
  s.if(geS(count, 0), () => s.return(select(gtS(count, 63), i64(0), shl(value, wide(count)))));
  // By 64 and more, signs remain, and unsigned values vanish; the last bit shifted out of 64 is the highest.
  const by = s.local("i32");
  s.set(by, neg(count));
  s.if(gtS(by.value, 63), () => {
    const last = signed ? i64(0) : select(and(eq(by.value, 64), rounding), shrU(value, 63), i64(0));
    s.return(signed ? select(rounding, i64(0), shrS(value, 63)) : last);
  });
  const lost = and(shrU(value, wide(sub(by.value, 1))), zext(rounding));
  return add(right(value, wide(by.value)), and(lost, 1));
}

/** As `shift`; to the left with saturation to `bits`. */
function shiftSaturating(s: HelperBody, signed: boolean): Expr {
  const [value, count, rounding, bits] = [0, 1, 2, 3].map((i) => s.param(i).value) as [Expr, Expr, Expr, Expr];
  const right = signed ? shrS : shrU;
  s.if(ltS(count, 0), () => s.return(s.helper(signed ? "sshl" : "ushl", value, count, rounding)));
  s.if(eq(value, 0), () => s.return(i64(0)));
  // At the top of 64 bits, what does not come back has been lost.
  const unused = sub(64, bits);
  const total = s.local("i32");
  s.set(total, add(count, unused));
  const shifted = s.local("i64");
  s.set(shifted, shl(value, wide(total.value)));
  s.if(leS(total.value, 63), () =>
    s.if(eq(right(shifted.value, wide(total.value)), value), () => s.return(right(shifted.value, wide(unused)))),
  );
  s.store("FPSR", orBits(s));
  const most = signed ? xor(shrS(value, 63), shrU(i64(-1), wide(add(unused, 1)))) : shrU(i64(-1), wide(unused));
  return most;
}

const orBits = (s: HelperBody): Expr => xor(and(s.load("FPSR"), ~FPSR_QC), FPSR_QC);

const shiftFunction = (signed: boolean): HelperFunction => ({
  params: ["i64", "i32", "i32"],
  result: "i64",
  body: (s) => shift(s, signed),
});
const saturatingFunction = (signed: boolean): HelperFunction => ({
  params: ["i64", "i32", "i32", "i32"],
  result: "i64",
  body: (s) => shiftSaturating(s, signed),
});

/** Bits in the reverse order. */
function reverseBits(s: HelperBody): Expr {
  const value = s.param(0);
  for (const [by, mask] of [
    [1, 0x5555_5555_5555_5555n],
    [2, 0x3333_3333_3333_3333n],
    [4, 0x0f0f_0f0f_0f0f_0f0fn],
    [8, 0x00ff_00ff_00ff_00ffn],
    [16, 0x0000_ffff_0000_ffffn],
  ] as const) {
    s.set(value, or(shl(and(value.value, mask), by), and(shrU(value.value, by), mask)));
  }
  return rotr(value.value, 32);
}

/** Every fourth bit. */
const FOURTHS = [0, 1, 2, 3].map((i) => i64(0x1111_1111_1111_1111n << BigInt(i)));

/**
 * The low 64 bits of a product of polynomials over {0, 1}. Integer products of every fourth bit: at most 16 terms meet in
 * a place, so that carries stay within the three bits that are not looked at, or leave the 64 bits.
 */
function polynomialLow(s: HelperBody): Expr {
  const parts = [0, 1].map((operand) =>
    FOURTHS.map((mask) => {
      const part = s.local("i64");
      s.set(part, and(s.param(operand).value, mask));
      return part.value;
    }),
  );
  return FOURTHS.map((mask, i) => {
    const products = [0, 1, 2, 3].map((j) => mul(parts[0]![j]!, parts[1]![(i - j) & 3]!));
    return and(
      products.reduce((sum, product) => xor(sum, product)),
      mask,
    );
  }).reduce((result, part) => or(result, part));
}

/** The whole product: its high half is the low one of the reversed factors, reversed. */
function polynomialProduct(s: HelperBody): Expr {
  const [a, b] = [s.param(0).value, s.param(1).value];
  const reversed = (value: Expr) => s.helper("reverseBits", value);
  const high = shrU(reversed(s.helper("pmullLow", reversed(a), reversed(b))), 1);
  return replaceLane(3, splat(3, s.helper("pmullLow", a, b)), 1, high);
}

export const SIMD_HELPERS: HelperTable = {
  sshl: shiftFunction(true),
  ushl: shiftFunction(false),
  sqshl: saturatingFunction(true),
  uqshl: saturatingFunction(false),
  reverseBits: { params: ["i64"], result: "i64", body: reverseBits },
  pmullLow: { params: ["i64", "i64"], result: "i64", body: polynomialLow },
  pmull64: { params: ["i64", "i64"], result: "v128", body: polynomialProduct },
};
