/**
 * The machine: memory, devices and PEs of a board, the slots of its firmware, the clock, and the loop that runs the PEs
 * one after another on one thread.
 *
 * The clock counts instructions retired by all PEs, and one for each exception taken, ERET, and SMC or ERET of native
 * firmware. Everything that happens at a time happens at its exact count, whatever the slices and limits of `run` are, so
 * the same inputs give the same run. A PE's BUDGET is its share of the clock until the next thing that is due. PEs take
 * equal turns, or turns that a seed chooses (interleaving.ts).
 *
 * With a host clock (`MachineOptions.clock`) the machine's clock also jumps ahead, at the beginning of each slice, to the
 * time that has passed outside: the counter shows real time to within a slice, and no two runs are alike.
 */
import { EC, invariant, Pas, SecurityState } from "@realmbox/abi";
import { type BlockMove, compileMoves, type Move } from "./block-moves.js";
import type { Board } from "./board/board.js";
import { BoardDevices } from "./board-devices.js";
import { Bus, type Snapshotable } from "./bus.js";
import { type MutableCounters, makeCounters } from "./counters.js";
import type { Engine } from "./cpu/engine.js";
import { createEngine, generateInterpreter, Translator, type TranslatorLimits } from "./cpu/index.js";
import { R } from "./cpu/state.js";
import { isStepActive, MDSCR, MDSCR_LO } from "./debug/enabled.js";
import { isLoadExclusive, takeStep } from "./debug/exceptions.js";
import type { Device, Pl011 } from "./devices/index.js";
import { MachineHost } from "./engine-host.js";
import {
  exceptionReturn,
  hcrLo,
  isInterruptDue,
  lowerState,
  makeEsr,
  NATIVE_PC,
  takeInterrupt,
  takeSync,
  virtualLines,
} from "./exceptions.js";
import { Gic } from "./gic/gic.js";
import { GranuleProtection } from "./gpt.js";
import { Interleaving } from "./interleaving.js";
import { Line } from "./irq.js";
import { type Jit, usualJit } from "./jit.js";
import { PAGE_SIZE, PhysicalMemory } from "./memory.js";
import { Regime } from "./mmu/context.js";
import { Mmu } from "./mmu/mmu.js";
import type { TlbiOperation } from "./pe.js";
import { countsToOverflow, isPmuInterrupting } from "./pmu/counting.js";
import { PMU_PPI } from "./pmu/registers.js";
import { Port } from "./ports.js";
import { Processor, slotLevels } from "./processor.js";
import { RandomNumbers } from "./random.js";
import { levelName, Reports, ROOT_LEVEL } from "./reports.js";
import type { Firmware, MemoryPort, SlotEvent, SlotExit, SlotName } from "./slot.js";
import { restoreMachine, saveMachine } from "./snapshot.js";
import { SystemRegisters } from "./sysreg/system-registers.js";
import { GenericTimers, nextStreamEvent } from "./timers.js";
import { TraceBus } from "./trace.js";
import { ATTENTION_LO, BUDGET_LO, EVENT_LO, EXCL_HOST_LO, PC_LO, PSTATE, PSTATE_LO } from "./words.js";

/** Clock counts that a PE runs before the next one's turn. */
const SLICE = 10_000;
/**
 * The same of a PE that has no other to wait for it: a multiple of SLICE. Not without end, because the host's compiler puts
 * better code in place of a WebAssembly function only when that returns.
 */
const LONE_SLICE = 100 * SLICE;
/** How often a place is reached before it is translated, unless `jit` says. */
const DEFAULT_THRESHOLD = 4000;
/** Synchronous exceptions in a row, without a retired instruction or by the handler's own vectors, that end a run. */
const FRUITLESS_MAX = 64;

/** Time outside of the machine: monotonic, in milliseconds from any zero. */
export interface HostClock {
  now(): number;
}

export interface MachineOptions {
  readonly board: Board;
  /** The interpreter's WebAssembly bytes; generated from the instruction rows when absent. */
  readonly engine?: Uint8Array;
  /** Seed of RNDR. */
  readonly seed?: bigint;
  /** Seed by which PEs interleave; 0, the default: they take equal turns, in order. */
  readonly interleave?: bigint;
  /** What the counter follows; without it time is instructions alone, and runs repeat. */
  readonly clock?: HostClock;
  /** Whether hot code is translated; default: what `setUsualJit` said, "on" when nobody did. */
  readonly jit?: Jit;
  /** How much translated code there may be at a time. */
  readonly translatorLimits?: TranslatorLimits;
  /** Seconds from any zero, for what the translator's counters tell of itself; without it they tell no times. */
  readonly stopwatch?: () => number;
}

