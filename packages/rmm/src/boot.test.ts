/** Boot of the RMM: arguments and manifest that EL3 may get wrong. */
import { Gpi, RMM_BOOT_STATUS, RmmDramBank, RmmManifest, rmmManifest, rmmManifestChecksum } from "@realmbox/abi";
import { expect, test } from "vitest";
import { board, DRAM, SHARED_PAGE, StandIn } from "./testing/stand-in.js";

const S = RMM_BOOT_STATUS;
const MiB = 1n << 20n;

/** A manifest with one thing changed. */
function manifest(change: (page: Uint8Array, view: DataView) => void): Uint8Array {
  const page = rmmManifest(SHARED_PAGE, board.dram);
  change(page, new DataView(page.buffer));
  return page;
}
/** A manifest of these banks, with a good checksum. */
const banks = (...list: { base: bigint; size: bigint }[]) => rmmManifest(SHARED_PAGE, list);

test("cold boot, then warm boot of the others", () => {
  const machine = new StandIn();
  expect(machine.boot()).toBe(S.E_RMM_BOOT_SUCCESS);
  expect(machine.boot({ pe: 1, version: 0n, count: 0n, page: 0n })).toBe(S.E_RMM_BOOT_SUCCESS);
  expect(machine.boot({ pe: 2, x0: 4n, version: 0n, count: 0n, page: 0n })).toBe(S.E_RMM_BOOT_CPU_ID_OUT_OF_RANGE);
});

test("warm boot before cold boot", () => {
  expect(new StandIn().boot({ version: 0n, count: 0n, page: 0n })).toBe(S.E_RMM_BOOT_ERR_UNKNOWN);
});

test.each([
  ["version 0.2", { version: 2n }, S.E_RMM_BOOT_VERSION_NOT_VALID],
  ["version 2.0", { version: 0x2_0000n }, S.E_RMM_BOOT_VERSION_NOT_VALID],
  ["no PE", { count: 0n }, S.E_RMM_BOOT_CPUS_OUT_OF_RANGE],
  ["too many PEs", { count: 65n }, S.E_RMM_BOOT_CPUS_OUT_OF_RANGE],
  ["PE index", { x0: 4n }, S.E_RMM_BOOT_CPU_ID_OUT_OF_RANGE],
  ["shared page unaligned", { page: SHARED_PAGE + 8n }, S.E_RMM_BOOT_INVALID_SHARED_BUFFER],
  ["shared page not in the Realm PAS", { page: DRAM }, S.E_RMM_BOOT_INVALID_SHARED_BUFFER],
  [
    "manifest 0.2",
    { manifest: manifest((_, view) => view.setUint32(0, 2, true)) },
    S.E_RMM_BOOT_MANIFEST_VERSION_NOT_SUPPORTED,
  ],
  [
    "manifest 1.0",
    { manifest: manifest((_, view) => view.setUint32(0, 0x1_0000, true)) },
    S.E_RMM_BOOT_MANIFEST_VERSION_NOT_SUPPORTED,
  ],
  ["checksum", { manifest: manifest((page) => page[0x20]!++) }, S.E_RMM_BOOT_MANIFEST_DATA_ERROR],
  [
    "list outside the page",
    { manifest: manifest((_, view) => view.setBigUint64(0x18, SHARED_PAGE + 4090n, true)) },
    S.E_RMM_BOOT_MANIFEST_DATA_ERROR,
  ],
  [
    "list below the page",
    { manifest: manifest((_, view) => view.setBigUint64(0x18, 8n, true)) },
    S.E_RMM_BOOT_MANIFEST_DATA_ERROR,
  ],
  [
    "2^63 banks",
    { manifest: manifest((_, view) => view.setBigUint64(0x10, 1n << 63n, true)) },
    S.E_RMM_BOOT_MANIFEST_DATA_ERROR,
  ],
  ["no bank", { manifest: banks() }, S.E_RMM_BOOT_MANIFEST_DATA_ERROR],
  [
    "three banks",
    { manifest: banks(...[1n, 2n, 3n].map((n) => ({ base: DRAM + n * MiB, size: MiB }))) },
    S.E_RMM_BOOT_MANIFEST_DATA_ERROR,
  ],
  ["bank at 0", { manifest: banks({ base: 0n, size: MiB }) }, S.E_RMM_BOOT_MANIFEST_DATA_ERROR],
  ["empty bank", { manifest: banks({ base: DRAM, size: 0n }) }, S.E_RMM_BOOT_MANIFEST_DATA_ERROR],
  ["bank unaligned", { manifest: banks({ base: DRAM + 8n, size: MiB }) }, S.E_RMM_BOOT_MANIFEST_DATA_ERROR],
  [
    "banks descending",
    { manifest: banks({ base: DRAM + MiB, size: MiB }, { base: DRAM, size: MiB }) },
    S.E_RMM_BOOT_MANIFEST_DATA_ERROR,
  ],
  [
    "banks overlap",
    { manifest: banks({ base: DRAM, size: 2n * MiB }, { base: DRAM + MiB, size: MiB }) },
    S.E_RMM_BOOT_MANIFEST_DATA_ERROR,
  ],
  [
    "bank beyond the PA space",
    { manifest: banks({ base: (1n << 48n) - MiB, size: 2n * MiB }) },
    S.E_RMM_BOOT_MANIFEST_DATA_ERROR,
  ],
  [
    "bank over the RMM's memory",
    { manifest: banks({ base: board.realm.base - MiB, size: 2n * MiB }) },
    S.E_RMM_BOOT_MANIFEST_DATA_ERROR,
  ],
  [
    "more granules than the table has room for",
    { manifest: banks({ base: DRAM, size: 1n << 40n }) },
    S.E_RMM_BOOT_MANIFEST_DATA_ERROR,
  ],
])("%s", (_, overrides, status) => {
  expect(new StandIn().boot(overrides)).toBe(status);
});

