/**
 * A case: registers, tables, a body, an entry, and what is noted. `Bench` gives the cases a machine in a known state: EL1
 * and EL2 with their vectors, translation off, no traps, Non-secure state.
 */
import { nop, op, smc, svc, sys } from "./encoding.js";
import { CODE, VECTORS_EL1, VECTORS_EL2 } from "./layout.js";
import type { Program } from "./program.js";
import type { Cpu } from "./run-qemu.js";
import { Arena, Tree } from "./tables.js";

/** How a field may differ from QEMU's, and why that is right. */
export interface Allowance {
  /** Names of fields, with the steps before them, that this is for. */
  readonly field: RegExp;
  /** Whether QEMU's value is one that this is for; default: any. */
  readonly when?: (value: bigint) => boolean;
  /** Bits that are not compared; all when absent. */
  readonly mask?: bigint;
  /** What ours must have in these bits instead, when the architecture says it. */
  readonly expect?: bigint;
  /** Citation, or what is IMPLEMENTATION DEFINED or a difference of features. */
  readonly why: string;
}

export interface Case {
  readonly name: string;
  /** Runs on this CPU of QEMU; default Neoverse N1. */
  readonly cpu?: Cpu;
  /** It counts instructions: QEMU does so under -icount alone. The same for all cases of a table. */
  readonly counted?: boolean;
  readonly run: (bench: Bench) => void;
}

/** PAR_EL1 after AT. */
export const UNKNOWN_NS: Allowance = {
  field: /^AT|PAR_EL1$/,
  mask: (1n << 9n) | (1n << 11n),
  why: "DDI 0487, PAR_EL1: NS and NSE are UNKNOWN for a Non-secure regime",
};

/** Aborts that EL2 takes from itself. */
export const EL2_SYNDROME: Allowance = {
  field: /ESR_EL2$/,
  when: (esr) => esr >> 26n === 0x25n,
  mask: 0x1ff_c000n,
  expect: 0n,
  why: "DDI 0487, ISS encoding of a Data Abort: ISV is for stage-2 aborts; QEMU sets it for every abort of EL2",
};

/** SPSR of an entry: the mode with all interrupts masked. */
export const SPSR = {
  EL0: 0x3c0,
  EL1T: 0x3c4,
  EL1: 0x3c5,
  EL2T: 0x3c8,
  EL2: 0x3c9,
  EL3T: 0x3cc,
  EL3: 0x3cd,
} as const;
export type Level = keyof typeof SPSR;
export const PAN = 1 << 22;
/** Bits of SPSR by which an entry unmasks SErrors, IRQs and FIQs. */
export const UNMASK = { A: 1 << 8, I: 1 << 7, F: 1 << 6 } as const;

export const SCTLR = {
  /** RES1 bits of SCTLR_EL1 and SCTLR_EL2, translation off. */
  OFF: 0x30c5_0830n,
  M: 1n << 0n,
  A: 1n << 1n,
  C: 1n << 2n,
  SA: 1n << 3n,
  SA0: 1n << 4n,
  UMA: 1n << 9n,
  I: 1n << 12n,
  DZE: 1n << 14n,
  UCT: 1n << 15n,
  NTWI: 1n << 16n,
  NTWE: 1n << 18n,
  WXN: 1n << 19n,
  SPAN: 1n << 23n,
  UCI: 1n << 26n,
} as const;

export const HCR = {
  VM: 1n << 0n,
  SWIO: 1n << 1n,
  PTW: 1n << 2n,
  FMO: 1n << 3n,
  IMO: 1n << 4n,
  AMO: 1n << 5n,
  VF: 1n << 6n,
  VI: 1n << 7n,
  VSE: 1n << 8n,
  DC: 1n << 12n,
  TWI: 1n << 13n,
  TWE: 1n << 14n,
  TID1: 1n << 16n,
  TID2: 1n << 17n,
  TID3: 1n << 18n,
  TSC: 1n << 19n,
  TIDCP: 1n << 20n,
  TACR: 1n << 21n,
  TSW: 1n << 22n,
  TPCP: 1n << 23n,
  TPU: 1n << 24n,
  TTLB: 1n << 25n,
  TVM: 1n << 26n,
  TGE: 1n << 27n,
  TDZ: 1n << 28n,
  TRVM: 1n << 30n,
  RW: 1n << 31n,
  E2H: 1n << 34n,
  TERR: 1n << 36n,
  TEA: 1n << 37n,
  FWB: 1n << 46n,
} as const;

export const SCR = {
  NS: 1n << 0n,
  IRQ: 1n << 1n,
  FIQ: 1n << 2n,
  EA: 1n << 3n,
  RES1: 3n << 4n,
  SMD: 1n << 7n,
  HCE: 1n << 8n,
  SIF: 1n << 9n,
  RW: 1n << 10n,
  ST: 1n << 11n,
  TWI: 1n << 12n,
  TWE: 1n << 13n,
  EEL2: 1n << 18n,
} as const;

