/** System registers by name, for native firmware. */
import { R, type RegName } from "../cpu/state.js";
import { TIMER_NAMES } from "../irq.js";
import type { Machine } from "../machine.js";
import type { Processor } from "../processor.js";
import { MIDR } from "./id.js";

export class SystemRegisters {
  private readonly machine: Machine;

  constructor(machine: Machine, _seed: bigint) {
    this.machine = machine;
  }

  /** Reads a register as an MRS at the current EL does; throws when there is no such register. */
  readByName(pe: Processor, name: string): bigint {
    const timer = TIMER_NAMES.find((prefix) => name.startsWith(`${prefix}_CTL`));
    if (timer) return pe.timerCtl(timer);
    if (name.startsWith("ICC_") || name.startsWith("ICH_")) return this.machine.gic.read(pe, name);
    if (name === "MIDR_EL1") return MIDR;
    const slot = R[name as RegName];
    if (slot === undefined) throw new Error(`no system register ${name}`);
    return pe.r[slot]!;
  }

  /** Writes a register as an MSR at the current EL does; throws when there is no such register. */
  writeByName(pe: Processor, name: string, value: bigint): void {
    if (name.startsWith("ICC_") || name.startsWith("ICH_")) {
      this.machine.gic.write(pe, name, value);
      return;
    }
    const slot = R[name as RegName];
    if (slot === undefined) throw new Error(`no system register ${name}`);
    pe.r[slot] = value;
  }
}
