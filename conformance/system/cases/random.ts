/**
 * Random translation: tables whose descriptors are random in every field, under random registers, asked by AT and by
 * accesses of every kind at random privilege. A few tables serve all levels below the first, so that each descriptor is
 * met on many paths. What keeps the runner alive is fixed: its vectors and code in the lower range, and the tables
 * themselves in stage 2, mostly.
 */
import { Random } from "../../oracle/random.js";
import {
  type Access,
  type Allowance,
  type Bench,
  type Case,
  EL2_SYNDROME,
  HCR,
  type Level,
  MAIR,
  NORMAL,
  PAN,
  SCTLR,
  UNKNOWN_NS,
} from "../case.js";
import { CODE, DATA, NOTHING, TABLES, VECTORS_EL1, VECTORS_EL2 } from "../layout.js";
import type { Cpu } from "../run-qemu.js";
import { leaf, leaf2, SHIFT } from "../tables.js";

/** Entries that each table has, by level. Level 2 has none that a level 1 block would put into memory of the runner's. */
const INDICES = [
  [0, 1, 5, 511],
  [0, 1, 5, 511],
  [1, 260, 300, 511],
  [0, 1, 5, 511],
] as const;
const PAGE = 0x1000;
const DATA_PAGES = 16;
/** Bytes of a data page that are looked at. */
const OFFSETS = [0, 8, 0xff8] as const;
/** Bits of the output sizes. */
const SIZES = [32, 36, 40, 42, 44, 48] as const;

const ATTRIBUTES: Allowance = {
  field: /^AT/,
  when: (par) => (par & 1n) === 0n,
  mask: 0xff00_0000_0000_0180n,
  why: "DDI 0487, PAR_EL1: ATTR and SH may be what the implementation uses instead of what the descriptors say",
};
const EXTERNAL: Allowance = {
  field: /ESR_EL2$/,
  when: (esr) => esr >> 26n === 0x24n && [0x14n, 0x15n, 0x16n, 0x17n].includes(esr & 0x3fn),
  mask: 0x1ff_c000n,
  expect: 0n,
  why: "DDI 0487, AArch64.FaultSyndrome: with FEAT_RAS an external abort on the walk has no ISV; QEMU sets it",
};
/** Levels of stage-2 faults on the walk of stage 1; `stage2.ts` compares them. */
const LEVELS: readonly Allowance[] = [
  {
    field: /ESR_EL2$/,
    when: (esr) => [0x20n, 0x24n].includes(esr >> 26n) && (esr & 0x80n) !== 0n,
    mask: 3n,
    why: "DDI 0487, AArch64.S2Translate: the level is that of stage 2; QEMU puts the level of the stage-1 table",
  },
  {
    field: /^AT/,
    when: (par) => (par & 0x101n) === 0x101n,
    mask: 6n,
    why: "as in ESR_EL2",
  },
];

/** Differences of walks that are QEMU's. */
export const WALK_ALLOWANCES: readonly Allowance[] = [ATTRIBUTES, EXTERNAL, ...LEVELS];

/** Memory for tables: fixed pages of a case, filled with random descriptors. */
class Pool {
  private readonly random: Random;
  /** Pages that are tables of level 1, 2 and 3. */
  private readonly byLevel: readonly (readonly number[])[];
  /** Output addresses of leaves: IPAs or physical. */
  private readonly outputs: (level: number) => bigint;
  private readonly stage: 1 | 2;
  private readonly fwb: boolean;

  constructor(options: {
    random: Random;
    byLevel: readonly (readonly number[])[];
    outputs: (level: number) => bigint;
    stage: 1 | 2;
    fwb?: boolean;
  }) {
    this.random = options.random;
    this.byLevel = options.byLevel;
    this.outputs = options.outputs;
    this.stage = options.stage;
    this.fwb = options.fwb ?? false;
  }

  /** Writes the random entries of a table of this level, but for `keep`. */
  fill(b: Bench, table: number, level: number, mask = 511, keep: readonly number[] = []): void {
    for (const index of INDICES[level as 0])
      if (!keep.includes(index & mask)) b.program.write64(table + (index & mask) * 8, this.descriptor(level));
  }

