/**
 * Hints, barriers, and everything that the machine does for the engine: system registers, SYS, exception generation and
 * return. DDI 0487, "Branches, Exception Generating and System instructions".
 */
import { PAUTH_ENABLES } from "../pauth.js";
import type { Context } from "./context.js";
import { and, i32, or, shl, wrap } from "./expr.js";
import { row } from "./row.js";
import { imm, reg } from "./text.js";

const HINTS: Readonly<Record<number, string>> = {
  0: "nop",
  1: "yield",
  2: "wfe",
  3: "wfi",
  4: "sev",
  5: "sevl",
  7: "xpaclri",
  8: "pacia1716",
  10: "pacib1716",
  12: "autia1716",
  14: "autib1716",
  16: "esb",
  17: "psb csync",
  18: "tsb csync",
  20: "csdb",
  22: "clearbhb",
  24: "paciaz",
  25: "paciasp",
  26: "pacibz",
  27: "pacibsp",
  28: "autiaz",
  29: "autiasp",
  30: "autibz",
  31: "autibsp",
  32: "bti",
  34: "bti c",
  36: "bti j",
  38: "bti jc",
};

const BARRIER_OPTIONS = [
  ...["#0x00", "oshld", "oshst", "osh", "#0x04", "nshld", "nshst", "nsh"],
  ...["#0x08", "ishld", "ishst", "ish", "#0x0c", "ld", "st", "sy"],
];

const toHost = (c: Context): void => c.system();

/** Hints that have an effect in the machine. */
const EVENTS = [
  { name: "WFE", m: "0000", p: "010" },
  { name: "WFI", m: "0000", p: "011" },
  { name: "SEV", m: "0000", p: "100" },
  { name: "SEVL", m: "0000", p: "101" },
] as const;

/** op1:CRn:CRm:op2 in the generic spelling. */
const systemRegister = (o0: number, { k, n, m, p }: Record<"k" | "n" | "m" | "p", number>): string =>
  `s${o0}_${k}_c${n}_c${m}_${p}`;

const EXCEPTIONS = [
  { name: "HVC", opc: "000", ll: "10" },
  { name: "SMC", opc: "000", ll: "11" },
  { name: "BRK", opc: "001", ll: "00" },
  { name: "HLT", opc: "010", ll: "00" },
] as const;

/** PSTATE fields that MSR (immediate) names, by op1 and op2. */
const PSTATE_FIELDS: Readonly<Record<string, string>> = {
  "0:3": "uao",
  "0:4": "pan",
  "0:5": "spsel",
  "3:1": "ssbs",
  "3:2": "dit",
  "3:4": "tco",
  "3:6": "daifset",
  "3:7": "daifclr",
};

export const systemRows = [
  row("11010101000000110010 mmmm ppp 11111", {
    name: "HINT",
    group: "system",
    // Those of pointer authentication while a key is enabled; hints of features that are absent do nothing.
    sem: (c, { m, p }) =>
      c.when(and(wrap(c.special("PAUTH")), PAUTH_ENABLES), () =>
        c.when(c.helper("pauthHint", "i32", or(shl(m, 3), p)), () => c.system()),
      ),
    print: ({ m, p }) => HINTS[m * 8 + p] ?? `hint ${imm(m * 8 + p)}`,
  }),
  ...EVENTS.map(({ name, m, p }) =>
    row(`11010101000000110010 ${m}${p} 11111`, {
      name,
      group: "system",
      refines: "HINT",
      sem: toHost,
      print: () => name.toLowerCase(),
    }),
  ),
  row("11010101000000110010 0000 111 11111", {
    name: "XPACLRI",
    group: "system",
    refines: "HINT",
    sem: (c) => c.setSpecial("X30", c.helper("pauthStrip", "i64", c.special("X30"), i32(0))),
    print: () => "xpaclri",
  }),
  row("11010101000000110011 mmmm 010 11111", {
    name: "CLREX",
    group: "system",
    sem: (c) => c.clearMonitor(),
    print: ({ m }) => (m === 15 ? "clrex" : `clrex ${imm(m)}`),
  }),
  // One PE runs at a time, and memory is accessed in program order: barriers have nothing to wait for.
  row("11010101000000110011 mmmm 100 11111", {
    name: "DSB",
    group: "system",
    sem: () => {},
    print: ({ m }) => (m === 0 ? "ssbb" : m === 4 ? "pssbb" : `dsb ${BARRIER_OPTIONS[m]}`),
  }),
  row("11010101000000110011 mmmm 101 11111", {
    name: "DMB",
    group: "system",
    sem: () => {},
    print: ({ m }) => `dmb ${BARRIER_OPTIONS[m]}`,
  }),
  row("11010101000000110011 mmmm 110 11111", {
    name: "ISB",
    group: "system",
    sem: () => {},
    print: ({ m }) => (m === 15 ? "isb" : `isb ${imm(m)}`),
  }),
  row("11010101000000110011 0000 111 11111", {
    name: "SB",
    group: "system",
    sem: () => {},
    print: () => "sb",
  }),
  row("1101010100000 kkk 0100 mmmm ppp 11111", {
    name: "MSR (immediate)",
    group: "system",
    sem: toHost,
    print: ({ k, m, p }) => `msr ${PSTATE_FIELDS[`${k}:${p}`] ?? systemRegister(0, { k, n: 4, m, p })}, ${imm(m)}`,
  }),
  row("1101010100001 kkk nnnn mmmm ppp ttttt", {
    name: "SYS",
    group: "system",
    sem: toHost,
    print: ({ k, n, m, p, t }) => `sys #${k}, C${n}, C${m}, #${p}${t === 31 ? "" : `, ${reg(1, t)}`}`,
  }),
  row("1101010100101 kkk nnnn mmmm ppp ttttt", {
    name: "SYSL",
    group: "system",
    sem: toHost,
    print: ({ k, n, m, p, t }) => `sysl ${reg(1, t)}, #${k}, C${n}, C${m}, #${p}`,
  }),
  row("110101010001 o kkk nnnn mmmm ppp ttttt", {
    name: "MSR (register)",
    group: "system",
    sem: toHost,
    print: ({ o, t, ...register }) => `msr ${systemRegister(2 + o, register)}, ${reg(1, t)}`,
  }),
  row("110101010011 o kkk nnnn mmmm ppp ttttt", {
    name: "MRS",
    group: "system",
    sem: toHost,
    print: ({ o, t, ...register }) => `mrs ${reg(1, t)}, ${systemRegister(2 + o, register)}`,
  }),
  ...EXCEPTIONS.map(({ name, opc, ll }) =>
    row(`11010100${opc} iiiiiiiiiiiiiiii 000 ${ll}`, {
      name,
      group: "system",
      sem: toHost,
      print: ({ i }) => `${name.toLowerCase()} ${imm(i)}`,
    }),
  ),
  row("0000000000000000 iiiiiiiiiiiiiiii", {
    name: "UDF",
    group: "system",
    sem: toHost,
    print: ({ i }) => `udf #${i}`,
  }),
];
