/**
 * Exceptions between EL0 and EL1 of one guest that need nobody but the PE: SVC at EL0, ERET at EL1. What is unusual about
 * one is the machine's (interpreter/exception-helpers.ts says what). DDI 0487, "SVC", "ERET".
 */
import { row } from "./row.js";
import { imm } from "./text.js";

export const exceptionRows = [
  row("11010100000 iiiiiiiiiiiiiiii 000 01", {
    name: "SVC",
    group: "system",
    sem: (c, { i }) => c.transfer("takeSvc", i),
    print: ({ i }) => `svc ${imm(i)}`,
  }),
  row("11010110100 11111 000000 11111 00000", {
    name: "ERET",
    group: "system",
    sem: (c) => c.transfer("takeEret"),
    print: () => "eret",
  }),
  row("1101010100000 000 0100 000 i 101 11111", {
    name: "MSR SPSel",
    group: "system",
    refines: "MSR (immediate)",
    sem: (c, { i }) => c.transfer("selectSp", i),
    print: ({ i }) => `msr spsel, ${imm(i)}`,
  }),
];
