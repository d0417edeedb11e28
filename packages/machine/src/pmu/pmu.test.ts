/**
 * The PMU against what the machine knows otherwise: its own counts of retired instructions by level, the text of the
 * filters, the PC at which an interrupt comes. Traps, masks and values that QEMU has too are compared with QEMU's in
 * conformance/system.
 */
import { SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { type Assembler, assemble } from "../../test-support/assembler.js";
import { DRAM, machineAt, type PeAt } from "../../test-support/pe-at.js";
import { R, type RegName } from "../cpu/state.js";
import type { Machine } from "../machine.js";
import { countersCounting, isPmuInterrupting } from "./counting.js";
import { CYCLE_COUNTER, FILTER, PMU_COUNTERS, PmuEvent } from "./registers.js";

const bit = (n: number) => 1n << BigInt(n);
const RW = bit(31);
const { SECURE, NON_SECURE, ROOT, REALM } = SecurityState;
const E = 1n;
const DP = bit(5);
const LP = bit(7);
const FZO = bit(9);
const HPME = bit(7);
const SPME = bit(17);
const N = BigInt(PMU_COUNTERS);
const INST = BigInt(PmuEvent.INST_RETIRED);
const CYCLES = BigInt(PmuEvent.CPU_CYCLES);
const ALL_ON = bit(CYCLE_COUNTER) | (bit(PMU_COUNTERS) - 1n);

type Registers = Partial<Record<RegName, bigint>>;
const counter = (n: number): RegName => `PMEVCNTR${n}` as RegName;
const type = (n: number): RegName => `PMEVTYPER${n}` as RegName;

const EL0_CODE = DRAM + 0x400n;
const VBAR = DRAM + 0x800n;

/** EL0 counts in X1 and calls; EL1 counts calls in X20. Each round: ADD, ADD, SVC; ADD, ERET. */
function rounds(registers: Registers = {}, at: Partial<PeAt> = {}): Machine {
  const { machine } = machineAt({
    el: 0,
    ...at,
    registers: { HCR_EL2: RW, MDCR_EL2: N, VBAR_EL1: VBAR, PC: EL0_CODE, ...registers },
  });
  machine.load(
    DRAM,
    assemble((a) => {
      a.org(0x400).label("again").add(1, 1, 1).add(1, 1, 1).svc().b("again");
      a.org(0xc00).add(20, 20, 1).eret();
    }),
  );
  return machine;
}
/** Instructions of a round at EL0 and EL1, and exceptions and returns. */
const ROUND = { el0: 4, el1: 2, taken: 1, returned: 1 };
const ROUND_COUNTS = ROUND.el0 + ROUND.el1 + ROUND.taken + ROUND.returned;

const EXCLUDE_EL0 = bit(FILTER.U);
const EXCLUDE_EL1 = bit(FILTER.P);

describe("what is counted", () => {
  const typers = {
    PMEVTYPER0: INST,
    PMEVTYPER1: INST | EXCLUDE_EL1,
    PMEVTYPER2: INST | EXCLUDE_EL0,
    PMEVTYPER3: BigInt(PmuEvent.EXC_TAKEN),
    PMEVTYPER4: BigInt(PmuEvent.EXC_RETURN),
    PMEVTYPER5: BigInt(PmuEvent.STALL),
  };

  test.each([1, 2, 3, 7, 1000])("instructions by level, exceptions and cycles, in pieces of %i", (piece) => {
    const machine = rounds({ PMCR_EL0: E, PMCNTENSET_EL0: ALL_ON, ...typers });
    const count = 25;
    while (machine.now < count * ROUND_COUNTS) {
      machine.run({ instructions: Math.min(piece, count * ROUND_COUNTS - machine.now) });
    }
    const { r } = machine.pes[0]!;
    const [el0, el1] = [0, 1].map((el) => BigInt(machine.counters.instructions[NON_SECURE * 4 + el]!));
    machine.pes[0]!.account();
    expect([el0, el1]).toEqual([BigInt(count * ROUND.el0), BigInt(count * ROUND.el1)]);
    expect([0, 1, 2, 3, 4, 5].map((n) => r[R[counter(n)]])).toEqual([
      ...[el0! + el1!, el0, el1],
      ...[BigInt(count), BigInt(count), 0n],
    ]);
    expect(r[R.PMCCNTR_EL0]).toBe(BigInt(count * ROUND_COUNTS));
  });

  test("an exception is counted where it is taken from, a return where it is made", () => {
    const machine = rounds({
      PMCR_EL0: E,
      PMCNTENSET_EL0: 0xfn,
      PMEVTYPER0: BigInt(PmuEvent.EXC_TAKEN) | EXCLUDE_EL1,
      PMEVTYPER1: BigInt(PmuEvent.EXC_TAKEN) | EXCLUDE_EL0,
      PMEVTYPER2: BigInt(PmuEvent.EXC_RETURN) | EXCLUDE_EL1,
      PMEVTYPER3: BigInt(PmuEvent.EXC_RETURN) | EXCLUDE_EL0,
    });
    machine.run({ instructions: 3 * ROUND_COUNTS });
    expect([0, 1, 2, 3].map((n) => machine.pes[0]!.r[R[counter(n)]])).toEqual([3n, 0n, 0n, 3n]);
  });

  test("goes on from a snapshot at any place", () => {
    const on = { PMCR_EL0: E, PMCNTENSET_EL0: ALL_ON, ...typers };
    const valuesAt = (machine: Machine, end: number) => {
      machine.run({ instructions: end - machine.now });
      machine.pes[0]!.account();
      return machine.pes[0]!.r.slice(R.PMCR_EL0, R[type(0)]);
    };
    const expected = valuesAt(rounds(on), 300);
    for (let at = 1; at <= 20; at++) {
      const from = rounds(on);
      from.run({ instructions: at });
      const copy = rounds();
      copy.restore(from.snapshot());
      expect(valuesAt(copy, 300)).toEqual(expected);
    }
  });

  test("nothing while PMCR_EL0.E is 0, and an instruction that enables counts itself", () => {
    const { machine, pe } = machineAt({ el: 1, registers: { HCR_EL2: RW, MDCR_EL2: N, PC: DRAM, PMEVTYPER0: INST } });
    machine.load(
      DRAM,
      assemble((a) => {
        a.mov(0, 1).msr("PMCNTENSET_EL0", 0).nop().nop().msr("PMCR_EL0", 0).nop().nop();
        a.mrs(1, "PMEVCNTR0_EL0").mov(2, 0).msr("PMCR_EL0", 2).nop().mrs(3, "PMEVCNTR0_EL0");
      }),
    );
    machine.run({ instructions: 12 });
    // MSR, NOP, NOP; then MRS and MOV, and the MSR that disables no more.
    expect([pe.r[R.X0 + 1], pe.r[R.X0 + 3]]).toEqual([3n, 5n]);
  });

  test("PMSWINC_EL0 counts SW_INCR, on counters that count", () => {
    const { machine, pe } = machineAt({
      el: 1,
      registers: {
        HCR_EL2: RW,
        MDCR_EL2: N,
        PC: DRAM,
        PMCR_EL0: E,
        PMCNTENSET_EL0: 0b101n,
        X0: 0b111n,
        PMEVTYPER2: INST,
      },
    });
    machine.load(
      DRAM,
      assemble((a) => a.msr("PMSWINC_EL0", 0).msr("PMSWINC_EL0", 0)),
    );
    machine.run({ instructions: 2 });
    expect([0, 1, 2].map((n) => pe.r[R[counter(n)]])).toEqual([2n, 0n, 2n]);
  });

  test("a PE that waits has no cycles", () => {
    const { machine, pe } = machineAt({
      el: 1,
      registers: { HCR_EL2: RW, MDCR_EL2: N, PC: DRAM, PMCR_EL0: E, PMCNTENSET_EL0: bit(CYCLE_COUNTER) },
    });
    pe.r[R.CNTP_CTL_EL0] = 1n;
    pe.r[R.CNTP_CVAL_EL0] = 5000n;
    machine.load(
      DRAM,
      assemble((a) => a.wfi().label("end").b("end")),
    );
    machine.gic.setPpi(0, 30, false);
    machine.run({ instructions: 4000 });
    expect(pe.r[R.PMCCNTR_EL0]).toBe(1n);
  });
});

/** What QEMU 7.2 cannot be asked: MDCR_EL2.TPMCR, and the second range as EL1 sees it. */
describe("accesses below EL2", () => {
  function access(el: 0 | 1 | 2, registers: Registers, code: (a: Assembler) => void) {
    const { machine, pe } = machineAt({
      el,
      registers: { HCR_EL2: RW, MDCR_EL2: N, PMUSERENR_EL0: 1n, PC: DRAM, VBAR_EL2: VBAR, ...registers },
    });
    machine.load(DRAM, assemble(code));
    machine.run({ instructions: 1 });
    return { pe, trap: pe.el === el ? undefined : [pe.el, pe.r[R.ESR_EL2]! >> 26n] };
  }
  const TPMCR = { MDCR_EL2: N | bit(5) };

  test.each([0, 1] as const)("MDCR_EL2.TPMCR traps PMCR_EL0 alone, at EL%i", (el) => {
    expect(access(el, TPMCR, (a) => a.mrs(0, "PMCR_EL0")).trap).toEqual([2, 0x18n]);
    expect(access(el, TPMCR, (a) => a.msr("PMCR_EL0", 0)).trap).toEqual([2, 0x18n]);
    expect(access(el, TPMCR, (a) => a.mrs(0, "PMCNTENSET_EL0")).trap).toBeUndefined();
  });
  test("not at EL2", () => expect(access(2, TPMCR, (a) => a.mrs(0, "PMCR_EL0")).trap).toBeUndefined());

  test.each([
    { hpmn: 0n, el: 1 },
    { hpmn: 2n, el: 1 },
    { hpmn: 2n, el: 0 },
    { hpmn: 31n, el: 1 }, // more than there are
    { hpmn: 2n, el: 2 },
  ] as const)("HPMN $hpmn at EL$el: PMCR_EL0.N, bits and counters", ({ hpmn, el }) => {
    const count = el === 2 || hpmn > N ? PMU_COUNTERS : Number(hpmn);
    const bits = bit(CYCLE_COUNTER) | (bit(count) - 1n);
    const { pe, machine } = machineAt({
      el,
      registers: { HCR_EL2: RW, MDCR_EL2: hpmn, PMUSERENR_EL0: 1n, PC: DRAM, X1: bit(64) - 1n, X2: 0x77n },
    });
    for (let n = 0; n < PMU_COUNTERS; n++) pe.r[R[counter(n)]] = 0x5_0000_0005n;
    machine.load(
      DRAM,
      assemble((a) => {
        a.mrs(10, "PMCR_EL0").msr("PMCNTENSET_EL0", 1).mrs(11, "PMCNTENSET_EL0");
        a.msr("PMOVSSET_EL0", 1).mrs(12, "PMOVSCLR_EL0");
        a.msr("PMEVCNTR2_EL0", 2).mrs(13, "PMEVCNTR2_EL0").msr("PMEVTYPER5_EL0", 1).mrs(14, "PMEVTYPER5_EL0");
        a.mov(3, 2).msr("PMSELR_EL0", 3).mrs(15, "PMXEVCNTR_EL0");
        a.mov(3, 31).msr("PMSELR_EL0", 3).mrs(16, "PMXEVCNTR_EL0").mov(3, 2).msr("PMCR_EL0", 3);
      }),
    );
    machine.run({ instructions: 17 });
    const x = (n: number) => pe.r[R.X0 + n]!;
    expect([(x(10) >> 11n) & 0x1fn, x(11), x(12)]).toEqual([BigInt(count), bits, bits]);
    expect([x(13), x(15), x(16)]).toEqual(count > 2 ? [0x77n, 0x77n, 0n] : [0n, 0n, 0n]);
    expect(x(14)).toBe(count > 5 ? 0xfd70_ffffn : 0n);
    // PMCR_EL0.P resets whole counters, and those that the EL has.
    expect([0, 1, 3, 4, 5].map((n) => pe.r[R[counter(n)]])).toEqual(
      [0, 1, 3, 4, 5].map((n) => (n < count ? 0n : 0x5_0000_0005n)),
    );
  });
});

/** DDI 0487, the fields of PMEVTYPER<n>_EL0: which bit, beside P, U, NSH or M, says that a level is left out. */
describe("filters", () => {
  const LEVELS = [
    { el: 0, state: NON_SECURE, own: FILTER.U, other: FILTER.NSU, equalCounts: true },
    { el: 0, state: REALM, own: FILTER.U, other: FILTER.RLU, equalCounts: true },
    { el: 0, state: SECURE, own: FILTER.U, other: undefined, equalCounts: true },
    { el: 1, state: NON_SECURE, own: FILTER.P, other: FILTER.NSK, equalCounts: true },
    { el: 1, state: REALM, own: FILTER.P, other: FILTER.RLK, equalCounts: true },
    { el: 1, state: SECURE, own: FILTER.P, other: undefined, equalCounts: true },
    { el: 2, state: NON_SECURE, own: FILTER.NSH, other: undefined, equalCounts: false },
    { el: 2, state: REALM, own: FILTER.NSH, other: FILTER.RLH, equalCounts: false },
    { el: 2, state: SECURE, own: FILTER.NSH, other: FILTER.SH, equalCounts: false },
    { el: 3, state: ROOT, own: FILTER.M, other: FILTER.P, equalCounts: true },
  ] as const;

  test.each(LEVELS)("EL$el in state $state", ({ el, state, own, other, equalCounts }) => {
    const bits = Object.values(FILTER);
    for (let set = 0; set < 1 << bits.length; set++) {
      const value = bits.reduce((sum, at, i) => ((set >> i) & 1 ? sum | bit(at) : sum), 0n);
      const has = (at: number | undefined) => at !== undefined && (value & bit(at)) !== 0n;
      const { pe } = reusable(el, state);
      pe.r[R.PMEVTYPER0] = value | INST;
      expect([set, countersCounting(pe) & 1]).toEqual([set, Number((has(own) === has(other)) === equalCounts)]);
    }
  });

  const places = new Map<string, ReturnType<typeof machineAt>>();
  function reusable(el: 0 | 1 | 2 | 3, state: SecurityState) {
    const key = `${el} ${state}`;
    const known = places.get(key);
    if (known) return known;
    const registers = { HCR_EL2: RW, MDCR_EL2: N, MDCR_EL3: SPME, PMCR_EL0: E, PMCNTENSET_EL0: 1n };
    const made = machineAt(state === ROOT ? { el, registers } : { el, state, registers });
    places.set(key, made);
    return made;
  }
});

describe("prohibited and frozen", () => {
  /** Counters that count, of a machine in which all would, as letters: events of both ranges, cycles. */
  function counts(el: 0 | 1 | 2 | 3, state: SecurityState, registers: Registers): string {
    const everywhere = bit(FILTER.NSH);
    const { pe } = machineAt({
      el,
      state: state === ROOT ? NON_SECURE : state,
      registers: {
        HCR_EL2: RW,
        PMCR_EL0: E,
        PMCNTENSET_EL0: ALL_ON,
        PMEVTYPER0: everywhere,
        PMEVTYPER5: everywhere,
        PMCCFILTR_EL0: everywhere,
        ...registers,
        MDCR_EL2: 3n | HPME | (registers.MDCR_EL2 ?? 0n),
      },
    });
    const set = countersCounting(pe);
    return `${set & 1 ? "f" : "-"}${set & 32 ? "s" : "-"}${set & (1 << CYCLE_COUNTER) ? "c" : "-"}`;
  }
  const MPMX = bit(35);
  const HPMD = bit(17);

  test.each([
    // Secure state and EL3: SPME and MPMX.
    { el: 1, state: SECURE, registers: {}, expected: "--c" },
    { el: 1, state: SECURE, registers: { PMCR_EL0: E | DP }, expected: "---" },
    { el: 1, state: SECURE, registers: { MDCR_EL3: SPME }, expected: "fsc" },
    { el: 1, state: SECURE, registers: { MDCR_EL3: MPMX }, expected: "fsc" },
    { el: 1, state: SECURE, registers: { MDCR_EL3: SPME | MPMX }, expected: "fsc" },
    { el: 1, state: SECURE, registers: { MDCR_EL3: SPME | bit(23) }, expected: "fs-" }, // SCCD
    { el: 3, state: ROOT, registers: {}, expected: "--c" },
    { el: 3, state: ROOT, registers: { MDCR_EL3: SPME }, expected: "fsc" },
    { el: 3, state: ROOT, registers: { MDCR_EL3: MPMX }, expected: "--c" },
    { el: 3, state: ROOT, registers: { MDCR_EL3: SPME | MPMX }, expected: "-sc" },
    { el: 3, state: ROOT, registers: { MDCR_EL3: SPME | bit(34) }, expected: "fs-" }, // MCCD
    { el: 3, state: ROOT, registers: { MDCR_EL3: SPME | bit(23) }, expected: "fsc" },
    { el: 1, state: REALM, registers: {}, expected: "fsc" },
    { el: 1, state: NON_SECURE, registers: { MDCR_EL3: bit(23) | bit(34) }, expected: "fsc" },
    // EL2: HPMD for the first range, HCCD for cycles.
    { el: 2, state: NON_SECURE, registers: {}, expected: "fsc" },
    { el: 2, state: NON_SECURE, registers: { MDCR_EL2: HPMD }, expected: "-sc" },
    { el: 2, state: NON_SECURE, registers: { MDCR_EL2: HPMD, PMCR_EL0: E | DP }, expected: "-s-" },
    { el: 2, state: NON_SECURE, registers: { MDCR_EL2: bit(23) }, expected: "fs-" },
    { el: 2, state: REALM, registers: { MDCR_EL2: HPMD | bit(23) }, expected: "-s-" },
    { el: 1, state: NON_SECURE, registers: { MDCR_EL2: HPMD | bit(23) }, expected: "fsc" },
    // Enables.
    { el: 1, state: NON_SECURE, registers: { PMCR_EL0: 0n }, expected: "-s-" },
    { el: 1, state: NON_SECURE, registers: { PMCNTENSET_EL0: 1n }, expected: "f--" },
    // Freezing on overflow, by range.
    { el: 1, state: NON_SECURE, registers: { PMCR_EL0: E | FZO, PMOVSSET_EL0: 0b10n }, expected: "-sc" },
    { el: 1, state: NON_SECURE, registers: { PMCR_EL0: E | FZO | DP, PMOVSSET_EL0: 0b10n }, expected: "-s-" },
    { el: 1, state: NON_SECURE, registers: { PMCR_EL0: E | FZO, PMOVSSET_EL0: bit(31) | 0b1000n }, expected: "fsc" },
    { el: 1, state: NON_SECURE, registers: { MDCR_EL2: bit(29), PMOVSSET_EL0: 0b1000n }, expected: "f-c" },
    { el: 1, state: NON_SECURE, registers: { MDCR_EL2: bit(29), PMOVSSET_EL0: 0b1n }, expected: "fsc" },
  ] as const)("EL$el, state $state, $registers: $expected", ({ el, state, registers, expected }) => {
    expect(counts(el, state, registers)).toBe(expected);
  });

  test("HPMN = 0: no counter is EL1's, the cycle counter is", () => {
    const { pe } = machineAt({
      el: 1,
      registers: { HCR_EL2: RW, MDCR_EL2: 0n, PMCR_EL0: E, PMCNTENSET_EL0: ALL_ON },
    });
    expect(countersCounting(pe)).toBe(1 << CYCLE_COUNTER);
  });

  test("a frozen range stops exactly at the overflow", () => {
    const machine = rounds({
      PMCR_EL0: E | FZO,
      PMCNTENSET_EL0: 0b11n,
      PMEVTYPER0: INST,
      PMEVTYPER1: CYCLES,
      PMEVCNTR0: 0xffff_ff9cn, // 100 instructions before it overflows
    });
    machine.run({ instructions: 5000 });
    const { r } = machine.pes[0]!;
    expect([r[R.PMEVCNTR0], r[R.PMOVSSET_EL0]]).toEqual([0x1_0000_0000n, 1n]);
    // 16 rounds have 96 instructions and 128 counts; then three instructions, the exception, and the handler's first.
    expect(r[R.PMEVCNTR1]).toBe(133n);
  });
});

describe("overflow", () => {
  const interrupting = { PMCR_EL0: E, PMCNTENSET_EL0: 1n, PMINTENSET_EL1: 1n, PMEVTYPER0: INST };

  test.each([
    { name: "32 bits", registers: { PMEVCNTR0: 0xffff_ffffn - 9n }, value: 0x1_0000_0000n },
    { name: "64 bits", registers: { PMCR_EL0: E | LP, PMEVCNTR0: bit(64) - 10n }, value: 0n },
    { name: "64 bits by HLP", registers: { MDCR_EL2: HPME | bit(26), PMEVCNTR0: bit(64) - 10n }, value: 0n },
    {
      name: "64 bits of cycles",
      registers: { PMCNTENSET_EL0: bit(31), PMINTENSET_EL1: bit(31), PMCCNTR_EL0: bit(64) - 10n },
      cycles: true,
      value: 0n,
    },
  ])("at its exact instruction: $name", ({ registers, value, cycles }) => {
    for (const piece of [1, 3, 1000]) {
      const { machine, pe } = machineAt({
        el: 1,
        registers: { HCR_EL2: RW, MDCR_EL2: N, PC: DRAM, ...interrupting, ...registers },
      });
      machine.load(
        DRAM,
        assemble((a) => a.org(0x100).label("end").b("end")),
      );
      let at: bigint | undefined;
      while (at === undefined && machine.now < 1000) {
        machine.run({ instructions: piece });
        if (pe.pmu.output) at = pe.r[R.PC];
      }
      expect([pe.pmu.output, isPmuInterrupting(pe.w)]).toEqual([true, true]);
      expect(pe.r[R[cycles ? "PMCCNTR_EL0" : "PMEVCNTR0"]]! - value).toBe(BigInt(machine.now - 10));
    }
  });

  test("PPI 23 follows the flag: it is asserted until the flag, its enable or PMCR_EL0.E is cleared", () => {
    for (const clear of ["PMOVSCLR_EL0", "PMINTENCLR_EL1", "PMCR_EL0"]) {
      const { machine, pe } = machineAt({
        el: 1,
        registers: {
          HCR_EL2: RW,
          MDCR_EL2: N,
          PC: DRAM,
          ...interrupting,
          PMEVCNTR0: 0xffff_fffen,
          X0: clear === "PMCR_EL0" ? 0n : 1n,
        },
      });
      machine.load(
        DRAM,
        assemble((a) => a.nop().nop().nop().msr(clear, 0).nop()),
      );
      const outputs: boolean[] = [];
      for (let i = 0; i < 5; i++) {
        machine.run({ instructions: 1 });
        outputs.push(pe.pmu.output);
      }
      // As it is when each of the five begins.
      expect(outputs).toEqual([false, false, true, true, false]);
    }
  });

  test("CHAIN counts the overflows of the even counter, and overflows itself", () => {
    const machine = rounds({
      PMCR_EL0: E,
      PMCNTENSET_EL0: 0b11n,
      PMINTENSET_EL1: 0b10n,
      PMEVTYPER0: INST,
      PMEVTYPER1: BigInt(PmuEvent.CHAIN),
      PMEVCNTR0: 0xffff_fff0n,
      PMEVCNTR1: 0xffff_ffffn,
    });
    machine.run({ instructions: 200 });
    const { r } = machine.pes[0]!;
    expect([r[R.PMEVCNTR1], r[R.PMOVSSET_EL0]]).toEqual([0x1_0000_0000n, 0b11n]);
    expect(machine.pes[0]!.pmu.output).toBe(true);
  });

  test("no CHAIN with 64-bit counters, nor between the ranges", () => {
    for (const registers of [{ PMCR_EL0: E | LP }, { MDCR_EL2: 1n | HPME }]) {
      const machine = rounds({
        PMCR_EL0: E,
        PMCNTENSET_EL0: 0b11n,
        PMEVTYPER0: INST,
        PMEVTYPER1: BigInt(PmuEvent.CHAIN),
        PMEVCNTR0: "PMCR_EL0" in registers ? bit(64) - 16n : 0xffff_fff0n,
        ...registers,
      });
      machine.run({ instructions: 200 });
      expect([machine.pes[0]!.r[R.PMEVCNTR1], machine.pes[0]!.r[R.PMOVSSET_EL0]]).toEqual([0n, 1n]);
    }
  });
});
