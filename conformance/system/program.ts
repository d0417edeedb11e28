/**
 * A bare-metal image that executes a table of cases and writes down what happened. The runner stays at EL3, where
 * translation is off and nothing a case does reaches it. It works off a script: calls of small stubs (write a word,
 * write a system register, enter a lower EL, note a register), 32 bytes each. Whatever ends an entry arrives at EL3: the
 * vectors of EL1 and EL2 are SMCs whose immediate is 0x100 or 0x200 plus the slot, bodies end with SMC #0 (EL0: SVC).
 *
 * The image is the same for both machines but for its last words: semihosting calls that save the output and leave
 * QEMU, or a write that ends the run for ours.
 */
import { ldpX, ldrX, loadConstant, stpX, strX } from "../oracle/assemble.js";
import type { Segment } from "../oracle/image.js";
import { dsb, eret, isb, mov, mrs, msr, op, ret, smc, sys } from "./encoding.js";
import {
  CODE,
  CONTEXT,
  CONTEXT_DEFAULT,
  DATA,
  DATA_SIZE,
  dataWord,
  END,
  OUTPUT,
  RUNNER,
  SAVE,
  SCRIPT,
  VECTORS_EL1,
  VECTORS_EL2,
} from "./layout.js";

export type Target = "qemu" | "machine";

/** Names of the words that an entry leaves, in order. */
export const ENTRY_FIELDS = ["vector", "ESR_EL3", "ELR_EL3", "SPSR_EL3", "FAR_EL3"] as const;
/** Exception registers of EL1 and EL2: what `state` notes beside the general registers. */
export const STATE_REGISTERS = [
  ...["ESR_EL1", "FAR_EL1", "ELR_EL1", "SPSR_EL1"],
  ...["ESR_EL2", "FAR_EL2", "HPFAR_EL2", "ELR_EL2", "SPSR_EL2"],
  ...["SP_EL0", "SP_EL1"],
] as const;
const GENERAL = Array.from({ length: 31 }, (_, i) => `X${i}`);

/** Registers that `clear` gives the same value, whatever the last entry left in them. */
const VOLATILE = ["PAR_EL1", "FAR_EL3", ...STATE_REGISTERS.filter((name) => !name.startsWith("SP_E"))];
/** SP_EL0 and SP_EL1 at each entry. */
const STACK = 0x4020_8000n;

/** One word of the output. */
export interface Field {
  /** Index of the case. */
  readonly at: number;
  readonly name: string;
  /** What only prepares something is not compared. */
  readonly compared: boolean;
}

const [SCRIPT_REGISTER, OUTPUT_REGISTER] = [19, 20];
/** STR X`t`, [X20], #8. */
const emit = (t: number): number => op("STR, X (post-index)", { i: 8, n: OUTPUT_REGISTER, t });

/** In the save area, after X0 to X30, as multiples of 8: the runner's own registers; whether an AT is under way. */
const SAVED_RUNNER = 32;
const SAVED_FLAG = 34;
/** Offset of the output pointer there. */
export const SAVED_OUTPUT = (SAVED_RUNNER + 1) * 8;

const CALL_WORDS = 4;

/** ERET with SPSR in X0 and PC in X1. */
const ENTER: readonly number[] = [
  msr("SPSR_EL3", 0),
  msr("ELR_EL3", 1),
  stpX({ i: SAVED_RUNNER, u: OUTPUT_REGISTER, n: 31, t: SCRIPT_REGISTER }),
  ...loadConstant(30, BigInt(CONTEXT)),
  ...Array.from({ length: 15 }, (_, i) => ldpX({ i: 2 * i, u: 2 * i + 1, n: 30, t: 2 * i })),
  ldrX({ i: 30, n: 30, t: 30 }),
  dsb,
  sys("IC IALLU"),
  dsb,
  isb,
  eret,
];

/** X0: whether to stay at the level of the exception; gives SPSR in X0 and PC in X1. */
const RESUME: readonly number[] = resumeWords();

