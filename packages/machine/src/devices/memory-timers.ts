/**
 * The memory-mapped generic timers: CNTCTLBase and its frames CNTBaseN, each with a physical timer. DDI 0487, "Memory-mapped
 * timer components". Trusted software says in CNTNSAR which frames Non-secure software may use, and in CNTACR<n> which
 * registers of a frame answer at all.
 *
 *   + 0x0_0000  CNTCTLBase
 *   + 0x1_0000  frame 0, + 0x2_0000 frame 1, and so on
 *
 * @spec DDI 0487, "Memory-mapped timer components": partial: no virtual timers, no CNTEL0BaseN frames, CNTVOFF<n> is zero
 */
import { isTrusted, type Requester } from "../bus.js";
import { type DeviceSystem, RegisterDevice } from "./device.js";
import { countHigh, countLow, ticksOf } from "./system-counter.js";

const CTL = { FRQ: 0x00, NSAR: 0x04, TIDR: 0x08, ACR: 0x40, VOFF: 0x80 };
const FRAME = {
  PCT: 0x00,
  VCT: 0x08,
  FRQ: 0x10,
  CVAL: 0x20,
  TVAL: 0x28,
  CTL: 0x2c,
};
const FRAME_SIZE = 0x1_0000;
/** CNTACR<n>: which registers of the frame may be read, or read and written. */
const ACR = { RPCT: 1 << 0, RVCT: 1 << 1, RFRQ: 1 << 2, RVOFF: 1 << 3, RWVT: 1 << 4, RWPT: 1 << 5 };
const ACR_ALL = 0x3f;
const TIMER = { ENABLE: 1, IMASK: 2, ISTATUS: 4 };

interface FrameState {
  access: number;
  control: number;
  cvalLow: number;
  cvalHigh: number;
}

interface State {
  frequency: number;
  /** A bit for each frame that Non-secure software may use. */
  nonSecure: number;
  readonly frames: FrameState[];
}

export interface MemoryTimersOptions {
  /** The physical timer's interrupt of each frame. */
  readonly intids: readonly number[];
}

export const memoryTimersSize = ({ intids }: MemoryTimersOptions): number => FRAME_SIZE * (1 + intids.length);

export class MemoryTimers extends RegisterDevice {
  readonly #intids: readonly number[];
  /** Of the interrupts; follows from the state. */
  readonly #levels: boolean[] = [];
  #state: State;

  constructor(name: string, system: DeviceSystem, { intids }: MemoryTimersOptions) {
    super(name, system);
    this.#intids = intids;
    this.#state = this.#atReset();
  }