  descriptor(level: number): bigint {
    const { random } = this;
    if (random.oneIn(20)) return random.u64() & ~1n;
    const asTable = level < 3 && (level === 0 || !random.oneIn(3));
    if (asTable) return this.table(level);
    // Reserved at level 3: a block.
    if (level === 3 && random.oneIn(25)) return BigInt(DATA) | 0x7c1n;
    return this.stage === 1 ? this.leaf1(level) : this.leaf2(level);
  }

  private table(level: number): bigint {
    const { random } = this;
    const next = BigInt(random.pick(this.byLevel[level + 1]));
    if (random.oneIn(40)) return BigInt(NOTHING) | 3n;
    if (random.oneIn(40)) return (1n << BigInt(random.pick([33, 37, 41, 43, 45, 47]))) | next | 3n;
    // Ignored bits, and for stage 1 the limits: seldom, or little would be allowed.
    const limits = this.stage === 1 && random.oneIn(3) ? BigInt(random.below(16)) << 59n : 0n;
    return next | 3n | (BigInt(random.below(128)) << 52n) | (BigInt(random.below(1024)) << 2n) | limits;
  }

  private leaf1(level: number): bigint {
    const { random } = this;
    const descriptor = leaf(level, {
      attr: random.oneIn(3) ? random.below(8) : NORMAL,
      ns: random.below(2),
      ap: random.below(4),
      sh: random.pick([0, 2, 3]),
      af: random.oneIn(8) ? 0 : 1,
      ng: random.below(2),
      contiguous: random.oneIn(6) ? 1 : 0,
      pxn: random.below(2),
      uxn: random.below(2),
    });
    return descriptor | this.outputs(level) | (BigInt(random.below(32)) << 55n) | (random.oneIn(4) ? 1n << 51n : 0n);
  }

  private leaf2(level: number): bigint {
    const { random } = this;
    const attr = this.fwb ? random.pick([0, 1, 2, 3, 5, 6, 7]) : random.pick([0, 1, 3, 5, 7, 13, 15, 15, 15, 15]);
    const descriptor = leaf2(level, {
      attr,
      s2ap: random.oneIn(3) ? random.below(4) : 3,
      sh: random.pick([0, 2, 3]),
      af: random.oneIn(10) ? 0 : 1,
      xn: random.oneIn(3) ? 1 : 0,
    });
    return descriptor | this.outputs(level) | (BigInt(random.below(16)) << 55n);
  }
}

const MiB2 = 0x20_0000;

/**
 * Physical leaves: data pages, the block around them, nothing, too large. `gibibyte`: what a block of level 1 maps; of
 * stage 2, whose input may have any low bits, it is beyond RAM.
 */
const physical =
  (random: Random, gibibyte = 0x4000_0000n) =>
  (level: number): bigint => {
    if (random.oneIn(20))
      return (1n << BigInt(random.pick([33, 37, 41, 43, 45, 47]))) & ~((1n << BigInt(SHIFT[level as 0])) - 1n);
    if (random.oneIn(25)) return level === 3 ? BigInt(NOTHING) : 0x2_0000_0000n;
    if (level === 1) return gibibyte;
    return BigInt(level === 2 ? DATA - (DATA % MiB2) : DATA + random.below(DATA_PAGES) * PAGE);
  };

/** An input address that meets the tables' entries. */
function inputAddress(random: Random, level: number, bits: number): bigint {
  let address = 0n;
  for (let at = level; at <= 3; at++) {
    const index = random.pick(INDICES[at as 0]) & (at === level ? 2 ** (bits - SHIFT[at as 0]) - 1 : 511);
    address |= BigInt(index) << BigInt(SHIFT[at as 0]);
  }
  return address;
}

const startLevel = (bits: number): number => 3 - Math.floor((bits - 13) / 9);