function resumeWords(): number[] {
  const words: (number | { readonly to: string; readonly word: (distance: number) => number })[] = [];
  const labels = new Map<string, number>();
  const put = (...more: number[]) => void words.push(...more);
  const label = (name: string) => void labels.set(name, words.length);
  const jump = (to: string, word: (i: number) => number) => void words.push({ to, word });
  const [EQ, NE] = [0, 1];
  const compare = (n: number, i: number) => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, s: 1, n, d: 31, i });
  const field = (d: number, n: number, first: number, width: number) =>
    op("SBFM, BFM, UBFM, 64-bit", { o: 2, r: first, s: first + width - 1, n, d });
  const logical = (o: number, d: number, n: number, m: number, v = 0) =>
    op("AND, BIC, ORR, ORN, EOR, EON, ANDS, BICS (shifted register), 64-bit", { o, v, d, n, m });
  const when = (c: number, to: string) => jump(to, (i) => op("B.cond", { c, i }));

  put(...loadConstant(1, BigInt(CONTEXT)));
  for (let t = 0; t < 30; t += 2) put(ldpX({ i: t, u: 3, n: 31, t: 2 }), stpX({ i: t, u: 3, n: 1, t: 2 }));
  put(ldrX({ i: 30, n: 31, t: 2 }), strX({ i: 30, n: 1, t: 2 }));
  put(dsb, sys("TLBI ALLE1"), sys("TLBI ALLE2"), dsb, isb);
  put(mrs(2, "ESR_EL3"), field(3, 2, 26, 6), mrs(4, "ELR_EL3"), mrs(5, "SPSR_EL3"));
  put(compare(3, 0x17));
  when(NE, "advance");
  // An SMC: the body's own (immediate below 0x100), or that of a vector of EL1 or EL2.
  put(field(6, 2, 8, 8));
  jump("done", (i) => op("CBZ", { f: 1, t: 6, i }));
  put(compare(6, 1));
  when(EQ, "el1");
  put(mrs(4, "ELR_EL2"), mrs(5, "SPSR_EL2"), mrs(3, "ESR_EL2"), ...loadConstant(7, 0x3c9n));
  jump("taken", (i) => op("B", { i }));
  label("el1");
  put(mrs(4, "ELR_EL1"), mrs(5, "SPSR_EL1"), mrs(3, "ESR_EL1"), ...loadConstant(7, 0x3c5n));
  label("taken");
  jump("level", (i) => op("CBZ", { f: 1, t: 0, i }));
  put(mov(5, 7));
  label("level");
  // Interrupts, SVC, HVC and an illegal state return to the instruction itself or have the next one already.
  put(field(6, 2, 0, 2));
  jump("done", (i) => op("CBNZ", { f: 1, t: 6, i }));
  put(field(3, 3, 26, 6));
  label("advance");
  for (const ec of [0x15, 0x16, 0x0e]) {
    put(compare(3, ec));
    when(EQ, "done");
  }
  put(op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, n: 4, d: 4, i: 4 }));
  label("done");
  // DAIF set, IL and M[4] clear; never to EL3.
  put(...loadConstant(6, 0x3c0n), logical(1, 5, 5, 6), ...loadConstant(6, 0x10_0010n), logical(0, 5, 5, 6, 1));
  put(field(6, 5, 2, 2), compare(6, 3));
  when(NE, "legal");
  put(...loadConstant(5, 0x3c9n));
  label("legal");
  put(mov(0, 5), mov(1, 4));
  return words.map((word, at) => (typeof word === "number" ? word : word.word(labels.get(word.to)! - at)));
}

/** A script under construction, with the names of what it writes. */
export class Program {
  readonly fields: Field[] = [];
  private readonly stubs = new Map<string, { readonly id: number; readonly words: readonly number[] }>();
  private calls = new BigUint64Array(1 << 16);
  private count = 0;
  private at = 0;
  private prefix = "";
  private compared = true;

  /** Words that follow belong to this case. */
  begin(at: number): void {
    this.at = at;
    this.prefix = "";
  }

  /** Words that follow have this before their names. */
  step(name: string, options: { readonly compared?: boolean } = {}): void {
    this.prefix = name === "" ? "" : `${name}: `;
    this.compared = options.compared ?? true;
  }

  /** Calls so far. */
  get size(): number {
    return this.count / CALL_WORDS;
  }

  /** Calls a stub, made at its first use, with X0 to X2. Stubs may change X0 to X8. */
  call(key: string, words: () => readonly number[], x0: bigint | number = 0, x1: bigint | number = 0, x2 = 0): void {
    let stub = this.stubs.get(key);
    if (!stub) {
      stub = { id: this.stubs.size, words: words() };
      this.stubs.set(key, stub);
    }
    if (this.count === this.calls.length) {
      const larger = new BigUint64Array(this.count * 2);
      larger.set(this.calls);
      this.calls = larger;
    }
    const { calls } = this;
    calls[this.count++] = BigInt(stub.id);
    calls[this.count++] = BigInt.asUintN(64, BigInt(x0));
    calls[this.count++] = BigInt.asUintN(64, BigInt(x1));
    calls[this.count++] = BigInt(x2);
  }

