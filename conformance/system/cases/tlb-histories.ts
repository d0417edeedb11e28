/**
 * Random histories of tables: descriptors of every regime change, each time with one of the TLBIs that suffice for it, while
 * accesses at all levels fill the TLBs and ASIDs, VMIDs and HCR_EL2.TGE come and go without any. What an access gives must be
 * what the tables say, on both machines. DDI 0487, "TLB maintenance instructions", "Using break-before-make".
 */
import { Random } from "../../oracle/random.js";
import {
  type Access,
  type Bench,
  type Case,
  EL2_SYNDROME,
  HCR,
  type Level,
  mapRunner,
  NORMAL,
  PAN,
  SCTLR,
  tcr,
  tcr2,
  vtcr,
} from "../case.js";
import { dsb, isb, smc, sys } from "../encoding.js";
import { DATA, VECTORS_EL2 } from "../layout.js";
import { leaf, leaf2, type Tree } from "../tables.js";
import { WALK_ALLOWANCES } from "./random.js";
import { mapRunner2 } from "./stage2.js";

const PAGE = 0x1000n;
const BLOCK = 0x20_0000n;
/** Three pages and a block in each range. */
const LOW = [0x7000_0000n, 0x7000_1000n, 0x7000_5000n, 0x7020_0000n] as const;
const HIGH = [0xffff_ffff_f000_0000n, 0xffff_ffff_f000_1000n, 0xffff_ffff_f000_5000n, 0xffff_ffff_f020_0000n] as const;
const IPAS = [0x6000_0000n, 0x6000_1000n, 0x6000_2000n, 0x6000_3000n] as const;
const DATA_BLOCK = BigInt(DATA) & ~(BLOCK - 1n);

const isBlock = (address: bigint): boolean => (address & BLOCK) !== 0n;
const levelOf = (address: bigint): 2 | 3 => (isBlock(address) ? 2 : 3);

/** One set of tables with the tag of its entries, and whether each leaf is global. */
interface Space {
  readonly tree: Tree;
  readonly tag: bigint;
}

interface History {
  readonly b: Bench;
  readonly random: Random;
  readonly e2h: boolean;
  /** Low ranges by ASID, the high range of all ASIDs, of EL1&0; of EL2, or of EL2&0. */
  readonly el1: { readonly low: readonly [Space, Space]; readonly high: Tree };
  readonly el2: { readonly low: readonly [Space, Space]; readonly high: Tree };
  readonly second: readonly [Space, Space];
  /** Which of two is current. */
  readonly now: { el1: number; el2: number; second: number; tge: boolean };
}

const pick = <T>(random: Random, two: readonly [T, T]): T => two[random.below(2)];

/** A stage-1 leaf; the low range is never global. */
function stage1Leaf(h: History, address: bigint, isEl2: boolean): bigint {
  const { random, e2h } = h;
  const level = levelOf(address);
  const output = isEl2
    ? level === 2
      ? DATA_BLOCK
      : BigInt(DATA) + BigInt(random.below(8)) * PAGE
    : level === 2
      ? IPAS[0] & ~(BLOCK - 1n)
      : random.pick(IPAS);
  const hasEl0 = !isEl2 || e2h;
  return (
    output |
    leaf(level, {
      attr: NORMAL,
      ap: hasEl0 ? random.below(4) : random.pick([1, 3]),
      sh: 3,
      af: random.oneIn(8) ? 0 : 1,
      ng: HIGH.includes(address as (typeof HIGH)[0]) && hasEl0 ? random.below(2) : hasEl0 ? 1 : 0,
      pxn: hasEl0 ? random.below(2) : 0,
      uxn: random.below(2),
    })
  );
}

const stage2Leaf = (random: Random): bigint =>
  (BigInt(DATA) + BigInt(random.below(8)) * PAGE) |
  leaf2(3, { s2ap: random.oneIn(3) ? random.below(4) : 3, af: random.oneIn(8) ? 0 : 1, xn: random.below(2) });

