import { SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { assemble } from "../test-support/assembler.js";
import { DRAM, machineAt, type PeAt } from "../test-support/pe-at.js";
import { R } from "./cpu/state.js";

const { NON_SECURE, REALM, SECURE } = SecurityState;
const RW = 1n << 31n;
const TGE = 1n << 27n;
const E2H = 1n << 34n;
const EEL2 = 1n << 18n;
const TFP = 1n << 10n;
const FPEN = (value: bigint) => value << 20n;

/** FMOV D0, X1 is a function of the interpreter, LDR Q0, [X1] a handler of its loop. */
const FMOV = 0x9e67_0020;
const LDR_Q = 0x3dc0_0020;
const MRS_FPCR = 0xd53b_4402;
const MSR_FPSR = 0xd51b_4422;
/** FP in the encoding, but no instruction: half precision is not there. */
const UNALLOCATED = 0x1ee6_1000;

/** The exception that a word ends in, "no" when it is done: "EL1 0x7", and the ISS where it is not zero. */
function run(word: number, at: PeAt & { scr?: bigint }): string {
  const { machine, pe } = machineAt({
    ...at,
    registers: { HCR_EL2: RW, PC: DRAM, X1: DRAM + 0x100n, ...at.registers },
  });
  if (at.scr !== undefined) {
    pe.r[R.SCR_EL3] = at.scr;
    pe.levelChanged();
  }
  machine.load(
    DRAM,
    assemble((a) => a.word(word)),
  );
  machine.run({ instructions: 1 });
  if (pe.r[R.PC] === DRAM + 4n) return "no";
  const esr = pe.r[[0, R.ESR_EL1, R.ESR_EL2, R.ESR_EL3][pe.el]!]!;
  const iss = esr & 0x1ff_ffffn;
  return `EL${pe.el} 0x${(esr >> 26n).toString(16)}${iss ? ` 0x${iss.toString(16)}` : ""}`;
}

const TRAP = "0x7 0x1e00000";

describe("AArch64.CheckFPAdvSIMDEnabled", () => {
  test.each<{ at: PeAt & { scr?: bigint }; expected: string }>([
    { at: { el: 0, registers: { CPACR_EL1: FPEN(0n) } }, expected: `EL1 ${TRAP}` },
    { at: { el: 0, registers: { CPACR_EL1: FPEN(1n) } }, expected: `EL1 ${TRAP}` },
    { at: { el: 0, registers: { CPACR_EL1: FPEN(2n) } }, expected: `EL1 ${TRAP}` },
    { at: { el: 0, registers: { CPACR_EL1: FPEN(3n) } }, expected: "no" },
    { at: { el: 1, registers: { CPACR_EL1: FPEN(0n) } }, expected: `EL1 ${TRAP}` },
    { at: { el: 1, registers: { CPACR_EL1: FPEN(1n) } }, expected: "no" },
    { at: { el: 1, registers: { CPACR_EL1: FPEN(2n) } }, expected: `EL1 ${TRAP}` },
    { at: { el: 1, registers: { CPACR_EL1: FPEN(3n), CPTR_EL2: TFP } }, expected: `EL2 ${TRAP}` },
    { at: { el: 1, registers: { CPACR_EL1: FPEN(0n), CPTR_EL2: TFP } }, expected: `EL1 ${TRAP}` },
    { at: { el: 2, registers: { CPTR_EL2: TFP } }, expected: `EL2 ${TRAP}` },
    { at: { el: 2, registers: { CPACR_EL1: FPEN(0n) } }, expected: "no" },
    { at: { el: 2, registers: { CPTR_EL3: TFP } }, expected: `EL3 ${TRAP}` },
    { at: { el: 3, registers: { CPTR_EL3: TFP } }, expected: `EL3 ${TRAP}` },
    { at: { el: 3, registers: { CPTR_EL2: TFP } }, expected: "no" },
    // EL0 without an EL1 that could have allowed it.
    { at: { el: 0, registers: { CPACR_EL1: FPEN(0n), HCR_EL2: RW | TGE } }, expected: "EL2 0x0" },
    { at: { el: 0, registers: { CPACR_EL1: FPEN(3n), HCR_EL2: RW | TGE, CPTR_EL2: TFP } }, expected: `EL2 ${TRAP}` },
    // A host of EL0: CPTR_EL2.FPEN takes the place of CPACR_EL1.
    { at: { el: 0, registers: { HCR_EL2: RW | TGE | E2H, CPTR_EL2: FPEN(1n) } }, expected: `EL2 ${TRAP}` },
    { at: { el: 0, registers: { HCR_EL2: RW | TGE | E2H, CPTR_EL2: FPEN(3n) } }, expected: "no" },
    { at: { el: 2, registers: { HCR_EL2: RW | TGE | E2H, CPTR_EL2: FPEN(1n) } }, expected: "no" },
    { at: { el: 2, registers: { HCR_EL2: RW | E2H, CPTR_EL2: FPEN(2n) } }, expected: `EL2 ${TRAP}` },
    { at: { el: 0, registers: { HCR_EL2: RW | E2H, CPACR_EL1: FPEN(3n), CPTR_EL2: FPEN(1n) } }, expected: "no" },
    // Secure state with and without EL2.
    { at: { el: 1, state: SECURE, registers: { CPACR_EL1: FPEN(3n), CPTR_EL2: TFP } }, expected: `EL2 ${TRAP}` },
    {
      at: { el: 1, state: SECURE, scr: 0x1204_0530n & ~EEL2, registers: { CPACR_EL1: FPEN(3n), CPTR_EL2: TFP } },
      expected: "no",
    },
    { at: { el: 1, state: REALM, registers: { CPACR_EL1: FPEN(3n), CPTR_EL2: TFP } }, expected: `EL2 ${TRAP}` },
  ])("EL$at.el, state $at.state, $at.registers: $expected", ({ at, expected }) => {
    for (const word of [FMOV, LDR_Q, MRS_FPCR, MSR_FPSR]) expect([word, run(word, at)]).toEqual([word, expected]);
  });

  test("what is no instruction is UNDEFINED whether FP traps or not", () => {
    for (const fpen of [0n, 3n])
      expect(run(UNALLOCATED, { el: 1, registers: { CPACR_EL1: FPEN(fpen) } })).toBe("EL1 0x0");
  });

  test("the trap comes before the fault of an access", () => {
    const registers = { X1: 0x7f00_0000_0000n };
    expect(run(LDR_Q, { el: 1, registers: { ...registers, CPACR_EL1: 0n } })).toBe(`EL1 ${TRAP}`);
    expect(run(LDR_Q, { el: 1, registers: { ...registers, CPACR_EL1: FPEN(3n) } })).toMatch(/^EL1 0x25/);
  });

  test.each([
    { name: "CPACR_EL1", el: 1 as const, open: FPEN(3n), closed: 0n },
    { name: "CPTR_EL2", el: 2 as const, open: 0n, closed: TFP },
    { name: "CPTR_EL3", el: 3 as const, open: 0n, closed: TFP },
  ])("a write of $name takes effect at the next instruction", ({ name, el, open, closed }) => {
    const { machine, pe } = machineAt({
      el,
      state: NON_SECURE,
      registers: { HCR_EL2: RW, PC: DRAM, X1: open, X2: closed, CPTR_EL2: el === 2 ? closed : 0n },
    });
    machine.load(
      DRAM,
      assemble((a) => a.msr(name, 1).word(FMOV).msr(name, 2).word(FMOV)),
    );
    machine.run({ instructions: 4 });
    expect(pe.r[[0, R.ELR_EL1, R.ELR_EL2, R.ELR_EL3][el]!]).toBe(DRAM + 12n);
    expect(pe.r[R.V0]).toBe(open);
  });

  test("an exception to EL1 and back: each level has its own answer", () => {
    const { machine, pe } = machineAt({
      el: 0,
      registers: { HCR_EL2: RW, PC: DRAM, VBAR_EL1: DRAM + 0x1000n, CPACR_EL1: FPEN(1n), X1: 5n },
    });
    machine.load(
      DRAM,
      assemble((a) => a.word(FMOV)),
    );
    // The handler may use FP, and goes back to EL0, which may not.
    machine.load(
      DRAM + 0x1400n,
      assemble((a) => a.word(FMOV, 0xd69f_03e0)),
    );
    // The trap, FMOV, ERET as an instruction and a change of level, the trap again.
    machine.run({ instructions: 5 });
    expect(pe.el).toBe(1);
    expect(pe.r[R.V0]).toBe(5n);
    expect(pe.r[R.PC]).toBe(DRAM + 0x1400n);
    expect(machine.counters.exceptions[7]).toBe(2);
  });
});

test("FPCR and FPSR keep the bits that the machine has", () => {
  const { machine, pe } = machineAt({
    el: 1,
    registers: { HCR_EL2: RW, PC: DRAM, CPACR_EL1: FPEN(3n), X1: ~0n & (2n ** 64n - 1n) },
  });
  machine.load(
    DRAM,
    assemble((a) => a.msr("FPCR", 1).msr("FPSR", 1).mrs(2, "FPCR").mrs(3, "FPSR")),
  );
  machine.run({ instructions: 4 });
  expect(pe.r[R.X2]).toBe(0x07c0_0000n);
  expect(pe.r[R.X3]).toBe(0x0800_009fn);
});