/** Stage 1 of a regime with one or two ranges; returns the registers and a source of addresses. */
function stage1(b: Bench, random: Random, output: (level: number) => bigint) {
  const page = () => b.arena.take();
  const [fixedL0, fixedL1, fixedL2, fixedL3] = [page(), page(), page(), page()];
  const byLevel = [[], [fixedL1, page()], [page(), page()], [page(), page()]] as const;
  const highRoot = page();
  const pool = new Pool({ random, byLevel, outputs: output, stage: 1 });
  const t0sz = 16 + random.below(18);
  const t1sz = 16 + random.below(24);
  const lowBits = 64 - t0sz;
  const highBits = 64 - t1sz;
  const lowLevel = startLevel(lowBits);
  const highLevel = startLevel(highBits);
  const { program } = b;
  const emit = () => {
    pool.fill(b, fixedL0, 0, 511, [0]);
    program.write64(fixedL0, BigInt(fixedL1) | 3n);
    const lowMask = lowLevel === 1 ? 2 ** (lowBits - 30) - 1 : 511;
    pool.fill(b, fixedL1, 1, lowMask, [1 & lowMask]);
    program.write64(fixedL1 + 8, BigInt(fixedL2) | 3n);
    program.write64(fixedL2, BigInt(fixedL3) | 3n);
    for (const at of [VECTORS_EL1, VECTORS_EL2, CODE, CODE + PAGE, CODE + 2 * PAGE])
      program.write64(fixedL3 + ((at >> 12) & 511) * 8, BigInt(at) | leaf(3, { attr: NORMAL, ap: 3, sh: 3 }));
    for (const level of [1, 2, 3])
      for (const table of byLevel[level]) if (table !== fixedL1) pool.fill(b, table, level);
    pool.fill(b, highRoot, highLevel, 2 ** (highBits - SHIFT[highLevel as 0]) - 1);
  };
  const address = (two: boolean): bigint => {
    if (random.oneIn(16)) return random.u64() & ~7n;
    const high = two && random.oneIn(2);
    const va = high ? inputAddress(random, highLevel, highBits) : inputAddress(random, lowLevel, lowBits);
    const full = high ? va | (((1n << 64n) - 1n) & ~((1n << BigInt(highBits)) - 1n)) : va;
    const tagged = random.oneIn(10) ? full ^ (BigInt(random.below(256)) << 56n) : full;
    return tagged | BigInt(random.pick(OFFSETS));
  };
  return { emit, address, t0sz, t1sz, low: lowLevel === 0 ? fixedL0 : fixedL1, high: highRoot };
}

/** Stage 2: its own tables; where the runner, its tables and its data are, mostly the identity. */
function stage2(b: Bench, random: Random, fwb: boolean) {
  const [sl0, t0sz] = random.pick([
    [1, 24],
    [1, 25],
    [1, 28],
    [1, 30],
    [1, 21],
    [2, 16],
    [2, 20],
    [2, 24],
    [0, 32],
    [0, 31],
  ] as const);
  const bits = 64 - t0sz;
  const level = 2 - sl0;
  const size = 8 * 2 ** (bits - SHIFT[level as 0]);
  const root = b.arena.take(Math.max(PAGE, size));
  const page = () => b.arena.take();
  const identity = page();
  const byLevel = [[], [page(), page()], [page(), page()], [page(), page()]] as const;
  const pool = new Pool({ random, byLevel, outputs: physical(random, 0x8000_0000n), stage: 2, fwb });
  const whole = fwb ? 6 : 15;
  const { program } = b;
  /** Descriptors that map 1 GiB on as itself: below 24 MiB of the runner. */
  const blocks = (table: number) => {
    for (let at = 0; at < 12; at++) {
      const pa = 0x4000_0000 + at * MiB2;
      program.write64(
        table + (((pa >> 21) & 511) + (table === root ? 512 : 0)) * 8,
        BigInt(pa) | leaf2(2, { attr: whole }),
      );
    }
  };
  const emit = () => {
    for (const at of [1, 2, 3]) for (const table of byLevel[at]) pool.fill(b, table, at, 511, []);
    const mask = size / 8 - 1;
    if (level === 2) {
      // The root's second table is the gibibyte of the runner.
      pool.fill(b, root, 2, mask);
      blocks(root);
      return;
    }
    if (level === 1) {
      pool.fill(b, root, 1, mask, [1]);
      program.write64(root + 8, BigInt(identity) | 3n);
    } else {
      const first = byLevel[1][0];
      pool.fill(b, root, 0, mask, [0]);
      program.write64(root, BigInt(first) | 3n);
      program.write64(first + 8, BigInt(identity) | 3n);
    }
    blocks(identity);
  };
  const ipa = (leafLevel: number): bigint => {
    const offset = (1n << BigInt(SHIFT[leafLevel as 0])) - 1n;
    if (random.oneIn(12)) return (BigInt(random.u32()) << 16n) & 0xffff_ffff_f000n & ~offset;
    if (random.oneIn(4)) return physical(random)(leafLevel);
    return inputAddress(random, level, bits) & ~offset;
  };
  // QEMU refuses a range larger than PS, and a start at level 0 below 44 bits; the architecture asks about the PA size.
  const least = sl0 === 2 ? Math.max(bits, 44) : bits;
  const ps = random.pick(SIZES.flatMap((limit, i) => (limit >= least ? [i] : [])));
  const vtcr =
    0x8000_3500n | BigInt(t0sz) | (BigInt(sl0) << 6n) | (BigInt(ps) << 16n) | (random.oneIn(2) ? 1n << 19n : 0n);
  return { emit, ipa, vtcr, vttbr: BigInt(root) | (BigInt(random.below(256)) << 48n) };
}

