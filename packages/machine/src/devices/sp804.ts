/**
 * SP804 dual timer: two down-counters, each free-running, periodic or one-shot. DDI 0271 (Dual-Timer Module), "Programmers
 * model". Values follow from the clock when they are read; only the interrupt of a count that reaches zero is an event,
 * and none is needed while that interrupt is already raised.
 *
 * The clock enables of a timer may be switched to another rate by the system controller (SP810): the count goes on from
 * where it is.
 *
 * @spec DDI 0271, "Programmers model": partial: no integration test registers
 */
import { type DeviceSystem, primeCellId, RegisterDevice } from "./device.js";
import { Rate } from "./rate.js";

const LOAD = 0x00;
const VALUE = 0x04;
const CONTROL = 0x08;
const INT_CLR = 0x0c;
const RIS = 0x10;
const MIS = 0x14;
const BG_LOAD = 0x18;
/** Distance of the second timer's registers. */
const SECOND = 0x20;

const CTRL = { ONE_SHOT: 1 << 0, SIZE_32: 1 << 1, PRE: 3 << 2, INT: 1 << 5, PERIODIC: 1 << 6, EN: 1 << 7 };
const CONTROL_RESET = CTRL.INT;
/** Divisors of TimerPre; 3 is undefined. */
const PRESCALE = [1, 16, 256, 256] as const;

export const SP804_SIZE = 0x1000;
/** FVP: 35 MHz with the SP810's override; else 1 MHz or 32.768 kHz. */
export const SP804_HZ = { RAW: 35_000_000, TIMCLK: 1_000_000, REFCLK: 32_768 } as const;

interface TimerState {
  control: number;
  load: number;
  /** The value at `since`, a tick of the timer's clock from which the prescaler counts. */
  value: number;
  since: number;
  raw: boolean;
  hz: number;
}

const timerAtReset = (hz: number): TimerState => ({
  control: CONTROL_RESET,
  load: 0,
  value: 0xffff_ffff,
  since: 0,
  raw: false,
  hz,
});

export interface Sp804Options {
  /** The combined interrupt output. */
  readonly intid: number;
}

export class Sp804 extends RegisterDevice {
  readonly #intid: number;
  #timers: readonly [TimerState, TimerState];
  #rates = new Map<number, Rate>();

  constructor(name: string, system: DeviceSystem, { intid }: Sp804Options) {
    super(name, system);
    this.#intid = intid;
    this.#timers = [timerAtReset(SP804_HZ.REFCLK), timerAtReset(SP804_HZ.REFCLK)];
  }

  reset(): void {
    this.#timers = [timerAtReset(SP804_HZ.REFCLK), timerAtReset(SP804_HZ.REFCLK)];
    this.#changed();
  }

  /** The clock enable of a timer comes at this rate from now on. */
  setClock(timer: 0 | 1, hz: number): void {
    const state = this.#timers[timer];
    if (state.hz === hz) return;
    this.#rebase(state, this.system.now);
    state.hz = hz;
    state.since = this.#ticks(state, this.system.now);
    this.#changed();
  }

