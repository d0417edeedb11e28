/**
 * Debug exceptions and the clock: a run that is stepped is the same whatever its limits are, counts what it executes, and
 * goes on from a snapshot. Where the exceptions go is checked against QEMU in conformance/system.
 */
import { SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { assemble } from "../../test-support/assembler.js";
import { DRAM, machineAt } from "../../test-support/pe-at.js";
import { R, type RegName } from "../cpu/state.js";
import type { Machine } from "../machine.js";
import { matchesState } from "./watches.js";

const RW = 1n << 31n;
const SS = 1n << 21n;
const UNLOCKED = 8n;
const MDSCR = { SS: 1n, KDE: 1n << 13n, MDE: 1n << 15n } as const;
const EL0_CODE = DRAM + 0x400n;
const VBAR = DRAM + 0x800n;
const BREAK_EL0 = 1n | (2n << 1n) | (0xfn << 5n);

/** Instructions of the handler. */
const HANDLER = 5;

/** EL0 counts in X1; EL1 counts exceptions in X20, and goes back to step again. */
function stepped(registers: Partial<Record<RegName, bigint>> = {}): Machine {
  const { machine } = machineAt({
    el: 0,
    pstate: 0x3c0n | SS,
    registers: { HCR_EL2: RW, MDSCR_EL1: MDSCR.SS, OSLSR_EL1: UNLOCKED, VBAR_EL1: VBAR, PC: EL0_CODE, ...registers },
  });
  machine.load(
    DRAM,
    assemble((a) => {
      a.org(0x400).label("again").add(1, 1, 1).b("again");
      a.org(0xc00).add(20, 20, 1).mov(22, 0x20_03c0n).msr("SPSR_EL1", 22).eret();
    }),
  );
  return machine;
}

const NAMES: readonly RegName[] = ["PC", "PSTATE", "X1", "X20", "ELR_EL1", "SPSR_EL1", "ESR_EL1"];
const stateOf = (machine: Machine) => ({
  now: machine.now,
  counts: [...machine.counters.instructions],
  exceptions: machine.counters.exceptions[0x32],
  registers: NAMES.map((name) => machine.pes[0]!.r[R[name]]),
});

/** Runs to the clock `end`, or just past it, in pieces. */
function runTo(machine: Machine, end: number, piece = end): Machine {
  while (machine.now < end) {
    if (machine.run({ instructions: Math.min(piece, end - machine.now) }).kind !== "limit") break;
  }
  return machine;
}

describe("software step", () => {
  test("each step is one instruction, one exception, the handler and its return", () => {
    const machine = stepped();
    const steps = 100;
    runTo(machine, steps * (1 + 1 + HANDLER + 1));
    const { r } = machine.pes[0]!;
    expect([r[R.X0 + 20], r[R.X0 + 1], r[R.PC]]).toEqual([100n, 50n, EL0_CODE]);
    expect(r[R.ESR_EL1]).toBe(0xcb00_0022n);
    expect(machine.counters.exceptions[0x32]).toBe(steps);
    expect(machine.counters.instructions[SecurityState.NON_SECURE * 4]).toBe(steps);
  });

  test.each([1, 2, 3, 7, 64])("in pieces of %i", (piece) => {
    // Limits fall before, between and within the parts of a step.
    for (const end of [797, 798, 799, 800, 801]) {
      const pieces = stateOf(runTo(stepped(), end, piece));
      expect(pieces).toEqual(stateOf(runTo(stepped(), pieces.now)));
    }
  });

  test("goes on from a snapshot at any place", () => {
    const expected = stateOf(runTo(stepped(), 500));
    for (let at = 1; at <= 20; at++) {
      const copy = stepped();
      copy.restore(runTo(stepped(), at).snapshot());
      expect(stateOf(runTo(copy, 500))).toEqual(expected);
    }
  });

  test("an interrupt comes first, and its SPSR says that the step is still to be made", () => {
    const IMO_VI = (1n << 4n) | (1n << 7n);
    const machine = stepped({ HCR_EL2: RW | IMO_VI });
    const pe = machine.pes[0]!;
    pe.pstate = pe.pstate & ~(1n << 7n);
    machine.run({ instructions: 1 });
    expect([pe.el, pe.r[R.PC], pe.r[R.ELR_EL1]]).toEqual([1, VBAR + 0x480n, EL0_CODE]);
    expect(pe.r[R.SPSR_EL1]! & SS).toBe(SS);
  });

  test("a stepped WFI does not wait", () => {
    const machine = stepped({ SCTLR_EL1: 1n << 16n });
    machine.load(
      EL0_CODE,
      assemble((a) => a.wfi()),
    );
    machine.run({ instructions: 2 });
    expect([machine.pes[0]!.r[R.ELR_EL1], machine.pes[0]!.sleeping]).toEqual([EL0_CODE + 4n, false]);
  });
});

describe("breakpoints", () => {
  const second = { MDSCR_EL1: MDSCR.MDE, DBGBVR0: EL0_CODE + 4n, DBGBCR0: BREAK_EL0 };

  test.each([1, 2, 5])("an instruction that breaks is not executed, in pieces of %i", (piece) => {
    const machine = stepped(second);
    const { r } = machine.pes[0]!;
    runTo(machine, 2, piece);
    expect([r[R.X0 + 1], r[R.ELR_EL1], r[R.ESR_EL1], machine.now]).toEqual([1n, EL0_CODE + 4n, 0xc200_0022n, 2]);
  });

  test("a page with a breakpoint that is not met costs no counts", () => {
    const unmet = { MDSCR_EL1: MDSCR.MDE, DBGBVR0: EL0_CODE + 8n, DBGBCR0: BREAK_EL0 };
    const machine = runTo(stepped(unmet), 1000);
    expect([machine.now, machine.pes[0]!.r[R.X0 + 1]]).toEqual([1000, 500n]);
    expect(machine.counters.instructions[SecurityState.NON_SECURE * 4]).toBe(1000);
  });

  test("pages that were executed before break as well", () => {
    const machine = runTo(stepped({ MDSCR_EL1: 0n }), 100);
    const pe = machine.pes[0]!;
    Object.assign(pe.r, { [R.MDSCR_EL1]: MDSCR.MDE, [R.DBGBVR0]: EL0_CODE + 4n, [R.DBGBCR0]: BREAK_EL0 });
    pe.contextChanged();
    machine.run({ instructions: 2 });
    expect([pe.el, pe.r[R.ELR_EL1]]).toEqual([1, EL0_CODE + 4n]);
  });
});

/** Numbers from a seed. DDI 0487 says nothing of what software may write: anything. */
function randomNumbers(seed: number): () => bigint {
  let state = BigInt(seed) + 1n;
  return () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return state >> 11n;
  };
}