  /** Adds a word to the output's description. */
  note(...names: readonly string[]): void {
    for (const name of names) this.fields.push({ at: this.at, name: this.prefix + name, compared: this.compared });
  }

  /** Gives what an entry changes by itself, and the general registers of the next one, the same values as always. */
  clear(): void {
    this.call("clear", () => [
      ...loadConstant(0, 0n),
      ...VOLATILE.map((name) => msr(name, 0)),
      ...loadConstant(0, STACK),
      msr("SP_EL0", 0),
      msr("SP_EL1", 0),
      ...loadConstant(0, BigInt(CONTEXT)),
      ...loadConstant(1, BigInt(CONTEXT_DEFAULT)),
      ...Array.from({ length: 16 }, (_, i) => [
        ldpX({ i: 2 * i, u: 3, n: 1, t: 2 }),
        stpX({ i: 2 * i, u: 3, n: 0, t: 2 }),
      ]).flat(),
      op("CLREX", { m: 15 }),
      ret,
    ]);
  }

  /** Drops what TLBs and instruction caches hold. */
  flush(): void {
    this.call("flush", () => [dsb, sys("TLBI ALLE1"), sys("TLBI ALLE2"), sys("IC IALLU"), dsb, isb, ret]);
  }

  write64(address: number, value: bigint | number): void {
    this.call("write64", () => [strX({ n: 0, t: 1 }), ret], address, value);
  }

  write32(address: number, value: bigint | number): void {
    this.call("write32", () => [op("STR, W (unsigned offset)", { n: 0, t: 1 }), ret], address, value);
  }

  write8(address: number, value: number): void {
    this.call("write8", () => [op("STRB (unsigned offset)", { n: 0, t: 1 }), ret], address, value);
  }

