/** System registers of EL2 (and its aliases of EL1's) and EL3. DDI 0487, "AArch64 System Register Descriptions". */
import { R } from "../cpu/state.js";
import { GPCCR_WRITABLE, GPTBR } from "../gpt.js";
import type { Processor } from "../processor.js";
import { isCurrentBank } from "../pstate.js";
import { Effect, type Encoding, OK, type Row, type Rule, UNDEFINED } from "./row.js";
import { ecvEnabled, hxEnabled, scxtnum, secureEl2, tcpac, tda } from "./rules.js";

/** NV, NV1, NV2: nested virtualisation is not implemented. HCD is RES0 where EL3 exists. */
const HCR_RES0 = (1n << 42n) | (1n << 43n) | (1n << 45n) | (1n << 29n);
/** AArch64 only: RW reads as one. */
const HCR_RES1 = 1n << 31n;
const SCR_RES1 = (3n << 4n) | (1n << 10n);

/** Both say what counts: what the PE has retired until now counts by the old value. */
function writeMdcr(pe: Processor, slot: number, value: bigint): void {
  pe.account();
  pe.r[slot] = value;
}

const context = Effect.CONTEXT;

const el2Rows: readonly Row[] = [
  { name: "HCR_EL2", encoding: [3, 4, 1, 1, 0], el: 2, mask: ~HCR_RES0, res1: HCR_RES1, effect: Effect.WORLD },
  { name: "SCTLR_EL2", encoding: [3, 4, 1, 0, 0], el: 2, effect: context },
  { name: "VPIDR_EL2", encoding: [3, 4, 0, 0, 0], el: 2 },
  { name: "VMPIDR_EL2", encoding: [3, 4, 0, 0, 5], el: 2 },
  { name: "ACTLR_EL2", encoding: [3, 4, 1, 0, 1], el: 2 },
  { name: "HACR_EL2", encoding: [3, 4, 1, 1, 7], el: 2 },
  { name: "AFSR0_EL2", encoding: [3, 4, 5, 1, 0], el: 2 },
  { name: "AFSR1_EL2", encoding: [3, 4, 5, 1, 1], el: 2 },
  { name: "AMAIR_EL2", encoding: [3, 4, 10, 3, 0], el: 2 },
  {
    name: "MDCR_EL2",
    encoding: [3, 4, 1, 1, 1],
    el: 2,
    rules: [tda],
    write: (pe, value) => writeMdcr(pe, R.MDCR_EL2, value & 0xffff_ffffn),
    effect: Effect.DEBUG,
  },
  { name: "CPTR_EL2", encoding: [3, 4, 1, 1, 2], el: 2, rules: [tcpac], effect: Effect.CHECKS },
  { name: "HSTR_EL2", encoding: [3, 4, 1, 1, 3], el: 2 },
  { name: "TTBR0_EL2", encoding: [3, 4, 2, 0, 0], el: 2, effect: context },
  { name: "TTBR1_EL2", encoding: [3, 4, 2, 0, 1], el: 2, effect: context },
  { name: "TCR_EL2", encoding: [3, 4, 2, 0, 2], el: 2, effect: context },
  { name: "MAIR_EL2", encoding: [3, 4, 10, 2, 0], el: 2, effect: context },
  { name: "VBAR_EL2", encoding: [3, 4, 12, 0, 0], el: 2, mask: ~0x7ffn },
  { name: "TPIDR_EL2", encoding: [3, 4, 13, 0, 2], el: 2 },
  { name: "CONTEXTIDR_EL2", encoding: [3, 4, 13, 0, 1], el: 2, mask: 0xffff_ffffn },
  { name: "SCXTNUM_EL2", encoding: [3, 4, 13, 0, 7], el: 2, rules: [scxtnum] },
  { name: "VTTBR_EL2", encoding: [3, 4, 2, 1, 0], el: 2, effect: context },
  { name: "VTCR_EL2", encoding: [3, 4, 2, 1, 2], el: 2, res1: 1n << 31n, effect: context },
  { name: "VSTTBR_EL2", encoding: [3, 4, 2, 6, 0], el: 2, rules: [secureEl2], effect: context },
  { name: "VSTCR_EL2", encoding: [3, 4, 2, 6, 2], el: 2, rules: [secureEl2], res1: 1n << 31n, effect: context },
  { name: "ESR_EL2", encoding: [3, 4, 5, 2, 0], el: 2 },
  { name: "FAR_EL2", encoding: [3, 4, 6, 0, 0], el: 2 },
  { name: "HPFAR_EL2", encoding: [3, 4, 6, 0, 4], el: 2 },
  { name: "ELR_EL2", encoding: [3, 4, 4, 0, 1], el: 2 },
  { name: "SPSR_EL2", encoding: [3, 4, 4, 0, 0], el: 2, mask: 0xffff_ffffn },
  { name: "SP_EL1", encoding: [3, 4, 4, 1, 0], el: 2 },
  {
    name: "SP_EL2",
    encoding: [3, 6, 4, 1, 0],
    el: 3,
    rules: [({ w }) => (isCurrentBank(w, R.SP_EL2) ? UNDEFINED : OK)],
  },
  { name: "VSESR_EL2", encoding: [3, 4, 5, 2, 3], el: 2 },
  { name: "VDISR_EL2", encoding: [3, 4, 12, 1, 1], el: 2 },
  // What it controls are features that are not there.
  { name: "HCRX_EL2", encoding: [3, 4, 1, 2, 2], el: 2, rules: [hxEnabled] },
  { name: "CNTHCTL_EL2", encoding: [3, 4, 14, 1, 0], el: 2, mask: 0xf_ffffn, effect: Effect.TIMER },
  { name: "CNTVOFF_EL2", encoding: [3, 4, 14, 0, 3], el: 2, effect: Effect.TIMER },
  { name: "CNTPOFF_EL2", encoding: [3, 4, 14, 0, 6], el: 2, rules: [ecvEnabled], effect: Effect.TIMER },
];

