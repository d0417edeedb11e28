/** System registers of EL0 and EL1, and the debug registers. DDI 0487, "AArch64 System Register Descriptions". */

import { FPCR, FPSR } from "../cpu/fp/environment.js";
import { CTR, DCZID } from "../cpu/inline.js";
import { R } from "../cpu/state.js";
import { debugValue } from "../debug/registers.js";
import { el2Enabled, hcrLo, virtualLines } from "../exceptions.js";
import { Line } from "../irq.js";
import type { Processor } from "../processor.js";
import { isCurrentBank, packFlags, setFlags, setPstate } from "../pstate.js";
import { HCR, PSTATE, PSTATE_LO, SCR, SCR_LO } from "../words.js";
import { ID_REGISTERS, MIDR } from "./id.js";
import { Effect, type Encoding, OK, type Row, type Rule, UNDEFINED } from "./row.js";
import {
  apk,
  el0Needs,
  fpAccess,
  isZvaProhibited,
  readableCtr,
  SCTLR_EL0,
  scxtnum,
  tacr,
  tcpac,
  tda,
  tdcc,
  tdosa,
  tdra,
  terr,
  tid1,
  tid2,
  tid3,
  tid4,
  virtualMemory,
} from "./rules.js";

const constant = (value: bigint) => ({ read: () => value, readOnly: true }) as const;

/** SP_EL0 while SPSel = 0 is SP itself: its access by name is UNDEFINED. */
const notSelected: Rule = ({ w }) => (isCurrentBank(w, R.SP_EL0) ? UNDEFINED : OK);

const idRows: readonly Row[] = Array.from({ length: 7 * 8 }, (_, i): Row => {
  const crm = 1 + (i >> 3);
  const op2 = i & 7;
  const known = Object.entries(ID_REGISTERS).find(([, id]) => id.crm === crm && id.op2 === op2);
  return {
    name: known?.[0] ?? `S3_0_C0_C${crm}_${op2}`,
    encoding: [3, 0, 0, crm, op2],
    el: 1,
    rules: [tid3],
    ...constant(known?.[1].value ?? 0n),
  };
});

/** What EL1 reads where EL2 is enabled is EL2's choice. */
const identity = (own: (pe: Processor) => bigint, slot: "VPIDR_EL2" | "VMPIDR_EL2") => ({
  read: (pe: Processor, el: number) => (el === 1 && el2Enabled(pe.w) ? pe.r[R[slot]]! : own(pe)),
  readOnly: true,
});

/** ISR_EL1: pending interrupts as EL1 sees them: virtual ones where physical ones go to EL2. */
function pendingInterrupts(pe: Processor, el: number): bigint {
  if (pe.firmware) pe.machine.refreshSignals(pe);
  const lines = pe.machine.gic.lines(pe);
  const hcr = el === 1 ? hcrLo(pe.w) : 0;
  const virtual = virtualLines(hcr, lines);
  const irq = (hcr & HCR.IMO) !== 0 ? virtual & Line.VIRQ : lines & Line.IRQ;
  const fiq = (hcr & HCR.FMO) !== 0 ? virtual & Line.VFIQ : lines & Line.FIQ;
  const serror = (hcr & HCR.AMO) !== 0 && (hcr & HCR.VSE) !== 0;
  return (irq ? 1n << 7n : 0n) | (fiq ? 1n << 6n : 0n) | (serror ? 1n << 8n : 0n);
}

/** A field of PSTATE as a register of its own. */
const pstateField = (mask: number): Pick<Row, "read" | "write" | "effect"> => ({
  read: ({ w }) => BigInt(w[PSTATE_LO]! & mask),
  write: ({ w }, value) => {
    w[PSTATE_LO] = (w[PSTATE_LO]! & ~mask) | (Number(value & 0xffff_ffffn) & mask);
  },
});

const PSTATE_DIT = 1 << 24;

/** AHP, DN, FZ, RMode: no trapped exceptions, no half precision, no AArch32 vectors. DDI 0487, "FPCR". */
const FPCR_WRITABLE = BigInt(FPCR.WRITABLE);
/** QC, IDC, IXC, UFC, OFC, DZC, IOC. DDI 0487, "FPSR". */
const FPSR_WRITABLE = BigInt(FPSR.WRITABLE);

