/**
 * Translated code and translation: pages that are remapped, with and without TLB maintenance, rights that are taken away,
 * granules that change hands, regions across pages, tagged and misaligned branch targets, code at the end of memory.
 */
import { Gpi } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { GPCCR, ppsFor } from "../../packages/machine/src/gpt.js";
import type { Assembler } from "../../packages/machine/test-support/assembler.js";
import { writeGpt } from "../../packages/machine/test-support/tables.js";
import { op } from "../system/encoding.js";
import { CODE, D, inAllWays, PAGE, R, START, type Stage } from "./stage.js";

const addX0 = (i: number) => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, n: 0, d: 0, i });
/** In a register that the handler leaves alone. */
const addX9 = (i: number) => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, n: 9, d: 9, i });
const subs = (d: number, i: number) => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, s: 1, n: d, d, i });
const blr = (n: number) => op("BLR", { n });
const ret = op("RET", { n: 30 });
const NE = 1;
const words = (...list: readonly number[]) => new Uint8Array(Uint32Array.from(list).buffer);
const LEAF = D.PAGE | D.AF | D.AP_EL0 | D.AP_RO;
const EC = (esr: bigint) => Number(esr >> 26n);

/** Calls CODE 50 times, changes the descriptor of CODE to X7's value, calls it 50 times more. */
const remap = (maintain: (a: Assembler) => void) => (a: Assembler) => {
  a.mov(1, CODE);
  for (const round of [0, 1]) {
    a.mov(2, 50).label(`again ${round}`).word(blr(1), subs(2, 1)).bCond(NE, `again ${round}`);
    if (round === 0) {
      a.str(7, 6);
      maintain(a);
    }
  }
  a.wfi().loop();
};
/** X6: where the descriptor is, X7: what it becomes. */
function prepare({ machine, tables }: Stage, descriptor: bigint): void {
  machine.load(CODE, words(addX0(1), ret));
  machine.load(CODE + PAGE, words(addX0(0x100), ret));
  machine.pes[0].r[R.X6] = tables.entry(CODE, 3);
  machine.pes[0].r[R.X7] = descriptor;
}
const tlbi = (a: Assembler) =>
  a
    .isb()
    .mov(8, CODE >> 12n)
    .sys("TLBI VAAE1IS", 8)
    .isb();

describe("a page of code that is remapped", () => {
  test("to another page, with TLBI by address", () => {
    const x0 = inAllWays(
      remap(tlbi),
      (stage) => {
        prepare(stage, (CODE + PAGE) | LEAF);
        stage.run();
        return stage.x(0);
      },
      { translated: 50 },
    );
    expect(x0).toBe(50n + 50n * 0x100n);
  });

  test("without TLBI: as long as the TLB holds it", () => {
    const x0 = inAllWays(
      remap(() => {}),
      (stage) => {
        prepare(stage, (CODE + PAGE) | LEAF);
        stage.run();
        return stage.x(0);
      },
    );
    expect(x0).toBe(100n);
  });

  test.each([
    ["execute-never at EL1", LEAF | D.PXN, 0x21],
    ["not mapped any more", 0n, 0x21],
  ])("%s", (_, rights, ec) => {
    const notes = inAllWays(
      remap(tlbi),
      (stage) => {
        prepare(stage, rights === 0n ? 0n : CODE | rights);
        stage.run(3_000);
        return stage.notes();
      },
      { handler: "stop" },
    );
    expect(notes.map(([esr, far]) => [EC(esr), far])).toEqual([[ec, CODE]]);
  });

  test("TTBR0 that changes: two trees, one address", () => {
    const x0 = inAllWays(
      (a) => {
        a.mov(1, CODE).mov(3, 30).label("round");
        for (const tree of [6, 7]) {
          a.msr("TTBR0_EL1", tree).isb().sys("TLBI VMALLE1").isb();
          a.mov(2, 5).label(`call ${tree}`).word(blr(1), subs(2, 1)).bCond(NE, `call ${tree}`);
        }
        a.word(subs(3, 1)).bCond(NE, "round").wfi().loop();
      },
      (stage) => {
        const { machine, tables } = stage;
        prepare(stage, 0n);
        // The second tree is the first but for the last level of CODE.
        const { root } = tables;
        const copy = 0x8010_e000n;
        let from = root;
        for (let level = 0n; level < 4n; level++) {
          const to = copy - level * PAGE;
          const bytes = machine.memory.pageBytes(machine.memory.host(Number(from))).slice();
          machine.load(to, bytes);
          const index = (CODE >> (39n - 9n * level)) & 0x1ffn;
          const view = new DataView(bytes.buffer);
          const next = view.getBigUint64(Number(index) * 8, true) & 0xffff_ffff_f000n;
          view.setBigUint64(Number(index) * 8, level === 3n ? (CODE + PAGE) | LEAF : (to - PAGE) | 3n, true);
          machine.load(to, bytes);
          from = next;
        }
        machine.pes[0].r[R.X6] = root;
        machine.pes[0].r[R.X7] = copy;
        stage.run();
        return stage.x(0);
      },
      { translated: 100 },
    );
    expect(x0).toBe(30n * 5n * 0x101n);
  });

  test("the same code at two addresses, to which PC-relative instructions are relative", () => {
    const other = 0x3000_0000n;
    const x = inAllWays(
      (a) => {
        a.mov(1, CODE).mov(3, other).mov(2, 40).label("again");
        a.word(blr(1)).movReg(4, 0).word(blr(3)).movReg(5, 0).word(subs(2, 1)).bCond(NE, "again").wfi().loop();
      },
      (stage) => {
        stage.machine.load(CODE, words(op("ADR", { l: 0, h: 4, d: 0 }), op("ADR", { l: 0, h: 3, d: 9 }), ret));
        stage.tables.map(other, CODE | LEAF);
        stage.run();
        return [stage.x(4), stage.x(5)];
      },
      { translated: 40 },
    );
    expect(x).toEqual([CODE + 16n, other + 16n]);
  });
});

