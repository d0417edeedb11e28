/**
 * The numbers of RNDR: a splitmix64 sequence from the machine's seed, so that a run can be repeated. Not a secure source,
 * and its state is part of a snapshot.
 */
import type { Snapshotable } from "./bus.js";

const mask = (value: bigint): bigint => BigInt.asUintN(64, value);

export class RandomNumbers implements Snapshotable {
  readonly name = "rndr";
  private state: bigint;

  constructor(seed: bigint) {
    this.state = mask(seed);
  }

  /** The next 64 bits. */
  next(): bigint {
    this.state = mask(this.state + 0x9e37_79b9_7f4a_7c15n);
    let z = this.state;
    z = mask((z ^ (z >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
    z = mask((z ^ (z >> 27n)) * 0x94d0_49bb_1331_11ebn);
    return z ^ (z >> 31n);
  }

  save(): unknown {
    return this.state.toString();
  }

  restore(data: unknown): void {
    this.state = BigInt(data as string);
  }
}
