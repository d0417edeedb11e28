/**
 * Counting: DDI 0487, "The Performance Monitors Extension", PMUv3p7. Nothing is done for an instruction. Counters are brought
 * up to date from what the PE has retired, whenever the level, and so what counts, may change: before each exception
 * entry and return, and before and after each access to a register of the PMU. An overflow that somebody waits for ends
 * the PE's budget, so that it comes at its exact instruction.
 *
 * While PMCNTENSET_EL0 is zero nothing counts, and nothing here is called. The registers are plain slots, which native
 * firmware moves as a block: at its levels nothing is retired.
 *
 * Invariant: with PMCNTENSET_EL0 nonzero and `pe.pmu.live`, the counters hold everything up to `pe.pmu.retired` and
 * `pe.pmu.charged`.
 *
 * @spec DDI 0487, "The Performance Monitors Extension": partial: PMUv3p7 in the System registers; no external interface, no
 *   events of caches, branches and memory
 */
import { SecurityState } from "@realmbox/abi";
import { R } from "../cpu/state.js";
import { lowerState } from "../lower-state.js";
import type { Processor } from "../processor.js";
import { ATTENTION_LO, PSTATE_LO } from "../words.js";
import {
  CYCLE_COUNTER,
  counterSlot,
  FILTER,
  firstRange,
  MDCR_EL2_LO,
  MDCR_EL3_LO,
  MDCR2,
  MDCR3,
  MDCR3_H,
  PMCNTENSET_LO,
  PMCR,
  PMCR_LO,
  PMINTENSET_LO,
  PMOVSSET_LO,
  PMU_COUNTERS,
  PmuEvent,
  typeSlot,
} from "./registers.js";

/** What of a PE's PMU is in no register: how far the counters are, and the level of the interrupt. */
export class PmuState {
  /** Something counts, or did at the last look: the two below are of that time. */
  live = false;
  retired = 0;
  charged = 0;
  /** The overflow interrupt as the GIC was last told. */
  output = false;
}

const CYCLE_BIT = 1 << CYCLE_COUNTER;
const ALL = (1 << PMU_COUNTERS) - 1;
const WORD = 0x1_0000_0000;

const bit = (word: number, n: number): number => (word >>> n) & 1;

/** Whether a type register's filters leave out the current level. DDI 0487, "Filtering by Exception level". */
function isFiltered(type: number, el: number, state: SecurityState): boolean {
  const { NON_SECURE, REALM, SECURE } = SecurityState;
  switch (el) {
    case 0:
      return (
        bit(type, FILTER.U) !==
        (state === NON_SECURE ? bit(type, FILTER.NSU) : state === REALM ? bit(type, FILTER.RLU) : 0)
      );
    case 1:
      return (
        bit(type, FILTER.P) !==
        (state === NON_SECURE ? bit(type, FILTER.NSK) : state === REALM ? bit(type, FILTER.RLK) : 0)
      );
    case 2:
      return (
        bit(type, FILTER.NSH) ===
        (state === SECURE ? bit(type, FILTER.SH) : state === REALM ? bit(type, FILTER.RLH) : 0)
      );
    default:
      return bit(type, FILTER.M) !== bit(type, FILTER.P);
  }
}

/** Whether counting events is prohibited at the current level, for a counter of the first range and of the second. */
function prohibited(w: Int32Array, el: number, state: SecurityState): { first: boolean; second: boolean } {
  const spme = (w[MDCR_EL3_LO]! & MDCR3.SPME) !== 0;
  const mpmx = (w[MDCR_EL3_LO + 1]! & MDCR3_H.MPMX) !== 0;
  if (el === 3) return { first: mpmx || !spme, second: !spme };
  const secure = state === SecurityState.SECURE && !spme && !mpmx;
  return { first: secure || (el === 2 && (w[MDCR_EL2_LO]! & MDCR2.HPMD) !== 0), second: secure };
}

