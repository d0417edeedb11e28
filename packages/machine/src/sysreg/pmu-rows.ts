/**
 * The performance monitors' registers: who may access them, which counters an access reaches, and what a write does. What
 * counts is pmu/counting.ts's. DDI 0487, "Performance Monitors registers".
 *
 * Counters of the second range (MDCR_EL2.HPMN and up) do not exist for EL1 and EL0 where EL2 is enabled: their bits and,
 * of the choices that the architecture leaves, their registers too, are RAZ/WI there.
 */

import type { RegName } from "../cpu/state.js";
import { R } from "../cpu/state.js";
import { el2Enabled } from "../exceptions.js";
import { countPmuEvent, resetCounters } from "../pmu/counting.js";
import {
  CYCLE_COUNTER,
  counterSlot,
  firstRange,
  MDCR_EL2_LO,
  MDCR_EL3_LO,
  MDCR2,
  MDCR3,
  PMCCFILTR_MASK,
  PMCEID,
  PMCR,
  PMCR_LO,
  PMCR_STORED,
  PMEVTYPER_MASK,
  PMSELR_LO,
  PMU_COUNTERS,
  PMUSERENR,
  PMUSERENR_LO,
  PmuEvent,
  typeSlot,
} from "../pmu/registers.js";
import type { Processor } from "../processor.js";
import { Effect, OK, type Row, type Rule, UNDEFINED } from "./row.js";
import { el0Target } from "./rules.js";

/** EL0 may do this with any of these bits of PMUSERENR_EL0, or with EN. */
const user =
  (read: number, write = read): Rule =>
  (pe, el, isWrite) =>
    el === 0 && (pe.w[PMUSERENR_LO]! & (PMUSERENR.EN | (isWrite ? write : read))) === 0 ? el0Target(pe) : OK;

/** MDCR_EL2.TPM (and TPMCR, for PMCR_EL0), then MDCR_EL3.TPM. */
const trapped =
  (bits: number): Rule =>
  ({ w }, el) => {
    if (el < 2 && el2Enabled(w) && (w[MDCR_EL2_LO]! & bits) !== 0) return 2;
    return el < 3 && (w[MDCR_EL3_LO]! & MDCR3.TPM) !== 0 ? 3 : OK;
  };
const tpm = trapped(MDCR2.TPM);

const ONLY_EN = user(0);

/** Event counters that exist at an EL. */
const accessible = ({ w }: Processor, el: number): number => (el < 2 && el2Enabled(w) ? firstRange(w) : PMU_COUNTERS);

/** Bits of those counters and of the cycle counter, in the registers that have a bit for each. */
const accessibleBits = (pe: Processor, el: number): bigint =>
  (1n << BigInt(accessible(pe, el))) - 1n + (1n << BigInt(CYCLE_COUNTER));

type Access = { read: NonNullable<Row["read"]>; write: NonNullable<Row["write"]> };

/** An access to what counts: everything before it is counted before, the instruction itself after. */
const counting = ({ read, write }: Access): Access & Pick<Row, "effect"> => ({
  read(pe, el) {
    pe.account();
    return read(pe, el);
  },
  write(pe, value, el) {
    pe.account();
    write(pe, value, el);
    pe.account();
  },
  effect: Effect.PMU,
});

/** A register of a bit for each counter, written by SET and CLR registers. */
const bitRegister = (slot: RegName, isSet: boolean) =>
  counting({
    read: (pe, el) => pe.r[R[slot]]! & accessibleBits(pe, el),
    write: (pe, value, el) => {
      const bits = value & accessibleBits(pe, el);
      pe.r[R[slot]] = isSet ? pe.r[R[slot]]! | bits : pe.r[R[slot]]! & ~bits;
    },
  });

/** A counter's value or type; `which` says -1 where there is none. */
const counterRegister = (which: (pe: Processor, el: number) => number, kind: "value" | "type") => {
  const slotOf = kind === "value" ? counterSlot : typeSlot;
  return counting({
    read(pe, el) {
      const n = which(pe, el);
      return n < 0 ? 0n : pe.r[slotOf(n)]!;
    },
    write(pe, value, el) {
      const n = which(pe, el);
      if (n < 0) return;
      const mask = kind === "value" ? ~0n : n === CYCLE_COUNTER ? PMCCFILTR_MASK : PMEVTYPER_MASK;
      pe.r[slotOf(n)] = BigInt.asUintN(64, value & mask);
    },
  });
};

const ifAccessible = (n: number) => (pe: Processor, el: number) => (n < accessible(pe, el) ? n : -1);

/** The counter that PMSELR_EL0 selects; 31 is the cycle counter, which has a type there and no value. */
const selected =
  (kind: "value" | "type") =>
  (pe: Processor, el: number): number => {
    const n = pe.w[PMSELR_LO]! & 0x1f;
    if (n === CYCLE_COUNTER) return kind === "type" ? n : -1;
    return n < accessible(pe, el) ? n : -1;
  };

const constant = (value: bigint) => ({ read: () => value, readOnly: true }) as const;