/** A stepped machine with debug registers that a seed gives, code that touches memory, and handlers that go on after the instruction. */
function randomlyDebugged(random: () => bigint): Machine {
  const pick = <T>(list: readonly T[]): T => list[Number(random() % BigInt(list.length))]!;
  const code = () => pick([EL0_CODE, EL0_CODE, VBAR + 0x400n, VBAR + 0x200n]) + 4n * (random() % 8n);
  // Mostly of EL1 and EL0 in any state, loads and stores; sometimes anything.
  const control = (usual: bigint, any: bigint) => pick([usual, usual, usual, random() & any]) | 1n;
  const machine = stepped({
    MDSCR_EL1: pick([0n, MDSCR.SS]) | pick([0n, MDSCR.MDE, MDSCR.MDE]) | pick([0n, MDSCR.KDE]),
    MDCR_EL2: pick([0n, 0n, 1n << 8n]),
    OSLSR_EL1: pick([UNLOCKED, UNLOCKED, UNLOCKED, 0xan]),
    VBAR_EL2: VBAR,
    X20: DRAM + 0x100n,
    ...Object.fromEntries(
      [0, 1].flatMap((n) => [
        [`DBGBVR${n}`, code()],
        [`DBGBCR${n}`, control(6n, 0xe1e7n)],
        [`DBGWVR${n}`, DRAM + 0xf8n + 4n * (random() % 4n)],
        [`DBGWCR${n}`, control(0x1en | ((random() & 0xffn) << 5n), 0x1f00_fffen)],
      ]),
    ),
  });
  machine.load(
    EL0_CODE,
    assemble((a) => a.label("again").ldr(23, 20).str(20, 20).add(1, 1, 1).b("again").b("again").b("again")),
  );
  machine.load(
    VBAR,
    assemble((a) => {
      for (const offset of [0x200, 0x400])
        a.org(offset).mrs(25, "ELR_EL1").add(25, 25, 4).msr("ELR_EL1", 25).daifClr(8).str(20, 20).ldr(23, 20).eret();
    }),
  );
  return machine;
}

