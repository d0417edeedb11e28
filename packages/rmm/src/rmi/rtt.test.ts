/** Tables: unfolding and folding, reference counts, `top` outputs, RIPAS ranges, TLB maintenance. */
import { rttEntrySize } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { problems } from "../testing/invariants.js";
import { BLOCK, Host, PAGE, type Realm, UNPROTECTED } from "../testing/realm.js";

const RW = (6n << 2n) | (3n << 6n);
const GIB = 1n << 30n;

/** A 2 MiB-aligned run of 512 delegated granules, mapped page by page at `ipa`. */
function mapBlock(realm: Realm, ipa: bigint, ripas: boolean): bigint {
  const { host, machine, rd } = realm;
  if (ripas) {
    realm.tables(ipa, 2);
    machine.ok("RMI_RTT_INIT_RIPAS", rd, ipa, ipa + BLOCK);
  }
  realm.tables(ipa);
  const base = host.delegated(512n);
  machine.ok("RMI_DATA_CREATE_UNKNOWN", rd, base, ipa);
  for (let i = 1n; i < 512n; i++) machine.ok("RMI_DATA_CREATE_UNKNOWN", rd, host.delegated(), ipa + i * PAGE);
  return base;
}

describe("fold after unfold is the identity", () => {
  test.each([
    ["UNASSIGNED", 0n, () => undefined],
    ["ASSIGNED, RAM", BLOCK, (realm: Realm): void => void mapBlock(realm, BLOCK, true)],
    ["ASSIGNED, EMPTY", BLOCK, (realm: Realm): void => void mapBlock(realm, BLOCK, false)],
    ["UNASSIGNED_NS", UNPROTECTED, () => undefined],
    [
      "ASSIGNED_NS",
      UNPROTECTED,
      (realm: Realm) => {
        realm.tables(UNPROTECTED, 2);
        realm.machine.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, UNPROTECTED, 2n, 0x8020_0000n | RW);
      },
    ],
  ] as const)("%s", (_, ipa, prepare) => {
    const realm = new Host().realm();
    const { machine, host, rd } = realm;
    realm.tables(ipa, 2);
    prepare(realm);
    if (realm.entry(ipa, 2n).state === 2) machine.ok("RMI_RTT_FOLD", rd, ipa, 3n);
    const folded = realm.entry(ipa, 2n);
    expect(folded.level).toBe(2);
    expect(problems(machine)).toEqual([]);

    const rtt = host.delegated();
    machine.ok("RMI_RTT_CREATE", rd, rtt, ipa, 3n);
    expect(problems(machine)).toEqual([]);
    const entry = realm.entry(ipa + 3n * PAGE);
    expect(entry).toMatchObject({ level: 3, state: folded.state, ripas: folded.ripas });
    if (folded.state === 1) expect(entry.desc).toBe(folded.desc! + 3n * PAGE);
    // Inside a block, the Host reads the block's entry.
    expect(machine.ok("RMI_RTT_FOLD", rd, ipa, 3n)[0]).toBe(rtt);
    expect(realm.entry(ipa, 2n)).toEqual(folded);
    expect(realm.entry(ipa + 5n * PAGE)).toEqual(folded);
    expect(machine.granuleState(rtt)).toBe("DELEGATED");
    expect(problems(machine)).toEqual([]);
  });
});

describe("RMI_RTT_FOLD, rtt_homo", () => {
  test.each([
    ["RIPAS differs", (realm: Realm): void => realm.ram(PAGE)],
    ["one page is mapped", (realm: Realm): void => void realm.data(PAGE)],
  ] as const)("%s", (_, prepare) => {
    const realm = new Host().realm();
    realm.tables(0n);
    prepare(realm);
    expect(realm.machine.rmi("RMI_RTT_FOLD", realm.rd, 0n, 3n)).toMatchObject({ condition: "rtt_homo", index: 3 });
  });

  test("pages that are not contiguous", () => {
    const realm = new Host().realm();
    const { machine, rd, host } = realm;
    mapBlock(realm, 0n, true);
    machine.ok("RMI_DATA_DESTROY", rd, 7n * PAGE);
    expect(machine.rmi("RMI_RTT_FOLD", rd, 0n, 3n)).toMatchObject({ condition: "rtt_homo" });
    machine.ok("RMI_DATA_CREATE_UNKNOWN", rd, host.delegated(), 7n * PAGE);
    expect(machine.rmi("RMI_RTT_FOLD", rd, 0n, 3n)).toMatchObject({ condition: "rtt_homo" });
  });

  test("contiguous blocks do not fold where their start is not aligned to the parent's size", () => {
    const realm = new Host().realm();
    const { machine, rd } = realm;
    realm.tables(UNPROTECTED, 2);
    const base = (oa: bigint) => {
      for (let i = 0n; i < 512n; i++)
        machine.ok("RMI_RTT_MAP_UNPROTECTED", rd, UNPROTECTED + i * BLOCK, 2n, (oa + i * BLOCK) | RW);
    };
    base(BLOCK);
    expect(machine.rmi("RMI_RTT_FOLD", rd, UNPROTECTED, 2n)).toMatchObject({ condition: "rtt_homo" });
    for (let i = 0n; i < 512n; i++) machine.ok("RMI_RTT_UNMAP_UNPROTECTED", rd, UNPROTECTED + i * BLOCK, 2n);
    base(GIB);
    machine.ok("RMI_RTT_FOLD", rd, UNPROTECTED, 2n);
    expect(realm.entry(UNPROTECTED, 1n)).toMatchObject({ level: 1, state: 1, desc: GIB | RW });
    expect(machine.tlbi.at(-1)).toEqual({ kind: "ipas2e1", vmid: 1, ipa: UNPROTECTED, size: GIB });
  });

  test("no block at level 0", () => {
    const realm = new Host().realm({ s2sz: 48, rtt_level_start: 0n });
    const { machine, rd, host } = realm;
    const unprotected = 1n << 47n;
    machine.ok("RMI_RTT_CREATE", rd, host.delegated(), unprotected, 1n);
    for (let i = 0n; i < 512n; i++)
      machine.ok("RMI_RTT_MAP_UNPROTECTED", rd, unprotected + i * GIB, 1n, (i * GIB) | RW);
    expect(machine.rmi("RMI_RTT_FOLD", rd, unprotected, 1n)).toMatchObject({ condition: "rtt_homo", index: 1 });
  });
});

