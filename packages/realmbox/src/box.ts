/**
 * The assembled stack: an emulated machine with Root Monitor, RMM and Host in their slots, booted, ready for guests. This is
 * the library's entry, for programs that want to create a realm, run it until something happens, look, and assert.
 * Nothing here needs Node; crypto, the clock and the engine's bytes come in through options.
 */
import type { Crypto, StampedTraceEvent, TraceCategory } from "@realmbox/abi";
import { createHost, type Host } from "@realmbox/host";
import { baseBoard, type HostClock, type Jit, Machine, type RunEnd } from "@realmbox/machine";
import { createMonitor, type PlatformIdentity, platformIdentity } from "@realmbox/monitor";
import { createRmm } from "@realmbox/rmm";
import { type Result, success, VirtualMachine, type VmConfig } from "@realmbox/vmm";
import { ENGINE } from "./build-info.js";
import { identityOf, seedBytes } from "./firmware.js";
import { Guest, type GuestOptions } from "./guest.js";
import { hostTime } from "./host-time.js";

export interface BoxOptions {
  readonly crypto: Crypto;
  /** Physical PEs, 1 to 8; default 1. */
  readonly pes?: number;
  /** Host DRAM in bytes; default 1 GiB. A page of it takes memory when it is first touched. */
  readonly dramSize?: bigint;
  /** From which everything random follows: keys, RNDR. Default 0. */
  readonly seed?: bigint;
  /** Seed by which the PEs interleave, at instruction boundaries; 0, the default: they take turns of 10,000 counts. */
  readonly interleave?: bigint;
  /** An RMM as a position-independent binary, which the Root Monitor boots at R-EL2; default: realmbox's own. */
  readonly rmm?: Uint8Array;
  /** Each byte that such an RMM writes to the machine's UART. */
  readonly onRmmConsole?: (byte: number) => void;
  /** The interpreter's WebAssembly bytes; generated when absent (a tenth of a second). */
  readonly engine?: Uint8Array;
  /**
   * What the guests' time follows, for people who type; then no two runs are alike. Default: instructions count time, and equal
   * inputs give equal runs. A guest then runs by `Guest.runAsync`, which waits where the guest does.
   */
  readonly clock?: HostClock;
  /** Whether hot code is translated to WebAssembly; default "on". Runs do not depend on it, only their speed. */
  readonly jit?: Jit;
  /** Subscriptions that begin before the boot. */
  readonly trace?: {
    readonly categories: readonly TraceCategory[];
    readonly listener: (event: StampedTraceEvent) => void;
  };
}

/** Clock counts within which an RMM that is not ours must boot, and answer a call. */
const RMM_PATIENCE = 1_000_000_000;

export class Box {
  readonly crypto: Crypto;
  readonly machine: Machine;
  readonly host: Host;
  /** What endorses this platform: its public key (CPAK) and identifiers. */
  readonly identity: PlatformIdentity;

  /**
   * Assembles the machine and boots it up to a Host that waits for work. Throws a RangeError when `rmm` does not come to
   * the end of its boot.
   */
  constructor(options: BoxOptions) {
    const {
      crypto,
      pes = 1,
      dramSize,
      seed = 0n,
      interleave = 0n,
      engine = ENGINE,
      clock,
      jit,
      trace,
      rmm,
      onRmmConsole,
    } = options;
    this.crypto = crypto;
    const board = baseBoard({ peCount: pes, ...(dramSize === undefined ? {} : { dramSize }) });
    this.machine = new Machine({
      board,
      seed,
      interleave,
      ...(engine === undefined ? {} : { engine }),
      ...(clock === undefined ? {} : { clock }),
      ...(jit === undefined ? {} : { jit }),
      stopwatch: () => hostTime.now() / 1000,
    });
    if (trace) this.machine.trace.subscribe(trace.categories, trace.listener);
    const platformSeed = { crypto, seed: seedBytes(seed) };
    this.identity = platformIdentity(platformSeed, board.name);

    const native = rmm ? undefined : createRmm({ crypto, board, trace: this.machine.trace, image: identityOf("rmm") });
    this.host = createHost({ machine: this.machine, ...(rmm ? { patience: RMM_PATIENCE } : {}) });
    if (onRmmConsole) this.machine.onUartOutput = (byte) => onRmmConsole(byte);
    const monitor = createMonitor({
      machine: this.machine,
      crypto,
      seed: platformSeed.seed,
      image: identityOf("monitor"),
      rmm: native ? { kind: "native", image: native.image } : { kind: "binary", image: rmm! },
      host: { kind: "native" },
    });
    this.machine.install("root-el3", monitor);
    if (native) this.machine.install("realm-el2", native);
    this.machine.install("ns-el2", this.host);
    this.machine.register(this.host);
    this.machine.reset();
    const failure = this.host.boot();
    if (failure) throw new RangeError(`the RMM does not boot: ${failure.why}`);
  }

  /**
   * The whole state of the machine and its guests. When an operation of the Host is under way, the machine first runs on
   * until it is done: some hundred clock counts at most.
   */
  snapshot(): Uint8Array {
    for (let kind: RunEnd["kind"] = "limit"; this.host.busy && (kind === "limit" || kind === "stopped"); ) {
      kind = this.machine.run({ instructions: 1 }).kind;
    }
    return this.machine.snapshot();
  }

  /**
   * A box as a snapshot left it, in the same process or another. `options` are those of the box that was saved, `guests`
   * what each of its guests was created with, closed ones included. Tracing begins after the restoration.
   * Throws when the snapshot is of another box.
   */
  static restore(
    { trace, ...options }: BoxOptions,
    snapshot: Uint8Array,
    guests: readonly { readonly config: VmConfig; readonly options?: GuestOptions }[] = [],
  ): Result<{ readonly box: Box; readonly guests: readonly Guest[] }> {
    const box = new Box(options);
    const restored: Guest[] = [];
    for (const { config, options: guestOptions } of guests) {
      const guest = Guest.configure(box, config, guestOptions ?? {});
      if (!guest.ok) return guest;
      restored.push(guest.value);
    }
    box.machine.restore(snapshot);
    if (trace) box.machine.trace.subscribe(trace.categories, trace.listener);
    return success({ box, guests: restored });
  }

  /** Configures and builds a guest; nothing of it has run yet. Errors are values: what the user got wrong. */
  createGuest(config: VmConfig, options: GuestOptions = {}): Result<Guest> {
    return Guest.create(this, config, options);
  }

  /** Runs the machine; see `Guest.run` for the usual way. */
  run(instructions: number): RunEnd {
    return this.machine.run({ instructions });
  }
}

export { VirtualMachine };
