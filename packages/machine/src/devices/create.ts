/** From the rows of a board to its devices. */
import type { MappedDevice } from "../bus.js";
import type { Device, DeviceSystem } from "./device.js";
import { EmptyEcam } from "./empty-ecam.js";
import { GENERIC_WATCHDOG_SIZE, GenericWatchdog } from "./generic-watchdog.js";
import { MemoryTimers, memoryTimersSize } from "./memory-timers.js";
import { NorFlash } from "./nor-flash.js";
import { PL011_SIZE, Pl011 } from "./pl011.js";
import { POWER_CONTROLLER_SIZE, PowerController } from "./power-controller.js";
import type { DeviceRow, RowOfKind } from "./rows.js";
import { SP804_SIZE, Sp804 } from "./sp804.js";
import { SP805_SIZE, Sp805 } from "./sp805.js";
import { SP810_SIZE, Sp810 } from "./sp810.js";
import { COUNTER_FRAME_SIZE, CounterControl, CounterRead } from "./system-counter.js";
import { V2M_SYSREG_SIZE, V2mSysreg } from "./v2m-sysreg.js";

/** A device at its place. */
export interface PlacedDevice extends MappedDevice {
  readonly device: Device;
}

/** The devices of a board, in the order of its rows. */
export function createDevices(rows: readonly DeviceRow[], system: DeviceSystem): PlacedDevice[] {
  const placed: PlacedDevice[] = [];
  const named = (name: string) => placed.find(({ device }) => device.name === name)?.device;
  for (const row of rows) {
    const [device, size] = create(row, system, named);
    placed.push({ base: row.base, size: BigInt(size), trusted: row.trusted === true, device });
  }
  return placed;
}

type Named = (name: string) => Device | undefined;

function create(row: DeviceRow, system: DeviceSystem, named: Named): readonly [device: Device, size: number] {
  const { name } = row;
  switch (row.kind) {
    case "pl011":
      return [createUart(row, system), PL011_SIZE];
    case "sp804":
      return [new Sp804(name, system, row), SP804_SIZE];
    case "sp805":
      return [new Sp805(name, system, row), SP805_SIZE];
    case "sp810":
      return [createSystemController(row, system, named), SP810_SIZE];
    case "generic-watchdog":
      return [new GenericWatchdog(name, system, row), GENERIC_WATCHDOG_SIZE];
    case "counter-control":
      return [new CounterControl(name, system), COUNTER_FRAME_SIZE];
    case "counter-read":
      return [new CounterRead(name, system), COUNTER_FRAME_SIZE];
    case "memory-timers":
      return [new MemoryTimers(name, system, row), memoryTimersSize(row)];
    case "v2m-sysreg":
      return [new V2mSysreg(name, system), V2M_SYSREG_SIZE];
    case "power-controller":
      return [new PowerController(name, system), POWER_CONTROLLER_SIZE];
    case "nor-flash":
      return [new NorFlash(name, row.size), row.size];
    case "empty-ecam":
      return [new EmptyEcam(name), row.size];
  }
}

const createUart = ({ name, intid }: RowOfKind<"pl011">, system: DeviceSystem): Pl011 =>
  new Pl011({
    name,
    onOutput: (byte) => system.uartOutput(name, byte),
    onInterrupt: (level) => system.setSpi(intid, level),
  });

/** Two timers are in one SP804. Its row comes after theirs. */
function createSystemController({ name, timers }: RowOfKind<"sp810">, system: DeviceSystem, named: Named): Sp810 {
  return new Sp810(name, system, {
    setClock(timer, hz) {
      const device = named(timers[timer >> 1] ?? "");
      if (device instanceof Sp804) device.setClock((timer & 1) as 0 | 1, hz);
    },
  });
}