/** Counters that count at the current level, as a set of bits. DDI 0487, AArch64.CountPMUEvents(). */
export function countersCounting({ w }: Processor): number {
  const el = (w[PSTATE_LO]! >> 2) & 3;
  const state = el === 3 ? SecurityState.ROOT : (lowerState(w) as SecurityState);
  const pmcr = w[PMCR_LO]!;
  const mdcr = w[MDCR_EL2_LO]!;
  const overflowed = w[PMOVSSET_LO]!;
  const first = (1 << firstRange(w)) - 1;
  const second = ALL & ~first;
  const off = prohibited(w, el, state);
  let set = 0;
  if ((pmcr & PMCR.E) !== 0) {
    // Frozen by an overflow of its own range; the cycle counter stops with the first range if PMCR_EL0.DP says so.
    const stopped = off.first || ((pmcr & PMCR.FZO) !== 0 && (overflowed & first) !== 0);
    if (!stopped) set |= first;
    if (!((stopped && (pmcr & PMCR.DP) !== 0) || isCycleProhibited(w, el, state))) set |= CYCLE_BIT;
  }
  if ((mdcr & MDCR2.HPME) !== 0 && !off.second && ((mdcr & MDCR2.HPMFZO) === 0 || (overflowed & second) === 0))
    set |= second;
  set &= w[PMCNTENSET_LO]!;
  for (let rest = set; rest !== 0; rest &= rest - 1) {
    const n = 31 - Math.clz32(rest & -rest);
    if (isFiltered(w[typeSlot(n) * 2]!, el, state)) set &= ~(1 << n);
  }
  return set;
}

function isCycleProhibited(w: Int32Array, el: number, state: SecurityState): boolean {
  if (el === 3) return (w[MDCR_EL3_LO + 1]! & MDCR3_H.MCCD) !== 0;
  if (state === SecurityState.SECURE && (w[MDCR_EL3_LO]! & MDCR3.SCCD) !== 0) return true;
  return el === 2 && (w[MDCR_EL2_LO]! & MDCR2.HCCD) !== 0;
}

const eventOf = (w: Int32Array, n: number): number =>
  n === CYCLE_COUNTER ? PmuEvent.CPU_CYCLES : w[typeSlot(n) * 2]! & 0xffff;

/** Whether a counter overflows at 64 bits, by PMCR_EL0.LP or MDCR_EL2.HLP of its range; else at 32, and counts on. */
function isLong(w: Int32Array, n: number): boolean {
  if (n === CYCLE_COUNTER) return true;
  return n < firstRange(w) ? (w[PMCR_LO]! & PMCR.LP) !== 0 : (w[MDCR_EL2_LO]! & MDCR2.HLP) !== 0;
}

/** Whether the overflows of counter `n` are events of the next one: CHAIN, within one range. */
function isChained(w: Int32Array, n: number): boolean {
  const next = n + 1;
  if ((n & 1) !== 0 || next >= PMU_COUNTERS || isLong(w, n) || eventOf(w, next) !== PmuEvent.CHAIN) return false;
  return n < firstRange(w) === next < firstRange(w);
}

/** `counting`: the set of counters that count now, for the one that is chained to this. */
function add(pe: Processor, n: number, events: number, counting: number): void {
  const { r, w } = pe;
  const slot = counterSlot(n);
  const low = (w[slot * 2]! >>> 0) + events;
  const before = r[slot]!;
  const value = before + BigInt(events);
  r[slot] = value; // modulo 2^64
  if (isLong(w, n) ? r[slot]! >= before : low < WORD) return;
  w[PMOVSSET_LO] = w[PMOVSSET_LO]! | (1 << n);
  if (isChained(w, n) && (counting & (1 << (n + 1))) !== 0) add(pe, n + 1, Math.floor(low / WORD), counting);
}

