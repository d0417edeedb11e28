/**
 * A machine with the Root Monitor and scripted firmware in the other slots, for this room's tests. A script is a generator:
 * what it yields is the slot's exit, what it gets back is the next event.
 */
import { RMM_BOOT_STATUS, RMM_EL3_FID } from "@realmbox/abi";
import {
  type Board,
  baseBoard,
  type Firmware,
  Machine,
  OFF,
  type Pe,
  R,
  type RunEnd,
  type SlotEvent,
  type SlotExit,
  SMC,
} from "@realmbox/machine";
import { portableCrypto } from "../../realmbox/src/crypto/portable.js";
import { createMonitor, type MonitorOptions } from "./monitor.js";

export const crypto = portableCrypto;
export const RMM_IMAGE = Uint8Array.from("scripted RMM", (c) => c.charCodeAt(0));
export const MONITOR_IMAGE = Uint8Array.from("monitor under test", (c) => c.charCodeAt(0));
export const SEED = Uint8Array.of(1, 2, 3);
const MiB = 1n << 20n;
export const DRAM = { base: 0x8000_0000n, size: 64n * MiB };
export const UNKNOWN = 0xffff_ffff_ffff_ffffn;

export type Script = (pe: Pe) => Generator<SlotExit, SlotExit, SlotEvent>;

/** Native firmware that plays a script on each PE; it starts anew with each `start` event. */
export function scripted(name: string, image: Uint8Array, script: Script): Firmware {
  const running = new Map<number, ReturnType<Script>>();
  return {
    name,
    image,
    step(pe, event) {
      if (event.kind === "start") running.set(pe.index, script(pe));
      const { value, done } = running.get(pe.index)!.next(event);
      if (done) running.delete(pe.index);
      return value;
    },
  };
}

/** An SMC with X0.. = `values`; other registers are left alone. Returns X0 to X7. */
export function* smc(pe: Pe, ...values: bigint[]): Generator<SlotExit, bigint[], SlotEvent> {
  values.forEach((value, n) => {
    pe.r[R.X0 + n] = value;
  });
  const event = yield SMC;
  if (event.kind !== "return") throw new Error(`an SMC ended with ${event.kind}`);
  return Array.from({ length: 8 }, (_, n) => pe.r[R.X0 + n]!);
}

/** An RMM that boots with a status and then plays `commands` for each PE. */
export const bootingRmm = (
  commands: Script,
  status: bigint | ((pe: Pe) => bigint) = RMM_BOOT_STATUS.E_RMM_BOOT_SUCCESS,
): Script =>
  function* (pe) {
    yield* smc(pe, RMM_EL3_FID.RMM_BOOT_COMPLETE, BigInt.asUintN(64, typeof status === "bigint" ? status : status(pe)));
    return yield* commands(pe);
  };

/** Answers every RMI command with X1.. = `answer`. */
export const answering = (answer: (pe: Pe) => readonly bigint[]): Script =>
  bootingRmm(function* (pe) {
    for (;;) {
      const values = answer(pe);
      values.forEach((value, n) => {
        pe.r[R.X0 + 1 + n] = value;
      });
      pe.r[R.X0] = RMM_EL3_FID.RMI_REQ_COMPLETE;
      yield SMC;
    }
  });

export interface Setup {
  readonly host: Script;
  readonly rmm?: Script;
  readonly peCount?: number;
  /** Default: the base board. */
  readonly board?: Board;
  readonly options?: Partial<Pick<MonitorOptions, "configs" | "seed" | "rmm" | "host">>;
}

export interface Run {
  readonly machine: Machine;
  readonly end: RunEnd;
  readonly events: string[];
}

export function build({ host, rmm, peCount = 1, board, options }: Setup): Machine {
  const machine = new Machine({
    board: board ?? baseBoard({ peCount, dramSize: DRAM.size, frameBytes: 16 << 20 }),
  });
  machine.install(
    "root-el3",
    createMonitor({
      machine,
      crypto,
      image: MONITOR_IMAGE,
      ...(rmm ? { rmm: { kind: "native", image: RMM_IMAGE } } : {}),
      host: { kind: "native" },
      seed: SEED,
      ...options,
    }),
  );
  if (rmm) machine.install("realm-el2", scripted("RMM", RMM_IMAGE, rmm));
  machine.install("ns-el2", scripted("Host", new Uint8Array(0), host));
  machine.reset();
  return machine;
}

/** Runs a set-up to its end; an error inside a script ends the test. */
export function run(setup: Setup): Run {
  const machine = build(setup);
  const events: string[] = [];
  machine.trace.subscribe(["boot", "psci", "granule"], ({ name, fields }) => {
    events.push([name, ...Object.entries(fields).map(([key, value]) => `${key}=${show(value)}`)].join(" "));
  });
  return { machine, end: machine.run({ instructions: 1_000_000 }), events };
}

const show = (value: unknown): string => (typeof value === "bigint" ? `0x${value.toString(16)}` : String(value));

/** The Host's last act: PSCI_SYSTEM_OFF. */
export function* systemOff(pe: Pe): Generator<SlotExit, SlotExit, SlotEvent> {
  yield* smc(pe, 0x8400_0008n);
  return OFF;
}
