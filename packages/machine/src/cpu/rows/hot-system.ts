/**
 * System instructions that operating systems execute so often that leaving the engine for them costs: thread pointers, what
 * an exception handler reads, the interrupt mask, PAN, constants, DC ZVA. Where the access could be refused or is more than
 * that, it goes to the machine, as the rows that these refine always do.
 * DDI 0487, "MRS", "MSR (register)", "MSR (immediate)", "DC ZVA".
 */
import { CTR, DCZID, INLINE } from "../inline.js";
import type { RegName } from "../state.js";
import type { Context } from "./context.js";
import { and, type Expr, i32, i64, isZero, ne, not, or, shl, wrap, zext } from "./expr.js";
import { type Row, row } from "./row.js";
import { imm, reg } from "./text.js";

const PSTATE_SP = 1;
const PSTATE_EL = 0xc;
const EL1 = 0x4;
const PSTATE_DAIF = 0x3c0;

/** HCR_EL2.{VSE, VI, VF}. */
const VIRTUAL_SIGNALS = 0x1c0;
/** MDSCR_EL1.SS: software step may become active when PSTATE.D changes. */
const SOFTWARE_STEP = 1;

const NZCV = 0xf000_0000;
const LOW_WORD = 0xffff_ffffn;

const pstate = (c: Context): Expr => wrap(c.special("PSTATE"));
/** Leaves the instruction to the machine unless one of these bits of PSTATE is set. */
const unless = (c: Context, bits: number): void => c.when(isZero(and(pstate(c), bits)), () => c.system());
/** The same for bits of SYS_INLINE. */
const unlessInline = (c: Context, bits: number): void =>
  c.when(isZero(and(wrap(c.special("SYS_INLINE")), bits)), () => c.system());

interface HotRegister {
  readonly name: string;
  /** op1, CRn, CRm and op2 as the encoding has them; op0 is 3. */
  readonly bits: string;
  /** Its storage, when that has another name. */
  readonly slot?: RegName;
  /** Bits of PSTATE of which one must be set: SPSel for SP_EL0, any EL but EL0. */
  readonly needs?: number;
  /** Bits of SYS_INLINE that allow a read, and a write; without the latter writes are the machine's. */
  readonly read?: number;
  readonly write?: number;
  /** Bits that a write can change; default all. */
  readonly mask?: bigint;
  readonly readOnly?: boolean;
}

const VM = { read: INLINE.VM_READ, readOnly: true } as const;
const VM_WRITABLE = { read: INLINE.VM_READ, write: INLINE.VM_WRITE } as const;
const OF_EL1 = { read: INLINE.EL1, write: INLINE.EL1 } as const;

/** Those that are storage. Writes that change more than the register are not here. */
const HOT: readonly HotRegister[] = [
  { name: "SP_EL0", bits: "000 0100 0001 000", needs: PSTATE_SP },
  { name: "TPIDR_EL1", bits: "000 1101 0000 100", needs: PSTATE_EL },
  { name: "TPIDR_EL0", bits: "011 1101 0000 010" },
  { name: "TPIDRRO_EL0", bits: "011 1101 0000 011", readOnly: true },
  { name: "ELR_EL1", bits: "000 0100 0000 001", ...OF_EL1 },
  { name: "SPSR_EL1", bits: "000 0100 0000 000", ...OF_EL1, mask: LOW_WORD },
  { name: "VBAR_EL1", bits: "000 1100 0000 000", read: INLINE.EL1, readOnly: true },
  { name: "PAR_EL1", bits: "000 0111 0100 000", ...OF_EL1 },
  { name: "ESR_EL1", bits: "000 0101 0010 000", ...VM_WRITABLE },
  { name: "FAR_EL1", bits: "000 0110 0000 000", ...VM_WRITABLE },
  { name: "CONTEXTIDR_EL1", bits: "000 1101 0000 001", ...VM_WRITABLE, mask: LOW_WORD },
  { name: "SCTLR_EL1", bits: "000 0001 0000 000", ...VM },
  { name: "TTBR0_EL1", bits: "000 0010 0000 000", ...VM },
  { name: "TTBR1_EL1", bits: "000 0010 0000 001", ...VM },
  { name: "TCR_EL1", bits: "000 0010 0000 010", ...VM },
  { name: "MAIR_EL1", bits: "000 1010 0010 000", ...VM },
  { name: "MIDR_EL1", bits: "000 0000 0000 000", slot: "VPIDR_EL2", read: INLINE.IDENTITY, readOnly: true },
  { name: "MPIDR_EL1", bits: "000 0000 0000 101", slot: "VMPIDR_EL2", read: INLINE.IDENTITY, readOnly: true },
];

