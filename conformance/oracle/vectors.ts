/**
 * Operand values for instructions on V registers: each lane is at times a special value of some lane size.
 *
 * A suite picks the sets that its instructions look at; floating-point suites add theirs (bit patterns of infinities,
 * NaNs, subnormals, halfway cases) and settings of FPCR.
 */
import type { VectorOperands } from "./generate.js";
import type { Random } from "./random.js";

/** Values of lanes of `bits` bits that are met more often than others. */
export interface SpecialLanes {
  readonly bits: 8 | 16 | 32 | 64;
  readonly values: readonly bigint[];
}

/** Zero, one, the ends of the signed and unsigned ranges and what is next to them, and shift counts. */
export const INTEGER_LANES: readonly SpecialLanes[] = ([8, 16, 32, 64] as const).map((bits) => {
  const [ones, sign] = [(1n << BigInt(bits)) - 1n, 1n << BigInt(bits - 1)];
  const counts = [-1, -2, bits - 1, bits, bits + 1, 1 - bits, -bits, -bits - 1, -2 * bits].map((n) => BigInt(n));
  return { bits, values: [0n, 1n, 2n, ones, ones - 1n, sign, sign - 1n, sign + 1n, ...counts].map((n) => n & ones) };
});

/** Vectors whose lanes are special values of these sets, of one set each, or random ones. */
export function lanesOf(sets: readonly SpecialLanes[]): VectorOperands["vector"] {
  const half = (random: Random, { bits, values }: SpecialLanes): bigint => {
    let result = 0n;
    for (let at = 0; at < 64; at += bits) {
      const value = random.oneIn(3) ? random.u64() & ((1n << BigInt(bits)) - 1n) : random.pick(values);
      result |= value << BigInt(at);
    }
    return result;
  };
  return (random) => {
    const set = random.pick(sets);
    return [half(random, set), half(random, set)];
  };
}

export const INTEGER_OPERANDS: VectorOperands = { vector: lanesOf(INTEGER_LANES), fpcr: () => 0n };
