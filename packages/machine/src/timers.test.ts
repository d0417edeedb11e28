import { expect, test } from "vitest";
import { PE_STATE_SLOTS, R } from "./cpu/state.js";
import { TIMER_NAMES } from "./irq.js";
import type { Pe } from "./pe.js";
import { GenericTimers, readPhysicalCount, readVirtualCount } from "./timers.js";

const NS = 1n;
const REALM = (1n << 62n) | 1n;
const ECVEN = 1n << 28n;
const ECV = 1n << 12n;
const E2H = 1n << 34n;
const TGE = 1n << 27n;

const peWith = (registers: Partial<Record<keyof typeof R, bigint>>, el: 0 | 1 | 2 | 3 = 1): Pe => {
  const r = new BigUint64Array(PE_STATE_SLOTS);
  r[R.SCR_EL3] = NS;
  for (const [name, value] of Object.entries(registers)) r[R[name as keyof typeof R]] = value!;
  return { index: 0, r, el } as unknown as Pe;
};
const timers = new GenericTimers();

test.each([
  { timer: "CNTP", ctl: "CNTP_CTL_EL0", cval: "CNTP_CVAL_EL0", intid: 30 },
  { timer: "CNTV", ctl: "CNTV_CTL_EL0", cval: "CNTV_CVAL_EL0", intid: 27 },
  { timer: "CNTHP", ctl: "CNTHP_CTL_EL2", cval: "CNTHP_CVAL_EL2", intid: 26 },
  { timer: "CNTHV", ctl: "CNTHV_CTL_EL2", cval: "CNTHV_CVAL_EL2", intid: 28 },
  { timer: "CNTPS", ctl: "CNTPS_CTL_EL1", cval: "CNTPS_CVAL_EL1", intid: 29 },
  { timer: "CNTHPS", ctl: "CNTHPS_CTL_EL2", cval: "CNTHPS_CVAL_EL2", intid: 20 },
  { timer: "CNTHVS", ctl: "CNTHVS_CTL_EL2", cval: "CNTHVS_CVAL_EL2", intid: 19 },
] as const)("$timer asserts PPI $intid from its deadline on, exactly", ({ timer, ctl, cval, intid }) => {
  const pe = peWith({ [ctl]: 1n, [cval]: 1000n });
  expect(timers.nextDeadline(pe, 400)).toBe(1000);
  expect([timers.outputs(pe, 999), timers.outputs(pe, 1000)]).toEqual([0, 1 << intid]);
  expect([timers.ctl(pe, timer, 999), timers.ctl(pe, timer, 1000)]).toEqual([1n, 5n]);
  expect(timers.nextDeadline(pe, 1000)).toBeGreaterThan(2 ** 63);
});

test("every timer of the contract has a row", () => {
  const pe = peWith({});
  expect(TIMER_NAMES.map((timer) => timers.ctl(pe, timer, 5))).toEqual(TIMER_NAMES.map(() => 0n));
});

test.each([
  { name: "disabled", ctl: 0n, read: 0n, output: false },
  { name: "enabled", ctl: 1n, read: 5n, output: true },
  { name: "IMASK: status without output", ctl: 3n, read: 7n, output: false },
  { name: "disabled and masked", ctl: 2n, read: 2n, output: false },
  { name: "a stored ISTATUS counts for nothing", ctl: 4n, read: 0n, output: false },
])("CTL: $name", ({ ctl, read, output }) => {
  const pe = peWith({ CNTV_CTL_EL0: ctl, CNTV_CVAL_EL0: 10n });
  expect(timers.ctl(pe, "CNTV", 10)).toBe(read);
  expect(timers.outputs(pe, 10) !== 0).toBe(output);
});