const specialRows: readonly Row[] = [
  {
    name: "CurrentEL",
    encoding: [3, 0, 4, 2, 2],
    el: 1,
    read: (_, el) => BigInt(el << 2),
    readOnly: true,
  },
  {
    name: "SPSel",
    encoding: [3, 0, 4, 2, 0],
    el: 1,
    read: ({ w }) => BigInt(w[PSTATE_LO]! & PSTATE.SP),
    write: ({ w }, value) => setPstate(w, (w[PSTATE_LO]! & ~PSTATE.SP) | Number(value & 1n)),
  },
  {
    name: "DAIF",
    encoding: [3, 3, 4, 2, 1],
    el: 0,
    rules: [el0Needs(SCTLR_EL0.UMA)],
    ...pstateField(PSTATE.DAIF),
    effect: Effect.SIGNALS,
  },
  {
    name: "NZCV",
    encoding: [3, 3, 4, 2, 0],
    el: 0,
    read: ({ w }) => BigInt(packFlags(w) >>> 0),
    write: ({ w }, value) => setFlags(w, Number(value & 0xf000_0000n) | 0),
  },
  { name: "PAN", encoding: [3, 0, 4, 2, 3], el: 1, ...pstateField(PSTATE.PAN), effect: Effect.CONTEXT },
  { name: "DIT", encoding: [3, 3, 4, 2, 5], el: 0, ...pstateField(PSTATE_DIT) },
  { name: "FPCR", encoding: [3, 3, 4, 4, 0], el: 0, rules: [fpAccess], mask: FPCR_WRITABLE },
  { name: "FPSR", encoding: [3, 3, 4, 4, 1], el: 0, rules: [fpAccess], mask: FPSR_WRITABLE },
  { name: "SP_EL0", encoding: [3, 0, 4, 1, 0], el: 1, rules: [notSelected] },
  { name: "ELR_EL1", encoding: [3, 0, 4, 0, 1], el: 1, e2h: "ELR_EL2" },
  { name: "SPSR_EL1", encoding: [3, 0, 4, 0, 0], el: 1, e2h: "SPSR_EL2", mask: 0xffff_ffffn },
];

const identificationRows: readonly Row[] = [
  { name: "MIDR_EL1", encoding: [3, 0, 0, 0, 0], el: 1, ...identity(() => MIDR, "VPIDR_EL2") },
  { name: "MPIDR_EL1", encoding: [3, 0, 0, 0, 5], el: 1, ...identity((pe) => pe.mpidr, "VMPIDR_EL2") },
  { name: "REVIDR_EL1", encoding: [3, 0, 0, 0, 6], el: 1, rules: [tid1], ...constant(0n) },
  { name: "AIDR_EL1", encoding: [3, 1, 0, 0, 7], el: 1, rules: [tid1], ...constant(0n) },
  { name: "CTR_EL0", encoding: [3, 3, 0, 0, 1], el: 0, rules: readableCtr, ...constant(BigInt(CTR)) },
  {
    name: "DCZID_EL0",
    encoding: [3, 3, 0, 0, 7],
    el: 0,
    read: (pe, el) => BigInt(DCZID | (isZvaProhibited(pe, el) ? 0x10 : 0)),
    readOnly: true,
  },
  { name: "CLIDR_EL1", encoding: [3, 1, 0, 0, 1], el: 1, rules: [tid2, tid4], ...constant(0n) },
  { name: "CCSIDR_EL1", encoding: [3, 1, 0, 0, 0], el: 1, rules: [tid2, tid4], ...constant(0n) },
  { name: "CSSELR_EL1", encoding: [3, 2, 0, 0, 0], el: 1, rules: [tid2, tid4], mask: 0xfn },
  ...idRows,
];

const vm = virtualMemory;

