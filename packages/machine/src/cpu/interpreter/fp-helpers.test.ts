/**
 * The fast paths against the reference arithmetic: the same results and flags for every helper, over operands that are
 * often special, under all kinds of FPCR, with FPSR clear and with IXC set.
 */
import { describe, expect, test } from "vitest";
import { FPCR, FPSR, Rounding } from "../fp/environment.js";
import { Control, type FpOperation, operate, operationNumber } from "../fp/operations.js";
import { offsetOf, PE_STATE_SIZE } from "../state.js";
import { Wasm } from "../wasm/api.js";
import { CodeWriter } from "../wasm/code.js";
import { ModuleWriter } from "../wasm/module.js";
import { FP_HELPERS } from "./fp-helpers.js";
import { defineHelpers } from "./functions.js";

/** Where a vector result lies, then its operands. */
const VECTORS = PE_STATE_SIZE;

function instance() {
  const module = new ModuleWriter();
  module.importMemory("test", "memory", 1);
  const signature = { params: ["i32", "i32", "i64", "i64", "i64"], results: ["i64"] } as const;
  const imported = module.importFunction("test", "operate", signature);
  for (const [name, { index, definition }] of defineHelpers(module, { operate: imported })) {
    if (definition.result !== "v128" || !(name in FP_HELPERS)) {
      module.exportFunction(name, index);
      continue;
    }
    // JavaScript has no vectors: they pass through memory.
    const wrapper = module.declare({ params: [], results: [] });
    const code = new CodeWriter(0);
    code.i32(VECTORS);
    code.i32(0);
    for (let i = 0; i < definition.params.length; i++) {
      code.i32(VECTORS + 16 * (i + 1));
      code.simdMemory("v128_load");
    }
    code.call(index);
    code.simdMemory("v128_store");
    module.define(wrapper, code);
    module.exportFunction(name, wrapper);
  }
  const memory = new Wasm.Memory({ initial: Math.ceil((VECTORS + 64) / 0x10000) });
  const view = new DataView(memory.buffer);
  const calls = { reference: 0 };
  const host = (_base: number, operation: number, ...operands: bigint[]): bigint => {
    calls.reference++;
    const [a, b, c] = operands.map((x) => BigInt.asUintN(64, x));
    const { result, flags } = operate(operation, view.getInt32(offsetOf("FPCR"), true), a, b, c);
    view.setInt32(offsetOf("FPSR"), view.getInt32(offsetOf("FPSR"), true) | flags, true);
    return result;
  };
  const { exports } = new Wasm.Instance(new Wasm.Module(module.build()), { test: { memory, operate: host } });
  return { exports: exports as Record<string, (...args: unknown[]) => number | bigint>, view, calls };
}

let state = 987654321;
function u32(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>>= 0);
}
const below = (n: number) => u32() % n;
const pick = <T>(items: readonly T[]): T => items[below(items.length)];

/** Biased exponents that matter, of double; single's are these by the same distance from its own edges. */
function floatOperand(bits: 32 | 64, half = false): bigint {
  if (half) return BigInt(below(0x1_0000));
  const fraction = bits === 64 ? 52 : 23;
  const top = bits === 64 ? 2047 : 255;
  const middle = top >> 1;
  const exponent = pick([
    () => pick([0, 0, 1, 2, 3, top - 2, top - 1, top]),
    () => below(top + 1),
    () => middle - 2 + below(5),
    () => middle - 60 + below(120),
    () =>
      middle +
      pick([
        -400, -401, 400, 401, -900, -901, 900, 901, -126, -127, -149, 127, 128, 31, 32, 63, 64, 14, 15, 16, -13, -14,
        -15,
      ]),
  ])();
  const random = (BigInt(u32()) << 32n) | BigInt(u32());
  const ones = (1n << BigInt(fraction)) - 1n;
  const trailing = BigInt(below(fraction + 1));
  const mantissa =
    pick([() => 0n, () => ones, () => 1n, () => random, () => (random >> trailing) << trailing])() & ones;
  const biased = BigInt(Math.min(Math.max(exponent, 0), top));
  return (BigInt(below(2)) << BigInt(bits - 1)) | (biased << BigInt(fraction)) | mantissa;
}
const integerOperand = (bits: 32 | 64): bigint => {
  const random = ((BigInt(u32()) << 32n) | BigInt(u32())) >> BigInt(below(64));
  const near = (1n << BigInt(below(64))) + BigInt(below(5) - 2);
  return BigInt.asUintN(bits, pick([random, near, -near]));
};

