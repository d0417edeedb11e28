/**
 * Where a guest spends its counts: each `every` counts of the clock, what every PE has used since the last look is put down to
 * the level and the address where it is now. Looks are at counts of the clock, so a profile repeats with its run, whatever
 * engine runs it; waiting costs nothing and is in no profile.
 */

import { SecurityState } from "@realmbox/abi";
import { type Machine, type Processor, R } from "@realmbox/machine";

/** Counts of one address. */
export interface ProfileRow {
  /** "realm EL1". */
  readonly level: string;
  readonly pc: bigint;
  readonly counts: number;
}

/** Not a divisor of the PEs' turns, nor of a timer's period. */
export const PROFILE_EVERY = 9_973;

const STATE_NAMES: Readonly<Record<SecurityState, string>> = {
  [SecurityState.SECURE]: "secure",
  [SecurityState.NON_SECURE]: "non-secure",
  [SecurityState.ROOT]: "root",
  [SecurityState.REALM]: "realm",
};

export class Profiler {
  /** The clock at which the next look is due. */
  next: number;
  private readonly machine: Machine;
  private readonly every: number;
  /** What each PE had used at the last look. */
  private readonly used: number[];
  private readonly counts = new Map<string, Map<bigint, number>>();

  constructor(machine: Machine, every: number = PROFILE_EVERY) {
    this.machine = machine;
    this.every = every;
    this.next = machine.now + every;
    this.used = machine.pes.map(usedBy);
  }

  /** Between two runs: looks when it is time. */
  look(): void {
    const { machine, every } = this;
    if (machine.now < this.next) return;
    this.next = machine.now + every;
    for (const pe of machine.pes) {
      const used = usedBy(pe);
      const counts = used - this.used[pe.index]!;
      this.used[pe.index] = used;
      if (counts > 0) this.add(`${STATE_NAMES[pe.state]} EL${pe.el}`, pe.r[R.PC]!, counts);
    }
  }

  /** All addresses, the most frequent first. */
  rows(): ProfileRow[] {
    const rows = [...this.counts].flatMap(([level, byPc]) => [...byPc].map(([pc, counts]) => ({ level, pc, counts })));
    return rows.sort((a, b) => b.counts - a.counts || (a.level < b.level ? -1 : 1) || Number(a.pc - b.pc));
  }

  private add(level: string, pc: bigint, counts: number): void {
    let byPc = this.counts.get(level);
    if (!byPc) this.counts.set(level, (byPc = new Map()));
    byPc.set(pc, (byPc.get(pc) ?? 0) + counts);
  }
}

function usedBy(pe: Processor): number {
  pe.account();
  return pe.retired + pe.charged;
}
