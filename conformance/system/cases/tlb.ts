/**
 * TLB maintenance: after a change of tables and the TLBI for it, no stale entry is used; ASIDs, VMIDs and global entries
 * are told apart without one. DDI 0487, "TLB maintenance instructions", "Address space identifiers".
 */
import {
  type Bench,
  type Case,
  EL2_SYNDROME,
  HCR,
  type Level,
  mapRunner,
  NORMAL,
  SCTLR,
  tcr,
  tcr2,
  vtcr,
} from "../case.js";
import { dsb, isb, smc, sys } from "../encoding.js";
import { CODE, DATA, VECTORS_EL2 } from "../layout.js";
import type { Tree } from "../tables.js";
import { mapRunner2 } from "./stage2.js";

const VA = 0x12_3456_7000n;
const HIGH = 0xffff_ff12_3456_7000n;
const IPA = 0x7_2345_6000n;

/** Executes TLBI instructions at a level. */
function tlbi(b: Bench, level: Level, instruction: string, operand: bigint): void {
  b.program.clear();
  b.x({ 1: operand });
  b.program.code([dsb, sys(instruction, 1), dsb, isb, smc(0)]);
  b.program.step(instruction);
  b.enter(level, { registers: 0 });
  b.program.step("");
}

const page = (va: bigint): bigint => (va >> 12n) & 0xfff_ffff_ffffn;

const STAGE1 = [
  ["TLBI VMALLE1", () => 0n],
  ["TLBI VMALLE1IS", () => 0n],
  ["TLBI VAE1", (va: bigint, asid: bigint) => page(va) | (asid << 48n)],
  ["TLBI VAE1IS", (va: bigint, asid: bigint) => page(va) | (asid << 48n)],
  ["TLBI VALE1", (va: bigint, asid: bigint) => page(va) | (asid << 48n)],
  ["TLBI VAAE1", (va: bigint) => page(va)],
  ["TLBI VAALE1IS", (va: bigint) => page(va)],
  ["TLBI ASIDE1", (_va: bigint, asid: bigint) => asid << 48n],
  ["TLBI ASIDE1IS", (_va: bigint, asid: bigint) => asid << 48n],
] as const;

const STAGE2 = ["TLBI ALLE1", "TLBI ALLE1IS", "TLBI VMALLS12E1", "TLBI VMALLS12E1IS"] as const;

interface World {
  readonly low: Tree;
  readonly high: Tree;
  readonly second: Tree;
}

/** VA and HIGH in pages or blocks (`level`), not global where that lets an ASID find them. */
function world(b: Bench, options: { level: 2 | 3; stage2: boolean; ng: number; asid: bigint }): World {
  const { level, stage2, ng, asid } = options;
  const low = b.tree(48);
  const high = b.tree(40);
  const second = b.tree(40, 1);
  mapRunner(low);
  const output = (stage2 ? IPA : BigInt(DATA)) & (level === 2 ? ~0x1f_ffffn : ~0n);
  const of = (va: bigint) => (level === 2 ? va & ~0x1f_ffffn : va);
  low.map(of(VA), output, { level, attr: NORMAL, ap: 1, ng });
  high.map(of(HIGH), output, { level, attr: NORMAL, ap: 1, ng });
  mapRunner2(second);
  second.map2(IPA & ~0x1f_ffffn, DATA, { level: 2 });
  b.install(low, high, second);
  b.set({
    HCR_EL2: HCR.RW | (stage2 ? HCR.VM : 0n),
    VTCR_EL2: vtcr({ more: 1n << 19n }),
    VTTBR_EL2: BigInt(second.root) | (0x1234n << 48n),
    TTBR0_EL1: BigInt(low.root) | (asid << 48n),
    TTBR1_EL1: BigInt(high.root),
    TCR_EL1: tcr({ t1sz: 24, more: 1n << 36n }),
    SCTLR_EL1: SCTLR.OFF | SCTLR.M,
  });
  return { low, high, second };
}

/** What an address gives: at EL1 and EL0, reading, writing a byte back, executing. */
function look(b: Bench, va: bigint, level: 2 | 3): void {
  const at = level === 2 ? va & ~0x1f_ffffn : va;
  for (const kind of ["read", "writeByte", "execute"] as const) b.access("EL1", kind, at);
  b.access("EL0", "read", at + 0x128n);
}

const changes: Case[] = STAGE1.flatMap(([instruction, operand]) =>
  ([2, 3] as const).flatMap((level) =>
    [false, true].flatMap((stage2) =>
      (["unmap", "move", "forbid"] as const).map(
        (change): Case => ({
          name: `${instruction}: ${change}, level ${level}, stage 2 ${stage2 ? "on" : "off"}`,
          run: (b) => {
            const asid = 0x4321n;
            const { low, high } = world(b, { level, stage2, ng: 1, asid });
            for (const va of [VA, HIGH]) look(b, va, level);
            for (const [tree, va] of [
              [low, VA],
              [high, HIGH],
            ] as const) {
              const entry = tree.at(level === 2 ? va & ~0x1f_ffffn : va, level);
              const old = tree.entries.get(entry)!;
              const far = level === 2 ? 0x20_0000n : 0x2000n;
              const changed = change === "unmap" ? 0n : change === "move" ? old + far : old | 0x80n;
              b.program.write64(entry, changed);
            }
            for (const va of [VA, HIGH])
              tlbi(b, "EL1", instruction, operand(level === 2 ? va & ~0x1f_ffffn : va, asid));
            for (const va of [VA, HIGH]) look(b, va, level);
          },
        }),
      ),
    ),
  ),
);

