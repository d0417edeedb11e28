/**
 * Debug exceptions but BRK's: their syndromes and where they go. DDI 0487, "ISS encoding for an exception from a Software
 * Step exception", "… from a Breakpoint or Vector Catch debug exception", "… from a Watchpoint exception".
 * FAR is written for watchpoints only; for the others it is UNKNOWN.
 *
 * @spec DDI 0487, "Self-hosted debug": partial: software step, breakpoints, watchpoints, BRK; no linked or context-matching
 *   breakpoints, no vector catch, no external or halting debug
 */
import { EC, FSC } from "@realmbox/abi";
import { FAR_WORD, makeEsr, takeSync } from "../exceptions.js";
import type { Fault, FaultKind } from "../fault.js";
import type { Processor } from "../processor.js";
import { debugEnabled, debugTarget } from "./enabled.js";
import type { WatchedAccess, Watches } from "./watches.js";

/** A class taken from a lower EL; from the same EL it is one more. */
const classFor = (pe: Processor, target: number, lower: number): number => (target > pe.el ? lower : lower + 1);

const STEP = { ISV: 1 << 24, EX: 1 << 6 } as const;
const WATCH = { CM: 1 << 8, WNR: 1 << 6 } as const;

const OF_PHYSICAL_ACCESS: ReadonlySet<FaultKind> = new Set([
  "external",
  "granule-protection",
  "gpt-walk",
  "gpt-address-size",
  "gpt-external",
]);

/**
 * A Software Step exception at PC. `stepped`: the instruction before it was stepped; then `exclusive` says that it was
 * a Load-Exclusive.
 */
export function takeStep(pe: Processor, stepped: boolean, exclusive: boolean): void {
  const target = debugTarget(pe.w);
  const iss = FSC.DEBUG | (stepped ? STEP.ISV | (exclusive ? STEP.EX : 0) : 0);
  takeSync(pe, target, makeEsr(classFor(pe, target, EC.SOFTWARE_STEP_LOWER), iss));
}

/** A Breakpoint exception of the instruction at PC. */
export function takeBreakpoint(pe: Processor): void {
  const target = debugTarget(pe.w);
  takeSync(pe, target, makeEsr(classFor(pe, target, EC.BREAKPOINT_LOWER), FSC.DEBUG));
}

/**
 * The Watchpoint exception of an access by the instruction at PC, unless none matches, debug exceptions are masked, or
 * `fault` has priority: what translation refuses, not what the physical access does. Whether it was taken.
 * DDI 0487, "Synchronous exception prioritization".
 */
export function takeWatchpointOf(
  pe: Processor,
  watches: Watches,
  fault: Fault | undefined,
  access: WatchedAccess & { readonly maintenance?: boolean },
): boolean {
  const { w } = pe;
  if (fault && (fault.onWalk || !OF_PHYSICAL_ACCESS.has(fault.fault))) return false;
  const { at, write } = watches.hit(access);
  if (at < 0 || !debugEnabled(w)) return false;
  const target = debugTarget(w);
  w[FAR_WORD[target]!] = at | 0;
  w[FAR_WORD[target]! + 1] = access.tagged;
  const iss = FSC.DEBUG | (write ? WATCH.WNR : 0) | (access.maintenance ? WATCH.CM : 0);
  takeSync(pe, target, makeEsr(classFor(pe, target, EC.WATCHPOINT_LOWER), iss));
  return true;
}

/** Load-Exclusive: LDXR, LDAXR of all sizes, LDXP and LDAXP; CASP has the pair's bits with a size below 2. */
export const isLoadExclusive = (insn: number): boolean =>
  (insn & 0x3fc0_0000) === 0x0840_0000 && ((insn & (1 << 21)) === 0 || insn >>> 31 === 1);
