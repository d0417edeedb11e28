/**
 * What is left of a realm: nothing. After its end GPT and granule table are byte for byte what they were, every page is the
 * Host's again, and no byte of the realm is in memory that the Host can read. DEN0137 1.0-rel0, "Granule wiping".
 */
import { Gpi, Pas } from "@realmbox/abi";
import type { MemoryRange } from "@realmbox/machine";
import type { Box, Guest, RunUntil } from "realmbox";
import { describe, expect, test } from "vitest";
import { monitorMap } from "../../packages/monitor/src/memory-map.js";
import { memoryMap } from "../../packages/rmm/src/memory-map.js";
import { problems } from "../../packages/rmm/src/testing/invariants.js";
import { hostile, MiB, makeBox, makeGuest, runToEnd, small } from "../support/box.js";
import { contentOf, delegatedGranules, findInNonSecure, findInRealm, gpiAt, inspect } from "../support/memory.js";

/** The GPT, in Root memory. */
function gpt(box: Box): MemoryRange {
  const { l0, end } = monitorMap(box.machine.board);
  return { base: l0, size: end - l0 };
}
/** The RMM's VMIDs and granule table, in the Realm carve-out. PE contexts and keys are not tables. */
function rmmTables(box: Box): MemoryRange[] {
  const { realm } = box.machine.board;
  const { vmids, granuleTable } = memoryMap(realm);
  return [
    { base: vmids, size: 0x2000n },
    { base: granuleTable, size: realm.base + realm.size - granuleTable },
  ];
}
const tables = (box: Box) => contentOf(box.machine, [gpt(box), ...rmmTables(box)]);

/** 64 bytes that are nowhere by chance. */
const SECRET = Uint8Array.from({ length: 64 }, (_, i) => (i * 73 + 41) & 0xff);

/** Every granule is booked with the Host as GPT and RMM have it. */
function expectBooked(box: Box): void {
  const { pages } = box.host;
  const { size } = box.machine.board.dram[0]!;
  const { free, reserved, user, guestMemfd, realm, stage2, shared, leaked } = pages;
  expect(free + reserved + user + guestMemfd + realm + stage2 + shared + leaked).toBe(Number(size / 4096n));
  const granules = delegatedGranules(box.machine);
  const count = (...states: ("DELEGATED" | "RD" | "REC" | "REC_AUX" | "DATA" | "RTT")[]) =>
    states.reduce((sum, state) => sum + granules.get(state)!.length, 0);
  expect(count("DATA")).toBe(guestMemfd);
  expect(count("RD", "REC", "REC_AUX", "RTT")).toBe(realm);
  expect(count("DELEGATED")).toBe(0);
}

describe.each([
  ["hello", small("hello")],
  ["smp", small("smp", 4)],
  ["rsi-check", small("rsi-check")],
  ["hostile pages", hostile("pages", { n: 500 })],
  ["hostile ripas", hostile("ripas", { n: 20 })],
] as const)("%s as a realm", (_, config) => {
  test("after its end GPT, granule table and the Host's books are what they were", () => {
    const box = makeBox({ pes: config.cpus ?? 1 });
    const before = tables(box);
    const pages = { ...box.host.pages };
    const guest = makeGuest(box, { ...config, realm: true });
    expectBooked(box);
    expect(problems(inspect(box.machine))).toEqual([]);
    expect(runToEnd(guest)).toEqual({ kind: "exit", status: 0 });
    expectBooked(box);
    expect(problems(inspect(box.machine))).toEqual([]);
    expect(tables(box)).not.toEqual(before);
    expect(guest.close().ok).toBe(true);
    expect(tables(box)).toEqual(before);
    expect({ ...box.host.pages }).toEqual(pages);
    expect(problems(inspect(box.machine))).toEqual([]);
  });
});

const ran = (box: Box, until: RunUntil): Guest => {
  const guest = realmWithSecret(box);
  guest.run(until);
  return guest;
};