describe("regions across pages", () => {
  /** Falls from the end of CODE's first page into the second. */
  const across = (a: Assembler) => {
    a.mov(1, CODE + PAGE - 8n)
      .mov(2, 60)
      .label("again")
      .word(blr(1), subs(2, 1))
      .bCond(NE, "again")
      .wfi()
      .loop();
  };
  const load = ({ machine }: Stage) => {
    machine.load(CODE + PAGE - 8n, words(addX0(1), addX0(2), addX0(4), ret));
    machine.load(CODE + 2n * PAGE, words(addX0(0x40), ret));
  };

  test("both mapped", () => {
    const x0 = inAllWays(across, (stage) => {
      load(stage);
      stage.run();
      return stage.x(0);
    });
    expect(x0).toBe(420n);
  });

  test("the second one not mapped: the abort is at its first instruction", () => {
    const notes = inAllWays(
      across,
      (stage) => {
        load(stage);
        stage.tables.map(CODE + PAGE, 0n);
        stage.run(3_000);
        return stage.notes();
      },
      { handler: "stop", translated: 0 },
    );
    expect(notes.map(([esr, far, elr]) => [EC(esr), far, elr])).toEqual([[0x21, CODE + PAGE, CODE + PAGE]]);
  });

  test("the second one is another page: mappings need not be contiguous", () => {
    const x0 = inAllWays(across, (stage) => {
      load(stage);
      stage.tables.map(CODE + PAGE, (CODE + 2n * PAGE) | LEAF);
      stage.run();
      return stage.x(0);
    });
    expect(x0).toBe(60n * 0x43n);
  });

  test("a loop over two pages, of which the second is remapped in its midst", () => {
    const x0 = inAllWays(
      (a) => {
        a.mov(2, 40)
          .mov(1, CODE + PAGE - 8n)
          .mov(8, (CODE + PAGE) >> 12n)
          .label("again")
          .word(blr(1));
        a.cmp(2, 20).bCond(NE, "on").str(7, 6).isb().sys("TLBI VAAE1IS", 8).isb();
        a.label("on").word(subs(2, 1)).bCond(NE, "again").wfi().loop();
      },
      (stage) => {
        load(stage);
        stage.machine.pes[0].r[R.X6] = stage.tables.entry(CODE + PAGE, 3);
        stage.machine.pes[0].r[R.X7] = (CODE + 2n * PAGE) | LEAF;
        stage.run();
        return stage.x(0);
      },
    );
    expect(x0).toBe(21n * 7n + 19n * 0x43n);
  });
});

