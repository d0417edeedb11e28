/**
 * What of the system registers the engine may do itself at an EL: the same rules as the tables', asked once instead of at
 * each access. See cpu/inline.ts for the bits.
 */
import { INLINE } from "../cpu/inline.js";
import { el2Enabled } from "../lower-state.js";
import type { Processor } from "../processor.js";
import { OK, type Rule } from "./row.js";
import {
  cachePoc,
  cachePou,
  isHostMode,
  isZvaProhibited,
  readableCtr,
  virtualCounter,
  virtualMemory,
} from "./rules.js";

function isAllowed(rules: readonly Rule[], pe: Processor, el: number, write: boolean): boolean {
  for (const rule of rules) {
    if (rule(pe, el, write) !== OK) return false;
  }
  return true;
}

/** SYS_INLINE at `el` under the present registers. */
export function inlineWord(pe: Processor, el: number): number {
  if (el > 1) return INLINE.CACHE_TYPE | INLINE.ZVA | INLINE.CACHE_POU | INLINE.CACHE_POC;
  const { w } = pe;
  const el2 = el2Enabled(w);
  let word = 0;
  if (isAllowed(readableCtr, pe, el, false)) word |= INLINE.CACHE_TYPE;
  if (isAllowed(cachePou, pe, el, true)) word |= INLINE.CACHE_POU;
  if (isAllowed(cachePoc, pe, el, true)) word |= INLINE.CACHE_POC;
  if (!isZvaProhibited(pe, el)) word |= INLINE.ZVA;
  if (el2 && !isHostMode(w) && virtualCounter(pe, el, false) === OK) word |= INLINE.VIRTUAL_COUNT;
  if (el === 0) return word;
  word |= INLINE.EL1;
  if (isAllowed(virtualMemory, pe, el, false)) word |= INLINE.VM_READ;
  if (isAllowed(virtualMemory, pe, el, true)) word |= INLINE.VM_WRITE;
  if (el2) word |= INLINE.IDENTITY;
  return word;
}
