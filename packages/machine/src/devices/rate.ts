/**
 * A clock of a device, derived from the machine's clock: exact, however the two frequencies relate. Ticks are counted from
 * the machine's count 0, so that all devices on one clock tick together.
 */
export class Rate {
  /** `#num` ticks are `#den` counts. */
  readonly #num: number;
  readonly #den: number;

  constructor(hz: number, countsPerSecond: number) {
    const divisor = gcd(hz, countsPerSecond);
    this.#num = hz / divisor;
    this.#den = countsPerSecond / divisor;
  }

  /** Ticks that have happened at a count. */
  ticks(count: number): number {
    const whole = Math.floor(count / this.#den);
    return whole * this.#num + Math.floor(((count - whole * this.#den) * this.#num) / this.#den);
  }

  /** The first count at which `ticks` have happened. */
  count(ticks: number): number {
    const whole = Math.floor(ticks / this.#num);
    return whole * this.#den + Math.ceil(((ticks - whole * this.#num) * this.#den) / this.#num);
  }
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
