/**
 * Native test firmware of slot ns-el2: scripts that play the Host. A script is a generator for one PE: what it yields is
 * the slot's exit, what it gets back is the event that follows. PE 0 plays the script of `play`; the other PEs are off
 * until a script starts one on them, and off again when it has ended.
 */
import { PSCI_FID, SMCCC_VERSION } from "@realmbox/abi";
import { type Firmware, type Machine, type Pe, R, type SlotEvent, type SlotExit, SMC } from "@realmbox/machine";

export type Script<Result = void> = Generator<SlotExit, Result, SlotEvent>;

/** What a script finds: a call, a memory access or a structure is not as every rule has it. */
export class HostError extends Error {
  override readonly name = "HostError";
}

/** A script on a PE, and how it ended. */
export interface Task<Result = unknown> {
  readonly pe: number;
  readonly done: boolean;
  readonly result: Result | undefined;
}

interface Running extends Task {
  done: boolean;
  result: unknown;
  script: Script<unknown> | undefined;
  /** Made when the PE gets there: the script reads the PE's registers. */
  readonly begin: (pe: Pe) => Script<unknown>;
}

/** How a play came to its end. */
export type PlayEnd =
  | { readonly kind: "done"; readonly result: unknown }
  | { readonly kind: "failed"; readonly error: unknown };

export class ScriptedHost implements Firmware {
  readonly name = "scripted Host";
  readonly image = Uint8Array.from("scripted Host", (c) => c.charCodeAt(0));
  end: PlayEnd | undefined;
  private readonly machine: Pick<Machine, "stop">;
  private readonly running = new Map<number, Running>();

  constructor(machine: Pick<Machine, "stop">) {
    this.machine = machine;
  }

  /** Forgets all scripts; PE 0 plays `begin` from its next event on, or stops the machine there. */
  prepare(begin: ((pe: Pe) => Script<unknown>) | undefined): void {
    this.end = undefined;
    this.running.clear();
    if (begin) this.schedule(0, begin);
  }

  /** A script for a PE that is off: it begins when PSCI_CPU_ON has brought the PE here. */
  schedule(pe: number, begin: (pe: Pe) => Script<unknown>): Task {
    const before = this.running.get(pe);
    if (before && !before.done) throw new HostError(`PE ${pe} already plays a script`);
    const task: Running = { pe, done: false, result: undefined, script: undefined, begin };
    this.running.set(pe, task);
    return task;
  }

  step(pe: Pe, event: SlotEvent): SlotExit {
    const task = this.running.get(pe.index);
    if (!task || task.done) return this.idle(pe);
    try {
      task.script ??= task.begin(pe);
      const { done, value } = task.script.next(event);
      if (done !== true) return value as SlotExit;
      task.done = true;
      task.result = value;
      if (pe.index === 0) this.finish({ kind: "done", result: value });
    } catch (error) {
      task.done = true;
      this.finish({ kind: "failed", error });
    }
    return this.idle(pe);
  }

  private finish(end: PlayEnd): void {
    this.end ??= end;
    this.machine.stop("the script has ended");
  }

  /** PE 0 waits for the next play in an SMC that changes nothing; another PE turns itself off. */
  private idle(pe: Pe): SlotExit {
    if (pe.index === 0 && !this.running.has(0)) this.machine.stop("no script");
    pe.r[R.X0] = pe.index === 0 ? SMCCC_VERSION : PSCI_FID.PSCI_CPU_OFF;
    return SMC;
  }
}
