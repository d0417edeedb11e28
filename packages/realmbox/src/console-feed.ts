/**
 * Console input whose bytes are not all known when the guest starts: typed, or read from a file or a pipe. A feed gives
 * the guest's console a FIFO's worth whenever the guest is ready for it, and what has not been given stays at the source,
 * so that nothing is ever lost.
 *
 * - What somebody types is given as soon as the guest's receiver is on.
 * - A file or a pipe is given on demand: when the guest has its receiver on, has read everything, and then waits (all its
 *   CPUs idle) or polls. The places of delivery so follow from the guest alone: where a file and a pipe have the same
 *   bytes in time, the runs are equal.
 * - At the end of the input the guest gets an end-of-file character (Ctrl-D), which its line discipline turns into what a
 *   reader of a file sees: two of them when the last byte was no newline, for the first one then only ends the line. A
 *   character that comes while nobody reads it as such is lost, so it comes again while the guest keeps waiting, after 1, 2,
 *   4, … seconds of the guest's time. In between, and after the last one, the source counts as gone.
 */
import type { Machine } from "@realmbox/machine";
import type { ConsoleReceiver, InputQueue } from "@realmbox/vmm";

/** Where a feed takes its bytes from. */
export interface ConsoleSource {
  /** Somebody types: bytes go to the guest as they come, and while nothing comes the guest's time is that of the host. */
  readonly interactive: boolean;
  /**
   * Takes at most `max` of the bytes that have come; none when nothing is here yet: then `onReadable` will be called once
   * that has changed. Undefined: this is the end.
   */
  take(max: number): Uint8Array | undefined;
  onReadable?: (() => void) | undefined;
}

/** What became of a guest's wish for input. */
export type Supply =
  | { readonly kind: "delivered" }
  /** Nothing has come yet. */
  | { readonly kind: "pending" }
  /** Nothing will come before the guest's clock shows `until`; undefined: ever. */
  | { readonly kind: "nothing"; readonly until: number | undefined };

/** Bytes that a console holds for the guest: the ns16550's FIFO as kvmtool has it. */
const FIFO_SIZE = 64;
const EOF = 0x04;
const NEWLINE = 0x0a;
/** The last one comes after some 18 hours of the guest's time, which pass in no time. */
const EOF_TIMES = 16;

const DELIVERED: Supply = { kind: "delivered" };
const PENDING: Supply = { kind: "pending" };
const NOTHING: Supply = { kind: "nothing", until: undefined };

export class ConsoleFeed {
  readonly source: ConsoleSource;
  readonly #machine: Machine;
  readonly #receiver: ConsoleReceiver;
  readonly #queue: InputQueue;
  #last = NEWLINE;
  #eofs = 0;
  #nextEof = 0;

  constructor(options: {
    readonly source: ConsoleSource;
    readonly machine: Machine;
    readonly receiver: ConsoleReceiver;
    readonly queue: InputQueue;
  }) {
    this.source = options.source;
    this.#machine = options.machine;
    this.#receiver = options.receiver;
    this.#queue = options.queue;
  }

  /** Between two slices of a guest that computes: what was typed goes to its console. */
  offer(): void {
    if (!this.source.interactive || !this.#receiver.receiving || this.#queue.ready) return;
    const bytes = this.source.take(FIFO_SIZE);
    if (bytes !== undefined && bytes.length > 0) this.#deliver(bytes);
  }

  /** The guest idles or polls: gives it what there is, if it wants it. */
  supply(): Supply {
    // Typing may come at any time, whether or not the guest has taken what came before.
    if (!this.#receiver.wantsInput) return this.source.interactive && this.#receiver.receiving ? PENDING : NOTHING;
    const bytes = this.source.take(FIFO_SIZE);
    if (bytes === undefined) return this.#endOfFile();
    if (bytes.length === 0) return PENDING;
    this.#deliver(bytes);
    return DELIVERED;
  }

  #endOfFile(): Supply {
    if (this.#eofs === EOF_TIMES) return NOTHING;
    const { now, countsPerMs } = this.#machine;
    if (this.#eofs > 0 && now < this.#nextEof) return { kind: "nothing", until: this.#nextEof };
    this.#nextEof = now + 1000 * countsPerMs * 2 ** this.#eofs++;
    this.#deliver(this.#last === NEWLINE ? Uint8Array.of(EOF) : Uint8Array.of(EOF, EOF));
    this.#last = NEWLINE;
    return DELIVERED;
  }

  #deliver(bytes: Uint8Array): void {
    this.#last = bytes.at(-1)!;
    this.#queue.push(bytes);
    this.#receiver.inputArrived();
  }
}

/** A source that somebody pushes into: a terminal, a page, a test. */
export class LiveInput implements ConsoleSource {
  readonly interactive: boolean;
  onReadable?: (() => void) | undefined;
  #bytes = new Uint8Array(0);
  #ended = false;

  constructor({ interactive = true }: { readonly interactive?: boolean } = {}) {
    this.interactive = interactive;
  }

  push(bytes: Uint8Array): void {
    const all = new Uint8Array(this.#bytes.length + bytes.length);
    all.set(this.#bytes);
    all.set(bytes, this.#bytes.length);
    this.#bytes = all;
    this.onReadable?.();
  }

  /** Nothing more will be pushed. */
  end(): void {
    this.#ended = true;
    this.onReadable?.();
  }

  take(max: number): Uint8Array | undefined {
    if (this.#bytes.length === 0 && this.#ended) return undefined;
    const taken = this.#bytes.slice(0, max);
    this.#bytes = this.#bytes.subarray(max);
    return taken;
  }
}
