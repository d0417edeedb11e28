/** PEs that interleave by a seed: what several of them may rely on holds in every order, and the orders do differ. */
import { Gpi } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { type Assembler, assemble } from "../test-support/assembler.js";
import { DRAM, SCR_OF, testBoard, testEngine } from "../test-support/pe-at.js";
import { D, peek, poke, Tables, writeGpt } from "../test-support/tables.js";
import { encode, rowNamed } from "./cpu/encode.js";
import { R } from "./cpu/state.js";
import { GPCCR, ppsFor } from "./gpt.js";
import { Interleaving } from "./interleaving.js";
import { Machine } from "./machine.js";

const op = (name: string, fields: Readonly<Record<string, number>> = {}): number => encode(rowNamed(name), fields);

const SEV = 0xd503_209f;
const DMB = 0xd503_3bbf;
const DSB = 0xd503_3b9f;
const NE = 1;

// Registers: X0 the PE's number, X1 an address, X20 upwards what is counted.
const ldaxr = (t: number, n: number) => op("LDXR, LDAXR, X", { a: 1, n, t });
const stlxr = (s: number, t: number, n: number) => op("STXR, STLXR, X", { a: 1, s, n, t });
const ldar = (t: number, n: number) => op("LDAR, X", { n, t });
const stlr = (t: number, n: number) => op("STLR, X", { n, t });
const subs = (d: number, n: number, i: number) => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, s: 1, n, d, i });
const cmpReg = (n: number, m: number) => (0xeb00_001f | (m << 16) | (n << 5)) >>> 0;

const COUNTER = 0x8000n;
const LOCK = 0x8040n;
const SERVING = 0x8080n;

function machineOf(
  program: (a: Assembler) => void,
  { pes, interleave }: { pes: number; interleave?: bigint | undefined },
): Machine {
  const machine = new Machine({
    board: testBoard({ peCount: pes, frameBytes: 1 << 20 }),
    engine: testEngine(),
    ...(interleave === undefined ? {} : { interleave }),
  });
  machine.load(0n, assemble(program));
  machine.reset();
  for (let i = 1; i < pes; i++) machine.startPe(i);
  machine.pes.forEach((pe, i) => {
    pe.r[R.X0] = BigInt(i);
  });
  return machine;
}

/** Runs until all PEs wait, and not for ever. */
function finish(machine: Machine): void {
  expect(machine.run({ instructions: 3_000_000 })).toMatchObject({ kind: "deadlock" });
}

const SEEDS = Array.from({ length: 30 }, (_, i) => BigInt(i + 1));
const ROUNDS = 40;
const PES = 4;

/** Adds one to the counter, in instructions of its own. */
const increment = (a: Assembler) => a.mov(1, COUNTER).ldr(2, 1).add(2, 2, 1).str(2, 1);

/** `body`, ROUNDS times, then waits. */
const rounds = (body: (a: Assembler) => void) => (a: Assembler) => {
  a.mov(19, ROUNDS).label("round");
  body(a);
  a.word(subs(19, 19, 1))
    .bCond(NE, "round")
    .wfi()
    .loop();
};

