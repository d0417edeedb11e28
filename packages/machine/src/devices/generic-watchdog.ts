/**
 * Generic watchdog: two frames, refresh and control, over the system counter. The first time that the counter passes the
 * compare value raises WS0, the interrupt; the second, without a refresh between them, WS1, which resets the machine.
 * DEN0094 (Base System Architecture), "Generic Watchdog".
 *
 * @spec DEN0094, "Generic Watchdog": complete
 */
import { type DeviceSystem, RegisterDevice } from "./device.js";

/** Offsets in the control frame; the refresh frame follows it. */
const WCS = 0x000;
const WOR_LOW = 0x008;
const WOR_HIGH = 0x00c;
const WCV_LOW = 0x010;
const WCV_HIGH = 0x014;
const W_IIDR = 0xfcc;
const REFRESH_FRAME = 0x1_0000;
const WRR = REFRESH_FRAME;

const STATUS = { EN: 1 << 0, WS0: 1 << 1, WS1: 1 << 2 };
/** Revision 1 in 19:16, which has a 48-bit offset; implementer Arm. */
const IIDR = 0x0001_043b;

export const GENERIC_WATCHDOG_SIZE = 0x2_0000;

interface State {
  status: number;
  /** Ticks between refresh and timeout, 48 bits. */
  offset: number;
  /** Ticks of the system counter. */
  compare: number;
}

const atReset = (): State => ({ status: 0, offset: 0, compare: 0 });

export interface GenericWatchdogOptions {
  readonly intid: number;
}

export class GenericWatchdog extends RegisterDevice {
  readonly #intid: number;
  #state = atReset();

  constructor(name: string, system: DeviceSystem, { intid }: GenericWatchdogOptions) {
    super(name, system);
    this.#intid = intid;
  }

  reset(): void {
    this.#state = atReset();
    this.#changed();
  }

  /** The timeout is when the counter is past the compare value. WS1 is the last thing that happens. */
  get deadline(): number {
    const { status, compare } = this.#state;
    if ((status & STATUS.EN) === 0 || (status & STATUS.WS1) !== 0) return Number.POSITIVE_INFINITY;
    return (compare + 1) * this.system.countsPerTick;
  }

  expire(at: number): void {
    const state = this.#state;
    if ((state.status & STATUS.WS0) === 0) {
      state.status |= STATUS.WS0;
      state.compare = Math.floor(at / this.system.countsPerTick) + state.offset;
      this.#update();
    } else {
      state.status |= STATUS.WS1;
      this.system.reset(this.name);
    }
  }

  protected readRegister(offset: number): number {
    const { status, offset: wor, compare } = this.#state;
    switch (offset) {
      case WCS:
        return status;
      case WOR_LOW:
        return low(wor);
      case WOR_HIGH:
        return high(wor);
      case WCV_LOW:
        return low(compare);
      case WCV_HIGH:
        return high(compare);
      case W_IIDR:
      case REFRESH_FRAME + W_IIDR:
        return IIDR;
    }
    return 0;
  }

  protected writeRegister(offset: number, value: number): void {
    const state = this.#state;
    switch (offset) {
      case WCS:
        state.status = value & STATUS.EN;
        this.#refresh();
        break;
      case WOR_LOW:
        state.offset = high(state.offset) * HIGH + value;
        this.#refresh();
        break;
      case WOR_HIGH:
        state.offset = (value & 0xffff) * HIGH + low(state.offset);
        this.#refresh();
        break;
      case WRR:
        this.#refresh();
        break;
      case WCV_LOW:
        state.compare = high(state.compare) * HIGH + value;
        break;
      case WCV_HIGH:
        // A compare value beyond the clock's numbers is as good as never.
        state.compare = Math.min(value, 0xf_ffff) * HIGH + low(state.compare);
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

  /** An explicit refresh: a new compare value, and both signals down. */
  #refresh(): void {
    const state = this.#state;
    state.compare = Math.floor(this.system.now / this.system.countsPerTick) + state.offset;
    state.status &= STATUS.EN;
  }

  #changed(): void {
    this.#update();
    this.system.reschedule();
  }

  #update(): void {
    this.system.setSpi(this.#intid, (this.#state.status & STATUS.WS0) !== 0);
  }
}

const HIGH = 2 ** 32;
const low = (value: number): number => value % HIGH;
const high = (value: number): number => Math.floor(value / HIGH);
