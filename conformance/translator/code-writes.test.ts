/**
 * Code that changes: by itself, in its own block, the next instruction, on other pages, through other mappings, by every kind
 * of store, by other PEs, by devices and by firmware. The new instruction is executed from the next one on: caches are not
 * modelled, so that is what the interpreter does with or without maintenance.
 */
import { Pas } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import type { Assembler } from "../../packages/machine/test-support/assembler.js";
import { op, sys } from "../system/encoding.js";
import { ALIAS, CODE, inAllWays, PAGE, START } from "./stage.js";

/** add x0, x0, #i */
const addX0 = (i: number) => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, n: 0, d: 0, i });
const subs = (d: number, i: number) => op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, s: 1, n: d, d, i });
const NE = 1;
const blr = (n: number) => op("BLR", { n });
const NOP = 0xd503_201f;

/** Runs `target` (at CODE + offset) 20 times, then `change`, and 20 times more. */
const before = 20;
function twice(a: Assembler, target: bigint, change: (a: Assembler) => void): void {
  a.mov(0, 0).mov(1, target);
  for (const round of [0, 1]) {
    a.mov(2, before).label(`again ${round}`);
    a.word(blr(1), subs(2, 1)).bCond(NE, `again ${round}`);
    if (round === 0) change(a);
  }
  a.wfi().loop();
}
/** A function at an address: adds one to X0. */
const addOne = (at: bigint) => ({ at, words: [addX0(1), op("RET", { n: 30 })] });

interface Change {
  readonly name: string;
  readonly change: (a: Assembler) => void;
  /** Where the function is; default CODE. */
  readonly at?: bigint;
  /** What each later call adds; default 0x100. */
  readonly adds?: number;
}

const value = (a: Assembler, word = addX0(0x100)) => a.mov(3, word).mov(4, CODE + ALIAS);
const CHANGES: readonly Change[] = [
  { name: "STR", change: (a) => value(a).strw(3, 4) },
  { name: "STR with maintenance", change: (a) => value(a).strw(3, 4).sys("DC CVAU", 4).sys("IC IVAU", 4).isb() },
  {
    name: "STRB: another immediate",
    change: (a) =>
      a
        .mov(3, 9 << 2)
        .mov(4, CODE + ALIAS)
        .strb(3, 4, 1),
    adds: 9,
  },
  {
    name: "a pair that straddles pages",
    at: CODE + PAGE,
    change: (a) =>
      a
        .mov(3, (BigInt(addX0(0x100)) << 32n) | BigInt(NOP))
        .mov(4, CODE + PAGE + ALIAS - 4n)
        .word(op("STUR, X (unscaled)", { n: 4, t: 3 })),
  },
  {
    name: "STP, the second of which is on the code's page",
    at: CODE + PAGE,
    change: (a) =>
      a
        .mov(3, NOP)
        .mov(5, addX0(0x100))
        .mov(4, CODE + PAGE + ALIAS - 4n)
        .word(op("STP, W (signed offset)", { n: 4, t: 3, u: 5 })),
  },
  { name: "SWP", change: (a) => value(a).word(op("SWP, W", { n: 4, s: 3, t: 5 })) },
  { name: "LDADD", change: (a) => value(a, (0x100 - 1) << 10).word(op("LDADD, W", { n: 4, s: 3, t: 5 })) },
  {
    name: "CAS",
    change: (a) =>
      value(a)
        .mov(5, addX0(1))
        .word(op("CAS, W", { n: 4, s: 5, t: 3 })),
  },
  {
    name: "a store-exclusive",
    change: (a) => value(a).word(op("LDXR, LDAXR, W", { n: 4, t: 5 }), op("STXR, STLXR, W", { n: 4, t: 3, s: 6 })),
  },
  {
    name: "a SIMD store",
    change: (a) =>
      a
        .mov(3, (BigInt(op("RET", { n: 30 })) << 32n) | BigInt(addX0(0x100)))
        .word(op("FMOV, X to D", { n: 3, d: 0 }))
        .mov(4, CODE + ALIAS)
        .word(op("STR, D (unsigned offset)", { n: 4, t: 0 })),
  },
  {
    name: "through the other mapping, whose page is already writable in the TLB",
    change: (a) =>
      value(a)
        .str(31, 4, 0x800)
        .mov(5, CODE)
        .mov(2, 30)
        .label("warm")
        .word(blr(1), subs(2, 1))
        .bCond(NE, "warm")
        .word(op("ADD, ADDS, SUB, SUBS (immediate)", { f: 1, o: 1, n: 0, d: 0, i: 30 }))
        .strw(3, 4),
  },
];