/** MAIR: 0 Device-nGnRnE, 1 Normal Non-cacheable, 2 Device-GRE, 3 Normal Write-Through, 4 Normal Write-Back. */
export const MAIR = 0x0000_00ff_bb0c_4400n;
export const NORMAL = 4;
export const DEVICE = 0;

/** Every register that a case may set, with the value that it has otherwise. */
export const DEFAULTS: Readonly<Record<string, bigint>> = {
  SCR_EL3: SCR.NS | SCR.RES1 | SCR.HCE | SCR.RW,
  CPTR_EL3: 0n,
  MDCR_EL3: 0n,
  HCR_EL2: HCR.RW,
  SCTLR_EL2: SCTLR.OFF,
  TCR_EL2: 0x8080_0000n,
  TTBR0_EL2: 0n,
  TTBR1_EL2: 0n,
  MAIR_EL2: MAIR,
  VBAR_EL2: BigInt(VECTORS_EL2),
  VTCR_EL2: 0x8000_0000n,
  VTTBR_EL2: 0n,
  CPTR_EL2: 0x33ffn,
  MDCR_EL2: 0n,
  HSTR_EL2: 0n,
  CNTHCTL_EL2: 3n,
  CNTVOFF_EL2: 0n,
  VPIDR_EL2: 0x1234_5678n,
  VMPIDR_EL2: 0x8000_0003n,
  TPIDR_EL2: 0n,
  SCTLR_EL1: SCTLR.OFF,
  CPACR_EL1: 3n << 20n,
  TCR_EL1: 0n,
  TTBR0_EL1: 0n,
  TTBR1_EL1: 0n,
  MAIR_EL1: MAIR,
  VBAR_EL1: BigInt(VECTORS_EL1),
  CNTKCTL_EL1: 3n,
  CONTEXTIDR_EL1: 0n,
  TPIDR_EL1: 0n,
  TPIDR_EL0: 0n,
  TPIDRRO_EL0: 0n,
  AFSR0_EL1: 0n,
  AFSR1_EL1: 0n,
  AMAIR_EL1: 0n,
  MDSCR_EL1: 0n,
};

const SECURE_EL2 = /^VST(TBR|CR)_EL2$/;

interface TcrOptions {
  readonly t0sz?: number | undefined;
  readonly t1sz?: number | undefined;
  /** IPS or PS. */
  readonly ips?: number | undefined;
  /** Other bits. */
  readonly more?: bigint | undefined;
}

/** TCR_EL1 and TCR_EL2 with E2H: what most cases need. */
export const tcr = (options: TcrOptions = {}): bigint =>
  BigInt(options.t0sz ?? 16) |
  (BigInt(options.t1sz ?? 16) << 16n) |
  (0x3500n | (0xb500n << 16n)) | // inner shareable, write-back; TG1 = 4 KiB
  (BigInt(options.ips ?? 5) << 32n) |
  (options.more ?? 0n);

/** TCR_EL2 with E2H = 0, TCR_EL3. */
export const tcr2 = (options: Omit<TcrOptions, "t1sz"> = {}): bigint =>
  0x8080_3500n | BigInt(options.t0sz ?? 16) | (BigInt(options.ips ?? 5) << 16n) | (options.more ?? 0n);

/** VTCR_EL2. `sl0` 0 starts at level 2, 1 at level 1, 2 at level 0. */
export const vtcr = (options: { t0sz?: number; sl0?: number; ps?: number; more?: bigint } = {}): bigint =>
  0x8000_3500n |
  BigInt(options.t0sz ?? 24) |
  (BigInt(options.sl0 ?? 1) << 6n) |
  (BigInt(options.ps ?? 5) << 16n) |
  (options.more ?? 0n);

/** Bodies of one access each, by what it does. */
export const ACCESSES = {
  read: op("LDR, X (unsigned offset)", { n: 0, t: 1 }),
  write: op("STR, X (unsigned offset)", { n: 0, t: 2 }),
  readByte: op("LDRB (unsigned offset)", { n: 0, t: 1 }),
  writeByte: op("STRB (unsigned offset)", { n: 0, t: 2 }),
  readUnprivileged: op("LDTR, X (unprivileged)", { n: 0, t: 1 }),
  writeUnprivileged: op("STTR, X (unprivileged)", { n: 0, t: 2 }),
  readPair: op("LDP, X (signed offset)", { n: 0, t: 1, u: 3 }),
  writePair: op("STP, X (signed offset)", { n: 0, t: 2, u: 3 }),
  readExclusive: op("LDXR, LDAXR, X", { n: 0, t: 1 }),
  /** LDXR and STXR: with an open monitor it would be IMPLEMENTATION DEFINED whether STXR looks at the memory at all. */
  writeExclusive: [op("LDXR, LDAXR, X", { n: 0, t: 1 }), op("STXR, STLXR, X", { n: 0, t: 2, s: 1 })],
  readAcquire: op("LDAR, X", { n: 0, t: 1 }),
  writeRelease: op("STLR, X", { n: 0, t: 2 }),
  add: op("LDADD, X", { n: 0, s: 2, t: 1 }),
  swap: op("SWP, X", { n: 0, s: 2, t: 1 }),
  compareAndSwap: op("CAS, X", { n: 0, s: 1, t: 2 }),
  zero: sys("DC ZVA", 0),
  clean: sys("DC CVAC", 0),
  cleanUnified: sys("DC CVAU", 0),
  cleanInvalidate: sys("DC CIVAC", 0),
  invalidate: sys("DC IVAC", 0),
  invalidateCode: sys("IC IVAU", 0),
} as const;
export type Access = keyof typeof ACCESSES | "execute";
const ACCESS_CODE = CODE + 0x1000;
const ACCESS_NAMES = Object.keys(ACCESSES);