describe("branch targets", () => {
  test("with a tag, and TBI: PC has none", () => {
    const x = inAllWays(
      (a) =>
        a
          .mov(1, CODE | (0x5an << 56n))
          .mov(2, 40)
          .label("again")
          .word(blr(1), subs(2, 1))
          .bCond(NE, "again")
          .wfi()
          .loop(),
      (stage) => {
        stage.machine.load(CODE, words(addX0(1), op("ADR", { d: 5 }), ret));
        stage.machine.pes[0].r[R.TCR_EL1] |= 3n << 37n;
        stage.machine.pes[0].contextChanged();
        stage.run();
        return [stage.x(0), stage.x(5)];
      },
    );
    expect(x).toEqual([40n, CODE + 4n]);
  });

  test("misaligned", () => {
    const notes = inAllWays(
      (a) =>
        a
          .mov(1, CODE + 2n)
          .mov(2, 40)
          .label("again")
          .word(subs(2, 1))
          .bCond(NE, "again")
          .word(blr(1))
          .wfi()
          .loop(),
      (stage) => {
        stage.machine.load(CODE, words(addX0(1), ret));
        stage.run(3_000);
        return stage.notes();
      },
      { handler: "stop" },
    );
    expect(notes.map(([esr, far, elr]) => [EC(esr), far, elr])).toEqual([[0x22, CODE + 2n, CODE + 2n]]);
  });

  test("the last instruction of memory, and what would follow it", () => {
    const last = 0x8100_0000n - 4n;
    const result = inAllWays(
      (a) =>
        a
          .mov(1, last)
          .mov(28, START + 0x100n)
          .mov(2, 10)
          .label("again")
          .word(blr(1))
          .nop()
          .org(0x100)
          .word(subs(2, 1))
          .bCond(NE, "again")
          .wfi()
          .loop(),
      (stage) => {
        stage.machine.load(last, words(addX0(1)));
        const page = last & ~0xfffn;
        stage.tables.map(page, page | LEAF);
        stage.tables.map(page + PAGE, (page + PAGE) | LEAF); // where nothing answers
        stage.run();
        return [stage.x(0), stage.notes().map(([esr, far]) => [EC(esr), Number(esr & 0x3fn), far])] as const;
      },
      { handler: "x28", translated: 0 },
    );
    expect(result[0]).toBe(10n);
    expect(result[1]).toEqual(Array.from({ length: 10 }, () => [0x21, 0x10, last + 4n]));
  });
});

test("a granule with translated code that changes hands faults, and its code runs again when it comes back", () => {
  const result = inAllWays(
    (a) => a.mov(1, CODE).label("call").word(blr(1)).b("call"),
    (stage) => {
      const { machine } = stage;
      const [pe] = machine.pes;
      machine.load(CODE, words(addX9(1), ret));
      const gpi = (value: number) =>
        writeGpt(machine, { at: 0x10_0000n, rest: Gpi.ANY, ranges: [{ base: CODE, size: PAGE, gpi: value }] });
      const { gptbr } = gpi(Gpi.NS);
      pe.r[R.GPTBR_EL3] = gptbr;
      pe.r[R.GPCCR_EL3] =
        GPCCR.PPS.of(ppsFor(40)) | GPCCR.SH.of(3) | GPCCR.IRGN.of(1) | GPCCR.ORGN.of(1) | GPCCR.GPC.of(1);
      pe.contextChanged();
      stage.run(2_000);
      const first = stage.x(9);
      gpi(Gpi.REALM);
      machine.invalidateGranules(Number(CODE), Number(PAGE));
      stage.run(50);
      const [faulted, exceptions] = [stage.x(9), machine.counters.granuleProtectionFaults];
      gpi(Gpi.NS);
      machine.load(CODE, words(addX9(0x400)));
      machine.invalidateGranules(Number(CODE), Number(PAGE));
      stage.run(2_000);
      return { first, faulted: faulted - first, exceptions: exceptions > 0, later: (stage.x(9) - faulted) % 0x400n };
    },
    { handler: "skip", translated: 500 },
  );
  expect(result.first).toBeGreaterThan(400n);
  expect(result.faulted).toBeLessThanOrEqual(1n);
  expect(result.exceptions).toBe(true);
  expect(result.later).toBeLessThanOrEqual(1n);
});

test("EL0 and EL1 code on one page", () => {
  const x = inAllWays(
    (a) => {
      a.mov(0, 0).mov(1, CODE).mov(2, 30).label("again").word(blr(1), subs(2, 1)).bCond(NE, "again");
      // The same function at EL0, until its SVC. The handler skips nothing of an SVC.
      a.mov(3, CODE + 8n)
        .msr("ELR_EL1", 3)
        .mov(3, 0)
        .msr("SPSR_EL1", 3)
        .eret();
    },
    (stage) => {
      const { machine } = stage;
      machine.load(CODE, words(addX0(1), ret, op("MOVZ", { f: 1, h: 0, i: 30, d: 2 })));
      machine.load(
        CODE + 12n,
        words(op("BL", { i: -3 }), subs(2, 1), op("B.cond", { c: NE, i: -2 }), op("SVC", { i: 1 })),
      );
      stage.run(5_000);
      return [stage.x(0), stage.notes().map(([esr]) => EC(esr))];
    },
    { handler: "stop" },
  );
  expect(x).toEqual([60n, [0x15]]);
});