describe("locks hold in every order", () => {
  const LOCKS: Readonly<Record<string, (a: Assembler) => void>> = {
    "exclusives alone": (a) => {
      a.mov(1, COUNTER)
        .label("again")
        .word(ldaxr(2, 1))
        .add(2, 2, 1)
        .word(stlxr(3, 2, 1))
        .cbnz(3, "again");
    },
    "LDADD alone": (a) => {
      a.mov(1, COUNTER)
        .mov(2, 1)
        .word(op("LDADD, X", { n: 1, s: 2, t: 3 }));
    },
    "a ticket lock of LDADD, waiting with WFE and released with SEV": (a) => {
      a.mov(4, LOCK).mov(5, SERVING).mov(6, 1);
      a.word(op("LDADD, X", { a: 1, n: 4, s: 6, t: 7 })).label("wait");
      a.word(ldar(8, 5), cmpReg(8, 7)).bCond(0, "mine").wfe().b("wait").label("mine");
      increment(a);
      a.ldr(8, 5).add(8, 8, 1).word(stlr(8, 5), SEV);
    },
    "a ticket lock of exclusives": (a) => {
      a.mov(4, LOCK).mov(5, SERVING).label("take");
      a.word(ldaxr(7, 4))
        .add(8, 7, 1)
        .word(stlxr(3, 8, 4))
        .cbnz(3, "take")
        .label("wait");
      a.word(ldar(8, 5), cmpReg(8, 7)).bCond(NE, "wait");
      increment(a);
      a.ldr(8, 5).add(8, 8, 1).word(stlr(8, 5));
    },
    "a spinlock of CAS": (a) => {
      a.mov(4, LOCK).label("take").mov(7, 0).mov(8, 1);
      a.word(op("CAS, X", { a: 1, n: 4, s: 7, t: 8 })).cbnz(7, "take");
      increment(a);
      a.word(stlr(31, 4));
    },
    "a lock that waits for the monitor with LDAXR and WFE": (a) => {
      a.mov(4, LOCK).mov(8, 1).b("look").label("sleep").wfe().label("look");
      a.word(ldaxr(7, 4))
        .cbnz(7, "sleep")
        .word(stlxr(3, 8, 4))
        .cbnz(3, "look");
      increment(a);
      a.word(stlr(31, 4));
    },
  };

  test.each(Object.keys(LOCKS))("%s", (name) => {
    for (const interleave of SEEDS) {
      const machine = machineOf(rounds(LOCKS[name]!), { pes: PES, interleave });
      finish(machine);
      expect(peek(machine, COUNTER), `seed ${interleave}`).toBe(BigInt(PES * ROUNDS));
    }
  });

  test("without a lock increments are lost", () => {
    const left = SEEDS.map((interleave) => {
      const machine = machineOf(rounds(increment), { pes: PES, interleave });
      finish(machine);
      return Number(peek(machine, COUNTER));
    });
    expect(Math.max(...left)).toBeLessThanOrEqual(PES * ROUNDS);
    expect(left.filter((value) => value < PES * ROUNDS).length).toBeGreaterThan(SEEDS.length / 2);
  });
});

describe("memory is sequentially consistent", () => {
  test("Dekker: of two PEs that each write and then read, one sees the other; all other outcomes occur", () => {
    const seen = new Set<string>();
    for (let interleave = 1n; interleave <= 200n; interleave++) {
      // X2 is where this PE writes, X3 where the other does.
      const machine = machineOf(
        (a) => {
          a.mov(2, 0x8000).mov(3, 0x8040).mov(4, 1);
          a.cbnz(0, "other").word(stlr(4, 2), DMB, ldar(20, 3)).wfi().loop();
          a.label("other").word(stlr(4, 3), DMB, ldar(20, 2)).wfi().loop();
        },
        { pes: 2, interleave },
      );
      finish(machine);
      seen.add(machine.pes.map((pe) => pe.r[R.X0 + 20]).join());
    }
    expect([...seen].sort()).toEqual(["0,1", "1,0", "1,1"]);
  });

  test("a message is complete when its flag is seen", () => {
    for (const interleave of SEEDS) {
      const machine = machineOf(
        (a) => {
          a.mov(2, 0x8000).mov(3, 0x8040).cbnz(0, "reader");
          a.mov(4, 0x1234).str(4, 2).mov(4, 1).word(stlr(4, 3)).wfi().loop();
          a.label("reader").label("again").word(ldar(5, 3), cmpReg(5, 31)).bCond(0, "again").ldr(20, 2).wfi().loop();
        },
        { pes: 3, interleave },
      );
      finish(machine);
      expect(machine.pes.slice(1).map((pe) => pe.r[R.X0 + 20])).toEqual([0x1234n, 0x1234n]);
    }
  });

  test("a barrier between PEs lets none through before the last has come", () => {
    const EPISODES = 12;
    for (const interleave of SEEDS) {
      // Each PE writes the episode's number to its own word, meets the others, then reads all words.
      const machine = machineOf(
        (a) => {
          a.mov(19, 0).mov(4, LOCK).mov(10, 0x9000).mov(6, 1).label("episode").add(19, 19, 1);
          // x11 = x10 + 8 * x0
          a.word((0x8b00_0c00 | (0 << 16) | (10 << 5) | 11) >>> 0).str(19, 11);
          // Arrivals so far must reach episode * PES.
          a.word(op("LDADD, X", { a: 1, r: 1, n: 4, s: 6, t: 7 }));
          a.mov(8, PES).word((0x9b00_7c00 | (8 << 16) | (19 << 5) | 8) >>> 0); // mul x8, x19, x8
          a.label("wait").word(ldar(9, 4), cmpReg(9, 8)).bCond(3, "wait"); // below
          for (let i = 0; i < PES; i++) {
            a.ldr(12, 10, 8 * i)
              .word(cmpReg(12, 19))
              .bCond(2, `fine${i}`)
              .add(20, 20, 1)
              .label(`fine${i}`);
          }
          a.cmp(19, EPISODES).bCond(NE, "episode").wfi().loop();
        },
        { pes: PES, interleave },
      );
      finish(machine);
      expect(machine.pes.map((pe) => pe.r[R.X0 + 20])).toEqual(machine.pes.map(() => 0n));
      expect(peek(machine, LOCK)).toBe(BigInt(PES * EPISODES));
    }
  });
});