/** TCR with two ranges. */
function randomTcr(random: Random, { t0sz, t1sz }: { t0sz: number; t1sz: number }, cpu: Cpu): bigint {
  const flag = (at: number, count: number) => (random.oneIn(count) ? 1n << BigInt(at) : 0n);
  const ips = BigInt(random.oneIn(3) ? random.below(6) : 5) << 32n;
  const e0pd = cpu === "max" ? flag(56, 6) : 0n;
  return (
    BigInt(t0sz) |
    (BigInt(t1sz) << 16n) |
    0x3500n |
    (0xb500n << 16n) |
    ips |
    flag(22, 2) |
    flag(23, 10) |
    flag(36, 2) |
    flag(37, 2) |
    flag(38, 2) |
    flag(41, 4) |
    flag(42, 4) |
    e0pd
  );
}

const randomTcr2 = (random: Random, t0sz: number): bigint =>
  0x8080_3500n |
  BigInt(t0sz) |
  (BigInt(random.oneIn(3) ? random.below(6) : 5) << 16n) |
  (random.oneIn(2) ? 1n << 20n : 0n) |
  (random.oneIn(4) ? 1n << 24n : 0n);

const KINDS: readonly Access[] = [
  ...(["read", "read", "write", "write", "execute", "execute"] as const),
  ...(["readByte", "writeByte", "readUnprivileged", "writeUnprivileged", "readExclusive", "writeExclusive"] as const),
  ...(["readAcquire", "writeRelease", "add", "swap", "compareAndSwap"] as const),
];
const ADDRESSES = 20;

/** What a set of addresses gives: AT, then accesses, then memory. */
function probe(
  b: Bench,
  random: Random,
  options: { address: () => bigint; at: readonly string[]; levels: readonly Level[] },
): void {
  const { program } = b;
  b.allow(UNKNOWN_NS);
  b.allow(EL2_SYNDROME);
  for (const allowance of WALK_ALLOWANCES) b.allow(allowance);
  for (let i = 0; i < ADDRESSES; i++) {
    const va = options.address();
    for (const name of options.at) program.translate(name, va);
    for (let n = 0; n < 4; n++) {
      const level = random.pick(options.levels);
      b.access(level, random.pick(KINDS), va, { pstate: level !== "EL0" && random.oneIn(3) ? PAN : 0 });
    }
  }
  for (let page = 0; page < DATA_PAGES; page++)
    for (const offset of OFFSETS) {
      program.read64(DATA + page * PAGE + offset);
      program.write64(DATA + page * PAGE + offset, BigInt(DATA + page * PAGE + offset));
    }
}

const E1 = ["AT S1E1R", "AT S1E1W", "AT S1E0R", "AT S1E0W"] as const;
const E12 = ["AT S12E1R", "AT S12E1W", "AT S12E0R", "AT S12E0W"] as const;
const E2 = ["AT S1E2R", "AT S1E2W"] as const;