/** A reset of the running machine. */
export interface MachineReset {
  /** A watchdog's name, `PSCI_SYSTEM_RESET`, or what else asked for it. */
  readonly reason: string;
  /** How many there were, this one included. */
  readonly count: number;
}

export type RunEnd =
  /** Somebody called `stop`. */
  | { readonly kind: "stopped"; readonly reason: string }
  /** The limit given to `run` is reached. */
  | { readonly kind: "limit" }
  /** All PEs wait, and an external source may still send something. `deadline`: the clock of the next timer event. */
  | { readonly kind: "idle"; readonly deadline: number | undefined }
  /** All PEs wait or are off, and nothing can ever wake one. */
  | { readonly kind: "deadlock"; readonly detail: string }
  /** Emulated code takes one exception after another and never retires an instruction, or never leaves its vectors. */
  | { readonly kind: "exception-loop"; readonly detail: string };

export class Machine {
  readonly board: Board;
  /** Whether hot code is translated. */
  readonly jit: Jit;
  readonly pes: readonly Processor[];
  readonly memory: PhysicalMemory;
  readonly bus = new Bus();
  readonly gic: Gic;
  readonly timers = new GenericTimers();
  readonly mmu: Mmu;
  readonly systemRegisters: SystemRegisters;
  /** What RNDR gives. */
  readonly random: RandomNumbers;
  private readonly interleaving: Interleaving;
  readonly counters: MutableCounters = makeCounters();
  readonly trace: TraceBus;
  readonly reports: Reports;
  /** Called with each byte that software sends through a UART, and the UART's name. */
  onUartOutput?: (byte: number, uart: string) => void;
  /**
   * Called when something resets the machine: a watchdog, PSCI, the board's reboot register. True: the machine starts
   * again. False, and when nobody listens: the run ends with the reason, before the reset.
   */
  onReset?: (reset: MachineReset) => boolean;
  /** Parts whose state a snapshot holds. */
  readonly parts: Snapshotable[] = [];

  /** How many external sources may still send something: then an idle machine waits instead of jumping ahead. */
  externalSources = 0;
  /** Called when something from outside of `run` made a PE runnable. */
  wakeHook?: () => void;

  /** Counts of the clock in a millisecond of the counter. */
  readonly countsPerMs: number;

  private readonly boardDevices: BoardDevices;
  private readonly engineBytes: Uint8Array | undefined;
  private readonly hostClock: HostClock | undefined;
  /** What the host clock showed when the machine's was 0. */
  private hostZero = 0;
  private engine: Engine | undefined;
  /** What makes code of the guest's, unless `jit` is off. */
  readonly translator: Translator | undefined;
  private readonly host: MachineHost;
  /** Native firmware by Security state times four plus EL. */
  private readonly firmware = new Array<Firmware | undefined>(16).fill(undefined);
  private readonly protections = new Map<string, GranuleProtection>();
  private readonly blockMoves = new Map<readonly Move[], BlockMove>();
  /** Clock without what the current PE has spent of its grant. */
  private time = 0;
  /** The PE whose turn it is, and the clock at which its slice ends; 0: its slice has not begun. */
  private turn = 0;
  private sliceEnd = 0;
  private running = false;
  /** Why the machine is to be reset. */
  private resetReason: string | undefined;
  private end: RunEnd | undefined;

