/**
 * The device tree of the guest's machine, byte for byte as kvmtool writes it (arm/fdt.c, arm/gic.c, arm/timer.c,
 * arm/pci.c, hw/serial.c, hw/rtc.c, virtio/mmio.c). Devices come in the order in which kvmtool registers them: the UARTs,
 * the RTC, then virtio. /pci is there whether or not a device is behind it.
 */
import { indexOfMpidr, mpidrOfIndex, PSCI_FID } from "@realmbox/abi";
import { type ConfigError, failure, type Result, success } from "../error.js";
import type { MemoryRange } from "../loader/placement.js";
import {
  FDT_SIZE_MAX,
  GIC_DIST_BASE,
  GIC_DIST_SIZE,
  GIC_REDIST_SIZE,
  GIC_SPI_BASE,
  gicRedistBase,
  PCI_ECAM_BASE,
  PCI_ECAM_SIZE,
  PCI_IO_SIZE,
  PCI_MEMORY_BASE,
  PCI_MEMORY_SIZE,
  RTC_BASE,
  RTC_SIZE,
  UART_COUNT,
  UART_SIZE,
  uartBase,
  uartIntid,
  VIRTIO_MMIO_SIZE,
  virtioIntid,
  virtioMmioBase,
} from "../memory-map.js";
import { FdtWriter } from "./writer.js";

export interface MachineTreeOptions {
  readonly cpus: number;
  readonly ram: MemoryRange;
  readonly realm: boolean;
  /** Whole kernel command line; no property when undefined. Must not be empty: guests stop at an empty one. */
  readonly bootargs?: string;
  readonly kaslrSeed?: bigint;
  readonly initrd?: { readonly start: bigint; readonly size: number };
  readonly pmu?: boolean;
  /** Number of virtio-mmio slots in use, from slot 0. */
  readonly virtioDevices?: number;
}

const PHANDLE_GIC = 1;
const INTERRUPT = { SPI: 0, PPI: 1 } as const;
const TRIGGER = { EDGE_RISING: 1, LEVEL_HIGH: 4, LEVEL_LOW: 8 } as const;
/** PPIs of the secure physical, non-secure physical, virtual and hypervisor timer. */
const TIMER_PPIS = [13, 14, 11, 10];
const PMU_PPI = 7;
/** First cell of a PCI address: which space. PCI Bus Binding to Open Firmware, "Physical Address Formats". */
const PCI_SPACE = { IO: 0x0100_0000, MEMORY: 0x0200_0000 } as const;

/** MPIDR_EL1's affinity fields of a vCPU, as KVM gives them out; REC order is the same. */
export const mpidrOfCpu = (cpu: number): bigint => mpidrOfIndex(cpu) & 0xff_00ff_ffffn;
export const cpuOfMpidr = indexOfMpidr;

/**
 * The tree as it lies in guest memory: 64 KiB, all of which is measured. Behind the packed blob are zeros, but for eight
 * bytes: kvmtool lets libfdt write the tree with its reservation block at 48 and then pack it in place, to 40, so that
 * the blob's last eight bytes remain where they were.
 */
export function machineTree(options: MachineTreeOptions): Result<Uint8Array, ConfigError> {
  const tree = writeTree(options);
  if (tree.length + PACKED_AWAY > FDT_SIZE_MAX) {
    return failure("device-tree-too-large", `the device tree has ${tree.length} bytes; ${FDT_SIZE_MAX} is the most`);
  }
  const buffer = new Uint8Array(FDT_SIZE_MAX);
  buffer.set(tree);
  buffer.set(tree.subarray(-PACKED_AWAY), tree.length);
  return success(buffer);
}
const PACKED_AWAY = 8;