/** A page within a block: TLBI by the address of any byte of the block drops it. */
const withinBlock: Case[] = ["TLBI VAE1", "TLBI VAAE1IS"].map((instruction) => ({
  name: `${instruction} by another address of a block`,
  run: (b) => {
    const { low } = world(b, { level: 2, stage2: false, ng: 0, asid: 7n });
    look(b, VA, 2);
    b.program.write64(low.at(VA & ~0x1f_ffffn, 2), 0n);
    tlbi(b, "EL1", instruction, page((VA & ~0x1f_ffffn) + 0x5000n) | (7n << 48n));
    look(b, VA, 2);
  },
}));

/** A table removed: the non-last-level forms drop what was cached of it. */
const tables: Case[] = ["TLBI VAE1", "TLBI VAAE1", "TLBI VMALLE1", "TLBI ASIDE1IS"].map((instruction) => ({
  name: `${instruction} after a table is replaced`,
  run: (b) => {
    const { low } = world(b, { level: 3, stage2: true, ng: 1, asid: 9n });
    look(b, VA, 3);
    b.program.write64(low.at(VA, 2), 0n);
    tlbi(b, "EL1", instruction, instruction.includes("ASID") ? 9n << 48n : page(VA) | (9n << 48n));
    look(b, VA, 3);
  },
}));

const stage2Changes: Case[] = [
  ...STAGE2.map((instruction) => [instruction, [instruction]] as const),
  // By IPA for stage 2, then the entries that combine both stages.
  ...(["TLBI IPAS2E1", "TLBI IPAS2E1IS", "TLBI IPAS2LE1", "TLBI IPAS2LE1IS"] as const).map(
    (instruction) => [instruction, [instruction, "TLBI VMALLE1IS"]] as const,
  ),
].flatMap(([name, instructions]) =>
  (["unmap", "move", "forbid"] as const).map(
    (change): Case => ({
      name: `${name}: ${change} at stage 2`,
      run: (b) => {
        const { second } = world(b, { level: 3, stage2: true, ng: 0, asid: 1n });
        for (const va of [VA, HIGH]) look(b, va, 3);
        const entry = second.at(IPA, 2);
        const old = second.entries.get(entry)!;
        const changed = change === "unmap" ? 0n : change === "move" ? old + 0x20_0000n : old & ~0x80n;
        b.program.write64(entry, changed);
        for (const instruction of instructions) tlbi(b, "EL2", instruction, IPA >> 12n);
        for (const va of [VA, HIGH]) look(b, va, 3);
      },
    }),
  ),
);

/** Two address spaces by ASID alone: no TLBI between. */
const spaces: Case[] = [
  {
    name: "ASIDs tell entries apart",
    run: (b) => {
      const low = b.tree(48);
      const other = b.tree(48);
      for (const tree of [low, other]) mapRunner(tree);
      low.map(VA, DATA, { attr: NORMAL, ap: 1, ng: 1 });
      other.map(VA, DATA + 0x1000, { attr: NORMAL, ap: 3, ng: 1 });
      low.map(VA + 0x1000n, DATA + 0x2000, { attr: NORMAL, ap: 1, ng: 1 });
      b.install(low, other);
      b.set({ TCR_EL1: tcr({ more: 1n << 36n }), SCTLR_EL1: SCTLR.OFF | SCTLR.M });
      for (let round = 0; round < 3; round++) {
        b.set({ TTBR0_EL1: BigInt(low.root) | (1n << 48n) });
        for (const va of [VA, VA + 0x1000n]) look(b, va, 3);
        b.set({ TTBR0_EL1: BigInt(other.root) | (2n << 48n) });
        for (const va of [VA, VA + 0x1000n]) look(b, va, 3);
      }
    },
  },
  {
    name: "VMIDs tell entries apart",
    run: (b) => {
      const low = b.tree(48);
      mapRunner(low);
      low.map(VA, IPA, { attr: NORMAL, ap: 1 });
      const seconds = [b.tree(40, 1), b.tree(40, 1)] as const;
      for (const second of seconds) mapRunner2(second);
      seconds[0].map2(IPA, DATA);
      seconds[1].map2(IPA, DATA + 0x1000, { s2ap: 1 });
      b.install(low, ...seconds);
      b.set({
        HCR_EL2: HCR.RW | HCR.VM,
        VTCR_EL2: vtcr({ more: 1n << 19n }),
        TTBR0_EL1: BigInt(low.root),
        TCR_EL1: tcr(),
        SCTLR_EL1: SCTLR.OFF | SCTLR.M,
      });
      for (let round = 0; round < 3; round++)
        for (const [i, second] of seconds.entries()) {
          b.set({ VTTBR_EL2: BigInt(second.root) | (BigInt(0x100 + i) << 48n) });
          look(b, VA, 3);
        }
    },
  },
  {
    name: "EL1 and EL2 have entries of their own",
    run: (b) => {
      const low = b.tree(48);
      const el2 = b.tree(48);
      mapRunner(low);
      for (const at of [VECTORS_EL2, CODE, CODE + 0x1000]) el2.map(BigInt(at), at, { attr: NORMAL, ap: 2 });
      low.map(VA, DATA, { attr: NORMAL, ap: 1 });
      el2.map(VA, DATA + 0x1000, { attr: NORMAL, ap: 1 });
      b.install(low, el2);
      b.set({
        TTBR0_EL1: BigInt(low.root),
        TCR_EL1: tcr(),
        SCTLR_EL1: SCTLR.OFF | SCTLR.M,
        TTBR0_EL2: BigInt(el2.root),
        TCR_EL2: tcr2(),
        SCTLR_EL2: SCTLR.OFF | SCTLR.M,
      });
      for (let round = 0; round < 2; round++) for (const level of ["EL1", "EL2"] as const) b.access(level, "read", VA);
    },
  },
];

