/**
 * One processing element: its state block in the machine's memory and what the machine keeps beside it. Native firmware
 * and the library see it as `Pe`; the machine's parts work on the state words directly (words.ts).
 */
import { EC, invariant, PAS_NAMES, type Pas, type SecurityState } from "@realmbox/abi";
import type { BlockMove, Move } from "./block-moves.js";
import { mpidrOf } from "./board/board.js";
import { LastEvent, LEVEL_SLOTS, LEVELS, PE_STATE_SIZE, PE_STATE_SLOTS, R } from "./cpu/state.js";
import { el2Enabled, exceptionReturn, lowerState, Vector } from "./exceptions.js";
import type { GranuleProtection } from "./gpt.js";
import type { TimerName } from "./irq.js";
import type { Machine } from "./machine.js";
import type { Pe, TlbiOperation } from "./pe.js";
import { PmuState, settlePmu } from "./pmu/counting.js";
import { PMCNTENSET_LO, PMU_COUNTERS } from "./pmu/registers.js";
import { Port, stateHasPas } from "./ports.js";
import { packFlags, setFlags, setPstate } from "./pstate.js";
import type { Firmware, MemoryPort, SlotEvent, SlotName } from "./slot.js";
import { MIDR } from "./sysreg/id.js";
import { ATTENTION_LO, BUDGET_LO, LINES_LO, MARK_LO, PC_LO, PSTATE_LO } from "./words.js";

/** Slot by Security state times four plus EL; what is no slot is undefined. */
const SLOT_BY_LEVEL: readonly (SlotName | undefined)[] = Array.from({ length: 16 }, (_, key) => {
  const state = key >> 2;
  const el = key & 3;
  if (el === 3) return "root-el3";
  return el === 2 ? (["secure-el2", "ns-el2", undefined, "realm-el2"] as const)[state] : undefined;
});

/** Slots through which the engine's slow accesses pass their data. */
const SCRATCH_SLOTS = 8;
const EVENT_START: SlotEvent = { kind: "start" };
/** What native firmware would be told after an SVC of EL0. */
const EVENT_SVC: SlotEvent = { kind: "exception", vector: "sync", lower: true };

const DONE_EL0_LO = R.DONE_EL0 * 2;
const DONE_EL1_LO = R.DONE_EL1 * 2;
const SVCS_LO = R.SVCS * 2;
const ERETS_LO = R.ERETS * 2;
const LAST_EVENT_LO = R.LAST_EVENT * 2;
const SYNC_DONE_LO = R.SYNC_DONE * 2;
const SYNC_PC0_LO = R.SYNC_PC0 * 2;
const SYNC_PC1_LO = R.SYNC_PC1 * 2;
const CLOCK_LO = R.CLOCK * 2;
const COUNTS_PER_TICK_LO = R.COUNTS_PER_TICK * 2;
const WORD = 0x1_0000_0000;
const GPCCR_LO = R.GPCCR_EL3 * 2;
const GPTBR_LO = R.GPTBR_EL3 * 2;
/** RES1 bits only: MMU, caches and checks off. */
const SCTLR_EL3_RESET = 0x30c5_0830n;
const PSTATE_EL3H_MASKED = 0x3cd;

/** Runs of words that the timers' outputs depend on: when none has changed, neither has a deadline. */
const TIMER_INPUTS: readonly (readonly [first: number, end: number])[] = (
  [
    [R.CNTP_CTL_EL0, 4],
    [R.CNTHP_CTL_EL2, 10],
    [R.CNTHCTL_EL2, 3],
    [R.HCR_EL2, 1],
    [R.SCR_EL3, 1],
  ] as const
).map(([slot, count]) => [slot * 2, (slot + count) * 2]);
const TIMER_INPUT_WORDS = TIMER_INPUTS.reduce((sum, [first, end]) => sum + end - first, 0);
/** Control registers of all timers; bit 0 is ENABLE. */
const TIMER_CONTROLS = [
  R.CNTP_CTL_EL0,
  R.CNTV_CTL_EL0,
  R.CNTHP_CTL_EL2,
  R.CNTHV_CTL_EL2,
  R.CNTHPS_CTL_EL2,
  R.CNTHVS_CTL_EL2,
  R.CNTPS_CTL_EL1,
].map((slot) => slot * 2);

