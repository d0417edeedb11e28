/**
 * Stage 1 of the EL1&0 regime: levels, blocks and pages, both ranges, sizes, permissions, memory types, address sizes,
 * tags, hierarchical restrictions. DDI 0487, "The VMSAv8-64 address translation system", "Memory access control".
 */
import { type Access, type Bench, type Case, DEVICE, type Level, mapRunner, NORMAL, PAN, SCTLR, tcr } from "../case.js";
import { DATA, NOTHING } from "../layout.js";
import type { Leaf, Tree } from "../tables.js";

/** Where cases map their data: an address in the lower range and one in the upper. */
const LOW = 0x1234_5678_9000n;
const HIGH = 0xffff_9876_5432_1000n;
const BLOCK2 = 0x4020_0000n;

interface WorldOptions {
  readonly t0sz?: number;
  readonly t1sz?: number;
  readonly ips?: number;
  /** More bits of TCR_EL1 and SCTLR_EL1. */
  readonly tcr?: bigint;
  readonly sctlr?: bigint;
  readonly registers?: Readonly<Record<string, bigint>>;
}

/** Stage 1 on, with the runner in the lower range; `fill` maps the rest. */
function world(b: Bench, options: WorldOptions, fill: (low: Tree, high: Tree) => void): void {
  const { t0sz = 16, t1sz = 16, ips, tcr: more, sctlr = 0n, registers = {} } = options;
  const low = b.tree(64 - t0sz);
  const high = b.tree(64 - t1sz);
  mapRunner(low);
  fill(low, high);
  b.install(low, high);
  b.set({
    TTBR0_EL1: BigInt(low.root),
    TTBR1_EL1: BigInt(high.root),
    TCR_EL1: tcr({ t0sz, t1sz, ips, more }),
    SCTLR_EL1: SCTLR.OFF | SCTLR.M | sctlr,
    ...registers,
  });
}

const LEVELS: readonly Level[] = ["EL0", "EL1"];

/** Every kind of data access and a fetch, at EL0 and EL1. */
function accessAll(b: Bench, va: bigint, kinds: readonly Access[] = ["read", "write", "execute"]): void {
  for (const level of LEVELS) for (const kind of kinds) b.access(level, kind, va);
}

const permissions: Case[] = [];
for (let bits = 0; bits < 32; bits++) {
  const [ap, pxn, uxn, wxn] = [bits & 3, (bits >> 2) & 1, (bits >> 3) & 1, (bits >> 4) & 1];
  permissions.push({
    name: `permissions: AP ${ap}, PXN ${pxn}, UXN ${uxn}, WXN ${wxn}`,
    run: (b) => {
      world(b, { sctlr: wxn ? SCTLR.WXN : 0n }, (low) => low.map(LOW, DATA, { attr: NORMAL, ap, pxn, uxn }));
      accessAll(b, LOW);
      b.access("EL1", "readUnprivileged", LOW);
      b.access("EL1", "writeUnprivileged", LOW);
      for (const kind of ["read", "write", "execute", "readUnprivileged", "writeUnprivileged"] as const)
        b.access("EL1", kind, LOW, { pstate: PAN });
      b.program.read64(DATA);
      b.program.write64(DATA, 0n);
    },
  });
}

const hierarchical: Case[] = [];
for (let bits = 0; bits < 16; bits++) {
  const limits = { ap: bits & 3, pxn: (bits >> 2) & 1, uxn: (bits >> 3) & 1 };
  for (const hpd of [0, 1]) {
    hierarchical.push({
      name: `table limits: AP ${limits.ap}, PXN ${limits.pxn}, UXN ${limits.uxn}, HPD ${hpd}`,
      run: (b) => {
        world(b, { tcr: hpd ? 3n << 41n : 0n }, (low, high) => {
          low.map(LOW, DATA, { attr: NORMAL, ap: 1 }, limits);
          high.map(HIGH, DATA, { attr: NORMAL, ap: 1 }, limits);
        });
        for (const va of [LOW, HIGH]) accessAll(b, va);
      },
    });
  }
}

