/**
 * Stage 2 of the EL1&0 regime: start levels, concatenated tables, permissions, memory types, faults on the walk of stage
 * 1, HPFAR_EL2. DDI 0487, "Stage 2 translation", "HPFAR_EL2", "VTCR_EL2".
 */
import {
  type Access,
  type Bench,
  type Case,
  HCR,
  type Level,
  mapRunner,
  NORMAL,
  SCTLR,
  tcr,
  UNKNOWN_NS,
  vtcr,
} from "../case.js";
import { CODE, DATA, NOTHING, TABLES, VECTORS_EL1 } from "../layout.js";
import type { Leaf2, Tree } from "../tables.js";

const VA = 0x1234_5678_9000n;
/** An IPA that is no physical address here. */
const IPA = 0x7_2345_6000n;

/** Identity of stage 2 for what stage 1 and the runner need. */
export function mapRunner2(tree: Tree): void {
  tree.map2(BigInt(VECTORS_EL1), VECTORS_EL1);
  for (const page of [0, 0x1000, 0x2000]) tree.map2(BigInt(CODE + page), CODE + page);
  if (tree.level < 3)
    for (let at = 0; at < 4; at++) tree.map2(BigInt(TABLES + at * 0x20_0000), TABLES + at * 0x20_0000, { level: 2 });
}

interface WorldOptions {
  readonly t0sz?: number;
  readonly sl0?: number;
  readonly ps?: number;
  readonly hcr?: bigint;
  readonly registers?: Readonly<Record<string, bigint>>;
  /** Stage 1 on: its VA maps to IPA. */
  readonly stage1?: boolean;
  /** Attributes of stage 1's leaf. */
  readonly attr?: number;
}

/** The level that a stage-2 fault on the walk of stage 1 reports. */
const LEVEL_OF_STAGE2 = {
  field: /ESR_EL2$/,
  when: (esr: bigint) => (esr & 0x80n) !== 0n,
  mask: 3n,
  why: "DDI 0487, AArch64.S2Translate: the fault of a stage-2 walk has that walk's level; QEMU puts the level of the stage-1 table",
};

const START_LEVEL = [2, 1, 0] as const;

/** Stage 2 on, stage 1 too unless told; returns the address that reaches IPA. */
function world(b: Bench, options: WorldOptions, fill: (second: Tree) => void): bigint {
  const { t0sz = 24, sl0 = 1, ps = 5, hcr = 0n, registers = {}, stage1 = true, attr = NORMAL } = options;
  const first = b.tree(48);
  mapRunner(first);
  first.map(VA, IPA, { attr, ap: 1 });
  first.map(VA + 0x1000n, IPA + 0x1000n, { attr, ap: 1 });
  const second = b.tree(64 - t0sz, START_LEVEL[sl0 as 0]);
  mapRunner2(second);
  fill(second);
  b.install(first, second);
  b.set({
    HCR_EL2: HCR.RW | HCR.VM | hcr,
    VTCR_EL2: vtcr({ t0sz, sl0, ps }),
    VTTBR_EL2: BigInt(second.root) | (5n << 48n),
    ...(stage1 ? { TTBR0_EL1: BigInt(first.root), TCR_EL1: tcr(), SCTLR_EL1: SCTLR.OFF | SCTLR.M } : {}),
    ...registers,
  });
  return stage1 ? VA : IPA;
}

const LEVELS: readonly Level[] = ["EL0", "EL1"];

function accessAll(b: Bench, va: bigint, kinds: readonly Access[] = ["read", "write", "execute"]): void {
  for (const level of LEVELS) for (const kind of kinds) b.access(level, kind, va);
}

const permissions: Case[] = [];
for (let bits = 0; bits < 8; bits++) {
  const [s2ap, xn] = [bits & 3, bits >> 2];
  for (const stage1 of [true, false])
    permissions.push({
      name: `S2AP ${s2ap}, XN ${xn}, stage 1 ${stage1 ? "on" : "off"}`,
      run: (b) => {
        const va = world(b, { stage1 }, (second) => second.map2(IPA, DATA, { s2ap, xn }));
        accessAll(b, va, ["read", "write", "execute", "readExclusive", "writeExclusive"]);
        for (const kind of [
          "readUnprivileged",
          "writeUnprivileged",
          "readAcquire",
          "writeRelease",
          "add",
          "swap",
        ] as const)
          b.access("EL1", kind, va + 8n);
      },
    });
}

/** One stage-2 leaf, changed, at each level; accessed and met on the walk of stage 1. */
const leaves: Case[] = (
  [
    ["invalid", undefined],
    ["no access flag", { af: 0 }],
    ["no access flag, no permission", { af: 0, s2ap: 0 }],
    ["Normal Non-cacheable", { attr: 5 }],
    ["Non-shareable", { sh: 0 }],
    ["Device-nGnRnE", { attr: 0 }],
    ["Device-GRE", { attr: 3 }],
  ] as const satisfies readonly (readonly [string, Leaf2 | undefined])[]
).flatMap(([name, options]) =>
  [1, 2, 3].map(
    (level): Case => ({
      name: `stage-2 leaf at level ${level}: ${name}`,
      run: (b) => {
        const pa = level === 1 ? 0x4000_0000 : DATA;
        const va = world(b, { stage1: level === 3 }, (second) => {
          if (options) second.map2(IPA & ~((1n << (39n - 9n * BigInt(level))) - 1n), pa, { level, ...options });
          else second.set(IPA, level, 0n);
        });
        const inPage = level === 1 ? (va & ~0x3fff_ffffn) + 0x20_0000n : level === 2 ? va & ~0x1f_ffffn : va;
        accessAll(b, inPage);
      },
    }),
  ),
);

