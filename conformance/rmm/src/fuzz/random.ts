/** Seeded random numbers: a run is its seed's. */

export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) >>> 0 || 1;
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
    return items[this.below(items.length)]!;
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** A 64-bit value, mostly one that finds mistakes: edges of widths, single bits, runs of ones, small numbers. */
  value(): bigint {
    const bit = 1n << BigInt(this.below(64));
    switch (this.below(8)) {
      case 0:
        return BigInt(this.below(65));
      case 1:
        return this.pick([0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0x1_0000_0000n, 0xffff_ffff_0000_0000n]);
      case 2:
        return this.pick([1n << 63n, (1n << 63n) - 1n, (1n << 64n) - 1n, (1n << 64n) - 2n, 0n]);
      case 3:
        return bit;
      case 4:
        return bit - 1n;
      case 5:
        return BigInt.asUintN(64, -BigInt(this.below(9000)));
      default:
        return this.u64();
    }
  }
}
