/**
 * Operands of floating-point tests: lanes that are special values of half, single or double, numbers near each other (so
 * that sums cancel and products are short), or any bits; and all settings of FPCR.
 */
import type { VectorOperands } from "./generate.js";
import type { Random } from "./random.js";

interface Format {
  readonly bits: 16 | 32 | 64;
  readonly fraction: number;
}

const FORMATS: readonly Format[] = [
  { bits: 16, fraction: 10 },
  { bits: 32, fraction: 23 },
  { bits: 64, fraction: 52 },
];

const ones = (count: number): bigint => (1n << BigInt(count)) - 1n;

/** Sign, biased exponent, fraction. */
const pattern = ({ bits, fraction }: Format, sign: number, exponent: number, significand: bigint): bigint =>
  (BigInt(sign) << BigInt(bits - 1)) | (BigInt(exponent) << BigInt(fraction)) | (significand & ones(fraction));

/** Powers of two, relative to 1, at which something happens: ends of integers and of the other formats. */
const EDGES = [0, 1, 31, 32, 63, 64, -1, -14, -24, -25, 15, 16, -126, -149, -150, 127, 128, -1022, 1023];

/** Zeros, subnormals, ends of the normal range, infinities, NaNs, and the edges with their neighbours. */
function specials(format: Format): bigint[] {
  const { bits, fraction } = format;
  const top = 2 ** (bits - 1 - fraction) - 1;
  const bias = top >> 1;
  const quiet = 1n << BigInt(fraction - 1);
  const patterns = (exponent: number, significands: readonly bigint[]) =>
    significands.map((significand) => pattern(format, 0, exponent, significand));
  const edges = EDGES.map((power) => bias + power).filter((exponent) => exponent > 0 && exponent < top);
  return [
    ...patterns(0, [0n, 1n, 2n, quiet - 1n, quiet, ones(fraction)]),
    ...patterns(1, [0n, 1n, ones(fraction)]),
    ...patterns(2, [0n, ones(fraction)]),
    ...patterns(top - 1, [0n, ones(fraction)]),
    ...patterns(top, [0n, quiet, quiet | 0x15n, 1n, 0x2an, ones(fraction), quiet - 1n]),
    // One and a half, and halfway between two numbers of the next narrower format.
    ...edges.flatMap((exponent) =>
      patterns(exponent, [0n, 1n, ones(fraction), quiet, quiet >> 1n, 1n << 28n, 3n << 28n, 1n << 12n, 3n << 12n]),
    ),
  ];
}

const SPECIALS = new Map(FORMATS.map((format) => [format, specials(format)]));

/** A number within a few powers of two of others, often with few significant bits. */
function near(random: Random, format: Format): bigint {
  const { bits, fraction } = format;
  const bias = 2 ** (bits - 2 - fraction) - 1;
  const spread = random.pick([2, 4, fraction, 2 * fraction]);
  const exponent = Math.max(0, Math.min(2 * bias, bias - (spread >> 1) + random.below(spread + 1)));
  const zeros = BigInt(random.oneIn(2) ? random.below(fraction + 1) : 0);
  return pattern(format, random.below(2), exponent, (random.u64() >> zeros) << zeros);
}

function lane(random: Random, format: Format): bigint {
  const { bits } = format;
  const sign = BigInt(random.below(2)) << BigInt(bits - 1);
  const special = () => random.pick(SPECIALS.get(format) ?? []);
  const kinds = [
    () => special() | sign,
    () => special() | sign,
    () => ((special() | sign) + BigInt(random.below(5) - 2)) & ones(bits),
    () => near(random, format),
    () => near(random, format),
    // Read as an integer.
    () => random.value() & ones(bits),
    () => random.u64() & ones(bits),
  ];
  return random.pick(kinds)();
}

/** `ordinary`: no lane is special, which is what fast paths over whole vectors look for. */
function half(random: Random, format: Format, ordinary: boolean): bigint {
  let result = 0n;
  for (let at = 0; at < 64; at += format.bits)
    result |= (ordinary ? near(random, format) : lane(random, format)) << BigInt(at);
  return result;
}

const RMODE_FZ_DN_AHP = 0x07c0_0000;

export const FP_OPERANDS: VectorOperands = {
  vector: (random) => {
    const format = random.pick([...FORMATS, FORMATS[1], FORMATS[2]]);
    const ordinary = random.oneIn(3);
    return [half(random, format, ordinary), half(random, format, ordinary)];
  },
  fpcr: (random) => (random.oneIn(3) ? 0n : BigInt(random.u32() & RMODE_FZ_DN_AHP)),
};