const accessAt = (level: Level, kind: Access): number =>
  ACCESS_CODE + ACCESS_NAMES.indexOf(kind) * 32 + (level === "EL0" ? 16 : 0);

export class Bench {
  readonly program: Program;
  readonly allowances: Allowance[] = [];
  arena = new Arena();
  private readonly changed = new Set<string>();

  constructor(program: Program) {
    this.program = program;
  }

  /** Starts a case: undoes what the last one set. */
  begin(at: number): void {
    this.program.begin(at);
    // Registers of Secure EL2 while it is still there; then in the table's order, SCR_EL3 and HCR_EL2 before the others,
    // so that these mean what they say; then what the table does not have.
    const reset = (name: string) => this.program.msr(name, DEFAULTS[name] ?? 0n);
    const names = [...this.changed];
    names.filter((name) => SECURE_EL2.test(name)).forEach(reset);
    Object.keys(DEFAULTS)
      .filter((name) => this.changed.has(name))
      .forEach(reset);
    names.filter((name) => !(name in DEFAULTS) && !SECURE_EL2.test(name)).forEach(reset);
    this.changed.clear();
    this.program.flush();
    this.program.clear();
    this.arena = new Arena();
    this.allowances.length = 0;
  }

  /** All registers and the bodies of accesses, once at the start of the program. */
  initialize(): void {
    for (const [name, value] of Object.entries(DEFAULTS)) this.program.msr(name, value);
    const words = Object.values(ACCESSES).flatMap((body) => {
      const [first, second = nop] = [body].flat();
      return [first, second, smc(0), nop, first, second, svc(0x50), nop];
    });
    this.program.code(words, ACCESS_CODE);
  }

  set(values: Readonly<Record<string, bigint | number>>): void {
    for (const [name, value] of Object.entries(values)) {
      this.program.msr(name, value);
      this.changed.add(name);
    }
  }

  /** General registers of the entry by number. */
  x(values: Readonly<Record<number, bigint | number>>): void {
    for (const [n, value] of Object.entries(values)) this.program.x(Number(n), value);
  }

  /** A tree with zeroed first table(s). */
  tree(bits: number, level?: number): Tree {
    return new Tree(this.arena, bits, level);
  }

  /** Writes trees, over zeroed memory. */
  install(...trees: readonly Tree[]): void {
    if (this.arena.used > 0) this.program.zero(this.arena.first, Math.ceil(this.arena.used / 4096) * 4096);
    for (const tree of trees) tree.emit(this.program);
  }

  /** Puts `words` and the end of a body at CODE and enters there; notes entry and exception registers. */
  run(
    level: Level,
    words: readonly number[],
    options: { pstate?: number; pc?: bigint | number; registers?: number } = {},
  ) {
    const { program } = this;
    program.code([...words, level === "EL0" ? svc(0x50) : smc(0)]);
    this.enter(level, options);
  }

  /** Enters without a new body. `pstate`: bits of SPSR that are not as usual; I and F are usually set. */
  enter(level: Level, options: { pstate?: number; pc?: bigint | number; registers?: number } = {}): void {
    const { program } = this;
    program.enter((SPSR[level] ^ (options.pstate ?? 0)) >>> 0, options.pc ?? CODE);
    program.exceptions();
    if (options.registers !== 0) program.registers(options.registers ?? 5);
  }

  /**
   * One access at an address, X0; X2 and X3 are what it stores, X1 what it loads. Notes what came of it, after `step`.
   */
  access(
    level: Level,
    kind: Access,
    va: bigint | number,
    options: { readonly pstate?: number; readonly step?: string } = {},
  ): void {
    const { program } = this;
    const { pstate = 0 } = options;
    program.clear();
    program.x(0, va);
    const pc = kind === "execute" ? va : accessAt(level, kind);
    const address = BigInt.asUintN(64, BigInt(va)).toString(16);
    program.step(options.step ?? `${level}${pstate === PAN ? " PAN" : ""} ${kind} 0x${address}`);
    this.enter(level, { pstate, pc, registers: 2 });
    program.step("");
  }

  allow(allowance: Allowance): void {
    this.allowances.push(allowance);
  }
}

/** Identity for vectors of EL1 and for code: read-only and executable at EL0 and EL1. */
export function mapRunner(tree: Tree): void {
  const options = { attr: NORMAL, ap: 3, sh: 3 };
  tree.map(BigInt(VECTORS_EL1), VECTORS_EL1, options);
  for (const page of [0, 0x1000, 0x2000]) tree.map(BigInt(CODE + page), CODE + page, options);
}
