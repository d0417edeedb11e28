/**
 * The arithmetic against the JavaScript engine's own, which is IEEE 754 in double, and in single by Math.fround; and
 * properties and cases of the manual where there is none. qemu-aarch64 is the outside oracle (conformance/oracle).
 */
import { describe, expect, test } from "vitest";
import { FPCR, FPSR } from "./environment.js";
import { Control, type FpOperation, operate, operationNumber } from "./operations.js";

const view = new DataView(new ArrayBuffer(8));
function bits64(x: number): bigint {
  view.setFloat64(0, x);
  return view.getBigUint64(0);
}
function value64(x: bigint): number {
  view.setBigUint64(0, x);
  return view.getFloat64(0);
}
function bits32(x: number): bigint {
  view.setFloat32(0, x);
  return BigInt(view.getUint32(0));
}
function value32(x: bigint): number {
  view.setUint32(0, Number(x));
  return view.getFloat32(0);
}

let state = 12345;
function u32(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>>= 0);
}
const random64 = () => (BigInt(u32()) << 32n) | BigInt(u32());

const SPECIAL64 = [
  0x0n,
  0x1n,
  0x000f_ffff_ffff_ffffn,
  0x0010_0000_0000_0000n,
  0x0010_0000_0000_0001n,
  0x3cb0_0000_0000_0000n,
  0x3fef_ffff_ffff_ffffn,
  0x3ff0_0000_0000_0000n,
  0x3ff0_0000_0000_0001n,
  0x4000_0000_0000_0000n,
  0x4330_0000_0000_0000n,
  0x7fef_ffff_ffff_ffffn,
  0x7ff0_0000_0000_0000n,
].flatMap((x) => [x, x | (1n << 63n)]);
const SPECIAL32 = [
  0x0n,
  0x1n,
  0x7f_ffffn,
  0x80_0000n,
  0x80_0001n,
  0x3400_0000n,
  0x3f7f_ffffn,
  0x3f80_0000n,
  0x3f80_0001n,
  0x4000_0000n,
  0x4b00_0000n,
  0x7f7f_ffffn,
  0x7f80_0000n,
].flatMap((x) => [x, x | (1n << 31n)]);

function operand(bits: 32 | 64): bigint {
  const special = bits === 64 ? SPECIAL64 : SPECIAL32;
  const kind = u32() % 4;
  if (kind === 0) return special[u32() % special.length];
  const raw = BigInt.asUintN(bits, random64());
  if (kind === 1) return raw;
  // Near one, so that operands meet.
  return bits === 64
    ? (raw & 0x800f_ffff_ffff_ffffn) | (BigInt(1000 + (u32() % 60)) << 52n)
    : (raw & 0x807f_ffffn) | (BigInt(115 + (u32() % 30)) << 23n);
}

const run = (name: FpOperation, a: bigint, b = 0n, c = 0n, fpcr = 0) => operate(operationNumber(name), fpcr, a, b, c);

const ARITHMETIC: Record<string, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  max: Math.max,
  min: Math.min,
  sqrt: Math.sqrt,
};

describe.each([32, 64] as const)("%i bits, to nearest", (bits) => {
  test.each(Object.keys(ARITHMETIC))("%s equals the JavaScript engine's", (name) => {
    const [toBits, toValue] = bits === 64 ? [bits64, value64] : [bits32, value32];
    for (let i = 0; i < 20_000; i++) {
      const a = operand(bits);
      const b = operand(bits);
      const expected = ARITHMETIC[name](toValue(a), toValue(b));
      const { result, flags } = run(`${name}${bits}` as FpOperation, a, b);
      if (Number.isNaN(expected)) expect(Number.isNaN(toValue(result))).toBe(true);
      else if (toBits(expected) !== result)
        expect.fail(`${name} ${a.toString(16)}, ${b.toString(16)}: ${result.toString(16)}`);
      // In double, single arithmetic is exact enough to tell whether it was exact.
      if (bits === 32 && name === "mul" && Number.isFinite(expected))
        expect((flags & FPSR.IXC) !== 0, `${a.toString(16)}, ${b.toString(16)}`).toBe(toValue(result) !== expected);
    }
  });
});