/** Registers as `now` says. */
function apply({ b, e2h, el1, el2, second, now }: History): void {
  const { program } = b;
  const low = el1.low[now.el1];
  program.msr("TTBR0_EL1", BigInt(low.tree.root) | (low.tag << 48n));
  program.msr("VTTBR_EL2", BigInt(second[now.second].tree.root) | (second[now.second].tag << 48n));
  const host = el2.low[now.el2];
  program.msr("TTBR0_EL2", BigInt(host.tree.root) | (e2h ? host.tag << 48n : 0n));
  program.msr("HCR_EL2", HCR.RW | HCR.VM | (e2h ? HCR.E2H : 0n) | (now.tge ? HCR.TGE : 0n));
}

function maintain(b: Bench, level: Level, instruction: string, operand: bigint): void {
  b.program.clear();
  b.x({ 1: operand });
  b.program.code([dsb, sys(instruction, 1), dsb, isb, smc(0)]);
  b.program.step(instruction);
  b.enter(level, { registers: 0 });
  b.program.step("");
}

const page = (address: bigint): bigint => (address >> 12n) & 0xfff_ffff_ffffn;
const suffix = (random: Random): string => (random.oneIn(2) ? "IS" : "");
/** Any byte of what a leaf maps names it. */
const within = (random: Random, address: bigint): bigint =>
  isBlock(address) ? address + BigInt(random.below(512)) * PAGE : address;

/** Drops what the TLBs hold of a leaf of EL1&0: under either VMID. */
function maintainEl1(h: History, address: bigint, asid: bigint, isGlobal: boolean): void {
  const { b, random, now } = h;
  if (random.oneIn(5)) {
    maintain(b, "EL2", `TLBI ALLE1${suffix(random)}`, 0n);
    return;
  }
  const at = page(within(random, address));
  const { tge } = now;
  now.tge = false;
  const current = now.second;
  for (const vmid of [0, 1]) {
    now.second = vmid;
    apply(h);
    const names = ["VMALLE1", "VAE1", "VALE1", "VAAE1", "VAALE1", ...(isGlobal ? [] : ["ASIDE1"])];
    const name = random.pick(random.oneIn(8) ? ["VMALLS12E1"] : names);
    const tag = name.startsWith("VAA") || name.startsWith("VM") ? 0n : asid << 48n;
    const level = name === "VMALLS12E1" ? "EL2" : random.pick<Level>(["EL1", "EL2"]);
    const operand = tag | (name === "ASIDE1" || name.startsWith("VM") ? 0n : at);
    maintain(b, level, `TLBI ${name}${suffix(random)}`, operand);
  }
  now.second = current;
  now.tge = tge;
  apply(h);
}

function maintainEl2(h: History, address: bigint, asid: bigint, isGlobal: boolean): void {
  const { b, random, e2h, now } = h;
  const at = page(within(random, address));
  if (!e2h || random.oneIn(2)) {
    const name = random.pick(["ALLE2", "VAE2", "VALE2"]);
    // QEMU 7.2's VAE2IS and VALE2IS leave EL2&0's entries.
    const form = e2h && name !== "ALLE2" ? "" : suffix(random);
    maintain(b, "EL2", `TLBI ${name}${form}`, name === "ALLE2" ? 0n : at | (e2h ? asid << 48n : 0n));
    return;
  }
  // The names of EL1 are a host's own under TGE.
  const { tge } = now;
  now.tge = true;
  apply(h);
  const name = random.pick(["VMALLE1", "VAE1", "VALE1", "VAAE1", "VAALE1", ...(isGlobal ? [] : ["ASIDE1"])]);
  const tag = name.startsWith("VAA") || name.startsWith("VM") ? 0n : asid << 48n;
  maintain(b, "EL2", `TLBI ${name}${suffix(random)}`, tag | (name === "ASIDE1" || name.startsWith("VM") ? 0n : at));
  now.tge = tge;
  apply(h);
}