/** Brings the counters up to now. What the PE has retired is attributed to its current level: call it before that changes. */
export function settlePmu(pe: Processor): void {
  const { pmu, w } = pe;
  const instructions = pe.retired - pmu.retired;
  const cycles = instructions + pe.charged - pmu.charged;
  pmu.retired = pe.retired;
  pmu.charged = pe.charged;
  const wasLive = pmu.live;
  pmu.live = w[PMCNTENSET_LO]! !== 0;
  if (!wasLive || cycles === 0) return;
  const counting = countersCounting(pe);
  for (let rest = counting; rest !== 0; rest &= rest - 1) {
    const n = 31 - Math.clz32(rest & -rest);
    const event = eventOf(w, n);
    const events = event === PmuEvent.CPU_CYCLES ? cycles : event === PmuEvent.INST_RETIRED ? instructions : 0;
    if (events !== 0) add(pe, n, events, counting);
  }
}

/** One event that happens at the current level, on some of the counters; they are up to date. */
export function countPmuEvent(pe: Processor, event: number, among = ~CYCLE_BIT): void {
  const counting = countersCounting(pe);
  for (let rest = counting & among; rest !== 0; rest &= rest - 1) {
    const n = 31 - Math.clz32(rest & -rest);
    if (eventOf(pe.w, n) === event) add(pe, n, 1, counting);
  }
}

/**
 * Counts of the PE's clock until a counter overflows that somebody waits for: its interrupt is enabled, the one that it is
 * chained to is, or its range freezes. The counters are up to date.
 */
export function countsToOverflow(pe: Processor): number {
  const { w } = pe;
  const first = (1 << firstRange(w)) - 1;
  let awaited = w[PMINTENSET_LO]!;
  if ((w[PMCR_LO]! & PMCR.FZO) !== 0) awaited |= first;
  if ((w[MDCR_EL2_LO]! & MDCR2.HPMFZO) !== 0) awaited |= ALL & ~first;
  if (awaited === 0) return Number.POSITIVE_INFINITY;
  let least = Number.POSITIVE_INFINITY;
  for (let rest = countersCounting(pe); rest !== 0; rest &= rest - 1) {
    const n = 31 - Math.clz32(rest & -rest);
    const event = eventOf(w, n);
    if (event !== PmuEvent.CPU_CYCLES && event !== PmuEvent.INST_RETIRED) continue;
    if ((awaited & (1 << n)) === 0 && !(isChained(w, n) && (awaited & (1 << (n + 1))) !== 0)) continue;
    const at = counterSlot(n) * 2;
    // A 64-bit counter that is further away than 32 bits is looked at again by then.
    if (isLong(w, n) && w[at + 1] !== -1) continue;
    least = Math.min(least, WORD - (w[at]! >>> 0));
  }
  return least;
}

/** The overflow interrupt: an enabled counter's overflow flag with its interrupt enabled. DDI 0487, CheckForPMUOverflow(). */
export function isPmuInterrupting(w: Int32Array | Uint32Array): boolean {
  const set = w[PMOVSSET_LO]! & w[PMINTENSET_LO]!;
  if (set === 0) return false;
  const mdcr = w[MDCR_EL2_LO]!;
  const first = (1 << Math.min(mdcr & MDCR2.HPMN, PMU_COUNTERS)) - 1;
  let enabled = 0;
  if ((w[PMCR_LO]! & PMCR.E) !== 0) enabled |= first | CYCLE_BIT;
  if ((mdcr & MDCR2.HPME) !== 0) enabled |= ALL & ~first;
  return (set & enabled) !== 0;
}

/** After a change of level while something counts: the engine stops at the next overflow, or now for one that just was. */
export function armPmu(pe: Processor): void {
  pe.limit(countsToOverflow(pe));
  if (isPmuInterrupting(pe.w) !== pe.pmu.output) pe.w[ATTENTION_LO] = 1;
}

/** PMCR_EL0.P and C: counters to zero, whatever their width; overflow flags stay. */
export function resetCounters({ r }: Processor, { events, cycles }: { events: number; cycles: boolean }): void {
  for (let n = 0; n < events; n++) r[counterSlot(n)] = 0n;
  if (cycles) r[R.PMCCNTR_EL0] = 0n;
}
