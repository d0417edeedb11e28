import { createHash } from "node:crypto";
import { rttEntrySize } from "@realmbox/abi";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { machineContent, type VmConfig } from "../config.js";
import { elfFile } from "../loader/test-images.oracle.js";
import { MiB } from "../memory-map.js";
import { patternImage, VECTORS } from "./kvmtool-vectors.oracle.js";
import {
  planRealm,
  type RealmPlan,
  type RimEvent,
  realmPlatform,
  rimEvents,
  ripasEntries,
  rttLevelStart,
} from "./plan.js";

const planOf = (config: VmConfig, platform = { numBps: 1, numWps: 1 }): RealmPlan => {
  const content = machineContent({ ...config, realm: true });
  if (!content.ok) throw new Error(content.error.message);
  return planRealm(content.value, platform);
};

/** The RIM after events, by DEN0137 1.0-rel0 "Realm Initial Measurement"; bytes put where the document draws them. */
function rimOf(events: Iterable<RimEvent>): Buffer {
  let rim: Buffer = Buffer.alloc(0);
  let algorithm = "sha256";
  const hash = (data: Buffer | Uint8Array) => createHash(algorithm).update(data).digest();
  const extend = (type: number, fill: (descriptor: Buffer) => void) => {
    const descriptor = Buffer.alloc(256);
    descriptor.writeUInt8(type, 0);
    descriptor.writeBigUInt64LE(0x100n, 8);
    rim.copy(descriptor, 0x10);
    fill(descriptor);
    rim = hash(descriptor);
  };
  for (const event of events) {
    switch (event.kind) {
      case "realm-create": {
        const { hashAlgorithm, flags, s2sz, sveVl, numBps, numWps, pmuNumCtrs } = event.parameters;
        algorithm = hashAlgorithm.replace("-", "");
        const page = Buffer.alloc(4096);
        page.writeBigUInt64LE(flags, 0);
        for (const [i, value] of [s2sz, sveVl, numBps, numWps, pmuNumCtrs].entries()) page.writeUInt8(value, 8 + 8 * i);
        page.writeUInt8(hashAlgorithm === "sha-512" ? 1 : 0, 0x30);
        rim = hash(page);
        break;
      }
      case "init-ripas":
        extend(2, (d) => {
          d.writeBigUInt64LE(event.base, 0x50);
          d.writeBigUInt64LE(event.top, 0x58);
        });
        break;
      case "data-create":
        extend(0, (d) => {
          d.writeBigUInt64LE(event.ipa, 0x50);
          d.writeBigUInt64LE(event.flags, 0x58);
          hash(event.content).copy(d, 0x60);
        });
        break;
      case "rec-create":
        extend(1, (d) => {
          const page = Buffer.alloc(4096);
          page.writeBigUInt64LE(event.flags, 0);
          page.writeBigUInt64LE(event.pc, 0x200);
          for (const [i, value] of event.gprs.entries()) page.writeBigUInt64LE(value, 0x300 + 8 * i);
          hash(page).copy(d, 0x50);
        });
    }
  }
  return rim;
}

describe("against kvmtool's RIM measurer", () => {
  test.each(VECTORS)("$name: the same Granules in the same order", ({ config, populated }) => {
    expect(planOf(config).populate.map(({ base, content }) => [base, base + BigInt(content.length)])).toEqual(
      populated,
    );
  });

  /** The same plan in the order of kvmtool's eac5 branch, as its measurer counts it. */
  function* eac5Events(plan: RealmPlan, config: VmConfig): Generator<RimEvent> {
    const machine = machineContent(config);
    if (!machine.ok) throw new Error(machine.error.message);
    const kernel = machine.value.placement.kernel.segments[0]!;
    const kernelTop = (kernel.address + kernel.memorySize + 4095n) & ~4095n;
    yield { kind: "realm-create", parameters: { ...plan.parameters, s2sz: 33 } };
    for (const { what, base, content } of plan.populate) {
      for (let offset = 0; offset < content.length; offset += 4096) {
        yield {
          kind: "data-create",
          ipa: base + BigInt(offset),
          flags: 1n,
          content: content.subarray(offset, offset + 4096),
        };
      }
      if (what !== "kernel") continue;
      for (let ipa = base + BigInt(content.length); ipa < kernelTop; ipa += 4096n) {
        yield { kind: "init-ripas", base: ipa, top: ipa + 4096n };
      }
    }
    for (const { pc, gprs, runnable } of plan.recs) yield { kind: "rec-create", flags: runnable ? 1n : 0n, pc, gprs };
  }
  test.each(VECTORS)("$name: the same RIM in its order", ({ config, rim }) => {
    const plan = planOf(config, { numBps: 2, numWps: 2 });
    expect(rimOf(eac5Events(plan, config)).toString("hex")).toBe(rim);
  });
});