/** By IPA, then all of stage 1 and both of this VMID; or at once. */
function maintainStage2(h: History, vmid: number, ipa: bigint): void {
  const { b, random, now } = h;
  if (random.oneIn(4)) {
    maintain(b, "EL2", `TLBI ALLE1${suffix(random)}`, 0n);
    return;
  }
  const { tge, second } = now;
  now.second = vmid;
  now.tge = false;
  apply(h);
  if (random.oneIn(2)) maintain(b, "EL2", `TLBI VMALLS12E1${suffix(random)}`, 0n);
  else {
    maintain(b, "EL2", `TLBI ${random.pick(["IPAS2E1", "IPAS2LE1"])}${suffix(random)}`, page(ipa));
    maintain(b, "EL2", `TLBI VMALLE1${suffix(random)}`, 0n);
  }
  now.second = second;
  now.tge = tge;
  apply(h);
}

/** Writes a new leaf, with break-before-make where its output changes; `maintenance` drops the old one. */
function change(h: History, tree: Tree, entry: number, fresh: bigint, maintenance: (old: bigint) => void): void {
  const { b, random } = h;
  const old = tree.entries.get(entry)!;
  const write = (value: bigint) => {
    tree.entries.set(entry, value);
    b.program.write64(entry, value);
  };
  const OUTPUT = 0xffff_ffff_f000n;
  const NG = 1n << 11n;
  const keeps = ((old ^ fresh) & (OUTPUT | NG)) === 0n && (old & 1n) !== 0n;
  if (keeps) {
    write(fresh);
    maintenance(old);
    return;
  }
  if ((old & 1n) !== 0n) {
    write(0n);
    maintenance(old);
    if (random.oneIn(2)) accesses(h, 3);
  }
  // From invalid to valid nothing needs to be dropped.
  if (!random.oneIn(4)) write(fresh);
}

const KINDS: readonly Access[] = ["read", "read", "writeByte", "execute", "readUnprivileged", "writeUnprivileged"];

function accesses(h: History, count: number): void {
  const { b, random, e2h, now } = h;
  for (let i = 0; i < count; i++) {
    const levels: readonly Level[] = now.tge ? ["EL0", "EL2"] : ["EL0", "EL1", "EL1", "EL2"];
    const level = random.pick(levels);
    const addresses = level === "EL2" && !e2h ? LOW : [...LOW, ...HIGH];
    const address = random.pick(addresses);
    const offset = isBlock(address) ? BigInt(random.below(4)) * PAGE : 0n;
    b.access(level, random.pick(KINDS), address + offset + 0x128n, {
      pstate: level !== "EL0" && random.oneIn(4) ? PAN : 0,
    });
  }
}

