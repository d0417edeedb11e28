/**
 * Differential test of the register model against QEMU's GICv3 (one Security state) through its test protocol: random
 * reads and writes of the registers that both define in the same way. The seed is printed; needs qemu-system-aarch64.
 */
import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { Distributor } from "./distributor.js";
import { KVM_VGIC } from "./interrupts.js";

const QEMU = "qemu-system-aarch64";
const GICD = 0x0800_0000;
const GICR = 0x080a_0000;
const OPERATIONS = 20_000;

/** mulberry32: reproducible numbers from a seed. */
function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

interface Target {
  readonly name: string;
  readonly base: number;
  readonly count: number;
  readonly size: 1 | 4 | 8;
  readonly redistributor?: boolean;
  /** Bits in which the two must agree; all when absent. */
  readonly compare?: bigint;
}

// QEMU keeps eight priority bits, we five. SGIs are edge-triggered in both; QEMU's PPIs have a fixed trigger.
const PRIORITY = 0xf8f8_f8f8n;
const bank = (name: string, base: number, redistributor: boolean): Target => ({
  name,
  base: base + (redistributor ? 0x1_0000 : 4),
  count: redistributor ? 1 : 7,
  size: 4,
  redistributor,
});
const TARGETS: readonly Target[] = [
  ...[false, true].flatMap((r) => [
    bank("IGROUPR", 0x80, r),
    bank("ISENABLER", 0x100, r),
    bank("ICENABLER", 0x180, r),
    bank("ISPENDR", 0x200, r),
    bank("ICPENDR", 0x280, r),
    bank("ISACTIVER", 0x300, r),
    bank("ICACTIVER", 0x380, r),
  ]),
  { name: "IPRIORITYR", base: 0x420, count: 56, size: 4, compare: PRIORITY },
  { name: "IPRIORITYR byte", base: 0x420, count: 224, size: 1, compare: 0xf8n },
  { name: "IPRIORITYR private", base: 0x1_0400, count: 8, size: 4, redistributor: true, compare: PRIORITY },
  { name: "ICFGR", base: 0xc08, count: 14, size: 4 },
  // Affinity fields only: QEMU also has 1 of N routing.
  { name: "IROUTER", base: 0x6100, count: 224, size: 8, compare: 0xff_00ff_ffffn },
];

/** QEMU's qtest protocol: one answer for each line. */
function qtest() {
  const child = spawn(
    QEMU,
    ["-M", "virt,gic-version=3", "-smp", "2", "-display", "none", "-nodefaults", "-qtest", "stdio"],
    { stdio: ["pipe", "pipe", "ignore"] },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async command(text: string): Promise<string> {
      child.stdin.write(`${text}\n`);
      const { value } = await lines.next();
      return value as string;
    },
    end: () => child.kill(),
  };
}

test.skipIf(spawnSync(QEMU, ["--version"]).status !== 0)("random accesses read the same as QEMU's GICv3", async () => {
  const seed = Number(process.env.SEED ?? 1);
  console.log(`seed ${seed}`);
  const next = random(seed);
  const qemu = qtest();
  const d = new Distributor({ profile: KVM_VGIC, mpidrs: [0n, 1n], spiCount: 224 });
  const letter = { 1: "b", 4: "l", 8: "q" } as const;
  const both = (target: Target, pe: number, offset: number) =>
    target.redistributor ? GICR + pe * 0x2_0000 + offset : GICD + offset;
  const write = async (target: Target, pe: number, offset: number, value: bigint) => {
    await qemu.command(
      `write${letter[target.size]} 0x${both(target, pe, offset).toString(16)} 0x${value.toString(16)}`,
    );
    if (target.redistributor) d.writeRedistributor(pe, offset, target.size, value, false);
    else d.writeDistributor(offset, target.size, value, false);
  };
  const compare = async (target: Target, pe: number, offset: number) => {
    const answer = await qemu.command(`read${letter[target.size]} 0x${both(target, pe, offset).toString(16)}`);
    const mask = target.compare ?? (1n << BigInt(8 * target.size)) - 1n;
    const ours = target.redistributor
      ? d.readRedistributor(pe, offset, target.size, false)
      : d.readDistributor(offset, target.size, false);
    const theirs = BigInt(answer.split(" ")[1]!);
    expect(`${target.name} ${offset.toString(16)} ${(ours & mask).toString(16)}`).toBe(
      `${target.name} ${offset.toString(16)} ${(theirs & mask).toString(16)}`,
    );
  };
  try {
    // The same start: reset values of groups and enables are not architected.
    for (const [name, value] of [
      ["IGROUPR", 0xffff_ffffn],
      ["ICENABLER", 0xffff_ffffn],
    ] as const) {
      for (const target of TARGETS.filter((other) => other.name === name)) {
        for (let n = 0; n < target.count; n++) {
          for (const pe of [0, 1]) await write(target, pe, target.base + 4 * n, value);
        }
      }
    }
    for (let i = 0; i < OPERATIONS; i++) {
      const target = TARGETS[next() % TARGETS.length]!;
      const pe = next() % 2;
      const offset = target.base + (next() % target.count) * target.size;
      const value = (BigInt(next()) << 32n) | BigInt(next() & next());
      // bit 31 of IROUTER is 1 of N routing, which QEMU has
      const written = target.size === 8 ? value & 0xff_00ff_ffffn : BigInt.asUintN(8 * target.size, value);
      await write(target, pe, offset, written);
      const looked = TARGETS[next() % TARGETS.length]!;
      await compare(looked, pe, looked.base + (next() % looked.count) * looked.size);
      await compare(target, pe, offset);
    }
  } finally {
    qemu.end();
  }
});
