/**
 * Two machines with the same inputs advance in equal steps, one interpreting, one translating; after each step their
 * states must be equal. Where they are not, the first count of the clock at which that shows is searched, with new machines
 * for each try: a run is the same every time, so what came before needs no snapshot, and code that was translated early
 * is translated early again.
 */
import { invariant } from "@realmbox/abi";
import { disassemble } from "../cpu/disassemble.js";
import { TLB_ENTRIES, TLB_ENTRY_SIZE } from "../cpu/engine.js";
import { R } from "../cpu/state.js";
import type { Jit } from "../jit.js";
import type { Machine } from "../machine.js";
import type { Processor } from "../processor.js";
import { levelName } from "../reports.js";
import { compareMachines, compareStates, type Difference } from "./compare.js";

/** A machine and how to go on with it. */
export interface LockstepSubject {
  readonly machine: Machine;
  /**
   * Goes on until the clock is there, or one count further when an exception is one with its instruction. How the run ended,
   * in words; undefined: the clock is there.
   */
  run(clock: number): string | undefined;
  /** What software has said so far. */
  output?(): string;
  /** Whether the state of devices and firmware could be saved now, and so compared; default: always. */
  isSettled?(): boolean;
}

export interface LockstepOptions {
  /** A new machine that nothing was run on; every one made from the same inputs. */
  readonly create: (jit: Jit) => LockstepSubject;
  /** The second machine's; default 0: everything is translated. */
  readonly jit?: Jit;
  /** Clock counts between two comparisons of the PEs' states. */
  readonly step: number;
  /** Clock counts between two comparisons of everything; default 4,000,000. */
  readonly deepEvery?: number;
  /** Clock counts in all; default: to the end of the run. */
  readonly counts?: number;
  /** Asked after each step; true ends the check, which has found nothing then. */
  readonly isOver?: () => boolean;
  /** Told after each comparison of everything. */
  readonly onProgress?: (clock: number) => void;
}

/** An instruction that the interpreter executed. */
export interface Executed {
  /** The clock before it. */
  readonly clock: number;
  readonly pe: number;
  /** "REALM EL1". */
  readonly level: string;
  readonly pc: bigint;
  /** As text; undefined when it cannot be told what was executed (native firmware, a fetch that faults, waiting). */
  readonly text: string | undefined;
}

export interface LockstepDifference {
  /** The smallest clock at which the machines differ when both stop there. */
  readonly clock: number;
  /** Both equal here: the last comparison before. */
  readonly equalAt: number;
  readonly differences: readonly Difference[];
  /** What the interpreter executed up to `clock`. */
  readonly executed: readonly Executed[];
}

export interface LockstepResult {
  /** The clock up to which the machines were compared. */
  readonly clock: number;
  readonly comparisons: number;
  /** How the run ended; undefined: `counts` or `isOver`. */
  readonly end: string | undefined;
  /** Undefined: all was equal. */
  readonly difference: LockstepDifference | undefined;
}

const DEEP_EVERY = 4_000_000;
/** Instructions that a report shows. */
const SHOWN = 48;

class Pair {
  readonly interpreter: LockstepSubject;
  readonly translator: LockstepSubject;
  /** The clock at the start, and how far the pair was led from there. */
  readonly from: number;
  private done = 0;

  constructor({ create, jit = 0 }: LockstepOptions) {
    this.interpreter = create("off");
    this.translator = create(jit);
    this.from = this.interpreter.machine.now;
  }

  /** Leads both to so many counts from the start, in the given steps. How the runs ended. */
  lead(counts: number, step: number): readonly [string | undefined, string | undefined] {
    while (this.done < counts) {
      this.done = Math.min(this.done + step, counts);
      const clock = this.from + this.done;
      const ends = [outcome(this.interpreter, clock), outcome(this.translator, clock)] as const;
      if (ends[0] !== undefined || ends[1] !== undefined) return ends;
    }
    return [undefined, undefined];
  }

  /** `deep`: everything, else what is cheap. */
  compare(deep: boolean): Difference[] {
    const { interpreter, translator } = this;
    const found = deep
      ? compareMachines(interpreter.machine, translator.machine, {
          parts: (interpreter.isSettled?.() ?? true) && (translator.isSettled?.() ?? true),
        })
      : compareStates(interpreter.machine, translator.machine);
    const [a, b] = [interpreter.output?.() ?? "", translator.output?.() ?? ""];
    if (a !== b) found.push({ what: "output", interpreter: tail(a), translator: tail(b) });
    return found;
  }
}

/** How a subject's run ended; a defect that throws in one of the two is a difference like others. */
function outcome(subject: LockstepSubject, clock: number): string | undefined {
  try {
    return subject.run(clock);
  } catch (error) {
    return `throws ${error instanceof Error ? error.message : error}`;
  }
}