describe("the plan", () => {
  const config = { kernel: patternImage(5000), cpus: 3, memory: 32n * MiB, nodefaults: true };
  test("parameters, whole RAM, RECs by MPIDR with only the first runnable", () => {
    const plan = planOf({ ...config, measurementAlgorithm: "sha512", personalizationValue: Uint8Array.of(7) });
    expect(plan.parameters).toEqual({
      hashAlgorithm: "sha-512",
      flags: 0n,
      s2sz: 33,
      sveVl: 0,
      numBps: 1,
      numWps: 1,
      pmuNumCtrs: 0,
    });
    expect(plan.rpv).toHaveLength(64);
    expect(plan.rpv[0]).toBe(7);
    expect(plan.ripas).toEqual({ base: 0x8000_0000n, top: 0x8200_0000n });
    const zeros = Array(7).fill(0n);
    expect(plan.recs).toEqual([
      { mpidr: 0n, pc: 0x8008_0000n, gprs: [0x81e0_0000n, ...zeros], runnable: true },
      { mpidr: 1n, pc: 0n, gprs: [0n, ...zeros], runnable: false },
      { mpidr: 2n, pc: 0n, gprs: [0n, ...zeros], runnable: false },
    ]);
  });
  test("a PMU: the flag, and all event counters unless fewer are asked for", () => {
    const platform = { numBps: 1, numWps: 1, pmuCounters: 6 };
    expect(planOf({ ...config, pmu: true }, platform).parameters).toMatchObject({ flags: 4n, pmuNumCtrs: 6 });
    const some = planOf({ ...config, pmu: true, pmuCounters: 2 }, platform);
    expect(some.parameters).toMatchObject({ flags: 4n, pmuNumCtrs: 2 });
    expect(planOf(config, platform).parameters).toMatchObject({ flags: 0n, pmuNumCtrs: 0 });
  });

  test("events: parameters, RIPAS, then data by ascending IPA, then one REC", () => {
    const events = [...rimEvents(planOf(config))];
    const kinds = events.map(({ kind }) => kind);
    expect(kinds).toEqual([
      "realm-create",
      ...Array(16).fill("init-ripas"),
      ...Array(2 + 16).fill("data-create"),
      "rec-create",
    ]);
    const ipas = events.flatMap((event) => (event.kind === "data-create" ? [event.ipa] : []));
    expect(ipas).toEqual([...ipas].sort((a, b) => Number(a - b)));
  });
  test("what is not measured leaves no trace, what is does", () => {
    const rim = (change: Partial<VmConfig> = {}) => rimOf(rimEvents(planOf({ ...config, ...change }))).toString("hex");
    expect(rim({ personalizationValue: Uint8Array.of(1) })).toBe(rim());
    const changes = [
      { params: "x" },
      { memory: 34n * MiB },
      { cpus: 2 },
      { kaslrSeed: 1n },
      { initrd: Uint8Array.of(1) },
    ];
    expect(new Set([rim(), ...changes.map(rim)]).size).toBe(6);
    expect(rim({ measurementAlgorithm: "sha512" })).toHaveLength(128);
  });
  test("an ELF file's parts that share a Granule are one run; its BSS is populated with zeros", () => {
    const base = 0x8008_0000n;
    const plan = planOf({
      memory: 32n * MiB,
      kernel: elfFile({
        entry: base,
        segments: [
          { vaddr: base, bytes: Uint8Array.of(1, 2, 3, 4) },
          { vaddr: base + 0x800n, bytes: Uint8Array.of(5), memorySize: 0x1001n },
          { vaddr: base + 0x4000n, bytes: Uint8Array.of(6) },
        ],
      }),
    });
    expect(plan.populate.map(({ base, content }) => [base, content.length])).toEqual([
      [base, 0x2000],
      [base + 0x4000n, 0x1000],
      [0x81e0_0000n, 0x1_0000],
    ]);
    const first = plan.populate[0]!.content;
    expect([first[0], first[3], first[4], first[0x800], first[0x801], first[0x1fff]]).toEqual([1, 4, 0, 5, 0, 0]);
  });
  test("the platform's breakpoints, watchpoints and event counters come from RMI feature register 0", () => {
    expect(realmPlatform((6n << 27n) | (1n << 26n) | (3n << 20n) | (5n << 14n) | 48n)).toEqual({
      numBps: 5,
      numWps: 3,
      pmuCounters: 6,
    });
  });
});