const controlRows: readonly Row[] = [
  { name: "SCTLR_EL1", encoding: [3, 0, 1, 0, 0], el: 1, rules: vm, e2h: "SCTLR_EL2", effect: Effect.CONTEXT },
  { name: "ACTLR_EL1", encoding: [3, 0, 1, 0, 1], el: 1, rules: [tacr] },
  { name: "CPACR_EL1", encoding: [3, 0, 1, 0, 2], el: 1, rules: [tcpac], e2h: "CPTR_EL2", effect: Effect.CHECKS },
  { name: "TTBR0_EL1", encoding: [3, 0, 2, 0, 0], el: 1, rules: vm, e2h: "TTBR0_EL2", effect: Effect.CONTEXT },
  { name: "TTBR1_EL1", encoding: [3, 0, 2, 0, 1], el: 1, rules: vm, e2h: "TTBR1_EL2", effect: Effect.CONTEXT },
  { name: "TCR_EL1", encoding: [3, 0, 2, 0, 2], el: 1, rules: vm, e2h: "TCR_EL2", effect: Effect.CONTEXT },
  { name: "ESR_EL1", encoding: [3, 0, 5, 2, 0], el: 1, rules: vm, e2h: "ESR_EL2" },
  { name: "AFSR0_EL1", encoding: [3, 0, 5, 1, 0], el: 1, rules: vm, e2h: "AFSR0_EL2" },
  { name: "AFSR1_EL1", encoding: [3, 0, 5, 1, 1], el: 1, rules: vm, e2h: "AFSR1_EL2" },
  { name: "FAR_EL1", encoding: [3, 0, 6, 0, 0], el: 1, rules: vm, e2h: "FAR_EL2" },
  { name: "MAIR_EL1", encoding: [3, 0, 10, 2, 0], el: 1, rules: vm, e2h: "MAIR_EL2", effect: Effect.CONTEXT },
  { name: "AMAIR_EL1", encoding: [3, 0, 10, 3, 0], el: 1, rules: vm, e2h: "AMAIR_EL2" },
  { name: "VBAR_EL1", encoding: [3, 0, 12, 0, 0], el: 1, e2h: "VBAR_EL2", mask: ~0x7ffn },
  {
    name: "CONTEXTIDR_EL1",
    encoding: [3, 0, 13, 0, 1],
    el: 1,
    rules: vm,
    e2h: "CONTEXTIDR_EL2",
    mask: 0xffff_ffffn,
  },
  { name: "PAR_EL1", encoding: [3, 0, 7, 4, 0], el: 1 },
  { name: "TPIDR_EL1", encoding: [3, 0, 13, 0, 4], el: 1 },
  { name: "TPIDR_EL0", encoding: [3, 3, 13, 0, 2], el: 0 },
  {
    name: "TPIDRRO_EL0",
    encoding: [3, 3, 13, 0, 3],
    el: 0,
    rules: [(_, el, write) => (el === 0 && write ? UNDEFINED : OK)],
  },
  { name: "SCXTNUM_EL0", encoding: [3, 3, 13, 0, 7], el: 0, rules: [scxtnum] },
  { name: "SCXTNUM_EL1", encoding: [3, 0, 13, 0, 7], el: 1, rules: [scxtnum], e2h: "SCXTNUM_EL2" },
  { name: "ISR_EL1", encoding: [3, 0, 12, 1, 0], el: 1, read: pendingInterrupts, readOnly: true },
  // RAS without error records. At EL1 DISR is the virtual one where SErrors go to EL2; where they go to EL3 it is RAZ/WI.
  {
    name: "DISR_EL1",
    encoding: [3, 0, 12, 1, 1],
    el: 1,
    read: (pe, el) => (isDisrHidden(pe, el) ? 0n : pe.r[disrSlot(pe, el)]!),
    write: (pe, value, el) => {
      if (!isDisrHidden(pe, el)) pe.r[disrSlot(pe, el)] = value;
    },
  },
  { name: "ERRIDR_EL1", encoding: [3, 0, 5, 3, 0], el: 1, rules: [terr], ...constant(0n) },
  { name: "ERRSELR_EL1", encoding: [3, 0, 5, 3, 1], el: 1, rules: [terr], read: () => 0n, write: () => {} },
];

const isVirtualDisr = (pe: Processor, el: number): boolean => el === 1 && (hcrLo(pe.w) & HCR.AMO) !== 0;
const isDisrHidden = (pe: Processor, el: number): boolean =>
  el < 3 && (pe.w[SCR_LO]! & SCR.EA) !== 0 && !isVirtualDisr(pe, el);

const disrSlot = (pe: Processor, el: number): number => (isVirtualDisr(pe, el) ? R.VDISR_EL2 : R.DISR_EL1);

const random: Row[] = (["RNDR", "RNDRRS"] as const).map((name, op2) => ({
  name,
  encoding: [3, 3, 2, 4, op2],
  el: 0,
  // NZCV = 0: a number was available.
  read: (pe) => {
    setFlags(pe.w, 0);
    return pe.machine.random.next();
  },
  readOnly: true,
}));