/** Bytes of a vector table. */
const VECTORS_SIZE = 0x800;

export type PowerState = "off" | "on";

export class Processor implements Pe {
  readonly index: number;
  readonly mpidr: bigint;
  /** Host address of the state block. */
  readonly base: number;
  readonly r: BigUint64Array;
  readonly bytes: Uint8Array;
  /** The state as 32-bit words; see words.ts. */
  readonly w: Int32Array;
  readonly machine: Machine;

  power: PowerState = "off";
  /** It has run since its reset: what it holds is lost when it starts again. */
  hasRun = false;
  /** In WFI: nothing runs until an interrupt is pending. */
  sleeping = false;
  /** It sleeps in WFE: an event ends that too, and only an interrupt that is taken. */
  awaitsEvent = false;
  /** Count up to which event streams have been looked at, and clock of the next event while the PE awaits one. */
  eventsUntil = 0;
  eventDeadline = Number.POSITIVE_INFINITY;
  /** The rest of the slice goes to the others. */
  yielding = false;
  /** What the native firmware of the current level will be told at its next step. */
  event: SlotEvent = EVENT_START;
  /** The firmware of the current level, when it is native. */
  firmware: Firmware | undefined;
  /** Machine clock at which a timer output of this PE changes next. */
  deadline = Number.POSITIVE_INFINITY;
  /** PPIs that the timers assert, as a set of bits. */
  timerOutputs = 0;
  /** Clock counts granted to the PE that BUDGET counts down from. */
  granted = 0;
  /** Instructions retired in all. */
  retired = 0;
  /** Counts of the clock in all that were no instructions. */
  charged = 0;
  readonly pmu = new PmuState();
  /** Synchronous exceptions in a row without a retired instruction, at one or two addresses. */
  fruitless = 0;
  /** Synchronous exceptions in a row whose handler ends in the next one, within its vectors. */
  nested = 0;

  private protectionNow: GranuleProtection;
  private readonly gpcWords = new Int32Array(3);
  private lastState: SecurityState | -1 = -1;
  private readonly timerInputs = new Int32Array(TIMER_INPUT_WORDS);
  /** By Security state times four plus PAS. */
  private readonly portCache = new Array<MemoryPort | undefined>(16).fill(undefined);
  private retiredAtSync = -1;

  constructor(machine: Machine, index: number) {
    const { memory } = machine;
    const base = memory.peStates + index * PE_STATE_SIZE;
    this.machine = machine;
    this.index = index;
    this.mpidr = mpidrOf(machine.board, index);
    this.base = base;
    this.r = memory.u64.subarray(base / 8, base / 8 + PE_STATE_SLOTS);
    this.bytes = memory.u8.subarray(base, base + PE_STATE_SIZE);
    this.w = memory.i32.subarray(base / 4, base / 4 + PE_STATE_SLOTS * 2);
    this.protectionNow = machine.protectionFor(0n, 0n);
  }

  /** Cold reset: everything zero but what the architecture or this machine gives a reset value. The PE is off. */
  reset(): void {
    this.bytes.fill(0);
    this.r[R.OSLSR_EL1] = 0xan; // OSLM = 0b10, OSLK = 1
    this.r[R.VPIDR_EL2] = MIDR;
    this.r[R.VMPIDR_EL2] = this.mpidr;
    this.r[R.MDCR_EL2] = BigInt(PMU_COUNTERS); // HPMN
    this.pmu.live = false;
    this.pmu.output = false;
    this.power = "off";
    this.hasRun = false;
    this.sleeping = false;
    this.awaitsEvent = false;
    this.eventsUntil = 0;
    this.eventDeadline = Number.POSITIVE_INFINITY;
    this.yielding = false;
    this.deadline = Number.POSITIVE_INFINITY;
    this.timerOutputs = 0;
    this.retired = 0;
    this.fruitless = 0;
    this.nested = 0;
    this.retiredAtSync = -1;
    this.lastState = -1;
    this.granted = 0;
    this.timerInputs.fill(0);
  }

