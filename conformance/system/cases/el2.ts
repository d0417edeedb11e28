/**
 * The EL2 and EL2&0 regimes: single range, two ranges under HCR_EL2.E2H, EL0 below a host (TGE), permissions of each, and
 * that EL1's registers do not matter. DDI 0487, "Translation regimes", "Virtualization Host Extensions".
 */
import {
  type Access,
  type Bench,
  type Case,
  EL2_SYNDROME,
  HCR,
  type Level,
  NORMAL,
  PAN,
  SCTLR,
  tcr,
  tcr2,
} from "../case.js";
import { mrs, msr } from "../encoding.js";
import { CODE, DATA, NOTHING, VECTORS_EL1, VECTORS_EL2 } from "../layout.js";
import type { Tree } from "../tables.js";

const VA = 0x1234_5678_9000n;
const HIGH = 0xffff_9876_5432_1000n;

/** Identity for EL2's vectors and code. `ap` 3: also for EL0. */
function mapRunner(tree: Tree, ap: number): void {
  for (const page of [VECTORS_EL2, CODE, CODE + 0x1000, CODE + 0x2000])
    tree.map(BigInt(page), page, { attr: NORMAL, ap, sh: 3 });
}

interface WorldOptions {
  readonly t0sz?: number;
  readonly tcr?: bigint;
  readonly sctlr?: bigint;
  readonly ps?: number;
  readonly registers?: Readonly<Record<string, bigint>>;
}

/** The EL2 regime on. */
function single(b: Bench, options: WorldOptions, fill: (tree: Tree) => void): void {
  const { t0sz = 16, tcr: more, sctlr = 0n, ps, registers = {} } = options;
  const tree = b.tree(64 - t0sz);
  mapRunner(tree, 2);
  fill(tree);
  b.install(tree);
  b.allow(EL2_SYNDROME);
  b.set({
    TTBR0_EL2: BigInt(tree.root),
    TCR_EL2: tcr2({ t0sz, ips: ps, more }),
    SCTLR_EL2: SCTLR.OFF | SCTLR.M | sctlr,
    ...registers,
  });
}

/** The EL2&0 regime on; `tge`: EL0 runs in it. */
function host(b: Bench, options: WorldOptions & { tge?: boolean }, fill: (low: Tree, high: Tree) => void): void {
  const { tcr: more, sctlr = 0n, tge = true, registers = {} } = options;
  const low = b.tree(48);
  const high = b.tree(48);
  mapRunner(low, 3);
  fill(low, high);
  b.install(low, high);
  b.allow(EL2_SYNDROME);
  b.set({
    HCR_EL2: HCR.RW | HCR.E2H | (tge ? HCR.TGE : 0n),
    TTBR0_EL2: BigInt(low.root),
    TTBR1_EL2: BigInt(high.root),
    TCR_EL2: tcr({ more }),
    CPTR_EL2: 3n << 20n,
    SCTLR_EL2: SCTLR.OFF | SCTLR.M | sctlr,
    ...registers,
  });
}

const KINDS: readonly Access[] = ["read", "write", "execute"];

function accessAll(b: Bench, va: bigint, levels: readonly Level[], kinds = KINDS): void {
  for (const level of levels) for (const kind of kinds) b.access(level, kind, va);
}

const permissions: Case[] = [];
for (let bits = 0; bits < 32; bits++) {
  const [ap, pxn, uxn, wxn] = [bits & 3, (bits >> 2) & 1, (bits >> 3) & 1, (bits >> 4) & 1];
  const text = `AP ${ap}, PXN ${pxn}, UXN ${uxn}, WXN ${wxn}`;
  permissions.push(
    {
      name: `EL2: ${text}`,
      run: (b) => {
        single(b, { sctlr: wxn ? SCTLR.WXN : 0n }, (tree) => tree.map(VA, DATA, { attr: NORMAL, ap, pxn, uxn }));
        accessAll(b, VA, ["EL2"]);
        b.access("EL2", "readUnprivileged", VA);
        b.access("EL2", "writeUnprivileged", VA);
        b.access("EL2", "read", VA, { pstate: PAN });
      },
    },
    {
      name: `EL2&0 of a host: ${text}`,
      run: (b) => {
        host(b, { sctlr: wxn ? SCTLR.WXN : 0n }, (low) => low.map(VA, DATA, { attr: NORMAL, ap, pxn, uxn }));
        accessAll(b, VA, ["EL0", "EL2"]);
        for (const pstate of [0, PAN])
          for (const kind of ["read", "write", "execute", "readUnprivileged", "writeUnprivileged"] as const)
            b.access("EL2", kind, VA, { pstate });
      },
    },
    {
      name: `EL2&0 without TGE: ${text}`,
      run: (b) => {
        host(b, { tge: false, sctlr: wxn ? SCTLR.WXN : 0n }, (low) =>
          low.map(VA, DATA, { attr: NORMAL, ap, pxn, uxn }),
        );
        for (const pstate of [0, PAN])
          for (const kind of ["read", "write", "execute", "readUnprivileged", "writeUnprivileged"] as const)
            b.access("EL2", kind, VA, { pstate });
      },
    },
  );
}

