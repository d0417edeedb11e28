/**
 * A small assembler for test programs: the instructions that tests of the system level need, as 32-bit words. System
 * registers and SYS instructions are named as in the machine's tables.
 */
import { SYS_ROWS } from "../src/sys-instructions.js";
import { encodingOf } from "../src/sysreg/system-registers.js";

type Item =
  | number
  | { readonly label: string }
  | { readonly branch: string; readonly base: number; readonly kind: "b" | "cond" };

const LABEL_RANGE = { b: 26, cond: 19 } as const;

/** Collects instructions; labels resolve when the words are taken. */
export class Assembler {
  private readonly items: Item[] = [];

  word(...words: number[]): this {
    this.items.push(...words.map((word) => word >>> 0));
    return this;
  }

  label(label: string): this {
    this.items.push({ label });
    return this;
  }

  /** Any 64-bit value into Xd. */
  mov(rd: number, value: bigint | number): this {
    const bits = BigInt.asUintN(64, BigInt(value));
    this.word(0xd280_0000 | (Number(bits & 0xffffn) << 5) | rd);
    for (let i = 1; i < 4; i++) {
      const part = Number((bits >> BigInt(16 * i)) & 0xffffn);
      if (part !== 0) this.word(0xf280_0000 | (i << 21) | (part << 5) | rd);
    }
    return this;
  }

  /** mov Xd, Xn. */
  movReg(rd: number, rn: number): this {
    return this.word(0xaa00_03e0 | (rn << 16) | rd);
  }

  /** add Xd, Xn, #imm (12 bits). */
  add(rd: number, rn: number, imm: number): this {
    return this.word(0x9100_0000 | (imm << 10) | (rn << 5) | rd);
  }

  /** subs xzr, Xn, #imm. */
  cmp(rn: number, imm: number): this {
    return this.word(0xf100_001f | (imm << 10) | (rn << 5));
  }

  /** ldr Xt, [Xn, #offset] (8-byte steps). */
  ldr(rt: number, rn: number, offset = 0): this {
    return this.word(0xf940_0000 | ((offset / 8) << 10) | (rn << 5) | rt);
  }

  str(rt: number, rn: number, offset = 0): this {
    return this.word(0xf900_0000 | ((offset / 8) << 10) | (rn << 5) | rt);
  }

  /** ldr Wt, [Xn, #offset] (4-byte steps). */
  ldrw(rt: number, rn: number, offset = 0): this {
    return this.word(0xb940_0000 | ((offset / 4) << 10) | (rn << 5) | rt);
  }

  strw(rt: number, rn: number, offset = 0): this {
    return this.word(0xb900_0000 | ((offset / 4) << 10) | (rn << 5) | rt);
  }

  strb(rt: number, rn: number, offset = 0): this {
    return this.word(0x3900_0000 | (offset << 10) | (rn << 5) | rt);
  }

  mrs(rt: number, name: string): this {
    return this.word(0xd520_0000 | (encodingOf(name) << 5) | rt);
  }

  msr(name: string, rt: number): this {
    return this.word(0xd500_0000 | (encodingOf(name) << 5) | rt);
  }

  /** msr <register>, through X<scratch>. */
  set(name: string, value: bigint | number, scratch = 9): this {
    return this.mov(scratch, value).msr(name, scratch);
  }

  /** A SYS instruction by name ("TLBI VMALLE1"), operand Xt. */
  sys(name: string, rt = 31): this {
    const row = SYS_ROWS.find((row) => row.name === name);
    if (!row) throw new Error(`no SYS instruction ${name}`);
    const [op1, crn, crm, op2] = row.at;
    return this.word(0xd508_0000 | (op1 << 16) | (crn << 12) | (crm << 8) | (op2 << 5) | rt);
  }

  daifClr(imm: number): this {
    return this.word(0xd503_40ff | (imm << 8));
  }

  b(branch: string): this {
    this.items.push({ branch, base: 0x1400_0000, kind: "b" });
    return this;
  }

  /** b.<condition> by its number: 0 eq, 1 ne. */
  bCond(condition: number, branch: string): this {
    this.items.push({ branch, base: 0x5400_0000 | condition, kind: "cond" });
    return this;
  }

  cbnz(rt: number, branch: string): this {
    this.items.push({ branch, base: 0xb500_0000 | rt, kind: "cond" });
    return this;
  }

  svc = (imm = 0): this => this.word(0xd400_0001 | (imm << 5));
  hvc = (imm = 0): this => this.word(0xd400_0002 | (imm << 5));
  smc = (imm = 0): this => this.word(0xd400_0003 | (imm << 5));
  brk = (imm = 0): this => this.word(0xd420_0000 | (imm << 5));
  eret = (): this => this.word(0xd69f_03e0);
  wfi = (): this => this.word(0xd503_207f);
  wfe = (): this => this.word(0xd503_205f);
  isb = (): this => this.word(0xd503_3fdf);
  nop = (): this => this.word(0xd503_201f);
  ret = (): this => this.word(0xd65f_03c0);
  /** b . */
  loop = (): this => this.word(0x1400_0000);

  /** Fills with NOPs up to an offset from the start. */
  org(offset: number): this {
    const missing = offset / 4 - this.size;
    if (missing < 0) throw new Error(`the program is already past 0x${offset.toString(16)}`);
    return this.word(...new Array<number>(missing).fill(0xd503_201f));
  }

  /** Words so far. */
  get size(): number {
    return this.items.filter((item) => typeof item === "number" || "branch" in item).length;
  }

  bytes(): Uint8Array {
    const labels = new Map<string, number>();
    let at = 0;
    for (const item of this.items) {
      if (typeof item === "object" && "label" in item) labels.set(item.label, at);
      else at++;
    }
    const words = new Uint32Array(at);
    at = 0;
    for (const item of this.items) {
      if (typeof item === "number") words[at++] = item;
      else if ("branch" in item) {
        const target = labels.get(item.branch);
        if (target === undefined) throw new Error(`no label ${item.branch}`);
        const range = LABEL_RANGE[item.kind];
        const offset = (target - at) & (2 ** range - 1);
        words[at++] = (item.base | (offset << (item.kind === "b" ? 0 : 5))) >>> 0;
      }
    }
    return new Uint8Array(words.buffer);
  }
}

export const assemble = (write: (a: Assembler) => void): Uint8Array => {
  const assembler = new Assembler();
  write(assembler);
  return assembler.bytes();
};