  /** Begins at EL3, translation and granule protection off, interrupts masked. */
  start(pc: bigint): void {
    const { r, w } = this;
    this.power = "on";
    this.hasRun = true;
    this.sleeping = false;
    r[R.SCTLR_EL3] = SCTLR_EL3_RESET;
    r[R.GPCCR_EL3] = 0n;
    setPstate(w, PSTATE_EL3H_MASKED);
    setFlags(w, 0);
    r[R.PC] = pc;
    this.event = EVENT_START;
    this.levelChanged();
  }

  /** Granule protection as this PE's GPCCR_EL3 and GPTBR_EL3 say. */
  get protection(): GranuleProtection {
    const { w, gpcWords } = this;
    if (w[GPCCR_LO] !== gpcWords[0] || w[GPTBR_LO] !== gpcWords[1] || w[GPTBR_LO + 1] !== gpcWords[2]) {
      gpcWords[0] = w[GPCCR_LO]!;
      gpcWords[1] = w[GPTBR_LO]!;
      gpcWords[2] = w[GPTBR_LO + 1]!;
      this.protectionNow = this.machine.protectionFor(this.r[R.GPCCR_EL3], this.r[R.GPTBR_EL3]);
      this.machine.mmu.flushPe(this);
    }
    return this.protectionNow;
  }

  /** What was remembered about granule protection is gone: look it up again. */
  forgetProtection(): void {
    this.gpcWords[0] = -1;
  }

  get el(): 0 | 1 | 2 | 3 {
    return ((this.w[PSTATE_LO]! >> 2) & 3) as 0 | 1 | 2 | 3;
  }

  get state(): SecurityState {
    return (this.el === 3 ? 2 : lowerState(this.w)) as SecurityState;
  }

  get slot(): SlotName | undefined {
    return SLOT_BY_LEVEL[this.state * 4 + this.el];
  }

  get pstate(): bigint {
    return BigInt((this.w[PSTATE_LO]! | packFlags(this.w)) >>> 0);
  }

  set pstate(value: bigint) {
    const word = Number(value & 0xffff_ffffn) | 0;
    setPstate(this.w, word & 0x0fff_ffff);
    setFlags(this.w, word);
    this.levelChanged();
  }

  get nzcv(): bigint {
    return BigInt(packFlags(this.w) >>> 0);
  }

  set nzcv(value: bigint) {
    setFlags(this.w, Number(value & 0xf000_0000n) | 0);
  }

  mrs(name: string): bigint {
    return this.machine.systemRegisters.readByName(this, name);
  }

  msr(name: string, value: bigint): void {
    this.machine.systemRegisters.writeByName(this, name, value);
  }

  timerCtl(timer: TimerName): bigint {
    return this.machine.timers.ctl(this, timer, this.machine.ticks);
  }

  port(pas: Pas): MemoryPort {
    return this.portCache[this.state * 4 + pas] ?? this.makePort(pas);
  }

  private makePort(pas: Pas): MemoryPort {
    const { state, slot } = this;
    invariant(stateHasPas(state, pas), `a Security state reaches the PAS ${PAS_NAMES[pas]}`, state);
    return (this.portCache[state * 4 + pas] = new Port(this.machine, {
      from: { pe: this.index, pas, state },
      counts: this.machine.counters.ports[slot ?? SLOT_BY_LEVEL[state * 4 + 2]!],
      pe: this,
    }));
  }

  smcNow(): void {
    const { state, el, machine } = this;
    invariant(el === 2 && this.firmware !== undefined, "smcNow is for native firmware at EL2", el);
    machine.enterSmc(this);
    invariant(this.firmware !== undefined, "smcNow needs a native monitor");
    const exit = machine.stepFirmware(this, this.firmware);
    invariant(exit.kind === "eret", "the monitor answers smcNow with an ERET", exit.kind);
    exceptionReturn(this);
    invariant(
      this.el === 2 && this.state === state && this.event.kind === "return",
      "the monitor returns to its caller",
    );
  }

  invalidateGranule(pfn: number): void {
    this.machine.invalidateGranule(pfn);
  }