/** Keys of pointer authentication, two registers each. */
const keyRows: readonly Row[] = (
  [
    ["IA", 1, 0],
    ["IB", 1, 2],
    ["DA", 2, 0],
    ["DB", 2, 2],
    ["GA", 3, 0],
  ] as const
).flatMap(([key, crm, op2]) =>
  (["Lo", "Hi"] as const).map(
    (half, i): Row => ({ name: `AP${key}Key${half}_EL1`, encoding: [3, 0, 2, crm, op2 + i], el: 1, rules: [apk] }),
  ),
);

const OSLK = 0x2n;

const watchRow = (name: `DBG${"B" | "W"}${"V" | "C"}R${0 | 1}`, encoding: Encoding): Row => ({
  name: `${name}_EL1`,
  encoding,
  el: 1,
  rules: [tda],
  slot: name,
  write: ({ r }, value) => {
    r[R[name]] = debugValue(R[name], value);
  },
  effect: Effect.DEBUG,
});

const debugRows: readonly Row[] = [
  { name: "MDSCR_EL1", encoding: [2, 0, 0, 2, 2], el: 1, rules: [tda], mask: 0xffff_ffffn, effect: Effect.DEBUG },
  { name: "MDCCINT_EL1", encoding: [2, 0, 0, 2, 0], el: 1, rules: [tda], mask: 0x6000_0000n },
  {
    name: "OSLAR_EL1",
    encoding: [2, 0, 1, 0, 4],
    el: 1,
    rules: [tdosa],
    writeOnly: true,
    write: ({ r }, value) => {
      r[R.OSLSR_EL1] = (r[R.OSLSR_EL1]! & ~OSLK) | ((value & 1n) << 1n);
    },
    effect: Effect.DEBUG,
  },
  { name: "OSLSR_EL1", encoding: [2, 0, 1, 1, 4], el: 1, rules: [tdosa], readOnly: true },
  { name: "OSDLR_EL1", encoding: [2, 0, 1, 3, 4], el: 1, rules: [tdosa], mask: 1n },
  { name: "DBGPRCR_EL1", encoding: [2, 0, 1, 4, 4], el: 1, rules: [tdosa], read: () => 0n, write: () => {} },
  { name: "DBGCLAIMSET_EL1", encoding: [2, 0, 7, 8, 6], el: 1, rules: [tda], read: () => 0xffn, write: () => {} },
  { name: "DBGCLAIMCLR_EL1", encoding: [2, 0, 7, 9, 6], el: 1, rules: [tda], read: () => 0n, write: () => {} },
  { name: "DBGAUTHSTATUS_EL1", encoding: [2, 0, 7, 14, 6], el: 1, rules: [tda], ...constant(0n) },
  { name: "MDRAR_EL1", encoding: [2, 0, 1, 0, 0], el: 1, rules: [tdra], ...constant(0n) },
  // No external debugger is at the other end: nothing comes, and what is sent goes nowhere.
  { name: "MDCCSR_EL0", encoding: [2, 3, 0, 1, 0], el: 0, rules: [tdcc], ...constant(0n) },
  { name: "DBGDTR_EL0", encoding: [2, 3, 0, 4, 0], el: 0, rules: [tdcc], read: () => 0n, write: () => {} },
  { name: "DBGDTRRX_EL0", encoding: [2, 3, 0, 5, 0], el: 0, rules: [tdcc], read: () => 0n, write: () => {} },
  { name: "OSDTRRX_EL1", encoding: [2, 0, 0, 0, 2], el: 1, rules: [tda], read: () => 0n, write: () => {} },
  { name: "OSDTRTX_EL1", encoding: [2, 0, 0, 3, 2], el: 1, rules: [tda], read: () => 0n, write: () => {} },
  { name: "OSECCR_EL1", encoding: [2, 0, 0, 6, 2], el: 1, rules: [tda], read: () => 0n, write: () => {} },
  ...([0, 1] as const).flatMap((n) => [
    watchRow(`DBGBVR${n}`, [2, 0, 0, n, 4]),
    watchRow(`DBGBCR${n}`, [2, 0, 0, n, 5]),
    watchRow(`DBGWVR${n}`, [2, 0, 0, n, 6]),
    watchRow(`DBGWCR${n}`, [2, 0, 0, n, 7]),
  ]),
];

export const EL1_ROWS: readonly Row[] = [
  ...specialRows,
  ...identificationRows,
  ...controlRows,
  ...keyRows,
  ...random,
  ...debugRows,
];
