import { SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { assemble } from "../test-support/assembler.js";
import { DRAM, machineAt, modeOf, type PeAt, SCR_OF } from "../test-support/pe-at.js";
import { R } from "./cpu/state.js";
import { exceptionReturn, takeInterrupt } from "./exceptions.js";
import { Line } from "./irq.js";

const { NON_SECURE, REALM, SECURE } = SecurityState;
const RW = 1n << 31n;
const TGE = 1n << 27n;
const E2H = 1n << 34n;
const [FMO, IMO, AMO, VF, VI, VSE] = [3n, 4n, 5n, 6n, 7n, 8n].map((bit) => 1n << bit) as [
  bigint,
  bigint,
  bigint,
  bigint,
  bigint,
  bigint,
];
const SCR_IRQ = 2n;
const SCR_FIQ = 4n;
const MASKED = 0x3c0n;
const OPEN = 0n;

describe("routing of interrupts", () => {
  // Where it goes: "EL2 irq", or "pending".
  test.each([
    // DDI 0487, "Asynchronous exception routing": by SCR_EL3, then HCR_EL2, then EL1.
    { el: 0, hcr: 0n, scr: 0n, pstate: OPEN, line: Line.IRQ, to: "EL1 irq" },
    { el: 1, hcr: 0n, scr: 0n, pstate: OPEN, line: Line.IRQ, to: "EL1 irq" },
    { el: 1, hcr: 0n, scr: 0n, pstate: MASKED, line: Line.IRQ, to: "pending" },
    { el: 0, hcr: 0n, scr: 0n, pstate: MASKED, line: Line.IRQ, to: "pending" },
    { el: 1, hcr: IMO, scr: 0n, pstate: MASKED, line: Line.IRQ, to: "EL2 irq" },
    { el: 0, hcr: IMO, scr: 0n, pstate: MASKED, line: Line.IRQ, to: "EL2 irq" },
    { el: 1, hcr: FMO, scr: 0n, pstate: MASKED, line: Line.FIQ, to: "EL2 fiq" },
    { el: 1, hcr: FMO, scr: 0n, pstate: MASKED, line: Line.IRQ, to: "pending" },
    { el: 0, hcr: TGE, scr: 0n, pstate: MASKED, line: Line.IRQ, to: "EL2 irq" },
    { el: 0, hcr: TGE | E2H, scr: 0n, pstate: MASKED, line: Line.IRQ, to: "pending" },
    { el: 0, hcr: TGE | E2H, scr: 0n, pstate: OPEN, line: Line.IRQ, to: "EL2 irq" },
    // A target below the current EL: never taken.
    { el: 2, hcr: 0n, scr: 0n, pstate: OPEN, line: Line.IRQ, to: "pending" },
    { el: 3, hcr: IMO, scr: 0n, pstate: OPEN, line: Line.IRQ, to: "pending" },
    { el: 2, hcr: IMO, scr: 0n, pstate: OPEN, line: Line.IRQ, to: "EL2 irq" },
    { el: 2, hcr: IMO, scr: 0n, pstate: MASKED, line: Line.IRQ, to: "pending" },
    { el: 2, hcr: TGE, scr: 0n, pstate: OPEN, line: Line.IRQ, to: "EL2 irq" },
    { el: 1, hcr: IMO, scr: SCR_IRQ, pstate: MASKED, line: Line.IRQ, to: "EL3 irq" },
    { el: 2, hcr: 0n, scr: SCR_FIQ, pstate: MASKED, line: Line.FIQ, to: "EL3 fiq" },
    { el: 3, hcr: 0n, scr: SCR_FIQ, pstate: OPEN, line: Line.FIQ, to: "EL3 fiq" },
    { el: 3, hcr: 0n, scr: SCR_FIQ, pstate: MASKED, line: Line.FIQ, to: "pending" },
    // FIQ before IRQ when both are due.
    { el: 1, hcr: IMO | FMO, scr: 0n, pstate: OPEN, line: Line.IRQ | Line.FIQ, to: "EL2 fiq" },
    // Virtual interrupts: at EL1 and EL0 without TGE, where the physical ones go to EL2.
    { el: 1, hcr: IMO, scr: 0n, pstate: OPEN, line: Line.VIRQ, to: "EL1 irq" },
    { el: 0, hcr: IMO, scr: 0n, pstate: OPEN, line: Line.VIRQ, to: "EL1 irq" },
    { el: 1, hcr: IMO, scr: 0n, pstate: MASKED, line: Line.VIRQ, to: "pending" },
    { el: 1, hcr: 0n, scr: 0n, pstate: OPEN, line: Line.VIRQ, to: "pending" },
    { el: 2, hcr: IMO, scr: 0n, pstate: OPEN, line: Line.VIRQ, to: "pending" },
    { el: 0, hcr: IMO | TGE, scr: 0n, pstate: OPEN, line: Line.VIRQ, to: "pending" },
    { el: 1, hcr: IMO | VI, scr: 0n, pstate: OPEN, line: 0, to: "EL1 irq" },
    { el: 1, hcr: VI, scr: 0n, pstate: OPEN, line: 0, to: "pending" },
    { el: 1, hcr: FMO | VF, scr: 0n, pstate: OPEN, line: 0, to: "EL1 fiq" },
    { el: 1, hcr: FMO, scr: 0n, pstate: OPEN, line: Line.VFIQ, to: "EL1 fiq" },
    { el: 1, hcr: AMO | VSE, scr: 0n, pstate: OPEN, line: 0, to: "EL1 serror" },
    { el: 1, hcr: AMO | VSE, scr: 0n, pstate: MASKED, line: 0, to: "pending" },
    { el: 1, hcr: VSE, scr: 0n, pstate: OPEN, line: 0, to: "pending" },
  ])("EL$el, HCR_EL2 $hcr, SCR_EL3 $scr, PSTATE $pstate, lines $line: $to", ({ el, hcr, scr, pstate, line, to }) => {
    for (const state of [NON_SECURE, REALM]) {
      const { pe } = machineAt({
        el: el as PeAt["el"],
        state,
        pstate,
        registers: { HCR_EL2: RW | hcr, VBAR_EL1: 0x1000n, VBAR_EL2: 0x2000n, VBAR_EL3: 0x3000n, PC: 0x8000n },
      });
      pe.r[R.SCR_EL3] |= scr;
      const taken = takeInterrupt(pe, line);
      if (!taken) {
        expect("pending").toBe(to);
        continue;
      }
      const vector = ["sync", "irq", "fiq", "serror"][Number((pe.r[R.PC]! & 0x180n) >> 7n)];
      expect(`EL${pe.el} ${vector}`).toBe(to);
      expect(pe.r[R.PC]! >> 12n).toBe(BigInt(pe.el));
      expect(pe.pstate & 0x3c0n).toBe(0x3c0n);
      expect(pe.r[pe.el === 3 ? R.ELR_EL3 : pe.el === 2 ? R.ELR_EL2 : R.ELR_EL1]).toBe(0x8000n);
    }
  });

  test("in Secure state without EEL2 there is no EL2 to route to", () => {
    const { pe } = machineAt({ el: 1, state: SECURE, pstate: OPEN, registers: { HCR_EL2: RW | IMO } });
    pe.r[R.SCR_EL3] &= ~(1n << 18n);
    expect(takeInterrupt(pe, Line.IRQ)).toBe(true);
    expect(pe.el).toBe(1);
  });

  test("a virtual SError reports VSESR_EL2 and is consumed", () => {
    const { pe } = machineAt({
      el: 1,
      pstate: OPEN,
      registers: { HCR_EL2: RW | AMO | VSE, VSESR_EL2: 0x100_0002n },
    });
    expect(takeInterrupt(pe, 0)).toBe(true);
    expect(pe.r[R.ESR_EL1]).toBe(0xbf00_0002n);
    expect(takeInterrupt(pe, 0)).toBe(false);
  });
});

describe("exception return", () => {
  test.each([
    { name: "to a higher EL", el: 1, spsr: modeOf(2), legal: false },
    { name: "to EL0 with SPSel", el: 1, spsr: 1n, legal: false },
    { name: "reserved mode", el: 2, spsr: 6n, legal: false },
    { name: "AArch32", el: 2, spsr: 0x10n, legal: false },
    { name: "to EL1 while TGE is 1", el: 2, spsr: modeOf(1), hcr: TGE, legal: false },
    { name: "to EL1", el: 2, spsr: modeOf(1), legal: true },
    { name: "to EL1 with SP_EL0", el: 2, spsr: 4n, legal: true },
    { name: "to EL0 while TGE is 1", el: 2, spsr: 0n, hcr: TGE, legal: true },
    { name: "from EL3 to the reserved state", el: 3, spsr: modeOf(2), scr: 1n << 62n, legal: false },
    { name: "from EL3 to Realm EL2", el: 3, spsr: modeOf(2), scr: SCR_OF[REALM], legal: true },
    { name: "from EL3 to Secure EL2 without EEL2", el: 3, spsr: modeOf(2), scr: 0n, legal: false },
    { name: "from EL3 to Secure EL1 without EEL2", el: 3, spsr: modeOf(1), scr: 0n, legal: true },
  ])("$name", ({ el, spsr, hcr = 0n, scr, legal }) => {
    const { pe } = machineAt({ el: el as PeAt["el"], registers: { HCR_EL2: RW | hcr } });
    if (scr !== undefined) pe.r[R.SCR_EL3] = scr;
    for (const target of ["SPSR_EL1", "SPSR_EL2", "SPSR_EL3"] as const) pe.r[R[target]] = spsr | 0x4000_0000n;
    for (const target of ["ELR_EL1", "ELR_EL2", "ELR_EL3"] as const) pe.r[R[target]] = 0x4444n;
    exceptionReturn(pe);
    if (legal) {
      expect([pe.pstate, pe.r[R.PC]]).toEqual([spsr | 0x4000_0000n, 0x4444n]);
      return;
    }
    // EL and SP stay, NZCV and DAIF come from SPSR, IL is set: the next instruction is an Illegal Execution state exception.
    expect(pe.el).toBe(el);
    const esr = pe.r[el === 3 ? R.ESR_EL3 : el === 2 ? R.ESR_EL2 : R.ESR_EL1];
    const saved = pe.r[el === 3 ? R.SPSR_EL3 : el === 2 ? R.SPSR_EL2 : R.SPSR_EL1];
    expect(esr).toBe((0x0en << 26n) | (1n << 25n));
    expect(saved).toBe(0x4010_0000n | modeOf(el));
  });

  test("clears the monitor and sets the event register", () => {
    const { pe } = machineAt({ el: 2, registers: { HCR_EL2: RW, SPSR_EL2: modeOf(1), EXCL_HOST: 0x1234n } });
    exceptionReturn(pe);
    expect([pe.r[R.EXCL_HOST], pe.r[R.EVENT]]).toEqual([0n, 1n]);
  });
});

describe("exception entry", () => {
  /** Runs one instruction and returns the PE. */
  const run = (words: Uint8Array, at: PeAt) => {
    const { machine, pe } = machineAt({
      ...at,
      registers: {
        PC: DRAM,
        VBAR_EL1: DRAM + 0x1000n,
        VBAR_EL2: DRAM + 0x2000n,
        VBAR_EL3: DRAM + 0x3000n,
        ...at.registers,
      },
    });
    machine.load(DRAM, words);
    machine.run({ instructions: 1 });
    return pe;
  };

  test("stack pointers are banked, and SPSel chooses the vector", () => {
    const pe = run(
      assemble((a) => a.svc()),
      {
        el: 1,
        registers: { HCR_EL2: RW, SP_EL0: 0xe0n, SP_EL1: 0xe1n, SP_EL2: 0xe2n },
      },
    );
    expect([pe.r[R.PC], pe.r[R.SP], pe.r[R.SP_EL0]]).toEqual([DRAM + 0x1200n, 0xe1n, 0xe0n]);
    const { machine, pe: other } = machineAt({ el: 1, registers: { HCR_EL2: RW, VBAR_EL1: DRAM + 0x1000n, PC: DRAM } });
    machine.load(
      DRAM,
      assemble((a) => a.svc()),
    );
    other.pstate = 0x3c4n;
    machine.run({ instructions: 1 });
    expect(other.r[R.PC]).toBe(DRAM + 0x1000n);
  });

  test.each([
    { name: "to EL1, SPAN 0", sctlr: 0n, before: 0n, pan: true },
    { name: "to EL1, SPAN 1", sctlr: 1n << 23n, before: 0n, pan: false },
    { name: "to EL1, SPAN 1, already set", sctlr: 1n << 23n, before: 1n << 22n, pan: true },
  ])("PAN $name", ({ sctlr, before, pan }) => {
    const pe = run(
      assemble((a) => a.svc()),
      {
        el: 1,
        pstate: 0x3c0n | before,
        registers: { HCR_EL2: RW, SCTLR_EL1: sctlr },
      },
    );
    expect((pe.pstate & (1n << 22n)) !== 0n).toBe(pan);
  });

  test.each([
    { name: "SVC from EL0", el: 0, insn: (1 << 5) | 0xd400_0001, to: 1, esr: 0x5600_0001n, after: 4n },
    { name: "SVC from EL0, TGE", el: 0, hcr: TGE, insn: 0xd400_0001, to: 2, esr: 0x5600_0000n, after: 4n },
    { name: "HVC", el: 1, insn: 0xd400_0002 | (9 << 5), to: 2, esr: 0x5a00_0009n, after: 4n },
    { name: "HVC without HCE", el: 1, scr: -(1n << 8n), insn: 0xd400_0002, to: 1, esr: 0x0200_0000n, after: 0n },
    { name: "HVC from EL0", el: 0, insn: 0xd400_0002, to: 1, esr: 0x0200_0000n, after: 0n },
    { name: "SMC", el: 1, insn: 0xd400_0003, to: 3, esr: 0x5e00_0000n, after: 4n },
    { name: "SMC, TSC", el: 1, hcr: 1n << 19n, insn: 0xd400_0003, to: 2, esr: 0x5e00_0000n, after: 0n },
    { name: "SMC, SMD", el: 1, scr: 1n << 7n, insn: 0xd400_0003, to: 1, esr: 0x0200_0000n, after: 0n },
    {
      name: "SMC, SMD and TSC",
      el: 1,
      hcr: 1n << 19n,
      scr: 1n << 7n,
      insn: 0xd400_0003,
      to: 2,
      esr: 0x5e00_0000n,
      after: 0n,
    },
    { name: "SMC from EL0", el: 0, insn: 0xd400_0003, to: 1, esr: 0x0200_0000n, after: 0n },
    { name: "BRK", el: 1, insn: 0xd420_0000 | (7 << 5), to: 1, esr: 0xf200_0007n, after: 0n },
    { name: "BRK with MDCR_EL2.TDE", el: 0, mdcr: 1n << 8n, insn: 0xd420_0000, to: 2, esr: 0xf200_0000n, after: 0n },
    { name: "HLT", el: 1, insn: 0xd440_0000, to: 1, esr: 0x0200_0000n, after: 0n },
    { name: "ERET from EL0", el: 0, insn: 0xd69f_03e0, to: 1, esr: 0x0200_0000n, after: 0n },
    { name: "an FP instruction, CPACR_EL1.FPEN 0", el: 1, insn: 0x1e60_4000, to: 1, esr: 0x1fe0_0000n, after: 0n },
    { name: "UDF", el: 2, insn: 0, to: 2, esr: 0x0200_0000n, after: 0n },
  ])("$name", ({ el, hcr = 0n, scr, mdcr = 0n, insn, to, esr, after }) => {
    const registers = { HCR_EL2: RW | hcr, MDCR_EL2: mdcr, PC: DRAM };
    const { machine, pe } = machineAt({ el: el as PeAt["el"], registers });
    if (scr !== undefined) pe.r[R.SCR_EL3] = scr < 0n ? pe.r[R.SCR_EL3]! & ~-scr : pe.r[R.SCR_EL3]! | scr;
    machine.load(
      DRAM,
      assemble((a) => a.word(insn)),
    );
    machine.run({ instructions: 1 });
    const names = { 1: ["ESR_EL1", "ELR_EL1"], 2: ["ESR_EL2", "ELR_EL2"], 3: ["ESR_EL3", "ELR_EL3"] } as const;
    const [esrName, elrName] = names[to as 1 | 2 | 3];
    expect(pe.el).toBe(to);
    expect([pe.r[R[esrName]], pe.r[R[elrName]]]).toEqual([esr, DRAM + after]);
  });
});
