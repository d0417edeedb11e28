/** The monitor with the project's own RMM: boot, RMI calls, and a snapshot in the middle of a run. */
import { Pas, RMI_FID } from "@realmbox/abi";
import { baseBoard, ERET, type Firmware, isFault, Machine, OFF, type Pe, R, SMC } from "@realmbox/machine";
import { expect, test } from "vitest";
import { createRmm } from "../../rmm/src/index.js";
import { crypto, DRAM, SEED } from "./harness.oracle.js";
import { createMonitor } from "./monitor.js";

const GRANULES = 50n;
const FIRST = DRAM.base + 0x10_0000n;

/**
 * A Host without state of its own: X19 counts its calls. It delegates granules one after another, then undelegates them,
 * then turns the system off.
 */
const host: Firmware = {
  name: "Host",
  image: new Uint8Array(0),
  step(pe: Pe) {
    const n = pe.r[R.X0 + 19]!;
    pe.r[R.X0 + 19] = n + 1n;
    if (n > 0n) pe.r[R.X0 + 20] = (pe.r[R.X0 + 20]! * 31n + pe.r[R.X0]!) & 0xffff_ffffn;
    if (n === 2n * GRANULES) pe.r[R.X0] = 0x8400_0008n;
    else pe.r[R.X0] = n < GRANULES ? RMI_FID.RMI_GRANULE_DELEGATE : RMI_FID.RMI_GRANULE_UNDELEGATE;
    pe.r[R.X0 + 1] = FIRST + (n % GRANULES) * 0x1000n;
    return SMC;
  },
};

function assemble(): { machine: Machine; lines: string[] } {
  const machine = new Machine({ board: baseBoard({ dramSize: DRAM.size, frameBytes: 16 << 20 }) });
  const rmm = createRmm({ crypto, board: machine.board, trace: machine.trace });
  machine.install("realm-el2", rmm);
  machine.install("ns-el2", host);
  machine.install(
    "root-el3",
    createMonitor({ machine, crypto, rmm: { kind: "native", image: rmm.image }, host: { kind: "native" }, seed: SEED }),
  );
  const lines: string[] = [];
  machine.trace.subscribe(["boot", "smc", "rmi", "granule", "psci"], ({ at, name, fields }) => {
    lines.push(`${at} ${name} ${Object.values(fields).join(" ")}`);
  });
  return { machine, lines };
}

test("the RMM boots, and granules go to the Realm world and back", () => {
  const { machine, lines } = assemble();
  machine.reset();
  expect(machine.run({ instructions: 10_000 })).toEqual({ kind: "stopped", reason: "PSCI_SYSTEM_OFF" });
  expect(lines.some((line) => line.includes("RMM boot complete 0 E_RMM_BOOT_SUCCESS"))).toBe(true);
  expect(machine.counters.granuleTransitions).toBe(Number(2n * GRANULES));
  expect(machine.counters.worldSwitches).toBe(1 + Number(4n * GRANULES));
  // Every status was RMI_SUCCESS: the checksum over them is that of zeros.
  expect(machine.pes[0]!.r[R.X0 + 20]).toBe(0n);
});

test("a snapshot in the middle of a run, restored in a new machine, goes on to the same end", () => {
  const whole = assemble();
  whole.machine.reset();
  whole.machine.run({ instructions: 1000 });

  const first = assemble();
  first.machine.reset();
  expect(first.machine.run({ instructions: 333 })).toEqual({ kind: "limit" });
  const snapshot = first.machine.snapshot();

  const second = assemble();
  second.machine.reset();
  second.machine.restore(snapshot);
  expect(second.machine.run({ instructions: 10_000 })).toEqual({ kind: "stopped", reason: "PSCI_SYSTEM_OFF" });
  whole.machine.run({ instructions: 10_000 });
  expect([...first.lines, ...second.lines]).toEqual(whole.lines);
  expect(second.lines.length).toBeGreaterThan(100);
});

test("what the Host delegated it cannot read, and what it got back is zero", () => {
  const seen: unknown[] = [];
  const { machine } = assemble();
  let step = 0;
  machine.install("ns-el2", {
    name: "Host",
    image: new Uint8Array(0),
    step(pe) {
      const ns = pe.port(Pas.NS);
      switch (step++) {
        case 0:
          ns.write64(FIRST, 0x5ec3e7n);
          pe.r[R.X0] = RMI_FID.RMI_GRANULE_DELEGATE;
          pe.r[R.X0 + 1] = FIRST;
          return SMC;
        case 1:
          seen.push(pe.r[R.X0], isFault(ns.read64(FIRST)));
          pe.r[R.X0] = RMI_FID.RMI_GRANULE_UNDELEGATE;
          pe.r[R.X0 + 1] = FIRST;
          return SMC;
      }
      seen.push(pe.r[R.X0], ns.read64(FIRST));
      machine.stop("done");
      return step > 100 ? ERET : OFF;
    },
  });
  machine.reset();
  machine.run({ instructions: 10_000 });
  expect(seen).toEqual([0n, true, 0n, 0n]);
});
