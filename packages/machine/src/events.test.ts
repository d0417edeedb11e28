/** WFE, SEV, event streams and exclusive monitors: when a PE waits, what ends it, and when it traps instead. */
import { SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { type Assembler, assemble } from "../test-support/assembler.js";
import { DRAM, machineAt, type PeAt, place, SCR_OF, testBoard } from "../test-support/pe-at.js";
import { R, type RegName } from "./cpu/state.js";
import type { Machine } from "./machine.js";
import { nextStreamEvent } from "./timers.js";

const bit = (n: number) => 1n << BigInt(n);
const RW = bit(31);
const TGE = bit(27);
const E2H = bit(34);
const SEV = 0xd503_209f;
const SEVL = 0xd503_20bf;
/** ldxr x1, [x2]; str x3, [x2] */
const LDXR = 0xc85f_7c41;
const VBAR = DRAM + 0x800n;

const CODE = { PC: DRAM, VBAR_EL1: VBAR, VBAR_EL2: VBAR, HCR_EL2: RW } satisfies Partial<Record<RegName, bigint>>;
function running(at: PeAt, code: (a: Assembler) => void): Machine {
  const { machine } = machineAt({ ...at, registers: { ...CODE, ...at.registers } });
  machine.load(DRAM, assemble(code));
  return machine;
}

describe("the event register", () => {
  test("SEVL, WFE: goes on; a second WFE waits, for good", () => {
    const machine = running({ el: 1 }, (a) => a.word(SEVL).wfe().wfe().nop());
    expect(machine.run({ instructions: 100 })).toMatchObject({
      kind: "deadlock",
      detail: expect.stringContaining("PE 0 waits"),
    });
    expect([machine.pes[0]!.r[R.PC], machine.now]).toEqual([DRAM + 12n, 3]);
  });

  test("an exception return sets it", () => {
    const machine = running({ el: 1, registers: { ELR_EL1: DRAM + 4n, SPSR_EL1: 0x3c5n } }, (a) =>
      a.eret().wfe().nop(),
    );
    machine.run({ instructions: 4 });
    expect(machine.pes[0]!.r[R.PC]).toBe(DRAM + 12n);
  });

  test("an interrupt that is taken ends WFE; one that is masked does not", () => {
    const VI = bit(7);
    for (const masked of [false, true]) {
      const machine = running({ el: 1, pstate: masked ? 0x3c0n : 0x340n, registers: { HCR_EL2: RW | bit(4) } }, (a) =>
        a.wfe().nop(),
      );
      machine.run({ instructions: 1 });
      const { r } = machine.pes[0]!;
      r[R.HCR_EL2] = r[R.HCR_EL2]! | VI;
      const end = machine.run({ instructions: 1 });
      expect([end.kind, r[R.PC]]).toEqual(masked ? ["deadlock", DRAM + 4n] : ["limit", VBAR + 0x280n]);
    }
  });
});

describe("traps", () => {
  const TWE = bit(14);
  const TWI = bit(13);
  const wfx = (ti: number) => 0x07e0_0000n | BigInt(ti);
  test.each([
    { name: "EL0, nTWE 0", el: 0, registers: {}, target: 1 },
    { name: "EL0, nTWE 1", el: 0, registers: { SCTLR_EL1: bit(18) | bit(16) }, target: undefined },
    { name: "EL0, nTWE 0 before TWE", el: 0, registers: { HCR_EL2: RW | TWE | TWI }, target: 1 },
    { name: "EL0, TGE", el: 0, registers: { HCR_EL2: RW | TGE }, target: 2 },
    {
      name: "EL0, nTWE 1, TWE",
      el: 0,
      registers: { SCTLR_EL1: bit(18) | bit(16), HCR_EL2: RW | TWE | TWI },
      target: 2,
    },
    {
      name: "EL0 of a Host: SCTLR_EL2 decides, TWE does not",
      el: 0,
      registers: { SCTLR_EL2: bit(18) | bit(16), HCR_EL2: RW | TWE | TWI | TGE | E2H },
      target: undefined,
    },
    { name: "EL1, TWE", el: 1, registers: { HCR_EL2: RW | TWE | TWI }, target: 2 },
    { name: "EL1, SCR_EL3.TWE", el: 1, registers: {}, scr: bit(13) | bit(12), target: 3 },
    { name: "EL1, both", el: 1, registers: { HCR_EL2: RW | TWE | TWI }, scr: bit(13) | bit(12), target: 2 },
    { name: "EL2, TWE is not for it", el: 2, registers: { HCR_EL2: RW | TWE | TWI }, target: undefined },
    { name: "EL2, SCR_EL3.TWE", el: 2, registers: {}, scr: bit(13) | bit(12), target: 3 },
    { name: "EL3", el: 3, registers: {}, scr: bit(13) | bit(12), target: undefined },
  ] as const)("$name", (row) => {
    const { el, registers, target } = row;
    for (const [ti, wait] of [(a: Assembler) => a.wfi(), (a: Assembler) => a.wfe()].entries()) {
      const machine = running({ el, registers }, (a) => wait(a).nop());
      const pe = machine.pes[0]!;
      if ("scr" in row) pe.r[R.SCR_EL3] |= row.scr;
      machine.run({ instructions: 1 });
      if (target === undefined) expect([pe.sleeping, pe.el]).toEqual([true, el]);
      else {
        expect([pe.sleeping, pe.el]).toEqual([false, target]);
        const names = ["ESR_EL1", "ESR_EL2", "ESR_EL3"] as const;
        expect(pe.r[R[names[target - 1]!]]).toBe(wfx(ti));
        expect(pe.r[R[(["ELR_EL1", "ELR_EL2", "ELR_EL3"] as const)[target - 1]!]]).toBe(DRAM);
      }
    }
  });

  test("a WFE that would not wait does not trap: event set, event of a stream", () => {
    const trapped = { HCR_EL2: RW | TWE };
    const sevl = running({ el: 1, registers: trapped }, (a) => a.word(SEVL).wfe().nop());
    sevl.run({ instructions: 3 });
    expect(sevl.pes[0]!.el).toBe(1);
    // Bit 0 of the counter changes every 10 counts.
    const stream = running({ el: 1, registers: { ...trapped, CNTKCTL_EL1: 4n } }, (a) => {
      for (let i = 0; i < 40; i++) a.nop();
      a.wfe().nop();
    });
    stream.run({ instructions: 42 });
    expect(stream.pes[0]!.el).toBe(1);
  });
});

describe("event streams", () => {
  const ticks = testBoard().instructionsPerTick;

  test.each([
    { control: 4, first: [1, 3, 5, 7] }, // bit 0 becomes 1
    { control: 4 | 8, first: [2, 4, 6, 8] }, // … becomes 0
    { control: 4 | (3 << 4), first: [8, 24, 40] },
    { control: 4 | 8 | (3 << 4), first: [16, 32, 48] },
    { control: 4 | (1 << 17), first: [256, 768] }, // EVNTIS: bit 8
  ])("control $control", ({ control, first }) => {
    for (const register of ["CNTKCTL_EL1", "CNTHCTL_EL2"] as const) {
      const machine = running({ el: 1, registers: { [register]: BigInt(control) } }, (a) => {
        a.label("again").add(1, 1, 1).wfe().b("again");
      });
      const wakes: number[] = [];
      const { r } = machine.pes[0]!;
      let rounds = r[R.X0 + 1]!;
      while (wakes.length < first.length) {
        machine.run({ instructions: 1 });
        if (r[R.X0 + 1]! > rounds && r[R.X0 + 1]! > 1n) wakes.push(Math.floor(machine.now / ticks));
        rounds = r[R.X0 + 1]!;
      }
      expect(wakes).toEqual(first);
    }
  });

  test("CNTVOFF_EL2 moves the virtual one; with {E2H, TGE} it is off", () => {
    const { pe } = machineAt({ el: 1, registers: { HCR_EL2: RW, CNTKCTL_EL1: 4n | (3n << 4n), CNTVOFF_EL2: 3n } });
    expect(nextStreamEvent(pe, 0)).toBe(11);
    pe.r[R.CNTVOFF_EL2] = 1n << 40n;
    expect(nextStreamEvent(pe, 0)).toBe(8);
    pe.r[R.HCR_EL2] = RW | TGE | E2H;
    expect(nextStreamEvent(pe, 0)).toBe(Number.POSITIVE_INFINITY);
  });

  test("the same in pieces and from snapshots", () => {
    const make = () =>
      running({ el: 1, registers: { CNTKCTL_EL1: 4n | (2n << 4n) } }, (a) => {
        a.label("again").add(1, 1, 1).wfe().b("again");
      });
    const stateOf = (machine: Machine) => [machine.now, machine.pes[0]!.r[R.PC], machine.pes[0]!.r[R.X0 + 1]];
    const whole = make();
    whole.run({ instructions: 5000 });
    for (const piece of [1, 7, 100]) {
      let machine = make();
      while (machine.now < 5000) {
        machine.run({ instructions: Math.min(piece, 5000 - machine.now) });
        if (piece === 100) {
          const next = make();
          next.restore(machine.snapshot());
          machine = next;
        }
      }
      expect(stateOf(machine)).toEqual(stateOf(whole));
    }
  });
});

describe("two PEs", () => {
  const CELL = DRAM + 0x1000n;
  /** PE 0 waits, PE 1 runs `code` at DRAM + 0x400. */
  function pair(waiting: (a: Assembler) => void, code: (a: Assembler) => void): Machine {
    const machine = running({ el: 1, board: testBoard({ peCount: 2 }) }, waiting);
    machine.load(DRAM + 0x400n, assemble(code));
    machine.startPe(1);
    place(machine.pes[1]!, {
      el: 1,
      registers: { ...CODE, SCR_EL3: SCR_OF[SecurityState.NON_SECURE], PC: DRAM + 0x400n },
    });
    for (const { r } of machine.pes) r[R.X0 + 2] = CELL;
    return machine;
  }

  test("SEV wakes the one that waits", () => {
    const machine = pair(
      (a) => a.wfe().label("end").b("end"),
      (a) => {
        for (let i = 0; i < 100; i++) a.nop();
        a.word(SEV).wfi();
      },
    );
    machine.run({ instructions: 50_000 });
    const [first, second] = machine.pes;
    expect([first!.sleeping, first!.r[R.PC]]).toEqual([false, DRAM + 4n]);
    expect(second!.sleeping).toBe(true);
  });

  test("a store to what the monitor of the waiting PE holds wakes it", () => {
    // ldxr; cbnz → end; wfe; b
    const machine = pair(
      (a) => a.label("again").word(LDXR).cbnz(1, "end").wfe().b("again").label("end").b("end"),
      (a) => {
        for (let i = 0; i < 100; i++) a.nop();
        a.mov(3, 1).str(3, 2).wfi();
      },
    );
    machine.run({ instructions: 50_000 });
    expect(machine.pes[0]!.r[R.PC]).toBe(DRAM + 16n);
  });

  test("alone, a PE whose monitor nobody can open waits for its timer, not in turns", () => {
    const machine = running({ el: 1, registers: { CNTP_CTL_EL0: 1n, CNTP_CVAL_EL0: 1000n } }, (a) =>
      a.label("again").word(LDXR).wfe().b("again"),
    );
    machine.pes[0]!.r[R.X0 + 2] = CELL;
    // The timer's interrupt is not enabled: the clock jumps to it and the PE sleeps on.
    expect(machine.run({ instructions: 1_000_000 }).kind).toBe("deadlock");
    expect(machine.now).toBeGreaterThanOrEqual(1000 * testBoard().instructionsPerTick);
    expect(machine.pes[0]!.retired).toBe(2);
  });
});
