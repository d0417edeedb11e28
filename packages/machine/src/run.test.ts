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
