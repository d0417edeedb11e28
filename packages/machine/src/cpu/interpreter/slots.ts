/**
 * The table of functions that the interpreter's module shares with translated code: helpers of rows by their names, and
 * those of the memory path and the flags. A region's instance costs in proportion to it.
 */
import { invariant } from "@realmbox/abi";
import { HELPERS } from "./functions.js";

/** Functions that only translated code calls through the table. */
export const ENGINE_HELPERS = ["fill", "flagsHold"] as const;

const slots = new Map([...ENGINE_HELPERS, ...Object.keys(HELPERS)].map((name, slot) => [name, slot]));

/** How many slots helpers take, from 0. */
export const HELPER_SLOTS = slots.size;

/** The slot of a helper by its name. */
export function helperSlot(name: string): number {
  const slot = slots.get(name);
  invariant(slot !== undefined, "a helper function has this name", name);
  return slot;
}
