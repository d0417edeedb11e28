/**
 * The generic timer's registers. Which timer a name means depends on the EL (E2H redirection), which count it compares
 * on the offsets; both are decided here, the arithmetic is timers.ts's. DDI 0487, "The Generic Timer in AArch64 state".
 */
import { SecurityState } from "@realmbox/abi";
import { R } from "../cpu/state.js";
import { el2Enabled, hcrHi } from "../exceptions.js";
import type { TimerName } from "../irq.js";
import type { Processor } from "../processor.js";
import { HCR_H, SCR, SCR_LO } from "../words.js";
import { Effect, type Row, type Rule } from "./row.js";
import {
  anyCounter,
  isHostMode,
  physicalCounter,
  physicalTimer,
  secureEl2,
  secureTimer,
  virtualCounter,
  virtualTimer,
} from "./rules.js";

const CTL_SLOT: Readonly<Record<TimerName, number>> = {
  CNTP: R.CNTP_CTL_EL0,
  CNTV: R.CNTV_CTL_EL0,
  CNTHP: R.CNTHP_CTL_EL2,
  CNTHV: R.CNTHV_CTL_EL2,
  CNTHPS: R.CNTHPS_CTL_EL2,
  CNTHVS: R.CNTHVS_CTL_EL2,
  CNTPS: R.CNTPS_CTL_EL1,
};
/** CVAL follows CTL in the state. */
const cvalSlot = (timer: TimerName): number => CTL_SLOT[timer] + 1;

const CNTHCTL_ECV = 1n << 12n;

/** CNTHCTL_EL2.ECV with SCR_EL3.ECVEn: EL1 and EL0 see the physical count less CNTPOFF_EL2. */
function physicalOffset(pe: Processor, el: number): bigint {
  const { w, r } = pe;
  if (el > 1 || !el2Enabled(w) || isHostMode(w)) return 0n;
  const enabled = (w[SCR_LO]! & SCR.ECVEN) !== 0 && (r[R.CNTHCTL_EL2]! & CNTHCTL_ECV) !== 0n;
  return enabled ? r[R.CNTPOFF_EL2]! : 0n;
}

function virtualOffset(pe: Processor, el: number): bigint {
  const { w, r } = pe;
  if (!el2Enabled(w)) return 0n;
  if (el === 2 && (hcrHi(w) & HCR_H.E2H) !== 0) return 0n;
  return el === 0 && isHostMode(w) ? 0n : r[R.CNTVOFF_EL2]!;
}

const count = (pe: Processor, offset: bigint): bigint => BigInt.asUintN(64, pe.machine.counter() - offset);

const counterRows: readonly Row[] = [
  {
    name: "CNTFRQ_EL0",
    encoding: [3, 3, 14, 0, 0],
    el: 0,
    // Written at the highest EL alone: below, UNDEFINED comes before any trap.
    rules: [(_, el, write) => (write && el < 3 ? -1 : 0), (pe, el, write) => (write ? 0 : anyCounter(pe, el, write))],
    read: (pe) => BigInt(pe.machine.board.counterHz),
    // EL3 firmware announces the frequency that the board has.
    write: () => {},
  },
  ...(
    [
      ["CNTPCT_EL0", 1],
      ["CNTPCTSS_EL0", 5],
    ] as const
  ).map(
    ([name, op2]): Row => ({
      name,
      encoding: [3, 3, 14, 0, op2],
      el: 0,
      rules: [physicalCounter],
      read: (pe, el) => count(pe, physicalOffset(pe, el)),
      readOnly: true,
    }),
  ),
  ...(
    [
      ["CNTVCT_EL0", 2],
      ["CNTVCTSS_EL0", 6],
    ] as const
  ).map(
    ([name, op2]): Row => ({
      name,
      encoding: [3, 3, 14, 0, op2],
      el: 0,
      rules: [virtualCounter],
      read: (pe, el) => count(pe, virtualOffset(pe, el)),
      readOnly: true,
    }),
  ),
  {
    name: "CNTKCTL_EL1",
    encoding: [3, 0, 14, 1, 0],
    el: 1,
    e2h: "CNTHCTL_EL2",
    mask: 0x2_03ffn,
    effect: Effect.CHECKS,
  },
];