  blockMove(moves: readonly Move[]): BlockMove {
    return this.machine.blockMove(moves);
  }

  tlbi(operation: TlbiOperation): void {
    this.machine.tlbi(this, operation);
  }

  /** Puts PC; the value is not translated or checked. */
  setPc(pc: bigint): void {
    this.r[R.PC] = pc;
  }

  /** Advances PC past an instruction. */
  advancePc(): void {
    const { w } = this;
    const lo = (w[PC_LO]! + 4) | 0;
    w[PC_LO] = lo;
    if (lo >>> 0 < 4) w[PC_LO + 1] = w[PC_LO + 1]! + 1;
  }

  /** The instruction at PC is done, on the engine's behalf: counts it and goes to the next. */
  completeInstruction(): void {
    this.advancePc();
    this.retire();
  }

  /** One count of the clock that is no instruction: an exception, an ERET. */
  charge(): void {
    this.w[BUDGET_LO]!--;
    this.w[MARK_LO]!--;
    this.charged++;
  }

  compute(counts: number): number {
    const got = Math.min(counts, this.machine.countsUntilDue(this));
    this.w[BUDGET_LO]! -= got;
    this.w[MARK_LO]! -= got;
    this.charged += got;
    return got;
  }

  /** Counts the instruction that the host has just done on the engine's behalf. */
  retire(): void {
    this.w[BUDGET_LO]!--;
  }

  /** Attributes the instructions retired since the last time to the current level. Before each change of level. */
  account(): void {
    const { w } = this;
    if (w[LAST_EVENT_LO] !== 0) this.takeOverExceptions();
    const left = w[BUDGET_LO]!;
    const done = w[MARK_LO]! - left;
    if (done !== 0) {
      w[MARK_LO] = left;
      this.retired += done;
      this.machine.counters.instructions[this.state * 4 + this.el]! += done;
    }
    if (w[PMCNTENSET_LO] !== 0 || this.pmu.live) settlePmu(this);
  }

  /**
   * Takes over what the engine has counted of the SVCs and ERETs that it has done itself since the last time. They were all
   * between EL0 and EL1 of one Security state, and the machine looks at nothing of this before it takes an exception, returns
   * from one, or ends a run of the engine: each of them accounts first. So it makes no difference that it is late.
   */
  private takeOverExceptions(): void {
    const { w, machine } = this;
    const { counters } = machine;
    const el0 = w[DONE_EL0_LO]!;
    const el1 = w[DONE_EL1_LO]!;
    const svcs = w[SVCS_LO]!;
    const erets = w[ERETS_LO]!;
    const level = lowerState(w) * 4;
    if (svcs !== 0) {
      // Each SVC is a retired instruction: none is fruitless.
      this.fruitless = 0;
      this.retiredAtSync = this.retired + w[SYNC_DONE_LO]!;
      counters.exceptions[EC.SVC64]! += svcs;
    }
    if (erets !== 0) this.nested = 0;
    counters.instructions[level]! += el0;
    counters.instructions[level + 1]! += el1;
    this.retired += el0 + el1;
    this.charged += svcs + erets;
    this.event = w[LAST_EVENT_LO] === LastEvent.SVC ? EVENT_SVC : EVENT_START;
    w[DONE_EL0_LO] = 0;
    w[DONE_EL1_LO] = 0;
    w[SVCS_LO] = 0;
    w[ERETS_LO] = 0;
    w[SYNC_DONE_LO] = 0;
    w[LAST_EVENT_LO] = 0;
  }

  /**
   * The interrupt signals now. Also keeps them for the engine, which unmasks by itself only where none is asserted: whatever
   * else may change them sets ATTENTION, or calls `linesChanged`.
   */
  lines(): number {
    const lines = this.machine.gic.lines(this);
    this.w[LINES_LO] = lines;
    return lines;
  }

  /** The engine's next unmasking is the machine's, which looks. */
  linesChanged(): void {
    this.w[LINES_LO] = -1;
  }

  /** Leaves the PE at most `counts` of what it still has of its grant. */
  limit(counts: number): void {
    const less = this.w[BUDGET_LO]! - counts;
    if (less <= 0) return;
    this.w[BUDGET_LO]! -= less;
    this.granted -= less;
    this.w[MARK_LO]! -= less;
    this.setClock();
  }

