/** Sizes as kvmtool writes them: `-m size[BKMGTP][@addr]`, default unit MiB. */
import { UsageError } from "./usage.js";

const UNITS: Readonly<Record<string, bigint>> = {
  b: 1n,
  k: 1n << 10n,
  m: 1n << 20n,
  g: 1n << 30n,
  t: 1n << 40n,
  p: 1n << 50n,
};

export interface MemorySize {
  /** Bytes. */
  readonly size: bigint;
  /** RAM base, when the user gave one. */
  readonly base?: bigint;
}

/** Parses `-m`'s argument; throws `UsageError` for anything else than a positive size that is a multiple of 4 KiB. */
export function parseMemory(text: string): MemorySize {
  const match = /^(\d+)([bkmgtp]?)(?:@(0x[0-9a-f]+|\d+))?$/i.exec(text);
  if (!match) {
    throw new UsageError(
      `option '-m, --mem': '${text}' is not a size`,
      "write a number with B, K, M, G, T or P: -m 256M",
    );
  }
  const size = BigInt(match[1]!) * UNITS[(match[2] || "m").toLowerCase()]!;
  if (size === 0n || size % 4096n !== 0n) {
    throw new UsageError(`option '-m, --mem': ${text} is not a positive multiple of 4 KiB`, "for example -m 128");
  }
  return match[3] === undefined ? { size } : { size, base: BigInt(match[3]) };
}

/** A whole number within bounds, or `UsageError`. */
export function parseCount(
  option: string,
  text: string,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw new UsageError(`option '${option}': '${text}' is not a whole number from ${min} to ${max}`);
  }
  return value;
}
