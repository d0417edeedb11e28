/**
 * Accesses to memory beyond translation: unaligned ones and those over page boundaries, alignment checks, exclusives and
 * what opens the monitor, unprivileged loads and stores. DDI 0487, "Alignment support", "Synchronization and semaphores".
 */
import { type Bench, type Case, type Level, mapRunner, NORMAL, SCTLR, tcr } from "../case.js";
import { eret, isb, mov, mrs, msr, nop, op, smc, svc, sys } from "../encoding.js";
import { CODE, DATA } from "../layout.js";

const VA = 0x20_0000n;

/** Four pages: read and write, read-only, not mapped, read and write. */
function world(b: Bench, sctlr = 0n): void {
  const low = b.tree(48);
  mapRunner(low);
  low.map(VA, DATA, { attr: NORMAL, ap: 1 });
  low.map(VA + 0x1000n, DATA + 0x1000, { attr: NORMAL, ap: 3 });
  low.map(VA + 0x3000n, DATA + 0x3000, { attr: NORMAL, ap: 1 });
  low.map(VA + 0x4000n, DATA + 0x8000, { attr: NORMAL, ap: 1 });
  low.map(VA + 0x5000n, DATA + 0x4000, { attr: NORMAL, ap: 1 });
  b.install(low);
  b.set({ TTBR0_EL1: BigInt(low.root), TCR_EL1: tcr(), SCTLR_EL1: SCTLR.OFF | SCTLR.M | sctlr });
}

const WORDS: readonly (readonly [string, number])[] = [
  ["LDRH", op("LDRH (unsigned offset)", { n: 0, t: 1 })],
  ["LDR W", op("LDR, W (unsigned offset)", { n: 0, t: 1 })],
  ["LDR X", op("LDR, X (unsigned offset)", { n: 0, t: 1 })],
  ["LDRSW", op("LDRSW, X (unsigned offset)", { n: 0, t: 1 })],
  ["STRH", op("STRH (unsigned offset)", { n: 0, t: 2 })],
  ["STR W", op("STR, W (unsigned offset)", { n: 0, t: 2 })],
  ["STR X", op("STR, X (unsigned offset)", { n: 0, t: 2 })],
  ["LDP W", op("LDP, W (signed offset)", { n: 0, t: 1, u: 3 })],
  ["LDP X", op("LDP, X (signed offset)", { n: 0, t: 1, u: 3 })],
  ["STP W", op("STP, W (signed offset)", { n: 0, t: 2, u: 3 })],
  ["STP X", op("STP, X (signed offset)", { n: 0, t: 2, u: 3 })],
  ["LDR X, post-index", op("LDR, X (post-index)", { n: 0, t: 1, i: 16 })],
  ["STR X, pre-index", op("STR, X (pre-index)", { n: 0, t: 2, i: 0 })],
  ["LDTR", op("LDTR, X (unprivileged)", { n: 0, t: 1 })],
  ["STTR", op("STTR, X (unprivileged)", { n: 0, t: 2 })],
  ["LDXR", op("LDXR, LDAXR, X", { n: 0, t: 1 })],
  ["LDAXR W", op("LDXR, LDAXR, W", { n: 0, t: 1, a: 1 })],
  ["LDXP X", op("LDXP, LDAXP, X", { n: 0, t: 1, u: 3 })],
  ["LDADD W", op("LDADD, W", { n: 0, s: 2, t: 1 })],
  ["SWP X", op("SWP, X", { n: 0, s: 2, t: 1 })],
  ["CAS X", op("CAS, X", { n: 0, s: 2, t: 3 })],
  ["CASP X", op("CASP, X", { n: 0, s: 2, t: 4 })],
];

const end = (level: Level): number => (level === "EL0" ? svc(0x50) : smc(0));

const unaligned: Case[] = (["EL0", "EL1"] as const).flatMap((level) =>
  [0n, SCTLR.A].flatMap((sctlr) =>
    WORDS.map(
      ([name, word]): Case => ({
        name: `${name} unaligned at ${level}, SCTLR_EL1.A ${sctlr ? 1 : 0}`,
        run: (b) => {
          world(b, sctlr);
          if (name.startsWith("STP"))
            b.allow({
              field: /ff8\]$/,
              why: "DDI 0487, store pair that aborts: what of it lies before the fault may have been written; QEMU writes it, ours does not",
            });
          for (const offset of [
            0, 1, 2, 3, 4, 6, 7, 8, 12, 0xff9, 0xffc, 0xffe, 0xfff, 0x1ff8, 0x1ffc, 0x1fff, 0x2ffd, 0x3ffc, 0x3ffe,
            0x4ffd,
          ]) {
            b.program.clear();
            b.x({ 0: VA + BigInt(offset) });
            b.program.code([word, end(level)]);
            b.program.step(`+0x${offset.toString(16)}`);
            b.enter(level);
            b.program.step("");
          }
          for (let at = 0; at < 0x5000; at += 0x1000)
            for (const offset of [0, 8, 0xff0, 0xff8]) b.program.read64(DATA + at + offset);
          b.program.read64(DATA + 0x8000);
          for (let at = 0; at < 0x5000; at += 0x1000)
            for (const offset of [0, 8, 0xff0, 0xff8])
              b.program.write64(DATA + at + offset, BigInt(DATA + at + offset));
        },
      }),
    ),
  ),
);