test("memory of its own that is not in the Realm PAS", () => {
  const machine = new StandIn();
  machine.gpi.set(board.realm.base + 0x15_0000n, Gpi.NS);
  expect(machine.boot()).toBe(S.E_RMM_BOOT_ERR_UNKNOWN);
});

test("a shared page in the middle of the RMM's memory", () => {
  const machine = new StandIn();
  const page = board.realm.base + 0x10_8000n;
  machine.write(page, rmmManifest(page, board.dram));
  expect(machine.boot({ page })).toBe(S.E_RMM_BOOT_INVALID_SHARED_BUFFER);
});

test("two banks: granules of both, and none between", () => {
  const machine = new StandIn();
  const second = DRAM + 32n * MiB;
  expect(machine.boot({ manifest: banks({ base: DRAM, size: MiB }, { base: second, size: MiB }) })).toBe(0n);
  expect(machine.rmi("RMI_GRANULE_DELEGATE", DRAM + MiB - 0x1000n)).toMatchObject({ status: "RMI_SUCCESS" });
  expect(machine.rmi("RMI_GRANULE_DELEGATE", DRAM + MiB)).toMatchObject({ condition: "gran_bound" });
  expect(machine.rmi("RMI_GRANULE_DELEGATE", second)).toMatchObject({ status: "RMI_SUCCESS" });
  expect(machine.rmi("RMI_GRANULE_DELEGATE", second + MiB)).toMatchObject({ condition: "gran_bound" });
  expect(machine.rmi("RMI_GRANULE_DELEGATE", second)).toMatchObject({ condition: "gran_state" });
});

test("what one object knows of a boot follows memory: another boot, or a restored snapshot", () => {
  const machine = new StandIn();
  machine.boot();
  const pa = DRAM + 2n * MiB;
  expect(machine.rmi("RMI_GRANULE_UNDELEGATE", pa)).toMatchObject({ condition: "gran_state" });
  machine.boot({ manifest: banks({ base: DRAM, size: MiB }) });
  expect(machine.rmi("RMI_GRANULE_UNDELEGATE", pa)).toMatchObject({ condition: "gran_bound" });
});

test("the platform token comes in chunks; one that is too large counts as none", () => {
  for (const [size, attestation] of [
    [1500, true],
    [3072, true],
    [3073, false],
  ] as const) {
    const machine = new StandIn();
    machine.el3.platformToken = new Uint8Array(size).fill(1);
    machine.el3.chunk = 512;
    expect(machine.boot()).toBe(0n);
    expect(machine.events.find((e) => e.category === "boot")!.fields.attestation).toBe(attestation);
  }
});

test("layouts that this test leans on", () => {
  const array = RmmDramBank.encode({ base: DRAM, size: MiB });
  expect(RmmManifest.decode(banks({ base: DRAM, size: MiB })).dram_checksum).toBe(
    rmmManifestChecksum(1n, SHARED_PAGE + 64n, array),
  );
});