  constructor({
    board,
    engine,
    seed = 0n,
    interleave = 0n,
    clock,
    jit = usualJit(),
    translatorLimits,
    stopwatch,
  }: MachineOptions) {
    this.board = board;
    this.jit = jit;
    this.countsPerMs = (board.counterHz * board.instructionsPerTick) / 1000;
    this.engineBytes = engine;
    this.hostClock = clock;
    this.memory = new PhysicalMemory(board);
    this.trace = new TraceBus(() => ({ at: this.now, pe: this.turn }));
    this.reports = new Reports({
      trace: this.trace,
      counters: this.counters,
      hasMonitor: () => this.firmware[ROOT_LEVEL] !== undefined,
    });
    this.mmu = new Mmu(this);
    this.translator = this.newTranslator(translatorLimits, stopwatch);
    this.host = new MachineHost(this);
    this.systemRegisters = new SystemRegisters(this);
    this.random = new RandomNumbers(seed);
    this.interleaving = new Interleaving(interleave);
    this.pes = Array.from({ length: board.peCount }, (_, index) => new Processor(this, index));
    this.gic = new Gic({ board, pes: this.pes });
    this.gic.onChange = (pe) => this.interruptsChangedOf(pe);
    for (const device of this.gic.devices) this.bus.attach(device);
    this.boardDevices = new BoardDevices(this);
    this.parts.push(this.gic, this.random, this.interleaving, ...this.devices.values());
  }

  /** The clock: instructions retired and exceptions taken by all PEs, and idle time skipped. */
  get now(): number {
    return this.time + this.pes[this.turn]!.spent;
  }

  /** The board's devices, the GIC apart, by name. */
  get devices(): ReadonlyMap<string, Device> {
    return this.boardDevices.byName;
  }

  /** The board's first UART: the console of firmware and of a Host that is emulated. */
  get uart(): Pl011 {
    return this.boardDevices.uart;
  }

  /** The physical count in ticks, as a number. */
  get ticks(): number {
    return Math.floor(this.now / this.board.instructionsPerTick);
  }

  /** Whether the counter follows a host clock. */
  get followsHostClock(): boolean {
    return this.hostClock !== undefined;
  }

  /** CNTPCT_EL0. */
  counter(): bigint {
    return BigInt(this.ticks);
  }

  /** Fills a slot with native firmware; a slot without one runs emulated code. */
  install(slot: SlotName, firmware: Firmware): void {
    for (const level of slotLevels(slot)) this.firmware[level] = firmware;
  }

  firmwareAt(level: number): Firmware | undefined {
    return this.firmware[level];
  }