  get deadline(): number {
    return Math.min(...this.#timers.map((timer) => this.#deadlineOf(timer)));
  }

  expire(at: number): void {
    for (const timer of this.#timers) {
      if (this.#deadlineOf(timer) > at) continue;
      this.#rebase(timer, at);
      timer.raw = true;
    }
    this.#update();
  }

  protected readRegister(offset: number): number {
    const id = primeCellId(offset, 0x804);
    if (id !== undefined) return id;
    if (offset >= 2 * SECOND) return 0;
    const timer = this.#timers[offset < SECOND ? 0 : 1];
    switch (offset % SECOND) {
      case LOAD:
      case BG_LOAD:
        return timer.load;
      case VALUE:
        return this.#valueAt(timer, this.system.now);
      case CONTROL:
        return timer.control;
      case RIS:
        return timer.raw ? 1 : 0;
      case MIS:
        return isRaised(timer) ? 1 : 0;
    }
    return 0;
  }

  protected writeRegister(offset: number, value: number): void {
    if (offset >= 2 * SECOND) return;
    const timer = this.#timers[offset < SECOND ? 0 : 1];
    const { now } = this.system;
    this.#rebase(timer, now);
    switch (offset % SECOND) {
      case LOAD:
        timer.load = value;
        timer.value = value;
        timer.since = this.#ticks(timer, now);
        // A load of zero raises the interrupt at once.
        if (truncated(timer, value) === 0 && (timer.control & CTRL.EN) !== 0) timer.raw = true;
        break;
      case BG_LOAD:
        timer.load = value;
        break;
      case CONTROL:
        timer.control = value & 0xef;
        timer.since = this.#ticks(timer, now);
        break;
      case INT_CLR:
        timer.raw = false;
        break;
      default:
        return;
    }
    this.#changed();
  }

  save(): unknown {
    return this.#timers;
  }

  restore(data: unknown): void {
    const [first, second] = data as readonly [TimerState, TimerState];
    this.#timers = [{ ...first }, { ...second }];
    this.#changed();
  }

  #changed(): void {
    this.#update();
    this.system.reschedule();
  }

  #update(): void {
    this.system.setSpi(this.#intid, this.#timers.some(isRaised));
  }

  #rateOf({ hz }: TimerState): Rate {
    let rate = this.#rates.get(hz);
    if (!rate) {
      rate = new Rate(hz, this.system.countsPerSecond);
      this.#rates.set(hz, rate);
    }
    return rate;
  }

  /** Ticks of the timer's clock at a count of the machine's. */
  #ticks(timer: TimerState, now: number): number {
    return this.#rateOf(timer).ticks(now);
  }

  /** Decrements since `since`. */
  #steps(timer: TimerState, now: number): number {
    if ((timer.control & CTRL.EN) === 0) return 0;
    return Math.floor((this.#ticks(timer, now) - timer.since) / prescale(timer));
  }

  #valueAt(timer: TimerState, now: number): number {
    const { value } = timer;
    if ((timer.control & CTRL.EN) === 0) return value;
    const steps = this.#steps(timer, now);
    const start = truncated(timer, value);
    if (steps <= start) return start - steps;
    if ((timer.control & CTRL.ONE_SHOT) !== 0) return 0;
    const top = reloaded(timer);
    return top - ((steps - start - 1) % (top + 1));
  }

  /** Makes the value at `now` the one that counting goes on from; the prescaler keeps its phase. */
  #rebase(timer: TimerState, now: number): void {
    const steps = this.#steps(timer, now);
    timer.value = this.#valueAt(timer, now);
    if ((timer.control & CTRL.EN) !== 0) timer.since += steps * prescale(timer);
    else timer.since = this.#ticks(timer, now);
  }

  /** The count at which the value reaches zero next: while the interrupt is raised that changes nothing. */
  #deadlineOf(timer: TimerState): number {
    if (timer.raw || (timer.control & CTRL.EN) === 0) return Number.POSITIVE_INFINITY;
    const start = truncated(timer, timer.value);
    if (start === 0 && (timer.control & CTRL.ONE_SHOT) !== 0) return Number.POSITIVE_INFINITY;
    const steps = start === 0 ? reloaded(timer) + 1 : start;
    return this.#rateOf(timer).count(timer.since + steps * prescale(timer));
  }
}

const prescale = ({ control }: TimerState): number => PRESCALE[((control & CTRL.PRE) >> 2) as 0 | 1 | 2 | 3];
const isRaised = ({ raw, control }: TimerState): boolean => raw && (control & CTRL.INT) !== 0;
const truncated = ({ control }: TimerState, value: number): number =>
  (control & CTRL.SIZE_32) !== 0 ? value : value & 0xffff;
/** What follows zero. */
const reloaded = (timer: TimerState): number =>
  truncated(timer, (timer.control & CTRL.PERIODIC) !== 0 ? timer.load : 0xffff_ffff);
