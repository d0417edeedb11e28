/** Translation contexts of all PEs. */
import { TLB_SIZE } from "../cpu/engine.js";
import type { Machine } from "../machine.js";
import type { Processor } from "../processor.js";
import { TLB_FETCH_LO, TLB_READ_LO, TLB_WRITE_LO } from "../words.js";

export class Mmu {
  private readonly machine: Machine;

  constructor(machine: Machine) {
    this.machine = machine;
    const { i32, emptyTlb } = machine.memory;
    i32.fill(-1, emptyTlb / 4, emptyTlb / 4 + TLB_SIZE / 4);
  }

  /** Something that translation depends on has changed: the context is found again at the next miss. */
  contextChanged(pe: Processor): void {
    const { w } = pe;
    const { emptyTlb } = this.machine.memory;
    w[TLB_READ_LO] = emptyTlb;
    w[TLB_WRITE_LO] = emptyTlb;
    w[TLB_FETCH_LO] = emptyTlb;
  }

  flushAll(): void {}
  flushRegime(_regime: string, _state: number): void {}
  flushVmid(_vmid: number, _state: number): void {}
}
