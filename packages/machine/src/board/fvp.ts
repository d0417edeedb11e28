/**
 * Board `fvp`: Arm's Fixed Virtual Platform Base RevC with RME, as software built for Trusted Firmware-A's `fvp` platform
 * finds it: the RMM ACS, TF-A-Tests, a foreign RMM. Addresses and GPIs as TF-A v2.12, plat/arm/board/fvp.
 *
 *   0x0400_0000  256 KiB  trusted SRAM; its last 8 KiB are the level 0 GPT           GPI ROOT
 *   0x0600_0000  32 MiB   trusted DRAM                                               GPI SECURE
 *   0x0800_0000  2 × 64 MiB  NOR flash
 *   0x1C01_0000           V2M system registers; 0x1C02_0000 SP810
 *   0x1C09_0000  4 × 64 KiB  UART0 to UART3 (PL011)
 *   0x1C0F_0000           watchdog (SP805)
 *   0x1C10_0000           power controller
 *   0x1C11_0000  2 × 64 KiB  timers (SP804)
 *   0x2A43_0000           system counter: CNTControl, trusted; 0x2A80_0000 CNTRead
 *   0x2A44_0000           generic watchdog: control frame, refresh frame
 *   0x2A49_0000           trusted watchdog (SP805)
 *   0x2A81_0000           memory-mapped timers: CNTCTLBase, frame 0 (Secure), frame 1
 *   0x2E00_0000  64 KiB   NS SRAM                                                    GPI ANY
 *   0x2F00_0000  64 KiB   GICD
 *   0x2F10_0000  128 KiB × PEs  GICR frames
 *   0x4000_0000  256 MiB  PCIe configuration space, with nothing in it
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
import type { DeviceRow } from "../devices/rows.js";
import { type Board, FRAME_BYTES_MAX } from "./board.js";

const KiB = 1n << 10n;
const MiB = 1n << 20n;
const GiB = 1n << 30n;

/** UARTs that somebody looks at: the RMM ACS prints on uart2, TF-A-Tests on uart0, TF-RMM on uart3. */
export const FVP_UARTS = ["uart0", "uart1", "uart2", "uart3"] as const;

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

/** What the RMM ACS uses as non-volatile memory, in the Host's DRAM. */
export const FVP_NVM = { base: 0x8280_0000n, size: 64n * KiB } as const;

const UART_0 = 0x1c09_0000n;

/** Shared peripheral interrupts start at INTID 32. */
const SPI = 32;

function fvpDevices(): readonly DeviceRow[] {
  return [
    { kind: "nor-flash", name: "flash0", base: 0x0800_0000n, size: 64 << 20 },
    { kind: "nor-flash", name: "flash1", base: 0x0c00_0000n, size: 64 << 20 },
    { kind: "v2m-sysreg", name: "v2m", base: 0x1c01_0000n },
    { kind: "pl011", name: "uart0", base: UART_0, intid: SPI + 5 },
    { kind: "pl011", name: "uart1", base: 0x1c0a_0000n, intid: SPI + 6 },
    { kind: "pl011", name: "uart2", base: 0x1c0b_0000n, intid: SPI + 7 },
    { kind: "pl011", name: "uart3", base: 0x1c0c_0000n, intid: SPI + 8 },
    // UNVERIFIED: its clock. The ACS loads 399,600,000 and calls that 20 s; the board's 24 MHz clock makes it 16.65 s.
    { kind: "sp805", name: "watchdog", base: 0x1c0f_0000n, intid: SPI + 0, hz: 24_000_000 },
    { kind: "power-controller", name: "power", base: 0x1c10_0000n },
    { kind: "sp804", name: "timers01", base: 0x1c11_0000n, intid: SPI + 2 },
    { kind: "sp804", name: "timers23", base: 0x1c12_0000n, intid: SPI + 3 },
    { kind: "sp810", name: "sp810", base: 0x1c02_0000n, timers: ["timers01", "timers23"] },
    { kind: "counter-control", name: "counter control", base: 0x2a43_0000n, trusted: true },
    { kind: "generic-watchdog", name: "generic watchdog", base: 0x2a44_0000n, intid: SPI + 27 },
    { kind: "sp805", name: "trusted watchdog", base: 0x2a49_0000n, intid: SPI + 24, hz: 32_768, trusted: true },
    { kind: "counter-read", name: "counter", base: 0x2a80_0000n },
    { kind: "memory-timers", name: "memory timers", base: 0x2a81_0000n, intids: [SPI + 25, SPI + 26] },
    { kind: "empty-ecam", name: "pcie", base: 0x4000_0000n, size: 256 << 20 },
  ];
}

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
    // All but what is needed to load the first program again. TF-A v2.12, arm_nor_psci_mem_protect.c.
    memProtect: {
      word: 0x0bfc_0000n,
      ranges: [
        { base: 0x8c00_0000n, size: 0x7000_0000n },
        ...(options.secondBank ? [{ base: 0x8_8000_0000n, size: GiB }] : []),
      ],
    },
    // Arm's JEP-106 code, SoC 0; the revision is SYS_ID's.
    socId: { version: 0x043b_0000, revision: 2 },
    gpt: { l0: { base: 0x0403_e000n, size: 8n * KiB }, l1: { base: 0xfff0_0000n, size: MiB } },
    uart: UART_0,
    rmmUart: 0x1c0c_0000n,
    gicd: 0x2f00_0000n,
    gicr: 0x2f10_0000n,
    erased: [FVP_NVM],
    devices: fvpDevices(),
    counterHz: 100_000_000,
    instructionsPerTick: options.instructionsPerTick ?? 1,
    frameBytes: options.frameBytes ?? Math.min(delegable + Number(128n * MiB), FRAME_BYTES_MAX),
  };
}
