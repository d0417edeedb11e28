/**
 * The operations by name and number: what the interpreter calls for everything that its fast paths leave. Operands and
 * results are bit patterns, zero extended to 64 bits; comparisons of lanes give all ones or zero.
 */
import {
  add,
  div,
  max,
  maxNum,
  min,
  minNum,
  mul,
  mulAdd,
  mulx,
  recipStep,
  rsqrtStep,
  sqrt,
  sub,
} from "./arithmetic.js";
import { absoluteGE, absoluteGT, compare, compareEQ, compareGE, compareGT } from "./compare.js";
import { convert, fromFixed, roundToIntegral, toFixed } from "./convert.js";
import { Environment, Rounding } from "./environment.js";
import { recip, recipExponent, rsqrt, unsignedRecip, unsignedRsqrt } from "./estimate.js";
import { DOUBLE, type Format, HALF, SINGLE } from "./format.js";

/** The second operand of conversions and of rounding to integral values. */
export const Control = {
  /** Bits 2:0: `Rounding`, or this for FPCR's. */
  BY_FPCR: 7,
  /** FRINTX: raises IXC. */
  EXACT: 1 << 3,
  UNSIGNED: 1 << 4,
  /** The integer has 64 bits, else 32. */
  WIDE: 1 << 5,
  /** Bits 15:8: fraction bits of a fixed-point number. */
  FRACTION_SHIFT: 8,
} as const;

const roundingOf = (env: Environment, control: bigint): number => {
  const rounding = Number(control) & 7;
  return rounding === Control.BY_FPCR ? env.rounding : rounding;
};
const has = (control: bigint, bit: number): boolean => (Number(control) & bit) !== 0;
const fractionOf = (control: bigint): number => (Number(control) >> Control.FRACTION_SHIFT) & 0xff;

type Operation = (env: Environment, a: bigint, b: bigint, c: bigint) => bigint;

const binary = {
  add,
  sub,
  mul,
  mulx,
  div,
  max,
  min,
  maxnm: maxNum,
  minnm: minNum,
  recps: recipStep,
  rsqrts: rsqrtStep,
};
const unary = { sqrt, recpe: recip, rsqrte: rsqrt, recpx: recipExponent };
const predicates = { cmeq: compareEQ, cmge: compareGE, cmgt: compareGT, acge: absoluteGE, acgt: absoluteGT };

type Bits = 32 | 64;
type FormatOperation =
  | keyof typeof binary
  | keyof typeof unary
  | keyof typeof predicates
  | ("muladd" | "cmp" | "cmpe" | "rint" | "tofixed" | "fromfixed");

/** `muladd` takes the addend first; `rint`, `tofixed` and `fromfixed` take a `Control` second. */
export type FpOperation =
  | `${FormatOperation}${Bits}`
  | ("cvt16to32" | "cvt16to64" | "cvt32to16" | "cvt32to64" | "cvt64to16" | "cvt64to32" | "cvtxn64to32")
  | ("urecpe" | "ursqrte");

function operationsOf(bits: Bits, f: Format): [string, Operation][] {
  const ones = (1n << f.bits) - 1n;
  const out: [string, Operation][] = [
    ...Object.entries(binary).map(([name, call]): [string, Operation] => [name, (env, a, b) => call(env, f, a, b)]),
    ...Object.entries(unary).map(([name, call]): [string, Operation] => [name, (env, a) => call(env, f, a)]),
    ...Object.entries(predicates).map(([name, call]): [string, Operation] => [
      name,
      (env, a, b) => (call(env, f, a, b) ? ones : 0n),
    ]),
    ["muladd", (env, a, b, c) => mulAdd(env, f, a, b, c)],
    ["cmp", (env, a, b) => compare(env, f, a, b, false)],
    ["cmpe", (env, a, b) => compare(env, f, a, b, true)],
    ["rint", (env, a, b) => roundToIntegral(env, f, a, roundingOf(env, b), has(b, Control.EXACT))],
    [
      "tofixed",
      (env, a, b) =>
        toFixed(env, f, a, {
          bits: has(b, Control.WIDE) ? 64 : 32,
          unsigned: has(b, Control.UNSIGNED),
          fraction: fractionOf(b),
          rounding: roundingOf(env, b),
        }),
    ],
    [
      "fromfixed",
      (env, a, b) => {
        const width = has(b, Control.WIDE) ? 64 : 32;
        const value = has(b, Control.UNSIGNED) ? BigInt.asUintN(width, a) : BigInt.asIntN(width, a);
        return fromFixed(env, f, value, fractionOf(b));
      },
    ],
  ];
  return out.map(([name, call]) => [`${name}${bits}`, call]);
}

const OPERATIONS: readonly [string, Operation][] = [
  ...operationsOf(32, SINGLE),
  ...operationsOf(64, DOUBLE),
  ["cvt16to32", (env, a) => convert(env, HALF, SINGLE, a)],
  ["cvt16to64", (env, a) => convert(env, HALF, DOUBLE, a)],
  ["cvt32to16", (env, a) => convert(env, SINGLE, HALF, a)],
  ["cvt32to64", (env, a) => convert(env, SINGLE, DOUBLE, a)],
  ["cvt64to16", (env, a) => convert(env, DOUBLE, HALF, a)],
  ["cvt64to32", (env, a) => convert(env, DOUBLE, SINGLE, a)],
  ["cvtxn64to32", (env, a) => convert(env, DOUBLE, SINGLE, a, Rounding.ODD)],
  ["urecpe", (_env, a) => unsignedRecip(a)],
  ["ursqrte", (_env, a) => unsignedRsqrt(a)],
];
const NUMBERS = new Map(OPERATIONS.map(([name], number) => [name, number]));

/** The number by which generated code names an operation. */
export function operationNumber(name: FpOperation): number {
  const number = NUMBERS.get(name);
  if (number === undefined) throw new Error(`invariant broken: no operation ${name}`);
  return number;
}

const environment = new Environment();

/** Does an operation under `fpcr`. The result, and the FPSR flags to add. */
export function operate(
  number: number,
  fpcr: number,
  a: bigint,
  b: bigint,
  c: bigint,
): { readonly result: bigint; readonly flags: number } {
  environment.reset(fpcr);
  const result = OPERATIONS[number][1](environment, a, b, c);
  return { result, flags: environment.flags };
}
