import { expect, test } from "vitest";
import { Wasm } from "./api.js";
import { CodeWriter } from "./code.js";
import { ModuleWriter } from "./module.js";

/** A module that exports one function, instantiated. */
function instantiate<F>(
  params: readonly ("i32" | "i64")[],
  result: "i32" | "i64",
  write: (code: CodeWriter) => void,
): F {
  const module = new ModuleWriter();
  const index = module.declare({ params, results: [result] });
  const code = new CodeWriter(params.length);
  write(code);
  module.define(index, code);
  module.exportFunction("f", index);
  return new Wasm.Instance(new Wasm.Module(module.build()), {}).exports.f as F;
}

test.each([0, 1, -1, 63, 64, -64, -65, 8191, 8192, 0x7fff_ffff, -0x8000_0000])("i32 constant %i", (value) => {
  expect(instantiate<() => number>([], "i32", (code) => code.i32(value))()).toBe(value);
});

test.each([0n, -1n, 63n, 64n, -64n, -65n, 1n << 62n, (1n << 63n) - 1n, -(1n << 63n)])("i64 constant %i", (value) => {
  expect(instantiate<() => bigint>([], "i64", (code) => code.i64(value))()).toBe(value);
});

test("labels name blocks and loops at any depth", () => {
  // Counts down from the argument in a loop within blocks; leaves by the outer block.
  const f = instantiate<(n: number) => number>(["i32"], "i32", (code) => {
    const steps = code.local("i32");
    const outer = code.block();
    const loop = code.loop();
    code.block();
    code.localGet(0);
    code.op("i32_eqz");
    code.brIf(outer);
    code.localGet(0);
    code.i32(1);
    code.op("i32_sub");
    code.localSet(0);
    code.localGet(steps);
    code.i32(3);
    code.op("i32_add");
    code.localSet(steps);
    code.br(loop);
    code.end();
    code.end();
    code.end();
    code.localGet(steps);
  });
  expect([f(0), f(5)]).toEqual([0, 15]);
});

test("br_table takes the entry of its index, and the last label beyond", () => {
  const f = instantiate<(n: number) => number>(["i32"], "i32", (code) => {
    const otherwise = code.block();
    const second = code.block();
    const first = code.block();
    code.localGet(0);
    code.brTable([first, second], otherwise);
    code.end();
    code.i32(10);
    code.op("return");
    code.end();
    code.i32(20);
    code.op("return");
    code.end();
    code.i32(30);
  });
  expect([f(0), f(1), f(2), f(-1)]).toEqual([10, 20, 30, 30]);
});
