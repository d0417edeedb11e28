/**
 * Breakpoints and watchpoints as a translation context needs them: those that can match at its EL, with their addresses
 * decoded. The TLB never holds a page that one of them touches, so that each access there is looked at.
 * DDI 0487, "Breakpoint exceptions", "Watchpoint exceptions", AArch64.StateMatch, AArch64.WatchpointByteMatch.
 *
 * CONSTRAINED UNPREDICTABLE choices: reserved fields disable the breakpoint or watchpoint; BAS is ignored under a MASK; of a
 * BAS whose bytes are not contiguous, the lowest run counts.
 *
 * @spec DDI 0487, "Breakpoints and watchpoints": partial: unlinked address matches; no linked and no context matches
 */
import { SecurityState } from "@realmbox/abi";
import { R } from "../cpu/state.js";
import { lowerState } from "../lower-state.js";
import { debugEnabledFrom, MDSCR, MDSCR_LO } from "./enabled.js";
import { BREAKPOINTS, WATCHPOINTS } from "./registers.js";

const PAGE = 4096;

/** DBGBCR<n>_EL1 and DBGWCR<n>_EL1: what they share, then the watchpoints' own. */
const E = 1 << 0;
const HMC = 1 << 13;
const SSCE = 1 << 29;
/** BT: unlinked address match is 0. */
const BT = 0xf << 20;
const LSC = { LOAD: 1 << 3, STORE: 1 << 4 } as const;
const WT = 1 << 20;

/** The instruction's address; PCs are multiples of four. */
export interface Breakpoint {
  readonly lo: number;
  readonly hi: number;
}

/** The bytes from `start` to before `end`, both low words as unsigned numbers; `hi` is the high word of all. */
export interface Watchpoint {
  readonly hi: number;
  readonly start: number;
  readonly end: number;
  readonly loads: boolean;
  readonly stores: boolean;
}

/** A data access within one page. */
export interface WatchedAccess {
  readonly lo: number;
  /** High word without and with the tag. */
  readonly hi: number;
  readonly tagged: number;
  readonly size: number;
  readonly read: boolean;
  readonly write: boolean;
}

export class Watches {
  /** Not 0. Equal registers have equal ids as long as a context may hold them. */
  readonly id: number;
  readonly breakpoints: readonly Breakpoint[];
  readonly watchpoints: readonly Watchpoint[];

  constructor(id: number, breakpoints: readonly Breakpoint[], watchpoints: readonly Watchpoint[]) {
    this.id = id;
    this.breakpoints = breakpoints;
    this.watchpoints = watchpoints;
  }

  /** Whether a breakpoint lies in the page of an address. */
  breaksIn(lo: number, hi: number): boolean {
    return this.breakpoints.some((b) => b.hi === hi && ((b.lo ^ lo) & -PAGE) === 0);
  }

  breaksAt(lo: number, hi: number): boolean {
    return this.breakpoints.some((b) => b.hi === hi && b.lo === lo);
  }

  /** Whether a watchpoint lies in the page of an address. */
  watchesIn(lo: number, hi: number): boolean {
    const page = (lo & -PAGE) >>> 0;
    return this.watchpoints.some((w) => w.hi === hi && w.start < page + PAGE && w.end > page);
  }

  /**
   * The low word of the first byte of an access that is watched, as an unsigned number, or -1; and whether it is the write
   * that matches: of an atomic, only when the read alone would not.
   */
  hit({ lo, hi, size, read, write }: WatchedAccess): { readonly at: number; readonly write: boolean } {
    const first = lo >>> 0;
    for (const w of this.watchpoints) {
      if (w.hi !== hi || !((read && w.loads) || (write && w.stores))) continue;
      if (w.start < first + size && w.end > first) {
        return { at: Math.max(first, w.start), write: !(read && w.loads) };
      }
    }
    return NOT_WATCHED;
  }
}

/**
 * HMC:SSC:PxC combinations that are not reserved, with SSCE = 0; bit n for the value n. DDI 0487, "Summary of breakpoint
 * HMC, SSC, and PMC encodings" (and the watchpoints' table, which is the same).
 */
const VALID_COMBINATIONS = [
  ...[0b0_00_01, 0b0_00_10, 0b0_00_11, 0b0_01_01, 0b0_01_10, 0b0_01_11, 0b0_10_01, 0b0_10_10, 0b0_10_11],
  ...[0b0_11_00, 0b0_11_01, 0b0_11_11, 0b1_00_01, 0b1_00_11, 0b1_01_00, 0b1_01_01, 0b1_01_11],
  ...[0b1_10_00, 0b1_10_01, 0b1_10_11, 0b1_11_00, 0b1_11_01, 0b1_11_11],
].reduce((set, value) => (set | (1 << value)) >>> 0, 0);

