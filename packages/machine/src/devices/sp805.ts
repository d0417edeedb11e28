/**
 * SP805 watchdog: a down-counter that raises its interrupt at zero and, when that is still raised at the next zero, resets
 * the machine. DDI 0270 (Watchdog Module), "Programmers model". The value follows from the clock when it is read.
 *
 * @spec DDI 0270, "Programmers model": partial: no integration test registers
 */
import { type DeviceSystem, primeCellId, RegisterDevice } from "./device.js";
import { Rate } from "./rate.js";

const LOAD = 0x000;
const VALUE = 0x004;
const CONTROL = 0x008;
const INT_CLR = 0x00c;
const RIS = 0x010;
const MIS = 0x014;
const LOCK = 0xc00;

/** INTEN also lets the counter run. */
const CTRL = { INTEN: 1 << 0, RESEN: 1 << 1 };
const UNLOCK = 0x1acc_e551;

export const SP805_SIZE = 0x1000;

interface State {
  load: number;
  control: number;
  /** The value at `since`, a tick of the watchdog's clock. */
  value: number;
  since: number;
  raw: boolean;
  locked: boolean;
}

const atReset = (): State => ({
  load: 0xffff_ffff,
  control: 0,
  value: 0xffff_ffff,
  since: 0,
  raw: false,
  locked: false,
});

export interface Sp805Options {
  readonly hz: number;
  readonly intid: number;
}

export class Sp805 extends RegisterDevice {
  readonly #intid: number;
  readonly #rate: Rate;
  #state = atReset();

  constructor(name: string, system: DeviceSystem, { hz, intid }: Sp805Options) {
    super(name, system);
    this.#intid = intid;
    this.#rate = new Rate(hz, system.countsPerSecond);
  }

  reset(): void {
    this.#state = atReset();
    this.#changed();
  }

  /** The next zero, when it changes something: one without RESEN does not while the interrupt is raised. */
  get deadline(): number {
    const { value, since, raw, control } = this.#state;
    if (!this.#runs || (raw && (control & CTRL.RESEN) === 0)) return Number.POSITIVE_INFINITY;
    return this.#rate.count(since + value);
  }

  expire(at: number): void {
    const state = this.#state;
    const isSecond = state.raw;
    state.raw = true;
    // The reload takes the tick after zero.
    state.value = state.load;
    state.since = this.#rate.ticks(at) + 1;
    this.#update();
    if (isSecond && (state.control & CTRL.RESEN) !== 0) this.system.reset(this.name);
  }

  protected readRegister(offset: number): number {
    const { load, control, raw, locked } = this.#state;
    switch (offset) {
      case LOAD:
        return load;
      case VALUE:
        return this.#value;
      case CONTROL:
        return control;
      case RIS:
        return raw ? 1 : 0;
      case MIS:
        return this.#isRaised ? 1 : 0;
      case LOCK:
        return locked ? 1 : 0;
    }
    return primeCellId(offset, 0x805) ?? 0;
  }

  protected writeRegister(offset: number, value: number): void {
    const state = this.#state;
    if (offset === LOCK) {
      state.locked = value !== UNLOCK;
      return;
    }
    if (state.locked) return;
    switch (offset) {
      case LOAD:
        state.load = value;
        this.#reload();
        break;
      case CONTROL: {
        const wasRunning = this.#runs;
        if (wasRunning) state.value = this.#value;
        state.control = value & (CTRL.INTEN | CTRL.RESEN);
        state.since = this.#rate.ticks(this.system.now);
        // The counter begins anew when the interrupt is enabled after it was disabled.
        if (this.#runs && !wasRunning) this.#reload();
        break;
      }
      case INT_CLR:
        state.raw = false;
        this.#reload();
        break;
      default:
        return;
    }
    this.#changed();
  }

  save(): unknown {
    return this.#state;
  }

  restore(data: unknown): void {
    this.#state = { ...(data as State) };
    this.#changed();
  }

  get #runs(): boolean {
    return (this.#state.control & CTRL.INTEN) !== 0;
  }

  get #isRaised(): boolean {
    return this.#state.raw && this.#runs;
  }

  get #value(): number {
    const { value, since, load } = this.#state;
    if (!this.#runs) return value;
    const elapsed = this.#rate.ticks(this.system.now) - since;
    // Before `since` the counter is still at the zero that it reloads from.
    if (elapsed < 0) return 0;
    return elapsed <= value ? value - elapsed : load - ((elapsed - value - 1) % (load + 1));
  }

  #reload(): void {
    this.#state.value = this.#state.load;
    this.#state.since = this.#rate.ticks(this.system.now);
  }

  #changed(): void {
    this.#update();
    this.system.reschedule();
  }

  #update(): void {
    this.system.setSpi(this.#intid, this.#isRaised);
  }
}
