/**
 * Loads and stores of V registers at the edges: what a device sees of them, and faults in the middle, which leave
 * registers and memory alone. Compared with QEMU in conformance/system.
 */
import { describe, expect, test } from "vitest";
import { assemble } from "../test-support/assembler.js";
import { DRAM, machineAt } from "../test-support/pe-at.js";
import { D, peek, poke, Tables } from "../test-support/tables.js";
import { R } from "./cpu/state.js";

const DEVICE = 0x7f00_0000n;
const FPEN = 3n << 20n;

/** The accesses that a word makes, as `offset:size`, and the PE after it. X0 is the device, X1 a register offset. */
function accesses(word: number) {
  const { machine, pe } = machineAt({
    el: 1,
    registers: { HCR_EL2: 1n << 31n, PC: DRAM, CPACR_EL1: FPEN, X0: DEVICE },
  });
  const seen: string[] = [];
  machine.bus.attach({
    base: DEVICE,
    size: 0x1000n,
    device: {
      name: "probe",
      read: (offset, size) => {
        seen.push(`${offset}:${size}`);
        return 0x0807_0605_0403_0201n + BigInt(offset);
      },
      write: (offset, size, value) => void seen.push(`${offset}:${size}=${value.toString(16)}`),
    },
  });
  for (let i = 0; i < 8; i++) pe.r[R.V0 + i] = 0x1111_1111_1111_1111n * BigInt(i + 1);
  machine.load(
    DRAM,
    assemble((a) => a.word(word)),
  );
  machine.run({ instructions: 1 });
  expect(pe.r[R.PC]).toBe(DRAM + 4n);
  return { seen, pe };
}

// Words from the GNU assembler.
test.each([
  { text: "ldr q0, [x0]", word: 0x3dc0_0000, expected: ["0:8", "8:8"] },
  { text: "ldr h0, [x0]", word: 0x7d40_0000, expected: ["0:2"] },
  { text: "ldp s0, s1, [x0]", word: 0x2d40_0400, expected: ["0:4", "4:4"] },
  { text: "ldp q0, q1, [x0]", word: 0xad40_0400, expected: ["0:8", "8:8", "16:8", "24:8"] },
  { text: "ld1 {v0.2s}, [x0]", word: 0x0c40_7800, expected: ["0:4", "4:4"] },
  { text: "ld2 {v0.4h, v1.4h}, [x0]", word: 0x0c40_8400, expected: [0, 2, 4, 6, 8, 10, 12, 14].map((at) => `${at}:2`) },
  { text: "ld3 {v0.b, v1.b, v2.b}[1], [x0]", word: 0x0d40_2400, expected: ["0:1", "1:1", "2:1"] },
  { text: "ld1 {v0.d}[1], [x0]", word: 0x4d40_8400, expected: ["0:8"] },
  { text: "ld2r {v0.4s, v1.4s}, [x0]", word: 0x4d60_c800, expected: ["0:4", "4:4"] },
  { text: "str d1, [x0]", word: 0xfd00_0001, expected: ["0:8=3333333333333333"] },
  { text: "st2 {v0.d, v1.d}[0], [x0]", word: 0x0d20_8400, expected: ["0:8=1111111111111111", "8:8=3333333333333333"] },
])("$text", ({ word, expected }) => {
  expect(accesses(word).seen).toEqual(expected);
});

test("what a device answers is what the registers get", () => {
  const { pe } = accesses(0x4d60_c800); // ld2r {v0.4s, v1.4s}, [x0]
  expect([0, 1, 2, 3].map((i) => pe.r[R.V0 + i])).toEqual([
    0x0403_0201_0403_0201n,
    0x0403_0201_0403_0201n,
    0x0403_0205_0403_0205n,
    0x0403_0205_0403_0205n,
  ]);
});