  /** Gives the PE `budget` counts; what was left of the last grant is dropped. */
  grant(budget: number): void {
    this.account();
    this.w[BUDGET_LO] = budget;
    this.granted = budget;
    this.w[MARK_LO] = budget;
  }

  /** Tells the engine what the clock is, for the counter. Before it runs, and when its grant changes. */
  setClock(): void {
    const { w, machine } = this;
    const clock = machine.now + w[BUDGET_LO]!;
    w[CLOCK_LO] = (clock % WORD) | 0;
    w[CLOCK_LO + 1] = Math.floor(clock / WORD);
    w[COUNTS_PER_TICK_LO] = machine.board.instructionsPerTick;
  }

  /** Counts used of the grant. */
  get spent(): number {
    return this.granted - this.w[BUDGET_LO]!;
  }

  /**
   * The EL, the Security state, or something that depends on them has changed: finds the firmware of the level and
   * forgets the translation context.
   */
  levelChanged(): void {
    const { w } = this;
    const el = (w[PSTATE_LO]! >> 2) & 3;
    const state = el === 3 ? 2 : lowerState(w);
    this.firmware = this.machine.firmwareAt(state * 4 + el);
    if (el !== 3 && state !== this.lastState) {
      if (this.lastState !== -1) this.machine.counters.worldSwitches++;
      this.lastState = state as SecurityState;
    }
    // The engine leaves for native firmware; it may be in the middle of a load that has faulted.
    if (this.firmware) w[ATTENTION_LO] = 1;
    this.contextChanged();
  }

  /** PSTATE has changed within EL0 and EL1: the Security state and the registers are what they were. */
  guestLevelChanged(): void {
    this.machine.mmu.levelChanged(this);
  }

  /** A register that translation depends on has changed. */
  contextChanged(): void {
    this.machine.mmu.contextChanged(this);
  }

  /** Whether EL2 exists in the current Security state. */
  get hasEl2(): boolean {
    return el2Enabled(this.w);
  }

  /** Whether a register that the timers depend on differs from its value at the last call. */
  timerInputsChanged(): boolean {
    const { w, timerInputs } = this;
    // While all timers are off, none has an output, and none will: what else they depend on does not matter.
    if (this.timerOutputs === 0 && this.deadline === Number.POSITIVE_INFINITY) {
      let controls = 0;
      for (let i = 0; i < TIMER_CONTROLS.length; i++) controls |= w[TIMER_CONTROLS[i]!]!;
      if ((controls & 1) === 0) return false;
    }
    let changed = false;
    let at = 0;
    for (const [first, end] of TIMER_INPUTS) {
      for (let i = first; i < end; i++, at++) {
        const word = w[i]!;
        if (word === timerInputs[at]) continue;
        timerInputs[at] = word;
        changed = true;
      }
    }
    return changed;
  }

  countInterrupt(vector: Vector): void {
    const { counters } = this.machine;
    if (vector === Vector.IRQ) counters.irqs++;
    else if (vector === Vector.FIQ) counters.fiqs++;
    else counters.serrors++;
  }

  /** Counts a synchronous exception, and tells the machine of emulated code that does nothing else. */
  countSync(ec: number): void {
    this.machine.counters.exceptions[ec]!++;
    if (this.firmware) return;
    this.account();
    const { w } = this;
    const lo = w[PC_LO]!;
    const hi = w[PC_LO + 1]!;
    const known =
      (lo === w[SYNC_PC0_LO] && hi === w[SYNC_PC0_LO + 1]) || (lo === w[SYNC_PC1_LO] && hi === w[SYNC_PC1_LO + 1]);
    if (this.retired === this.retiredAtSync && known) {
      this.fruitless++;
      this.machine.checkExceptionLoop(this, ec);
      return;
    }
    if (this.retired !== this.retiredAtSync) this.fruitless = 0;
    this.retiredAtSync = this.retired;
    w[SYNC_PC1_LO] = w[SYNC_PC0_LO]!;
    w[SYNC_PC1_LO + 1] = w[SYNC_PC0_LO + 1]!;
    w[SYNC_PC0_LO] = lo;
    w[SYNC_PC0_LO + 1] = hi;
  }