const readRow = (name: string, bits: string, value: (c: Context) => Expr): Row =>
  row(`1101010100111 ${bits} ttttt`, {
    name: `MRS ${name}`,
    group: "system",
    refines: "MRS",
    sem: (c, { t }) => c.set(1, t, value(c)),
    print: ({ t }) => `mrs ${reg(1, t)}, ${name.toLowerCase()}`,
  });

const writeRow = (name: string, bits: string, write: (c: Context, value: Expr) => void): Row =>
  row(`1101010100011 ${bits} ttttt`, {
    name: `MSR ${name}`,
    group: "system",
    refines: "MSR (register)",
    sem: (c, { t }) => write(c, c.get(1, t)),
    print: ({ t }) => `msr ${name.toLowerCase()}, ${reg(1, t)}`,
  });

const registerRows = HOT.flatMap((register): readonly Row[] => {
  const { name, bits, needs, slot = name as RegName, mask, readOnly = false } = register;
  const check = (c: Context, inline: number | undefined): void => {
    if (needs !== undefined) unless(c, needs);
    if (inline !== undefined) unlessInline(c, inline);
  };
  const read = readRow(name, bits, (c) => {
    check(c, register.read);
    return c.special(slot);
  });
  if (readOnly) return [read];
  const write = (c: Context, value: Expr): void => {
    check(c, register.write);
    c.setSpecial(slot, mask === undefined ? value : and(value, mask));
  };
  return [read, writeRow(name, bits, write)];
});

/** Those that are always the same. */
const constantRows = (
  [
    ["CurrentEL", "000 0100 0010 010", EL1, INLINE.EL1],
    ["CTR_EL0", "011 0000 0000 001", CTR, INLINE.CACHE_TYPE],
    ["DCZID_EL0", "011 0000 0000 111", DCZID, INLINE.ZVA],
  ] as const
).map(([name, bits, value, inline]) =>
  readRow(name, bits, (c) => {
    unlessInline(c, inline);
    return i64(value);
  }),
);

/** The virtual count, and the same in program order. */
const counterRows = (
  [
    ["CNTVCT_EL0", "010"],
    ["CNTVCTSS_EL0", "110"],
  ] as const
).map(([name, op2]) =>
  row(`1101010100111 011 1110 0000 ${op2} ttttt`, {
    name: `MRS ${name}`,
    group: "system",
    refines: "MRS",
    sem: (c, { t }) => c.transfer("readVirtualCount", t),
    print: ({ t }) => `mrs ${reg(1, t)}, ${name.toLowerCase()}`,
  }),
);

/** Where FP and SIMD instructions trap, so do these. Writes change how such instructions are done. */
const fpRows = (
  [
    ["FPCR", "000", "writeFpcr"],
    ["FPSR", "001", "writeFpsr"],
  ] as const
).flatMap(([name, op2, helper]) => [
  readRow(name, `011 0100 0100 ${op2}`, (c) => {
    c.when(wrap(c.special("FP_TRAP")), () => c.system());
    return c.special(name);
  }),
  row(`1101010100011 011 0100 0100 ${op2} ttttt`, {
    name: `MSR ${name}`,
    group: "system",
    refines: "MSR (register)",
    sem: (c, { t }) => c.transfer(helper, t),
    print: ({ t }) => `msr ${name.toLowerCase()}, ${reg(1, t)}`,
  }),
]);

/**
 * PSTATE.DAIF of EL1 becomes `mask`, bits 9:6. What is masked is not taken; an unmasking at which something may become due is
 * the machine's.
 */