  /** Zeroes `bytes` (a multiple of 64) at `address`. */
  zero(address: number, bytes: number): void {
    this.call(
      "zero",
      () => [
        stpX({ i: 0, u: 31, n: 0, t: 31 }),
        stpX({ i: 2, u: 31, n: 0, t: 31 }),
        stpX({ i: 4, u: 31, n: 0, t: 31 }),
        stpX({ i: 6, u: 31, n: 0, t: 31 }),
        op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, n: 0, d: 0, i: 64 }),
        op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, s: 1, n: 1, d: 1, i: 64 }),
        op("B.cond", { i: -6, c: 12 }), // GT
        ret,
      ],
      address,
      bytes,
    );
  }

  /** Fills `bytes` (a multiple of 8) at `address` with a word. */
  fill(address: number, bytes: number, value: bigint): void {
    this.call(
      "fill",
      () => [
        op("STR, X (post-index)", { i: 8, n: 0, t: 1 }),
        op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, s: 1, n: 2, d: 2, i: 8 }),
        op("B.cond", { i: -2, c: 12 }), // GT
        ret,
      ],
      address,
      value,
      bytes,
    );
  }

  /** Writes a system register at EL3. */
  msr(name: string, value: bigint | number): void {
    this.call(`msr ${name}`, () => [msr(name, 0), isb, ret], value);
  }

  /** Notes a system register as EL3 reads it. */
  mrs(name: string): void {
    this.call(`mrs ${name}`, () => [mrs(0, name), emit(0), ret]);
    this.note(name);
  }

  /** X`n` as the last entry ended becomes X`n` of the next one. */
  keep(n: number): void {
    this.call(`keep ${n}`, () => [
      ldrX({ i: n, n: 31, t: 0 }),
      ...loadConstant(1, BigInt(CONTEXT)),
      strX({ i: n, n: 1, t: 0 }),
      ret,
    ]);
  }

  /** A SYS instruction at EL3, then DSB and ISB. */
  sys(name: string, value: bigint | number = 0): void {
    this.call(`sys ${name}`, () => [sys(name, 0), dsb, isb, ret], value);
  }

  /** An AT instruction at EL3; notes PAR_EL1, or ESR_EL3 when it took an exception. */
  translate(name: string, va: bigint): void {
    this.call(
      `at ${name}`,
      () => [
        stpX({ i: SAVED_RUNNER, u: OUTPUT_REGISTER, n: 31, t: SCRIPT_REGISTER }),
        ...loadConstant(1, 1n),
        strX({ i: SAVED_FLAG, n: 31, t: 1 }),
        sys(name, 0),
        isb,
        mrs(0, "PAR_EL1"),
        strX({ i: SAVED_FLAG, n: 31, t: 31 }),
        emit(0),
        ret,
      ],
      va,
    );
    this.note(`${name} 0x${va.toString(16)}`);
  }

  /** Notes a 64-bit or 32-bit word of physical memory. */
  read64(address: number, name = `[0x${address.toString(16)}]`): void {
    this.call("read64", () => [ldrX({ n: 0, t: 0 }), emit(0), ret], address);
    this.note(name);
  }

  read32(address: number, name = `[0x${address.toString(16)}]`): void {
    this.call("read32", () => [op("LDR, W (unsigned offset)", { n: 0, t: 0 }), emit(0), ret], address);
    this.note(name);
  }

  /** The value of X`n` at the next entry. */
  x(n: number, value: bigint | number): void {
    this.write64(CONTEXT + 8 * n, value);
  }

  /** Puts a body at CODE (or `address`), two words at a time. */
  code(words: readonly number[], address = CODE): void {
    for (let i = 0; i < words.length; i += 2)
      this.write64(address + i * 4, (BigInt((words[i + 1] ?? 0) >>> 0) << 32n) | BigInt(words[i] >>> 0));
  }

  /** ERET with this SPSR and PC; notes how EL3 was reached again. */
  enter(spsr: number, pc: bigint | number): void {
    this.call("enter", () => ENTER, spsr, pc);
    this.note(...ENTRY_FIELDS);
  }

  /**
   * Goes on after what ended the last entry, with the registers as they were: at the next instruction when it was a trap
   * or a fault, at the same one when it was an interrupt. TLBs are flushed before. `stay`: at the level that took the
   * exception, else at the one that it came from. Interrupts are masked.
   */
  resume(stay: boolean): void {
    this.call("resume", () => [...RESUME, ...ENTER], stay ? 1 : 0);
    this.note(...ENTRY_FIELDS);
  }

  /** Notes the exception registers of EL1 and EL2. */
  exceptions(): void {
    this.call("exceptions", () => [...STATE_REGISTERS.flatMap((name) => [mrs(0, name), emit(0)]), ret]);
    this.note(...STATE_REGISTERS);
  }

  /** Notes the general registers as the last entry ended. */
  registers(count = 31): void {
    this.call(`registers ${count}`, () => [
      mov(1, 31),
      ...Array.from({ length: count }, (_, i) => [ldrX({ i, n: 1, t: 0 }), emit(0)]).flat(),
      ret,
    ]);
    this.note(...GENERAL.slice(0, count));
  }

  /** Bytes of the output. */
  get outputSize(): number {
    return this.fields.length * 8;
  }

  /** The image for one machine. Execution starts at RUNNER, at EL3. */
  segments(target: Target): Segment[] {
    const { words, addresses } = this.runner(target);
    const script = new BigUint64Array(this.count + CALL_WORDS);
    script.set(this.calls.subarray(0, this.count));
    for (let i = 0; i < this.count; i += CALL_WORDS) script[i] = BigInt(addresses[Number(script[i])]);
    script[this.count] = BigInt(addresses[this.stubs.size]);
    const data = BigUint64Array.from({ length: DATA_SIZE / 8 }, (_, i) => dataWord(DATA + i * 8));
    const context = BigUint64Array.from({ length: 32 }, (_, i) => 0x1111_0000_0000_0000n | BigInt(i));
    const bytes = (array: BigUint64Array | Uint32Array) => new Uint8Array(array.buffer);
    const vectors = (imm: number) => bytes(Uint32Array.from({ length: 16 * 32 }, (_, i) => smc(imm + (i >> 5))));
    const segments: Segment[] = [
      { address: RUNNER, bytes: bytes(Uint32Array.from(words)), executable: true },
      { address: CONTEXT_DEFAULT, bytes: bytes(context), executable: false },
      { address: VECTORS_EL1, bytes: vectors(0x100), executable: true },
      { address: VECTORS_EL2, bytes: vectors(0x200), executable: true },
      { address: DATA, bytes: bytes(data), executable: false },
      { address: SCRIPT, bytes: bytes(script), executable: false },
    ];
    if (SCRIPT + script.byteLength > OUTPUT) throw new Error("the script is too long");
    return segments;
  }

  /** The runner's code, and the addresses of its stubs: the last is the end. */
  private runner(target: Target): { words: number[]; addresses: number[] } {
    const words: number[] = [];
    const here = () => RUNNER + words.length * 4;
    const branchTo = (address: number) => words.push(op("B", { i: (address - here()) / 4 }));

    // The loop's address is needed by the vectors, so it is entered by a jump over them.
    const vectorsAt = RUNNER + 0x800;
    words.push(
      ...loadConstant(0, BigInt(vectorsAt)),
      msr("VBAR_EL3", 0),
      ...loadConstant(0, 0x30c5_0830n),
      msr("SCTLR_EL3", 0),
      isb,
      ...loadConstant(0, BigInt(SAVE)),
      mov(31, 0),
      ...loadConstant(SCRIPT_REGISTER, BigInt(SCRIPT)),
      ...loadConstant(OUTPUT_REGISTER, BigInt(OUTPUT)),
    );
    const loop = here();
    words.push(
      op("LDP, X (post-index)", { i: 2, u: 0, n: SCRIPT_REGISTER, t: 9 }),
      op("LDP, X (post-index)", { i: 2, u: 2, n: SCRIPT_REGISTER, t: 1 }),
      op("BLR", { n: 9 }),
    );
    branchTo(loop);

    const common = vectorsAt + 0x800;
    for (let vector = 0; vector < 16; vector++) {
      while (here() < vectorsAt + vector * 0x80) words.push(0);
      words.push(stpX({ i: 0, u: 1, n: 31, t: 0 }), ...loadConstant(0, BigInt(vector * 0x80)));
      branchTo(common);
    }
    while (here() < common) words.push(0);
    for (let t = 2; t < 30; t += 2) words.push(stpX({ i: t, u: t + 1, n: 31, t }));
    words.push(
      strX({ i: 30, n: 31, t: 30 }),
      ldpX({ i: SAVED_RUNNER, u: OUTPUT_REGISTER, n: 31, t: SCRIPT_REGISTER }),
      ldrX({ i: SAVED_FLAG, n: 31, t: 1 }),
      op("CBZ", { f: 1, i: 5, t: 1 }),
      strX({ i: SAVED_FLAG, n: 31, t: 31 }),
      mrs(0, "ESR_EL3"),
      emit(0),
    );
    branchTo(loop);
    words.push(emit(0));
    for (const name of ENTRY_FIELDS.slice(1)) words.push(mrs(0, name), emit(0));
    branchTo(loop);

    const addresses: number[] = [];
    for (const stub of this.stubs.values()) {
      addresses.push(here());
      words.push(...stub.words);
    }
    addresses.push(here());
    words.push(
      ...(target === "qemu"
        ? semihostingEnd(this.outputSize)
        : [...loadConstant(0, BigInt(END)), strX({ n: 0, t: 0 })]),
    );
    if (here() > SAVE) throw new Error("the runner is too long");
    return { words, addresses };
  }
}