type Choose = (pe: Processor, el: number) => TimerName;

/** CTL, CVAL and TVAL of one timer. */
function timerRows(options: {
  readonly name: (register: "CTL" | "CVAL" | "TVAL") => string;
  readonly at: readonly [op1: number, crm: number];
  readonly el: 0 | 1 | 2;
  readonly choose: Choose;
  readonly rules?: readonly Rule[];
  readonly alias?: boolean;
}): Row[] {
  const { name, at, el, choose, rules = [], alias = false } = options;
  const [op1, crm] = at;
  const common = { el, rules, alias, effect: Effect.TIMER };
  const now = (pe: Processor, timer: TimerName) => pe.machine.timers.counter(pe, timer, pe.machine.ticks);
  return [
    {
      ...common,
      name: name("TVAL"),
      encoding: [3, op1, 14, crm, 0],
      read: (pe, at) => {
        const timer = choose(pe, at);
        return BigInt.asUintN(32, pe.r[cvalSlot(timer)]! - now(pe, timer));
      },
      write: (pe, value, at) => {
        const timer = choose(pe, at);
        pe.r[cvalSlot(timer)] = BigInt.asUintN(64, now(pe, timer) + BigInt.asIntN(32, value));
      },
    },
    {
      ...common,
      name: name("CTL"),
      encoding: [3, op1, 14, crm, 1],
      read: (pe, at) => pe.timerCtl(choose(pe, at)),
      write: (pe, value, at) => {
        pe.r[CTL_SLOT[choose(pe, at)]] = value & 3n;
      },
    },
    {
      ...common,
      name: name("CVAL"),
      encoding: [3, op1, 14, crm, 2],
      read: (pe, at) => pe.r[cvalSlot(choose(pe, at))]!,
      write: (pe, value, at) => {
        pe.r[cvalSlot(choose(pe, at))] = value;
      },
    },
  ];
}

/** At EL2 with E2H, and at EL0 below such a host, the EL1 timers' names mean EL2's timers. */
const isRedirected = (pe: Processor, el: number): boolean =>
  (el === 2 && (hcrHi(pe.w) & HCR_H.E2H) !== 0) || (el === 0 && isHostMode(pe.w));
const isSecure = (pe: Processor): boolean => pe.state === SecurityState.SECURE;

export const TIMER_ROWS: readonly Row[] = [
  ...counterRows,
  ...timerRows({
    name: (register) => `CNTP_${register}_EL0`,
    at: [3, 2],
    el: 0,
    rules: [physicalTimer],
    choose: (pe, el) => (isRedirected(pe, el) ? (isSecure(pe) ? "CNTHPS" : "CNTHP") : "CNTP"),
  }),
  ...timerRows({
    name: (register) => `CNTV_${register}_EL0`,
    at: [3, 3],
    el: 0,
    rules: [virtualTimer],
    choose: (pe, el) => (isRedirected(pe, el) ? (isSecure(pe) ? "CNTHVS" : "CNTHV") : "CNTV"),
  }),
  ...timerRows({ name: (register) => `CNTP_${register}_EL02`, at: [5, 2], el: 2, alias: true, choose: () => "CNTP" }),
  ...timerRows({ name: (register) => `CNTV_${register}_EL02`, at: [5, 3], el: 2, alias: true, choose: () => "CNTV" }),
  ...timerRows({ name: (register) => `CNTHP_${register}_EL2`, at: [4, 2], el: 2, choose: () => "CNTHP" }),
  ...timerRows({ name: (register) => `CNTHV_${register}_EL2`, at: [4, 3], el: 2, choose: () => "CNTHV" }),
  ...timerRows({
    name: (register) => `CNTHVS_${register}_EL2`,
    at: [4, 4],
    el: 2,
    rules: [secureEl2],
    choose: () => "CNTHVS",
  }),
  ...timerRows({
    name: (register) => `CNTHPS_${register}_EL2`,
    at: [4, 5],
    el: 2,
    rules: [secureEl2],
    choose: () => "CNTHPS",
  }),
  ...timerRows({
    name: (register) => `CNTPS_${register}_EL1`,
    at: [7, 2],
    el: 1,
    rules: [secureTimer],
    choose: () => "CNTPS",
  }),
];
