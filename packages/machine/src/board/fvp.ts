/**
 * Board `fvp`: Arm's Fixed Virtual Platform Base RevC with RME, as software built for Trusted Firmware-A's `fvp` platform
 * finds it: the RMM ACS, TF-A-Tests, a foreign RMM. Addresses and GPIs as TF-A v2.12, plat/arm/board/fvp.
 *
 *   0x0400_0000  256 KiB  trusted SRAM; its last 8 KiB are the level 0 GPT           GPI ROOT
 *   0x0600_0000  32 MiB   trusted DRAM                                               GPI SECURE
 *   0x1C09_0000  4 × 64 KiB  UART0 to UART3 (PL011)
 *   0x2E00_0000  64 KiB   NS SRAM                                                    GPI ANY
 *   0x2F00_0000  64 KiB   GICD
 *   0x2F10_0000  128 KiB × PEs  GICR frames
 *   0x8000_0000  1984 MiB DRAM of the Host: delegable                                GPI NS at boot
 *   0xFC00_0000  28 MiB   Secure DRAM                                                GPI SECURE
 *   0xFDC0_0000  32 MiB   RMM; its last granule is the RMM-EL3 shared page           GPI REALM
 *   0xFFC0_0000  4 MiB    EL3's DRAM; the last MiB are the level 1 GPTs              GPI ROOT
 *   0x8_8000_0000  2 GiB  second bank of the Host's DRAM, when asked for             GPI NS at boot
 *
 * Where nothing answers, an access ends in a synchronous external abort.
 *
 * One difference: on the FVP trusted SRAM and trusted DRAM have GPI ANY and the interconnect refuses what is not Secure
 * or Root; here the GPT itself refuses it, with a granule protection fault.
 */
import { type Board, FRAME_BYTES_MAX } from "./board.js";

const KiB = 1n << 10n;
const MiB = 1n << 20n;
const GiB = 1n << 30n;

/** Where the images of this board go. TF-A v2.12, plat/arm/board/fvp/include/platform_def.h, fvp_fw_config.dts. */
export const FVP_IMAGES = {
  /** BL33: the first program of the Non-secure world, at NS-EL2. */
  NS: 0x8800_0000n,
  /** Device tree of the hardware: X1 of BL33. */
  HW_CONFIG: 0x8200_0000n,
  /** The RMM, at R-EL2. */
  RMM: 0xfdc0_0000n,
  /** S-EL2, or S-EL1 without Secure EL2. */
  SECURE: 0x0600_0000n,
} as const;

/** The FVP's PEs: two clusters of four, MPIDR_EL1.{U, MT} = {0, 1}, Aff2 the cluster and Aff1 the PE in it. */
export const FVP_PES = 8;
const PES_PER_CLUSTER = 4;
const fvpMpidr = (index: number): bigint =>
  0x8100_0000n | (BigInt(Math.floor(index / PES_PER_CLUSTER)) << 16n) | (BigInt(index % PES_PER_CLUSTER) << 8n);

const UART_0 = 0x1c09_0000n;
const UART_STRIDE = 0x1_0000n;
/** SPI 5 is UART0's. */
const UART_INTID = 37;

export interface FvpOptions {
  /** PEs, 1 to 8; default 8. */
  readonly peCount?: number;
  /** Whether the second DRAM bank, 2 GiB at 0x8_8000_0000, exists; default false. */
  readonly secondBank?: boolean;
  /** Counts of the machine's clock in a tick of the 100 MHz counter; default 1, as on the FVP. */
  readonly instructionsPerTick?: number;
  readonly frameBytes?: number;
}

export function fvpBoard(options: FvpOptions = {}): Board {
  const peCount = options.peCount ?? FVP_PES;
  const dram = [
    { base: 0x8000_0000n, size: 2n * GiB - 64n * MiB },
    ...(options.secondBank ? [{ base: 0x8_8000_0000n, size: 2n * GiB }] : []),
  ];
  const delegable = Number(dram.reduce((sum, { size }) => sum + size, 0n));
  return {
    name: "fvp",
    peCount,
    mpidrs: Array.from({ length: peCount }, (_, index) => fvpMpidr(index)),
    paBits: 48,
    root: { base: 0xffc0_0000n, size: 4n * MiB },
    realm: { base: 0xfdc0_0000n, size: 32n * MiB },
    dram,
    fixed: [
      { name: "trusted SRAM", base: 0x0400_0000n, size: 256n * KiB, pas: "root" },
      { name: "trusted DRAM", base: 0x0600_0000n, size: 32n * MiB, pas: "secure" },
      { name: "NS SRAM", base: 0x2e00_0000n, size: 64n * KiB, pas: "any" },
      { name: "Secure DRAM", base: 0xfc00_0000n, size: 28n * MiB, pas: "secure" },
    ],
    gpt: { l0: { base: 0x0403_e000n, size: 8n * KiB }, l1: { base: 0xfff0_0000n, size: MiB } },
    uart: UART_0,
    gicd: 0x2f00_0000n,
    gicr: 0x2f10_0000n,
    devices: [
      ...[0, 1, 2, 3].map((n) => ({
        kind: "pl011" as const,
        name: `uart${n}`,
        base: UART_0 + BigInt(n) * UART_STRIDE,
        intid: UART_INTID + n,
      })),
    ],
    counterHz: 100_000_000,
    instructionsPerTick: options.instructionsPerTick ?? 1,
    frameBytes: options.frameBytes ?? Math.min(delegable + Number(128n * MiB), FRAME_BYTES_MAX),
  };
}
