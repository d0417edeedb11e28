/** Realms made and unmade by RMI calls alone. */
import { createHash } from "node:crypto";
import { Gpi } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { problems } from "../testing/invariants.js";
import { BLOCK, Host, PAGE, UNPROTECTED } from "../testing/realm.js";
import { DRAM } from "../testing/stand-in.js";

const SECRET = Buffer.from("the Realm's secret, 32 bytes or so");
const content = () => {
  const page = new Uint8Array(4096);
  page.set(SECRET);
  return page;
};

describe("granules", () => {
  test("delegation wipes and changes the GPI; the way back restores it", () => {
    const host = new Host();
    const { machine } = host;
    const pa = host.page(content());
    machine.ok("RMI_GRANULE_DELEGATE", pa);
    expect([machine.granuleState(pa), machine.gpiOf(pa)]).toEqual(["DELEGATED", Gpi.REALM]);
    expect(machine.page(pa).every((byte) => byte === 0)).toBe(true);
    machine.ok("RMI_GRANULE_UNDELEGATE", pa);
    expect([machine.granuleState(pa), machine.gpiOf(pa)]).toEqual(["UNDELEGATED", Gpi.NS]);
  });
});

test("after destruction nothing is left: every table as before, no byte of the Realm in memory", () => {
  const host = new Host();
  const { machine } = host;
  const before = createHash("sha256").update(machine.fingerprint()).digest("hex");
  const realm = host.realm();
  const data = realm.data(PAGE, content());
  realm.tables(UNPROTECTED);
  const rec = realm.rec();
  realm.activate();
  expect(Buffer.from(machine.page(data)).includes(SECRET)).toBe(true);
  rec.enter();
  rec.set(5, 0x5ec4e7n);
  rec.interrupt();
  expect(problems(machine)).toEqual([]);

  machine.ok("RMI_REC_DESTROY", rec.addr);
  expect(machine.ok("RMI_DATA_DESTROY", realm.rd, PAGE).slice(0, 2)).toEqual([data, BLOCK]);
  machine.ok("RMI_RTT_DESTROY", realm.rd, 0n, 3n);
  machine.ok("RMI_RTT_DESTROY", realm.rd, 0n, 2n);
  machine.ok("RMI_RTT_DESTROY", realm.rd, UNPROTECTED, 3n);
  machine.ok("RMI_RTT_DESTROY", realm.rd, UNPROTECTED, 2n);
  machine.ok("RMI_REALM_DESTROY", realm.rd);
  expect(machine.tlbi.at(-1)).toEqual({ kind: "vmalls12e1", vmid: 1 });
  for (let pa = DRAM; pa < DRAM + 0x10_0000n; pa += 4096n) {
    if (machine.granuleState(pa) === "DELEGATED") machine.ok("RMI_GRANULE_UNDELEGATE", pa);
    if (machine.pages.has(pa)) expect(machine.granuleState(pa)).toBe("UNDELEGATED");
  }
  // What is left is the Host's: its own pages, and the PE context that held its own EL1 state.
  for (const pa of machine.pages.keys()) if (pa >= DRAM && pa !== rec.run) machine.page(pa).fill(0);
  machine.page(rec.run).fill(0);
  machine.page(machine.rmmPeContext(0)).fill(0);
  expect(createHash("sha256").update(machine.fingerprint()).digest("hex")).toBe(before);
});

describe("RMI_REC_CREATE", () => {
  test("indices are not reused", () => {
    const host = new Host();
    const realm = host.realm();
    const first = realm.rec();
    realm.machine.ok("RMI_REC_DESTROY", first.addr);
    expect(() => realm.rec()).not.toThrow(); // index 1
    expect(realm.machine.refcount(realm.rd)).toBe(1);
  });
});

