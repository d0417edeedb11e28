/** Seeded random numbers, and values that find mistakes: the edges of every width, single bits, runs of ones. */

export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = (seed ^ 0x9e37_79b9) >>> 0 || 1;
    for (let i = 0; i < 8; i++) this.u32();
  }

  /** xorshift32. */
  u32(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state;
  }

  /** 0 to `count` - 1. */
  below(count: number): number {
    return Math.floor((this.u32() / 2 ** 32) * count);
  }

  /** With a probability of one in `count`. */
  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [items[i], items[j]] = [items[j], items[i]];
    }
    return items;
  }

  /** A register's value: half of them edges. */
  value(): bigint {
    const choice = this.below(10);
    const bit = 1n << BigInt(this.below(64));
    const values = [
      () => BigInt(this.pick([0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff])),
      () => this.pick([0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0x1_0000_0000n, 0xffff_ffff_0000_0000n]),
      () => this.pick([1n << 63n, (1n << 63n) - 1n, (1n << 64n) - 1n, (1n << 64n) - 2n, 0n]),
      () => bit,
      () => bit - 1n,
      () => BigInt(this.below(65)),
    ];
    return choice < values.length ? values[choice]() : this.u64();
  }

  /** A field of an encoding: at times zero or all ones. */
  field(width: number): number {
    const choice = this.below(8);
    const ones = 2 ** width - 1;
    return choice === 0 ? 0 : choice === 1 ? ones : Math.floor((this.u32() / 2 ** 32) * 2 ** width);
  }
}