function el1(b: Bench, random: Random, cpu: Cpu): void {
  const two = !random.oneIn(3);
  const fwb = cpu === "max" && random.oneIn(2);
  const second = stage2(b, random, fwb);
  const first = stage1(b, random, two ? second.ipa : physical(random));
  // Without either stage an access could reach any device.
  const isOn = !two || !random.oneIn(8);
  b.program.zero(TABLES, b.arena.used);
  first.emit();
  second.emit();
  const dc = two && random.oneIn(12);
  b.set({
    HCR_EL2:
      HCR.RW |
      (two ? HCR.VM : 0n) |
      (dc ? HCR.DC : 0n) |
      // Without stage 2 it does nothing; QEMU faults AT S1 then.
      (two && random.oneIn(3) ? HCR.PTW : 0n) |
      (fwb ? HCR.FWB : 0n) |
      (random.oneIn(6) ? HCR.E2H : 0n),
    VTCR_EL2: second.vtcr,
    VTTBR_EL2: second.vttbr,
    TTBR0_EL1: BigInt(first.low) | (BigInt(random.below(0x1_0000)) << 48n),
    TTBR1_EL1: BigInt(first.high) | (BigInt(random.below(0x1_0000)) << 48n),
    TCR_EL1: randomTcr(random, first, cpu),
    MAIR_EL1: MAIR,
    SCTLR_EL1: (SCTLR.OFF & ~SCTLR.SPAN) | (isOn ? SCTLR.M : 0n) | (random.oneIn(3) ? SCTLR.WXN : 0n) | SCTLR.SPAN,
  });
  // With stage 1 off an address has PA size: 48 bits, but 52 on max.
  const flat = () =>
    random.oneIn(4) ? first.address(true) & (cpu === "max" ? 0xffff_ffff_ffffn : ~0n) : second.ipa(3) | 8n;
  const address = () => (isOn && !dc ? first.address(true) : flat());
  probe(b, random, { address, at: [...E1, ...E12], levels: ["EL0", "EL1"] });
}

function el2(b: Bench, random: Random): void {
  const first = stage1(b, random, physical(random));
  b.program.zero(TABLES, b.arena.used);
  first.emit();
  b.set({
    TTBR0_EL2: BigInt(first.low),
    TCR_EL2: randomTcr2(random, first.t0sz),
    SCTLR_EL2: SCTLR.OFF | SCTLR.M | (random.oneIn(3) ? SCTLR.WXN : 0n),
  });
  probe(b, random, { address: () => first.address(false), at: E2, levels: ["EL2"] });
}

function host(b: Bench, random: Random, cpu: Cpu): void {
  const tge = random.oneIn(2);
  const first = stage1(b, random, physical(random));
  b.program.zero(TABLES, b.arena.used);
  first.emit();
  b.set({
    HCR_EL2: HCR.RW | HCR.E2H | (tge ? HCR.TGE : 0n),
    CPTR_EL2: 3n << 20n,
    TTBR0_EL2: BigInt(first.low) | (BigInt(random.below(0x1_0000)) << 48n),
    TTBR1_EL2: BigInt(first.high) | (BigInt(random.below(0x1_0000)) << 48n),
    TCR_EL2: randomTcr(random, first, cpu),
    SCTLR_EL2: SCTLR.OFF | SCTLR.M | (random.oneIn(3) ? SCTLR.WXN : 0n),
  });
  probe(b, random, {
    address: () => first.address(true),
    at: tge ? [...E2, ...E1] : E2,
    levels: tge ? ["EL0", "EL2"] : ["EL2"],
  });
}

/** `count` random worlds; a world is made again from its own number alone. */
export const randomCases = (seed: number, count: number): Case[] =>
  Array.from({ length: count }, (_, i) => {
    const number = seed * 100_003 + i;
    const cpu: Cpu = i % 3 === 2 ? "max" : "neoverse-n1";
    return {
      name: `random world ${number}`,
      cpu,
      run: (b) => {
        const random = new Random(number);
        const kind = random.below(10);
        if (kind < 7) el1(b, random, cpu);
        else if (kind < 8) el2(b, random);
        else host(b, random, cpu);
      },
    };
  });
