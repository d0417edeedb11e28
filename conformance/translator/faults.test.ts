/**
 * Exceptions inside of translated code: aborts in the middle of accesses of several registers, with write-back, at the edges of
 * pages; alignment; FP traps; interrupts, steps, breakpoints, watchpoints and counters at their exact instruction.
 */
import { describe, expect, test } from "vitest";
import type { Assembler } from "../../packages/machine/test-support/assembler.js";
import { op } from "../system/encoding.js";
import { D, DATA, inAllWays, PAGE, R, START, type Stage } from "./stage.js";

const subs = (d: number, i: number) => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, s: 1, n: d, d, i });
const NE = 1;
const EC = (esr: bigint) => Number(esr >> 26n);
const UNMAPPED = DATA + 8n * PAGE;
/** The last 8 bytes before it. */
const EDGE = UNMAPPED - 8n;

/** Warms the loop up on plain memory 30 times, then once where the access faults. X1 is the base. */
const warmed =
  (word: number, at: bigint) =>
  (a: Assembler): void => {
    a.mov(5, DATA + 0x100n)
      .mov(6, at)
      .mov(2, 31)
      .label("again")
      .movReg(1, 5)
      .cmp(2, 1)
      .bCond(NE, "plain")
      .movReg(1, 6);
    a.label("plain").word(word).word(subs(2, 1)).bCond(NE, "again").wfi().loop();
  };

const ACCESSES: Readonly<Record<string, { readonly word: number; readonly at?: bigint; readonly faults?: number }>> = {
  "LDP whose first register is the base": { word: op("LDP, X (signed offset)", { i: 0, n: 1, t: 1, u: 4 }) },
  "LDP whose second register is the base": { word: op("LDP, X (signed offset)", { i: 0, n: 1, t: 4, u: 1 }) },
  "LDP with write-back": { word: op("LDP, X (pre-index)", { i: 1, n: 1, t: 3, u: 4 }) },
  "STP across the edge: nothing is stored": { word: op("STP, X (signed offset)", { i: 0, n: 1, t: 3, u: 4 }) },
  "STP with write-back": { word: op("STP, X (post-index)", { i: 2, n: 1, t: 3, u: 4 }) },
  "LDR with pre-index": { word: op("LDR, X (pre-index)", { i: 8, n: 1, t: 3 }) },
  "LDR with post-index": { word: op("LDR, X (post-index)", { i: 8, n: 1, t: 3 }), at: UNMAPPED },
  "a load of four bytes across the edge": {
    word: op("LDR, W (unsigned offset)", { i: 0, n: 1, t: 3 }),
    at: UNMAPPED - 2n,
  },
  "LD4 across the edge": { word: 0x4c40_0020 },
  "ST4 across the edge": { word: 0x4c00_0020 },
  "LD1 of four registers with write-back": { word: 0x4cdf_2020 },
  "LDP of Q registers": { word: op("LDP, Q (signed offset)", { i: 0, n: 1, t: 3, u: 4 }) },
  "LDXP at a misaligned address": { word: op("LDXP, LDAXP, X", { n: 1, t: 3, u: 4 }), at: DATA + 8n },
  "LDADD at a misaligned address": { word: op("LDADD, X", { n: 1, s: 3, t: 4 }), at: DATA + 4n },
  "CASP across the edge": { word: op("CASP, X", { n: 1, s: 8, t: 10 }) },
  "LDAR at a misaligned address": { word: op("LDAR, X", { n: 1, t: 3 }), at: DATA + 1n },
};

describe("an access that faults in a loop that did not", () => {
  test.each(Object.entries(ACCESSES))("%s", (_, { word, at = EDGE }) => {
    const notes = inAllWays(
      warmed(word, at),
      (stage) => {
        stage.run(3_000);
        return [stage.notes(), stage.x(1), stage.x(3), stage.x(4)] as const;
      },
      { handler: "stop" },
    );
    expect(notes[0]).toHaveLength(1);
    expect(EC(notes[0][0][0])).toBe(0x25);
    // No register has changed: the base is what it was.
    expect(notes[1]).toBe(at);
  });
});

