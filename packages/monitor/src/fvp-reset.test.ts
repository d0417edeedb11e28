/** Resets of the running machine on the board `fvp`: what asks for them, what they keep, what they lose. */
import { Gpi, RMI_FID } from "@realmbox/abi";
import { FVP_IMAGES, FVP_NVM, type MachineReset, type NorFlash } from "@realmbox/machine";
import { describe, expect, test } from "vitest";
import type { Assembler } from "../../machine/test-support/assembler.js";
import { call, type Fvp, fvpWith } from "./fvp.oracle.js";

const WATCHDOG = 0x1c0f_0000n;
const GENERIC_WATCHDOG = 0x2a44_0000n;
const V2M = 0x1c01_0000n;
const PSCI = {
  CPU_ON: 0xc400_0003,
  SYSTEM_OFF: 0x8400_0008,
  SYSTEM_RESET: 0x8400_0009,
  SYSTEM_RESET2: 0xc400_0012,
  MEM_PROTECT: 0x8400_0013,
};
const DRAM = 0x8000_0000n;
const EVENTS_MAX = 20;

/** A 32-bit store of a constant, with X9 and X10. */
const poke = (a: Assembler, at: bigint, value: number): void => {
  a.mov(9, at).mov(10, value).strw(10, 9);
};

/**
 * Counts boots in the non-volatile words, which are all ones at power-on: goes to `again` for the first `boots` ones, then
 * switches off.
 */
function bootsThen(boots: number, again: (a: Assembler) => void): (a: Assembler) => void {
  return (a) => {
    a.mov(11, FVP_NVM.base).ldrw(12, 11).add(12, 12, 1).strw(12, 11);
    // Once more: of all ones plus 1 only the lower half counts.
    a.ldrw(12, 11).cmp(12, boots).bCond(0, "done");
    again(a);
    a.loop();
    a.label("done");
    call(a, PSCI.SYSTEM_OFF);
  };
}

/** Runs with resets allowed; the reasons of those that happened. */
function runWithResets({ machine }: Fvp): { resets: MachineReset[]; end: unknown } {
  const resets: MachineReset[] = [];
  machine.onReset = (reset) => resets.push(reset) < EVENTS_MAX;
  return { end: machine.run({ instructions: 5_000_000 }), resets };
}

const OFF = { kind: "stopped", reason: "PSCI_SYSTEM_OFF" };

const REASONS: readonly (readonly [reason: string, ask: (a: Assembler) => void])[] = [
  [
    "watchdog",
    (a) => {
      poke(a, WATCHDOG, 50);
      poke(a, WATCHDOG + 8n, 3);
    },
  ],
  [
    "generic watchdog",
    (a) => {
      poke(a, GENERIC_WATCHDOG + 8n, 300);
      poke(a, GENERIC_WATCHDOG, 1);
    },
  ],
  ["V2M reboot", (a) => poke(a, V2M + 0xa4n, 0xc090_0000)],
  ["PSCI_SYSTEM_RESET", (a) => call(a, PSCI.SYSTEM_RESET)],
];

describe.each(REASONS)("%s", (reason, ask) => {
  test("resets the machine as often as it is asked to", () => {
    const fvp = fvpWith(bootsThen(3, ask));
    const { end, resets } = runWithResets(fvp);
    expect(end).toEqual(OFF);
    expect(resets).toEqual([1, 2, 3].map((count) => ({ reason, count })));
    expect(fvp.machine.counters.resets).toBe(3);
    expect(Number(fvp.words(FVP_NVM.base, 1)[0]! & 0xffff_ffffn)).toBe(3);
  });

  test("ends the run when nobody listens", () => {
    const { machine } = fvpWith(bootsThen(3, ask));
    expect(machine.run({ instructions: 5_000_000 })).toEqual({ kind: "stopped", reason });
  });

  test("happens at the same count, whatever the limits of the runs and across a snapshot", () => {
    const lines: string[] = [];
    const observed = (): Fvp => {
      const fvp = fvpWith(bootsThen(2, ask));
      fvp.machine.trace.subscribe(["boot"], ({ at, name }) => lines.push(`${at} ${name}`));
      fvp.machine.onReset = () => true;
      return fvp;
    };
    let { machine } = observed();
    expect(machine.run({ instructions: 5_000_000 })).toEqual(OFF);
    const expected = lines.splice(0);
    const middle = machine.now / 2;

    machine = observed().machine;
    while (machine.now < middle) machine.run({ instructions: 11 });
    const snapshot = machine.snapshot();
    machine = observed().machine;
    machine.restore(snapshot);
    let end = machine.run({ instructions: 37 });
    while (end.kind === "limit") end = machine.run({ instructions: 1009 });
    expect(end).toEqual(OFF);
    expect(lines).toEqual(expected);
  });
});

test("SYSTEM_RESET2 is a warm reset; other types are refused", () => {
  const fvp = fvpWith(
    bootsThen(1, (a) => {
      call(a, PSCI.SYSTEM_RESET2, 0x8000_0000);
      a.mov(9, DRAM).str(0, 9);
      call(a, PSCI.SYSTEM_RESET2, 0);
    }),
  );
  expect(runWithResets(fvp).resets).toEqual([{ reason: "PSCI_SYSTEM_RESET", count: 1 }]);
  expect(fvp.words(DRAM, 1)).toEqual([BigInt.asUintN(64, -2n)]);
});

