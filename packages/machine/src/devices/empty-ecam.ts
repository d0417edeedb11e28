/**
 * A PCIe configuration space (ECAM) without any function: a read of an absent function is all ones, a write is dropped.
 * PCI Express Base Specification, "Configuration Requests to absent functions".
 */
import type { Device } from "./device.js";

export class EmptyEcam implements Device {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  reset(): void {}

  read(): bigint {
    return 0xffff_ffff_ffff_ffffn;
  }

  write(): void {}

  save(): unknown {
    return null;
  }

  restore(): void {}
}