/** Name of the file that QEMU writes, in its working directory. */
export const OUTPUT_FILE = "output.bin";
const PARAMETERS = SAVE + 0x400;

/** Arm semihosting 3.2: SYS_OPEN, SYS_WRITE, SYS_CLOSE, SYS_EXIT_EXTENDED. */
function semihostingEnd(size: number): number[] {
  const set = (index: number, value: bigint) => [...loadConstant(2, value), strX({ i: index, n: 1, t: 2 })];
  const request = (operation: bigint) => [...loadConstant(0, operation), op("HLT", { i: 0xf000 })];
  const name = PARAMETERS + 0x40;
  const text = new BigUint64Array(2);
  new TextEncoder().encodeInto(OUTPUT_FILE, new Uint8Array(text.buffer));
  return [
    ...loadConstant(1, BigInt(name)),
    ...set(0, text[0]),
    ...set(1, text[1]),
    ...loadConstant(1, BigInt(PARAMETERS)),
    ...set(0, BigInt(name)),
    ...set(1, 5n), // "wb"
    ...set(2, BigInt(OUTPUT_FILE.length)),
    ...request(0x01n),
    strX({ i: 0, n: 1, t: 0 }),
    ...set(1, BigInt(OUTPUT)),
    ...set(2, BigInt(size)),
    ...request(0x05n),
    ...request(0x02n),
    ...set(0, 0x20026n), // ADP_Stopped_ApplicationExit
    ...set(1, 0n),
    ...request(0x20n),
  ];
}
