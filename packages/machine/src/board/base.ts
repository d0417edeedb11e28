/**
 * Board `base`: the smallest machine on which the CCA stack runs.
 *
 *   0x0000_0000  64 MiB   Root carve-out: monitor's memory, GPT (L0 and L1)        GPI ROOT
 *   0x1000_0000           devices, GPI ANY:
 *   0x1C09_0000  4 KiB      UART (PL011), firmware and Host console
 *   0x2F00_0000  64 KiB     GICD
 *   0x2F10_0000  128 KiB × PEs  GICR frames
 *   0x4000_0000  64 MiB   Realm carve-out: RMM's memory, RMM-EL3 shared page       GPI REALM
 *   0x8000_0000  dramSize DRAM of the Host: delegable                              GPI NS at boot
 */
import { type Board, FRAME_BYTES_MAX } from "./board.js";

const MiB = 1n << 20n;
/** Frames for the carve-outs, on top of the DRAM's. */
const CARVE_OUT_BYTES = 192 << 20;

export function baseBoard(
  options: { readonly peCount?: number; readonly dramSize?: bigint; readonly frameBytes?: number } = {},
): Board {
  const dramSize = options.dramSize ?? 1024n * MiB;
  return {
    name: "base",
    peCount: options.peCount ?? 1,
    paBits: 48,
    root: { base: 0x0000_0000n, size: 64n * MiB },
    realm: { base: 0x4000_0000n, size: 64n * MiB },
    dram: [{ base: 0x8000_0000n, size: dramSize }],
    uart: 0x1c09_0000n,
    gicd: 0x2f00_0000n,
    gicr: 0x2f10_0000n,
    // 100 MHz and ten instructions a tick: a machine that retires 1,000 million instructions a second.
    counterHz: 100_000_000,
    instructionsPerTick: 10,
    frameBytes: options.frameBytes ?? Math.min(Number(dramSize) + CARVE_OUT_BYTES, FRAME_BYTES_MAX),
  };
}
