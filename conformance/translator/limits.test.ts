/**
 * A guest cannot make the translator grow: endless new code on many pages, and limits so small that code is evicted all the
 * time, leave the same machine behind and bounded tables.
 */
import { describe, expect, test } from "vitest";
import type { Assembler } from "../../packages/machine/test-support/assembler.js";
import { op } from "../system/encoding.js";
import { ALIAS, CODE, inAllWays, PAGE, type Stage } from "./stage.js";

const subs = (d: number, i: number) => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, s: 1, n: d, d, i });
const NE = 1;
const addX0 = (i: number) => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, n: 0, d: 0, i });
const ret = op("RET", { n: 30 });

/** Writes a function of two instructions at X4 with a number that goes up, calls it twice, goes 64 bytes on; for ever. */
const endless = (a: Assembler) => {
  a.mov(3, addX0(0))
    .mov(6, ret)
    .mov(8, ALIAS)
    .mov(10, CODE + 8n * PAGE)
    .label("from the start")
    .mov(1, CODE);
  a.label("again")
    .add(3, 3, (1 << 10) & 0xfff)
    .word(0x8b08_0024); // add x4, x1, x8
  a.strw(3, 4)
    .strw(6, 4, 4)
    .word(op("BLR", { n: 1 }), op("BLR", { n: 1 }))
    .add(1, 1, 64);
  a.word(0xeb0a_003f).bCond(NE, "again").add(12, 12, 1).b("from the start"); // cmp x1, x10
};

describe("a guest that writes new code for ever", () => {
  test("tables stay within their limits", () => {
    const result = inAllWays(
      endless,
      (stage) => {
        stage.run(60_000);
        const { translator } = stage.machine;
        if (translator) {
          const { regions, codeBytes, translations, invalidations } = translator.counters;
          expect(regions).toBeLessThan(600);
          expect(codeBytes).toBeLessThan(4 << 20);
          expect(translations - regions).toBeLessThanOrEqual(invalidations + translator.counters.evictions * 8192);
        }
        return [stage.x(0), stage.x(12)];
      },
      {
        translated: 1_000,
        ways: [
          { jit: "off", pieces: undefined },
          { jit: 0, pieces: undefined },
          { jit: 1, pieces: 500 },
        ],
      },
    );
    expect(result[1]).toBeGreaterThan(5n);
  });
});

describe("tiny limits", () => {
  /** 128 functions, called in turn. */
  const calls = (stage: Stage) => {
    const words = new Uint32Array(128 * 16);
    for (let n = 0; n < 128; n++) words.set([addX0(1), addX0(n & 7), ret], n * 16);
    stage.machine.load(CODE, new Uint8Array(words.buffer));
    stage.run(40_000);
    return [stage.x(0), stage.machine.translator?.counters] as const;
  };

  test("code is evicted and made again, and nothing else changes", () => {
    const evictions: number[] = [];
    const sum = inAllWays(
      (a) => {
        a.mov(2, 20)
          .label("round")
          .mov(1, CODE)
          .mov(5, 128)
          .label("call")
          .word(op("BLR", { n: 1 }))
          .add(1, 1, 64);
        a.word(subs(5, 1)).bCond(NE, "call").word(subs(2, 1)).bCond(NE, "round").wfi().loop();
      },
      (stage) => {
        const [x0, counters] = calls(stage);
        if (counters) {
          evictions.push(counters.evictions);
          expect(counters.regions).toBeLessThanOrEqual(20);
        }
        return x0;
      },
      {
        limits: { regions: 20, codeBytes: 1 << 20 },
        ways: [
          { jit: "off", pieces: undefined },
          { jit: 0, pieces: undefined },
          { jit: 3, pieces: 40 },
        ],
      },
    );
    expect(sum).toBe(20n * (128n + 16n * 28n));
    expect(Math.min(...evictions)).toBeGreaterThan(5);
  });

  test("by the bytes of code", () => {
    const sum = inAllWays(
      (a) => {
        a.mov(2, 20)
          .label("round")
          .mov(1, CODE)
          .mov(5, 128)
          .label("call")
          .word(op("BLR", { n: 1 }))
          .add(1, 1, 64);
        a.word(subs(5, 1)).bCond(NE, "call").word(subs(2, 1)).bCond(NE, "round").wfi().loop();
      },
      (stage) => {
        const [x0, counters] = calls(stage);
        if (counters) {
          expect(counters.evictions).toBeGreaterThan(5);
          expect(counters.codeBytes).toBeLessThan(16 << 10);
        }
        return x0;
      },
      {
        limits: { regions: 4096, codeBytes: 8 << 10 },
        ways: [
          { jit: "off", pieces: undefined },
          { jit: 0, pieces: undefined },
        ],
      },
    );
    expect(sum).toBe(20n * (128n + 16n * 28n));
  });
});