  /** Puts an image into memory before the reset, as a flash programmer would: no granule protection check. */
  load(pa: bigint, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = Number(pa) + done;
      const n = Math.min(bytes.length - done, PAGE_SIZE - (at % PAGE_SIZE));
      const host = this.memory.host(at);
      invariant(host > 0, "an image lies in memory", at.toString(16));
      this.memory.writes(host);
      this.memory.u8.set(bytes.subarray(done, done + n), host);
      done += n;
    }
  }

  /** Power-on: PE 0 starts at EL3, the others are off. Memory keeps its contents but for what the board erases. */
  reset(): void {
    this.time = 0;
    this.end = undefined;
    this.meetHostClock();
    for (const { base, size } of this.board.erased ?? []) this.load(base, new Uint8Array(Number(size)).fill(0xff));
    this.restart();
  }

  /**
   * A reset of the running machine: all PEs are off, devices are as after power-on, PE 0 starts at EL3. Memory and the clock
   * go on. It happens when the step or instruction that is under way is done, if `onReset` says so.
   */
  requestReset(reason: string): void {
    this.resetReason ??= reason;
    this.pes[this.turn]!.w[ATTENTION_LO] = 1;
  }

  /** A PE that is off begins at EL3, with the event `start`. */
  startPe(index: number): void {
    const pe = this.pes[index];
    invariant(pe !== undefined && pe.power === "off", "a PE that starts exists and is off", index);
    if (pe.hasRun) this.resetPe(pe);
    pe.start(this.board.root.base);
    // A PE that was alone is no longer.
    if (this.sliceEnd !== 0) this.sliceEnd = this.now + this.countsOfTurn();
  }

  /** Ends the run: `run` returns when the step or instruction that is under way is done. */
  stop(reason: string): void {
    this.finish({ kind: "stopped", reason });
  }

  /**
   * Runs until `stop`, until `limit.instructions` counts of the clock have passed, or until nothing can happen any more
   * by itself. May be called again; the run is the same whatever the limits were.
   */
  run(limit?: { readonly instructions?: number }): RunEnd {
    invariant(!this.running, "run is not called from inside a run");
    const limitAt = limit?.instructions === undefined ? Number.POSITIVE_INFINITY : this.now + limit.instructions;
    this.running = true;
    this.end = undefined;
    try {
      while (this.end === undefined) {
        if (this.resetReason !== undefined) this.resetOrEnd(this.resetReason);
        else if (this.sliceEnd === 0 && !this.beginSlice(limitAt)) continue;
        this.runSlice(this.pes[this.turn]!, limitAt);
      }
      return this.end;
    } finally {
      this.settle();
      this.running = false;
    }
  }

  /** Advances the clock of an idle machine, at most to `clock`: that much time has passed for the external sources. */
  advance(clock: number): void {
    invariant(!this.running, "advance is called between runs");
    this.settle();
    this.time = Math.max(this.time, clock);
  }

  /** The level of a shared peripheral interrupt of the physical GIC. */
  setSpi(intid: number, level: boolean): void {
    this.gic.setSpi(intid, level);
  }

  /** State that snapshots hold beside memory and PEs. Names are unique. */
  register(part: Snapshotable): void {
    invariant(!this.parts.some(({ name }) => name === part.name), "names of registered parts differ", part.name);
    this.parts.push(part);
  }

  /** The machine's whole state, between two runs. The machine goes on as one restored from it would. */
  snapshot(): Uint8Array {
    invariant(!this.running, "a snapshot is taken between runs");
    this.settle();
    this.mmu.flushAll();
    for (const protection of this.protections.values()) protection.invalidateAll();
    for (const pe of this.pes) pe.normalize();
    const { time, turn, sliceEnd, resetReason } = this;
    return saveMachine(this, { time, turn, sliceEnd, ...(resetReason === undefined ? {} : { reset: resetReason }) });
  }

  /** Takes over a snapshot of a machine with the same board, firmware and parts. Throws when it is none. */
  restore(data: Uint8Array): void {
    invariant(!this.running, "a snapshot is restored between runs");
    this.forgetProtections();
    const { time, turn, sliceEnd, reset } = restoreMachine(this, data);
    this.resetReason = reset;
    this.time = time;
    this.turn = turn;
    this.sliceEnd = sliceEnd;
    this.meetHostClock();
    this.boardDevices.schedule.update();
    this.mmu.flushAll();
  }

  /** A port for Host-side devices that are not a PE's: Non-secure, checked like PE 0's accesses. */
  devicePort(): MemoryPort {
    return new Port(this, {
      from: { pe: 0, pas: Pas.NS, state: SecurityState.NON_SECURE },
      counts: this.counters.ports.devices,
      pe: this.pes[0]!,
    });
  }

  /** Granule protection for values of GPCCR_EL3 and GPTBR_EL3; equal values share what is remembered. */
  protectionFor(gpccr: bigint, gptbr: bigint): GranuleProtection {
    const key = `${gpccr},${gptbr}`;
    let protection = this.protections.get(key);
    if (!protection) {
      // A machine uses two or three pairs; guests that try others must not fill the memory.
      if (this.protections.size >= 8) this.forgetProtections();
      protection = new GranuleProtection(this.memory, { gpccr, gptbr, paBits: this.board.paBits });
      this.protections.set(key, protection);
    }
    return protection;
  }

  /** TLB maintenance by native firmware of a PE, for all PEs. */
  tlbi(pe: Processor, operation: TlbiOperation): void {
    const state = lowerState(pe.w);
    switch (operation.kind) {
      case "rpalos":
        this.invalidateGranules(Number(operation.pa), Number(operation.size));
        break;
      case "paall":
        this.invalidateGranules(0, Number.POSITIVE_INFINITY);
        break;
      case "alle2":
        this.mmu.flushWhere((context) => context.state === state && isEl2Regime(context.regime));
        break;
      default: {
        // Both stages of a VMID, or an IPA range of it: combined entries do not remember their IPA.
        const { vmid } = operation;
        this.mmu.flushWhere((context) => context.state === state && context.vmid === vmid);
      }
    }
  }

  /** The function that makes a list of moves over this machine's memory. */
  blockMove(moves: readonly Move[]): BlockMove {
    let move = this.blockMoves.get(moves);
    if (!move) {
      move = compileMoves(this.memory.memory, moves);
      this.blockMoves.set(moves, move);
    }
    return move;
  }

  /** GPT information of one granule is stale: what a change of it by the monitor asks for. */
  invalidateGranule(pfn: number): void {
    const { memory } = this;
    const page = memory.pageIndexOf(pfn);
    if (page < 0) return;
    for (const protection of this.protections.values()) protection.forget(page);
    if (memory.inTlb[page] !== 0) this.mmu.flushAll();
  }

  /** GPT information of [pa, pa + size) is stale; so are TLB entries made from those granules. */
  invalidateGranules(pa: number, size: number): void {
    for (const protection of this.protections.values()) protection.invalidate(pa, size);
    if (this.memory.anyInTlb(pa, size)) this.mmu.flushAll();
  }

  /** An SMC of native firmware at EL2: a real exception, whose return address is the reserved native PC. */
  enterSmc(pe: Processor): void {
    pe.setPc(NATIVE_PC);
    this.reports.smc(pe);
    takeSync(pe, 3, makeEsr(EC.SMC64, 0));
  }

  /** One step of native firmware. */
  stepFirmware(pe: Processor, firmware: Firmware): SlotExit {
    this.counters.nativeSteps++;
    return firmware.step(pe, pe.event);
  }

  /** Whether a WFI would wait now. */
  wouldWait(pe: Processor): boolean {
    return !this.canWake(pe, this.gic.lines(pe));
  }

  /** Ends the run when emulated code does nothing but take exceptions. */
  checkExceptionLoop(pe: Processor, ec: number): void {
    const { fruitless, nested } = pe;
    if (fruitless < FRUITLESS_MAX && nested < FRUITLESS_MAX) return;
    const why = fruitless < FRUITLESS_MAX ? "of its own vectors" : "without a retired instruction";
    const pc = pe.r[R.PC].toString(16);
    const detail = `PE ${pe.index} at ${levelName(pe)}, PC 0x${pc}: ${FRUITLESS_MAX} exceptions (class 0x${ec.toString(16)}) ${why}`;
    this.finish({ kind: "exception-loop", detail });
  }

  /** Signals to a PE may have changed: the running PE looks at the next instruction boundary. */
  interruptsChanged(): void {
    this.pes[this.turn]!.w[ATTENTION_LO] = 1;
    if (!this.running) this.wakeHook?.();
  }

  /**
   * Likewise, and the PE is known. When it is not the one that runs, the slice ends: between PEs that run at once an interrupt
   * takes less time than whoever sent it needs to count on its effect.
   */
  private interruptsChangedOf(pe: number): void {
    if (this.running && pe !== this.turn && !this.interleaving.isSeeded) this.pes[this.turn]!.yielding = true;
    this.interruptsChanged();
  }

  /** For native firmware that looks at what is pending: nobody has brought its timers up to date since it runs. */
  refreshSignals(pe: Processor): void {
    this.settle();
    this.updateTimers(pe);
  }

  /** Counts until something is due on a PE whose turn it is, whatever limit `run` was given. */
  countsUntilDue(pe: Processor): number {
    const { now } = this;
    const due = Math.min(now + this.countsOfTurn(), pe.deadline, this.boardDevices.schedule.next);
    return Math.max(due - now, 0);
  }

  /** SEV: sets the event register of every PE. */
  sendEvent(): void {
    for (const pe of this.pes) pe.w[EVENT_LO] = 1;
  }

  /** WFE: whether the event register is set, by an event stream too; it is clear afterwards. */
  takeEvent(pe: Processor): boolean {
    const { w } = pe;
    const { ticks } = this;
    const isSet = w[EVENT_LO] !== 0 || nextStreamEvent(pe, pe.eventsUntil) <= ticks;
    w[EVENT_LO] = 0;
    pe.eventsUntil = ticks;
    return isSet;
  }

  /** WFE without an event: the PE sleeps until one comes. */
  awaitEvent(pe: Processor): void {
    pe.sleeping = true;
    pe.awaitsEvent = true;
    pe.eventDeadline = nextStreamEvent(pe, pe.eventsUntil) * this.board.instructionsPerTick;
  }

  private resetOrEnd(reason: string): void {
    this.resetReason = undefined;
    this.settle();
    this.counters.resets++;
    const reset = { reason, count: this.counters.resets };
    if (this.trace.wants("boot")) this.trace.emit({ category: "boot", name: "reset", fields: reset });
    if (this.onReset?.(reset)) this.restart();
    else this.finish({ kind: "stopped", reason });
  }

  private restart(): void {
    this.turn = 0;
    this.sliceEnd = 0;
    this.resetReason = undefined;
    for (const pe of this.pes) pe.reset();
    this.gic.reset();
    this.boardDevices.reset();
    this.forgetProtections();
    this.mmu.flushAll();
    this.startPe(0);
  }

  /** A PE that was switched off has lost its state; its redistributor has not. */
  private resetPe(pe: Processor): void {
    for (let intid = 16; intid < 32; intid++) {
      if ((pe.timerOutputs & (1 << intid)) !== 0) this.gic.setPpi(pe.index, intid, false);
    }
    if (pe.pmu.output) this.gic.setPpi(pe.index, PMU_PPI, false);
    pe.reset();
    this.gic.interfaces[pe.index]!.reset();
  }

  private forgetProtections(): void {
    this.protections.clear();
    for (const pe of this.pes) pe.forgetProtection();
  }

  private finish(end: RunEnd): void {
    this.end ??= end;
    this.pes[this.turn]!.w[ATTENTION_LO] = 1;
  }

  /** Moves what the current PE has spent into the clock. */
  private settle(): void {
    const pe = this.pes[this.turn]!;
    this.time += pe.spent;
    pe.grant(0);
  }

  /** From now on the host clock goes on from the machine's time. */
  private meetHostClock(): void {
    if (this.hostClock) this.hostZero = this.hostClock.now() - this.time / this.countsPerMs;
  }

  /** As much time has passed in the machine as outside, or more: it never goes back. */
  private followHostClock(clock: HostClock): void {
    const passed = Math.floor((clock.now() - this.hostZero) * this.countsPerMs);
    if (passed > this.time) this.time = passed;
  }

  /** Says how long the next slice is and, with a seed, whose. False: no PE had anything to do, and time has passed. */
  private beginSlice(limitAt: number): boolean {
    if (this.hostClock) this.followHostClock(this.hostClock);
    const { interleaving } = this;
    if (!interleaving.isSeeded) {
      this.sliceEnd = this.time + (this.isTurnAlone() ? LONE_SLICE : SLICE);
      return true;
    }
    // Nothing is drawn while all wait, so that it makes no difference how often a limit cuts the waiting.
    const ready = this.pes.filter((pe) => !this.isIdle(pe));
    if (ready.length === 0) {
      if (this.time >= limitAt) this.finish({ kind: "limit" });
      else this.skipIdle(limitAt);
      return false;
    }
    const next = ready[interleaving.choose(ready.length)]!.index;
    this.turn = next;
    this.sliceEnd = this.time + interleaving.length();
    return true;
  }

  /** Whether no other PE would run if the slice ended: then it makes no difference when it does. */
  private isTurnAlone(): boolean {
    if (this.hostClock) return false;
    for (const pe of this.pes) if (pe.index !== this.turn && pe.power === "on") return false;
    return true;
  }

  /** Counts left of the turn: of a lone PE's slice, of the part of it that would be its turn beside others. */
  private countsOfTurn(): number {
    const left = this.sliceEnd - this.now;
    return left <= 0 ? 0 : left % SLICE || SLICE;
  }

  /** Runs one PE to the end of its slice, or as far as the run goes. */
  private runSlice(pe: Processor, limitAt: number): void {
    let isRunning = false;
    while (this.end === undefined && this.resetReason === undefined) {
      const now = this.time + pe.spent;
      if (now >= limitAt) {
        this.finish({ kind: "limit" });
        return;
      }
      if (pe.power === "off" || pe.yielding || now >= this.sliceEnd) {
        this.endSlice(pe, limitAt);
        return;
      }
      if (!pe.sleeping && !isRunning) {
        isRunning = true;
        this.openMonitors(pe);
      }
      // Native firmware is not interrupted: what is pending is taken when emulated code runs, or wakes it.
      if (pe.firmware && !pe.sleeping) {
        this.runFirmware(pe, pe.firmware);
        continue;
      }
      this.settle();
      this.updateTimers(pe);
      this.updatePmu(pe);
      if (this.resetReason !== undefined) return;
      const lines = pe.lines();
      if (pe.sleeping) {
        if (!this.canWake(pe, lines)) {
          this.endSlice(pe, limitAt);
          return;
        }
        this.wake(pe);
        continue;
      }
      if (takeInterrupt(pe, lines)) continue;
      this.runEmulated(pe, Math.min(this.sliceEnd, pe.deadline, this.boardDevices.schedule.next, limitAt) - this.time);
    }
  }

  private endSlice(pe: Processor, limitAt: number): void {
    this.settle();
    pe.yielding = false;
    this.sliceEnd = 0;
    if (this.interleaving.isSeeded) return;
    // A PE that is off has no slice.
    do this.turn = (this.turn + 1) % this.pes.length;
    while (this.turn !== 0 && this.pes[this.turn]!.power === "off");
    if (this.turn === 0 && this.pes.every((other) => this.isIdle(other))) this.skipIdle(limitAt);
  }

  /**
   * A PE runs, and may write what the exclusive monitors of others hold: they open, which is an event for each. So monitors
   * need not see stores: none outlives a turn of another PE.
   */
  private openMonitors(running: Processor): void {
    for (const { w, index } of this.pes) {
      if (index === running.index || w[EXCL_HOST_LO] === 0) continue;
      w[EXCL_HOST_LO] = 0;
      w[EVENT_LO] = 1;
    }
  }

  private wake(pe: Processor): void {
    pe.sleeping = false;
    if (!pe.awaitsEvent) return;
    pe.awaitsEvent = false;
    this.takeEvent(pe);
  }

  private isIdle(pe: Processor): boolean {
    if (pe.power === "off") return true;
    if (!pe.sleeping) return false;
    this.updateTimers(pe);
    return !this.canWake(pe, this.gic.lines(pe));
  }

  /** All PEs wait: jumps to the next timer event, or leaves it to the caller when something else may come first. */
  private skipIdle(limitAt: number): void {
    const { schedule } = this.boardDevices;
    // With all PEs off nobody has looked yet.
    if (this.time >= schedule.next) {
      schedule.run(this.time);
      return;
    }
    const on = this.pes.filter((pe) => pe.power === "on");
    const deadline = on.reduce(
      (least, pe) => Math.min(least, pe.deadline, pe.awaitsEvent ? pe.eventDeadline : least),
      schedule.next,
    );
    if (this.externalSources > 0) {
      this.finish({ kind: "idle", deadline: Number.isFinite(deadline) ? deadline : undefined });
      return;
    }
    if (deadline === Number.POSITIVE_INFINITY) {
      const detail =
        on.length === 0 ? "all PEs are off" : on.map((pe) => `PE ${pe.index} waits at ${levelName(pe)}`).join(", ");
      this.finish({ kind: "deadlock", detail });
      return;
    }
    this.time = Math.min(deadline, limitAt);
  }

  /**
   * WFI ends with any physical interrupt, masked or not, and at EL1 and EL0 with a virtual one; WFE with an event, or an
   * interrupt that is taken.
   */
  private canWake(pe: Processor, lines: number): boolean {
    if (pe.awaitsEvent) return pe.w[EVENT_LO] !== 0 || this.time >= pe.eventDeadline || isInterruptDue(pe, lines);
    if ((lines & (Line.IRQ | Line.FIQ)) !== 0) return true;
    if (pe.el > 1) return false;
    return virtualLines(hcrLo(pe.w), lines) !== 0 || isInterruptDue(pe, lines);
  }

  private runFirmware(pe: Processor, firmware: Firmware): void {
    const exit = this.stepFirmware(pe, firmware);
    switch (exit.kind) {
      case "eret":
        exceptionReturn(pe);
        break;
      case "smc":
        invariant(pe.el === 2, "an SMC exit is EL2's", pe.el);
        this.enterSmc(pe);
        break;
      case "wfi":
        pe.sleeping = true;
        pe.event = EVENT_WAKE;
        break;
      case "off":
        pe.power = "off";
    }
  }

  private runEmulated(pe: Processor, budget: number): void {
    if ((pe.w[MDSCR_LO]! & (MDSCR.SS | MDSCR.MDE)) !== 0 && this.runDebugged(pe)) return;
    pe.grant(pe.pmu.live ? Math.min(budget, countsToOverflow(pe)) : budget);
    pe.w[ATTENTION_LO] = 0;
    pe.setClock();
    this.engineOrNew.runTranslated(pe.base);
    this.translator?.breathe();
    pe.account();
  }

  /**
   * While software step is active, and in a page with a breakpoint: one instruction, or the step exception before or after
   * it. False when neither is so. Nothing about it outlives the call but PSTATE.SS.
   */
  private runDebugged(pe: Processor): boolean {
    const { w } = pe;
    const isStepping = isStepActive(w);
    if (isStepping && (w[PSTATE_LO]! & PSTATE.SS) === 0) {
      takeStep(pe, false, false);
      return true;
    }
    if (!isStepping && !this.mmu.isNearBreakpoint(pe)) return false;
    pe.grant(1);
    w[ATTENTION_LO] = 0;
    pe.setClock();
    const engine = this.engineOrNew;
    const { host } = this;
    host.single = true;
    const at = (w[PC_LO]! & 3) === 0 ? host.fetch(pe.base) : NOWHERE;
    if (at !== 0) {
      const isExclusive = at !== NOWHERE && isLoadExclusive(this.memory.i32[at >>> 2]!);
      engine.runTranslated(pe.base);
      // An exception has cleared PSTATE.SS: then there is nothing to advance.
      if (isStepping && w[BUDGET_LO] === 0 && (w[PSTATE_LO]! & PSTATE.SS) !== 0) {
        w[PSTATE_LO] = w[PSTATE_LO]! & ~PSTATE.SS;
        if (isStepActive(w)) takeStep(pe, true, isExclusive);
      }
    }
    host.single = false;
    pe.account();
    return true;
  }

  private newTranslator(limits: TranslatorLimits | undefined, now: (() => number) | undefined): Translator | undefined {
    const { memory, mmu, jit } = this;
    if (jit === "off") return undefined;
    const translator = new Translator({
      memory: memory.memory,
      threshold: jit === "on" ? DEFAULT_THRESHOLD : jit,
      ...(limits === undefined ? {} : { limits }),
      host: {
        ...(now === undefined ? {} : { now }),
        protectPage: (page) => {
          memory.codePages[page >>> 12] = 1;
          mmu.hideWrites(page);
        },
        releasePage: (page) => {
          memory.codePages[page >>> 12] = 0;
        },
      },
    });
    memory.onCodeWrite = (page) => translator.codeWritten(page);
    return translator;
  }

  private get engineOrNew(): Engine {
    this.engine ??= createEngine({
      memory: this.memory.memory,
      host: this.host,
      module: this.engineBytes ?? generatedOnce(),
      ...(this.translator ? { translator: this.translator } : {}),
    });
    return this.engine;
  }

  /** Brings the PMU's interrupt up to date. Nothing changes it while the PE waits. */
  private updatePmu({ w, pmu, index }: Processor): void {
    if (isPmuInterrupting(w) === pmu.output) return;
    pmu.output = !pmu.output;
    this.gic.setPpi(index, PMU_PPI, pmu.output);
  }

  /** Brings devices and the PE's timers up to date when their time has come or their registers have changed. */
  private updateTimers(pe: Processor): void {
    const { schedule } = this.boardDevices;
    if (this.time >= schedule.next) schedule.run(this.time);
    if (this.time < pe.deadline && !pe.timerInputsChanged()) return;
    const count = Math.floor(this.time / this.board.instructionsPerTick);
    const outputs = this.timers.outputs(pe, count);
    let changed = outputs ^ pe.timerOutputs;
    pe.timerOutputs = outputs;
    for (; changed !== 0; changed &= changed - 1) {
      const intid = 31 - Math.clz32(changed & -changed);
      this.gic.setPpi(pe.index, intid, (outputs & (1 << intid)) !== 0);
    }
    const deadline = this.timers.nextDeadline(pe, count) * this.board.instructionsPerTick;
    // A compare value that the clock's numbers cannot reach is never.
    pe.deadline = deadline < Number.MAX_SAFE_INTEGER ? deadline : Number.POSITIVE_INFINITY;
  }
}

/** No host address: the instruction at PC was not fetched. */
const NOWHERE = -1;

let generated: Uint8Array | undefined;
/** The interpreter as generated here: once for all machines of a process. */
const generatedOnce = (): Uint8Array => (generated ??= generateInterpreter());

const isEl2Regime = (regime: Regime): boolean => regime === Regime.EL2 || regime === Regime.EL20;
const EVENT_WAKE: SlotEvent = { kind: "wake" };