/** Which reference operation a helper is, and what its operands are. */
function plan(name: string): { operation: FpOperation; control?: number; integer: boolean } | undefined {
  const roundings = { n: Rounding.TIE_EVEN, p: 1, m: 2, z: 3, a: Rounding.TIE_AWAY, i: 7, x: 7 | Control.EXACT };
  const rint = /^frint(.)(32|64)$/.exec(name);
  if (rint) return { operation: `rint${rint[2]}` as FpOperation, control: roundings[rint[1] as "n"], integer: false };
  const to = /^fcvt([npmza])([su])(32|64)to(32|64)$/.exec(name);
  const widthAndSign = (letter: string, width: string) =>
    (letter === "u" ? Control.UNSIGNED : 0) | (width === "64" ? Control.WIDE : 0);
  if (to)
    return {
      operation: `tofixed${to[3]}` as FpOperation,
      control: roundings[to[1] as "n"] | widthAndSign(to[2], to[4]),
      integer: false,
    };
  const from = /^([su])cvtf(32|64)to(32|64)$/.exec(name);
  if (from)
    return { operation: `fromfixed${from[3]}` as FpOperation, control: widthAndSign(from[1], from[2]), integer: true };
  if (/^f(to|from)fixed|^fpOperate|^f?cvtxn|^u/.test(name)) return undefined; // no fast path
  return { operation: name.slice(1).replace(/^cvt/, "cvt") as FpOperation, integer: false };
}

const { exports, view, calls } = instance();

function check(name: string, count: number, fpcrOf: () => number, fpsr: number): number {
  const how = plan(name);
  if (!how) return 0;
  const { params, result } = FP_HELPERS[name]!;
  const before = calls.reference;
  const halves = name.startsWith("fcvt16");
  for (let i = 0; i < count; i++) {
    const fpcr = fpcrOf();
    const operands: bigint[] = params.map((type) =>
      how.integer ? integerOperand(type === "i64" ? 64 : 32) : floatOperand(type === "i64" ? 64 : 32, halves),
    );
    if (params.length > 1 && below(8) === 0)
      operands[1] = operands[0]! ^ (BigInt(below(2)) << (params[0] === "i64" ? 63n : 31n));
    view.setInt32(offsetOf("FPCR"), fpcr, true);
    view.setInt32(offsetOf("FPSR"), fpsr, true);
    const given = operands.map((x, at) => (params[at] === "i64" ? x : Number(x) | 0));
    const ours = BigInt.asUintN(result === "i64" ? 64 : 32, BigInt(exports[name](0, ...given)));
    const [a, b = 0n, c = 0n] = how.control === undefined ? operands : [operands[0], BigInt(how.control)];
    const expected = operate(operationNumber(how.operation), fpcr, a, b, c);
    const flags = view.getInt32(offsetOf("FPSR"), true);
    if (ours !== expected.result || flags !== (expected.flags | fpsr)) {
      const text = operands.map((x) => x.toString(16)).join(", ");
      expect.fail(
        `${name} ${text}, FPCR ${fpcr.toString(16)}, FPSR ${fpsr.toString(16)}: ${ours.toString(16)}, ` +
          `flags ${flags.toString(16)}; expected ${expected.result.toString(16)}, ${expected.flags.toString(16)}`,
      );
    }
  }
  return (calls.reference - before) / count;
}

const COUNT = Number(process.env.FP_COUNT ?? 1000);
const anyFpcr = () => pick([0, 0, u32() & FPCR.WRITABLE]);

