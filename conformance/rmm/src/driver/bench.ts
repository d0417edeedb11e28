/**
 * A machine with the Root Monitor, the RMM under test in slot realm-el2, and scripts as the Host. Each play begins with the
 * machine as it was after boot, so that plays do not know of each other; a play is deterministic.
 */
import type { Crypto, StampedTraceEvent, TraceCategory } from "@realmbox/abi";
import { type Board, baseBoard, generateInterpreter, Machine, type Pe } from "@realmbox/machine";
import { type ConfigBlob, createMonitor, type SecureImage } from "@realmbox/monitor";
import { createRmm } from "@realmbox/rmm";
import { Host, SharedByPes } from "./host.js";
import { type Script, ScriptedHost, type Task } from "./script.js";

/** What is in slot realm-el2. */
export type RmmUnderTest =
  /** This project's own, or another build of it; `namesConditions` false: what its trace events tell is not looked at. */
  | { readonly kind: "native"; readonly create?: typeof createRmm; readonly namesConditions?: boolean }
  /** A position-independent binary, entered at its first byte through the RMM boot interface. */
  | { readonly kind: "binary"; readonly image: Uint8Array };

export interface BenchOptions {
  readonly crypto: Crypto;
  /** The native RMM when absent. */
  readonly rmm?: RmmUnderTest;
  /** A base board when absent, with `pes` PEs and 64 MiB of DRAM. */
  readonly board?: Board;
  readonly pes?: number;
  /** Configurations that are measured with the firmware. */
  readonly configs?: readonly ConfigBlob[];
  /** Software of the Secure world, on a board that has memory for it. */
  readonly secure?: SecureImage;
  /** From which the platform's keys follow. */
  readonly seed?: Uint8Array;
  /** Chooses how PEs interleave; 1 when absent: short turns. 0: equal turns of 10,000 counts. */
  readonly interleave?: bigint;
  /** The interpreter's module, when there is one already. */
  readonly engine?: Uint8Array;
  /** The clock's counts that one play may take. When absent, enough for some 100,000 calls. */
  readonly clockMax?: number;
}

/** A condition that refused a command, as the native RMM's trace events tell. */
export interface Refusal {
  readonly pe: number;
  readonly command: string;
  readonly condition: string;
}

/** The play did not come to its end: nothing is left to run, or the clock's limit. */
export class PlayStopped extends Error {
  override readonly name = "PlayStopped";
}

const CLOCK_MAX = { native: 400_000, binary: 500_000_000 } as const;
const REFUSALS: readonly TraceCategory[] = ["rmi", "rsi", "psci"];

export class Bench {
  readonly machine: Machine;
  readonly board: Board;
  readonly crypto: Crypto;
  /** Whether the RMM says which condition refused a command. */
  readonly namesConditions: boolean;
  /** Refusals of the current play, in order. */
  readonly refusals: Refusal[] = [];
  private readonly scripts: ScriptedHost;
  private readonly clockMax: number;
  private booted: Uint8Array | undefined;

  constructor(options: BenchOptions) {
    const { crypto, rmm = { kind: "native" }, seed = Uint8Array.of(1), configs = [] } = options;
    this.crypto = crypto;
    this.board = options.board ?? baseBoard({ peCount: options.pes ?? 2, dramSize: 64n << 20n });
    const machine = new Machine({
      board: this.board,
      engine: options.engine ?? generateInterpreter(),
      interleave: options.interleave ?? 1n,
    });
    this.machine = machine;
    this.namesConditions = rmm.kind === "native" && rmm.namesConditions !== false;
    this.clockMax = options.clockMax ?? CLOCK_MAX[rmm.kind];
    this.scripts = new ScriptedHost(machine);
    const host = { kind: "native" } as const;
    const rest = { host, configs, ...(options.secure ? { secure: options.secure } : {}) };
    if (rmm.kind === "native") {
      const firmware = (rmm.create ?? createRmm)({ crypto, board: this.board, trace: machine.trace });
      const image = { kind: "native", image: firmware.image } as const;
      machine.install("root-el3", createMonitor({ machine, crypto, seed, rmm: image, ...rest }));
      machine.install("realm-el2", firmware);
    } else {
      machine.install("root-el3", createMonitor({ machine, crypto, seed, rmm, ...rest }));
    }
    machine.install("ns-el2", this.scripts);
    machine.trace.subscribe(REFUSALS, (event) => this.note(event));
  }

  /**
   * Plays a script on PE 0 of a machine that has just booted, and returns its result. Throws what a script throws, or
   * PlayStopped. After an error the next play is as independent as ever.
   */
  play<Result>(script: (host: Host) => Script<Result>): Result {
    this.rewind();
    this.refusals.length = 0;
    const shared = new SharedByPes(this);
    this.scripts.prepare((pe) => script(new Host(shared, pe)));
    const { reason } = this.runToStop();
    const { end } = this.scripts;
    if (end === undefined) throw new PlayStopped(`the machine stops: ${reason}`);
    if (end.kind === "failed") throw end.error;
    return end.result as Result;
  }

  /** For `Host.start`: what a PE that is off will play once it is on. */
  schedule<Result>(pe: number, script: (pe: Pe) => Script<Result>): Task<Result> {
    return this.scripts.schedule(pe, script) as Task<Result>;
  }

  /** Boots once; later plays begin with a copy of that machine. */
  private rewind(): void {
    if (this.booted !== undefined) {
      this.machine.restore(this.booted);
      return;
    }
    this.scripts.prepare(undefined);
    this.machine.reset();
    this.runToStop();
    this.booted = this.machine.snapshot();
  }

  private runToStop(): { readonly reason: string } {
    const { machine, clockMax } = this;
    const limit = machine.now + clockMax;
    while (machine.now < limit) {
      const end = machine.run({ instructions: limit - machine.now });
      if (end.kind === "stopped") return end;
      if (end.kind !== "limit")
        throw new PlayStopped(`nothing goes on: ${end.kind}, ${"detail" in end ? end.detail : ""}`);
    }
    throw new PlayStopped(`no end after ${clockMax} counts of the clock`);
  }

  private note({ category, name, fields, pe }: StampedTraceEvent): void {
    const { condition } = fields;
    if (typeof condition !== "string") return;
    // PSCI: one function for both widths of its identifier; an unknown one is the interface's.
    const command = category === "psci" ? (name === "unknown" ? "PSCI" : name.replace(/_64$/, "")) : name;
    this.refusals.push({ pe, command, condition });
  }
}