  #atReset(): State {
    return {
      frequency: 0,
      nonSecure: 0,
      frames: this.#intids.map(() => ({ access: 0, control: 0, cvalLow: 0, cvalHigh: 0 })),
    };
  }

  reset(): void {
    this.#state = this.#atReset();
    this.#changed();
  }

  get deadline(): number {
    return Math.min(...this.#state.frames.map((frame, n) => this.#deadlineOf(frame, n)));
  }

  expire(): void {
    this.#update();
  }

  protected readRegister(offset: number, from: Requester): number {
    if (offset < FRAME_SIZE) return this.#readControl(offset, from);
    const n = Math.floor(offset / FRAME_SIZE) - 1;
    return this.#mayUse(n, from) ? this.#readFrame(this.#state.frames[n]!, offset % FRAME_SIZE) : 0;
  }

  protected writeRegister(offset: number, value: number, from: Requester): void {
    if (offset < FRAME_SIZE) this.#writeControl(offset, value, from);
    else {
      const n = Math.floor(offset / FRAME_SIZE) - 1;
      if (this.#mayUse(n, from)) this.#writeFrame(this.#state.frames[n]!, offset % FRAME_SIZE, value);
    }
    this.#changed();
  }

  save(): unknown {
    return this.#state;
  }

  restore(data: unknown): void {
    const { frequency, nonSecure, frames } = data as State;
    this.#state = { frequency, nonSecure, frames: frames.map((frame) => ({ ...frame })) };
    this.#changed();
  }

  #mayUse(n: number, { pas }: Requester): boolean {
    return isTrusted(pas) || ((this.#state.nonSecure >> n) & 1) !== 0;
  }

  #readControl(offset: number, from: Requester): number {
    const { frequency, nonSecure, frames } = this.#state;
    if (offset === CTL.FRQ) return frequency;
    if (offset === CTL.NSAR) return isTrusted(from.pas) ? nonSecure : 0;
    // Each frame exists and has no virtual timer and no EL0 view.
    if (offset === CTL.TIDR) return frames.reduce((bits, _, n) => bits | (1 << (4 * n)), 0);
    const n = (offset - CTL.ACR) / 4;
    const frame = offset >= CTL.ACR && offset < CTL.VOFF ? frames[n] : undefined;
    return frame && this.#mayUse(n, from) ? frame.access : 0;
  }

  #writeControl(offset: number, value: number, from: Requester): void {
    const state = this.#state;
    const { frames } = state;
    if (offset === CTL.FRQ && isTrusted(from.pas)) state.frequency = value;
    else if (offset === CTL.NSAR && isTrusted(from.pas)) state.nonSecure = value & ((1 << frames.length) - 1);
    else if (offset >= CTL.ACR && offset < CTL.VOFF) {
      const n = (offset - CTL.ACR) / 4;
      const frame = frames[n];
      if (frame && this.#mayUse(n, from)) frame.access = value & ACR_ALL;
    }
  }

  #readFrame(frame: FrameState, offset: number): number {
    const { access, control, cvalLow, cvalHigh } = frame;
    const ticks = ticksOf(this.system);
    const allowed = (bit: number, value: number) => ((access & bit) !== 0 ? value : 0);
    switch (offset) {
      case FRAME.PCT:
        return allowed(ACR.RPCT, countLow(ticks));
      case FRAME.PCT + 4:
        return allowed(ACR.RPCT, countHigh(ticks));
      case FRAME.VCT:
        return allowed(ACR.RVCT, countLow(ticks));
      case FRAME.VCT + 4:
        return allowed(ACR.RVCT, countHigh(ticks));
      case FRAME.FRQ:
        return allowed(ACR.RFRQ, this.#state.frequency);
      case FRAME.CVAL:
        return allowed(ACR.RWPT, cvalLow);
      case FRAME.CVAL + 4:
        return allowed(ACR.RWPT, cvalHigh);
      case FRAME.TVAL:
        return allowed(ACR.RWPT, (cvalLow - countLow(ticks)) >>> 0);
      case FRAME.CTL:
        return allowed(ACR.RWPT, control | (this.#isMet(frame) ? TIMER.ISTATUS : 0));
    }
    return 0;
  }

  #writeFrame(frame: FrameState, offset: number, value: number): void {
    if ((frame.access & ACR.RWPT) === 0) return;
    switch (offset) {
      case FRAME.CVAL:
        frame.cvalLow = value;
        break;
      case FRAME.CVAL + 4:
        frame.cvalHigh = value;
        break;
      case FRAME.TVAL: {
        const compare = BigInt.asUintN(64, BigInt(ticksOf(this.system)) + BigInt(value | 0));
        frame.cvalLow = Number(compare & 0xffff_ffffn);
        frame.cvalHigh = Number(compare >> 32n);
        break;
      }
      case FRAME.CTL:
        frame.control = value & (TIMER.ENABLE | TIMER.IMASK);
    }
  }

  /** The timer condition, which exists while the timer is enabled. A compare value of 2^53 or more is never reached. */
  #isMet(frame: FrameState): boolean {
    return (frame.control & TIMER.ENABLE) !== 0 && ticksOf(this.system) >= compareOf(frame);
  }

  /** A deadline that has come stays one until its interrupt is raised. */
  #deadlineOf(frame: FrameState, n: number): number {
    const { control } = frame;
    if ((control & (TIMER.ENABLE | TIMER.IMASK)) !== TIMER.ENABLE || this.#levels[n]) return Number.POSITIVE_INFINITY;
    const at = compareOf(frame) * this.system.countsPerTick;
    return at <= Number.MAX_SAFE_INTEGER ? at : Number.POSITIVE_INFINITY;
  }

  #changed(): void {
    this.#update();
    this.system.reschedule();
  }

  #update(): void {
    this.#intids.forEach((intid, n) => {
      const frame = this.#state.frames[n]!;
      const level = this.#isMet(frame) && (frame.control & TIMER.IMASK) === 0;
      this.#levels[n] = level;
      this.system.setSpi(intid, level);
    });
  }
}

const compareOf = ({ cvalLow, cvalHigh }: FrameState): number => cvalHigh * 2 ** 32 + cvalLow;