describe("RIPAS entries", () => {
  test.each([
    [26, 2],
    [33, 2],
    [34, 2],
    [35, 1],
    [40, 1],
    [43, 1],
    [44, 0],
    [48, 0],
  ])("%d bits of IPA start at level %d", (bits, level) => {
    expect(rttLevelStart(bits)).toBe(level);
  });
  test("256 MiB at 33 bits: 128 entries of 2 MiB", () => {
    const entries = [...ripasEntries({ base: 0x8000_0000n, top: 0x9000_0000n }, 33)];
    expect(entries).toHaveLength(128);
    expect(entries.every(({ base, top }) => top - base === 2n * MiB)).toBe(true);
  });
  test("a tail goes down to Granules, a start-level entry of 1 GiB is used where it fits", () => {
    const range = { base: 0x8000_0000n, top: 0x8000_0000n + (1n << 30n) + 2n * MiB + 0x3000n };
    const sizes = [...ripasEntries(range, 40)].map(({ base, top }) => top - base);
    expect(sizes).toEqual([1n << 30n, 2n * MiB, 0x1000n, 0x1000n, 0x1000n]);
  });

  /**
   * A Host and an RMM that know only the commands' own rules (RMI_RTT_INIT_RIPAS, RMI_RTT_CREATE): one table at a time,
   * where the walk ended.
   */
  function* byTheCommands(range: { base: bigint; top: bigint }, s2sz: number) {
    const tables = new Set<string>();
    const levelStart = rttLevelStart(s2sz);
    const walkLevel = (ipa: bigint) => {
      let level = levelStart;
      while (level < 3 && tables.has(`${level + 1}:${ipa / rttEntrySize(level)}`)) level++;
      return level;
    };
    for (let ipa = range.base; ipa < range.top; ) {
      const level = walkLevel(ipa);
      const size = rttEntrySize(level);
      const tableTop = ipa - (ipa % (512n * size)) + 512n * size;
      const start = ipa;
      while (ipa % size === 0n && ipa + size <= range.top && ipa < tableTop && walkLevel(ipa) === level) {
        yield { base: ipa, top: ipa + size };
        ipa += size;
      }
      if (ipa === start) tables.add(`${level + 1}:${ipa / size}`);
    }
  }
  test("are those that the commands themselves lead to", () => {
    const page = fc.nat(0x3_0000);
    fc.assert(
      fc.property(
        page,
        fc.integer({ min: 1, max: 2000 }),
        fc.nat(3),
        fc.integer({ min: 33, max: 48 }),
        (first, pages, blocks, bits) => {
          const base = BigInt(first) << 12n;
          const range = { base, top: base + (BigInt(pages) << 12n) + (BigInt(blocks) << 30n) };
          expect([...ripasEntries(range, bits)]).toEqual([...byTheCommands(range, bits)]);
        },
      ),
      { numRuns: 100, seed: 1 },
    );
  });
});
