/**
 * The whole stack for tests: the real machine with Root Monitor, RMM and Host in their slots. Not part of the room: it
 * imports what the room itself must not.
 */
import type { StampedTraceEvent, TraceCategory } from "@realmbox/abi";
import { baseBoard, generateInterpreter, Machine } from "@realmbox/machine";
import { createMonitor } from "../../monitor/src/index.js";
import { portableCrypto } from "../../realmbox/src/crypto/portable.js";
import { createRmm } from "../../rmm/src/index.js";
import { createHost, type Host, type Process } from "./index.js";

export interface Stack {
  readonly machine: Machine;
  readonly host: Host;
  readonly process: Process;
}

export interface StackOptions {
  readonly pes?: number;
  readonly dramMiB?: number;
  readonly trace?: readonly TraceCategory[];
  readonly listener?: (event: StampedTraceEvent) => void;
  /** Do not boot: a snapshot follows. */
  readonly cold?: boolean;
}

/** Generated once for all machines of a test file. */
let engine: Uint8Array | undefined;

export function makeStack(options: StackOptions = {}): Stack {
  const board = baseBoard({ peCount: options.pes ?? 1, dramSize: BigInt(options.dramMiB ?? 64) << 20n });
  const machine = new Machine({ board, engine: (engine ??= generateInterpreter()) });
  if (options.trace) machine.trace.subscribe(options.trace, options.listener ?? (() => {}));
  const crypto = portableCrypto;
  const rmm = createRmm({ crypto, board, trace: machine.trace, image: Uint8Array.of(1) });
  const host = createHost({ machine });
  const seed = new Uint8Array(8);
  const native = { kind: "native" } as const;
  const monitor = createMonitor({
    machine,
    crypto,
    seed,
    image: Uint8Array.of(2),
    rmm: { ...native, image: rmm.image },
    host: native,
  });
  machine.install("root-el3", monitor);
  machine.install("realm-el2", rmm);
  machine.install("ns-el2", host);
  machine.register(host);
  machine.reset();
  if (!options.cold) {
    const failed = host.boot();
    if (failed) throw new Error(`${failed.errno}: ${failed.why}`);
  }
  return { machine, host, process: host.process("vmm") };
}
