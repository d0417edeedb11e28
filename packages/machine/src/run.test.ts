/** The run loop with emulated code: clock, slices, waiting, ends of a run, snapshots. */
import { SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { type Assembler, assemble } from "../test-support/assembler.js";
import { DRAM, machineAt, SCR_OF, testBoard, testEngine } from "../test-support/pe-at.js";
import { instructionsAt, instructionsTotal } from "./counters.js";
import { R } from "./cpu/state.js";
import { type HostClock, Machine } from "./machine.js";
import type { Pe } from "./pe.js";
import { ERET, type Firmware, WFI } from "./slot.js";

const RW = 1n << 31n;

/** PEs at EL3 that run the program at address 0, X0 = index. */
function machineWith(
  program: (a: Assembler) => void,
  options: { peCount?: number; seed?: bigint; clock?: HostClock } = {},
): Machine {
  const { peCount = 1, seed, clock } = options;
  const machine = new Machine({
    board: testBoard({ peCount }),
    engine: testEngine(),
    ...(clock === undefined ? {} : { clock }),
    ...(seed === undefined ? {} : { seed }),
  });
  machine.load(0n, assemble(program));
  machine.reset();
  for (let i = 1; i < peCount; i++) machine.startPe(i);
  machine.pes.forEach((pe, i) => {
    pe.r[R.X0] = BigInt(i);
  });
  return machine;
}

/** CNTHP's PPI, through GICD_CTLR, GICR_WAKER, GICR_IGROUPR0, GICR_ISENABLER0, then the CPU interface. */
function enableTimerInterrupt(a: Assembler): void {
  const board = testBoard();
  const write = (address: bigint, value: number) => a.mov(10, address).mov(11, value).word(0xb900_014b);
  write(board.gicd, 0x37);
  write(board.gicr + 0x14n, 0);
  write(board.gicr + 0x10080n, 0xffff_ffff);
  write(board.gicr + 0x10100n, 1 << 26);
  a.set("ICC_PMR_EL1", 0xff).set("SCR_EL3", SCR_OF[SecurityState.NON_SECURE]).set("ICC_IGRPEN1_EL1", 1);
}

describe("clock and counters", () => {
  test("instructions, exceptions and ERETs each count one", () => {
    const machine = machineWith((a) => {
      a.set("VBAR_EL3", 0x800).svc().svc().wfi().loop();
      a.org(0xa00).eret();
    });
    machine.run();
    // mov, msr, svc, svc, wfi and two ERETs retire; two exceptions and two returns besides.
    expect(instructionsAt(machine.counters, SecurityState.ROOT, 3)).toBe(7);
    expect(machine.now).toBe(11);
    expect(machine.counters.exceptions[0x15]).toBe(2);
  });

  test("instructions are attributed to the level that retired them", () => {
    const { machine, pe } = machineAt({ el: 3, registers: { VBAR_EL2: DRAM + 0x800n, PC: DRAM, HCR_EL2: RW } });
    pe.r[R.SCR_EL3] = SCR_OF[SecurityState.REALM];
    machine.load(
      DRAM,
      assemble((a) => {
        a.set("ELR_EL3", DRAM + 0x100n)
          .set("SPSR_EL3", 0x3c5)
          .eret();
        a.org(0x100).nop().nop().nop().hvc();
        a.org(0xc00).wfi().loop();
      }),
    );
    machine.run();
    const { counters } = machine;
    const at = (state: SecurityState, el: number) => instructionsAt(counters, state, el);
    expect([at(SecurityState.ROOT, 3), at(SecurityState.REALM, 1), at(SecurityState.REALM, 2)]).toEqual([6, 4, 1]);
    expect(machine.now).toBe(instructionsTotal(counters) + 2);
  });

  test("the counter and a limit are exact inside a run", () => {
    const machine = machineWith((a) => a.label("again").add(1, 1, 1).b("again"));
    expect(machine.run({ instructions: 25 })).toEqual({ kind: "limit" });
    expect([machine.now, machine.pes[0]!.r[R.X0 + 1]]).toEqual([25, 13n]);
    expect(machine.run({ instructions: 25 })).toEqual({ kind: "limit" });
    expect([machine.now, machine.pes[0]!.r[R.X0 + 1]]).toEqual([50, 25n]);
    expect(machine.counter()).toBe(5n);
  });

  test("CNTPCT_EL0 counts instructions by the board's constant", () => {
    const machine = machineWith((a) => {
      a.mrs(1, "CNTPCT_EL0");
      for (let i = 0; i < 99; i++) a.nop();
      a.mrs(2, "CNTPCT_EL0").wfi();
    });
    machine.run();
    expect([machine.pes[0]!.r[R.X0 + 1], machine.pes[0]!.r[R.X0 + 2]]).toEqual([0n, 10n]);
  });
});

describe("waiting", () => {
  test("WFI wakes at the timer's exact count, masked", () => {
    const machine = machineWith((a) => {
      a.set("CNTHP_CVAL_EL2", 500).set("CNTHP_CTL_EL2", 1);
      enableTimerInterrupt(a);
      a.isb().wfi().mrs(1, "CNTPCT_EL0").mrs(2, "ICC_HPPIR1_EL1").set("CNTHP_CTL_EL2", 0).wfi();
    });
    expect(machine.run()).toMatchObject({ kind: "deadlock" });
    expect(machine.pes[0]!.r[R.X0 + 1]).toBe(500n);
  });

  test("WFE gives the slice away, SEV ends it", () => {
    // PE 0 waits for the flag with WFE; PE 1 sets it after a while.
    const machine = machineWith(
      (a) => {
        a.mov(1, 0x8000).cbnz(0, "other");
        a.label("wait").ldr(2, 1).cbnz(2, "done").wfe().b("wait");
        a.label("done").mov(3, 1).wfi().loop();
        a.label("other");
        for (let i = 0; i < 50; i++) a.nop();
        a.mov(2, 1).str(2, 1).word(0xd503_209f).wfi().loop();
      },
      { peCount: 2 },
    );
    expect(machine.run()).toMatchObject({ kind: "deadlock" });
    expect(machine.pes[0]!.r[R.X0 + 3]).toBe(1n);
    // Without WFE, PE 0 would have spun through a whole slice.
    expect(machine.now).toBeLessThan(200);
  });

  test("an external source keeps an idle machine from jumping ahead", () => {
    const machine = machineWith((a) => a.wfi().loop());
    machine.externalSources = 1;
    expect(machine.run()).toEqual({ kind: "idle", deadline: undefined });
    machine.advance(1000);
    expect(machine.now).toBe(1000);
    let woken = 0;
    machine.wakeHook = () => woken++;
    machine.setSpi(40, true);
    expect(woken).toBe(1);
  });
});

describe("with a host clock", () => {
  /** A host clock that stands until it is set. */
  const host = (): { set: (ms: number) => void; clock: HostClock } => {
    let time = 77_000;
    return { set: (ms) => void (time = 77_000 + ms), clock: { now: () => time } };
  };

  test("the counter shows the time that has passed outside, to within a slice", () => {
    const { set, clock } = host();
    const machine = machineWith((a) => a.mrs(1, "CNTPCT_EL0").loop(), { clock });
    const { counterHz } = machine.board;
    set(5);
    machine.run({ instructions: 1000 });
    set(7.5);
    machine.run({ instructions: 20_000 });
    expect(machine.ticks - 0.0075 * counterHz).toBeGreaterThanOrEqual(0);
    expect(machine.ticks - 0.0075 * counterHz).toBeLessThan(0.0001 * counterHz);
  });

  test("a timer fires when its time has come outside; idle time is not skipped", () => {
    const { set, clock } = host();
    const machine = machineWith(
      (a) => {
        a.set("CNTHP_CVAL_EL2", 1_000_000).set("CNTHP_CTL_EL2", 1);
        enableTimerInterrupt(a);
        a.isb().wfi().mrs(1, "CNTPCT_EL0").set("CNTHP_CTL_EL2", 0).wfi();
      },
      { clock },
    );
    machine.externalSources = 1;
    expect(machine.run()).toEqual({ kind: "idle", deadline: 10 * machine.countsPerMs });
    set(9.9);
    expect(machine.run()).toMatchObject({ kind: "idle" });
    expect(machine.pes[0]!.r[R.X0 + 1]).toBe(0n);
    set(10.25);
    expect(machine.run()).toEqual({ kind: "idle", deadline: undefined });
    expect(Number(machine.pes[0]!.r[R.X0 + 1])).toBeCloseTo(1_025_000, -3);
  });

  test("time never goes back, and goes on from a snapshot's", () => {
    const { set, clock } = host();
    const program = (a: Assembler) => void a.wfi().loop();
    const machine = machineWith(program, { clock });
    machine.externalSources = 1;
    machine.advance(20 * machine.countsPerMs);
    set(12);
    machine.run();
    expect(machine.now / machine.countsPerMs).toBeCloseTo(20);
    set(21);
    machine.run();
    expect(machine.now / machine.countsPerMs).toBeCloseTo(21);
    const snapshot = machine.snapshot();
    set(1000);
    machine.restore(snapshot);
    set(1003);
    machine.run();
    expect(machine.now / machine.countsPerMs).toBeCloseTo(24);
  });
});

describe("several PEs", () => {
  test("two PEs add with exclusives: no increment is lost", () => {
    const rounds = 30_000;
    const machine = machineWith(
      (a) => {
        a.mov(1, 0x8000).mov(4, rounds);
        // ldxr x2, [x1]; add; stxr w3, x2, [x1]; cbnz w3, again
        a.label("again").word(0xc85f_7c22).add(2, 2, 1).word(0xc803_7c22).cbnz(3, "again");
        a.word(0xf100_0484).bCond(1, "again").wfi().loop();
      },
      { peCount: 2 },
    );
    expect(machine.run()).toMatchObject({ kind: "deadlock" });
    expect(machine.memory.view.getBigUint64(machine.memory.host(0x8000), true)).toBe(BigInt(2 * rounds));
  });

  test.each([
    { peCount: 1, failed: 0n },
    { peCount: 2, failed: 1n },
  ])("an exclusive does not survive the turn of another PE: $peCount", ({ peCount, failed }) => {
    const machine = machineWith(
      (a) => {
        a.mov(1, 0x8000).word(0xc85f_7c22);
        a.mov(4, 20_000).label("spin").word(0xf100_0484).bCond(1, "spin");
        a.word(0xc803_7c22).wfi();
      },
      { peCount },
    );
    machine.run();
    expect(machine.pes[0]!.r[R.X0 + 3]).toBe(failed);
  });
});

describe("ends of a run", () => {
  test("a fault inside its own handler is an exception loop", () => {
    const { machine } = machineAt({ el: 1, registers: { HCR_EL2: RW, PC: 0x6000_0000n, VBAR_EL1: 0x6000_0000n } });
    const end = machine.run();
    expect(end).toMatchObject({ kind: "exception-loop" });
    expect(end).toHaveProperty("detail", expect.stringContaining("NON_SECURE EL1"));
  });

  test("a handler that does a little and then faults within its vectors is one, too", () => {
    const machine = machineWith((a) => {
      a.set("VBAR_EL3", 0x800).mov(1, 0x6000_0000).ldr(0, 1);
      a.org(0xa00).add(2, 2, 1).ldr(0, 1); // current EL with SP_ELx: nothing answers at X1
    });
    const end = machine.run({ instructions: 10_000 });
    expect(end).toMatchObject({ kind: "exception-loop", detail: expect.stringContaining("of its own vectors") });
    expect(machine.pes[0]!.r[R.X0 + 2]).toBe(64n);
  });

  test("a hundred SMCs in a row are no loop", () => {
    const machine = machineWith((a) => {
      a.set("VBAR_EL3", 0x2000);
      for (let i = 0; i < 100; i++) a.svc();
      a.wfi().org(0x2200).eret();
    });
    expect(machine.run()).toMatchObject({ kind: "deadlock" });
    expect(machine.counters.exceptions[0x15]).toBe(100);
  });

  test("a stage-2 fault that firmware never resolves is an exception loop", () => {
    const machine = new Machine({ board: testBoard(), engine: testEngine() });
    const enter = (pe: Pe) => {
      pe.r[R.HCR_EL2] = RW | 1n;
      pe.r[R.VTCR_EL2] = 24n | (1n << 6n) | (5n << 16n);
      pe.r[R.VTTBR_EL2] = DRAM;
      pe.r[R.ELR_EL2] = 0x1000n;
      pe.r[R.SPSR_EL2] = 0x3c5n;
    };
    const firmware = (name: string, step: Firmware["step"]): Firmware => ({ name, image: new Uint8Array(0), step });
    machine.install(
      "root-el3",
      firmware("monitor", (pe) => {
        pe.r[R.SCR_EL3] = SCR_OF[SecurityState.NON_SECURE];
        pe.r[R.SPSR_EL3] = 0x3c9n;
        return ERET;
      }),
    );
    machine.install(
      "ns-el2",
      firmware("host", (pe, event) => {
        if (event.kind === "start") enter(pe);
        return ERET;
      }),
    );
    machine.reset();
    expect(machine.run()).toMatchObject({ kind: "exception-loop" });
  });

  test("stop ends the run at once, and run goes on from there", () => {
    const machine = new Machine({ board: testBoard(), engine: testEngine() });
    let steps = 0;
    machine.install("root-el3", {
      name: "monitor",
      image: new Uint8Array(0),
      step(pe) {
        machine.stop(`step ${++steps}`);
        pe.r[R.ELR_EL3] = 0n;
        pe.r[R.SPSR_EL3] = 0x3cdn;
        return steps < 3 ? ERET : WFI;
      },
    });
    machine.reset();
    expect(machine.run()).toEqual({ kind: "stopped", reason: "step 1" });
    expect(machine.run()).toEqual({ kind: "stopped", reason: "step 2" });
    expect(machine.run()).toEqual({ kind: "stopped", reason: "step 3" });
    expect(machine.run()).toMatchObject({ kind: "deadlock" });
  });
});

/** A program that uses memory, randomness, exceptions, exclusives and two PEs, and never ends. */
function busy(a: Assembler): void {
  a.set("VBAR_EL3", 0x800).mov(1, 0x10000).mov(5, 0);
  // Each PE walks over pages of its own and over a shared one.
  a.word(0x8b00_5421); // add x1, x1, x0, lsl #21
  a.label("again").mrs(2, "RNDR").word(0xca02_00a5).str(5, 1); // eor x5, x5, x2
  a.word(0x927d_2442).word(0x8b02_0023).str(5, 3, 0x10); // and x2, x2, #0x1ff8; add x3, x1, x2
  a.mov(6, 0x8000).word(0xc85f_7cc7).add(7, 7, 1).word(0xc808_7cc7).svc(3).b("again");
  a.org(0xa00).add(9, 9, 1).eret();
}

describe("determinism", () => {
  const stateOf = (machine: Machine) => {
    const registers = machine.pes.map((pe) => [...pe.r.slice(R.X0, R.PC + 1)].join());
    let hash = 0n;
    for (const page of machine.memory.saveFrames().keys()) {
      const at = (machine.memory.frames + page * 4096) / 8;
      for (let i = 0; i < 512; i++) hash = BigInt.asUintN(64, (hash ^ machine.memory.u64[at + i]!) * 0x100_0000_01b3n);
    }
    return { now: machine.now, registers, hash, counters: JSON.stringify(machine.counters) };
  };

  test("the same run, whatever the limits", () => {
    const whole = machineWith(busy, { peCount: 2, seed: 7n });
    whole.run({ instructions: 100_000 });
    // It does what it says: SVCs, and no faults.
    expect(whole.counters.exceptions[0x15]).toBeGreaterThan(2000);
    expect(whole.counters.exceptions[0x25]).toBe(0);
    const parts = machineWith(busy, { peCount: 2, seed: 7n });
    for (let n = 1; parts.now < 100_000; n = (n * 7) % 4099) {
      parts.run({ instructions: Math.min(n, 100_000 - parts.now) });
    }
    expect(stateOf(parts)).toEqual(stateOf(whole));
    const other = machineWith(busy, { peCount: 2, seed: 8n });
    other.run({ instructions: 100_000 });
    expect(stateOf(other).hash).not.toBe(stateOf(whole).hash);
  });

  test("a machine restored from a snapshot goes on as the one that it was taken of", () => {
    const original = machineWith(busy, { peCount: 2, seed: 7n });
    // In the middle of a slice, with an exclusive monitor held by some instruction counts.
    original.run({ instructions: 54_321 });
    const data = original.snapshot();
    const taken = original.now;
    original.run({ instructions: 50_000 });

    const restored = new Machine({ board: testBoard({ peCount: 2 }), engine: testEngine() });
    restored.reset();
    restored.restore(data);
    expect(restored.now).toBe(taken);
    restored.run({ instructions: 50_000 });
    expect(stateOf(restored)).toEqual(stateOf(original));
    // The snapshot of both is the same file, byte for byte.
    expect(restored.snapshot()).toEqual(original.snapshot());
  });

  test("restoring over a machine that has run leaves nothing of it", () => {
    const data = machineWith(busy).snapshot();
    const used = machineWith(busy, { seed: 99n });
    used.run({ instructions: 10_000 });
    used.restore(data);
    used.run({ instructions: 10_000 });
    const fresh = machineWith(busy);
    fresh.run({ instructions: 10_000 });
    expect(stateOf(used)).toEqual(stateOf(fresh));
  });

  test("what is no snapshot of this machine is refused", () => {
    const machine = machineWith(busy);
    const data = machine.snapshot();
    expect(() => machine.restore(new Uint8Array(100))).toThrow(/not a snapshot/);
    expect(() => machineWith(busy, { peCount: 2 }).restore(data)).toThrow(/another board/);
    machine.register({ name: "part", save: () => 1, restore: () => {} });
    expect(() => machine.restore(data)).toThrow(/no state of "part"/);
    expect(() => machineWith(busy).restore(machine.snapshot())).toThrow(/"part"/);
    expect(() => machine.register({ name: "part", save: () => 1, restore: () => {} })).toThrow(/names/);
  });
});