const descriptors: Case[] = [0, 1, 2, 3].flatMap((level): Case[] =>
  (
    [
      ["invalid", 0n],
      ["reserved", BigInt(DATA) | 0x7fdn],
      ["address too large for PS", (1n << 46n) | 0x7ffn],
    ] as const
  ).map(([name, descriptor]) => ({
    name: `stage-2 descriptor at level ${level}: ${name}`,
    run: (b) => {
      if (name === "reserved" && (level === 1 || level === 2)) return;
      if (name === "reserved" && level === 0)
        b.allow({
          field: /ESR_EL2$/,
          mask: 0x3fn,
          expect: 0x04n,
          why: "DDI 0487, VMSAv8-64 descriptors: with the 4 KiB granule and no FEAT_LPA2 a level 0 block is reserved, which is a Translation fault; QEMU takes it for a block",
        });
      const va = world(b, { ps: 4, t0sz: 20, sl0: 2 }, (second) => {
        // A range of its own, so that the runner stays mapped.
        second.set(level === 0 ? 0x80_0000_0000n : IPA, level, descriptor);
      });
      if (level !== 0) accessAll(b, va);
    },
  })),
);

/** Start levels and sizes: what is allowed with how many concatenated tables. */
const starts: Case[] = [];
for (let sl0 = 0; sl0 < 3; sl0++) {
  for (let t0sz = 16; t0sz <= 39; t0sz++) {
    const bits = 64 - t0sz;
    const shift = [30, 39, 48][sl0];
    // 25 bits at level 2 up to 34 with sixteen tables, and so on.
    const concatenated = bits - shift;
    if (concatenated > 4 || bits <= shift - 9 || bits > 48) continue;
    starts.push({
      name: `VTCR SL0 ${sl0}, T0SZ ${t0sz}`,
      run: (b) => {
        const last = (1n << BigInt(bits)) - 0x1000n;
        const needed = bits > 30; // The runner lies at 1 GiB.
        const second = b.tree(bits, START_LEVEL[sl0 as 0]);
        if (needed) mapRunner2(second);
        second.map2(last, DATA);
        second.map2(0n, DATA + 0x1000);
        b.install(second);
        b.set({ HCR_EL2: HCR.RW | HCR.VM, VTCR_EL2: vtcr({ t0sz, sl0 }), VTTBR_EL2: BigInt(second.root) });
        b.allow(UNKNOWN_NS);
        for (const ipa of [last, 0n, last + 0x1000n, 0x1000n]) {
          b.program.translate("AT S12E1R", ipa);
          if (needed) b.access("EL1", "read", ipa);
        }
      },
    });
  }
}

/** Pairs of SL0 and T0SZ that do not fit together. */
const mismatches: Case[] = (
  [
    [0, 24],
    [0, 29],
    [1, 16],
    [1, 20],
    [2, 26],
    [2, 39],
    [3, 32],
  ] as const
).map(([sl0, t0sz]) => ({
  name: `VTCR SL0 ${sl0} with T0SZ ${t0sz}`,
  run: (b) => {
    b.set({ HCR_EL2: HCR.RW | HCR.VM, VTCR_EL2: vtcr({ t0sz, sl0 }), VTTBR_EL2: BigInt(TABLES) });
    for (const kind of ["read", "write"] as const) b.access("EL1", kind, DATA);
  },
}));

const sizes: Case[] = [
  {
    name: "IPA beyond T0SZ",
    run: (b) => {
      b.allow({ ...LEVEL_OF_STAGE2, field: /89010: ESR_EL2$/, expect: 0n });
      const first = b.tree(48);
      mapRunner(first);
      first.map(VA, 1n << 40n, { attr: NORMAL, ap: 1 });
      first.map(VA + 0x1000n, (1n << 47n) + 0x1000n, { attr: NORMAL, ap: 1 });
      first.set(VA + 0x20_0000n, 2, (1n << 41n) | 3n);
      const second = b.tree(40, 1);
      mapRunner2(second);
      b.install(first, second);
      b.set({
        HCR_EL2: HCR.RW | HCR.VM,
        VTCR_EL2: vtcr(),
        VTTBR_EL2: BigInt(second.root),
        TTBR0_EL1: BigInt(first.root),
        TCR_EL1: tcr(),
        SCTLR_EL1: SCTLR.OFF | SCTLR.M,
      });
      for (const at of [0n, 0x1008n, 0x20_0010n]) accessAll(b, VA + at);
    },
  },
  {
    name: "VTTBR beyond PS",
    run: (b) => {
      b.set({ HCR_EL2: HCR.RW | HCR.VM, VTCR_EL2: vtcr({ ps: 0, t0sz: 32 }), VTTBR_EL2: BigInt(NOTHING) });
      accessAll(b, BigInt(DATA));
    },
  },
  {
    name: "VTTBR at nothing",
    run: (b) => {
      b.set({ HCR_EL2: HCR.RW | HCR.VM, VTCR_EL2: vtcr(), VTTBR_EL2: BigInt(NOTHING) });
      accessAll(b, BigInt(DATA));
    },
  },
  {
    name: "stage 2 to nothing",
    run: (b) => {
      const va = world(b, {}, (second) => second.map2(IPA, NOTHING));
      accessAll(b, va);
    },
  },
];

