/**
 * The generic timers of a PE, over its state: compare values and control bits are slots, everything else follows from
 * the count. DDI 0487, "The Generic Timer in AArch64 state"; the mask bits of CNTHCTL_EL2 are FEAT_RME's.
 *
 * Timers are level-sensitive: the output is asserted while ENABLE is set, IMASK clear and the condition met; nothing is
 * latched.
 *
 * @spec DDI 0487, "The Generic Timer in AArch64 state": complete
 */
import { R } from "./cpu/state.js";
import type { TimerName, Timers } from "./irq.js";
import type { Pe } from "./pe.js";
import type { Processor } from "./processor.js";
import { isHostMode } from "./sysreg/rules.js";

interface TimerRow {
  readonly name: TimerName;
  /** Slots of the control and compare value registers. */
  readonly ctl: number;
  readonly cval: number;
  /** INTID of the output. SBSA, "PPI assignments". */
  readonly intid: number;
}

const ROWS: readonly TimerRow[] = [
  { name: "CNTP", ctl: R.CNTP_CTL_EL0, cval: R.CNTP_CVAL_EL0, intid: 30 },
  { name: "CNTV", ctl: R.CNTV_CTL_EL0, cval: R.CNTV_CVAL_EL0, intid: 27 },
  { name: "CNTHP", ctl: R.CNTHP_CTL_EL2, cval: R.CNTHP_CVAL_EL2, intid: 26 },
  { name: "CNTHV", ctl: R.CNTHV_CTL_EL2, cval: R.CNTHV_CVAL_EL2, intid: 28 },
  { name: "CNTHPS", ctl: R.CNTHPS_CTL_EL2, cval: R.CNTHPS_CVAL_EL2, intid: 20 },
  { name: "CNTHVS", ctl: R.CNTHVS_CTL_EL2, cval: R.CNTHVS_CVAL_EL2, intid: 19 },
  { name: "CNTPS", ctl: R.CNTPS_CTL_EL1, cval: R.CNTPS_CVAL_EL1, intid: 29 },
];

const rowOf = (timer: TimerName): TimerRow => ROWS.find((row) => row.name === timer)!;

/** All INTIDs that timers drive, as a set of bits. */
export const TIMER_PPIS = ROWS.reduce((mask, row) => mask | (1 << row.intid), 0);

const ENABLE = 1;
const IMASK = 2;
const ISTATUS = 4n;
const WRAP = 1n << 64n;

const HCR_TGE = 1n << 27n;
const HCR_E2H = 1n << 34n;
const SCR_NS = 1 << 0;
const SCR_NSE_HIGH = 1 << 30; // NSE is bit 62
const SCR_ECVEN = 1n << 28n;
const CNTHCTL_ECV = 1n << 12n;
const CNTHCTL_CNTVMASK = 1 << 18;
const CNTHCTL_CNTPMASK = 1 << 19;

export class GenericTimers implements Timers {
  /** 32-bit views of the PEs' states: most looks are at a control register of a timer that is off. */
  readonly #views: { readonly r: BigUint64Array; readonly words: Uint32Array }[] = [];

  outputs(pe: Pe, count: number): number {
    let outputs = 0;
    for (const row of ROWS) {
      if (this.#live(pe, row) && this.#met(pe, row, count)) outputs |= 1 << row.intid;
    }
    return outputs;
  }

  nextDeadline(pe: Pe, count: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const row of ROWS) {
      if (!this.#live(pe, row)) continue;
      const counter = this.counter(pe, row.name, count);
      const cval = pe.r[row.cval]!;
      // A condition that is met ends where the 64-bit count wraps: with an offset above the count that is soon.
      const ticks = (counter < cval ? cval : WRAP) - counter;
      // Exact while it matters: what is further away than 2^53 ticks rounds, and is never reached.
      next = Math.min(next, count + Number(ticks));
    }
    return next;
  }

  ctl(pe: Pe, timer: TimerName, count: number): bigint {
    const row = rowOf(timer);
    const ctl = this.#low(pe, row.ctl) & (ENABLE | IMASK);
    return BigInt(ctl) | (ctl & ENABLE && this.#met(pe, row, count) ? ISTATUS : 0n);
  }

  counter(pe: Pe, timer: TimerName, count: number): bigint {
    if (timer === "CNTV") return BigInt.asUintN(64, BigInt(count) - pe.r[R.CNTVOFF_EL2]!);
    if (timer === "CNTP") return BigInt.asUintN(64, BigInt(count) - physicalOffset(pe));
    return BigInt(count);
  }

  /** TVAL as a read gives it: CVAL minus the count, as a signed 32-bit number in the low half. */
  tval(pe: Pe, timer: TimerName, count: number): bigint {
    return BigInt.asUintN(32, pe.r[rowOf(timer).cval]! - this.counter(pe, timer, count));
  }

  /** A write of TVAL: CVAL becomes the count plus the signed 32-bit value. */
  setTval(pe: Pe, timer: TimerName, value: bigint, count: number): void {
    pe.r[rowOf(timer).cval] = BigInt.asUintN(64, this.counter(pe, timer, count) + BigInt.asIntN(32, value));
  }

  #words(pe: Pe): Uint32Array {
    let view = this.#views[pe.index];
    if (view?.r !== pe.r) {
      view = { r: pe.r, words: new Uint32Array(pe.r.buffer, pe.r.byteOffset, pe.r.length * 2) };
      this.#views[pe.index] = view;
    }
    return view.words;
  }

  #low(pe: Pe, slot: number): number {
    return this.#words(pe)[slot * 2]!;
  }

