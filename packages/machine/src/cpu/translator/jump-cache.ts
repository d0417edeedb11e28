/**
 * The jump cache: from the host address of an instruction to the entry of a region that begins there. In the engine's part
 * of the memory, so that the dispatcher and regions look for themselves.
 */
import { JUMP_CACHE, JUMP_CACHE_ENTRIES } from "../engine.js";
import { add, and, type Expr, shl } from "../rows/expr.js";

export const JumpCache = {
  ENTRY_SIZE: 32,
  /** i32: host address of the instruction, 0 when the entry is empty. */
  HOST: 0,
  /** i32: slot of the region's function. */
  SLOT: 4,
  /** i32: number of the entry in it. */
  ENTRY: 8,
  /** i32: place of the entry from the start of the page of the region's root, in virtual addresses. */
  PLACE: 12,
  /** i32: mode of the code. */
  MODE: 16,
  /** i32: how often the dispatcher has entered it here since it was put in. */
  HITS: 20,

  /** Address of the entry for a host address. */
  address: (host: Expr): Expr => add(shl(and(host, (JUMP_CACHE_ENTRIES - 1) << 2), 3), JUMP_CACHE),
  /** The same as a number. */
  addressOf: (host: number): number => ((host & ((JUMP_CACHE_ENTRIES - 1) << 2)) << 3) + JUMP_CACHE,
} as const;
