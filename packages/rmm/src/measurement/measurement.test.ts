import { expect, test } from "vitest";
import { RdLayout } from "../realm/rd.js";
import { Host, type Realm } from "../testing/realm.js";

/** The RIM as the RD holds it. */
const rim = ({ machine, rd }: Realm, size: number) =>
  Buffer.from(machine.page(rd).slice(RdLayout.fields.measurements.offset).subarray(0, size)).toString("hex");
const upperIsZero = ({ machine, rd }: Realm) =>
  machine
    .page(rd)
    .slice(RdLayout.fields.measurements.offset + 32, RdLayout.fields.measurements.offset + 64)
    .every((b) => b === 0);

/**
 * The sequence of the vectors: parameters, one RIPAS entry of 2 MiB, a measured and an unmeasured page, a REC. The values
 * were computed by an independent program from the descriptors of DEN0137, and by TF-RMM's own measurement code.
 */
function build(hash_algo: number): { realm: Realm; step: () => IteratorResult<string> } {
  const host = new Host();
  const realm = host.realm({ s2sz: 40, rtt_level_start: 0n, vmid: 0, hash_algo });
  function* steps() {
    const { machine, rd } = realm;
    yield "REALM_CREATE";
    machine.ok("RMI_RTT_CREATE", rd, host.delegated(), 0n, 1n);
    machine.ok("RMI_RTT_CREATE", rd, host.delegated(), 0n, 2n);
    expect(machine.ok("RMI_RTT_INIT_RIPAS", rd, 0n, 0x20_0000n)[0]).toBe(0x20_0000n);
    yield "RIPAS";
    machine.ok("RMI_RTT_CREATE", rd, host.delegated(), 0n, 3n);
    const content = Uint8Array.from({ length: 4096 }, (_, i) => i);
    machine.ok("RMI_DATA_CREATE", rd, host.delegated(), 0x1000n, host.page(content), 1n);
    yield "DATA measured";
    machine.ok("RMI_DATA_CREATE", rd, host.delegated(), 0x2000n, host.page(content), 0n);
    yield "DATA unmeasured";
    realm.rec({ pc: 0x1000n, gprs: [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n] });
    yield "REC";
  }
  const generator = steps();
  return { realm, step: () => generator.next() };
}

test("RIM, SHA-256", () => {
  const expected = {
    REALM_CREATE: "045cb3602843a6845cb710fbbfbb92f0c7d611afe0106ac2953e46950a70c42b",
    RIPAS: "7f8c7d7dd5d0845f56a62190d6d1fd15458a1132897bf0041ea3e0720af799d1",
    "DATA measured": "11f7e448ee3f3b149348a529a99498daf54e4d8ae43c1f70f180e1802536dd3c",
    "DATA unmeasured": "037450935bf87572ffa5479c18a41d80761097ccf1e30361b35770fbd61edaa8",
    REC: "939d4935fd21ec86a67310fcdfd8e7884711169260cb8a51afd606bc0c0e8c7f",
  };
  const { realm, step } = build(0);
  const actual: Record<string, string> = {};
  for (let at = step(); !at.done; at = step()) actual[at.value] = rim(realm, 32);
  expect(actual).toEqual(expected);
  expect(upperIsZero(realm)).toBe(true);
});

test("RIM, SHA-512", () => {
  const { realm, step } = build(1);
  step();
  expect(rim(realm, 64)).toBe(
    "066e19aa2c3418dadc20ef31b5595907c612991952553e1e99731a677b5797c9898dffb6e3963a20b8e1af6d136cd2fe6fe25f048577dc3d7e5bf3a79a4b1e81",
  );
  for (let at = step(); !at.done; at = step());
  expect(rim(realm, 64)).toBe(
    "ad7c1e9ab4a0d52b230d1079c326b04ed0073b01471f5caeb6456ee1d0adc0acc2f47ff4a4fa972dca408a5b157d8072803d0cc2b6d25141f2b949260a9e47a3",
  );
});

test("RIM of parameters alone: s2sz 48, as cca-realm-measurements' unit tests have it", () => {
  const sha256 = new Host().realm({ s2sz: 48, rtt_level_start: 0n });
  expect(rim(sha256, 32)).toBe("6739dfb22b75ee1268d08dfa8369f501bc0b066243553f069f560d1fa1172973");
  const sha512 = new Host().realm({ s2sz: 48, rtt_level_start: 0n, hash_algo: 1 });
  expect(rim(sha512, 64)).toBe(
    "799e434048fb57eb9d4f0e2a2b98158720377252deab2bdfcd69b5a8f82237f434bd6bb1c75bf160a2d49382f733b3439a3ff769e4ea5dd9a6f72239d44bbbab",
  );
});

test("what is not measured: RPV, VMID, tables, a REC that is not runnable, DATA_CREATE_UNKNOWN, unprotected mappings", () => {
  const host = new Host();
  const plain = host.realm();
  const other = host.realm({ rpv: new Uint8Array(64).fill(9), vmid: 77 });
  expect(rim(other, 32)).toBe(rim(plain, 32));
  const before = rim(plain, 32);
  plain.tables(0n);
  plain.host.machine.ok("RMI_DATA_CREATE_UNKNOWN", plain.rd, host.delegated(), 0n);
  plain.rec({ runnable: false });
  plain.tables(1n << 32n, 3);
  plain.machine.ok("RMI_RTT_MAP_UNPROTECTED", plain.rd, 1n << 32n, 3n, host.ns() | (6n << 2n) | (3n << 6n));
  expect(rim(plain, 32)).toBe(before);
});
