/**
 * A bare-metal program that runs translation cases and records what happens: the same bytes run under
 * qemu-system-aarch64 and on the machine. It starts at EL2 and knows nothing of either: for each case it loads the
 * system registers given, goes to the EL given, makes one access, and stores the syndromes that arrive.
 *
 *   0x4008_0000  code: entry, loop, vectors of EL2 and EL1, one routine for each kind of access
 *   0x4010_0000  cases, CASE_WORDS words each
 *   0x4020_0000  records, RECORD_WORDS words each
 *   0x4030_0000  translation tables, and what else the suite puts into its image
 *
 * At the end the records go out through the UART at 0x0900_0000, byte by byte, and PSCI SYSTEM_OFF ends the run.
 */
import { Assembler } from "../../packages/machine/test-support/assembler.js";

export const CODE = 0x4008_0000n;
export const CASES = 0x4010_0000n;
export const RECORDS = 0x4020_0000n;
export const UART = 0x0900_0000n;
export const PSCI_SYSTEM_OFF = 0x8400_0008n;

/** Registers of a case, in the order of its words; all but the first three are system registers by name. */
export const CASE_REGISTERS = [
  "SCTLR_EL1",
  "TCR_EL1",
  "TTBR0_EL1",
  "TTBR1_EL1",
  "MAIR_EL1",
  "VTCR_EL2",
  "VTTBR_EL2",
  "TCR_EL2",
  "TTBR0_EL2",
  "MAIR_EL2",
  // These two take effect on the program itself: last.
  "HCR_EL2",
  "SCTLR_EL2",
] as const;
export type CaseRegister = (typeof CASE_REGISTERS)[number];
export const CASE_WORDS = 16;

/** What is recorded, in order. `x2`: what the access read. */
export const RECORD_FIELDS = [
  "ESR_EL2",
  "FAR_EL2",
  "HPFAR_EL2",
  "ELR_EL2",
  "SPSR_EL2",
  "ESR_EL1",
  "FAR_EL1",
  "ELR_EL1",
  "SPSR_EL1",
  "x2",
] as const;
export const RECORD_WORDS = RECORD_FIELDS.length;

/** One access each, at the address in X0; X3 is what stores write. Each ends with SVC. */
export const ACCESSES = {
  ldr: (a: Assembler) => a.ldr(2, 0),
  str: (a: Assembler) => a.str(3, 0),
  // The page that is fetched from holds SVC #5.
  fetch: (a: Assembler) => a.word(0xd61f_0000),
  ldrb: (a: Assembler) => a.word(0x3940_0002),
  ldrshX: (a: Assembler) => a.word(0x7980_0002),
  ldrsbW: (a: Assembler) => a.word(0x39c0_0002),
  ldrsw: (a: Assembler) => a.word(0xb980_0002),
  ldrW: (a: Assembler) => a.word(0xb940_0002),
  strhW: (a: Assembler) => a.word(0x7900_0003),
  strzr: (a: Assembler) => a.word(0xf900_001f),
  ldur: (a: Assembler) => a.word(0xf840_0002),
  ldrRegister: (a: Assembler) => a.word(0xf87f_6802),
  ldrPost: (a: Assembler) => a.word(0xf840_8402),
  ldrPre: (a: Assembler) => a.word(0xf840_0c02),
  ldp: (a: Assembler) => a.word(0xa940_1002),
  stp: (a: Assembler) => a.word(0xa900_0c03),
  ldxr: (a: Assembler) => a.word(0xc85f_7c02),
  ldar: (a: Assembler) => a.word(0xc8df_fc02),
  ldarb: (a: Assembler) => a.word(0x08df_fc02),
  stlr: (a: Assembler) => a.word(0xc89f_fc03),
  ldtr: (a: Assembler) => a.word(0xf840_0802),
  sttr: (a: Assembler) => a.word(0xf800_0803),
  zva: (a: Assembler) => a.sys("DC ZVA", 0),
  cvac: (a: Assembler) => a.sys("DC CVAC", 0),
  ivac: (a: Assembler) => a.sys("DC IVAC", 0),
  atS1E1R: (a: Assembler) => a.sys("AT S1E1R", 0).isb().mrs(2, "PAR_EL1"),
  atS1E1W: (a: Assembler) => a.sys("AT S1E1W", 0).isb().mrs(2, "PAR_EL1"),
  atS1E0R: (a: Assembler) => a.sys("AT S1E0R", 0).isb().mrs(2, "PAR_EL1"),
  atS12E1R: (a: Assembler) => a.sys("AT S12E1R", 0).isb().mrs(2, "PAR_EL1"),
  atS12E0W: (a: Assembler) => a.sys("AT S12E0W", 0).isb().mrs(2, "PAR_EL1"),
} as const;
export type Access = keyof typeof ACCESSES;