function begin(b: Bench, random: Random): History {
  const e2h = random.oneIn(2);
  const spaces = (): [Space, Space] => [
    { tree: b.tree(48), tag: 1n },
    { tree: b.tree(48), tag: 0x102n },
  ];
  const h: History = {
    b,
    random,
    e2h,
    el1: { low: spaces(), high: b.tree(40) },
    el2: { low: spaces(), high: b.tree(40) },
    second: [
      { tree: b.tree(40, 1), tag: 5n },
      { tree: b.tree(40, 1), tag: 0x105n },
    ],
    now: { el1: 0, el2: 0, second: 0, tge: false },
  };
  for (const [regime, isEl2] of [
    [h.el1, false],
    [h.el2, true],
  ] as const) {
    for (const { tree } of regime.low) {
      mapRunner(tree);
      tree.map(BigInt(VECTORS_EL2), VECTORS_EL2, { attr: NORMAL, ap: 3, sh: 3 });
      for (const address of LOW) tree.set(address, levelOf(address), stage1Leaf(h, address, isEl2));
    }
    for (const address of HIGH) regime.high.set(address, levelOf(address), stage1Leaf(h, address, isEl2));
  }
  for (const { tree } of h.second) {
    mapRunner2(tree);
    for (const ipa of IPAS) tree.set(ipa, 3, stage2Leaf(random));
  }
  b.install(
    ...h.el1.low.map(({ tree }) => tree),
    h.el1.high,
    ...h.el2.low.map(({ tree }) => tree),
    h.el2.high,
    ...h.second.map(({ tree }) => tree),
  );
  b.set({
    HCR_EL2: HCR.RW | HCR.VM | (e2h ? HCR.E2H : 0n),
    CPTR_EL2: e2h ? 3n << 20n : 0x33ffn,
    VTCR_EL2: vtcr({ more: 1n << 19n }),
    VTTBR_EL2: 0n,
    TTBR0_EL1: 0n,
    TTBR1_EL1: BigInt(h.el1.high.root),
    TCR_EL1: tcr({ t1sz: 24, more: 1n << 36n }),
    SCTLR_EL1: (SCTLR.OFF | SCTLR.M) & ~SCTLR.SPAN,
    TTBR0_EL2: 0n,
    TTBR1_EL2: e2h ? BigInt(h.el2.high.root) : 0n,
    TCR_EL2: e2h ? tcr({ t1sz: 24, more: 1n << 36n }) : tcr2(),
    SCTLR_EL2: (SCTLR.OFF | SCTLR.M) & ~SCTLR.SPAN,
  });
  apply(h);
  return h;
}

const STEPS = 24;

function run(b: Bench, random: Random): void {
  for (const allowance of [EL2_SYNDROME, ...WALK_ALLOWANCES]) b.allow(allowance);
  const h = begin(b, random);
  b.program.flush();
  const NG = 1n << 11n;
  for (let i = 0; i < STEPS; i++) {
    accesses(h, 4);
    switch (random.below(6)) {
      case 0:
      case 1: {
        const isHigh = random.oneIn(3);
        const space = pick(random, h.el1.low);
        const tree = isHigh ? h.el1.high : space.tree;
        const address = random.pick(isHigh ? HIGH : LOW);
        change(h, tree, tree.at(address, levelOf(address)), stage1Leaf(h, address, false), (old) => {
          // The high range is every ASID's.
          const isGlobal = (old & NG) === 0n;
          for (const { tag } of isHigh && !isGlobal ? h.el1.low : [space]) maintainEl1(h, address, tag, isGlobal);
        });
        break;
      }
      case 2: {
        const isHigh = h.e2h && random.oneIn(3);
        const space = pick(random, h.el2.low);
        const tree = isHigh ? h.el2.high : space.tree;
        const address = random.pick(isHigh ? HIGH : LOW);
        // One range has no ASIDs: the other set of tables would need a TLBI to come in.
        if (!h.e2h && space !== h.el2.low[h.now.el2]) break;
        change(h, tree, tree.at(address, levelOf(address)), stage1Leaf(h, address, true), (old) => {
          const isGlobal = (old & NG) === 0n;
          for (const { tag } of isHigh && !isGlobal ? h.el2.low : [space]) maintainEl2(h, address, tag, isGlobal);
        });
        break;
      }
      case 3: {
        const vmid = random.below(2);
        const ipa = random.pick(IPAS);
        const { tree } = h.second[vmid];
        change(h, tree, tree.at(ipa, 3), stage2Leaf(random), () => maintainStage2(h, vmid, ipa));
        break;
      }
      default:
        h.now.el1 = random.below(2);
        h.now.second = random.below(2);
        if (h.e2h) {
          h.now.el2 = random.below(2);
          h.now.tge = random.oneIn(3);
        }
        apply(h);
    }
  }
  accesses(h, 12);
}

export const tlbHistoryCases = (seed: number, count: number): Case[] =>
  Array.from({ length: count }, (_, i) => {
    const number = seed * 100_003 + i;
    return { name: `random history of tables ${number}`, run: (b) => run(b, new Random(number)) };
  });
