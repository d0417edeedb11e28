/**
 * The physical GICv3 of the machine: one distributor, a redistributor and a CPU interface per PE. It is driven, never
 * running by itself: devices and timers set inputs, software reads and writes registers, and the machine asks for the
 * lines of a PE whenever something may have changed them.
 */
import { invariant } from "@realmbox/abi";
import type { Board } from "../board/board.js";
import { isTrusted, type MappedDevice, type MmioDevice } from "../bus.js";
import type { InterruptController } from "../irq.js";
import type { Pe } from "../pe.js";
import { CpuInterface } from "./cpu-interface.js";
import { Distributor, GICD_SIZE, GICR_FRAME_SIZE } from "./distributor.js";
import { type DistributorState, PHYSICAL_GIC } from "./interrupts.js";

/** SPIs of the physical GIC: INTIDs 32 to 255. */
export const SPI_COUNT = 224;

export class Gic implements InterruptController {
  readonly name = "gic";
  readonly distributor: Distributor;
  readonly interfaces: readonly CpuInterface[];
  readonly devices: readonly MappedDevice[];
  /** Called when what a PE is sent may have changed for a reason that is not its own: an SGI, an SPI, a PPI. */
  onChange: ((pe: number) => void) | undefined;

  constructor(options: { readonly board: Pick<Board, "gicd" | "gicr">; readonly pes: readonly Pe[] }) {
    const { board, pes } = options;
    this.distributor = new Distributor({
      profile: PHYSICAL_GIC,
      mpidrs: pes.map((pe) => pe.mpidr),
      spiCount: SPI_COUNT,
      onChange: (pe) => this.onChange?.(pe),
    });
    this.interfaces = pes.map((pe) => new CpuInterface(pe, this.distributor));
    this.devices = [
      { base: board.gicd, size: BigInt(GICD_SIZE), device: distributorDevice(this.distributor) },
      { base: board.gicr, size: BigInt(GICR_FRAME_SIZE * pes.length), device: redistributorDevice(this.distributor) },
    ];
  }

  /** Distributor, redistributors and CPU interfaces as after a reset. */
  reset(): void {
    this.distributor.reset();
    for (const cpuInterface of this.interfaces) cpuInterface.reset();
  }

  lines(pe: Pe): number {
    return this.interfaces[pe.index]!.lines();
  }

  read(pe: Pe, name: string): bigint {
    return this.interfaces[pe.index]!.read(name);
  }

  write(pe: Pe, name: string, value: bigint): void {
    this.interfaces[pe.index]!.write(name, value);
  }

  setPpi(pe: number, intid: number, level: boolean): void {
    this.distributor.setPpi(pe, intid, level);
  }

  setSpi(intid: number, level: boolean): void {
    this.distributor.setSpi(intid, level);
  }

  save(): DistributorState {
    return this.distributor.save();
  }

  restore(data: unknown): void {
    invariant(typeof data === "object" && data !== null, "snapshot of the GIC");
    this.distributor.restore(data as DistributorState);
  }
}

/** The GICD frame of a distributor as a device; a virtual machine's GIC uses it as well. */
export function distributorDevice(distributor: Distributor): MmioDevice {
  return {
    name: "gicd",
    read: (offset, size, from) => distributor.readDistributor(offset, size, isTrusted(from.pas)),
    write: (offset, size, value, from) => distributor.writeDistributor(offset, size, value, isTrusted(from.pas)),
  };
}

/** The GICR frames of all PEs of a distributor as one device. */
export function redistributorDevice(distributor: Distributor): MmioDevice {
  const frame = (offset: number) => Math.floor(offset / GICR_FRAME_SIZE);
  return {
    name: "gicr",
    read: (offset, size, from) =>
      frame(offset) < distributor.peCount
        ? distributor.readRedistributor(frame(offset), offset % GICR_FRAME_SIZE, size, isTrusted(from.pas))
        : 0n,
    write: (offset, size, value, from) => {
      if (frame(offset) >= distributor.peCount) return;
      distributor.writeRedistributor(frame(offset), offset % GICR_FRAME_SIZE, size, value, isTrusted(from.pas));
    },
  };
}
