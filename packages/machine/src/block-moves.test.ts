import { describe, expect, test } from "vitest";
import { compileMoves, type Move } from "./block-moves.js";
import { Wasm } from "./cpu/wasm/api.js";

const A = 0x1000;
const B = 0x2000;
const C = 0x3008;

/** A memory in which each byte has another value than its neighbours. */
function filled() {
  const memory = new Wasm.Memory({ initial: 1 });
  const bytes = new Uint8Array(memory.buffer);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 167 + (i >> 8)) & 0xff;
  return { memory, bytes };
}

describe("block moves", () => {
  test.each([8, 16, 24, 368, 576])("a run of %d bytes, and nothing beside it", (size) => {
    const { memory, bytes } = filled();
    const expected = bytes.slice();
    expected.copyWithin(B + 24, A + 8, A + 8 + size);
    const moves: Move[] = [{ from: { base: 0, offset: 8 }, to: { base: 1, offset: 24 }, size }];
    compileMoves(memory, moves)(A, B, C);
    expect(bytes).toEqual(expected);
  });

  test("several runs in their order, between three places", () => {
    const { memory, bytes } = filled();
    const expected = bytes.slice();
    expected.copyWithin(B, A, A + 40);
    expected.copyWithin(A, C + 8, C + 8 + 24);
    expected.copyWithin(C, A, A + 16);
    const moves: Move[] = [
      { from: { base: 0, offset: 0 }, to: { base: 1, offset: 0 }, size: 40 },
      { from: { base: 2, offset: 8 }, to: { base: 0, offset: 0 }, size: 24 },
      { from: { base: 0, offset: 0 }, to: { base: 2, offset: 0 }, size: 16 },
    ];
    compileMoves(memory, moves)(A, B, C);
    expect(bytes).toEqual(expected);
  });

  test("a run down by one word", () => {
    const { memory, bytes } = filled();
    const expected = bytes.slice();
    expected.copyWithin(A, A + 8, A + 8 + 40);
    const moves: Move[] = [{ from: { base: 0, offset: 8 }, to: { base: 0, offset: 0 }, size: 40 }];
    compileMoves(memory, moves)(A, B, C);
    expect(bytes).toEqual(expected);
  });

  test("one list serves several memories", () => {
    const moves: Move[] = [{ from: { base: 0, offset: 0 }, to: { base: 1, offset: 0 }, size: 8 }];
    const [one, other] = [filled(), filled()];
    compileMoves(one.memory, moves)(A, B, C);
    expect(one.bytes.subarray(B, B + 8)).toEqual(one.bytes.subarray(A, A + 8));
    expect(other.bytes.subarray(B, B + 8)).not.toEqual(other.bytes.subarray(A, A + 8));
    compileMoves(other.memory, moves)(A, B, C);
    expect(other.bytes).toEqual(one.bytes);
  });
});
