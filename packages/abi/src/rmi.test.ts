import { describe, expect, test } from "vitest";
import {
  indexOfMpidr,
  mpidrOfIndex,
  parseRmiReturnCode,
  RMI_FEATURE_REGISTER_0,
  RMI_FID,
  RmiRealmParams,
  RmiRecEnter,
  RmiRecExit,
  RmiRecParams,
  recMpidrOfIndex,
  rmiReturnCode,
} from "./rmi.js";
import { RmmManifest, rmmManifest, rmmManifestChecksum } from "./rmm-el3.js";
import { RSI_FID } from "./rsi.js";

describe("RMI", () => {
  test("23 commands, each with its own FID in the 1.0 range", () => {
    const fids = Object.values(RMI_FID);
    expect(new Set(fids).size).toBe(23);
    for (const fid of fids) expect(fid >= 0xc400_0150n && fid <= 0xc400_0169n).toBe(true);
  });

  // The word that DEN0137's RmiFeatureRegister0 gives for S2SZ 48, 6 breakpoints, 4 watchpoints, PMU with 6 counters,
  // both hashes, 4 list registers, order 10.
  test("RmiFeatureRegister0", () => {
    const F = RMI_FEATURE_REGISTER_0;
    const word =
      F.S2SZ.of(48) |
      F.NUM_BPS.of(5) |
      F.NUM_WPS.of(3) |
      F.PMU_EN.of(1) |
      F.PMU_NUM_CTRS.of(6) |
      F.HASH_SHA_256.of(1) |
      F.HASH_SHA_512.of(1) |
      F.GICV3_NUM_LRS.of(3) |
      F.MAX_RECS_ORDER.of(10);
    expect(word).toBe(0x28f_3431_4030n);
  });

  test.each([
    [0, 0x0n, 0x8000_0000n],
    [1, 0x1n, 0x8000_0001n],
    [15, 0xfn, 0x8000_000fn],
    [16, 0x100n, 0x8000_0100n],
    [17, 0x101n, 0x8000_0101n],
    [4096, 0x1_0000n, 0x8001_0000n],
    [1048576, 0x100_0000n, 0x1_8000_0000n],
  ])("REC index %i", (index, recMpidr, mpidr) => {
    expect(recMpidrOfIndex(index)).toBe(recMpidr);
    expect(mpidrOfIndex(index)).toBe(mpidr);
    expect(indexOfMpidr(mpidr)).toBe(index);
  });

  test("return codes", () => {
    expect(rmiReturnCode("RMI_ERROR_RTT", 3)).toBe(0x304n);
    expect(rmiReturnCode("RMI_ERROR_REALM", 1)).toBe(0x102n);
    expect(rmiReturnCode("RMI_ERROR_RTT", -1)).toBe(0xff04n);
    expect(parseRmiReturnCode(0x102n)).toEqual({ status: "RMI_ERROR_REALM", index: 1 });
    expect(parseRmiReturnCode(0xffff_ffff_ffff_ffffn)).toBeUndefined();
  });

  // Last bytes of each array, as the byte maps of DEN0137 print them.
  test("structure extents", () => {
    expect(RmiRealmParams.fields.rtt_num_start.offset).toBe(0x818);
    expect(RmiRecParams.fields.aux.offset + 15 * 8).toBe(0x880);
    expect(RmiRecEnter.fields.gicv3_lrs.offset + 15 * 8).toBe(0x380);
    expect(RmiRecExit.fields.gprs.offset + 30 * 8).toBe(0x2f0);
  });
});

test("RSI: ten commands", () => {
  const fids = Object.values(RSI_FID);
  expect(fids).toEqual(Array.from({ length: 10 }, (_, i) => 0xc400_0190n + BigInt(i)));
});

test("RMM-EL3 manifest: list and checksum sum to zero", () => {
  const page = rmmManifest(0x4000_0000n, [
    { base: 0x8000_0000n, size: 0x7c00_0000n },
    { base: 0x8_8000_0000n, size: 0x8000_0000n },
  ]);
  const { dram_num_banks, dram_banks, dram_checksum } = RmmManifest.decode(page);
  expect(dram_banks).toBe(0x4000_0040n);
  const array = page.subarray(64, 96);
  expect(rmmManifestChecksum(dram_num_banks, dram_banks, array)).toBe(dram_checksum);
  const sum = 2n + 0x4000_0040n + 0x8000_0000n + 0x7c00_0000n + 0x8_8000_0000n + 0x8000_0000n + dram_checksum;
  expect(BigInt.asUintN(64, sum)).toBe(0n);
});
