/**
 * A few A64 instructions for the tests' guest programs: each function gives a word of code. DDI 0487, "A64 Base
 * Instruction Descriptions". Labels are resolved by `program`.
 */

type Item = number | { readonly label: string } | { readonly to: string; readonly encode: (words: number) => number };

const u32 = (value: number): number => value >>> 0;

/** mov Xd, #value: MOVZ and as many MOVK as it takes. */
export function mov(d: number, value: bigint | number): number[] {
  const wide = BigInt.asUintN(64, BigInt(value));
  const words: number[] = [];
  for (let hw = 0; hw < 4; hw++) {
    const part = Number((wide >> BigInt(16 * hw)) & 0xffffn);
    if (part === 0 && !(hw === 0 && wide === 0n)) continue;
    words.push(u32((words.length === 0 ? 0xd2800000 : 0xf2800000) | (hw << 21) | (part << 5) | d));
  }
  return words;
}
/** ORR Xd, XZR, Xm. */
export const movReg = (d: number, m: number): number => u32(0xaa0003e0 | (m << 16) | d);
/** Loads and stores of `size` bytes at [Xn, #offset]; offset is a multiple of size. */
export const ldr = (t: number, n: number, size = 8, offset = 0): number =>
  u32((Math.log2(size) << 30) | 0x39400000 | ((offset / size) << 10) | (n << 5) | t);
export const str = (t: number, n: number, size = 8, offset = 0): number =>
  u32((Math.log2(size) << 30) | 0x39000000 | ((offset / size) << 10) | (n << 5) | t);
/** LDRSB Xt, [Xn]. */
export const ldrsb = (t: number, n: number): number => u32(0x39800000 | (n << 5) | t);
/** LDP Xt, Xt2, [Xn]: an access without syndrome. */
export const ldp = (t: number, t2: number, n: number): number => u32(0xa9400000 | (t2 << 10) | (n << 5) | t);
export const addImm = (d: number, n: number, imm: number): number => u32(0x91000000 | (imm << 10) | (n << 5) | d);
export const subsImm = (d: number, n: number, imm: number): number => u32(0xf1000000 | (imm << 10) | (n << 5) | d);
export const add = (d: number, n: number, m: number): number => u32(0x8b000000 | (m << 16) | (n << 5) | d);
export const hvc = (imm = 0): number => u32(0xd4000002 | (imm << 5));
export const smc = (imm = 0): number => u32(0xd4000003 | (imm << 5));
export const WFI = 0xd503207f;
export const WFE = 0xd503205f;
export const ISB = 0xd5033fdf;
export const ERET = 0xd69f03e0;
export const UDF = 0x00000000;
/** Unmasks IRQs: MSR DAIFClr, #2. */
export const ENABLE_IRQ = 0xd50342ff;
/** msr daifclr, #8 and msr daifset, #8: PSTATE.D. */
export const ENABLE_DEBUG = 0xd50348ff;
export const DISABLE_DEBUG = 0xd50348df;

/** A system register by op0, op1, CRn, CRm, op2. */
export type SysReg = readonly [number, number, number, number, number];
const sys = ([op0, op1, crn, crm, op2]: SysReg): number =>
  ((op0 & 3) << 19) | (op1 << 16) | (crn << 12) | (crm << 8) | (op2 << 5);
export const mrs = (t: number, register: SysReg): number => u32(0xd5200000 | sys(register) | t);
export const msr = (register: SysReg, t: number): number => u32(0xd5000000 | sys(register) | t);

export const SYS = {
  MPIDR_EL1: [3, 0, 0, 0, 5],
  ID_AA64PFR0_EL1: [3, 0, 0, 4, 0],
  MDSCR_EL1: [2, 0, 0, 2, 2],
  DBGWVR0_EL1: [2, 0, 0, 0, 6],
  DBGWCR0_EL1: [2, 0, 0, 0, 7],
  SPSR_EL1: [3, 0, 4, 0, 0],
  VBAR_EL1: [3, 0, 12, 0, 0],
  ESR_EL1: [3, 0, 5, 2, 0],
  ELR_EL1: [3, 0, 4, 0, 1],
  FAR_EL1: [3, 0, 6, 0, 0],
  ICC_PMR_EL1: [3, 0, 4, 6, 0],
  ICC_IAR1_EL1: [3, 0, 12, 12, 0],
  ICC_EOIR1_EL1: [3, 0, 12, 12, 1],
  ICC_CTLR_EL1: [3, 0, 12, 12, 4],
  ICC_DIR_EL1: [3, 0, 12, 11, 1],
  ICC_SGI1R_EL1: [3, 0, 12, 11, 5],
  ICC_IGRPEN1_EL1: [3, 0, 12, 12, 7],
  CNTV_CTL_EL0: [3, 3, 14, 3, 1],
  CNTV_CVAL_EL0: [3, 3, 14, 3, 2],
  CNTV_TVAL_EL0: [3, 3, 14, 3, 0],
  CNTP_CTL_EL0: [3, 3, 14, 2, 1],
  CNTP_TVAL_EL0: [3, 3, 14, 2, 0],
  CNTVCT_EL0: [3, 3, 14, 0, 2],
  PMCR_EL0: [3, 3, 9, 12, 0],
} as const satisfies Record<string, SysReg>;

export const label = (name: string): Item => ({ label: name });
export const b = (to: string): Item => ({ to, encode: (words) => u32(0x14000000 | (words & 0x3ffffff)) });
export const cbz = (t: number, to: string): Item => ({
  to,
  encode: (words) => u32(0xb4000000 | ((words & 0x7ffff) << 5) | t),
});
export const cbnz = (t: number, to: string): Item => ({
  to,
  encode: (words) => u32(0xb5000000 | ((words & 0x7ffff) << 5) | t),
});
/** ADR Xd, label. */
export const adr = (d: number, to: string): Item => ({
  to,
  encode: (words) => u32(0x10000000 | (((words * 4) & 3) << 29) | ((((words * 4) >> 2) & 0x7ffff) << 5) | d),
});
/** Pads with zero words up to a byte offset. */
export const org = (offset: number) => ({ org: offset }) as const;

/** Assembles items into bytes; code is position independent. */
export function program(...items: (Item | readonly Item[] | { readonly org: number })[]): Uint8Array {
  const flat = items.flat() as (Item | { readonly org: number })[];
  const labels = new Map<string, number>();
  let at = 0;
  for (const item of flat) {
    if (typeof item === "number") at++;
    else if ("label" in item) labels.set(item.label, at);
    else if ("org" in item) {
      if (item.org / 4 < at) throw new Error(`code reaches beyond offset ${item.org}`);
      at = item.org / 4;
    } else at++;
  }
  const words: number[] = [];
  for (const item of flat) {
    if (typeof item === "number") words.push(item);
    else if ("org" in item) while (words.length < item.org / 4) words.push(0);
    else if ("to" in item) {
      const target = labels.get(item.to);
      if (target === undefined) throw new Error(`no label ${item.to}`);
      words.push(item.encode(target - words.length));
    }
  }
  return new Uint8Array(Uint32Array.from(words).buffer);
}
