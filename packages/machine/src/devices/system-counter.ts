/**
 * The system counter's frames: CNTControlBase, for EL3, and CNTReadBase, for everybody. DDI 0487, "Memory-mapped counter
 * registers". The count is the machine's clock, which neither stops nor is set.
 *
 * @spec DDI 0487, "CNTControlBase memory map": partial: CNTCR is storage, CNTCV read-only; one frequency, no scaling
 */
import { type DeviceSystem, RegisterDevice } from "./device.js";

const CNTCR = 0x00;
const CNTSR = 0x04;
const CNTCV_LOW = 0x08;
const CNTCV_HIGH = 0x0c;
const CNTFID0 = 0x20;

/** EN, HDBG, FCREQ[0]. */
const CNTCR_WRITABLE = 0x103;
const CNTCR_RESET = 0x1;
/** FCACK[0]: the base frequency is in use. */
const CNTSR_VALUE = 0x100;

export const COUNTER_FRAME_SIZE = 0x1_0000;

export const countLow = (ticks: number): number => ticks % 2 ** 32;
export const countHigh = (ticks: number): number => Math.floor(ticks / 2 ** 32);

/** The count that the memory-mapped frames show. */
export const ticksOf = ({ now, countsPerTick }: DeviceSystem): number => Math.floor(now / countsPerTick);

export class CounterControl extends RegisterDevice {
  #control = CNTCR_RESET;

  reset(): void {
    this.#control = CNTCR_RESET;
  }

  protected readRegister(offset: number): number {
    switch (offset) {
      case CNTCR:
        return this.#control;
      case CNTSR:
        return CNTSR_VALUE;
      case CNTCV_LOW:
        return countLow(ticksOf(this.system));
      case CNTCV_HIGH:
        return countHigh(ticksOf(this.system));
      case CNTFID0:
        return this.system.countsPerSecond / this.system.countsPerTick;
    }
    return 0;
  }

  protected writeRegister(offset: number, value: number): void {
    if (offset === CNTCR) this.#control = value & CNTCR_WRITABLE;
  }

  save(): unknown {
    return this.#control;
  }

  restore(data: unknown): void {
    this.#control = data as number;
  }
}

/** CNTReadBase: the count, read-only. */
export class CounterRead extends RegisterDevice {
  reset(): void {}

  protected readRegister(offset: number): number {
    if (offset === 0) return countLow(ticksOf(this.system));
    return offset === 4 ? countHigh(ticksOf(this.system)) : 0;
  }

  protected writeRegister(): void {}

  save(): unknown {
    return null;
  }

  restore(): void {}
}
