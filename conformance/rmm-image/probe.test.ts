/**
 * An RMM as an image at R-EL2 under the native Root Monitor: the probe (guests/rmm-probe) is booted by the RMM-EL3 interface on
 * every PE, checks its arguments and the boot manifest, uses VHE and pointer authentication, changes granules, gets the
 * attestation key and the platform token, and runs code at R-EL1. A script at NS-EL2 asks it what it has seen.
 */
import { readFileSync } from "node:fs";
import { RMI_FEATURE_REGISTER_0, RMI_FID, RMM_EL3_VERSION_0_8, SMCCC_NOT_SUPPORTED } from "@realmbox/abi";
import { Bench, type Host, PlayStopped, type Script } from "@realmbox/conformance";
import { baseBoard } from "@realmbox/machine";
import { sharedPageOf } from "@realmbox/monitor";
import { nodeCrypto } from "realmbox";
import { expect, test } from "vitest";

const image = new Uint8Array(readFileSync(new URL("../../guests/prebuilt-fvp/rmm-probe.bin", import.meta.url)));
const board = baseBoard({ peCount: 2, dramSize: 64n << 20n });
const benchOf = (options: { readonly pes?: number } = {}) =>
  new Bench({
    crypto: nodeCrypto,
    rmm: { kind: "binary", image },
    board: baseBoard({ peCount: options.pes ?? 2, dramSize: 64n << 20n }),
  });
const bench = benchOf();

/** What RMI_FEATURES of the probe gives, by index. */
const SEEN = {
  ARGUMENTS: 1n,
  BOOTS: 5n,
  MANIFEST: 6n,
  BANK: 7n,
  CONSOLE: 9n,
  CHECKS: 10n,
  KEY: 11n,
  TOKEN: 12n,
  EL: 13n,
};
/** Every bit of `architecture` in main.c. */
const ALL_CHECKS = 0xffn;

function* seen(host: Host, index: bigint): Script<bigint> {
  return (yield* host.ok("RMI_FEATURES", index))[0]!;
}

function* argumentsSeen(host: Host): Script<bigint[]> {
  const values: bigint[] = [];
  for (let n = 0n; n < 4n; n++) values.push(yield* seen(host, SEEN.ARGUMENTS + n));
  return values;
}

test("the cold boot passes index, version, number of PEs and the shared page, with a manifest that adds up", () => {
  bench.play(function* (host) {
    expect((yield* host.ok("RMI_VERSION", 0x1_0000n)).slice(0, 2)).toEqual([0x1_0000n, 0x1_0000n]);
    expect(RMI_FEATURE_REGISTER_0.S2SZ.get(yield* seen(host, 0n))).toBe(48n);
    expect(yield* argumentsSeen(host)).toEqual([0n, RMM_EL3_VERSION_0_8, 2n, sharedPageOf(board)]);
    expect(yield* seen(host, SEEN.BOOTS)).toBe(1n);
    expect(yield* seen(host, SEEN.MANIFEST)).toBe(3n);
    expect(yield* seen(host, SEEN.BANK)).toBe(board.dram[0]!.base);
    expect(yield* seen(host, SEEN.BANK + 1n)).toBe(board.dram[0]!.size);
    expect(yield* seen(host, SEEN.CONSOLE)).toBe(board.uart);
    expect(yield* seen(host, SEEN.EL)).toBe(2n);
  });
});

test("VHE, CNTPOFF_EL2, HCRX_EL2, VSESR_EL2, DIT and pointer authentication work at R-EL2", () => {
  bench.play(function* (host) {
    expect(yield* seen(host, SEEN.CHECKS)).toBe(ALL_CHECKS);
  });
});

test("the attestation key and the platform token are there during the boot", () => {
  bench.play(function* (host) {
    expect(yield* seen(host, SEEN.KEY)).toBe(48n);
    expect(yield* seen(host, SEEN.TOKEN)).toBeGreaterThan(500n);
  });
});

test("a warm boot passes the index alone, and again after PSCI_CPU_OFF", () => {
  bench.play(function* (host) {
    for (const boots of [1n, 2n]) {
      const task = yield* host.start(1, function* (other) {
        return { arguments: yield* argumentsSeen(other), boots: yield* seen(other, SEEN.BOOTS) };
      });
      expect(yield* host.join(task)).toEqual({ arguments: [1n, 0n, 0n, 0n], boots });
    }
    expect(yield* seen(host, SEEN.BOOTS)).toBe(1n);
  });
});

test("granules change hands, and the RMM wipes what it gets", () => {
  bench.play(function* (host) {
    const pa = host.page(Uint8Array.of(1, 2, 3));
    yield* host.ok("RMI_GRANULE_DELEGATE", pa);
    expect(host.canAccess(pa)).toBe(false);
    expect((yield* host.rmi("RMI_GRANULE_DELEGATE", pa)).status).toBe("RMI_ERROR_INPUT");
    yield* host.ok("RMI_GRANULE_UNDELEGATE", pa);
    expect(host.canAccess(pa)).toBe(true);
    expect(host.read(pa, 8)).toEqual(new Uint8Array(8));
    expect((yield* host.rmi("RMI_GRANULE_UNDELEGATE", pa)).status).toBe("RMI_ERROR_INPUT");
    // Neither the RMM's memory nor the monitor's can be had.
    for (const { base } of [board.realm, board.root]) {
      expect((yield* host.rmi("RMI_GRANULE_DELEGATE", base)).status).toBe("RMI_ERROR_INPUT");
    }
  });
});

test("the RMM runs code at R-EL1, and gets back its SMC", () => {
  bench.play(function* (host) {
    const [twice, currentEl] = yield* host.ok("RMI_REC_ENTER", 21n);
    expect([twice, currentEl]).toEqual([42n, 1n << 2n]);
  });
});

test("X5 to X17 of the Host outlast a command, and its X4 where that is no result", () => {
  bench.play(function* (host) {
    const values = [RMI_FID.RMI_VERSION, 0x1_0000n, 2n, 3n, 4n, 5n, 6n, 7n];
    const x = yield* host.smc(...values);
    expect(x.slice(4, 8)).toEqual([4n, 5n, 6n, 7n]);
    expect(x[8]).toBe(0x5a5a_0000_0000_0008n);
    expect((yield* host.smc(RMI_FID.RMI_REALM_CREATE))[0]).toBe(SMCCC_NOT_SUPPORTED);
  });
});

test("an RMM that refuses to boot leaves the Host alone: RMI is unknown from then on", () => {
  // The probe knows four CPUs.
  benchOf({ pes: 5 }).play(function* (host) {
    expect((yield* host.smc(RMI_FID.RMI_VERSION, 0x1_0000n))[0]).toBe(SMCCC_NOT_SUPPORTED);
  });
});

test("an image that is no RMM ends in exceptions, and the machine says so", () => {
  const broken = new Bench({ crypto: nodeCrypto, rmm: { kind: "binary", image: new Uint8Array(4096) } });
  expect(() =>
    broken.play(function* (host) {
      yield* host.pause();
    }),
  ).toThrow(PlayStopped);
});