  /** A synchronous exception of emulated code to its own level: is it one of that level's vectors that fails? */
  countNested(vbar: number, ec: number): void {
    const { w } = this;
    const isVector =
      w[PC_LO + 1] === w[vbar + 1] && (w[PC_LO]! - (w[vbar]! & ~(VECTORS_SIZE - 1))) >>> 0 < VECTORS_SIZE;
    this.nested = isVector ? this.nested + 1 : 0;
    this.machine.checkExceptionLoop(this, ec);
  }

  /** Leaves nothing in the engine's own slots that depends on how it got here: interpreted and translated code differ there. */
  normalize(): void {
    setFlags(this.w, packFlags(this.w));
    this.r[R.NZCV_B] = 0n;
    this.r.fill(0n, R.SCRATCH0, R.SCRATCH0 + SCRATCH_SLOTS);
  }

  /** What a snapshot holds beside the state block. */
  save(): SavedProcessor {
    this.account();
    // What the machine makes again before the engine runs is not part of the state.
    this.r.fill(0n, R.EL0_TLB_READ, R.EL0_TLB_READ + LEVELS.length * LEVEL_SLOTS);
    this.r[R.CLOCK] = 0n;
    this.linesChanged();
    const { power, sleeping, yielding, event, deadline, timerOutputs, retired, lastState } = this;
    return {
      power,
      hasRun: this.hasRun,
      sleeping,
      awaitsEvent: this.awaitsEvent,
      eventsUntil: this.eventsUntil,
      eventDeadline: Number.isFinite(this.eventDeadline) ? this.eventDeadline : -1,
      yielding,
      event,
      deadline: Number.isFinite(deadline) ? deadline : -1,
      timerOutputs,
      pmuOutput: this.pmu.output,
      retired,
      lastState,
      fruitless: this.fruitless,
      nested: this.nested,
      retiredAtSync: this.retiredAtSync,
    };
  }

  /** After the state block was put back. */
  restore(saved: SavedProcessor): void {
    this.power = saved.power;
    this.hasRun = saved.hasRun;
    this.sleeping = saved.sleeping;
    this.awaitsEvent = saved.awaitsEvent;
    this.eventsUntil = saved.eventsUntil;
    this.eventDeadline = saved.eventDeadline < 0 ? Number.POSITIVE_INFINITY : saved.eventDeadline;
    this.yielding = saved.yielding;
    this.event = saved.event;
    this.deadline = saved.deadline < 0 ? Number.POSITIVE_INFINITY : saved.deadline;
    this.timerOutputs = saved.timerOutputs;
    this.retired = saved.retired;
    this.fruitless = saved.fruitless;
    this.nested = saved.nested;
    this.retiredAtSync = saved.retiredAtSync;
    this.lastState = saved.lastState;
    this.pmu.live = false;
    this.pmu.output = saved.pmuOutput;
    this.grant(0);
    this.timerInputsChanged();
    this.levelChanged();
    this.lastState = saved.lastState;
  }
}

export interface SavedProcessor {
  readonly power: PowerState;
  readonly hasRun: boolean;
  readonly sleeping: boolean;
  readonly awaitsEvent: boolean;
  readonly eventsUntil: number;
  /** -1: none. */
  readonly eventDeadline: number;
  readonly yielding: boolean;
  readonly event: SlotEvent;
  /** -1: none. */
  readonly deadline: number;
  readonly timerOutputs: number;
  readonly pmuOutput: boolean;
  readonly retired: number;
  readonly lastState: SecurityState | -1;
  readonly fruitless: number;
  readonly nested: number;
  readonly retiredAtSync: number;
}

/** The levels of a slot, each as Security state times four plus EL: what `levelChanged` looks firmware up by. */
export function slotLevels(slot: SlotName): number[] {
  const levels: number[] = [];
  SLOT_BY_LEVEL.forEach((name, level) => {
    if (name === slot) levels.push(level);
  });
  return levels;
}