/** Whether a control register matches accesses made with an EL's privilege in a Security state. */
export function matchesState(control: number, el: number, state: number): boolean {
  const hmc = (control & HMC) !== 0;
  const ssc = (control >>> 14) & 3;
  const pxc = (control >>> 1) & 3;
  if (((VALID_COMBINATIONS >>> ((hmc ? 16 : 0) | (ssc << 2) | pxc)) & 1) === 0) return false;
  if ((control & SSCE) !== 0) {
    if (ssc !== 1 || state !== SecurityState.REALM) return false;
  } else if (ssc === 1) {
    if (state !== SecurityState.NON_SECURE) return false;
  } else if (ssc === 2 || (ssc === 3 && !hmc)) {
    if (state !== SecurityState.SECURE) return false;
  }
  if (el === 2) return (hmc && !(ssc === 2 && pxc === 0)) || ssc === 3;
  return (pxc & (el === 1 ? 1 : 2)) !== 0;
}

function breakpointOf(r: BigUint64Array, n: number, el: number, state: number): Breakpoint | undefined {
  const control = Number(r[R.DBGBCR0 + n]! & 0xffff_ffffn);
  if ((control & E) === 0 || (control & BT) !== 0 || !matchesState(control, el, state)) return undefined;
  const value = r[R.DBGBVR0 + n]!;
  return { lo: Number(value & 0xffff_fffcn) | 0, hi: Number(value >> 32n) | 0 };
}

function watchpointOf(r: BigUint64Array, n: number, el: number, state: number): Watchpoint | undefined {
  const control = Number(r[R.DBGWCR0 + n]! & 0xffff_ffffn);
  if ((control & E) === 0 || (control & WT) !== 0 || !matchesState(control, el, state)) return undefined;
  const loads = (control & LSC.LOAD) !== 0;
  const stores = (control & LSC.STORE) !== 0;
  const value = r[R.DBGWVR0 + n]!;
  const hi = Number(value >> 32n) | 0;
  const lo = Number(value & 0xffff_fffcn);
  const mask = (control >>> 24) & 0x1f;
  if (mask > 2) {
    const size = 2 ** mask;
    const start = lo - (lo % size);
    return { hi, start, end: start + size, loads, stores };
  }
  if (mask !== 0) return undefined;
  // An address that is a word's has four bytes to select.
  const bas = (control >>> 5) & ((lo & 4) !== 0 ? 0xf : 0xff);
  if (bas === 0) return undefined;
  const skipped = 31 - Math.clz32(bas & -bas);
  const run = bas >>> skipped;
  const length = 31 - Math.clz32(~run & (run + 1));
  return { hi, start: lo + skipped, end: lo + skipped + length, loads, stores };
}

const NOT_WATCHED = { at: -1, write: false };

const isDefined = <T>(value: T | undefined): value is T => value !== undefined;

/** Watches by the registers that they come from; forgotten all at once, ids are never given twice. */
export class WatchTable {
  private readonly known = new Map<string, Watches | undefined>();
  private lastId = 0;

  /**
   * What is watched at `el` when accesses are made with the privilege of `as` (EL0's for LDTR and STTR), or undefined. As
   * if PSTATE.D were 0: that is looked at when something matches.
   */
  find({ r, w }: { r: BigUint64Array; w: Int32Array }, el: number, as: number): Watches | undefined {
    if ((w[MDSCR_LO]! & MDSCR.MDE) === 0 || !debugEnabledFrom(w, el, false)) return undefined;
    const state = lowerState(w);
    let key = `${as} ${state}`;
    for (let slot = R.DBGBVR0; slot < R.DBGBVR0 + 2 * (BREAKPOINTS + WATCHPOINTS); slot++) key += ` ${r[slot]}`;
    if (!this.known.has(key)) {
      // Hosts that try many values must not fill the memory.
      if (this.known.size >= 256) this.known.clear();
      const numbers = [0, 1];
      const breakpoints = numbers.map((n) => breakpointOf(r, n, as, state)).filter(isDefined);
      const watchpoints = numbers.map((n) => watchpointOf(r, n, as, state)).filter(isDefined);
      const any = breakpoints.length + watchpoints.length > 0;
      this.known.set(key, any ? new Watches(++this.lastId, breakpoints, watchpoints) : undefined);
    }
    return this.known.get(key);
  }
}