const el2: Case[] = [
  ["TLBI ALLE2", 0n],
  ["TLBI ALLE2IS", 0n],
  ["TLBI VAE2", page(VA)],
  ["TLBI VAE2IS", page(VA)],
  ["TLBI VALE2", page(VA)],
].map(([instruction, operand]) => ({
  name: `${instruction}: EL2`,
  run: (b: Bench) => {
    const tree = b.tree(48);
    for (const at of [VECTORS_EL2, CODE, CODE + 0x1000]) tree.map(BigInt(at), at, { attr: NORMAL, ap: 2 });
    tree.map(VA, DATA, { attr: NORMAL, ap: 1 });
    b.install(tree);
    b.allow(EL2_SYNDROME);
    b.set({ TTBR0_EL2: BigInt(tree.root), TCR_EL2: tcr2(), SCTLR_EL2: SCTLR.OFF | SCTLR.M });
    b.access("EL2", "read", VA);
    b.access("EL2", "writeByte", VA);
    b.program.write64(tree.at(VA, 3), tree.entries.get(tree.at(VA, 3))! + 0x2000n);
    tlbi(b, "EL2", `${instruction}`, operand as bigint);
    b.access("EL2", "read", VA);
    b.program.write64(tree.at(VA, 3), 0n);
    tlbi(b, "EL2", `${instruction}`, operand as bigint);
    b.access("EL2", "read", VA);
  },
}));

/** A host's own: TLBI E1 at EL2 under {E2H, TGE} is of EL2&0. */
const host: Case[] = STAGE1.map(([instruction, operand]) => ({
  name: `${instruction} of a host`,
  run: (b) => {
    const low = b.tree(48);
    for (const at of [VECTORS_EL2, CODE, CODE + 0x1000]) low.map(BigInt(at), at, { attr: NORMAL, ap: 3 });
    low.map(VA, DATA, { attr: NORMAL, ap: 1, ng: 1 });
    b.install(low);
    b.set({
      HCR_EL2: HCR.RW | HCR.E2H | HCR.TGE,
      TTBR0_EL2: BigInt(low.root) | (5n << 48n),
      TCR_EL2: tcr(),
      CPTR_EL2: 3n << 20n,
      SCTLR_EL2: SCTLR.OFF | SCTLR.M,
    });
    const see = () => {
      for (const level of ["EL0", "EL2"] as const) b.access(level, "read", VA);
    };
    see();
    b.program.write64(low.at(VA, 3), low.entries.get(low.at(VA, 3))! + 0x2000n);
    tlbi(b, "EL2", instruction, operand(VA, 5n));
    see();
  },
}));

/** Changes of registers that translation depends on take effect without a TLBI. */
const registers: Case[] = [
  {
    name: "MAIR, TCR and SCTLR take effect at once",
    run: (b) => {
      world(b, { level: 3, stage2: false, ng: 0, asid: 0n });
      look(b, VA, 3);
      b.set({ SCTLR_EL1: SCTLR.OFF | SCTLR.M | SCTLR.WXN });
      b.program.flush();
      look(b, VA, 3);
      b.set({ TCR_EL1: tcr({ t1sz: 24, more: 1n << 23n }) });
      look(b, HIGH, 3);
      look(b, VA, 3);
    },
  },
];

export const tlbCases: readonly Case[] = [
  ...changes,
  ...withinBlock,
  ...tables,
  ...stage2Changes,
  ...spaces,
  ...el2,
  ...host,
  ...registers,
];