describe("maintenance by one PE concerns the others", () => {
  const FLAG = 0x8040n;
  const VA = 0x4000_0000n;
  const OLD = 0x20_0000n;
  const NEW = 0x20_1000n;

  /** EL3 with translation on: page 0x0 to 0xf000 as it is, VA at OLD. */
  function translated(program: (a: Assembler) => void, interleave: bigint, pes = 3) {
    const machine = machineOf(program, { pes, interleave });
    const tables = new Tables(machine, { at: 0x10_0000n });
    const normal = D.PAGE | D.AF | (3n << 8n) | D.NSE | D.ATTR(0); // Root memory
    for (let page = 0n; page < 0x10_000n; page += 0x1000n) tables.map(page, page | normal);
    tables.map(VA, OLD | normal);
    poke(machine, OLD, 0x01dn);
    poke(machine, NEW, 0x02en);
    const entry = tables.entry(VA, 3);
    // The tables' page that holds the entry, where EL3 can write it.
    tables.map(0x5000_0000n, (entry & ~0xfffn) | normal);
    for (const pe of machine.pes) {
      pe.r[R.MAIR_EL3] = 0xffn;
      pe.r[R.TCR_EL3] = 0x8080_3510n | (5n << 16n);
      pe.r[R.TTBR0_EL3] = tables.root;
      pe.r[R.SCTLR_EL3] = pe.r[R.SCTLR_EL3]! | 1n;
      pe.r[R.X0 + 25] = 0x5000_0000n | (entry & 0xfffn);
      pe.r[R.X0 + 26] = NEW | normal;
      pe.contextChanged();
    }
    return machine;
  }

  test.each(["TLBI VAE3IS", "TLBI ALLE3IS"])("%s: after it and DSB no PE reads through the old entry", (tlbi) => {
    for (const interleave of SEEDS) {
      const machine = translated((a) => {
        a.mov(2, VA)
          .mov(3, FLAG)
          .mov(4, VA >> 12n)
          .mov(5, 1)
          .cbnz(0, "reader");
        for (let i = 0; i < 20; i++) a.nop();
        a.str(26, 25).word(DSB).sys(tlbi, 4).word(DSB).isb().ldr(20, 2).word(stlr(5, 3)).wfi().loop();
        a.label("reader").ldr(21, 2).word(ldar(6, 3), cmpReg(6, 31)).bCond(0, "reader");
        a.ldr(20, 2).wfi().loop();
      }, interleave);
      finish(machine);
      for (const pe of machine.pes) expect(pe.r[R.X0 + 20], `seed ${interleave}`).toBe(0x02en);
    }
  });

  test("TLBI VAE3: its own PE reads through the new entry", () => {
    for (const interleave of SEEDS) {
      const machine = translated((a) => {
        a.mov(2, VA)
          .mov(4, VA >> 12n)
          .cbnz(0, "other");
        a.ldr(21, 2).str(26, 25).word(DSB).sys("TLBI VAE3", 4).word(DSB).isb().ldr(20, 2);
        a.label("other").wfi().loop();
      }, interleave);
      finish(machine);
      expect([21, 20].map((n) => machine.pes[0]!.r[R.X0 + n])).toEqual([0x01dn, 0x02en]);
    }
  });

  test("code that another PE has changed runs after DC CVAU, IC IVAU and a flag", () => {
    const CODE = 0x4000n;
    for (const interleave of SEEDS) {
      const machine = machineOf(
        (a) => {
          a.mov(1, CODE).mov(3, FLAG).mov(5, 1).cbnz(0, "reader");
          // movz x20, #2 in place of movz x20, #1
          a.mov(4, 0xd280_0054).word(op("STR, W (unsigned offset)", { n: 1, t: 4 }));
          a.sys("DC CVAU", 1).word(DSB).sys("IC IVAU", 1).word(DSB).word(stlr(5, 3)).wfi().loop();
          a.label("reader")
            .word(op("BLR", { n: 1 }), ldar(6, 3), cmpReg(6, 31))
            .bCond(0, "reader");
          a.isb()
            .word(op("BLR", { n: 1 }))
            .wfi()
            .loop();
          a.org(Number(CODE)).mov(20, 1).ret();
        },
        { pes: 3, interleave },
      );
      finish(machine);
      expect(machine.pes.slice(1).map((pe) => pe.r[R.X0 + 20])).toEqual([2n, 2n]);
    }
  });

  test("a granule that one PE takes away is refused to all after TLBI RPALOS", () => {
    const GRANULE = DRAM + 0x3000n;
    const L0 = 0x10_0000n;
    for (const interleave of SEEDS.slice(0, 20)) {
      // PEs 1 and 2 read the granule at Non-secure EL1 until the flag is up, then once more.
      const machine = machineOf(
        (a) => {
          a.mov(3, FLAG).mov(5, 1).set("VBAR_EL3", 0x2000);
          a.cbnz(0, "enter");
          for (let i = 0; i < 40; i++) a.nop();
          a.str(26, 25)
            .word(DSB)
            .mov(4, GRANULE >> 12n)
            .sys("TLBI RPALOS", 4)
            .word(DSB);
          a.mov(3, DRAM + 0x1000n)
            .word(stlr(5, 3))
            .wfi()
            .loop();
          a.label("enter").set("SCR_EL3", SCR_OF[1] | (1n << 48n));
          a.set("HCR_EL2", 1n << 31n)
            .set("ELR_EL3", DRAM)
            .set("SPSR_EL3", 0x3c5)
            .eret();
          a.org(0x2400).mrs(20, "ESR_EL3").mrs(21, "MFAR_EL3").wfi().loop();
        },
        { pes: 3, interleave },
      );
      machine.load(
        DRAM,
        assemble((a) => {
          a.mov(2, GRANULE)
            .mov(3, DRAM + 0x1000n)
            .label("again")
            .ldr(22, 2)
            .add(23, 23, 1);
          a.word(ldar(6, 3), cmpReg(6, 31)).bCond(0, "again").ldr(22, 2).mov(24, 1).label("end").b("end");
        }),
      );
      const ranges = [{ base: DRAM, size: 0x10000n, gpi: Gpi.NS }];
      const { gptbr } = writeGpt(machine, { at: L0, rest: Gpi.ANY, ranges });
      const entry = 0x12_0000n;
      for (const pe of machine.pes) {
        pe.r[R.GPTBR_EL3] = gptbr;
        pe.r[R.GPCCR_EL3] =
          GPCCR.PPS.of(ppsFor(40)) | GPCCR.SH.of(3) | GPCCR.IRGN.of(1) | GPCCR.ORGN.of(1) | GPCCR.GPC.of(1);
        pe.r[R.X0 + 25] = entry;
        pe.r[R.X0 + 26] = peek(machine, entry) & ~0xf000n; // granule 3: no access
        pe.contextChanged();
      }
      finish(machine);
      for (const pe of machine.pes.slice(1)) {
        expect(pe.r[R.X0 + 20]! >> 26n).toBe(0x1en);
        expect(pe.r[R.X0 + 21]! & 0xffff_ffff_f000n).toBe(GRANULE);
        expect(pe.r[R.X0 + 24]).toBe(0n);
      }
    }
  });
});