/** The lanes of a vector helper are those of the scalar helper. */
function checkVector(name: string, count: number, fpsr: number): void {
  const scalar = name.slice(1).replace("each", "");
  const { params: lanes, result } = FP_HELPERS[scalar]!;
  const bits = result === "i64" ? 64 : 32;
  const integer = plan(scalar)?.integer ?? false;
  const bytes = new Uint8Array(view.buffer);
  for (let i = 0; i < count; i++) {
    const fpcr = anyFpcr();
    // Often nothing special in any lane, or as in one that is.
    const ordinary = below(2) === 0;
    const operand = () => {
      const x = integer ? integerOperand(bits) : floatOperand(bits);
      if (!ordinary) return x;
      const fraction = bits === 64 ? 52n : 23n;
      const exponent = (x >> fraction) & (bits === 64 ? 0x3fn : 0xfn);
      const near = (bits === 64 ? 0x3e0n : 0x78n) + exponent;
      return (x & ((1n << fraction) - 1n)) | (near << fraction) | (x & (1n << BigInt(bits - 1)));
    };
    const operands = Array.from({ length: 128 / bits }, () => lanes.map(operand));
    for (const [lane, values] of operands.entries())
      for (const [at, value] of values.entries()) {
        const place = VECTORS + 16 * (at + 1) + (lane * bits) / 8;
        if (bits === 64) view.setBigUint64(place, value, true);
        else view.setUint32(place, Number(value), true);
      }
    view.setInt32(offsetOf("FPCR"), fpcr, true);
    view.setInt32(offsetOf("FPSR"), fpsr, true);
    exports[name]();
    const flags = view.getInt32(offsetOf("FPSR"), true);
    const ours = bytes.slice(VECTORS, VECTORS + 16);
    view.setInt32(offsetOf("FPSR"), fpsr, true);
    for (const [lane, values] of operands.entries()) {
      const given = values.map((x) => (bits === 64 ? x : Number(x) | 0));
      const value = BigInt.asUintN(bits, BigInt(exports[scalar](0, ...given)));
      const place = VECTORS + (lane * bits) / 8;
      if (bits === 64) view.setBigUint64(place, value, true);
      else view.setUint32(place, Number(value), true);
    }
    const expected = bytes.slice(VECTORS, VECTORS + 16);
    if (Buffer.compare(ours, expected) !== 0 || flags !== view.getInt32(offsetOf("FPSR"), true)) {
      const text = operands.map((lane) => lane.map((x) => x.toString(16)).join(" ")).join(", ");
      expect.fail(`${name} ${text}, FPCR ${fpcr.toString(16)}: ${[...ours]}, expected ${[...expected]}; FPSR ${flags}`);
    }
  }
}

const isVector = (name: string) => FP_HELPERS[name]!.result === "v128";

describe.each(Object.keys(FP_HELPERS).filter(isVector))("%s", (name) => {
  test("equals its lanes", () => {
    checkVector(name, COUNT, 0);
    checkVector(name, COUNT, FPSR.IXC);
  });
});

describe.each(Object.keys(FP_HELPERS).filter((name) => !isVector(name) && plan(name)))("%s", (name) => {
  test.each([
    { when: "FPSR clear", fpsr: 0 },
    { when: "IXC set", fpsr: FPSR.IXC },
    { when: "others set", fpsr: FPSR.IDC | FPSR.DZC },
  ])("$when", ({ fpsr }) => {
    check(name, COUNT, anyFpcr, fpsr);
  });
});

test.each([0, FPCR.FZ, 1 << 22, 2 << 22, 3 << 22])("ordinary numbers take the fast path, FPCR %i", (fpcr) => {
  const ordinary = (name: string, a: number, b: number, c: number) => {
    const { params } = FP_HELPERS[name];
    const bits = [a, b, c].slice(0, params.length).map((x, i) => {
      if (params[i] === "i64") {
        view.setFloat64(0, x);
        return view.getBigInt64(0);
      }
      view.setFloat32(0, x);
      return view.getInt32(0);
    });
    view.setInt32(offsetOf("FPCR"), fpcr, true);
    const before = calls.reference;
    exports[name](0, ...bits);
    return calls.reference - before;
  };
  const names = ["add", "sub", "mul", "div", "sqrt", "muladd", "max", "cmp", "cmge", "rintz"].flatMap((name) => [
    `f${name}32`,
    `f${name}64`,
  ]);
  for (const name of names) {
    view.setInt32(offsetOf("FPSR"), FPSR.IXC, true);
    expect(ordinary(name, 1.1, 2.3, 3.7), `${name}, IXC set`).toBe(0);
    view.setInt32(offsetOf("FPSR"), 0, true);
    expect(ordinary(name, 4, 2, 3) + ordinary(name, 0, 2, 3), `${name}, exact`).toBe(0);
    expect(view.getInt32(offsetOf("FPSR"), true), name).toBe(0);
  }
});