function setMask(c: Context, mask: Expr): void {
  const now = c.tmp(pstate(c));
  c.when(ne(and(now, PSTATE_EL), EL1), () => c.system());
  const next = c.tmp(or(and(now, ~PSTATE_DAIF), and(mask, PSTATE_DAIF)));
  c.when(and(now, not(next)), () => {
    const signals = or(wrap(c.special("LINES")), and(wrap(c.special("HCR_EL2")), VIRTUAL_SIGNALS));
    c.when(or(signals, and(wrap(c.special("MDSCR_EL1")), SOFTWARE_STEP)), () => c.system());
  });
  c.setSpecial("PSTATE", zext(next));
}

const CONDITION = { EQ: 0, CS: 2, MI: 4, VS: 6 } as const;

const pstateRows = [
  readRow("DAIF", "011 0100 0010 001", (c) => {
    unless(c, PSTATE_EL);
    return zext(and(pstate(c), PSTATE_DAIF));
  }),
  writeRow("DAIF", "011 0100 0010 001", (c, value) => setMask(c, wrap(value))),
  readRow("NZCV", "011 0100 0010 000", (c) => {
    const bit = (condition: number, at: number) => shl(c.condition(i32(condition)), at);
    const { MI, EQ, CS, VS } = CONDITION;
    return zext(or(or(bit(MI, 31), bit(EQ, 30)), or(bit(CS, 29), bit(VS, 28))));
  }),
  writeRow("NZCV", "011 0100 0010 000", (c, value) => c.setNzcv(and(wrap(value), NZCV))),
  // Masking more than before makes no interrupt due.
  row("1101010100000 011 0100 iiii 110 11111", {
    name: "MSR DAIFSet",
    group: "system",
    refines: "MSR (immediate)",
    sem: (c, { i }) => {
      unless(c, PSTATE_EL);
      c.setSpecial("PSTATE", zext(or(pstate(c), shl(i, 6))));
    },
    print: ({ i }) => `msr daifset, ${imm(i)}`,
  }),
  row("1101010100000 011 0100 iiii 111 11111", {
    name: "MSR DAIFClr",
    group: "system",
    refines: "MSR (immediate)",
    sem: (c, { i }) => setMask(c, and(pstate(c), not(shl(i, 6)))),
    print: ({ i }) => `msr daifclr, ${imm(i)}`,
  }),
  row("1101010100000 000 0100 000 i 100 11111", {
    name: "MSR PAN",
    group: "system",
    refines: "MSR (immediate)",
    sem: (c, { i }) => {
      c.when(isZero(c.helper("setPan", "i32", i)), () => c.system());
      c.tlbChanged();
    },
    print: ({ i }) => `msr pan, ${imm(i)}`,
  }),
];

/** Memory is coherent: what is left is that they may trap, and that DC faults where the address does not translate. */
const cacheRows = (
  [
    ["IC IVAU", "0101", INLINE.CACHE_POU],
    ["DC CVAU", "1011", INLINE.CACHE_POU],
    ["DC CVAC", "1010", INLINE.CACHE_POC],
    ["DC CIVAC", "1110", INLINE.CACHE_POC],
  ] as const
).map(([name, crm, inline]) =>
  row(`1101010100001 011 0111 ${crm} 001 ttttt`, {
    name,
    group: "system",
    refines: "SYS",
    sem: (c, { t }) => {
      unlessInline(c, inline);
      if (name !== "IC IVAU") c.when(isZero(c.helper("isReadable", "i32", c.get(1, t))), () => c.system());
    },
    print: ({ t }) => `${name.toLowerCase()}, ${reg(1, t)}`,
  }),
);

export const hotSystemRows: readonly Row[] = [
  ...registerRows,
  ...constantRows,
  ...counterRows,
  ...fpRows,
  ...pstateRows,
  ...cacheRows,
  row("1101010100001 011 0111 0100 001 ttttt", {
    name: "DC ZVA",
    group: "system",
    refines: "SYS",
    sem: (c, { t }) => c.zeroBlock(c.tmp(c.get(1, t))),
    print: ({ t }) => `dc zva, ${reg(1, t)}`,
  }),
];