describe("a function that is called, changed and called again", () => {
  test.each(CHANGES)("$name", ({ change, at = CODE, adds = 0x100 }) => {
    const x0 = inAllWays(
      (a) => twice(a, at, change),
      (stage) => {
        const { at: pa, words } = addOne(at);
        stage.machine.load(pa, new Uint8Array(Uint32Array.from(words).buffer));
        stage.run();
        return stage.x(0);
      },
      { translated: before },
    );
    expect(x0).toBe(BigInt(before + before * adds));
  });
});

describe("code that changes itself", () => {
  test("the next instruction", () => {
    const x0 = inAllWays(
      (a) => {
        // Each round: put "add x0, x0, #n" behind the store, then execute it.
        a.mov(0, 0)
          .mov(2, 15)
          .mov(3, addX0(0))
          .mov(4, START + ALIAS + 0x200n)
          .b("body");
        a.org(0x1f0)
          .label("body")
          .nop()
          .add(3, 3, 1 << 10)
          .nop();
        a.strw(3, 4);
        a.word(NOP); // at 0x200
        a.word(subs(2, 1)).bCond(NE, "body").wfi().loop();
      },
      (stage) => {
        stage.run();
        return stage.x(0);
      },
    );
    expect(x0).toBe(120n);
  });

  test("an instruction two further on, in the same block and loop", () => {
    const x0 = inAllWays(
      (a) => {
        a.mov(0, 0)
          .mov(2, 40)
          .mov(3, addX0(0))
          .mov(4, START + ALIAS + 0x208n)
          .b("body");
        a.org(0x1f8)
          .label("body")
          .add(3, 3, 1 << 10)
          .strw(3, 4)
          .nop();
        a.nop(); // 0x204
        a.word(NOP); // 0x208
        a.word(subs(2, 1)).bCond(NE, "body").wfi().loop();
      },
      (stage) => {
        stage.run();
        return stage.x(0);
      },
    );
    // The first store is at 0x1fc: the patched word is executed from the first round on.
    expect(x0).toBe(820n);
  });

  test("DC ZVA over the code that is called: undefined instructions from then on", () => {
    const notes = inAllWays(
      (a) =>
        twice(a, CODE, (b) =>
          b
            .mov(4, CODE + ALIAS)
            .word(sys("DC ZVA", 4))
            .mov(28, 0),
        ),
      (stage) => {
        stage.machine.load(CODE, new Uint8Array(Uint32Array.from([addX0(1), op("RET", { n: 30 })]).buffer));
        stage.run(20_000);
        return stage.notes().length;
      },
      { handler: "stop" },
    );
    expect(notes).toBe(1);
  });

  test("endlessly many versions of one function", () => {
    const x0 = inAllWays(
      (a) => {
        a.mov(0, 0)
          .mov(1, CODE)
          .mov(2, 500)
          .mov(3, addX0(1))
          .mov(4, CODE + ALIAS)
          .mov(6, op("RET", { n: 30 }));
        a.label("again").strw(3, 4).strw(6, 4, 4);
        a.word(blr(1), blr(1))
          .add(3, 3, (1 << 10) & 0xfff)
          .word(subs(2, 1))
          .bCond(NE, "again")
          .wfi()
          .loop();
      },
      (stage) => {
        stage.run(20_000);
        return stage.x(0);
      },
      { translated: 0 },
    );
    expect(x0).toBe(BigInt(500 * 501));
  });
});