  /** Enabled and not masked: the output follows the condition. */
  #live(pe: Pe, row: TimerRow): boolean {
    if ((this.#low(pe, row.ctl) & (ENABLE | IMASK)) !== ENABLE) return false;
    if (row.name === "CNTV") return !this.#maskedInRealm(pe, CNTHCTL_CNTVMASK);
    if (row.name === "CNTP") return !this.#maskedInRealm(pe, CNTHCTL_CNTPMASK);
    return true;
  }

  /** CNTHCTL_EL2's mask bits exist in Realm state only; elsewhere they are RES0. */
  #maskedInRealm(pe: Pe, mask: number): boolean {
    const words = this.#words(pe);
    if ((words[R.CNTHCTL_EL2 * 2]! & mask) === 0) return false;
    return (words[R.SCR_EL3 * 2]! & SCR_NS) !== 0 && (words[R.SCR_EL3 * 2 + 1]! & SCR_NSE_HIGH) !== 0;
  }

  #met(pe: Pe, row: TimerRow, count: number): boolean {
    return this.counter(pe, row.name, count) >= pe.r[row.cval]!;
  }
}

/** CNTKCTL_EL1 and CNTHCTL_EL2, the latter with either value of HCR_EL2.E2H. */
const EVNTEN = 1 << 2;
const EVNTDIR = 1 << 3;
const EVNTI = { shift: 4, mask: 0xf };
const EVNTIS = 1 << 17;
const CNTKCTL_LO = R.CNTKCTL_EL1 * 2;
const CNTHCTL_LO = R.CNTHCTL_EL2 * 2;

/**
 * The least count above `count` at which an event stream of a PE has an event; Infinity when none is on. The PE looks at
 * its streams where the event register matters: nothing runs for them.
 * DDI 0487, "Event streams".
 */
export function nextStreamEvent({ r, w }: Processor, count: number): number {
  const physical = w[CNTHCTL_LO]!;
  // With {E2H, TGE} = {1, 1} EL1's register has no effect.
  const virtual = isHostMode(w) ? 0 : w[CNTKCTL_LO]!;
  if (((physical | virtual) & EVNTEN) === 0) return Number.POSITIVE_INFINITY;
  return Math.min(
    nextTransition(physical, BigInt(count), count),
    nextTransition(virtual, BigInt(count) - r[R.CNTVOFF_EL2]!, count),
  );
}

/** When the control's bit of the counter next becomes 1, or 0 with EVNTDIR. */
function nextTransition(control: number, counter: bigint, count: number): number {
  if ((control & EVNTEN) === 0) return Number.POSITIVE_INFINITY;
  const bit = BigInt(((control >> EVNTI.shift) & EVNTI.mask) + ((control & EVNTIS) !== 0 ? 8 : 0));
  const period = 2n << bit;
  const at = (control & EVNTDIR) !== 0 ? 0n : 1n << bit;
  const left = Number((((at - counter) % period) + period) % period);
  return count + (left === 0 ? Number(period) : left);
}

/** CNTPOFF_EL2 where it applies to the EL1 physical timer and to EL0 and EL1 reads of CNTPCT_EL0. */
export function physicalOffset(pe: Pe): bigint {
  const hcr = pe.r[R.HCR_EL2]!;
  const applies =
    (pe.r[R.CNTHCTL_EL2]! & CNTHCTL_ECV) !== 0n &&
    (pe.r[R.SCR_EL3]! & SCR_ECVEN) !== 0n &&
    (hcr & (HCR_E2H | HCR_TGE)) !== (HCR_E2H | HCR_TGE);
  return applies ? pe.r[R.CNTPOFF_EL2]! : 0n;
}

/** CNTPCT_EL0 as the PE's current EL reads it. */
export function readPhysicalCount(pe: Pe, count: number): bigint {
  return pe.el >= 2 ? BigInt(count) : BigInt.asUintN(64, BigInt(count) - physicalOffset(pe));
}

/** CNTVCT_EL0 as the PE's current EL reads it. */
export function readVirtualCount(pe: Pe, count: number): bigint {
  const hcr = pe.r[R.HCR_EL2]!;
  const hostEl2 = pe.el === 2 && (hcr & HCR_E2H) !== 0n;
  const hostEl0 = pe.el === 0 && (hcr & (HCR_E2H | HCR_TGE)) === (HCR_E2H | HCR_TGE);
  return hostEl2 || hostEl0 ? BigInt(count) : BigInt.asUintN(64, BigInt(count) - pe.r[R.CNTVOFF_EL2]!);
}
