/**
 * AT instructions: PAR_EL1 for each regime and privilege, of mappings that work and of every kind of fault; at EL3, EL2
 * and EL1. DDI 0487, "Address translation instructions", "PAR_EL1".
 */
import {
  type Bench,
  type Case,
  HCR,
  type Level,
  mapRunner,
  NORMAL,
  SCTLR,
  tcr,
  tcr2,
  UNKNOWN_NS,
  vtcr,
} from "../case.js";
import { isb, mrs, sys } from "../encoding.js";
import { DATA, NOTHING } from "../layout.js";
import { leaf, type Tree } from "../tables.js";
import { mapRunner2 } from "./stage2.js";

const BASE = 0x12_3456_0000n;
const HIGH = 0xffff_ff12_3456_0000n;
const IPA = 0x7_2345_0000n;

/** Attributes of a successful result depend on what an implementation makes of them. */
const ATTRIBUTES = {
  field: /^AT|PAR_EL1$/,
  when: (par: bigint) => (par & 1n) === 0n,
  mask: 0xff00_0000_0000_0180n,
  why: "DDI 0487, PAR_EL1: ATTR and SH may be what the implementation uses instead of what the descriptors say",
};

const E1 = ["AT S1E1R", "AT S1E1W", "AT S1E0R", "AT S1E0W"] as const;
const E12 = ["AT S12E1R", "AT S12E1W", "AT S12E0R", "AT S12E0W"] as const;
const E2 = ["AT S1E2R", "AT S1E2W"] as const;
const E3 = ["AT S1E3R", "AT S1E3W"] as const;

/** Pages of stage 1 from `base` on: one of each kind; returns how many. */
function fillStage1(tree: Tree, base: bigint, output: bigint): number {
  let page = 0n;
  const next = () => base + 0x1000n * page++;
  for (let ap = 0; ap < 4; ap++) tree.map(next(), output, { attr: NORMAL, ap });
  tree.map(next(), output + 0x1000n, { attr: NORMAL, ap: 1, af: 0 });
  tree.map(next(), output + 0x1000n, { attr: 0, ap: 1, pxn: 1, uxn: 1 });
  tree.map(next(), output + 0x2000n, { attr: 1, ap: 1, ng: 1, contiguous: 1, sh: 2 });
  tree.set(next(), 3, 0n);
  tree.set(next(), 3, BigInt(DATA) | 0x401n);
  tree.set(next(), 3, (1n << 46n) | leaf(3, { attr: NORMAL, ap: 1 }));
  tree.map(next(), BigInt(NOTHING), { attr: NORMAL, ap: 1 });
  // Stage 2 has one of each kind from here on, where there is one.
  for (let i = 0n; i < 12n; i++) tree.map(next(), output + 0x1_0000n + i * 0x1000n, { attr: NORMAL, ap: 1 });
  return Number(page);
}

function fillStage2(tree: Tree, base: bigint): void {
  for (let i = 0; i < 3; i++) tree.map2(base + BigInt(i) * 0x1000n, DATA + i * 0x1000);
  tree.map2(BigInt(NOTHING), NOTHING);
  const at = (i: number) => base + 0x1_0000n + BigInt(i) * 0x1000n;
  for (let s2ap = 0; s2ap < 4; s2ap++) tree.map2(at(s2ap), DATA, { s2ap });
  tree.map2(at(4), DATA, { xn: 1 });
  tree.map2(at(5), DATA, { af: 0 });
  tree.map2(at(6), DATA, { attr: 0 });
  tree.map2(at(7), DATA, { attr: 5, sh: 2 });
  tree.set(at(8), 3, 0n);
  tree.set(at(9), 3, BigInt(DATA) | 0x7fdn);
  tree.set(at(10), 3, (1n << 46n) | 0x7ffn);
  tree.map2(at(11), NOTHING);
}

/** Addresses to ask for: each page, blocks, and what has no table. */
const addresses = (pages: number, base = BASE): bigint[] => [
  ...Array.from({ length: pages }, (_, i) => base + BigInt(i) * 0x1000n + 0x128n),
  base + 0x40_0000n,
  base + 0x80_0000_0000n,
  0x8000_0000_0000_0000n,
  0x00ff_0000_0000_0000n,
];

function ask(b: Bench, instructions: readonly string[], vas: readonly bigint[]): void {
  b.allow(UNKNOWN_NS);
  b.allow(ATTRIBUTES);
  for (const va of vas) for (const name of instructions) b.program.translate(name, va);
}

interface World {
  readonly hcr?: bigint;
  readonly stage1?: boolean;
  readonly stage2?: boolean;
  readonly tcr?: bigint;
}

/** EL1&0 with one or two stages; returns the addresses. */
function el1World(b: Bench, { hcr = 0n, stage1 = true, stage2 = true, tcr: more }: World): bigint[] {
  const output = stage2 ? IPA : BigInt(DATA);
  const low = b.tree(48);
  const high = b.tree(40);
  mapRunner(low);
  const pages = fillStage1(low, BASE, output);
  fillStage1(high, HIGH, output);
  const second = b.tree(40, 1);
  mapRunner2(second);
  fillStage2(second, IPA);
  b.install(low, high, second);
  b.set({
    HCR_EL2: HCR.RW | (stage2 ? HCR.VM : 0n) | hcr,
    VTCR_EL2: vtcr({ ps: 2 }),
    VTTBR_EL2: BigInt(second.root),
    TTBR0_EL1: BigInt(low.root),
    TTBR1_EL1: BigInt(high.root),
    TCR_EL1: tcr({ t1sz: 24, ips: 4, more }),
    SCTLR_EL1: stage1 ? SCTLR.OFF | SCTLR.M : SCTLR.OFF,
  });
  if (!stage1) return [IPA, ...addresses(24, IPA), ...addresses(12, IPA + 0x1_0000n), 1n << 40n, 1n << 47n];
  return [...addresses(pages), ...addresses(pages, HIGH)];
}