describe("others write", () => {
  test("another PE, which interleaves", () => {
    for (const interleave of [0n, 1n, 2n, 3n]) {
      const x0 = inAllWays(
        (a) => {
          // PE 0 calls until the function adds nothing any more; PE 1 waits a little and changes it.
          a.cbnz(0, "other")
            .mov(1, CODE)
            .label("call")
            .mov(0, 0)
            .word(blr(1))
            .add(5, 5, 1)
            .cbnz(0, "call")
            .wfi()
            .loop();
          a.label("other").mov(2, 300).label("wait").word(subs(2, 1)).bCond(NE, "wait");
          a.mov(3, NOP)
            .mov(4, CODE + ALIAS)
            .strw(3, 4)
            .wfi()
            .loop();
        },
        (stage) => {
          stage.machine.load(CODE, new Uint8Array(Uint32Array.from(addOne(CODE).words).buffer));
          stage.run();
          expect(stage.x(0)).toBe(0n);
          return stage.x(5);
        },
        { pes: 2, interleave },
      );
      expect(x0).toBeGreaterThan(5n);
    }
  });

  test.each(["a device's port", "memory through the library"])("%s, between two runs", (who) => {
    const x0 = inAllWays(
      (a) => a.mov(1, CODE).label("call").word(blr(1)).b("call"),
      (stage) => {
        const { machine } = stage;
        machine.load(CODE, new Uint8Array(Uint32Array.from(addOne(CODE).words).buffer));
        stage.run(4_000);
        const word = new Uint8Array(Uint32Array.of(addX0(0x100)).buffer);
        if (who === "a device's port") expect(machine.devicePort().copyOut(CODE, word)).toBeUndefined();
        else machine.load(CODE, word);
        const sum = stage.x(0);
        stage.run(4_000);
        return (stage.x(0) - sum) % 0x100n;
      },
      { translated: 1_000 },
    );
    expect(x0).toBeLessThanOrEqual(1n);
  });

  test("firmware's port, from a step that an SMC begins", () => {
    const sums = inAllWays(
      (a) => twice(a, CODE, (b) => b.smc()),
      (stage) => {
        const { machine } = stage;
        machine.load(CODE, new Uint8Array(Uint32Array.from(addOne(CODE).words).buffer));
        machine.install("root-el3", {
          name: "writer",
          image: new Uint8Array(0),
          step(pe) {
            pe.port(Pas.NS).copyOut(CODE, new Uint8Array(Uint32Array.of(addX0(0x100)).buffer));
            return { kind: "eret" };
          },
        });
        stage.run();
        return stage.x(0);
      },
    );
    expect(sums).toBe(BigInt(before + before * 0x100));
  });

  test("a snapshot that is restored over translated code", () => {
    const sums = inAllWays(
      (a) => a.mov(1, CODE).label("call").word(blr(1)).b("call"),
      (stage) => {
        const { machine } = stage;
        machine.load(CODE, new Uint8Array(Uint32Array.from(addOne(CODE).words).buffer));
        stage.run(3_000);
        const saved = machine.snapshot();
        machine.load(CODE, new Uint8Array(Uint32Array.of(addX0(0x100)).buffer));
        stage.run(3_000);
        const changed = stage.x(0);
        machine.restore(saved);
        const from = stage.x(0);
        stage.run(3_000);
        expect(changed).toBeGreaterThan(0x1000n);
        return stage.x(0) - from;
      },
      { translated: 1_000 },
    );
    expect(sums).toBeLessThan(0x1000n);
    expect(sums).toBeGreaterThan(500n);
  });
});

test("data on a page with code: writes go on, and the code stays what it is", () => {
  const result = inAllWays(
    (a) => {
      a.mov(0, 0)
        .mov(1, CODE)
        .mov(2, 200)
        .mov(4, CODE + ALIAS + 0x800n);
      a.label("again").word(blr(1)).str(0, 4).ldr(5, 4).word(subs(2, 1)).bCond(NE, "again").wfi().loop();
    },
    (stage) => {
      stage.machine.load(CODE, new Uint8Array(Uint32Array.from(addOne(CODE).words).buffer));
      stage.run(20_000);
      return [stage.x(0), stage.x(5)];
    },
    { translated: 0 },
  );
  expect(result).toEqual([200n, 200n]);
});