const controlRows: readonly Row[] = [
  {
    name: "PMCR_EL0",
    encoding: [3, 3, 9, 12, 0],
    el: 0,
    rules: [ONLY_EN, trapped(MDCR2.TPM | MDCR2.TPMCR)],
    ...counting({
      // IMP is 0: the implementation is MIDR_EL1's to tell.
      read: (pe, el) => BigInt(pe.w[PMCR_LO]! | PMCR.LC | (accessible(pe, el) << PMCR.N_SHIFT)),
      write: (pe, value, el) => {
        const word = Number(value & 0xffff_ffffn);
        const events = (word & PMCR.P) !== 0 ? accessible(pe, el) : 0;
        resetCounters(pe, { events, cycles: (word & PMCR.C) !== 0 });
        pe.r[R.PMCR_EL0] = BigInt(word & PMCR_STORED);
      },
    }),
  },
  {
    name: "PMSWINC_EL0",
    encoding: [3, 3, 9, 12, 4],
    el: 0,
    rules: [user(PMUSERENR.SW), tpm],
    writeOnly: true,
    write: (pe, value, el) => {
      pe.account();
      countPmuEvent(pe, PmuEvent.SW_INCR, Number(value & accessibleBits(pe, el) & 0x7fff_ffffn));
    },
    effect: Effect.PMU,
  },
  { name: "PMSELR_EL0", encoding: [3, 3, 9, 12, 5], el: 0, rules: [user(PMUSERENR.ER), tpm], mask: 0x1fn },
  { name: "PMCEID0_EL0", encoding: [3, 3, 9, 12, 6], el: 0, rules: [ONLY_EN, tpm], ...constant(PMCEID[0]) },
  { name: "PMCEID1_EL0", encoding: [3, 3, 9, 12, 7], el: 0, rules: [ONLY_EN, tpm], ...constant(PMCEID[1]) },
  {
    name: "PMUSERENR_EL0",
    encoding: [3, 3, 9, 14, 0],
    el: 0,
    rules: [(_, el, write) => (el === 0 && write ? UNDEFINED : OK), tpm],
    mask: 0xfn,
  },
  // No STALL_SLOT event: no slots.
  { name: "PMMIR_EL1", encoding: [3, 0, 9, 14, 6], el: 1, rules: [tpm], ...constant(0n) },
];

const bitRows: readonly Row[] = (
  [
    ["PMCNTENSET_EL0", [3, 3, 9, 12, 1], "PMCNTENSET_EL0", true],
    ["PMCNTENCLR_EL0", [3, 3, 9, 12, 2], "PMCNTENSET_EL0", false],
    ["PMOVSCLR_EL0", [3, 3, 9, 12, 3], "PMOVSSET_EL0", false],
    ["PMOVSSET_EL0", [3, 3, 9, 14, 3], "PMOVSSET_EL0", true],
    ["PMINTENSET_EL1", [3, 0, 9, 14, 1], "PMINTENSET_EL1", true],
    ["PMINTENCLR_EL1", [3, 0, 9, 14, 2], "PMINTENSET_EL1", false],
  ] as const
).map(
  ([name, encoding, slot, isSet]): Row => ({
    name,
    encoding,
    el: encoding[1] === 0 ? 1 : 0,
    rules: [ONLY_EN, tpm],
    ...bitRegister(slot, isSet),
  }),
);

const READ_BY_ER = user(PMUSERENR.ER, 0);

const counterRows: readonly Row[] = [
  {
    name: "PMCCNTR_EL0",
    encoding: [3, 3, 9, 13, 0],
    el: 0,
    rules: [user(PMUSERENR.CR, 0), tpm],
    ...counterRegister(() => CYCLE_COUNTER, "value"),
  },
  {
    name: "PMCCFILTR_EL0",
    encoding: [3, 3, 14, 15, 7],
    el: 0,
    rules: [ONLY_EN, tpm],
    ...counterRegister(() => CYCLE_COUNTER, "type"),
  },
  {
    name: "PMXEVTYPER_EL0",
    encoding: [3, 3, 9, 13, 1],
    el: 0,
    rules: [ONLY_EN, tpm],
    ...counterRegister(selected("type"), "type"),
  },
  {
    name: "PMXEVCNTR_EL0",
    encoding: [3, 3, 9, 13, 2],
    el: 0,
    rules: [READ_BY_ER, tpm],
    ...counterRegister(selected("value"), "value"),
  },
  ...Array.from({ length: PMU_COUNTERS }, (_, n): readonly Row[] => [
    {
      name: `PMEVCNTR${n}_EL0`,
      encoding: [3, 3, 14, 8 + (n >> 3), n & 7],
      el: 0,
      rules: [READ_BY_ER, tpm],
      ...counterRegister(ifAccessible(n), "value"),
    },
    {
      name: `PMEVTYPER${n}_EL0`,
      encoding: [3, 3, 14, 12 + (n >> 3), n & 7],
      el: 0,
      rules: [ONLY_EN, tpm],
      ...counterRegister(ifAccessible(n), "type"),
    },
  ]).flat(),
];

export const PMU_ROWS: readonly Row[] = [...controlRows, ...bitRows, ...counterRows];