/** Faults of stage 2 on fetches of stage-1 descriptors: S1PTW, HPFAR_EL2 of the descriptor's page, FAR_EL2 of the access. */
const walks: Case[] = (
  [
    ["invalid", undefined, 0n],
    ["no access flag", { af: 0 }, 0n],
    ["no permission", { s2ap: 0 }, 0n],
    ["write-only", { s2ap: 2 }, 0n],
    ["read-only", { s2ap: 1 }, 0n],
    ["execute-never", { xn: 1 }, 0n],
    ["Device", { attr: 0 }, 0n],
    ["Device, HCR_EL2.PTW", { attr: 0 }, HCR.PTW],
    ["Device-GRE, HCR_EL2.PTW", { attr: 3 }, HCR.PTW],
    ["Normal, HCR_EL2.PTW", {}, HCR.PTW],
  ] as const satisfies readonly (readonly [string, Leaf2 | undefined, bigint])[]
).flatMap(([name, options, hcr]) =>
  [0, 1, 2, 3].map(
    (level): Case => ({
      name: `walk through stage 2, table of level ${level}: ${name}`,
      run: (b) => {
        b.allow({ ...LEVEL_OF_STAGE2, expect: 3n });
        const first = b.tree(48);
        const high = b.tree(48);
        mapRunner(first);
        high.map(0xffff_1234_5678_9000n, IPA, { attr: NORMAL, ap: 1 });
        const second = b.tree(40, 1);
        mapRunner2(second);
        second.map2(IPA, DATA);
        // The tables of the upper range lie in pages of their own beyond the identity.
        const moved = 0x9_0000_0000n;
        let entry = high.root;
        for (let at = 0; at <= level; at++) entry = high.at(0xffff_1234_5678_9000n, at);
        const page = entry & ~0xfff;
        const ipaOfPage = moved + BigInt(page - TABLES);
        if (level > 0) {
          const parent = high.at(0xffff_1234_5678_9000n, level - 1);
          high.entries.set(parent, ipaOfPage | 3n);
        }
        if (options) second.map2(ipaOfPage, page, options);
        else second.set(ipaOfPage, 3, 0n);
        b.install(first, high, second);
        b.set({
          HCR_EL2: HCR.RW | HCR.VM | hcr,
          VTCR_EL2: vtcr(),
          VTTBR_EL2: BigInt(second.root),
          TTBR0_EL1: BigInt(first.root),
          TTBR1_EL1: level === 0 ? ipaOfPage : BigInt(high.root),
          TCR_EL1: tcr(),
          SCTLR_EL1: SCTLR.OFF | SCTLR.M,
        });
        accessAll(b, 0xffff_1234_5678_9ab8n);
        b.access("EL1", "add", 0xffff_1234_5678_9ab8n);
        b.access("EL1", "writeExclusive", 0xffff_1234_5678_9ab8n);
      },
    }),
  ),
);

/** Default cacheability: HCR_EL2.DC makes stage 1 look off and stage 2 on. */
const defaultCacheable: Case[] = [true, false].map((stage1) => ({
  name: `HCR_EL2.DC, SCTLR_EL1.M ${stage1 ? 1 : 0}`,
  run: (b) => {
    world(b, { stage1, hcr: HCR.DC }, (second) => second.map2(IPA, DATA));
    b.program.msr("HCR_EL2", HCR.RW | HCR.DC);
    for (const va of [IPA, IPA + 0x1000n, VA]) accessAll(b, va);
    b.access("EL1", "readPair", IPA + 4n);
  },
}));

/** FEAT_S2FWB: stage 2 may force a type on stage 1's. */
const forced: Case[] = [0, 1, 2, 3, 5, 6, 7].flatMap((attr) =>
  [NORMAL, 0, 1].map(
    (attr1): Case => ({
      name: `FWB: MemAttr ${attr} over stage-1 attribute ${attr1}`,
      cpu: "max",
      run: (b) => {
        const va = world(b, { hcr: HCR.FWB, attr: attr1 }, (second) => second.map2(IPA, DATA, { attr }));
        accessAll(b, va);
      },
    }),
  ),
);

export const stage2Cases: readonly Case[] = [
  ...permissions,
  ...leaves,
  ...descriptors,
  ...starts,
  ...mismatches,
  ...sizes,
  ...walks,
  ...defaultCacheable,
  ...forced,
];