/** One leaf, its descriptor changed. */
const leaves: Case[] = (
  [
    ["no access flag", { af: 0 }],
    ["no access flag, no permission", { af: 0, ap: 0, uxn: 1, pxn: 1 }],
    ["contiguous", { contiguous: 1 }],
    ["not global", { ng: 1 }],
    ["NS bit", { ns: 1 }],
    ["Non-shareable", { sh: 0 }],
    ["Normal Non-cacheable", { attr: 1 }],
    ["Normal Write-Through", { attr: 3 }],
    ["Device-nGnRnE", { attr: DEVICE }],
    ["Device-GRE", { attr: 2 }],
  ] as const satisfies readonly (readonly [string, Leaf])[]
).flatMap(([name, options]) =>
  [1, 2, 3].map(
    (level): Case => ({
      name: `leaf at level ${level}: ${name}`,
      run: (b) => {
        const va = level === 3 ? LOW : 0x70_0000_0000n + (level === 1 ? BLOCK2 : 0n);
        const pa = level === 1 ? 0x4000_0000 : DATA;
        world(b, {}, (low) => low.map(va, pa, { attr: NORMAL, ap: 1, level, ...options }));
        accessAll(b, va, ["read", "write", "execute", "readExclusive", "add"]);
      },
    }),
  ),
);

const descriptors: Case[] = [0, 1, 2, 3].flatMap((level): Case[] =>
  (
    [
      ["invalid", 0n],
      ["invalid, other bits set", 0xffff_ffff_ffff_fffen & ~1n],
      ["reserved", BigInt(DATA) | 0x701n],
      ["address too large for IPS", (1n << 40n) | 0x703n],
      ["address too large for IPS, no access flag", (1n << 40n) | 0x303n],
    ] as const
  ).map(([name, descriptor]) => ({
    name: `descriptor at level ${level}: ${name}`,
    run: (b) => {
      world(b, { ips: 1 }, (low, high) => {
        low.set(LOW, level, descriptor);
        high.set(HIGH, level, descriptor);
      });
      // At levels 1 and 2 what is "reserved" at the others is a block.
      if (name === "reserved" && (level === 1 || level === 2)) return;
      if (name === "reserved" && level === 0)
        b.allow({
          field: /ESR_EL1$/,
          mask: 0x3fn,
          expect: 0x04n,
          why: "DDI 0487, VMSAv8-64 descriptors: with the 4 KiB granule and no FEAT_LPA2 a level 0 block is reserved, which is a Translation fault; QEMU takes it for a block",
        });
      for (const va of [LOW, HIGH]) accessAll(b, va);
    },
  })),
);

const sizes: Case[] = [];
for (let tsz = 16; tsz <= 39; tsz++) {
  sizes.push({
    name: `T1SZ ${tsz}`,
    run: (b) => {
      const bottom = (1n << 64n) - (1n << BigInt(64 - tsz));
      const top = (1n << 64n) - 0x1000n;
      world(b, { t1sz: tsz }, (_, high) => {
        high.map(bottom, DATA, { attr: NORMAL, ap: 1 });
        if (tsz < 39) high.map(top, DATA + 0x1000, { attr: NORMAL, ap: 1 });
      });
      const inside = [bottom, tsz < 39 ? top : bottom];
      for (const va of [...inside, bottom - 8n, bottom - 0x1000n, 0xffff_0000_0000_0000n - 8n, 0x8000_0000_0000_0000n])
        b.access("EL1", "read", va);
    },
  });
  if (tsz <= 33)
    sizes.push({
      name: `T0SZ ${tsz}`,
      run: (b) => {
        const top = (1n << BigInt(64 - tsz)) - 0x1000n;
        world(b, { t0sz: tsz }, (low) => {
          low.map(0x20_0000n, DATA, { attr: NORMAL, ap: 1 });
          low.map(top, DATA + 0x1000, { attr: NORMAL, ap: 1 });
        });
        for (const va of [0x20_0000n, top, top + 0x1000n, top + (1n << 55n), 0x7fff_ffff_ffff_f000n])
          b.access("EL1", "read", va);
      },
    });
}

/** Blocks cover their whole range, whatever the output's bits below their size are. */
const blocks: Case[] = [1, 2].map((level) => ({
  name: `block at level ${level}`,
  run: (b) => {
    const size = 1n << BigInt(level === 1 ? 30 : 21);
    const pa = level === 1 ? 0x4000_0000n : BLOCK2;
    const va = 0x70_0000_0000n;
    world(b, {}, (low, high) => {
      low.map(va, pa, { attr: NORMAL, ap: 1, level });
      high.map(0xffff_8000_0000_0000n, pa | (level === 1 ? 0x2_0000n : 0n), { attr: NORMAL, ap: 3, level });
    });
    const first = level === 1 ? BLOCK2 - pa : 0n;
    for (const at of [va + first, va + first + 0xff8n, va + size - 8n, va + size, va - 8n]) b.access("EL1", "read", at);
    for (const at of [0n, 0x1008n]) b.access("EL0", "read", 0xffff_8000_0000_0000n + first + at);
  },
}));