describe("a fault in the middle", () => {
  const RW = 1n << 31n;
  const VM = 1n;
  const S1 = DRAM + 0x10_0000n;
  const S2 = DRAM + 0x20_0000n;
  const PAGE_AT = DRAM + 0x40_0000n;
  const VA = 0x7000n;
  const NEXT = VA + 0x1000n;

  /** A page at VA and nothing behind it, at stage 1 or at stage 2; `word` with X0 in the page's last bytes. */
  function fault(word: number, { before, stage }: { before: bigint; stage: 1 | 2 }) {
    const { machine, pe } = machineAt({
      el: 1,
      registers: {
        ...{ SCTLR_EL1: 1n, TCR_EL1: 16n | (16n << 16n) | (2n << 30n) | (5n << 32n), MAIR_EL1: 0xffn, TTBR0_EL1: S1 },
        ...{ HCR_EL2: stage === 2 ? RW | VM : RW, VTCR_EL2: 24n | (1n << 6n) | (5n << 16n), VTTBR_EL2: S2 },
        ...{ CPACR_EL1: FPEN, PC: VA, X0: NEXT - before, X1: 0x99n },
      },
    });
    const page = D.AF | D.PAGE;
    const first = new Tables(machine, { at: S1 }).map(VA, PAGE_AT | page);
    if (stage === 2) {
      first.map(NEXT, (PAGE_AT + 0x1000n) | page);
      const second = new Tables(machine, { at: S2, startLevel: 1, rootPages: 2n });
      second.map(DRAM, DRAM | D.AF | D.BLOCK | D.S2_NORMAL | D.S2_READ | D.S2_WRITE, { level: 2 });
      second.map(DRAM + 0x20_0000n, (DRAM + 0x20_0000n) | D.AF | D.BLOCK | D.S2_NORMAL | D.S2_READ, { level: 2 });
      second.map(PAGE_AT, PAGE_AT | page | D.S2_NORMAL | D.S2_READ | D.S2_WRITE);
    }
    for (let at = 0n; at < 0x1000n; at += 8n) poke(machine, PAGE_AT + at, 0xd0d0_0000n + at);
    machine.load(
      PAGE_AT,
      assemble((a) => a.word(word)),
    );
    for (let i = 0; i < 64; i++) pe.r[R.V0 + i] = BigInt(i);
    const memory = () => Array.from({ length: 8 }, (_, i) => peek(machine, PAGE_AT + 0xfc0n + BigInt(8 * i)));
    const memoryBefore = memory();
    machine.run({ instructions: 1 });
    expect(Array.from({ length: 64 }, (_, i) => pe.r[R.V0 + i])).toEqual(
      Array.from({ length: 64 }, (_, i) => BigInt(i)),
    );
    expect(memory()).toEqual(memoryBefore);
    expect([pe.r[R.X0], pe.r[R.X1]]).toEqual([NEXT - before, 0x99n]);
    return {
      el: pe.el,
      esr: pe.r[stage === 2 ? R.ESR_EL2 : R.ESR_EL1],
      far: pe.r[stage === 2 ? R.FAR_EL2 : R.FAR_EL1],
    };
  }

  // Words from the GNU assembler. DFSC 0x07: translation, level 3; WnR is bit 6; ISV is 0.
  test.each([
    { text: "ldr q0, [x0]", word: 0x3dc0_0000, before: 8n, wnr: 0n },
    { text: "ldr q0, [x0], #16", word: 0x3cc1_0400, before: 1n, wnr: 0n },
    { text: "ldp q0, q1, [x0]", word: 0xad40_0400, before: 16n, wnr: 0n },
    { text: "ldp d0, d1, [x0], #16", word: 0x6cc1_0400, before: 8n, wnr: 0n },
    { text: "ld1 {v0.16b-v3.16b}, [x0]", word: 0x4c40_2000, before: 48n, wnr: 0n },
    { text: "ld4 {v0.4s-v3.4s}, [x0]", word: 0x4c40_0800, before: 60n, wnr: 0n },
    { text: "ld4 {v0.8h-v3.8h}, [x0], x1", word: 0x4cc1_0400, before: 2n, wnr: 0n },
    { text: "ld3 {v0.b-v2.b}[5], [x0], #3", word: 0x0ddf_3400, before: 2n, wnr: 0n },
    { text: "ld2r {v0.2d, v1.2d}, [x0]", word: 0x4d60_cc00, before: 8n, wnr: 0n },
    { text: "stp q0, q1, [x0], #32", word: 0xac81_0400, before: 16n, wnr: 1n },
    { text: "st4 {v0.16b-v3.16b}, [x0], #64", word: 0x4c9f_0000, before: 33n, wnr: 1n },
    { text: "st2 {v0.d, v1.d}[1], [x0]", word: 0x4d20_8400, before: 8n, wnr: 1n },
  ])("$text, $before bytes before the end of a page", ({ word, before, wnr }) => {
    const dfsc = 0x07n | (wnr << 6n);
    expect(fault(word, { before, stage: 1 })).toEqual({ el: 1, esr: 0x9600_0000n | dfsc, far: NEXT });
    expect(fault(word, { before, stage: 2 })).toEqual({ el: 2, esr: 0x9200_0000n | dfsc, far: NEXT });
  });
});
