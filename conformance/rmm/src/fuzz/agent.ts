/**
 * The program that hostile realms run: it takes instructions from the Host and executes them. One page of position-dependent
 * code for R-EL1 at AGENT_IPA, stage 1 off; X0 at its start is the address of the REC's own area:
 *
 *   + 0x000  RsiHostCall; the Host's answer holds X0 to X10 (gprs[0..10]) and 16 instructions (gprs[11..18])
 *   + 0x100  those 16 instructions, and a branch back
 *
 * After each round gprs[0..3] have X0 to X3, gprs[4] X12, gprs[5] the number of exceptions taken to EL1 so far, gprs[6] and [7]
 * ESR_EL1 and FAR_EL1 of the last. From the start X19 to X23, TPIDR_EL0, two SIMD registers and a page of memory hold a value
 * that begins with SECRET: it is never to be found in the Host's reach.
 */
import { PAGE } from "./layout.js";

export const AGENT_IPA = 0;
/** The RECs' areas: four in this page. */
export const AREAS_IPA = 0x1000;
export const AREA_SIZE = 0x400;
export const AREAS = PAGE / AREA_SIZE;
/** The page that the agent fills with secrets. */
export const SECRET_IPA = 0x2000;
/** Upper half of every secret. */
export const SECRET = 0x5ec2_e7c0;

/** Instructions that a round may have, and where they are in the Host's answer. */
export const ROUND_WORDS = 16;
export const ROUND_GPR = 11;
/** Registers that a round starts with. */
export const ROUND_REGISTERS = 11;

const VECTORS = 0x800;
const movz = (rd: number, imm: number, shift = 0) => 0xd280_0000 | ((shift / 16) << 21) | (imm << 5) | rd;
const movk = (rd: number, imm: number, shift = 0) => 0xf280_0000 | ((shift / 16) << 21) | (imm << 5) | rd;
const mov = (rd: number, rm: number) => 0xaa00_03e0 | (rm << 16) | rd;
const str = (rt: number, rn: number, offset: number) => 0xf900_0000 | ((offset / 8) << 10) | (rn << 5) | rt;
const ldr = (rt: number, rn: number, offset: number) => 0xf940_0000 | ((offset / 8) << 10) | (rn << 5) | rt;
const stp = (t1: number, t2: number, rn: number, offset: number) =>
  0xa900_0000 | ((offset / 8) << 15) | (t2 << 10) | (rn << 5) | t1;
const ldp = (t1: number, t2: number, rn: number, offset: number) =>
  0xa940_0000 | ((offset / 8) << 15) | (t2 << 10) | (rn << 5) | t1;
const addImmediate = (rd: number, rn: number, imm: number) => 0x9100_0000 | (imm << 10) | (rn << 5) | rd;
const add = (rd: number, rn: number, rm: number) => 0x8b00_0000 | (rm << 16) | (rn << 5) | rd;
const branchTo = (from: number, to: number) => 0x1400_0000 | (((to - from) >> 2) & 0x3ff_ffff);
const adr = (rd: number, from: number, to: number) => {
  const offset = to - from;
  return 0x1000_0000 | ((offset & 3) << 29) | (((offset >> 2) & 0x7_ffff) << 5) | rd;
};
const br = (rn: number) => 0xd61f_0000 | (rn << 5);
const fmov = (vd: number, rn: number) => 0x9e67_0000 | (rn << 5) | vd;
const MSR = { VBAR: 0xd518_c000, CPACR: 0xd518_1040, TPIDR: 0xd518_d080, ELR: 0xd518_4020, SPSR: 0xd518_4000 } as const;
const MRS = { TPIDR: 0xd538_d080, ESR: 0xd538_5200, FAR: 0xd538_6000 } as const;
const MSR_TPIDR_EL0 = 0xd51b_d040;