describe("RMI_DATA_CREATE_UNKNOWN", () => {
  test("gives zeros, and a mapping only where RIPAS is RAM", () => {
    const host = new Host();
    const realm = host.realm();
    const { machine } = realm;
    realm.ram(PAGE);
    const [ram, empty] = [host.delegated(), host.delegated()];
    machine.ok("RMI_DATA_CREATE_UNKNOWN", realm.rd, ram, PAGE);
    machine.ok("RMI_DATA_CREATE_UNKNOWN", realm.rd, empty, 2n * PAGE);
    expect(realm.entry(PAGE)).toEqual({ level: 3, state: 1, desc: ram, ripas: 1 });
    expect(realm.entry(2n * PAGE)).toEqual({ level: 3, state: 1, desc: empty, ripas: 0 });
    machine.ok("RMI_DATA_DESTROY", realm.rd, 2n * PAGE);
    expect(realm.entry(2n * PAGE).ripas).toBe(0); // EMPTY stays
    machine.ok("RMI_DATA_DESTROY", realm.rd, PAGE);
    expect(realm.entry(PAGE)).toMatchObject({ state: 0, ripas: 2 }); // RAM becomes DESTROYED
    machine.ok("RMI_DATA_CREATE_UNKNOWN", realm.rd, ram, PAGE);
    expect(realm.entry(PAGE)).toMatchObject({ state: 1, ripas: 2 }); // and stays so: the Realm is not fooled
    expect(machine.tlbi).toEqual([{ kind: "ipas2e1", vmid: 1, ipa: PAGE, size: PAGE }]);
  });
});

describe("RMI_DATA_DESTROY", () => {
  test("top is the next live address of the table", () => {
    const realm = new Host().realm();
    for (const n of [1n, 5n]) realm.data(n * PAGE);
    expect(realm.machine.ok("RMI_DATA_DESTROY", realm.rd, PAGE)[1]).toBe(5n * PAGE);
    expect(realm.machine.ok("RMI_DATA_DESTROY", realm.rd, 5n * PAGE)[1]).toBe(BLOCK);
  });
});

describe("RMI_FEATURES", () => {
  test("register 0 says what the machine has, others are zero", () => {
    const { machine } = new Host();
    // S2SZ 48, 2 breakpoints and watchpoints, both hashes, 4 list registers, 1023 RECs.
    expect(machine.ok("RMI_FEATURES", 0n)[0]).toBe(
      48n | (1n << 14n) | (1n << 20n) | (3n << 32n) | (3n << 34n) | (10n << 38n),
    );
    expect(machine.ok("RMI_FEATURES", 1n)[0]).toBe(0n);
    expect(machine.ok("RMI_FEATURES", 0xffff_ffff_ffff_ffffn)[0]).toBe(0n);
  });
});

test("RMI_VERSION 1.0", () => {
  expect(new Host().machine.ok("RMI_VERSION", 0x1_0000n)).toEqual([0x1_0000n, 0x1_0000n, 0n, expect.anything()]);
});

test("RMI_REC_AUX_COUNT", () => {
  const realm = new Host().realm();
  expect(realm.machine.ok("RMI_REC_AUX_COUNT", realm.rd)[0]).toBe(2n);
});

test("concatenated start tables: both halves", () => {
  const host = new Host();
  const realm = host.realm({ s2sz: 34, rtt_level_start: 2n, rtt_num_start: 16 });
  expect(realm.entry(0n, 2n)).toMatchObject({ level: 2, state: 0, ripas: 0 });
  const half = 1n << 33n;
  host.machine.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, half, 2n, BLOCK | (6n << 2n));
  host.machine.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, (1n << 34n) - BLOCK, 2n, BLOCK | (6n << 2n));
  // The last protected block is in the last protected table.
  realm.machine.ok("RMI_RTT_CREATE", realm.rd, host.delegated(), half - BLOCK, 3n);
  expect(problems(host.machine)).toEqual([]);
  realm.machine.ok("RMI_RTT_DESTROY", realm.rd, half - BLOCK, 3n);
  // ASSIGNED_NS does not keep a Realm alive.
  realm.machine.ok("RMI_REALM_DESTROY", realm.rd);
  expect(problems(host.machine)).toEqual([]);
});