const tags: Case[] = [0n, 1n, 2n, 3n].map((tbi) => ({
  name: `TBI ${tbi}`,
  run: (b) => {
    world(b, { tcr: tbi << 37n }, (low, high) => {
      low.map(LOW, DATA, { attr: NORMAL, ap: 1 });
      high.map(HIGH, DATA + 0x1000, { attr: NORMAL, ap: 1 });
      low.map(LOW + 0x1000n, DATA, { attr: NORMAL, ap: 2 });
    });
    for (const tag of [0x5an, 0x80n, 0xffn, 0n]) {
      const tagged = (va: bigint) => (va & ~(0xffn << 56n)) | (tag << 56n);
      for (const va of [LOW, HIGH]) accessAll(b, tagged(va));
      b.access("EL1", "write", tagged(LOW + 0x1000n));
      b.access("EL1", "read", tagged(LOW + 0x2000n));
    }
  },
}));

const disabled: Case[] = [
  {
    name: "EPD0 and EPD1",
    run: (b) => {
      world(b, { tcr: 1n << 23n }, (_, high) => high.map(HIGH, DATA, { attr: NORMAL, ap: 1 }));
      accessAll(b, HIGH);
      accessAll(b, LOW);
    },
  },
  {
    name: "E0PD",
    cpu: "max",
    run: (b) => {
      world(b, { tcr: 1n << 56n }, (low, high) => {
        high.map(HIGH, DATA, { attr: NORMAL, ap: 1 });
        low.map(LOW, DATA, { attr: NORMAL, ap: 1 });
      });
      accessAll(b, HIGH);
      accessAll(b, LOW);
      b.access("EL1", "readUnprivileged", HIGH);
      b.access("EL1", "writeUnprivileged", HIGH);
    },
  },
  {
    name: "translation off",
    run: (b) => {
      for (const va of [BigInt(DATA), 1n << 47n, 1n << 48n, 1n << 52n, 0xffff_0000_0000_0000n, BigInt(NOTHING)])
        for (const kind of ["read", "write", "execute"] as const) b.access("EL1", kind, va);
    },
  },
];

const addresses: Case[] = [0, 1, 2, 3, 4, 5].map((ips) => ({
  name: `IPS ${ips}`,
  run: (b) => {
    const bits = [32, 36, 40, 42, 44, 48][ips];
    const large = 1n << BigInt(bits);
    world(b, { ips }, (low) => {
      low.map(LOW, DATA, { attr: NORMAL, ap: 1 });
      if (bits < 48) low.map(LOW + 0x1000n, large, { attr: NORMAL, ap: 1 });
      low.map(LOW + 0x2000n, large - 0x1000n, { attr: NORMAL, ap: 1 });
    });
    for (const at of [0n, 0x1000n]) accessAll(b, LOW + at);
  },
}));

const external: Case[] = [
  {
    name: "external abort on the access",
    run: (b) => {
      world(b, {}, (low) => low.map(LOW, NOTHING, { attr: NORMAL, ap: 1 }));
      accessAll(b, LOW, ["read", "write", "execute"]);
    },
  },
  ...[1, 2, 3].map(
    (level): Case => ({
      name: `external abort on the walk, level ${level}`,
      run: (b) => {
        world(b, {}, (low) => low.set(LOW, level - 1, BigInt(NOTHING) | 3n));
        accessAll(b, LOW, ["read", "write", "execute"]);
      },
    }),
  ),
  {
    name: "external abort on the first look-up",
    run: (b) => {
      world(b, { registers: { TTBR1_EL1: BigInt(NOTHING) } }, () => {});
      accessAll(b, HIGH, ["read", "write", "execute"]);
    },
  },
  {
    name: "TTBR beyond IPS",
    run: (b) => {
      world(b, { ips: 0, registers: { TTBR1_EL1: BigInt(NOTHING) } }, () => {});
      accessAll(b, HIGH, ["read", "write", "execute"]);
    },
  },
];

export const stage1Cases: readonly Case[] = [
  ...permissions,
  ...hierarchical,
  ...leaves,
  ...descriptors,
  ...sizes,
  ...blocks,
  ...tags,
  ...disabled,
  ...addresses,
  ...external,
];