describe("random debug registers", () => {
  const DEBUG_CLASSES = [0x30, 0x31, 0x32, 0x33, 0x34, 0x35];
  const seen = new Set<number>();

  test.each(Array.from({ length: 60 }, (_, seed) => seed))("seed %i: the same in pieces of any size", (seed) => {
    const whole = stateOf(runTo(randomlyDebugged(randomNumbers(seed)), 3000));
    const machine = randomlyDebugged(randomNumbers(seed));
    const random = randomNumbers(seed);
    while (machine.now < whole.now) {
      const piece = 1 + Number(random() % 9n);
      if (machine.run({ instructions: Math.min(piece, whole.now - machine.now) }).kind !== "limit") break;
    }
    expect(stateOf(machine)).toEqual(whole);
    for (const ec of DEBUG_CLASSES) if (machine.counters.exceptions[ec]! > 0) seen.add(ec);
  });

  test("every class of debug exception was among them", () => {
    expect([...seen].sort()).toEqual(DEBUG_CLASSES);
  });
});

test("control fields of breakpoints and watchpoints by EL and Security state", () => {
  const { SECURE, NON_SECURE, REALM } = SecurityState;
  const states = [SECURE, NON_SECURE, REALM];
  const matches = (hmc: number, ssc: number, pxc: number, ssce = 0) =>
    states.flatMap((state) =>
      [0, 1, 2]
        .filter((el) => matchesState((hmc << 13) | (ssc << 14) | (pxc << 1) | (ssce << 29), el, state))
        .map((el) => `${"SNRL"[state]}${el}`),
    );
  // DDI 0487, "Summary of breakpoint HMC, SSC, and PMC encodings"; R of the letters is Root, L the Realm state.
  expect(matches(0, 0, 1)).toEqual(["S1", "N1", "L1"]);
  expect(matches(0, 0, 2)).toEqual(["S0", "N0", "L0"]);
  expect(matches(0, 1, 3)).toEqual(["N0", "N1"]);
  expect(matches(0, 2, 3)).toEqual(["S0", "S1"]);
  expect(matches(0, 3, 0)).toEqual(["S2"]);
  expect(matches(0, 3, 1)).toEqual(["S1", "S2"]);
  expect(matches(1, 0, 1)).toEqual(["S1", "S2", "N1", "N2", "L1", "L2"]);
  expect(matches(1, 1, 0)).toEqual(["N2"]);
  expect(matches(1, 1, 3)).toEqual(["N0", "N1", "N2"]);
  expect(matches(1, 2, 0)).toEqual([]);
  expect(matches(1, 3, 0)).toEqual(["S2", "N2", "L2"]);
  expect(matches(0, 1, 3, 1)).toEqual(["L0", "L1"]);
  expect(matches(1, 1, 0, 1)).toEqual(["L2"]);
  // Reserved.
  expect([matches(0, 0, 0), matches(0, 3, 2), matches(1, 0, 0), matches(1, 0, 2), matches(0, 0, 1, 1)].flat()).toEqual(
    [],
  );
});
