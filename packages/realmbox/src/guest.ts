/**
 * A guest in a box: a realm or a normal VM, its console, and running it until something happens.
 */
import type { RunEnd } from "@realmbox/machine";
import {
  type BuildStep,
  InputQueue,
  type Result,
  success,
  VirtualMachine,
  type VmConfig,
  type VmEnd,
} from "@realmbox/vmm";
import { AsyncRun } from "./async-run.js";
import type { Box } from "./box.js";
import { ConsoleFeed, type ConsoleSource } from "./console-feed.js";
import { type HostTime, hostTime } from "./host-time.js";
import type { Profiler } from "./profile/profiler.js";
import { RealmAwareness } from "./realm-awareness.js";

export interface GuestOptions {
  /** Name of the VMM's process; must differ between guests of one box. */
  readonly name?: string;
  /** Each run of bytes that the guest writes to its console. */
  readonly onConsole?: (bytes: Uint8Array) => void;
  /** Bytes for the console's input, there from the start. */
  readonly input?: Uint8Array;
  /** 1 to 64 bytes that the guest's token must carry; default 64 bytes of 0. */
  readonly challenge?: Uint8Array;
  /**
   * The guest's date when the machine's counter was 0, milliseconds since 1970-01-01 UTC; default 2026-01-01, so that runs
   * are alike.
   */
  readonly startDate?: number;
  readonly onStep?: (step: BuildStep) => void;
}

/** How `run` ended. */
export type GuestEnd =
  | VmEnd
  /** The guest's console showed the text that was waited for, or the condition held. */
  | { readonly kind: "reached" }
  /** `instructions` are spent, or `cancelled` said so. */
  | { readonly kind: "limit" }
  | { readonly kind: "cancelled" }
  /** A signal of the operating system ended the run; the library itself handles none. */
  | { readonly kind: "signal"; readonly name: string; readonly number: number }
  /** Nothing can happen any more without input from outside. */
  | { readonly kind: "idle"; readonly deadline: number | undefined }
  /** Nothing can ever wake the guest, or it takes exception after exception. */
  | { readonly kind: "stuck"; readonly why: string };

export interface RunUntil {
  /** At most this many clock counts from now; without it only the other conditions end the run. */
  readonly instructions?: number;
  /** Until the console has shown this text (since the guest's start). */
  readonly console?: string;
  /** Asked after each `checkEvery` clock counts. */
  readonly condition?: () => boolean;
  /** Asked likewise; ends the run with `cancelled`. */
  readonly cancelled?: () => boolean;
  /** Clock counts between two questions; default 1,000,000. */
  readonly checkEvery?: number;
}

/** What of an AbortSignal a run uses: Node's and the DOM's both fit, and neither's types are needed. */
export interface StopSignal {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** What a run that shares its thread may have besides. */
export interface RunAsyncOptions extends RunUntil {
  /** Console input that comes while the guest runs. */
  readonly source?: ConsoleSource;
  /** Ends the run with `cancelled`, also while it waits. */
  readonly signal?: StopSignal;
  /** Called before others run and before the run waits: whoever buffers output passes it on. */
  readonly onPause?: () => void;
  /** Looks at the machine when its time has come. */
  readonly profiler?: Profiler;
  /** Default: the host's own. */
  readonly time?: HostTime;
}

const START_DATE = Date.UTC(2026, 0, 1);
/** Characters of the console that are kept at least: a guest that never stops writing must not fill the memory. */
const CONSOLE_KEPT = 1 << 20;

/** Fills an array with 64-bit numbers, little-endian. */
function fillRandom(into: Uint8Array, next: () => bigint): void {
  const word = new Uint8Array(8);
  const view = new DataView(word.buffer);
  for (let at = 0; at < into.length; at += 8) {
    view.setBigUint64(0, next(), true);
    into.set(word.subarray(0, into.length - at), at);
  }
}

export class Guest {
  readonly box: Box;
  readonly vm: VirtualMachine;
  readonly input: InputQueue;
  #console = "";
  #started = false;
  /** The text that `run` waits for. */
  #awaited: string | undefined;
  /** A run that shares its thread. */
  #asyncRun: AsyncRun | undefined;
  readonly #awareness: RealmAwareness | undefined;

  private constructor(box: Box, vm: VirtualMachine, input: InputQueue) {
    this.box = box;
    this.vm = vm;
    this.input = input;
    if (vm.content.realm) this.#awareness = new RealmAwareness(box.machine, vm.content.ram.base);
  }

  /** Configures and builds; the first `run` starts the vCPUs. */
  static create(box: Box, config: VmConfig, options: GuestOptions): Result<Guest> {
    const guest = Guest.configure(box, config, options);
    if (!guest.ok) return guest;
    const built = guest.value.vm.build();
    return built.ok ? guest : built;
  }

