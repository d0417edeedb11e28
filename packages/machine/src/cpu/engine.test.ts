import { beforeEach, describe, expect, test } from "vitest";
import { encode, rowNamed } from "./encode.js";
import {
  Access,
  ENGINE_TABLES_SIZE,
  EngineExit,
  type EngineHost,
  HostReply,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_INVALID,
  TLB_SIZE,
} from "./engine.js";
import { packNzcv, setNzcv } from "./flags.js";
import { FPCR, FPSR } from "./fp/index.js";
import { createInterpreter, generateInterpreter } from "./interpreter/index.js";
import { ROWS } from "./rows/index.js";
import { GROUPS, PE_STATE_SIZE, R } from "./state.js";
import { Wasm } from "./wasm/api.js";

const PAGE = 0x1000;
const module = generateInterpreter();

const BASE = ENGINE_TABLES_SIZE;
const TLB = BASE + PE_STATE_SIZE;
const [READ, WRITE, FETCH] = [TLB, TLB + TLB_SIZE, TLB + 2 * TLB_SIZE];
const [READ_U, WRITE_U] = [TLB + 3 * TLB_SIZE, TLB + 4 * TLB_SIZE];
const FRAMES = TLB + 5 * TLB_SIZE;
const SIZE = 0x200000;

/** A host call and what the state was. */
interface Call {
  readonly name: string;
  readonly pc: bigint;
  readonly budget: number;
  readonly args: readonly number[];
}

/** Virtual addresses are offsets into the frames, up to 64 KiB; beyond is a fault, which goes to VECTOR. */
const LIMIT = 0x10000;
const VECTOR = 0x8000n;

class StandIn implements EngineHost {
  readonly memory = new Wasm.Memory({ initial: SIZE / 0x10000 });
  readonly bytes = new Uint8Array(this.memory.buffer);
  readonly view = new DataView(this.memory.buffer);
  readonly r = new BigUint64Array(this.memory.buffer, BASE, PE_STATE_SIZE / 8);
  readonly engine = createInterpreter({ memory: this.memory, host: this, module });
  readonly calls: Call[] = [];
  /** Whether pages enter the TLB. */
  caching = true;
  onSystem: (insn: number) => number = () => HostReply.LEAVE;

  constructor() {
    for (let at = TLB; at < FRAMES; at += TLB_ENTRY_SIZE) this.view.setBigUint64(at, TLB_INVALID, true);
    this.r[R.TLB_READ] = BigInt(READ);
    this.r[R.TLB_WRITE] = BigInt(WRITE);
    this.r[R.TLB_FETCH] = BigInt(FETCH);
    this.r[R.TLB_READ_U] = BigInt(READ_U);
    this.r[R.TLB_WRITE_U] = BigInt(WRITE_U);
  }

  /** Puts instructions at an address and PC there. */
  code(pc: number, words: readonly number[]): void {
    for (const [i, word] of words.entries()) this.view.setUint32(FRAMES + pc + i * 4, word, true);
    this.r[R.PC] = BigInt(pc);
  }

  /** Runs for `budget` instructions at most; how many were counted. */
  run(budget = 1000): { exit: number; counted: number } {
    this.r[R.BUDGET] = BigInt(budget);
    const exit = this.engine.run(BASE);
    return { exit, counted: budget - this.budget };
  }

  get budget(): number {
    return this.view.getInt32(BASE + R.BUDGET * 8, true);
  }

  private record(name: string, ...args: number[]): void {
    this.calls.push({ name, pc: this.r[R.PC], budget: this.budget, args });
  }

  /** What an exception takes from the budget; the machine's costs 1. */
  exceptionCost = 0;

  private take(): 0 {
    this.view.setInt32(BASE + R.BUDGET * 8, this.budget - this.exceptionCost, true);
    this.r[R.ELR_EL1] = this.r[R.PC];
    this.r[R.PC] = VECTOR;
    return 0;
  }

