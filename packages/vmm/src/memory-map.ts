/**
 * The machine that the guest sees: addresses and interrupts of kvmtool's arm64 machine (kvmtool, "arm/include/arm-common/
 * kvm-arch.h"). None of this exists in the physical machine: the VMM and the Host make it out of memory slots, MMIO exits
 * and the virtual GIC. All addresses are IPAs; in a realm the devices are at the same IPAs, and the guest reaches them
 * through the unprotected half, that is with the top IPA bit set (the Host clears it before the VMM sees the access).
 *
 *   0x0000_0000  64 KiB          PCI I/O window (nothing answers here)
 *   0x0100_0000  4 × 4 KiB       ns16550A 0 to 3, 8 registers each
 *   0x0101_0000  2 bytes         MC146818 RTC: index, data
 *   0x0300_0000  512 bytes each  virtio-mmio slots
 *   0x3FFF_0000 − cpus × 128 KiB GICv3 redistributors
 *   0x3FFF_0000  64 KiB          GICv3 distributor
 *   0x4000_0000  256 MiB         PCI configuration space (ECAM), without a device
 *   0x5000_0000  768 MiB         PCI memory window (nothing answers here)
 *   0x8000_0000                  RAM
 */

export const KiB = 1n << 10n;
export const MiB = 1n << 20n;
export const GiB = 1n << 30n;

export const UART_BASE = 0x0100_0000n;
export const UART_STRIDE = 0x1000n;
export const UART_SIZE = 8n;
export const UART_COUNT = 4;
export const uartBase = (index: number): bigint => UART_BASE + BigInt(index) * UART_STRIDE;

export const RTC_BASE = 0x0101_0000n;
export const RTC_SIZE = 2n;

export const VIRTIO_MMIO_BASE = 0x0300_0000n;
export const VIRTIO_MMIO_SIZE = 0x200n;
export const virtioMmioBase = (slot: number): bigint => VIRTIO_MMIO_BASE + BigInt(slot) * VIRTIO_MMIO_SIZE;

export const GIC_DIST_BASE = 0x3fff_0000n;
export const GIC_DIST_SIZE = 0x1_0000n;
/** Two 64 KiB frames (RD_base, SGI_base) per vCPU. */
export const GIC_REDIST_SIZE = 0x2_0000n;
/** The redistributors end where the distributor begins. */
export const gicRedistBase = (cpus: number): bigint => GIC_DIST_BASE - BigInt(cpus) * GIC_REDIST_SIZE;

export const PCI_IO_SIZE = 0x1_0000n;
export const PCI_ECAM_BASE = 0x4000_0000n;
export const PCI_ECAM_SIZE = 0x1000_0000n;
export const PCI_MEMORY_BASE = 0x5000_0000n;
export const PCI_MEMORY_SIZE = 0x3000_0000n;

export const RAM_BASE = 0x8000_0000n;

/** Offset from RAM base of a kernel image that names none (kvmtool, "kvm__arch_get_kern_offset"). */
export const KERNEL_OFFSET_DEFAULT = 0x8_0000n;

/** INTIDs of shared peripheral interrupts begin here; the device tree counts from this one. */
export const GIC_SPI_BASE = 32;
/** Interrupts are handed out in order: the four UARTs (level high), then the virtio devices (rising edge). */
export const uartIntid = (index: number): number => GIC_SPI_BASE + index;
export const virtioIntid = (slot: number): number => GIC_SPI_BASE + UART_COUNT + slot;

/**
 * Interrupts that the virtual GIC is made with: the lines in use, rounded up to a multiple of 32, and the 32 private
 * ones (kvmtool, "gic__init_gic").
 */
export const gicInterruptCount = (virtioDevices: number): number =>
  Math.ceil((UART_COUNT + virtioDevices) / 32) * 32 + 32;

/** The device tree's buffer. All of it is measured, the zero bytes behind the packed tree too. */
export const FDT_SIZE_MAX = 0x1_0000;
export const FDT_ALIGN = 2n * MiB;
export const INITRD_ALIGN = 4n;
/** Kernel, initrd and device tree are placed in the first 256 MiB of RAM. */
export const LOW_MEMORY_MAX = 256n * MiB;

export const CPUS_MAX = 8;

/** Default RAM size: 64 MiB for each vCPU and three more (kvmtool, "get_ram_size"; not capped by the Host's memory here). */
export const defaultMemorySize = (cpus: number): bigint => 64n * MiB * BigInt(cpus + 3);

export const alignDown = (address: bigint, size: bigint): bigint => address & ~(size - 1n);
export const alignUp = (address: bigint, size: bigint): bigint => alignDown(address + size - 1n, size);

/** An address as messages print it. */
export const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Number of bits of an address: the position of its highest set bit, plus one. */
export const bitLength = (value: bigint): number => (value === 0n ? 0 : value.toString(2).length);

/**
 * IPA width of the machine: enough for the last byte of RAM, at least 32 bits; a realm has one more, because the top
 * bit chooses between the protected and the unprotected half (kvmtool, "kvm__get_vm_type").
 */
export const ipaBits = ({ ramTop, realm }: { readonly ramTop: bigint; readonly realm: boolean }): number =>
  Math.max(32, bitLength(ramTop - 1n)) + (realm ? 1 : 0);