function writeTree(options: MachineTreeOptions): Uint8Array {
  const { cpus, ram, realm } = options;
  const fdt = new FdtWriter();
  fdt
    .beginNode("")
    .cells("interrupt-parent", PHANDLE_GIC)
    .strings("compatible", "linux,dummy-virt")
    .cells("#address-cells", 2)
    .cells("#size-cells", 2);

  fdt.beginNode("chosen");
  if (options.bootargs !== undefined) fdt.strings("bootargs", options.bootargs);
  fdt.u64s("kaslr-seed", options.kaslrSeed ?? 0n).strings("stdout-path", "serial0");
  if (options.initrd !== undefined) {
    const { start, size } = options.initrd;
    fdt.u64s("linux,initrd-start", start).u64s("linux,initrd-end", start + BigInt(size));
  }
  fdt.endNode();

  fdt.beginNode("memory").strings("device_type", "memory").u64s("reg", ram.base, ram.size).endNode();

  fdt.beginNode("cpus").cells("#address-cells", 1).cells("#size-cells", 0);
  for (let cpu = 0; cpu < cpus; cpu++) {
    const mpidr = mpidrOfCpu(cpu);
    fdt
      .beginNode(`cpu@${mpidr.toString(16)}`)
      .strings("device_type", "cpu")
      .strings("compatible", "arm,arm-v8");
    if (cpus > 1) fdt.strings("enable-method", "psci");
    fdt.cells("reg", Number(mpidr)).endNode();
  }
  fdt.endNode();

  fdt
    .beginNode("intc")
    .strings("compatible", "arm,gic-v3")
    .cells("#interrupt-cells", 3)
    .property("interrupt-controller")
    .u64s("reg", GIC_DIST_BASE, GIC_DIST_SIZE, gicRedistBase(cpus), BigInt(cpus) * GIC_REDIST_SIZE)
    .cells("phandle", PHANDLE_GIC)
    .cells("#address-cells", 2)
    .cells("#size-cells", 2)
    .endNode();

  fdt
    .beginNode("timer")
    .strings("compatible", "arm,armv8-timer", "arm,armv7-timer")
    .cells("interrupts", ...TIMER_PPIS.flatMap((ppi) => [INTERRUPT.PPI, ppi, TRIGGER.LEVEL_LOW]))
    .property("always-on")
    .endNode();

  if (options.pmu) {
    fdt
      .beginNode("pmu")
      .strings("compatible", "arm,armv8-pmuv3")
      .cells("interrupts", INTERRUPT.PPI, PMU_PPI, TRIGGER.LEVEL_HIGH)
      .endNode();
  }

  for (let i = 0; i < UART_COUNT; i++) {
    fdt
      .beginNode(uartNode(i))
      .strings("compatible", "ns16550a")
      .u64s("reg", uartBase(i), UART_SIZE)
      .cells("interrupts", INTERRUPT.SPI, uartIntid(i) - GIC_SPI_BASE, TRIGGER.LEVEL_HIGH)
      .cells("clock-frequency", 1_843_200)
      .endNode();
  }
  fdt.beginNode("rtc").strings("compatible", "motorola,mc146818").u64s("reg", RTC_BASE, RTC_SIZE).endNode();

  for (let slot = 0; slot < (options.virtioDevices ?? 0); slot++) {
    fdt
      .beginNode(`virtio@${virtioMmioBase(slot).toString(16)}`)
      .strings("compatible", "virtio,mmio")
      .u64s("reg", virtioMmioBase(slot), VIRTIO_MMIO_SIZE)
      .property("dma-coherent")
      .cells("interrupts", INTERRUPT.SPI, virtioIntid(slot) - GIC_SPI_BASE, TRIGGER.EDGE_RISING)
      .endNode();
  }

  const high = (value: bigint) => Number(value >> 32n);
  const low = (value: bigint) => Number(value & 0xffff_ffffn);
  fdt
    .beginNode("pci")
    .strings("device_type", "pci")
    .cells("#address-cells", 3)
    .cells("#size-cells", 2)
    .cells("#interrupt-cells", 1)
    .strings("compatible", "pci-host-ecam-generic")
    .property("dma-coherent")
    .cells("bus-range", 0, 0)
    .u64s("reg", PCI_ECAM_BASE, PCI_ECAM_SIZE)
    .cells(
      "ranges",
      ...[PCI_SPACE.IO, 0, 0, 0, 0, high(PCI_IO_SIZE), low(PCI_IO_SIZE)],
      ...[PCI_SPACE.MEMORY, 0, low(PCI_MEMORY_BASE), high(PCI_MEMORY_BASE), low(PCI_MEMORY_BASE)],
      ...[high(PCI_MEMORY_SIZE), low(PCI_MEMORY_SIZE)],
    )
    .property("interrupt-map")
    .endNode();

  // Linux looks for the RSI only behind an SMC conduit; a normal VM has no EL3 to call.
  fdt
    .beginNode("psci")
    .strings("compatible", "arm,psci-0.2", "arm,psci")
    .strings("method", realm ? "smc" : "hvc")
    .cells("cpu_suspend", Number(PSCI_FID.PSCI_CPU_SUSPEND_64))
    .cells("cpu_off", Number(PSCI_FID.PSCI_CPU_OFF))
    .cells("cpu_on", Number(PSCI_FID.PSCI_CPU_ON_64))
    .cells("migrate", Number(PSCI_FID.PSCI_MIGRATE | 0x4000_0000n)) // the SMC64 id, as kvmtool writes it
    .endNode();

  fdt
    .beginNode("aliases")
    .strings("serial0", `/${uartNode(0)}`)
    .endNode();
  return fdt.endNode().finish();
}

const uartNode = (index: number): string => `U6_16550A@${uartBase(index).toString(16)}`;
