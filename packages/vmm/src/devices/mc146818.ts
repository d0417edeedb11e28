/**
 * MC146818 real-time clock as kvmtool has it (hw/rtc.c): an index register at +0, a data register at +1; the time is the
 * Host's, in UTC and BCD, and is only read. Here the Host's time is a start date plus the machine's own counter, so that
 * two runs read the same clock.
 *
 * @spec MC146818, "registers": partial: no setting of the time (writes to the time's registers are stored and never
 *   read), no alarm, no interrupts
 */
import { RTC_BASE, RTC_SIZE } from "../memory-map.js";
import type { MmioDevice } from "./bus.js";

const REG = {
  SECONDS: 0x00,
  MINUTES: 0x02,
  HOURS: 0x04,
  DAY_OF_WEEK: 0x06, // 1 = Sunday
  DAY_OF_MONTH: 0x07,
  MONTH: 0x08,
  YEAR: 0x09,
  C: 0x0c,
  D: 0x0d,
  CENTURY: 0x32,
} as const;
/** Register D: RAM and time are valid. */
const D_VRT = 0x80;

const bcd = (value: number): number => (Math.floor(value / 10) % 10) * 16 + (value % 10);

export interface Mc146818State {
  readonly index: number;
  readonly data: readonly number[];
}

export class Mc146818 implements MmioDevice {
  readonly name = "rtc";
  readonly base = RTC_BASE;
  readonly size = RTC_SIZE;
  readonly #now: () => number;
  #index = 0;
  readonly #data = new Uint8Array(128);

  /** `now`: the time, in milliseconds since 1970-01-01 UTC. */
  constructor(now: () => number) {
    this.#now = now;
    this.#data[REG.D] = D_VRT;
  }

  read(offset: number, data: Uint8Array): void {
    // The index register is write-only; a wider access at it reaches no data register in kvmtool either.
    if (offset === 1) data[0] = this.#readData();
  }

  write(offset: number, data: Uint8Array): void {
    const value = data[0]!;
    if (offset === 0) this.#index = value & 0x7f;
    else if (this.#index !== REG.C && this.#index !== REG.D) this.#data[this.#index] = value;
  }

  get state(): Mc146818State {
    return { index: this.#index, data: [...this.#data] };
  }

  set state({ index, data }: Mc146818State) {
    this.#index = index;
    this.#data.set(data);
  }

  #readData(): number {
    const now = new Date(this.#now());
    switch (this.#index) {
      case REG.SECONDS:
        return bcd(now.getUTCSeconds());
      case REG.MINUTES:
        return bcd(now.getUTCMinutes());
      case REG.HOURS:
        return bcd(now.getUTCHours());
      case REG.DAY_OF_WEEK:
        return bcd(now.getUTCDay() + 1);
      case REG.DAY_OF_MONTH:
        return bcd(now.getUTCDate());
      case REG.MONTH:
        return bcd(now.getUTCMonth() + 1);
      case REG.YEAR:
        return bcd(now.getUTCFullYear() % 100);
      case REG.CENTURY:
        return bcd(Math.floor(now.getUTCFullYear() / 100));
      default:
        return this.#data[this.#index]!;
    }
  }
}