test("a reset that was asked for between two runs is in a snapshot", () => {
  const make = () => fvpWith((a) => a.loop()).machine;
  const one = make();
  one.run({ instructions: 100 });
  one.requestReset("button");
  const other = make();
  other.restore(one.snapshot());
  expect(other.run({ instructions: 100 })).toEqual({ kind: "stopped", reason: "button" });
});

test("V2M shutdown ends the run", () => {
  const { machine } = fvpWith((a) => {
    poke(a, V2M + 0xa4n, 0xc080_0000);
    a.loop();
  });
  expect(machine.run({ instructions: 100_000 })).toEqual({ kind: "stopped", reason: "V2M shutdown" });
});

test("images are loaded again, other memory is kept, all PEs but the first are off, devices are as after power-on", () => {
  const fvp = fvpWith((a) => {
    a.mov(11, FVP_NVM.base).ldrw(12, 11).strw(31, 11);
    a.cmp(12, 0).bCond(0, "second");
    // First boot: spoil the image and a device register, leave something in DRAM, start another PE.
    poke(a, FVP_IMAGES.NS + 0x1000n, 0xdead);
    poke(a, DRAM + 0x100n, 0xbeef);
    poke(a, 0x1c0b_0030n, 0x101); // UART2's CR
    call(a, PSCI.CPU_ON, 0x100, FVP_IMAGES.NS + 0x800n);
    call(a, PSCI.SYSTEM_RESET);
    a.label("second");
    a.mov(8, DRAM);
    a.mov(9, FVP_IMAGES.NS + 0x1000n)
      .ldr(10, 9)
      .str(10, 8);
    a.mov(9, 0x1c0b_0030n).ldrw(10, 9).str(10, 8, 8);
    call(a, 0xc400_0004, 0x100, 0); // AFFINITY_INFO
    a.str(0, 8, 16);
    call(a, PSCI.SYSTEM_OFF);
    a.org(0x800).loop();
    a.org(0x1000).word(0x1234, 0x5678);
  });
  expect(runWithResets(fvp).end).toEqual(OFF);
  expect(fvp.words(DRAM, 3)).toEqual([0x5678_0000_1234n, 0x300n, 1n]);
  expect(fvp.words(DRAM + 0x100n, 1)).toEqual([0xbeefn]);
  expect(fvp.machine.pes[1]!.power).toBe("off");
});

test("what was Realm memory is zero afterwards, and Non-secure; its neighbours are as they were", () => {
  const granule = 0x9000_0000n;
  const fvp = fvpWith(
    bootsThen(1, (a) => {
      call(a, RMI_FID.RMI_GRANULE_DELEGATE, granule);
      a.wfi();
      call(a, PSCI.SYSTEM_RESET);
    }),
  );
  const { machine } = fvp;
  machine.externalSources = 1;
  expect(machine.run({ instructions: 100_000 }).kind).toBe("idle");
  const secret = new Uint8Array(4096).fill(0x5a);
  for (const pa of [granule - 0x1000n, granule, granule + 0x1000n]) machine.load(pa, secret);
  expect(machine.pes[0]!.protection.gpi(Number(granule))).toBe(Gpi.REALM);
  machine.externalSources = 0;
  machine.requestReset("button");
  expect(runWithResets(fvp)).toEqual({ end: OFF, resets: [{ reason: "button", count: 1 }] });
  expect(machine.pes[0]!.protection.gpi(Number(granule))).toBe(Gpi.NS);
  const words = [-0x1000n, 0n, 0xff8n, 0x1000n].map((offset) => fvp.words(granule + offset, 1)[0]);
  expect(words).toEqual([0x5a5a_5a5a_5a5a_5a5an, 0n, 0n, 0x5a5a_5a5a_5a5a_5a5an]);
});

test("memory protection: its state is in flash, and the protected memory is overwritten at the next boot", () => {
  const inside = 0xa000_0000n;
  const outside = 0x8b00_0000n;
  const fvp = fvpWith(
    bootsThen(1, (a) => {
      a.mov(8, DRAM);
      for (const on of [1, 0, 1]) {
        call(a, PSCI.MEM_PROTECT, on);
        a.str(0, 8).add(8, 8, 8);
      }
      poke(a, inside, 0x1111);
      poke(a, outside, 0x2222);
      call(a, PSCI.SYSTEM_RESET);
    }),
  );
  expect(runWithResets(fvp).end).toEqual(OFF);
  expect(fvp.words(DRAM, 3)).toEqual([0n, 1n, 0n]);
  expect([fvp.words(inside, 1), fvp.words(outside, 1)]).toEqual([[0n], [0x2222n]]);
  const flash = fvp.machine.devices.get("flash0") as NorFlash;
  expect(flash.contents(0x3fc_0000, 8)).toEqual(Uint8Array.of(1, 0, 0, 0, 255, 255, 255, 255));
});