describe.each([
  ["when it has ended", (box: Box) => ran(box, {})],
  ["when it never ran", realmWithSecret],
  ["when it is torn down in the middle of its run", (box: Box) => ran(box, { instructions: 50_000 })],
])("no byte of a realm is left in undelegated memory", (when, prepare) => {
  test(when, () => {
    const box = makeBox();
    const guest = prepare(box);
    expect(findInRealm(box.machine, SECRET).length).toBeGreaterThan(0);
    expect(findInNonSecure(box.machine, SECRET)).toEqual([]);
    expect(guest.close().ok).toBe(true);
    expect(findInRealm(box.machine, SECRET)).toEqual([]);
    expect(findInNonSecure(box.machine, SECRET)).toEqual([]);
    // All of the Host's memory that somebody has touched is readable, and the realm's pages are zero.
    const port = box.machine.devicePort();
    const { base, size } = box.machine.board.dram[0]!;
    for (let pa = base; pa < base + size; pa += 4096n) {
      if (!box.machine.memory.isTouched(Number(pa))) continue;
      expect(port.read64(pa)).toBeTypeOf("bigint");
      expect(gpiAt(box.machine, pa)).toBe(Gpi.NS);
    }
  });
});

/** A realm whose initial RAM disk is full of the secret; the VMM's own copy of it is wiped. */
function realmWithSecret(box: Box) {
  const initrd = new Uint8Array(64 * 1024);
  for (let at = 0; at < initrd.length; at += SECRET.length) initrd.set(SECRET, at);
  const guest = makeGuest(box, { ...small("hello"), initrd, realm: true });
  const { content, process, built } = guest.vm;
  const { start } = content.placement.initrd!;
  const at = built!.memory.address + (start - content.ram.base);
  process!.write(at, new Uint8Array(initrd.length));
  return guest;
}

describe("ports of native firmware and devices", () => {
  test("the Host's and the devices' never touch anything but Non-secure memory, whatever the guests do", () => {
    const box = makeBox({ pes: 4 });
    for (const [name, config] of [
      ["hello", { ...small("hello"), realm: true }],
      ["smp", { ...small("smp", 4), realm: true }],
      ["vm", small("smp", 4)],
    ] as const) {
      const guest = makeGuest(box, config, { name });
      expect(runToEnd(guest)).toEqual({ kind: "exit", status: 0 });
      guest.close();
    }
    const { ports } = box.machine.counters;
    expect(ports["ns-el2"].bytes[Pas.NS]).toBeGreaterThan(0);
    for (const slot of ["ns-el2", "devices"] as const) {
      for (const pas of [Pas.SECURE, Pas.ROOT, Pas.REALM]) {
        expect(ports[slot].accesses[pas], `${slot} ${pas}`).toBe(0);
        expect(ports[slot].bytes[pas]).toBe(0);
      }
    }
    expect(ports["realm-el2"].accesses[Pas.ROOT]).toBe(0);
    expect(ports["realm-el2"].accesses[Pas.SECURE]).toBe(0);
    expect(ports["secure-el2"].accesses).toEqual([0, 0, 0, 0]);
    // Nothing in an orderly run is refused.
    expect(box.machine.counters.granuleProtectionFaults).toBe(0);
  });
});

describe("memory pressure", () => {
  test("pages that the Host takes back are counted, wiped and usable, and the rest of the realm goes on", () => {
    const box = makeBox();
    const guest = makeGuest(box, { ...hostile("pages", { n: 800 }), realm: true });
    expect(guest.run({ console: "hostile: end", instructions: 100_000_000 }).kind).toMatch(/reached|exit/);
    const { vm } = guest.vm.built!;
    const before = box.host.pages.guestMemfd;
    const { ram } = guest.vm.content;
    // The middle of RAM: what the guest has touched, without its image and its device tree.
    const taken = box.host.call(box.host.reclaimOp(vm, ram.base + 2n * MiB, 8n * MiB));
    expect(taken).toBeGreaterThan(100);
    expect(box.host.pages.guestMemfd).toBe(before - (taken as number));
    expectBooked(box);
    expect(problems(inspect(box.machine))).toEqual([]);
    expect(guest.close().ok).toBe(true);
    expect(box.host.pages.leaked).toBe(0);
  });
});