test("a page that becomes read-only: stores fault, loads do not", () => {
  const result = inAllWays(
    (a) => {
      a.mov(1, DATA)
        .mov(2, 60)
        .mov(8, DATA >> 12n)
        .label("again")
        .ldr(3, 1)
        .add(3, 3, 1)
        .str(3, 1);
      a.cmp(2, 31).bCond(NE, "on").str(7, 6).isb().sys("TLBI VAAE1IS", 8).isb().label("on");
      a.word(subs(2, 1)).bCond(NE, "again").wfi().loop();
    },
    (stage) => {
      stage.machine.pes[0].r[R.X6] = stage.tables.entry(DATA, 3);
      stage.machine.pes[0].r[R.X7] = DATA | D.PAGE | D.AF | D.AP_RO | D.PXN | D.UXN;
      stage.run(5_000);
      return [stage.x(3), stage.notes().length];
    },
  );
  expect(result).toEqual([31n, 30]);
});

test("FP that traps and does not, for the same code", () => {
  const result = inAllWays(
    (a) => {
      a.mov(2, 60)
        .mov(4, 0)
        .mov(5, 3 << 20)
        .label("again");
      a.movReg(6, 5).movReg(5, 4).movReg(4, 6).msr("CPACR_EL1", 4).isb();
      a.word(op("FMOV, X to D", { n: 2, d: 0 }), 0x1e60_2800).word(op("FMOV, D to X", { n: 0, d: 3 }));
      a.word(subs(2, 1)).bCond(NE, "again").wfi().loop();
    },
    (stage) => {
      stage.run(10_000);
      return [stage.notes().map(([esr]) => EC(esr)), stage.x(3)];
    },
  );
  expect(result[0]).toEqual(Array.from({ length: 90 }, () => 7));
});

test("SP misaligned, where it is checked and where not", () => {
  const result = inAllWays(
    (a) => {
      a.mov(2, 40)
        .mov(5, DATA + 0x108n)
        .mov(6, DATA + 0x100n)
        .label("again");
      a.word(0x9100_00bf).word(0xf940_03e7); // mov sp, x5; ldr x7, [sp]
      a.word(0x9100_00df).word(0xf940_03e7); // mov sp, x6; ldr x7, [sp]
      a.word(subs(2, 1)).bCond(NE, "again").wfi().loop();
    },
    (stage) => {
      const [pe] = stage.machine.pes;
      pe.r[R.SCTLR_EL1] |= 8n;
      pe.contextChanged();
      stage.run(5_000);
      return stage.notes().map(([esr]) => EC(esr));
    },
  );
  expect(result).toEqual(Array.from({ length: 40 }, () => 0x26));
});

