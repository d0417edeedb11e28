/**
 * Instruction words for code at R-EL1, made from the machine's own rows, whose encodings other people's decoders have
 * confirmed (conformance/oracle). `t`, `n`, `d` are register numbers; 31 is XZR or SP as the instruction has it.
 */
import { encode, rowNamed } from "@realmbox/machine";

/** An instruction of the rows by its name there. */
export const op = (name: string, fields: Readonly<Record<string, number>> = {}): number =>
  encode(rowNamed(name), fields);

/** op0, op1, CRn, CRm, op2 of a system register. DDI 0487, "System instruction class encoding space". */
export type SystemRegister = readonly [op0: number, op1: number, crn: number, crm: number, op2: number];

/** The system registers that cases name. DDI 0487, "AArch64 System register encoding". */
export const SYS = {
  MDSCR_EL1: [2, 0, 0, 2, 2],
  OSLSR_EL1: [2, 0, 1, 1, 4],
  DBGBVR0_EL1: [2, 0, 0, 0, 4],
  DBGBCR0_EL1: [2, 0, 0, 0, 5],
  MIDR_EL1: [3, 0, 0, 0, 0],
  MPIDR_EL1: [3, 0, 0, 0, 5],
  ID_AA64PFR0_EL1: [3, 0, 0, 4, 0],
  ID_AA64PFR1_EL1: [3, 0, 0, 4, 1],
  ID_AA64DFR0_EL1: [3, 0, 0, 5, 0],
  ID_AA64ISAR0_EL1: [3, 0, 0, 6, 0],
  ID_AA64MMFR0_EL1: [3, 0, 0, 7, 0],
  SCTLR_EL1: [3, 0, 1, 0, 0],
  CPACR_EL1: [3, 0, 1, 0, 2],
  TTBR0_EL1: [3, 0, 2, 0, 0],
  TTBR1_EL1: [3, 0, 2, 0, 1],
  TCR_EL1: [3, 0, 2, 0, 2],
  SPSR_EL1: [3, 0, 4, 0, 0],
  ELR_EL1: [3, 0, 4, 0, 1],
  SP_EL0: [3, 0, 4, 1, 0],
  CURRENT_EL: [3, 0, 4, 2, 2],
  ICC_PMR_EL1: [3, 0, 4, 6, 0],
  ESR_EL1: [3, 0, 5, 2, 0],
  FAR_EL1: [3, 0, 6, 0, 0],
  PAR_EL1: [3, 0, 7, 4, 0],
  MAIR_EL1: [3, 0, 10, 2, 0],
  VBAR_EL1: [3, 0, 12, 0, 0],
  ISR_EL1: [3, 0, 12, 1, 0],
  ICC_DIR_EL1: [3, 0, 12, 11, 1],
  ICC_SGI1R_EL1: [3, 0, 12, 11, 5],
  ICC_ASGI1R_EL1: [3, 0, 12, 11, 6],
  ICC_SGI0R_EL1: [3, 0, 12, 11, 7],
  ICC_IAR1_EL1: [3, 0, 12, 12, 0],
  ICC_EOIR1_EL1: [3, 0, 12, 12, 1],
  ICC_HPPIR1_EL1: [3, 0, 12, 12, 2],
  ICC_CTLR_EL1: [3, 0, 12, 12, 4],
  ICC_IGRPEN1_EL1: [3, 0, 12, 12, 7],
  CONTEXTIDR_EL1: [3, 0, 13, 0, 1],
  TPIDR_EL1: [3, 0, 13, 0, 4],
  CNTKCTL_EL1: [3, 0, 14, 1, 0],
  PMCR_EL0: [3, 3, 9, 12, 0],
  DAIF: [3, 3, 4, 2, 1],
  NZCV: [3, 3, 4, 2, 0],
  FPCR: [3, 3, 4, 4, 0],
  TPIDR_EL0: [3, 3, 13, 0, 2],
  TPIDRRO_EL0: [3, 3, 13, 0, 3],
  CNTPCT_EL0: [3, 3, 14, 0, 1],
  CNTVCT_EL0: [3, 3, 14, 0, 2],
  CNTP_CTL_EL0: [3, 3, 14, 2, 1],
  CNTP_CVAL_EL0: [3, 3, 14, 2, 2],
  CNTV_CTL_EL0: [3, 3, 14, 3, 1],
  CNTV_CVAL_EL0: [3, 3, 14, 3, 2],
} as const satisfies Readonly<Record<string, SystemRegister>>;
export type SystemRegisterName = keyof typeof SYS;