const tail = (text: string): string => JSON.stringify(text.slice(-60));

/** How two runs ended, when not alike. */
const endsDiffer = (a: string | undefined, b: string | undefined): Difference[] =>
  a === b ? [] : [{ what: "end", interpreter: a ?? "goes on", translator: b ?? "goes on" }];

/** Runs both machines to the end, a limit, or the first difference. */
export function lockstep(options: LockstepOptions): LockstepResult {
  const { step, deepEvery = DEEP_EVERY, counts = Number.POSITIVE_INFINITY, isOver, onProgress } = options;
  invariant(step >= 1, "a step is at least one count", step);
  const pair = new Pair(options);
  // Making a machine may have run it.
  const differences = pair.compare(true);
  if (differences.length > 0) {
    const { from } = pair;
    const difference = { clock: from, equalAt: 0, differences, executed: [] };
    return { clock: from, comparisons: 1, end: undefined, difference };
  }
  let comparisons = 1;
  /** Counts from the start at which everything was equal. */
  let equal = 0;
  for (let done = 0; ; ) {
    const next = Math.min(done + step, counts);
    const [a, b] = pair.lead(next, step);
    done = next;
    const isEnd = a !== undefined || b !== undefined || done >= counts || (isOver?.() ?? false);
    const isDeep = isEnd || done - equal >= deepEvery;
    const found = [...endsDiffer(a, b), ...pair.compare(isDeep)];
    comparisons++;
    const clock = pair.interpreter.machine.now;
    if (found.length > 0) {
      const difference = narrow(options, equal, done) ?? {
        clock,
        equalAt: pair.from + equal,
        differences: found,
        executed: [],
      };
      return { clock, comparisons, end: a, difference };
    }
    if (isDeep) {
      equal = done;
      onProgress?.(clock);
    }
    if (isEnd) return { clock, comparisons, end: a, difference: undefined };
  }
}

/**
 * The first difference of a run that is equal after `equal` counts and not after `different`. Undefined: run again, it is
 * equal, which only a machine with inputs of its own can be.
 */
function narrow(options: LockstepOptions, equal: number, different: number): LockstepDifference | undefined {
  const probe = (counts: number): Difference[] => {
    const pair = new Pair(options);
    const [a, b] = pair.lead(counts, options.step);
    return [...endsDiffer(a, b), ...pair.compare(true)];
  };
  let [low, high] = [equal, different];
  let differences = probe(high);
  if (differences.length === 0) return undefined;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const found = probe(middle);
    if (found.length > 0) {
      high = middle;
      differences = found;
    } else {
      low = middle;
    }
  }
  const subject = options.create("off");
  const from = subject.machine.now;
  const executed = execute(subject, from + Math.max(high - SHOWN, 0), from + high);
  return { clock: from + high, equalAt: from + low, differences, executed };
}

/** What a machine executes between two counts of its clock. */
function execute(subject: LockstepSubject, from: number, to: number): Executed[] {
  const { machine } = subject;
  if (machine.now < from && outcome(subject, from) !== undefined) return [];
  const executed: Executed[] = [];
  const used = ({ retired, charged }: Processor) => retired + charged;
  while (machine.now < to) {
    const before = machine.pes.map((pe) => {
      pe.account();
      return { used: used(pe), level: levelName(pe), pc: pe.r[R.PC]!, word: instructionAt(pe) };
    });
    const clock = machine.now;
    const end = outcome(subject, clock + 1);
    for (const pe of machine.pes) {
      pe.account();
      const was = before[pe.index]!;
      if (used(pe) === was.used) continue;
      // The page is in the TLB before, after, or not at all.
      const word = was.word ?? instructionAt(pe, was.pc);
      const text = word === undefined ? undefined : disassemble(word, was.pc);
      executed.push({ clock, pe: pe.index, level: was.level, pc: was.pc, text });
    }
    if (end !== undefined) break;
  }
  return executed;
}

/** The instruction word at an address, if the PE's TLB for fetches has its page: a look that changes nothing. */
function instructionAt(pe: Processor, pc = pe.r[R.PC]!): number | undefined {
  const { view } = pe.machine.memory;
  const array = Number(pe.r[R.TLB_FETCH]! & 0xffff_ffffn);
  const entry = array + (Number(pc >> 12n) & (TLB_ENTRIES - 1)) * TLB_ENTRY_SIZE;
  if (array === 0 || view.getBigUint64(entry, true) !== (pc & ~0xfffn) || (pc & 3n) !== 0n) return undefined;
  const host = (Number(pc & 0xffff_ffffn) + view.getInt32(entry + 8, true)) >>> 0;
  return view.getUint32(host, true);
}