describe("RMI_RTT_CREATE", () => {
  test("over a block: invalid first, then the TLB, then the table", () => {
    const realm = new Host().realm();
    const { machine, rd, host } = realm;
    realm.tables(UNPROTECTED, 2);
    machine.ok("RMI_RTT_MAP_UNPROTECTED", rd, UNPROTECTED, 2n, RW);
    machine.tlbi.length = 0;
    machine.ok("RMI_RTT_CREATE", rd, host.delegated(), UNPROTECTED, 3n);
    expect(machine.tlbi).toEqual([{ kind: "ipas2e1", vmid: 1, ipa: UNPROTECTED, size: BLOCK }]);
  });
});

describe("RMI_RTT_DESTROY", () => {
  test("Protected: DESTROYED; Unprotected: unmapped; top skips to the next live entry", () => {
    const realm = new Host().realm();
    const { machine, rd } = realm;
    realm.tables(0n);
    realm.tables(3n * BLOCK);
    realm.tables(UNPROTECTED);
    machine.ok("RMI_RTT_MAP_UNPROTECTED", rd, UNPROTECTED, 3n, 0x8000_0000n | RW);
    expect(machine.ok("RMI_RTT_DESTROY", rd, 0n, 3n)[1]).toBe(3n * BLOCK);
    expect(realm.entry(0n)).toEqual({ level: 2, state: 0, desc: 0n, ripas: 2 });
    expect(machine.ok("RMI_RTT_DESTROY", rd, UNPROTECTED, 3n)[1]).toBe(UNPROTECTED + GIB);
    expect(realm.entry(UNPROTECTED)).toEqual({ level: 2, state: 0, desc: 0n, ripas: 0 });
    expect(problems(machine)).toEqual([]);
  });
});

describe("RMI_RTT_UNMAP_UNPROTECTED", () => {
  test("top", () => {
    const realm = new Host().realm();
    const { machine, rd } = realm;
    realm.tables(UNPROTECTED);
    for (const n of [0n, 9n]) machine.ok("RMI_RTT_MAP_UNPROTECTED", rd, UNPROTECTED + n * PAGE, 3n, 0x8000_0000n | RW);
    expect(machine.ok("RMI_RTT_UNMAP_UNPROTECTED", rd, UNPROTECTED, 3n)[0]).toBe(UNPROTECTED + 9n * PAGE);
    expect(machine.tlbi.at(-1)).toEqual({ kind: "ipas2e1", vmid: 1, ipa: UNPROTECTED, size: PAGE });
  });
});

describe("RMI_RTT_INIT_RIPAS", () => {
  test("stops at what is not UNASSIGNED, at the end of the table, and at top", () => {
    const realm = new Host().realm();
    const { machine, rd } = realm;
    realm.data(8n * PAGE);
    expect(machine.ok("RMI_RTT_INIT_RIPAS", rd, 0n, 2n * BLOCK)[0]).toBe(8n * PAGE);
    expect(machine.ok("RMI_RTT_INIT_RIPAS", rd, 9n * PAGE, 2n * BLOCK)[0]).toBe(BLOCK);
    expect(machine.ok("RMI_RTT_INIT_RIPAS", rd, BLOCK, 5n * BLOCK + PAGE)[0]).toBe(5n * BLOCK);
    expect(realm.entry(2n * BLOCK, 2n)).toMatchObject({ state: 0, ripas: 1 });
    expect(rttEntrySize(2)).toBe(BLOCK);
  });
});