test("conversions between single and double equal Math.fround's", () => {
  for (let i = 0; i < 20_000; i++) {
    const a = operand(64);
    const x = value64(a);
    if (Number.isNaN(x)) continue;
    const { result, flags } = run("cvt64to32", a);
    expect(result).toBe(bits32(x));
    expect((flags & FPSR.IXC) !== 0).toBe(Math.fround(x) !== x);
    expect(run("cvt32to64", result).result).toBe(bits64(Math.fround(x)));
  }
});

test("every half survives single and double, in both half formats", () => {
  for (const fpcr of [0, FPCR.AHP])
    for (let half = 0n; half < 0x1_0000n; half++) {
      const nan = fpcr === 0 && (half & 0x7c00n) === 0x7c00n && (half & 0x3ffn) !== 0n;
      const single = run("cvt16to32", half, 0n, 0n, fpcr);
      const double = run("cvt16to64", half, 0n, 0n, fpcr);
      const quiet = nan ? half | 0x200n : half;
      const back = [run("cvt32to16", single.result, 0n, 0n, fpcr), run("cvt64to16", double.result, 0n, 0n, fpcr)];
      const flags = nan && (half & 0x200n) === 0n ? FPSR.IOC : 0;
      if (back.some(({ result, flags }) => result !== quiet || flags !== 0) || single.flags !== flags)
        expect.fail(`${half.toString(16)}, FPCR ${fpcr.toString(16)}`);
    }
});

test("multiply-add is the sum of the exact product", () => {
  // (1 + u)(1 - u) - 1 = -u^2, which two roundings lose.
  const u = 2 ** -30;
  expect(run("muladd64", bits64(-1), bits64(1 + u), bits64(1 - u))).toEqual({ result: bits64(-u * u), flags: 0 });
  for (let i = 0; i < 10_000; i++) {
    const [c, a, b] = [operand(32), operand(32), operand(32)];
    const sum = value32(a) * value32(b) + value32(c);
    // Exact in double unless something is far away: then the residue is not zero.
    const p = value32(a) * value32(b);
    if (!Number.isFinite(sum) || sum - p !== value32(c) || sum - value32(c) !== p) continue;
    expect(run("muladd32", c, a, b).result).toBe(sum === 0 ? run("muladd32", c, a, b).result : bits32(sum));
  }
});

test("directed roundings enclose the value, and are equal when it is exact", () => {
  const modes = [FPCR.RMODE * 0, 1 << 22, 2 << 22, 3 << 22];
  const order = (bits: bigint) => (bits >> 63n ? -(bits & ~(1n << 63n)) : bits);
  for (let i = 0; i < 5_000; i++) {
    const [a, b, c] = [operand(64), operand(64), operand(64)];
    for (const name of ["add64", "mul64", "div64", "muladd64"] as const) {
      const [nearest, up, down, zero] = modes.map((fpcr) => run(name, a, b, c, fpcr));
      // The sign of an exact zero depends on the mode.
      if (Number.isNaN(value64(nearest.result)) || value64(nearest.result) === 0) continue;
      const gap = order(up.result) - order(down.result);
      if ((nearest.flags & FPSR.IXC) === 0) expect(gap).toBe(0n);
      else expect(gap).toBe(1n);
      expect([up.result, down.result]).toContain(nearest.result);
      expect(zero.result).toBe(nearest.result >> 63n ? up.result : down.result);
    }
  }
});