const hierarchical: Case[] = [];
for (let bits = 0; bits < 16; bits++) {
  const limits = { ap: bits & 3, pxn: (bits >> 2) & 1, uxn: (bits >> 3) & 1 };
  const text = `AP ${limits.ap}, PXN ${limits.pxn}, UXN ${limits.uxn}`;
  hierarchical.push(
    ...[0n, 1n].map(
      (hpd): Case => ({
        name: `EL2: table limits ${text}, HPD ${hpd}`,
        run: (b) => {
          single(b, { tcr: hpd << 24n }, (tree) => tree.map(VA, DATA, { attr: NORMAL, ap: 1 }, limits));
          accessAll(b, VA, ["EL2"]);
        },
      }),
    ),
    {
      name: `EL2&0: table limits ${text}`,
      run: (b) => {
        host(b, {}, (low, high) => {
          low.map(VA, DATA, { attr: NORMAL, ap: 1 }, limits);
          high.map(HIGH, DATA, { attr: NORMAL, ap: 1 }, limits);
        });
        for (const va of [VA, HIGH]) accessAll(b, va, ["EL0", "EL2"]);
      },
    },
  );
}

const sizes: Case[] = [];
for (let t0sz = 16; t0sz <= 33; t0sz++) {
  sizes.push({
    name: `EL2: T0SZ ${t0sz}`,
    run: (b) => {
      const top = (1n << BigInt(64 - t0sz)) - 0x1000n;
      single(b, { t0sz }, (tree) => {
        tree.map(0x20_0000n, DATA, { attr: NORMAL, ap: 1 });
        tree.map(top, DATA + 0x1000, { attr: NORMAL, ap: 1 });
      });
      for (const va of [0x20_0000n, top, top + 0x1000n, HIGH, 1n << 55n, 0xffff_ffff_ffff_f000n])
        b.access("EL2", "read", va);
    },
  });
}

