import { Gpi, GRANULE_SIZE, Pas, SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { baseBoard } from "./board/base.js";
import { R } from "./cpu/state.js";
import { GPCCR, ppsFor } from "./gpt.js";
import { Machine } from "./machine.js";
import type { Pe } from "./pe.js";
import { ERET, type Firmware, OFF, type SlotEvent, type SlotExit, SMC, WFI } from "./slot.js";

const board = baseBoard({ dramSize: 64n << 20n, frameBytes: 32 << 20 });
const SPSR_EL2H = 0x3c9n;
const SCR_NS = 0x431n;
const SCR_REALM = SCR_NS | (1n << 62n);

const firmware = (name: string, step: (pe: Pe, event: SlotEvent) => SlotExit): Firmware => ({
  name,
  image: new Uint8Array(0),
  step,
});

/** Level 0 tables in the first page of Root memory: Root GiB 0 by level 1, Realm GiB 1, NS GiB 2. */
function writeGpt(pe: Pe): void {
  const root = pe.port(Pas.ROOT);
  const l0 = board.root.base;
  const l1 = board.root.base + 0x20000n;
  root.zero(l0, GRANULE_SIZE);
  root.write64(l0, l1 | 3n);
  root.write64(l0 + 8n, (BigInt(Gpi.REALM) << 4n) | 1n);
  const ns = board.root.base + 0x40000n;
  root.write64(l0 + 16n, ns | 3n);
  for (let i = 0n; i < 0x4000n; i++) {
    root.write64(l1 + i * 8n, i < 0x400n ? 0xaaaa_aaaa_aaaa_aaaan : 0xffff_ffff_ffff_ffffn);
    root.write64(ns + i * 8n, 0x9999_9999_9999_9999n);
  }
  pe.r[R.GPTBR_EL3] = l0 >> 12n;
  pe.r[R.GPCCR_EL3] = GPCCR.PPS.of(ppsFor(40)) | GPCCR.SH.of(3) | GPCCR.IRGN.of(1) | GPCCR.ORGN.of(1) | GPCCR.GPC.of(1);
}

/** A monitor that starts a Realm firmware, then a Host, and passes SMCs between them. */
function monitor(): Firmware {
  let world: "boot" | "realm" | "ns" = "boot";
  const enter = (pe: Pe, scr: bigint, elr: bigint): SlotExit => {
    pe.r[R.SCR_EL3] = scr;
    pe.r[R.SPSR_EL3] = SPSR_EL2H;
    pe.r[R.ELR_EL3] = elr;
    return ERET;
  };
  const resume = { realm: 0n, ns: 0n };
  return firmware("monitor", (pe, event) => {
    if (event.kind === "start") {
      writeGpt(pe);
      world = "realm";
      return enter(pe, SCR_REALM, 0x4000_0000n);
    }
    const elr = pe.r[R.ELR_EL3]!;
    if (world === "realm") {
      resume.realm = elr;
      world = "ns";
      return enter(pe, SCR_NS, resume.ns === 0n ? 0x8000_0000n : resume.ns);
    }
    if (pe.r[R.X0] === 0xffn) return OFF;
    resume.ns = elr;
    world = "realm";
    return enter(pe, SCR_REALM, resume.realm);
  });
}

describe("slots", () => {
  test("SMCs go through the monitor and come back as the return event", () => {
    const machine = new Machine({ board });
    const log: string[] = [];
    machine.install("root-el3", monitor());
    machine.install(
      "realm-el2",
      firmware("rmm", (pe, event) => {
        log.push(`realm ${event.kind} ${pe.state === SecurityState.REALM} x0=${pe.r[R.X0]}`);
        pe.r[R.X0] = pe.r[R.X0]! * 2n;
        return SMC;
      }),
    );
    machine.install(
      "ns-el2",
      firmware("host", (pe, event) => {
        log.push(`ns ${event.kind} x0=${pe.r[R.X0]}`);
        if (event.kind === "return" && pe.r[R.X0] === 42n) machine.stop("done");
        pe.r[R.X0] = 21n;
        return SMC;
      }),
    );
    machine.reset();
    expect(machine.run()).toEqual({ kind: "stopped", reason: "done" });
    expect(log).toEqual(["realm start true x0=0", "ns start x0=0", "realm return true x0=21", "ns return x0=42"]);
    expect(machine.counters.smcs).toBe(4);
    // Realm first, then three changes; the last SMC has gone to EL3 only.
    expect(machine.counters.worldSwitches).toBe(3);
    // Four SMC exceptions and four ERETs of EL3: nothing else has passed.
    expect(machine.now).toBe(8);
  });

  test("ports are checked by the GPT with the PAS of the port, as a value", () => {
    const machine = new Machine({ board });
    const results: unknown[] = [];
    machine.install("root-el3", monitor());
    machine.install(
      "realm-el2",
      firmware("rmm", (pe) => {
        expect(() => pe.port(Pas.ROOT)).toThrow(/reaches the PAS ROOT/);
        expect(pe.port(Pas.REALM).write64(0x4000_1000n, 0x1234n)).toBeUndefined();
        return SMC;
      }),
    );
    machine.install(
      "ns-el2",
      firmware("host", (pe) => {
        const ns = pe.port(Pas.NS);
        results.push(ns.read64(0x4000_1000n), ns.copyOut(0x8000_0ff8n, new Uint8Array(16).fill(7)));
        results.push(ns.read64(0x8000_1000n), ns.read64(0x1_0000_0000n));
        // Memory ends within the range: nothing is written.
        results.push(ns.copyOut(0x83ff_fff8n, new Uint8Array(16).fill(7)), ns.read64(0x83ff_fff8n));
        expect(() => pe.port(Pas.REALM)).toThrow();
        pe.r[R.X0] = 0xffn;
        return SMC;
      }),
    );
    machine.reset();
    expect(machine.run()).toMatchObject({ kind: "deadlock", detail: "all PEs are off" });
    expect(results[0]).toMatchObject({ fault: "granule-protection", gptLevel: 0, pa: 0x4000_1000n, pas: Pas.NS });
    expect(results[1]).toBeUndefined();
    expect(results[2]).toBe(0x0707_0707_0707_0707n);
    // Nothing is there: L0 entry 4 is zero, an invalid entry.
    expect(results[3]).toMatchObject({ fault: "gpt-walk", gptLevel: 0 });
    expect(results[4]).toMatchObject({ fault: "external", pa: 0x8400_0000n });
    expect(results[5]).toBe(0n);
    expect(machine.counters.ports["ns-el2"].bytes[Pas.NS]).toBe(32);
    expect(machine.counters.granuleProtectionFaults).toBe(1);
  });

  test("smcNow is an SMC that returns within the step", () => {
    const machine = new Machine({ board });
    const x0: bigint[] = [];
    machine.install(
      "root-el3",
      firmware("monitor", (pe, event) => {
        if (event.kind === "start") {
          pe.r[R.SCR_EL3] = SCR_REALM;
          pe.r[R.SPSR_EL3] = SPSR_EL2H;
          return ERET;
        }
        expect(event).toEqual({ kind: "exception", vector: "sync", lower: true });
        expect(pe.r[R.ESR_EL3]).toBe(0x5e00_0000n);
        pe.r[R.X0] = pe.r[R.X0]! + 1n;
        return ERET;
      }),
    );
    machine.install(
      "realm-el2",
      firmware("rmm", (pe) => {
        pe.r[R.X0] = 5n;
        pe.smcNow();
        x0.push(pe.r[R.X0]!);
        machine.stop("done");
        return WFI;
      }),
    );
    machine.reset();
    expect(machine.run().kind).toBe("stopped");
    expect(x0).toEqual([6n]);
  });
});

describe("time", () => {
  const sleeper = (onWake: (pe: Pe) => SlotExit): Firmware =>
    firmware("host", (pe, event) => {
      if (event.kind === "wake") return onWake(pe);
      pe.msr("ICC_IGRPEN1_EL1", 1n);
      pe.msr("ICC_PMR_EL1", 0xffn);
      pe.r[R.CNTHP_CVAL_EL2] = 1000n;
      pe.r[R.CNTHP_CTL_EL2] = 1n;
      return WFI;
    });

  test("WFI of the only PE skips to the timer, exactly", () => {
    const machine = new Machine({ board });
    machine.install(
      "root-el3",
      firmware("monitor", (pe) => {
        // PPI 26: Group 1 Non-secure, enabled, in the PE's redistributor.
        const nsFrame = board.gicr + 0x10000n;
        const port = pe.port(Pas.ROOT);
        const word = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);
        port.copyOut(board.gicd, word(0x37));
        port.copyOut(board.gicr + 0x14n, word(0)); // GICR_WAKER: awake
        port.copyOut(nsFrame + 0x80n, word(0xffff_ffff));
        port.copyOut(nsFrame + 0x100n, word(1 << 26));
        pe.r[R.SCR_EL3] = SCR_NS;
        pe.r[R.SPSR_EL3] = SPSR_EL2H;
        return ERET;
      }),
    );
    machine.install(
      "ns-el2",
      sleeper((pe) => {
        machine.stop(`woke at ${machine.counter()} by ${pe.mrs("ICC_IAR1_EL1")}`);
        return WFI;
      }),
    );
    machine.reset();
    expect(machine.run()).toEqual({ kind: "stopped", reason: "woke at 1000 by 26" });
    expect(machine.now).toBe(10_000);
  });

  test("WFI that nothing can wake is a deadlock; with an external source it is idle", () => {
    const machine = new Machine({ board });
    machine.install(
      "root-el3",
      firmware("monitor", () => WFI),
    );
    machine.reset();
    expect(machine.run()).toEqual({ kind: "deadlock", detail: "PE 0 waits at ROOT EL3" });
    machine.externalSources = 1;
    expect(machine.run()).toEqual({ kind: "idle", deadline: undefined });
  });
});