test("conversions to integers saturate and raise, and round as told", () => {
  const signed32 = (x: number, rounding: number) => run("tofixed64", bits64(x), BigInt(rounding));
  expect(signed32(2 ** 31, 3)).toEqual({ result: 0x7fff_ffffn, flags: FPSR.IOC });
  expect(signed32(2 ** 31 - 0.5, 3)).toEqual({ result: 0x7fff_ffffn, flags: FPSR.IXC });
  expect(signed32(-(2 ** 31), 3)).toEqual({ result: 0x8000_0000n, flags: 0 });
  expect(signed32(Number.NaN, 3)).toEqual({ result: 0n, flags: FPSR.IOC });
  expect([2.5, 3.5, -2.5].map((x) => BigInt.asIntN(32, signed32(x, 0).result))).toEqual([2n, 4n, -2n]);
  expect([2.5, 3.5, -2.5].map((x) => BigInt.asIntN(32, signed32(x, 4).result))).toEqual([3n, 4n, -3n]);
  expect(run("tofixed64", bits64(-0.5), BigInt(3 | Control.UNSIGNED))).toEqual({ result: 0n, flags: FPSR.IXC });
  expect(run("fromfixed32", 0xffff_ffffn, BigInt(Control.UNSIGNED | (32 << 8)))).toEqual({
    result: 0x3f80_0000n,
    flags: FPSR.IXC,
  });
});

describe("what the manual says of special operands", () => {
  const SNAN = 0x7ff0_0000_0000_0123n;
  const QNAN = 0xfff8_0000_0000_0456n;
  const INFINITY = 0x7ff0_0000_0000_0000n;
  test.each([
    { why: "the signalling NaN goes first", name: "add64", a: QNAN, b: SNAN, result: SNAN | (1n << 51n), flags: 1 },
    { why: "then the first operand", name: "sub64", a: QNAN, b: QNAN | 1n, result: QNAN, flags: 0 },
    { why: "default NaN", name: "mul64", a: QNAN, b: SNAN, fpcr: FPCR.DN, result: 0x7ff8_0000_0000_0000n, flags: 1 },
    { why: "the addend first", name: "muladd64", a: QNAN | 7n, b: QNAN, c: 0n, result: QNAN | 7n, flags: 0 },
    {
      why: "0 * inf under a quiet addend",
      name: "muladd64",
      a: QNAN,
      b: 0n,
      c: INFINITY,
      result: 0x7ff8n << 48n,
      flags: 1,
    },
    { why: "FMULX", name: "mulx64", a: 0n, b: INFINITY | (1n << 63n), result: 0xc000n << 48n, flags: 0 },
    { why: "a lone quiet NaN", name: "maxnm64", a: QNAN, b: 1n, result: 1n, flags: 0 },
    { why: "input flushed", name: "add64", a: 1n, b: 0n, fpcr: FPCR.FZ, result: 0n, flags: FPSR.IDC },
    {
      why: "output flushed",
      name: "mul64",
      a: 0x0010n << 48n,
      b: 0x3fe0n << 48n,
      fpcr: FPCR.FZ,
      result: 0n,
      flags: FPSR.UFC,
    },
    {
      why: "division by zero",
      name: "div64",
      a: 0x3ff0n << 48n,
      b: 1n << 63n,
      result: 0xfff0n << 48n,
      flags: FPSR.DZC,
    },
    { why: "FCMPE of a quiet NaN", name: "cmpe64", a: QNAN, b: 0n, result: 0x3000_0000n, flags: 1 },
    { why: "FCMP of a quiet NaN", name: "cmp64", a: QNAN, b: 0n, result: 0x3000_0000n, flags: 0 },
    {
      why: "alternative half has no NaN",
      name: "cvt64to16",
      a: QNAN,
      b: 0n,
      fpcr: FPCR.AHP,
      result: 0x8000n,
      flags: 1,
    },
    { why: "no infinity either", name: "cvt64to16", a: INFINITY, b: 0n, fpcr: FPCR.AHP, result: 0x7fffn, flags: 1 },
    { why: "to odd", name: "cvtxn64to32", a: 0x3ff0_0000_0000_0001n, b: 0n, result: 0x3f80_0001n, flags: FPSR.IXC },
  ] as const)("$why: $name", (row) => {
    const fpcr = "fpcr" in row ? row.fpcr : 0;
    const c = "c" in row ? row.c : 0n;
    expect(run(row.name, row.a, row.b, c, fpcr)).toEqual({ result: row.result, flags: row.flags });
  });
});