  private enter(array: number, va: number): void {
    if (!this.caching) return;
    const entry = array + ((va >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_SIZE;
    this.view.setBigUint64(entry, BigInt(va & ~(PAGE - 1)), true);
    this.view.setInt32(entry + 8, FRAMES, true);
  }

  fetch(): number {
    this.record("fetch");
    const pc = Number(this.r[R.PC]);
    if (pc >= LIMIT) return this.take();
    this.enter(FETCH, pc);
    return FRAMES + pc;
  }

  load(_base: number, lo: number, hi: number, size: number, access: number, insn: number): number {
    this.record("load", lo, hi, size, access, insn);
    if (hi !== 0 || lo + size > LIMIT) return this.take();
    if ((lo & 0xfff) + size <= PAGE) this.enter(access & Access.UNPRIVILEGED ? READ_U : READ, lo);
    return FRAMES + lo;
  }

  store(_base: number, lo: number, hi: number, size: number, access: number, insn: number): number {
    this.record("store", lo, hi, size, access, insn);
    if (hi !== 0 || lo + size > LIMIT) return this.take();
    if ((lo & 0xfff) + size <= PAGE) this.enter(access & Access.UNPRIVILEGED ? WRITE_U : WRITE, lo);
    this.bytes.copyWithin(FRAMES + lo, BASE + R.SCRATCH0 * 8, BASE + R.SCRATCH0 * 8 + size);
    return 1;
  }

  modify(_base: number, lo: number, hi: number, size: number, access: number, insn: number): number {
    this.record("modify", lo, hi, size, access, insn);
    if (hi !== 0 || lo + size > LIMIT || access & Access.UNALIGNED) return this.take();
    this.enter(WRITE, lo);
    return FRAMES + lo;
  }

  system(_base: number, insn: number): number {
    this.record("system", insn);
    return this.onSystem(insn);
  }

  misaligned(_base: number, kind: number): void {
    this.record("misaligned", kind);
    this.take();
  }

  /** Nothing is translated here. */
  fill(): number {
    return 0;
  }

  translate(): number {
    return 0;
  }
}

const NOP = 0xd503201f;
const STOP = encode(rowNamed("HLT"), { i: 0 });
const addImmediate = (d: number, n: number, i: number) =>
  encode(rowNamed("ADD, ADDS, SUB, SUBS (immediate)"), { f: 1, o: 0, s: 0, h: 0, i, n, d });
const subsImmediate = (d: number, n: number, i: number) =>
  encode(rowNamed("ADD, ADDS, SUB, SUBS (immediate)"), { f: 1, o: 1, s: 1, h: 0, i, n, d });
const branch = (i: number) => encode(rowNamed("B"), { i });
const branchIf = (c: number, i: number) => encode(rowNamed("B.cond"), { c, i });
const ldr = (t: number, n: number, i: number) => encode(rowNamed("LDR, X (unsigned offset)"), { t, n, i });
const str = (t: number, n: number, i: number) => encode(rowNamed("STR, X (unsigned offset)"), { t, n, i });
const NE = 1;

let m: StandIn;
beforeEach(() => {
  m = new StandIn();
});

describe("sequence and budget", () => {
  test("each instruction counts once; PC is the next", () => {
    m.code(0, [NOP, addImmediate(0, 0, 5), NOP, NOP]);
    expect(m.run(2)).toEqual({ exit: EngineExit.BUDGET, counted: 2 });
    expect([m.r[R.PC], m.r[R.X0]]).toEqual([8n, 5n]);
  });

  test.each([1, 2, 3, 4, 7])("a loop cut into slices of %i gives the same", (slice) => {
    const words = [addImmediate(1, 31, 9), addImmediate(0, 0, 3), subsImmediate(1, 1, 1), branchIf(NE, -2), STOP];
    m.code(0x100, words);
    m.r[R.SP] = 0n;
    let counted = 0;
    for (let exit: number = EngineExit.BUDGET; exit === EngineExit.BUDGET; ) {
      const step = m.run(slice);
      exit = step.exit;
      counted += step.counted;
    }
    expect([counted, m.r[R.X0], m.r[R.PC]]).toEqual([28, 27n, 0x110n]);
  });

  test("a spent budget runs nothing and fetches nothing", () => {
    m.code(0, [NOP]);
    expect(m.run(0)).toEqual({ exit: EngineExit.BUDGET, counted: 0 });
    expect(m.run(-3)).toEqual({ exit: EngineExit.BUDGET, counted: 0 });
    expect(m.calls).toEqual([]);
  });

  test("the budget ends before the fetch of the next page", () => {
    m.code(PAGE - 4, [NOP]);
    expect(m.run(1).counted).toBe(1);
    expect(m.r[R.PC]).toBe(BigInt(PAGE));
    expect(m.calls.map(({ name }) => name)).toEqual(["fetch"]);
  });

  test("sequences and branches leave the page through the fetch TLB", () => {
    m.code(2 * PAGE, [STOP]);
    m.code(PAGE - 8, [branch(1), NOP]); // falls off the page's end
    m.code(PAGE, [branch(PAGE / 4)]);
    m.r[R.PC] = BigInt(PAGE - 8);
    expect(m.run().counted).toBe(3);
    expect(m.r[R.PC]).toBe(BigInt(2 * PAGE));
    expect(m.calls.map(({ name, pc }) => [name, pc])).toEqual([
      ["fetch", BigInt(PAGE - 8)],
      ["fetch", BigInt(PAGE)],
      ["fetch", BigInt(2 * PAGE)],
      ["system", BigInt(2 * PAGE)],
    ]);
  });

  test("ATTENTION leaves before the next instruction", () => {
    m.code(0, [ldr(0, 1, 0), NOP, NOP]);
    m.r[R.X1] = 0x2000n;
    m.view.setBigUint64(FRAMES + 0x2000, 77n, true);
    const load = m.load.bind(m);
    m.load = (...args) => {
      m.r[R.ATTENTION] = 1n;
      return load(...args);
    };
    const engine = createInterpreter({ memory: m.memory, host: m, module });
    m.r[R.BUDGET] = 100n;
    expect(engine.run(BASE)).toBe(EngineExit.BUDGET);
    expect([m.r[R.PC], m.r[R.X0], m.budget, m.r[R.BUDGET_HELD]]).toEqual([4n, 77n, 99, 0n]);
    expect(engine.run(BASE)).toBe(EngineExit.BUDGET);
    expect(m.r[R.PC]).toBe(4n);
    m.r[R.ATTENTION] = 0n;
    engine.run(BASE);
    expect(m.r[R.PC]).toBeGreaterThan(4n);
  });
});

describe("host calls", () => {
  test("system sees the state at the instruction's start and its word", () => {
    const insn = 0xd5381020; // MRS X0, ACTLR_EL1
    m.code(0, [NOP, insn, STOP]);
    m.onSystem = (word) => (word === insn ? HostReply.NEXT : HostReply.LEAVE);
    expect(m.run(10)).toEqual({ exit: EngineExit.LEAVE, counted: 2 });
    expect(m.calls.slice(1)).toEqual([
      { name: "system", pc: 4n, budget: 9, args: [insn] },
      { name: "system", pc: 8n, budget: 8, args: [STOP] },
    ]);
  });

  test("JUMP goes on where the host has put PC, and the host has counted", () => {
    m.code(0x40, [addImmediate(0, 0, 1), STOP]);
    m.code(0, [0xd69f03e0]); // ERET
    m.onSystem = (word) => {
      if (word === STOP) return HostReply.LEAVE;
      m.r[R.PC] = 0x40n;
      m.r[R.BUDGET] -= 1n;
      return HostReply.JUMP;
    };
    expect(m.run(10)).toEqual({ exit: EngineExit.LEAVE, counted: 2 });
    expect(m.r[R.X0]).toBe(1n);
  });

  test("a budget that the host lowers ends the run", () => {
    m.code(0, [0xd503205f, NOP, NOP]); // WFE
    m.onSystem = () => {
      m.r[R.BUDGET] = 1n;
      return HostReply.NEXT;
    };
    expect(m.run(10).exit).toBe(EngineExit.BUDGET);
    expect([m.r[R.PC], m.budget]).toEqual([4n, 0]);
  });

  test.each([0x1ee02000, 0x4e401400, 0xffffffff, 0x00000000, 0xdac14bff, 0x38bfc020])(
    "%i is unknown here and goes to the host",
    (word) => {
      m.code(0, [word]);
      expect(m.run().counted).toBe(0);
      expect(m.calls.at(-1)).toMatchObject({ name: "system", pc: 0n, args: [word] });
    },
  );
});

describe("faults are precise", () => {
  const far = 0x2_0000n;

  test.each([
    ["LDP with its base as target", encode(rowNamed("LDP, X (post-index)"), { i: 2, u: 3, n: 1, t: 2 })],
    ["LDR pre-index", encode(rowNamed("LDR, X (pre-index)"), { i: 8, n: 1, t: 2 })],
    ["STP pre-index", encode(rowNamed("STP, X (pre-index)"), { i: -2, u: 3, n: 1, t: 2 })],
    ["SWP", encode(rowNamed("SWP, X"), { a: 1, r: 1, s: 2, n: 1, t: 3 })],
    ["CASP", encode(rowNamed("CASP, X"), { a: 0, r: 0, s: 2, n: 1, t: 4 })],
    ["STXR", encode(rowNamed("STXR, STLXR, X"), { s: 2, a: 0, n: 1, t: 3 })],
    ["LDTR", encode(rowNamed("LDTR, X (unprivileged)"), { i: 0, n: 1, t: 2 })],
  ])("%s changes nothing, and counts nothing", (_, word) => {
    m.code(0, [word]);
    m.code(Number(VECTOR), [STOP]);
    m.r[R.PC] = 0n;
    m.r[R.X1] = far;
    for (let i = 2; i < 31; i++) m.r[R.X0 + i] = BigInt(i);
    const before = m.r.slice(R.X0, R.SP);
    expect(m.run(10)).toEqual({ exit: EngineExit.LEAVE, counted: 0 });
    expect(m.r.slice(R.X0, R.SP)).toEqual(before);
    expect(m.r[R.ELR_EL1]).toBe(0n);
    expect(m.calls.at(-1)?.pc).toBe(VECTOR);
  });

  test("a fetch that faults", () => {
    m.code(Number(VECTOR), [STOP]);
    m.r[R.PC] = 0x1_0000_0000n;
    expect(m.run(10).counted).toBe(0);
    expect(m.r[R.ELR_EL1]).toBe(0x1_0000_0000n);
  });

  test("a jump to an odd address", () => {
    m.code(Number(VECTOR), [STOP]);
    m.code(0, [encode(rowNamed("BR"), { n: 5 })]);
    m.r[R.X5] = 0x1002n;
    expect(m.run(10).counted).toBe(1);
    expect(m.calls[1]).toMatchObject({ name: "misaligned", pc: 0x1002n, args: [0] });
  });

  test("an address above 4 GiB does not hit the entry of its low half", () => {
    m.code(Number(VECTOR), [STOP]);
    m.code(0, [ldr(0, 1, 0), ldr(0, 2, 0)]);
    m.r[R.X1] = 0x2000n;
    m.r[R.X2] = 0x1_0000_2000n;
    m.run();
    expect(m.calls.filter(({ name }) => name === "load").map(({ args }) => args.slice(0, 2))).toEqual([
      [0x2000, 0],
      [0x2000, 1],
    ]);
  });
});

describe("data accesses", () => {
  test("a hit asks nobody", () => {
    m.code(0, [str(1, 2, 0), str(1, 2, 1), ldr(3, 2, 1), ldr(4, 2, 0), STOP]);
    m.r[R.X1] = 0x1122_3344_5566_7788n;
    m.r[R.X2] = 0x3000n;
    expect(m.run().counted).toBe(4);
    expect([m.r[R.X3], m.r[R.X4]]).toEqual([m.r[R.X1], m.r[R.X1]]);
    expect(m.calls.map(({ name }) => name)).toEqual(["fetch", "store", "load", "system"]);
  });

  test("an access across pages always asks the host", () => {
    m.code(0, [ldr(3, 2, 0), ldr(3, 2, 0), STOP]);
    m.r[R.X2] = 0x3ffcn;
    m.run();
    const crossing = [0x3ffc, 0, 8, Access.UNALIGNED, ldr(3, 2, 0)];
    expect(m.calls.filter(({ name }) => name === "load").map(({ args }) => args)).toEqual([crossing, crossing]);
  });

  test("a slow store passes its data in the scratch slots, and only there", () => {
    m.caching = false;
    m.code(0, [encode(rowNamed("STP, X (signed offset)"), { i: 0, u: 31, n: 2, t: 1 }), STOP]);
    m.r[R.X1] = 0xabcdn;
    m.r[R.X2] = 0x3000n;
    m.view.setBigUint64(FRAMES + 0x3008, 1n, true);
    m.run();
    expect(m.view.getBigUint64(FRAMES + 0x3000, true)).toBe(0xabcdn);
    expect(m.view.getBigUint64(FRAMES + 0x3008, true)).toBe(0n);
  });

  test.each([
    { check: 0n, asked: 1 },
    { check: 1n, asked: 2 },
  ])("ALIGN_CHECK $check: an unaligned access in a cached page asks the host $asked times", ({ check, asked }) => {
    m.code(0, [ldr(3, 1, 0), ldr(3, 2, 0), STOP]);
    m.r[R.X1] = 0x3000n;
    m.r[R.X2] = 0x3004n;
    m.r[R.ALIGN_CHECK] = check;
    m.run();
    const loads = m.calls.filter(({ name }) => name === "load");
    expect(loads.length).toBe(asked);
    if (asked === 2) expect(loads[1].args[3]).toBe(Access.UNALIGNED);
  });

  test("a pair is aligned when its registers are", () => {
    m.code(0, [encode(rowNamed("LDP, X (signed offset)"), { i: 0, u: 4, n: 1, t: 3 }), STOP]);
    m.r[R.X1] = 0x3008n;
    m.r[R.ALIGN_CHECK] = 1n;
    m.run();
    expect(m.calls[1]).toMatchObject({ name: "load", args: [0x3008, 0, 16, Access.NO_SYNDROME, expect.any(Number)] });
  });

  test("acquire, release and atomics are always checked", () => {
    m.code(0, [ldr(3, 2, 0), encode(rowNamed("LDAR, X"), { n: 1, t: 3 }), STOP]);
    m.r[R.X1] = 0x3004n;
    m.r[R.X2] = 0x3000n;
    m.run();
    expect(m.calls[2].args[3]).toBe(Access.ORDERED | Access.UNALIGNED);
  });

  test.each([
    { check: 0n, sp: 0x3008n, name: "load" },
    { check: 1n, sp: 0x3008n, name: "misaligned" },
    { check: 1n, sp: 0x3010n, name: "load" },
  ])("SP_CHECK $check, SP $sp: $name", ({ check, sp, name }) => {
    m.code(Number(VECTOR), [STOP]);
    m.code(0, [ldr(3, 31, 0), STOP]);
    m.r[R.SP] = sp;
    m.r[R.SP_CHECK] = check;
    m.run();
    expect(m.calls[1]).toMatchObject({ name, pc: 0n });
  });

  test("SP misaligned with the check off is still an ordinary access once the page is known", () => {
    m.code(0, [ldr(3, 31, 0), ldr(4, 31, 0), STOP]);
    m.r[R.SP] = 0x3008n;
    m.run();
    expect(m.calls.filter(({ name }) => name === "load").length).toBe(1);
  });

  test("unprivileged accesses look in arrays of their own", () => {
    const ldtr = encode(rowNamed("LDTR, X (unprivileged)"), { i: 0, n: 1, t: 2 });
    const sttr = encode(rowNamed("STTR, X (unprivileged)"), { i: 0, n: 1, t: 2 });
    const str = encode(rowNamed("STR, X (unsigned offset)"), { i: 0, n: 1, t: 2 });
    m.code(0, [ldr(3, 1, 0), ldtr, ldtr, str, sttr, sttr, STOP]);
    m.r[R.X1] = 0x3000n;
    m.run();
    const flags = m.calls.filter(({ name }) => name === "load" || name === "store").map(({ args }) => args[3]);
    const { WRITE, UNPRIVILEGED } = Access;
    expect(flags).toEqual([0, UNPRIVILEGED, WRITE, WRITE | UNPRIVILEGED]);
  });
});

describe("exclusives", () => {
  const ldxr = encode(rowNamed("LDXR, LDAXR, X"), { a: 0, n: 1, t: 2 });
  const stxr = (s: number, n = 1) => encode(rowNamed("STXR, STLXR, X"), { s, a: 0, n, t: 3 });
  const stxrW = encode(rowNamed("STXR, STLXR, W"), { s: 6, a: 0, n: 1, t: 3 });
  const clrex = encode(rowNamed("CLREX"), { m: 15 });

  test.each([
    { name: "holds", words: [ldxr, stxr(6)], status: 0n },
    { name: "is open", words: [stxr(6)], status: 1n },
    { name: "was used up", words: [ldxr, stxr(5), stxr(6)], status: 1n },
    { name: "was cleared", words: [ldxr, clrex, stxr(6)], status: 1n },
    { name: "holds another size", words: [ldxr, stxrW], status: 1n },
    { name: "holds another address", words: [ldxr, stxr(6, 4)], status: 1n },
  ])("the monitor $name: status $status", ({ words, status }) => {
    m.code(0, [...words, STOP]);
    m.r[R.X1] = 0x3000n;
    m.r[R.X3] = 9n;
    m.r[R.X4] = 0x3010n;
    m.run();
    expect(m.r[R.X6]).toBe(status);
    expect(m.r[R.EXCL_HOST]).toBe(0n);
  });

  test("the machine can clear the monitor", () => {
    m.code(0, [ldxr, NOP, stxr(6), STOP]);
    m.r[R.X1] = 0x3000n;
    m.run(2);
    expect([m.r[R.EXCL_HOST], m.r[R.EXCL_SIZE]]).toEqual([BigInt(FRAMES + 0x3000), 8n]);
    m.r[R.EXCL_HOST] = 0n;
    m.run();
    expect(m.r[R.X6]).toBe(1n);
  });
});

describe("flags", () => {
  test("NZCV that the host writes decides the next branch", () => {
    for (let nzcv = 0; nzcv < 16; nzcv++) {
      m.code(0, [branchIf(0, 2), addImmediate(0, 0, 1), STOP]);
      m.r[R.X0] = 0n;
      setNzcv(m.r, BigInt(nzcv) << 28n);
      expect(packNzcv(m.r)).toBe(BigInt(nzcv) << 28n);
      m.run();
      expect(m.r[R.X0]).toBe(nzcv & 4 ? 0n : 1n);
    }
  });

  test.each([
    [5n, 5n, 0x6000_0000n],
    [0n, 1n, 0x8000_0000n],
    [1n << 63n, 1n, 0x3000_0000n],
    [7n, 3n, 0x2000_0000n],
  ])("SUBS %i, %i packs to %i", (a, b, nzcv) => {
    const subs = rowNamed("ADD, ADDS, SUB, SUBS (shifted register), 64-bit");
    m.code(0, [encode(subs, { o: 1, s: 1, t: 0, m: 2, i: 0, n: 1, d: 31 }), STOP]);
    m.r[R.X1] = a;
    m.r[R.X2] = b;
    m.run();
    expect(packNzcv(m.r)).toBe(nzcv);
    expect(m.r[R.XZR]).toBe(0n);
  });
});

describe("hostile code", () => {
  /** xorshift32 */
  const random = (seed: number) => {
    let x = seed;
    return () => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return x >>> 0;
    };
  };

  test.each([1, 2, 3, 4])("random words write only where they may (seed %i)", (seed) => {
    const next = random(seed * 7919);
    const word = () => {
      const row = ROWS[next() % ROWS.length];
      const bits = next();
      return next() % 4 === 0 ? bits : ((bits & ~row.mask) | row.value) >>> 0;
    };
    m.exceptionCost = 1;
    m.onSystem = () => HostReply.NEXT;
    const tables = m.bytes.slice(0, ENGINE_TABLES_SIZE);
    for (let round = 0; round < 40; round++) {
      m.calls.length = 0;
      for (let at = 0; at < LIMIT; at += 4) m.view.setUint32(FRAMES + at, word(), true);
      for (let i = 0; i < 31; i++)
        m.r[R.X0 + i] = next() % 3 === 0 ? (BigInt(next()) << 32n) | BigInt(next()) : BigInt(next() % LIMIT);
      m.r[R.SP] = BigInt(next() % LIMIT);
      m.r[R.PC] = BigInt((next() % LIMIT) & ~3);
      m.r[R.ALIGN_CHECK] = BigInt(next() & 1);
      m.r[R.SP_CHECK] = BigInt(next() & 1);
      const { exit, counted } = m.run(500);
      expect([exit, counted]).toEqual([EngineExit.BUDGET, 500]);
    }
    expect(Buffer.compare(m.bytes.subarray(0, ENGINE_TABLES_SIZE), tables)).toBe(0);
    expect(m.bytes.subarray(FRAMES + LIMIT).every((byte) => byte === 0)).toBe(true);
    expect(m.r[R.XZR]).toBe(0n);
    // What rows write without leaving the engine, and what this machine's exceptions write.
    const written: readonly number[] = [R.ELR_EL1, R.SP_EL0, R.TPIDR_EL0, R.TPIDR_EL1];
    expect(m.r[R.FPCR] & ~BigInt(FPCR.WRITABLE)).toBe(0n);
    expect(m.r[R.FPSR] & ~BigInt(FPSR.WRITABLE)).toBe(0n);
    for (const group of ["EL1", "EL2", "EL3"] as const) {
      const { first, count } = GROUPS[group];
      const changed = [...m.r.subarray(first, first + count)].some(
        (value, i) => value !== 0n && !written.includes(first + i),
      );
      expect(changed, group).toBe(false);
    }
  });
});

test("the module's bytes are a function of the rows", () => {
  expect(Buffer.compare(generateInterpreter(), module)).toBe(0);
  expect(Wasm.validate(module)).toBe(true);
});
