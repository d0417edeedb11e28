/**
 * Running a guest on a thread that others need too: in slices of some milliseconds, between which input arrives and
 * signals are handled, and waiting instead of computing when the guest has nothing to do. Where a slice ends makes no
 * difference to the run.
 *
 * An idle guest that waits for input does so in real time, until its next timer is due. One that cannot get any skips to that
 * timer; when the machine follows the host's clock, it waits for the timer as well.
 */
import type { Machine, RunEnd } from "@realmbox/machine";
import type { ConsoleFeed, Supply } from "./console-feed.js";
import type { GuestEnd } from "./guest.js";
import type { HostTime } from "./host-time.js";

/** The run lets others run this often: what is typed is answered within a few of these. */
const SLICE_MS = 5;
/** Clock counts of a slice, chosen by how long the last one took. */
const SLICE_COUNTS = { first: 200_000, least: 20_000, most: 20_000_000 } as const;
const SLICE_END = "slice";
/** Exits to the VMM between two looks at the time: a look costs a hundredth of the shortest exit's time. */
const EXITS_PER_LOOK = 16;
/**
 * How long a guest that asks for input stands still for a pipe that is not ready, before its time passes: one whose writer
 * works is so as good as a file.
 */
const GRACE_MS = 100;
/** A host's timer cannot wait for less: shorter waits are added up. */
const WAIT_LEAST_MS = 1;

const NOTHING: Supply = { kind: "nothing", until: undefined };

export interface AsyncRunParts {
  readonly machine: Machine;
  readonly time: HostTime;
  readonly feed: ConsoleFeed | undefined;
  /** Clock counts after which `check` is asked at the latest. */
  readonly checkEvery: number;
  /** Clock counts that are left to the run. */
  readonly left: () => number;
  /** Whether the run is over, between two slices. */
  readonly check: () => GuestEnd | undefined;
  /** Whether it is over by how a slice has ended; an idle machine is not. */
  readonly outcome: (end: RunEnd) => GuestEnd | undefined;
  /** Called before others run and before the run waits. */
  readonly onPause: () => void;
}

export class AsyncRun {
  readonly #parts: AsyncRunParts;
  /** When the others ran last. */
  #sliceFrom: number;
  #counts: number = SLICE_COUNTS.first;
  #exits = 0;
  #polled = false;
  #graceMs = GRACE_MS;
  /** Guest time that has passed without waiting. */
  #owedMs = 0;
  #wake: (() => void) | undefined;

  constructor(parts: AsyncRunParts) {
    this.#parts = parts;
    this.#sliceFrom = parts.time.now();
  }

  async run(): Promise<GuestEnd> {
    const { machine, feed, check, outcome } = this.#parts;
    // An idle machine comes back instead of jumping ahead.
    machine.externalSources++;
    try {
      for (;;) {
        feed?.offer();
        const over = check();
        if (over !== undefined) return over;
        const end = this.#slice();
        const ended = end.kind === "idle" ? await this.#idle(end.deadline) : outcome(end);
        if (ended !== undefined) return ended;
        if (this.#polled) await this.#answerPolling();
        await this.#pauseWhenDue();
      }
    } finally {
      machine.externalSources--;
      this.#parts.onPause();
    }
  }

  /** A source has bytes, or a signal came: ends a wait. */
  wake(): void {
    this.#wake?.();
  }

  /** A vCPU came out to the VMM: a guest that does nothing but use devices spends much time on few counts. */
  exited(): void {
    if (++this.#exits % EXITS_PER_LOOK !== 0) return;
    const { machine, time } = this.#parts;
    if (time.now() - this.#sliceFrom >= SLICE_MS) machine.stop(SLICE_END);
  }

  /** The guest polls for input. */
  polled(): void {
    this.#polled = true;
    this.#parts.machine.stop("console input polled");
  }

  #slice(): RunEnd {
    const { machine, time, checkEvery, left } = this.#parts;
    const from = time.now();
    const instructions = Math.min(this.#counts, checkEvery, left());
    const end = machine.run({ instructions });
    const took = time.now() - from;
    if (end.kind === "limit" && took > 0) {
      const counts = Math.ceil((instructions * SLICE_MS) / took);
      this.#counts = Math.min(Math.max(counts, SLICE_COUNTS.least), SLICE_COUNTS.most);
    }
    return end;
  }

  async #pauseWhenDue(): Promise<void> {
    const { time, onPause } = this.#parts;
    if (time.now() - this.#sliceFrom < SLICE_MS) return;
    onPause();
    await time.pause();
    this.#sliceFrom = time.now();
  }

  #supply(): Supply {
    const supply = this.#parts.feed?.supply() ?? NOTHING;
    if (supply.kind === "delivered") this.#graceMs = GRACE_MS;
    return supply;
  }

  /** All PEs wait. `deadline`: the clock of the next timer. Returns how the guest ended, if nothing can happen any more. */
  async #idle(deadline: number | undefined): Promise<GuestEnd | undefined> {
    const { machine, outcome } = this.#parts;
    const supply = this.#supply();
    if (supply.kind === "delivered") return undefined;
    if (supply.kind === "pending") {
      if (!(await this.#grace())) await this.#passTime(deadline ?? Number.POSITIVE_INFINITY);
      return undefined;
    }
    const next = Math.min(deadline ?? Number.POSITIVE_INFINITY, supply.until ?? Number.POSITIVE_INFINITY);
    if (next === Number.POSITIVE_INFINITY) {
      machine.externalSources--;
      const end = machine.run();
      machine.externalSources++;
      return outcome(end);
    }
    if (machine.followsHostClock) await this.#passTime(next);
    else machine.advance(next);
    return undefined;
  }

  async #answerPolling(): Promise<void> {
    this.#polled = false;
    if (this.#supply().kind === "pending") await this.#grace();
  }

  /** Lets a pipe's writer catch up while the guest stands still; false when it had its time. */
  async #grace(): Promise<boolean> {
    if (this.#parts.feed?.source.interactive || this.#graceMs <= 0) return false;
    this.#graceMs -= await this.#wait(this.#graceMs);
    return true;
  }

  /** Waits until the machine's clock would show `until`, or for less when something comes; that time has passed then. */
  async #passTime(until: number): Promise<void> {
    const { machine, time } = this.#parts;
    const ms = Math.max(until - machine.now, 0) / machine.countsPerMs;
    if (machine.followsHostClock) {
      if (ms < WAIT_LEAST_MS) await time.pause();
      else await this.#wait(ms);
      return;
    }
    this.#owedMs += ms;
    if (this.#owedMs < WAIT_LEAST_MS) {
      machine.advance(until);
      return;
    }
    const passed = await this.#wait(this.#owedMs);
    this.#owedMs = 0;
    machine.advance(Math.min(until, machine.now + Math.floor(passed * machine.countsPerMs)));
  }

  /** Waits at most `ms`; returns for how long. */
  async #wait(ms: number): Promise<number> {
    const { time, onPause } = this.#parts;
    onPause();
    const from = time.now();
    await new Promise<void>((resolve) => {
      const cancel = ms === Number.POSITIVE_INFINITY ? () => {} : time.after(ms, () => this.wake());
      this.#wake = () => {
        cancel();
        this.#wake = undefined;
        resolve();
      };
    });
    this.#sliceFrom = time.now();
    return this.#sliceFrom - from;
  }
}
