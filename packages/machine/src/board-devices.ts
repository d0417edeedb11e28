/** The devices of a machine's board: made from its rows, on its bus, driven by its clock. */
import { createDevices, type Device, type DeviceSystem, Pl011, Schedule } from "./devices/index.js";
import { packAffinity } from "./gic/interrupts.js";
import type { Machine } from "./machine.js";

/** SPI 5: where the FVP has its first UART. */
const UART_INTID = 37;

export class BoardDevices {
  readonly byName: ReadonlyMap<string, Device>;
  /** The first UART of the board. */
  readonly uart: Pl011;
  /** When devices do something by themselves. */
  readonly schedule: Schedule;

  constructor(machine: Machine) {
    const { board, bus } = machine;
    const rows = board.devices ?? [{ kind: "pl011", name: "uart", base: board.uart, intid: UART_INTID }];
    const byName = new Map<string, Device>();
    this.schedule = new Schedule(byName);
    for (const placed of createDevices(rows, this.systemOf(machine))) {
      bus.attach(placed);
      byName.set(placed.device.name, placed.device);
    }
    this.byName = byName;
    const uart = [...byName.values()].find((device) => device instanceof Pl011);
    if (!uart) throw new Error("a board has a UART");
    this.uart = uart;
  }

  reset(): void {
    for (const device of this.byName.values()) device.reset();
    this.schedule.update();
  }

  private systemOf(machine: Machine): DeviceSystem {
    const { board, pes } = machine;
    const { schedule } = this;
    const affinities = pes.map(({ mpidr }) => packAffinity(mpidr));
    return {
      countsPerSecond: board.counterHz * board.instructionsPerTick,
      countsPerTick: board.instructionsPerTick,
      affinities,
      get now() {
        return machine.now;
      },
      setSpi: (intid, level) => machine.gic.setSpi(intid, level),
      uartOutput: (uart, byte) => machine.onUartOutput?.(byte, uart),
      reschedule: () => {
        schedule.update();
        machine.interruptsChanged();
      },
      powerOff: (reason) => machine.stop(reason),
      reset: (reason) => machine.requestReset(reason),
      isPeOn: (affinity) => {
        const pe = pes[affinities.indexOf(affinity)];
        return pe && pe.power === "on";
      },
    };
  }
}
