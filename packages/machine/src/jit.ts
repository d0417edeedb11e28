/**
 * Whether a machine translates hot guest code, and how soon. The run is the same, bit for bit, whatever is chosen: only the
 * time that it takes differs.
 */

/**
 * "off": the interpreter does everything. A number: code is translated from the place that the interpreter has reached that
 * often, 0 at once. "on": likewise, at a number that pays.
 */
export type Jit = "on" | "off" | number;

/** Thresholds are counted in 32 bits. */
const THRESHOLD_MAX = 0xffff_ffff;

/** What an option or an environment variable says; undefined when it is none of the three. */
export function parseJit(text: string): Jit | undefined {
  if (text === "on" || text === "off") return text;
  const threshold = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return threshold <= THRESHOLD_MAX ? threshold : undefined;
}

let usual: Jit = "on";

/** What machines of this process do from now on when their options say nothing. For commands and test set-ups. */
export function setUsualJit(jit: Jit): void {
  usual = jit;
}

/** What a machine does when its options say nothing. */
export const usualJit = (): Jit => usual;
