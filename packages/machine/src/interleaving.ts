/**
 * In which order PEs run when a seed chooses it: which PE is next and how many counts of the clock its slice has. Slices
 * end at instruction boundaries, or between two steps of native firmware, never inside of one. Many slices are a single count, so that
 * several PEs go through the same few instructions together now and then; a few are long, so that a run remains fast
 * and an exclusive sequence, whose monitor does not outlive a turn, comes to its end.
 *
 * The numbers are xoroshiro64**'s (Blackman, Vigna): two words of state, part of a snapshot.
 */
import type { Snapshotable } from "./bus.js";

/** log2 of the longest slice of each class; all classes are drawn equally often. The mean is 278 counts. */
const LENGTH_BITS = [0, 0, 0, 2, 4, 6, 8, 12] as const;

const rotl = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

export class Interleaving implements Snapshotable {
  readonly name = "interleaving";
  /** Both zero: no seed, PEs take equal turns. */
  private a = 0;
  private b = 0;

  /** `seed` 0: PEs take equal turns in order. */
  constructor(seed: bigint) {
    this.a = Number(BigInt.asIntN(32, seed));
    this.b = Number(BigInt.asIntN(32, seed >> 32n));
    // Small seeds have few bits set: mix them, or their first draws are alike.
    if (this.isSeeded) for (let i = 0; i < 16; i++) this.next();
  }

  get isSeeded(): boolean {
    return (this.a | this.b) !== 0;
  }

  /** Which of `count` PEs is next. */
  choose(count: number): number {
    return (this.next() >>> 8) % count;
  }

  /** Clock counts of a slice: 1 to 4096. */
  length(): number {
    const drawn = this.next();
    const bits = LENGTH_BITS[(drawn >>> 4) & 7]!;
    return 1 + ((drawn >>> 8) & (2 ** bits - 1));
  }

  save(): unknown {
    return [this.a, this.b];
  }

  restore(data: unknown): void {
    const [a, b] = data as readonly [number, number];
    this.a = a;
    this.b = b;
  }

  private next(): number {
    const { a } = this;
    const mixed = this.b ^ a;
    const result = Math.imul(rotl(Math.imul(a, 0x9e37_79bb), 5), 5);
    this.a = rotl(a, 26) ^ mixed ^ (mixed << 9);
    this.b = rotl(mixed, 13);
    return result;
  }
}