describe("self-hosted debug over translated code", () => {
  const loop = (a: Assembler) => {
    a.mov(1, DATA)
      .mov(2, 20)
      .label("again")
      .ldr(3, 1)
      .add(3, 3, 1)
      .str(3, 1)
      .word(subs(2, 1))
      .bCond(NE, "again")
      .wfi()
      .loop();
  };
  const debug = (stage: Stage, registers: readonly (readonly [number, bigint])[]) => {
    const [pe] = stage.machine.pes;
    // Off, and the debug exceptions of EL1 unmasked.
    pe.r[R.OSLSR_EL1] = 8n;
    pe.r[R.MDSCR_EL1] = (1n << 15n) | (1n << 13n);
    pe.pstate = 0x1c5n;
    for (const [slot, value] of registers) pe.r[slot] = value;
    pe.contextChanged();
  };

  test("a breakpoint that is set when the loop is translated", () => {
    const result = inAllWays(
      loop,
      (stage) => {
        stage.run(60);
        debug(stage, [
          [R.DBGBVR0, START + 0x10n],
          [R.DBGBCR0, 0x1e3n],
        ]);
        stage.run(3_000);
        return stage.notes().map(([esr, , elr]) => [EC(esr), elr]);
      },
      { handler: "skip", translated: 20 },
    );
    expect(result.length).toBeGreaterThan(3);
    expect(result).toEqual(result.map(() => [0x31, START + 0x10n]));
  });

  test("a watchpoint", () => {
    const result = inAllWays(
      loop,
      (stage) => {
        stage.run(60);
        debug(stage, [
          [R.DBGWVR0, DATA],
          [R.DBGWCR0, 0x1ff3n],
        ]);
        stage.run(3_000);
        return [stage.notes().map(([esr, far]) => [EC(esr), far]), stage.x(3)] as const;
      },
      { handler: "skip", translated: 20 },
    );
    expect(result[0].length).toBeGreaterThan(3);
    for (const [ec, far] of result[0]) expect([ec, far]).toEqual([0x35, DATA]);
  });

  test("software step, one instruction for each exception", () => {
    const elrs = inAllWays(
      (a) => a.mov(2, 200).label("again").add(3, 3, 1).word(subs(2, 1)).bCond(NE, "again").wfi().loop(),
      (stage) => {
        stage.run(100);
        const [pe] = stage.machine.pes;
        pe.r[R.OSLSR_EL1] = 8n;
        pe.r[R.MDSCR_EL1] = 1n | (1n << 13n);
        pe.pstate = 0x1c5n | (1n << 21n);
        pe.contextChanged();
        stage.run(60);
        return stage.notes().map(([esr, , elr]) => [EC(esr), elr]);
      },
      { handler: "stop", translated: 20 },
    );
    expect(elrs).toHaveLength(1);
    expect(elrs[0][0]).toBe(0x33);
  });
});

test("counters count what translated code retires, and overflow at their exact instruction", () => {
  const result = inAllWays(
    (a) => {
      a.set("PMEVTYPER0_EL0", 8).set("PMCNTENSET_EL0", 0x8000_0001).set("PMCR_EL0", 1);
      a.mov(2, 300).label("again").add(3, 3, 1).word(subs(2, 1)).bCond(NE, "again");
      a.mrs(4, "PMEVCNTR0_EL0").mrs(5, "PMCCNTR_EL0").wfi().loop();
    },
    (stage) => {
      stage.run();
      return [stage.x(4), stage.x(5)];
    },
    { translated: 500 },
  );
  expect(result[0]).toBeGreaterThan(900n);
  expect(result[0]).toBeLessThan(910n);
});

test("an exclusive sequence that another PE's turns interrupt", () => {
  for (const interleave of [0n, 1n, 2n, 3n, 4n]) {
    const sum = inAllWays(
      (a) => {
        a.mov(1, DATA).mov(2, 100).label("again");
        a.word(op("LDXR, LDAXR, X", { a: 1, n: 1, t: 3 }))
          .add(3, 3, 1)
          .word(op("STXR, STLXR, X", { a: 1, n: 1, t: 3, s: 4 }));
        a.cbnz(4, "again").word(subs(2, 1)).bCond(NE, "again").wfi().loop();
      },
      (stage) => {
        stage.run();
        return stage.machine.memory.view.getBigUint64(stage.machine.memory.host(Number(DATA)), true);
      },
      { pes: 3, interleave, translated: 100 },
    );
    expect(sum).toBe(300n);
  }
});

test("a loop of many counts in one run, and the limit is exact", () => {
  const x0 = inAllWays(
    (a) => a.label("again").add(0, 0, 1).b("again"),
    (stage) => {
      stage.run(123_457);
      return [stage.x(0), stage.machine.now];
    },
    {
      translated: 100_000,
      ways: [
        { jit: "off", pieces: undefined },
        { jit: 0, pieces: undefined },
        { jit: 9, pieces: 9_999 },
      ],
    },
  );
  expect(x0).toEqual([61_729n, 123_457]);
});