const LDXR = op("LDXR, LDAXR, X", { n: 0, t: 1 });
const STXR = op("STXR, STLXR, X", { n: 0, s: 4, t: 2 });

/** Between LDXR and STXR: whether the store succeeds (X4 is 0) and what is in memory. */
const monitor: Case[] = (
  [
    ["nothing", []],
    ["CLREX", [op("CLREX", { m: 15 })]],
    ["a store to the same address", [op("STR, X (unsigned offset)", { n: 0, t: 1 })]],
    ["an exception that is not taken", [nop, isb]],
    ["STXR itself", [op("STXR, STLXR, X", { n: 0, s: 3, t: 1 })]],
    ["LDXR of another address", [op("LDXR, LDAXR, X", { n: 5, t: 1 })]],
    ["MSR and MRS", [mrs(1, "TPIDR_EL0"), msr("TPIDR_EL0", 1)]],
  ] as const
).flatMap(([name, words]) =>
  (["EL0", "EL1"] as const).map(
    (level): Case => ({
      name: `monitor at ${level}: ${name}`,
      run: (b) => {
        world(b);
        b.x({ 0: VA, 5: VA + 0x40n });
        b.program.write64(DATA, 0x1234n);
        b.run(level, [LDXR, ...words, STXR]);
        b.program.read64(DATA);
      },
    }),
  ),
);

/** An ERET between: it opens the monitor. */
const returns: Case[] = (["EL1", "EL2"] as const).map((level) => ({
  name: `monitor at ${level}: ERET`,
  run: (b) => {
    const mode = level === "EL1" ? 0x3c5 : 0x3c9;
    b.x({ 0: DATA, 5: mode, 6: CODE + 0x400 });
    b.program.code([STXR, smc(0)], CODE + 0x400);
    b.run(level, [msr(`SPSR_${level}`, 5), msr(`ELR_${level}`, 6), isb, LDXR, eret]);
    b.program.read64(DATA);
  },
}));

/** A pair by LDXP and STXP, and sizes that do not match. */
const pairs: Case[] = [
  {
    name: "LDXP and STXP",
    run: (b) => {
      world(b);
      b.x({ 0: VA + 0x20n, 6: 0x66n, 7: 0x77n });
      b.run("EL0", [op("LDXP, LDAXP, X", { n: 0, t: 1, u: 3 }), op("STXP, STLXP, X", { n: 0, s: 4, t: 6, u: 7 })]);
      b.program.read64(DATA + 0x20);
      b.program.read64(DATA + 0x28);
    },
  },
  {
    name: "LDXR B and STXR B",
    run: (b) => {
      world(b);
      b.x({ 0: VA + 0x21n });
      b.run("EL0", [op("LDXR, LDAXRB", { n: 0, t: 1 }), op("STXR, STLXRB", { n: 0, s: 4, t: 2 })]);
      b.program.read64(DATA + 0x20);
    },
  },
];

/** Loads and stores that write their base back, at a fault: nothing has changed. */
const writeBack: Case[] = (
  [
    ["LDR post-index", op("LDR, X (post-index)", { n: 0, t: 1, i: 16 })],
    ["STR pre-index", op("STR, X (pre-index)", { n: 0, t: 1, i: -16 })],
    ["LDP pre-index", op("LDP, X (pre-index)", { n: 0, t: 1, u: 2, i: 2 })],
    ["STP post-index", op("STP, X (post-index)", { n: 0, t: 1, u: 2, i: 2 })],
    ["LDP of its own base", op("LDP, X (signed offset)", { n: 0, t: 0, u: 2 })],
    ["LDR of its own base", op("LDR, X (unsigned offset)", { n: 0, t: 0 })],
  ] as const
).flatMap(([name, word]) =>
  [0x2000n, 0x1ff8n, 0x1ffcn].map(
    (offset): Case => ({
      name: `${name} at a fault, +0x${offset.toString(16)}`,
      run: (b) => {
        world(b);
        b.x({ 0: VA + offset });
        b.run("EL1", [word]);
      },
    }),
  ),
);

/** Stack pointer as base, unaligned but a multiple of 16. */
const stack: Case[] = [
  {
    name: "SP as base",
    run: (b) => {
      world(b);
      b.x({ 0: VA + 0x100n });
      b.run("EL1", [
        mov(31, 0),
        op("STP, X (pre-index)", { n: 31, t: 1, u: 2, i: -2 }),
        op("LDR, X (post-index)", { n: 31, t: 3, i: 16 }),
        mov(4, 31),
        sys("DC CVAC", 0),
      ]);
      b.program.read64(DATA + 0xf0);
    },
  },
];

export const memoryCases: readonly Case[] = [...unaligned, ...monitor, ...returns, ...pairs, ...writeBack, ...stack];
