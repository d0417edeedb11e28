/** The TLB arrays of a context against a plain map of what they should hold. */
import { expect, test } from "vitest";
import { TLB_ENTRIES } from "../cpu/engine.js";
import { CONTEXT_TLB_SIZE, probeTlb, TlbArrays } from "./tlb.js";

const AT = 0x1000;

test.each([
  { name: "few entries", operations: 60, spread: 64 },
  { name: "as many as there are", operations: 2 * TLB_ENTRIES, spread: 4 * TLB_ENTRIES },
])("random operations: $name", ({ operations, spread }) => {
  const i32 = new Int32Array((AT + CONTEXT_TLB_SIZE) / 4);
  const tlb = new TlbArrays(i32, AT);
  const arrays = [tlb.read, tlb.write, tlb.fetch];
  /** By array and entry: page, high word, host. */
  const model = new Map<string, { lo: number; hi: number; host: number }>();
  let seed = 1;
  const next = (n: number) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  const pageOf = () => (next(spread) * 4096 + (next(2) === 0 ? 0x8000_0000 : 0)) | 0;
  const key = (array: number, lo: number) => `${array} ${(lo >>> 12) & (TLB_ENTRIES - 1)}`;
  const drop = (page: number, hi: number) => {
    for (let array = 0; array < 3; array++) {
      const known = model.get(key(array, page));
      if (known?.lo === page && known.hi === hi) model.delete(key(array, page));
    }
  };
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < operations; i++) {
      const lo = pageOf();
      const hi = -next(2);
      const kind = next(100);
      if (kind === 0 && i % 7 === 0) {
        tlb.dropRegion(lo | next(0x20_0000), hi);
        for (let page = 0; page < 512; page++) drop((lo & ~0x1f_ffff) | (page << 12), hi);
      } else if (kind < 10) {
        tlb.dropPage(lo | next(4096), hi);
        drop(lo, hi);
      } else {
        const into = [next(2) === 0, next(2) === 0, next(2) === 0] as const;
        const host = 0x100_0000 + next(1000) * 4096;
        tlb.enter(lo | 0x123, hi, host | 0x123, ...into);
        into.forEach((wanted, array) => {
          if (wanted) model.set(key(array, lo), { lo, hi, host });
        });
      }
    }
    const wrong: string[] = [];
    for (let array = 0; array < 3; array++) {
      for (let entry = 0; entry < TLB_ENTRIES; entry++) {
        const name = `${array} ${entry}`;
        const known = model.get(name);
        const at = (arrays[array]! >>> 2) + entry * 4;
        const isRight = known
          ? probeTlb(i32, arrays[array]!, known.lo | 8, known.hi) === known.host + 8
          : i32[at] === -1 && i32[at + 1] === -1;
        if (!isRight) wrong.push(name);
      }
    }
    expect(wrong).toEqual([]);
    tlb.clear();
    model.clear();
    expect(i32.subarray(AT / 4).every((word, i) => word === -1 || i % 4 >= 2)).toBe(true);
  }
});
