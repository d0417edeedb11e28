/**
 * System instructions that operating systems execute so often that leaving the engine for them costs: the registers that
 * hold thread pointers, the interrupt mask, DC ZVA. Where the access could be refused or is more than that, it goes to the
 * machine, as the rows that these refine always do.
 * DDI 0487, "MRS", "MSR (register)", "MSR (immediate)", "DC ZVA".
 */
import type { RegName } from "../state.js";
import type { Context } from "./context.js";
import { and, type Expr, isZero, or, shl, wrap, zext } from "./expr.js";
import { row } from "./row.js";
import { imm, reg } from "./text.js";

const PSTATE_SP = 1;
const PSTATE_EL = 0xc;
const PSTATE_DAIF = 0x3c0;

const pstate = (c: Context): Expr => wrap(c.special("PSTATE"));
/** Leaves the instruction to the machine unless one of these bits of PSTATE is set. */
const unless = (c: Context, bits: number): void => c.when(isZero(and(pstate(c), bits)), () => c.system());

interface HotRegister {
  readonly name: RegName;
  /** op1, CRn, CRm and op2 as the encoding has them; op0 is 3. */
  readonly bits: string;
  /** Bits of PSTATE of which one must be set: SPSel for SP_EL0, any EL but EL0. */
  readonly needs?: number;
  readonly readOnly?: boolean;
}

/** No trap of the features that exist here covers these. */
const HOT: readonly HotRegister[] = [
  { name: "SP_EL0", bits: "000 0100 0001 000", needs: PSTATE_SP },
  { name: "TPIDR_EL1", bits: "000 1101 0000 100", needs: PSTATE_EL },
  { name: "TPIDR_EL0", bits: "011 1101 0000 010" },
  { name: "TPIDRRO_EL0", bits: "011 1101 0000 011", readOnly: true },
];

const registerRows = HOT.flatMap(({ name, bits, needs, readOnly = false }) => {
  const text = name.toLowerCase();
  const check = (c: Context): void => {
    if (needs !== undefined) unless(c, needs);
  };
  const read = row(`1101010100111 ${bits} ttttt`, {
    name: `MRS ${name}`,
    group: "system",
    refines: "MRS",
    sem: (c, { t }) => {
      check(c);
      c.set(1, t, c.special(name));
    },
    print: ({ t }) => `mrs ${reg(1, t)}, ${text}`,
  });
  const write = row(`1101010100011 ${bits} ttttt`, {
    name: `MSR ${name}`,
    group: "system",
    refines: "MSR (register)",
    sem: (c, { t }) => {
      check(c);
      c.setSpecial(name, c.get(1, t));
    },
    print: ({ t }) => `msr ${text}, ${reg(1, t)}`,
  });
  return readOnly ? [read] : [read, write];
});

export const hotSystemRows = [
  ...registerRows,
  row("1101010100111 011 0100 0010 001 ttttt", {
    name: "MRS DAIF",
    group: "system",
    refines: "MRS",
    sem: (c, { t }) => {
      unless(c, PSTATE_EL);
      c.set(1, t, zext(and(pstate(c), PSTATE_DAIF)));
    },
    print: ({ t }) => `mrs ${reg(1, t)}, daif`,
  }),
  // Masking more than before makes no interrupt due; unmasking is the machine's.
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
  row("1101010100001 011 0111 0100 001 ttttt", {
    name: "DC ZVA",
    group: "system",
    refines: "SYS",
    sem: (c, { t }) => c.zeroBlock(c.tmp(c.get(1, t))),
    print: ({ t }) => `dc zva, ${reg(1, t)}`,
  }),
];