const others: Case[] = [
  ...[0n, 1n].map(
    (tbi): Case => ({
      name: `EL2: TBI ${tbi}`,
      run: (b) => {
        single(b, { tcr: tbi << 20n }, (tree) => tree.map(VA, DATA, { attr: NORMAL, ap: 1 }));
        for (const tag of [0x5an, 0x80n, 0xffn]) {
          accessAll(b, VA | (tag << 56n), ["EL2"]);
          b.access("EL2", "read", (VA + 0x1000n) | (tag << 56n));
        }
      },
    }),
  ),
  ...[0n, 1n, 2n, 3n].map(
    (tbi): Case => ({
      name: `EL2&0: TBI ${tbi}`,
      run: (b) => {
        host(b, { tcr: tbi << 37n }, (low, high) => {
          low.map(VA, DATA, { attr: NORMAL, ap: 1 });
          high.map(HIGH, DATA, { attr: NORMAL, ap: 1 });
        });
        for (const tag of [0x5an, 0x80n])
          for (const va of [VA, HIGH]) accessAll(b, (va & ~(0xffn << 56n)) | (tag << 56n), ["EL0", "EL2"]);
      },
    }),
  ),
  {
    name: "EL2&0: EPD1 and unmapped",
    run: (b) => {
      host(b, { tcr: 1n << 23n }, (_, high) => high.map(HIGH, DATA, { attr: NORMAL, ap: 1 }));
      for (const va of [HIGH, VA, 0x8000_0000_0000_0000n, 1n << 48n]) accessAll(b, va, ["EL0", "EL2"]);
    },
  },
  {
    name: "EL2: external aborts",
    run: (b) => {
      single(b, {}, (tree) => {
        tree.map(VA, NOTHING, { attr: NORMAL, ap: 1 });
        tree.set(0x20_0000_0000n, 1, BigInt(NOTHING) | 3n);
      });
      for (const va of [VA, 0x20_0000_0000n]) accessAll(b, va, ["EL2"]);
    },
  },
  {
    name: "EL2: address sizes",
    run: (b) => {
      single(b, { ps: 0 }, (tree) => {
        tree.map(VA, 1n << 32n, { attr: NORMAL, ap: 1 });
        tree.set(0x20_0000_0000n, 1, (1n << 35n) | 3n);
        tree.map(0x30_0000_0000n, DATA, { attr: NORMAL, ap: 1, af: 0 });
      });
      for (const va of [VA, 0x20_0000_0000n, 0x30_0000_0000n, 0x40_0000_0000n]) accessAll(b, va, ["EL2"]);
    },
  },
  {
    name: "stage 2 does not concern EL2",
    run: (b) => {
      single(b, { registers: { HCR_EL2: HCR.RW | HCR.VM, VTTBR_EL2: BigInt(NOTHING) } }, (tree) =>
        tree.map(VA, DATA, { attr: NORMAL, ap: 1 }),
      );
      accessAll(b, VA, ["EL2"]);
    },
  },
  {
    name: "stage 2 does not concern EL0 of a host",
    run: (b) => {
      host(b, { registers: { HCR_EL2: HCR.RW | HCR.E2H | HCR.TGE | HCR.VM, VTTBR_EL2: BigInt(NOTHING) } }, (low) =>
        low.map(VA, DATA, { attr: NORMAL, ap: 1 }),
      );
      accessAll(b, VA, ["EL0", "EL2"]);
    },
  },
  {
    name: "names of EL1 registers at EL2 under E2H",
    run: (b) => {
      b.set({
        HCR_EL2: HCR.RW | HCR.E2H,
        TTBR0_EL1: 0x1000n,
        TTBR0_EL2: 0x2000n,
        TTBR1_EL2: 0x3000n,
        CNTKCTL_EL1: 0x201n,
      });
      b.x({ 0: 0x5000, 1: VECTORS_EL1 });
      b.run(
        "EL2",
        [
          mrs(2, "TTBR0_EL1"),
          mrs(3, "TTBR0_EL12"),
          msr("TTBR0_EL1", 0),
          mrs(4, "TTBR0_EL2"),
          mrs(5, "TTBR0_EL12"),
          mrs(6, "TTBR1_EL1"),
          msr("TTBR1_EL12", 0),
          mrs(7, "CNTKCTL_EL1"),
          mrs(8, "CNTKCTL_EL12"),
          mrs(9, "VBAR_EL12"),
          mrs(10, "CPACR_EL12"),
          mrs(11, "CPACR_EL1"),
          msr("CONTEXTIDR_EL1", 0),
          mrs(12, "CONTEXTIDR_EL2"),
          mrs(13, "CONTEXTIDR_EL12"),
          msr("SPSR_EL1", 0),
          mrs(14, "SPSR_EL2"),
          mrs(15, "SPSR_EL12"),
          msr("ELR_EL1", 0),
          mrs(16, "ELR_EL2"),
          msr("ESR_EL1", 0),
          mrs(17, "ESR_EL2"),
          msr("FAR_EL1", 0),
          mrs(18, "FAR_EL2"),
          mrs(19, "FAR_EL12"),
          msr("AFSR0_EL1", 0),
          mrs(20, "AFSR0_EL12"),
          msr("MAIR_EL12", 0),
          mrs(21, "MAIR_EL2"),
        ],
        { registers: 31 },
      );
      b.program.mrs("TTBR0_EL1");
      b.program.mrs("TTBR1_EL1");
      b.set({ TTBR0_EL1: 0, TTBR1_EL1: 0, TTBR0_EL2: 0, CONTEXTIDR_EL2: 0, MAIR_EL1: 0 });
    },
  },
];

export const el2Cases: readonly Case[] = [...permissions, ...hierarchical, ...sizes, ...others];