/** The EL1 registers that EL2 reaches as `_EL12` while their own names are EL2's. */
const el12 = (
  name: string,
  [op0, , crn, crm, op2]: Encoding,
  effect: Effect = Effect.NONE,
  rules: readonly Rule[] = [],
): Row => ({
  name: `${name}_EL12`,
  encoding: [op0, 5, crn, crm, op2],
  el: 2,
  alias: true,
  slot: `${name}_EL1` as "SCTLR_EL1",
  effect,
  rules,
  ...(name === "VBAR" ? { mask: ~0x7ffn } : {}),
  ...(name === "SPSR" || name === "CONTEXTIDR" ? { mask: 0xffff_ffffn } : {}),
});

const el12Rows: readonly Row[] = [
  el12("SCTLR", [3, 0, 1, 0, 0], context),
  el12("CPACR", [3, 0, 1, 0, 2], Effect.CHECKS, [tcpac]),
  el12("TTBR0", [3, 0, 2, 0, 0], context),
  el12("TTBR1", [3, 0, 2, 0, 1], context),
  el12("TCR", [3, 0, 2, 0, 2], context),
  el12("MAIR", [3, 0, 10, 2, 0], context),
  el12("AMAIR", [3, 0, 10, 3, 0]),
  el12("AFSR0", [3, 0, 5, 1, 0]),
  el12("AFSR1", [3, 0, 5, 1, 1]),
  el12("ESR", [3, 0, 5, 2, 0]),
  el12("FAR", [3, 0, 6, 0, 0]),
  el12("VBAR", [3, 0, 12, 0, 0]),
  el12("CONTEXTIDR", [3, 0, 13, 0, 1]),
  el12("CNTKCTL", [3, 0, 14, 1, 0], Effect.CHECKS),
  el12("SPSR", [3, 0, 4, 0, 0]),
  el12("ELR", [3, 0, 4, 0, 1]),
  el12("SCXTNUM", [3, 0, 13, 0, 7], Effect.NONE, [scxtnum]),
];

const el3Rows: readonly Row[] = [
  // Reserved and unimplemented fields stay storage: firmware writes and reads them back.
  { name: "SCR_EL3", encoding: [3, 6, 1, 1, 0], el: 3, res1: SCR_RES1, effect: Effect.WORLD },
  { name: "SCTLR_EL3", encoding: [3, 6, 1, 0, 0], el: 3, effect: context },
  { name: "ACTLR_EL3", encoding: [3, 6, 1, 0, 1], el: 3 },
  { name: "AFSR0_EL3", encoding: [3, 6, 5, 1, 0], el: 3 },
  { name: "AFSR1_EL3", encoding: [3, 6, 5, 1, 1], el: 3 },
  { name: "AMAIR_EL3", encoding: [3, 6, 10, 3, 0], el: 3 },
  { name: "CPTR_EL3", encoding: [3, 6, 1, 1, 2], el: 3, effect: Effect.CHECKS },
  {
    name: "MDCR_EL3",
    encoding: [3, 6, 1, 3, 1],
    el: 3,
    write: (pe, value) => writeMdcr(pe, R.MDCR_EL3, value),
    effect: Effect.DEBUG,
  },
  { name: "TTBR0_EL3", encoding: [3, 6, 2, 0, 0], el: 3, effect: context },
  { name: "TCR_EL3", encoding: [3, 6, 2, 0, 2], el: 3, effect: context },
  { name: "MAIR_EL3", encoding: [3, 6, 10, 2, 0], el: 3, effect: context },
  { name: "VBAR_EL3", encoding: [3, 6, 12, 0, 0], el: 3, mask: ~0x7ffn },
  { name: "TPIDR_EL3", encoding: [3, 6, 13, 0, 2], el: 3 },
  { name: "SCXTNUM_EL3", encoding: [3, 6, 13, 0, 7], el: 3 },
  { name: "ESR_EL3", encoding: [3, 6, 5, 2, 0], el: 3 },
  { name: "FAR_EL3", encoding: [3, 6, 6, 0, 0], el: 3 },
  { name: "ELR_EL3", encoding: [3, 6, 4, 0, 1], el: 3 },
  { name: "SPSR_EL3", encoding: [3, 6, 4, 0, 0], el: 3, mask: 0xffff_ffffn },
  {
    name: "RVBAR_EL3",
    encoding: [3, 6, 12, 0, 1],
    el: 3,
    read: (pe) => pe.machine.board.root.base,
    readOnly: true,
  },
  { name: "GPCCR_EL3", encoding: [3, 6, 2, 1, 6], el: 3, mask: GPCCR_WRITABLE, effect: context },
  { name: "GPTBR_EL3", encoding: [3, 6, 2, 1, 4], el: 3, mask: GPTBR.BADDR.mask, effect: context },
  { name: "MFAR_EL3", encoding: [3, 6, 6, 0, 5], el: 3 },
];

export const EL2_EL3_ROWS: readonly Row[] = [...el2Rows, ...el12Rows, ...el3Rows];