  /** A guest that is not built: a snapshot that is about to be restored holds it, or nobody runs it. */
  static configure(box: Box, config: VmConfig, options: GuestOptions): Result<Guest> {
    const input = new InputQueue();
    if (options.input) input.push(options.input);
    const startDate = options.startDate ?? START_DATE;
    const { board } = box.machine;
    let guest: Guest | undefined;
    const vm = VirtualMachine.configure(box.host, config, {
      ...(options.name === undefined ? {} : { name: options.name }),
      consoleOutput: (byte) => {
        if (guest) guest.#wrote(byte);
        options.onConsole?.(Uint8Array.of(byte));
      },
      consoleInput: input,
      now: () => startDate + (Number(box.machine.counter()) * 1000) / board.counterHz,
      challenge: options.challenge ?? new Uint8Array(64),
      random: (into) => fillRandom(into, () => box.machine.random.next()),
      trace: box.machine.trace,
      ...(options.onStep === undefined ? {} : { onStep: options.onStep }),
      onExit: () => {
        if (guest) guest.#asyncRun?.exited();
      },
      onEnd: () => {
        box.machine.stop("guest ended");
        if (guest) guest.#asyncRun?.wake();
      },
    });
    if (!vm.ok) return vm;
    guest = new Guest(box, vm.value, input);
    box.machine.register(vm.value);
    return success(guest);
  }

  /** What the guest has written to its console so far (Latin-1; of more than 2 MiB the last part); after `Box.restore`, since then. */
  get console(): string {
    return this.#console;
  }

  /** The token that the guest handed over. */
  get token(): Uint8Array | undefined {
    return this.vm.token;
  }

  /**
   * Runs the machine until the guest ends or a condition of `until` holds. Nothing else runs on this thread meanwhile, and
   * time that the guest waits is skipped.
   */
  run(until: RunUntil = {}): GuestEnd {
    const refused = this.#begin(until);
    if (refused !== undefined) return refused;
    const { machine } = this.box;
    const last = machine.now + (until.instructions ?? Number.POSITIVE_INFINITY);
    const step = until.checkEvery ?? 1_000_000;
    for (;;) {
      const over = this.#check(until, last);
      if (over !== undefined) return over;
      const end = machine.run({ instructions: Math.min(step, last - machine.now) });
      const outcome = this.#outcome(end);
      if (outcome !== undefined) return outcome;
    }
  }

  /**
   * Runs the machine likewise, but lets others run on this thread every few milliseconds, and waits where the guest waits
   * for something from outside: input of `source`, time of the host's clock. Without these two the run is that of `run`.
   */
  async runAsync(until: RunAsyncOptions = {}): Promise<GuestEnd> {
    const refused = this.#begin(until);
    if (refused !== undefined) return refused;
    const { machine } = this.box;
    const { source, signal, profiler } = until;
    const last = machine.now + (until.instructions ?? Number.POSITIVE_INFINITY);
    const receiver = this.vm.consoleReceiver;
    const run = new AsyncRun({
      machine,
      time: until.time ?? hostTime,
      feed: source && new ConsoleFeed({ source, machine, receiver, queue: this.input }),
      checkEvery: until.checkEvery ?? Number.POSITIVE_INFINITY,
      left: () => Math.min(last, profiler?.next ?? last) - machine.now,
      check: () => {
        profiler?.look();
        return this.#check(until, last) ?? (signal?.aborted ? { kind: "cancelled" } : undefined);
      },
      outcome: (end) => this.#outcome(end),
      onPause: until.onPause ?? (() => {}),
    });
    const wake = () => run.wake();
    if (source) {
      source.onReadable = wake;
      this.input.onPolled = () => run.polled();
    }
    signal?.addEventListener("abort", wake);
    this.#asyncRun = run;
    try {
      return await run.run();
    } finally {
      this.#asyncRun = undefined;
      signal?.removeEventListener("abort", wake);
      this.input.onPolled = undefined;
      if (source) source.onReadable = undefined;
    }
  }

  /** Starts the vCPUs the first time. */
  #begin(until: RunUntil): GuestEnd | undefined {
    this.#awaited = until.console;
    if (this.#started) return undefined;
    this.#started = true;
    // A snapshot brings back threads that run already.
    const isRunning = this.vm.end !== undefined || this.vm.built?.vcpus.some((vcpu) => vcpu.started);
    const started = isRunning ? success(undefined) : this.vm.start();
    return started.ok ? undefined : { kind: "host-error", why: started.error.message };
  }

  /** Whether a run is over; `last` is the clock at which it is in any case. */
  #check(until: RunUntil, last: number): GuestEnd | undefined {
    if (until.console !== undefined && this.#console.includes(until.console)) return { kind: "reached" };
    if (this.vm.end !== undefined) return this.vm.end;
    const unaware = this.#awareness?.verdict;
    if (unaware !== undefined) return { kind: "crash", why: unaware };
    if (until.condition?.()) return { kind: "reached" };
    if (until.cancelled?.()) return { kind: "cancelled" };
    if (this.box.machine.now >= last) return { kind: "limit" };
    return undefined;
  }

  /** Tears the guest down; its memory is the Host's again. */
  close(): Result<undefined> {
    return this.vm.close();
  }

  /** Console output; the machine stops right after the text that `run` waits for. */
  #wrote(byte: number): void {
    this.#console += String.fromCharCode(byte);
    if (this.#console.length > 2 * CONSOLE_KEPT) this.#console = this.#console.slice(-CONSOLE_KEPT);
    if (this.#awaited !== undefined && this.#console.endsWith(this.#awaited)) this.box.machine.stop("console");
  }

  #outcome(end: RunEnd): GuestEnd | undefined {
    if (this.vm.end !== undefined) return this.vm.end;
    switch (end.kind) {
      case "idle":
        return { kind: "idle", deadline: end.deadline };
      case "deadlock":
      case "exception-loop":
        return { kind: "stuck", why: end.detail };
      case "stopped":
      case "limit":
        return undefined;
    }
  }
}