function systemFields(register: SystemRegisterName | SystemRegister, t: number): Record<string, number> {
  const [op0, k, n, m, p] = typeof register === "string" ? SYS[register] : register;
  return { o: op0 - 2, k, n, m, p, t };
}

/** MRS X`t`, register. */
export const mrs = (t: number, register: SystemRegisterName | SystemRegister): number =>
  op("MRS", systemFields(register, t));
/** MSR register, X`t`. */
export const msr = (register: SystemRegisterName | SystemRegister, t: number): number =>
  op("MSR (register)", systemFields(register, t));
/** MSR DAIFClr, #`mask`: D 8, A 4, I 2, F 1. */
export const daifClr = (mask: number): number => op("MSR (immediate)", { k: 3, m: mask, p: 7 });
export const daifSet = (mask: number): number => op("MSR (immediate)", { k: 3, m: mask, p: 6 });

export const SMC = op("SMC");
export const HVC = op("HVC");
export const SVC = op("SVC");
export const NOP = op("HINT");
export const WFI = op("WFI");
export const WFE = op("WFE");
export const ERET = op("ERET");
export const ISB = op("ISB", { m: 15 });
/** DSB ISH. */
export const DSB = op("DSB", { m: 11 });
/** UDF #0. */
export const UDF = 0;
/** B to itself: runs until an interrupt. */
export const SPIN = op("B", { i: 0 });
/** BR X`n`. */
export const br = (n: number): number => op("BR", { n });
/** TLBI VMALLE1. */
export const TLBI_VMALLE1 = op("SYS", { k: 0, n: 8, m: 7, p: 0, t: 31 });

/** LDR X`t`, [X`n`] and its relatives: accesses with a syndrome. `size` in bytes; W registers below 8. */
export const load = (t: number, n: number, size: 1 | 2 | 4 | 8 = 8): number =>
  op(
    {
      1: "LDRB (unsigned offset)",
      2: "LDRH (unsigned offset)",
      4: "LDR, W (unsigned offset)",
      8: "LDR, X (unsigned offset)",
    }[size],
    { t, n },
  );
/** LDRSB, LDRSH, LDRSW X`t`, [X`n`]; `w`: LDRSB, LDRSH W`t`, [X`n`]. */
export const loadSigned = (t: number, n: number, size: 1 | 2 | 4, w = false): number =>
  op(`${{ 1: "LDRSB", 2: "LDRSH", 4: "LDRSW" }[size]}, ${w ? "W" : "X"} (unsigned offset)`, { t, n });
export const store = (t: number, n: number, size: 1 | 2 | 4 | 8 = 8): number =>
  op(
    {
      1: "STRB (unsigned offset)",
      2: "STRH (unsigned offset)",
      4: "STR, W (unsigned offset)",
      8: "STR, X (unsigned offset)",
    }[size],
    { t, n },
  );
/** LDXR X`t`, [X`n`]: a load without a syndrome. */
export const loadExclusive = (t: number, n: number): number => op("LDXR, LDAXR, X", { t, n });
/** LDP and STP X`t`, X`u`, [X`n`, #8 × `i`]: without a syndrome. */
export const loadPair = (t: number, u: number, n: number, i = 0): number =>
  op("LDP, X (signed offset)", { t, u, n, i });
export const storePair = (t: number, u: number, n: number, i = 0): number =>
  op("STP, X (signed offset)", { t, u, n, i });
