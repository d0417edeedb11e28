/**
 * PCI configuration space (ECAM) of a host bridge with nothing behind it. PCI Express Base Specification, "Enhanced
 * Configuration Access Mechanism": a function that is not there reads as all ones, and takes no writes. kvmtool always
 * describes the bridge in its device tree, so a guest may look.
 *
 * @spec PCI Express Base Specification, "Enhanced Configuration Access Mechanism": partial: nothing behind
 *   the host bridge
 */
import { PCI_ECAM_BASE, PCI_ECAM_SIZE } from "../memory-map.js";
import type { MmioDevice } from "./bus.js";

export class EmptyPciEcam implements MmioDevice {
  readonly name = "pci";
  readonly base = PCI_ECAM_BASE;
  readonly size = PCI_ECAM_SIZE;

  read(_offset: number, data: Uint8Array): void {
    data.fill(0xff);
  }

  write(): void {}
}