/** What the pages that are accessed hold: SVC #5, twice in each 64-bit word. */
export const PATTERN = 0xd400_00a1_d400_00a1n;

const CODE_SIZE = 0x8_0000;

export interface Code {
  readonly bytes: Uint8Array;
  readonly routines: Readonly<Record<Access, bigint>>;
}

/** The program; `caseCount` cases are at CASES. */
export function program(caseCount: number): Code {
  const a = new Assembler();
  const routines: Partial<Record<Access, bigint>> = {};
  a.mov(20, CASES)
    .mov(21, CASES + BigInt(caseCount * CASE_WORDS * 8))
    .mov(22, RECORDS)
    .b("next");

  // Vectors of EL2, then of EL1: every synchronous exception ends the case.
  a.org(0x800);
  for (let vector = 0; vector < 16; vector++) a.org(0x800 + vector * 0x80).b("record");
  a.org(0x1000);
  for (let vector = 0; vector < 16; vector++) a.org(0x1000 + vector * 0x80).hvc(3);

  a.org(0x2000).label("next");
  // cmp x20, x21; b.eq done
  a.word(0xeb15_029f).bCond(0, "done");
  a.set("VBAR_EL2", CODE + 0x800n).set("VBAR_EL1", CODE + 0x1000n);
  for (const name of ["ESR_EL2", "FAR_EL2", "HPFAR_EL2", "ESR_EL1", "FAR_EL1", "ELR_EL1", "SPSR_EL1"]) {
    a.msr(name, 31);
  }
  a.ldr(0, 20, 0).ldr(1, 20, 8).ldr(4, 20, 16);
  a.mov(2, 0).mov(3, PATTERN);
  a.mov(9, 3n << 20n).msr("CPACR_EL1", 9);
  CASE_REGISTERS.forEach((name, i) => {
    a.ldr(9, 20, 24 + i * 8).msr(name, 9);
  });
  a.isb();
  a.sys("TLBI ALLE2").sys("TLBI ALLE1").word(0xd503_3f9f).isb();
  a.msr("ELR_EL2", 1).msr("SPSR_EL2", 4).eret();

  a.label("record");
  RECORD_FIELDS.forEach((field, i) => {
    if (field === "x2") a.str(2, 22, i * 8);
    else a.mrs(9, field).str(9, 22, i * 8);
  });
  a.add(22, 22, RECORD_WORDS * 8).add(20, 20, CASE_WORDS * 8);
  a.set("SCTLR_EL2", 0x30c5_0830).set("HCR_EL2", 0x8000_0000).isb();
  a.b("next");

  a.label("done").mov(0, RECORDS).mov(1, UART);
  // cmp x0, x22; b.eq off; ldrb w2, [x0], #1; strb w2, [x1]
  a.label("out").word(0xeb16_001f).bCond(0, "off");
  a.word(0x3840_1402).strb(2, 1).b("out");
  a.label("off").mov(0, PSCI_SYSTEM_OFF).smc().loop();

  let at = 0x4000;
  for (const [access, write] of Object.entries(ACCESSES) as [Access, (a: Assembler) => Assembler][]) {
    a.org(at);
    routines[access] = CODE + BigInt(at);
    write(a).svc(1);
    at += 0x20;
  }
  const bytes = new Uint8Array(CODE_SIZE);
  bytes.set(a.bytes());
  return { bytes, routines: routines as Record<Access, bigint> };
}