/** Instructions that rounds are made of. */
export const INSTRUCTION = {
  SMC: 0xd400_0003,
  HVC: 0xd400_0002,
  WFI: 0xd503_207f,
  WFE: 0xd503_205f,
  SEV: 0xd503_209f,
  ISB: 0xd503_3fdf,
  IC_IALLU: 0xd508_751f,
  ERET: 0xd69f_03e0,
  /** LDR X12, [X1] */
  LOAD: ldr(12, 1, 0),
  /** STR X2, [X1] */
  STORE: str(2, 1, 0),
  /** LDRB W12, [X1] */
  LOAD_BYTE: 0x3940_002c,
  /** STRH W2, [X1] */
  STORE_HALF: 0x7900_0022,
  /** LDRSW X12, [X1] */
  LOAD_SIGNED: 0xb980_002c,
  /** LDP X12, X13, [X1] */
  LOAD_PAIR: ldp(12, 13, 1, 0),
  /** LDXR X12, [X1] */
  LOAD_EXCLUSIVE: 0xc85f_7c2c,
  /** DC ZVA, X1 */
  ZERO: 0xd50b_7421,
  /** BR X1 */
  JUMP: br(1),
  /** MSR VBAR_EL1, X1 */
  VECTORS: MSR.VBAR | 1,
  /** BR X28: the end of a round. */
  BACK: br(28),
} as const;
/** MRS X12 or MSR from X2, of the system register with these 16 bits of encoding (op0 to op2). */
export const readRegister = (encoding: number): number => 0xd520_000c | ((encoding & 0xffff) << 5);
export const writeRegister = (encoding: number): number => 0xd500_0002 | ((encoding & 0xffff) << 5);
/** CNTV_CTL_EL0, CNTV_CVAL_EL0 from X2 and X3, DAIFClr: what makes a timer fire. */
export const MSR_CNTV_CTL = 0xd51b_e322;
export const MSR_CNTV_CVAL = 0xd51b_e343;
export const MSR_CNTP_CTL = 0xd51b_e222;

/** The agent's page. */
export function agentCode(): Uint8Array {
  const words = new Uint32Array(PAGE / 4);
  let at = 0;
  const put = (...instructions: number[]) => {
    for (const word of instructions) words[at++] = word;
  };
  // The addresses of labels come from a first pass that leaves them 0.
  let loop = 0;
  let back = 0;
  for (let pass = 0; pass < 2; pass++) {
    at = 0;
    put(mov(29, 0), MSR.TPIDR | 29, adr(1, 4 * (at + 2), VECTORS), MSR.VBAR | 1);
    put(movz(1, 0x30, 16), MSR.CPACR | 1, INSTRUCTION.ISB);
    put(movz(19, 0xde00, 16), movk(19, SECRET & 0xffff, 32), movk(19, SECRET >>> 16, 48), add(19, 19, 29));
    put(mov(20, 19), mov(21, 19), mov(22, 19), mov(23, 19), MSR_TPIDR_EL0 | 19, fmov(0, 19), fmov(31, 19));
    put(movz(1, SECRET_IPA), str(19, 1, 0), str(19, 1, 0x800), str(19, 1, 0xff8));
    put(movz(1, INSTRUCTION.BACK & 0xffff), movk(1, INSTRUCTION.BACK >>> 16, 16), str(1, 29, 0x140), movz(25, 0));
    // The first host call says that no exception was taken, whatever was in the page before.
    put(str(25, 29, 48));
    loop = 4 * at;
    put(movz(0, 0x0199), movk(0, 0xc400, 16), mov(1, 29), INSTRUCTION.SMC);
    for (let i = 0; i < 4; i++) put(ldp(1, 2, 29, 96 + 16 * i), stp(1, 2, 29, 0x100 + 16 * i));
    put(INSTRUCTION.IC_IALLU, INSTRUCTION.ISB, adr(28, 4 * (at + 2), back), addImmediate(26, 29, 0x100));
    put(ldp(9, 10, 29, 80), ldp(7, 8, 29, 64), ldp(5, 6, 29, 48), ldp(3, 4, 29, 32), ldp(1, 2, 29, 16), ldr(0, 29, 8));
    put(br(26));
    back = 4 * at;
    put(MRS.TPIDR | 29, stp(0, 1, 29, 8), stp(2, 3, 29, 24), stp(12, 25, 29, 40), branchTo(4 * (at + 4), loop));
  }
  for (let vector = VECTORS; vector < PAGE; vector += 0x80) {
    at = vector / 4;
    put(MRS.TPIDR | 29, MRS.ESR | 24, str(24, 29, 56), MRS.FAR | 24, str(24, 29, 64), addImmediate(25, 25, 1));
    put(adr(24, 4 * at, back), MSR.ELR | 24, movz(24, 0x3c5), MSR.SPSR | 24, INSTRUCTION.ERET);
  }
  return new Uint8Array(words.buffer);
}