test.each([
  { name: "CNTVOFF delays CNTV", regs: { CNTVOFF_EL2: 8n, CNTV_CTL_EL0: 1n, CNTV_CVAL_EL0: 50n }, deadline: 58 },
  {
    name: "a negative offset",
    regs: { CNTVOFF_EL2: 2n ** 64n - 100n, CNTV_CTL_EL0: 1n, CNTV_CVAL_EL0: 150n },
    deadline: 50,
  },
  {
    name: "CNTVOFF leaves CNTHV alone",
    regs: { CNTVOFF_EL2: 100n, CNTHV_CTL_EL2: 1n, CNTHV_CVAL_EL2: 50n },
    deadline: 50,
  },
  {
    name: "CNTPOFF with ECV",
    regs: { CNTPOFF_EL2: 8n, CNTHCTL_EL2: ECV, SCR_EL3: NS | ECVEN, CNTP_CTL_EL0: 1n, CNTP_CVAL_EL0: 50n },
    deadline: 58,
  },
  {
    name: "CNTPOFF without SCR_EL3.ECVEn",
    regs: { CNTPOFF_EL2: 100n, CNTHCTL_EL2: ECV, CNTP_CTL_EL0: 1n, CNTP_CVAL_EL0: 50n },
    deadline: 50,
  },
  {
    name: "CNTPOFF with E2H and TGE",
    regs: {
      CNTPOFF_EL2: 100n,
      CNTHCTL_EL2: ECV,
      SCR_EL3: NS | ECVEN,
      HCR_EL2: E2H | TGE,
      CNTP_CTL_EL0: 1n,
      CNTP_CVAL_EL0: 50n,
    },
    deadline: 50,
  },
  {
    name: "the earliest of two",
    regs: { CNTP_CTL_EL0: 1n, CNTP_CVAL_EL0: 70n, CNTV_CTL_EL0: 1n, CNTV_CVAL_EL0: 60n },
    deadline: 60,
  },
  {
    name: "a masked timer has none",
    regs: { CNTP_CTL_EL0: 1n, CNTP_CVAL_EL0: 70n, CNTV_CTL_EL0: 3n, CNTV_CVAL_EL0: 60n },
    deadline: 70,
  },
])("deadline: $name", ({ regs, deadline }) => {
  const pe = peWith(regs);
  expect(timers.nextDeadline(pe, 10)).toBe(deadline);
  expect([timers.outputs(pe, deadline - 1), timers.outputs(pe, deadline) !== 0]).toEqual([0, true]);
});

test("an offset beyond the count makes the virtual count huge: met at once, and no more when it wraps", () => {
  const pe = peWith({ CNTVOFF_EL2: 100n, CNTV_CTL_EL0: 1n, CNTV_CVAL_EL0: 50n });
  expect([timers.outputs(pe, 40), timers.nextDeadline(pe, 40)]).toEqual([1 << 27, 100]);
  expect([timers.outputs(pe, 99), timers.outputs(pe, 100)]).toEqual([1 << 27, 0]);
  expect(timers.nextDeadline(pe, 100)).toBe(150);
});

test("a compare value of all ones never comes", () => {
  const pe = peWith({ CNTV_CTL_EL0: 1n, CNTV_CVAL_EL0: 2n ** 64n - 1n });
  expect(timers.nextDeadline(pe, 10)).toBeGreaterThan(2 ** 63);
});

test.each([
  { timer: "CNTV", mask: 1n << 18n, ctl: "CNTV_CTL_EL0" },
  { timer: "CNTP", mask: 1n << 19n, ctl: "CNTP_CTL_EL0" },
] as const)("CNTHCTL_EL2 masks $timer in Realm state only, and ISTATUS stays readable", ({ timer, mask, ctl }) => {
  const realm = peWith({ [ctl]: 1n, CNTHCTL_EL2: mask, SCR_EL3: REALM });
  expect([timers.outputs(realm, 5), timers.ctl(realm, timer, 5)]).toEqual([0, 5n]);
  const other = peWith({ [ctl]: 1n, CNTHCTL_EL2: (1n << 18n) ^ (1n << 19n) ^ mask, SCR_EL3: REALM });
  expect(timers.outputs(other, 5)).not.toBe(0);
  const nonSecure = peWith({ [ctl]: 1n, CNTHCTL_EL2: mask, SCR_EL3: NS });
  expect(timers.outputs(nonSecure, 5)).not.toBe(0);
});

test.each([
  { value: 100n, cval: 1100n, read: 100n },
  { value: 0xffff_ff9cn, cval: 900n, read: 0xffff_ff9cn },
  { value: 0x7fff_ffffn, cval: 1000n + 0x7fff_ffffn, read: 0x7fff_ffffn },
])("TVAL $value at count 1000", ({ value, cval, read }) => {
  const pe = peWith({});
  timers.setTval(pe, "CNTP", value, 1000);
  expect(pe.r[R.CNTP_CVAL_EL0]).toBe(cval);
  expect(timers.tval(pe, "CNTP", 1000)).toBe(read);
});

test.each([
  { el: 0, hcr: 0n, pct: 900n, vct: 500n },
  { el: 1, hcr: 0n, pct: 900n, vct: 500n },
  { el: 0, hcr: E2H | TGE, pct: 1000n, vct: 1000n },
  { el: 1, hcr: E2H, pct: 900n, vct: 500n },
  { el: 2, hcr: 0n, pct: 1000n, vct: 500n },
  { el: 2, hcr: E2H, pct: 1000n, vct: 1000n },
  { el: 3, hcr: 0n, pct: 1000n, vct: 500n },
] as const)("CNTPCT and CNTVCT at EL$el, HCR_EL2 $hcr", ({ el, hcr, pct, vct }) => {
  const pe = peWith({ CNTPOFF_EL2: 100n, CNTVOFF_EL2: 500n, CNTHCTL_EL2: ECV, SCR_EL3: NS | ECVEN, HCR_EL2: hcr }, el);
  expect([readPhysicalCount(pe, 1000), readVirtualCount(pe, 1000)]).toEqual([pct, vct]);
});