describe("a seed is a run", () => {
  const program = rounds((a) => {
    increment(a);
    a.wfe();
  });
  const picture = (machine: Machine) =>
    [
      machine.now,
      peek(machine, COUNTER),
      ...machine.pes.map(({ r }) => [...r.subarray(R.X0, R.X0 + 31), r[R.PC]]),
    ].join();
  const whole = (interleave?: bigint) => {
    const machine = machineOf(program, { pes: PES, interleave });
    finish(machine);
    return picture(machine);
  };

  test("equal seeds give equal runs, others other ones; 0 is none", () => {
    expect(whole(7n)).toBe(whole(7n));
    expect(new Set(SEEDS.map(whole)).size).toBeGreaterThan(SEEDS.length / 2);
    expect(whole(0n)).toBe(whole());
    expect(whole(1n << 32n)).not.toBe(whole(1n));
  });

  test.each([1, 7, 100])("pieces of %i counts make no difference, nor does a snapshot between any of them", (step) => {
    const machine = machineOf(program, { pes: PES, interleave: 5n });
    let other = machineOf(program, { pes: PES, interleave: 5n });
    for (let i = 0; machine.run({ instructions: step }).kind === "limit"; i++) {
      other.run({ instructions: step });
      if (i % 10 !== 0) continue;
      const snapshot = other.snapshot();
      // The order goes on from the snapshot, not from the new machine's seed.
      other = machineOf(program, { pes: PES, interleave: 99n });
      other.restore(snapshot);
    }
    expect(other.run()).toMatchObject({ kind: "deadlock" });
    expect(picture(machine)).toBe(whole(5n));
    expect(picture(other)).toBe(whole(5n));
  });

  test("waiting in pieces draws nothing", () => {
    const waits = (a: Assembler) => void a.set("CNTHP_CVAL_EL2", 500).set("CNTHP_CTL_EL2", 1).wfi().loop();
    const machine = machineOf(waits, { pes: 2, interleave: 3n });
    const whole = machineOf(waits, { pes: 2, interleave: 3n });
    for (let i = 0; i < 100; i++) machine.run({ instructions: 100 });
    whole.run({ instructions: 10_000 });
    const orderOf = (m: Machine) => JSON.stringify(m.parts.find(({ name }) => name === "interleaving")!.save());
    expect(orderOf(machine)).toBe(orderOf(whole));
    expect(machine.now).toBe(whole.now);
  });

  test("slices are 1 to 4096 counts, four in ten of them single, and every PE has its turns", () => {
    const order = new Interleaving(1n);
    const lengths = Array.from({ length: 20_000 }, () => order.length());
    expect([Math.min(...lengths), Math.max(...lengths) > 4000, Math.max(...lengths) <= 4096]).toEqual([1, true, true]);
    const single = lengths.filter((n) => n === 1).length / lengths.length;
    expect(single).toBeGreaterThan(0.38);
    expect(single).toBeLessThan(0.46);
    const turns = Array.from({ length: 8 }, () => 0);
    for (let i = 0; i < 8000; i++) turns[order.choose(8)]!++;
    expect(Math.min(...turns)).toBeGreaterThan(800);
  });
});