const el1: Case[] = (
  [
    ["stage 1", { stage2: false }],
    ["both stages", {}],
    ["stage 2 alone", { stage1: false }],
    ["nothing on", { stage1: false, stage2: false }],
    ["default cacheable", { hcr: HCR.DC }],
    ["a host without TGE", { hcr: HCR.E2H }],
    ["PTW", { hcr: HCR.PTW }],
    ["EPD0", { tcr: 1n << 7n }],
    ["HPD", { tcr: 3n << 41n }],
  ] as const
).map(([name, options]) => ({
  name: `AT at EL3: EL1&0, ${name}`,
  run: (b) => ask(b, [...E1, ...E12], el1World(b, options)),
}));

/** The same from EL1 and EL2: where the instruction is UNDEFINED, or a fault of stage 2 on the walk is an exception. */
const below: Case[] = (["EL0", "EL1", "EL2"] as const).flatMap((level: Level) =>
  (
    [
      ["stage 1", { stage2: false }],
      ["both stages", {}],
    ] as const
  ).map(
    ([name, options]): Case => ({
      name: `AT at ${level}: ${name}`,
      run: (b) => {
        const vas = el1World(b, options);
        b.allow({ ...UNKNOWN_NS, field: /X2$/ });
        b.allow({ ...ATTRIBUTES, field: /X2$/ });
        for (const va of vas.slice(0, 24))
          for (const instruction of level === "EL0" ? ["AT S1E1R"] : [...E1, ...E12, ...E2, ...E3]) {
            b.program.clear();
            b.x({ 1: va });
            b.program.step(`${instruction} 0x${va.toString(16)}`);
            b.run(level, [sys(instruction, 1), isb, ...(level === "EL0" ? [] : [mrs(2, "PAR_EL1")])], { registers: 3 });
            b.program.step("");
          }
      },
    }),
  ),
);

/** A fault of stage 2 on the walk of stage 1. */
const walks: Case[] = (
  [
    ["unmapped", undefined],
    ["no access flag", 0x2ffn],
    ["not readable", 0x63fn],
    ["Device", 0x6c3n],
  ] as const
).flatMap(([name, attributes]) =>
  [0n, HCR.PTW].map(
    (hcr): Case => ({
      name: `AT: table ${name} at stage 2${hcr ? ", PTW" : ""}`,
      run: (b) => {
        const low = b.tree(48);
        mapRunner(low);
        const moved = 0x9_0000_0000n;
        low.set(BASE, 2, moved | 3n);
        const second = b.tree(40, 1);
        mapRunner2(second);
        if (attributes === undefined) second.set(moved, 3, 0n);
        else second.set(moved, 3, BigInt(DATA) | attributes);
        b.install(low, second);
        b.set({
          HCR_EL2: HCR.RW | HCR.VM | hcr,
          VTCR_EL2: vtcr(),
          VTTBR_EL2: BigInt(second.root),
          TTBR0_EL1: BigInt(low.root),
          TCR_EL1: tcr(),
          SCTLR_EL1: SCTLR.OFF | SCTLR.M,
        });
        ask(b, [...E1, ...E12], [BASE + 0x128n]);
        for (const level of ["EL1", "EL2"] as const)
          for (const instruction of level === "EL1" ? E1 : [...E1, ...E12]) {
            b.program.clear();
            b.x({ 1: BASE + 0x128n });
            b.program.step(`${instruction} at ${level}`);
            b.allow({ ...UNKNOWN_NS, field: /X2$/ });
            b.allow({ ...ATTRIBUTES, field: /X2$/ });
            b.run(level, [sys(instruction, 1), isb, mrs(2, "PAR_EL1")], { registers: 3 });
            b.program.step("");
          }
      },
    }),
  ),
);

const el2: Case[] = [
  {
    name: "AT at EL3: EL2",
    run: (b) => {
      const tree = b.tree(48);
      const pages = fillStage1(tree, BASE, BigInt(DATA));
      b.install(tree);
      b.set({ TTBR0_EL2: BigInt(tree.root), TCR_EL2: tcr2({ ips: 4 }), SCTLR_EL2: SCTLR.OFF | SCTLR.M });
      ask(b, E2, addresses(pages));
    },
  },
  {
    name: "AT at EL3: EL2, off",
    run: (b) => ask(b, [...E2, ...E3], [BASE, 1n << 47n, 1n << 52n, 0xffff_0000_0000_0000n]),
  },
  ...[0n, HCR.TGE].map(
    (tge): Case => ({
      name: `AT at EL3: EL2&0, TGE ${tge ? 1 : 0}`,
      run: (b) => {
        const low = b.tree(48);
        const high = b.tree(40);
        const pages = fillStage1(low, BASE, BigInt(DATA));
        fillStage1(high, HIGH, BigInt(DATA));
        b.install(low, high);
        b.set({
          HCR_EL2: HCR.RW | HCR.E2H | tge,
          TTBR0_EL2: BigInt(low.root),
          TTBR1_EL2: BigInt(high.root),
          TCR_EL2: tcr({ t1sz: 24, ips: 4 }),
          SCTLR_EL2: SCTLR.OFF | SCTLR.M,
        });
        // AT S12 under TGE: DDI 0487, AArch64.AT, leaves it to the EL1&0 regime, which is off; QEMU takes EL2&0.
        ask(b, [...E2, ...E1, ...(tge ? [] : E12)], [...addresses(pages), ...addresses(pages, HIGH)]);
      },
    }),
  ),
];

export const translateCases: readonly Case[] = [...el1, ...below, ...walks, ...el2];
