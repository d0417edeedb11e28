/** From the rows of a board to its devices. */
import type { MappedDevice, MmioDevice, Snapshotable } from "../bus.js";
import { PL011_SIZE, Pl011 } from "./pl011.js";
import type { DeviceRow } from "./rows.js";

/** A device of the board. */
export interface Device extends MmioDevice, Snapshotable {
  readonly name: string;
  /** To the state after a reset of the machine. */
  reset(): void;
}

/** What devices may do to their machine. */
export interface DeviceSystem {
  /** The level of a shared peripheral interrupt. */
  setSpi(intid: number, level: boolean): void;
  /** A byte that software sends through the UART of that name. */
  uartOutput(uart: string, byte: number): void;
}

/** A device at its place. */
export interface PlacedDevice extends MappedDevice {
  readonly device: Device;
}

export function createDevice(row: DeviceRow, system: DeviceSystem): PlacedDevice {
  const { name, base } = row;
  switch (row.kind) {
    case "pl011": {
      const device = new Pl011({
        name,
        onOutput: (byte) => system.uartOutput(name, byte),
        onInterrupt: (level) => system.setSpi(row.intid, level),
      });
      return { base, size: BigInt(PL011_SIZE), device };
    }
  }
}
