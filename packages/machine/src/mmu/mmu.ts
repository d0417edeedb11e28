/**
 * The MMU of all PEs: finds the translation context of an access, translates, checks granule protection, and fills the
 * software TLB. What a TLB entry allows needs no further look; everything else comes here each time.
 *
 * Invariants:
 * - A TLB entry exists only in a context whose registers gave it, for memory (no device) that is Normal or that the
 *   context never accesses unaligned (`alignAlways`), with the permission of its array (for writes also that of reads),
 *   and with a granule that the GPT allowed; `memory.inTlb` is set for that granule.
 * - No entry is for a page in which the context's breakpoints (fetches) or watchpoints (reads, writes) lie.
 * - A PE points either at the arrays of its current context or at the empty array, never at stale ones; and so for the
 *   context of LDTR and STTR.
 */
import { invariant } from "@realmbox/abi";
import { TLB_SIZE } from "../cpu/engine.js";
import { LEVEL_SLOTS, LEVELS, R } from "../cpu/state.js";
import { MDSCR, MDSCR_LO } from "../debug/enabled.js";
import { type Watches, WatchTable } from "../debug/watches.js";
import { hcrHi, hcrLo } from "../exceptions.js";
import type { Fault } from "../fault.js";
import { fpTrap } from "../fp-access.js";
import { GPC_OK, gpcFault } from "../gpt.js";
import type { Machine } from "../machine.js";
import { InTlb, NO_FRAME, PAGE_SIZE, type PhysicalMemory, TLB_CONTEXTS } from "../memory.js";
import { pauthWord } from "../pauth.js";
import type { Processor } from "../processor.js";
import { inlineWord } from "../sysreg/inline.js";
import { OK } from "../sysreg/row.js";
import { zvaRules } from "../sysreg/rules.js";
import {
  ALIGN_CHECK_LO,
  FP_TRAP_LO,
  HCR,
  HCR_H,
  PAUTH_LO,
  PC_LO,
  PSTATE,
  PSTATE_LO,
  SP_CHECK_LO,
  SYS_INLINE_LO,
  TLB_FETCH_LO,
  TLB_READ_LO,
  TLB_READ_U_LO,
  TLB_WRITE_LO,
  TLB_WRITE_U_LO,
  ZVA_TRAP_LO,
} from "../words.js";
import {
  KEY_WATCHES,
  KEY_WORDS,
  Regime,
  regimeOf,
  SCTLR,
  sctlrOf,
  type TlbScope,
  TranslationContext,
  writeKey,
} from "./context.js";
import { CONTEXT_TLB_SIZE, probeTlb, TlbArrays } from "./tlb.js";
import { Permission, TableWalker, type WalkOptions } from "./walk.js";

/** Every combination of `need` and `unaligned`, made once: index `need | (unaligned ? 8 : 0)`; then those that only look. */
const WALK_OPTIONS: readonly WalkOptions[] = Array.from({ length: 32 }, (_, i) => ({
  need: i & 7,
  unaligned: (i & 8) !== 0,
  update: i < 16,
}));
const WALK_LOOK = 16;

interface PeContexts {
  /** Those that were ever needed, TLB_CONTEXTS at most. */
  readonly pool: TranslationContext[];
  current: TranslationContext | undefined;
  /** Context of LDTR and STTR above EL0 under the present registers, if it is known and differs from the current one. */
  unprivileged: TranslationContext | undefined;
  /** Contexts of EL0, EL1, EL1 with PAN, EL2 and EL2 with PAN under the registers in `inputs`, as far as they are known. */
  readonly levels: (TranslationContext | undefined)[];
  /** INPUTS as they were when the machine last looked. */
  readonly inputs: Int32Array;
  /** Records of the LEVEL slots for the levels above EL1, to which the engine never goes by itself. */
  readonly records: Int32Array;
}

/** Index into `PeContexts.levels`, or -1 at EL3. */
function levelIndex(pstate: number): number {
  const el = (pstate >> 2) & 3;
  if (el === 3) return -1;
  return el === 0 ? 0 : el * 2 - ((pstate & PSTATE.PAN) === 0 ? 1 : 0);
}

/**
 * The registers that contexts and checks below EL3 follow from, as words of the state. Native firmware changes them as it
 * likes; when they are as before as a lower level goes on, everything that was known about the levels holds.
 */
const INPUTS: readonly number[] = [
  R.SCR_EL3,
  R.CPTR_EL3,
  R.HCR_EL2,
  R.CPTR_EL2,
  R.CNTHCTL_EL2,
  R.VTCR_EL2,
  R.VTTBR_EL2,
  R.VSTCR_EL2,
  R.VSTTBR_EL2,
  R.SCTLR_EL2,
  R.TCR_EL2,
  R.TTBR0_EL2,
  R.TTBR1_EL2,
  R.MAIR_EL2,
  R.SCTLR_EL1,
  R.TCR_EL1,
  R.TTBR0_EL1,
  R.TTBR1_EL1,
  R.MAIR_EL1,
  R.CPACR_EL1,
  R.CNTKCTL_EL1,
  R.MDSCR_EL1,
].flatMap((slot) => [slot * 2, slot * 2 + 1]);

/** Whether an input differs from its value at the last look; takes the present ones over. */
function inputsChanged(inputs: Int32Array, w: Int32Array): boolean {
  let changed = 0;
  for (let i = 0; i < INPUTS.length; i++) {
    const word = w[INPUTS[i]!]!;
    changed |= word ^ inputs[i]!;
    inputs[i] = word;
  }
  // Breakpoints and watchpoints are registers that are not looked at here.
  return changed !== 0 || (w[MDSCR_LO]! & MDSCR.MDE) !== 0;
}

/** Six times in a round trip of a REC: `fill` would take 50 ns. */
function forgetLevels(contexts: PeContexts, { w }: Processor): void {
  const { levels } = contexts;
  levels[0] = undefined;
  levels[1] = undefined;
  levels[2] = undefined;
  levels[3] = undefined;
  levels[4] = undefined;
  forgetRecords(contexts, w);
}

/** The engine goes to no level by itself until the machine has been there again. */
function forgetRecords({ records }: PeContexts, w: Int32Array): void {
  w[RECORD[0]! + RECORD_KNOWN] = 0;
  w[RECORD[1]! + RECORD_KNOWN] = 0;
  w[RECORD[2]! + RECORD_KNOWN] = 0;
  records[RECORD[3]! + RECORD_KNOWN] = 0;
  records[RECORD[4]! + RECORD_KNOWN] = 0;
}

/** First words of the LEVEL slots in the state, and of their records by level index: in the state, or `PeContexts.records`. */
const LEVEL_NOW = R.TLB_READ * 2;
const LEVEL_WORDS = LEVEL_SLOTS * 2;
const RECORD: readonly number[] = [...LEVELS.map((level) => R[`${level}_TLB_READ`] * 2), 0, LEVEL_WORDS];
const RECORD_KNOWN = (LEVEL_SLOTS - 1) * 2;
/** Index of EL2 in `PeContexts.levels`. */
const LEVEL_EL2 = LEVELS.length;

/** Where the record of a level is. */
const recordsOf = ({ records }: PeContexts, w: Int32Array, level: number): Int32Array =>
  level < LEVEL_EL2 ? w : records;

/** The present LEVEL slots are those of a level whose context is known. */
function remember(contexts: PeContexts, w: Int32Array, level: number): void {
  const records = recordsOf(contexts, w, level);
  const record = RECORD[level]!;
  for (let i = 0; i < RECORD_KNOWN; i++) records[record + i] = w[LEVEL_NOW + i]!;
  records[record + RECORD_KNOWN] = 1;
}

export class Mmu {
  /** Results of `access`: host address of the byte, 0 when a device answers; its physical address and memory type. */
  host = 0;
  readonly walker: TableWalker;

  private readonly memory: PhysicalMemory;
  private readonly machine: Machine;
  private readonly contexts: readonly PeContexts[];
  private readonly key = new Int32Array(KEY_WORDS);
  private readonly watchTable = new WatchTable();
  private uses = 0;

  constructor(machine: Machine) {
    const { memory, board } = machine;
    this.machine = machine;
    this.memory = memory;
    this.walker = new TableWalker(memory, (pa) => machine.reports.exhausted(pa));
    memory.i32.fill(-1, memory.emptyTlb / 4, (memory.emptyTlb + TLB_SIZE) / 4);
    this.contexts = Array.from({ length: board.peCount }, () => ({
      pool: [],
      current: undefined,
      unprivileged: undefined,
      levels: new Array<TranslationContext | undefined>(RECORD.length).fill(undefined),
      inputs: new Int32Array(INPUTS.length),
      records: new Int32Array(2 * LEVEL_WORDS),
    }));
  }

  /** Something that translation depends on has changed: the context is found again at the next miss. */
  contextChanged(pe: Processor): void {
    const contexts = this.contexts[pe.index]!;
    contexts.current = undefined;
    // Firmware needs no context; what is known of the levels below is of use if their registers come back.
    if (pe.firmware) return;
    if (!inputsChanged(contexts.inputs, pe.w)) {
      this.levelChanged(pe);
      return;
    }
    contexts.unprivileged = undefined;
    this.touchLevels(contexts);
    forgetLevels(contexts, pe);
    this.install(pe, undefined);
    this.installUnprivileged(pe, undefined);
    this.setChecks(pe);
  }

  /** PSTATE has changed, and no register has: what was known about the level holds. */
  levelChanged(pe: Processor): void {
    const contexts = this.contexts[pe.index]!;
    const { w } = pe;
    const level = levelIndex(w[PSTATE_LO]!);
    const context = level < 0 ? undefined : contexts.levels[level];
    contexts.current = context;
    if (context) {
      context.lastUse = ++this.uses;
      const records = recordsOf(contexts, w, level);
      const record = RECORD[level]!;
      if (records[record + RECORD_KNOWN] !== 0) {
        for (let i = 0; i < RECORD_KNOWN; i++) w[LEVEL_NOW + i] = records[record + i]!;
        return;
      }
    }
    this.install(pe, context);
    // At EL2 those of LDTR and STTR are found again when they are needed.
    this.installUnprivileged(pe, level === 0 ? context : level < LEVEL_EL2 ? contexts.unprivileged : undefined);
    this.setChecks(pe);
    if (context) remember(contexts, w, level);
  }

  /** A register has changed that only `setChecks` reads: the translation context stays. */
  checksChanged(pe: Processor): void {
    const contexts = this.contexts[pe.index]!;
    forgetRecords(contexts, pe.w);
    if (pe.firmware) return;
    inputsChanged(contexts.inputs, pe.w);
    this.setChecks(pe);
  }

  /** Forgets what is known about the levels of a PE: it is found again as the registers say. */
  forgetLevels(pe: Processor): void {
    const contexts = this.contexts[pe.index]!;
    contexts.inputs.fill(0);
    contexts.unprivileged = undefined;
    forgetLevels(contexts, pe);
    this.contextChanged(pe);
  }

  /** Contexts among which the engine changes by itself are all in use. */
  private touchLevels({ levels }: PeContexts): void {
    for (const context of levels) {
      if (context) context.lastUse = ++this.uses;
    }
  }

  /** Lets the engine use the arrays of a context, or the empty one. */
  private install({ w }: Processor, context: TranslationContext | undefined): void {
    const { emptyTlb } = this.memory;
    w[TLB_READ_LO] = context ? context.read : emptyTlb;
    w[TLB_WRITE_LO] = context ? context.write : emptyTlb;
    w[TLB_FETCH_LO] = context ? context.fetch : emptyTlb;
  }

  /** The same for what LDTR reads and STTR writes. */
  private installUnprivileged({ w }: Processor, context: TranslationContext | undefined): void {
    const { emptyTlb } = this.memory;
    w[TLB_READ_U_LO] = context ? context.read : emptyTlb;
    w[TLB_WRITE_U_LO] = context ? context.write : emptyTlb;
  }

  /** What the engine checks at the current EL: alignment, whether FP and SIMD or DC ZVA trap, pointer authentication. */
  private setChecks(pe: Processor): void {
    const { w } = pe;
    const el = (w[PSTATE_LO]! >> 2) & 3;
    const regime = regimeOf(w, el);
    const sctlr = sctlrOf(w, regime);
    w[ALIGN_CHECK_LO] = (sctlr & SCTLR.A) !== 0 || isAlignAlways(w, regime, sctlr) ? 1 : 0;
    w[FP_TRAP_LO] = fpTrap(w, el);
    w[ZVA_TRAP_LO] = isAlignAlways(w, regime, sctlr) || zvaRules.some((rule) => rule(pe, el, true) !== OK) ? 1 : 0;
    w[PAUTH_LO] = pauthWord(w, el, regime);
    w[SYS_INLINE_LO] = inlineWord(pe, el);
    w[SP_CHECK_LO] = (sctlr & (el === 0 ? SCTLR.SA0 : SCTLR.SA)) !== 0 ? 1 : 0;
  }

  /** The context of the PE's current EL, installed for the engine. */
  current(pe: Processor): TranslationContext {
    const contexts = this.contexts[pe.index]!;
    const { w } = pe;
    const installed = w[TLB_READ_LO]!;
    if (contexts.current?.read === installed) return contexts.current;
    const level = levelIndex(w[PSTATE_LO]!);
    const known = contexts.levels[level];
    if (known?.read === installed) {
      // The engine has come to this level by itself.
      known.lastUse = ++this.uses;
      contexts.current = known;
      return known;
    }
    contexts.current = undefined;
    const context = this.find(pe, pe.el, false);
    contexts.current = context;
    this.install(pe, context);
    if (level >= 0) {
      contexts.levels[level] = context;
      remember(contexts, w, level);
    }
    return context;
  }

  /**
   * The context of LDTR and STTR, installed for the engine: EL0's permissions at EL1, and at EL2 under E2H and TGE; else
   * the current one.
   */
  unprivileged(pe: Processor): TranslationContext {
    const { el, w } = pe;
    const host = el === 2 && (hcrHi(w) & HCR_H.E2H) !== 0 && (hcrLo(w) & HCR.TGE) !== 0;
    const current = this.current(pe); // used first, so that finding the other one cannot recycle it
    const contexts = this.contexts[pe.index]!;
    const context = el === 1 || host ? (contexts.unprivileged ??= this.find(pe, el, true)) : current;
    this.installUnprivileged(pe, context);
    const level = levelIndex(w[PSTATE_LO]!);
    if (level >= 0 && recordsOf(contexts, w, level)[RECORD[level]! + RECORD_KNOWN] !== 0) remember(contexts, w, level);
    return context;
  }

  /**
   * The context in which EL1 or EL0 (an AT instruction's) of the current Security state would access. PSTATE.PAN does not
   * concern AT S1E1R and its like.
   */
  contextFor(pe: Processor, options: { el: number; unprivileged: boolean }): TranslationContext {
    this.invalidateCurrent(pe);
    return this.find(pe, options.el, options.unprivileged, false);
  }

  /** Address without its tag, high word: sign-extended from bit 55, or with the top byte cleared, where TBI says so. */
  untag(context: TranslationContext, hi: number): number {
    if (!context.twoRanges) return context.ranges[0].tbi ? hi & 0xff_ffff : hi;
    return context.ranges[(hi >> 23) & 1]!.tbi ? (hi << 8) >> 8 : hi;
  }

  /** The same for the address of an instruction, whose tag TCR_ELx.TBID keeps. */
  untagFetch(context: TranslationContext, hi: number): number {
    if (!context.twoRanges) return context.ranges[0].tbiFetch ? hi & 0xff_ffff : hi;
    return context.ranges[(hi >> 23) & 1]!.tbiFetch ? (hi << 8) >> 8 : hi;
  }

  /**
   * Translates the byte at an untagged address and checks its granule. On success `host`, `walker.pa`, `walker.pas`,
   * `walker.device` describe it, and the TLB has what can be cached.
   */
  access(
    pe: Processor,
    context: TranslationContext,
    lo: number,
    hi: number,
    need: number,
    unaligned: boolean,
  ): Fault | undefined {
    const { walker, memory } = this;
    // First, for it drops what was made under other values of GPCCR_EL3 and GPTBR_EL3.
    const { protection } = pe;
    if (!walker.recall(context, lo, hi, need, unaligned)) {
      const fault = walker.translate(context, protection, lo, hi, WALK_OPTIONS[need | (unaligned ? 8 : 0)]!);
      if (fault) return fault;
    }
    const page = memory.pageIndexOfWords(walker.paLo, walker.paHi);
    if (page >= 0 && protection.permits(page, walker.pas)) {
      const frame = memory.touchedPage(page);
      if (frame !== 0) {
        const host = frame + (lo & (PAGE_SIZE - 1));
        this.host = host;
        if ((need & Permission.WRITE) !== 0) memory.writes(host);
        this.fillUnlessDevice(context, lo, hi, host, need, page);
        return undefined;
      }
    }
    return this.accessOutput(pe, context, lo, hi, need);
  }

  /** The rest of `access` for what is not known to be allowed and in memory: the granule, the frame, the device. */
  private accessOutput(
    pe: Processor,
    context: TranslationContext,
    lo: number,
    hi: number,
    need: number,
  ): Fault | undefined {
    const { protection } = pe;
    const { pa, pas } = this.walker;
    const refusal = protection.check(pa, pas);
    if (refusal !== GPC_OK) return gpcFault(refusal, pa, pas);
    const host = this.memory.host(pa);
    if (host <= 0) {
      if (host === NO_FRAME) this.machine.reports.exhausted(pa);
      if (host === NO_FRAME || !this.machine.bus.has(pa, pas)) {
        return { fault: "external", stage: 0, level: 0, onWalk: false, s1ptw: false, pa: BigInt(pa), pas };
      }
      this.host = 0;
      return undefined;
    }
    this.host = host;
    if ((need & Permission.WRITE) !== 0) this.memory.writes(host);
    this.fillUnlessDevice(context, lo, hi, host, need, this.memory.pageOfHost(host));
    return undefined;
  }

  /** Translates without an access: for maintenance by address. The output's granule is not checked. */
  translateOnly(pe: Processor, context: TranslationContext, lo: number, hi: number, need: number): Fault | undefined {
    const { protection } = pe;
    if (this.walker.recall(context, lo, hi, need, false)) return undefined;
    return this.walker.translate(context, protection, lo, hi, WALK_OPTIONS[need | WALK_LOOK]!);
  }

  /** Host address of an address that the context's TLB array holds, or 0. For accesses that the engine does not look up. */
  probe(array: number, lo: number, hi: number): number {
    return probeTlb(this.memory.i32, array, lo, hi);
  }

  /** `probe` of the write array for a write that follows: what was translated of the page is dropped. */
  probeWrite(context: TranslationContext, lo: number, hi: number): number {
    const found = this.probe(context.write, lo, hi);
    if (found !== 0) return found;
    const { memory } = this;
    const host = context.tlb.probeHidden(lo, hi);
    if (host === 0) return 0;
    memory.writes(host);
    if (memory.codePages[host >>> 12] === 0) context.tlb.show(lo);
    return host;
  }

  /** Enters a page into the TLB, if the context may hold it. `page`: by index, at `host`. */
  private fillUnlessDevice(
    context: TranslationContext,
    lo: number,
    hi: number,
    host: number,
    need: number,
    page: number,
  ): void {
    const { walker, memory } = this;
    // Stage 1's type decides alignment too, even where stage 2 forces another.
    if ((walker.device || walker.s1Device) && !context.alignAlways) return;
    const { watches } = context;
    if (watches && isWatched(watches, lo, hi, need)) return;
    const { permissions } = walker;
    const fetches = (need & Permission.EXECUTE) !== 0;
    const reads = !fetches && (permissions & Permission.READ) !== 0;
    // The engine's atomics look at the write array alone; stage 2 may allow writes without reads.
    const writes = reads && (permissions & Permission.WRITE) !== 0;
    context.tlb.enter(lo, hi, host, reads, writes, fetches, memory.codePages[host >>> 12] !== 0);
    context.filled = true;
    memory.inTlb[page]! |= writes ? InTlb.ANY | InTlb.WRITE : InTlb.ANY;
  }

  /** A page, by its host address, has translated code from now on: the engine must find no entry that allows writes to it. */
  hideWrites(page: number): void {
    if ((this.memory.inTlb[this.memory.pageOfHost(page)]! & InTlb.WRITE) === 0) return;
    for (const { pool } of this.contexts) for (const context of pool) if (context.filled) context.tlb.hideWrites(page);
  }

  /** Whether the PE's next instruction is in a page with a breakpoint. */
  isNearBreakpoint(pe: Processor): boolean {
    const context = this.current(pe);
    const { w } = pe;
    return context.watches?.breaksIn(w[PC_LO]!, this.untagFetch(context, w[PC_LO + 1]!)) ?? false;
  }

  /** Drops everything, on all PEs. */
  flushAll(): void {
    this.flushWhere(() => true);
    this.memory.inTlb.fill(0);
    for (const pe of this.machine.pes) {
      this.forgetLevels(pe);
      this.install(pe, undefined);
    }
  }

  /** Drops what one PE holds. */
  flushPe(pe: Processor): void {
    for (const context of this.contexts[pe.index]!.pool) context.flush();
  }

  /** Drops the contexts for which `match` is true, on all PEs or on one. */
  flushWhere(match: (context: TranslationContext) => boolean, pe?: Processor): void {
    for (const contexts of pe ? [this.contexts[pe.index]!] : this.contexts) {
      for (const context of contexts.pool) {
        if (context.filled && match(context)) context.flush();
      }
    }
  }

  /** Drops the contexts that a TLBI names, on all PEs or on one. */
  flushScope(scope: TlbScope, pe?: Processor): void {
    const { contexts } = this;
    const end = pe ? pe.index + 1 : contexts.length;
    for (let i = pe ? pe.index : 0; i < end; i++) {
      const { pool } = contexts[i]!;
      for (let k = 0; k < pool.length; k++) {
        const context = pool[k]!;
        if (context.isNamed(scope)) context.flush();
      }
    }
  }

  /** Drops one page (untagged address) in the contexts that a TLBI names; `leaf` as for `flushPage`. */
  flushVa(scope: TlbScope, lo: number, hi: number, leaf: boolean, pe?: Processor): void {
    const { contexts } = this;
    const end = pe ? pe.index + 1 : contexts.length;
    for (let i = pe ? pe.index : 0; i < end; i++) {
      const { pool } = contexts[i]!;
      for (let k = 0; k < pool.length; k++) {
        const context = pool[k]!;
        if (context.isNamed(scope)) context.flushPage(lo, hi, leaf);
      }
    }
  }

  /** The PE's context with the current register values, or the least recently used one made into it. */
  private find(pe: Processor, el: number, unprivileged: boolean, pan = true): TranslationContext {
    const { key } = this;
    writeKey(key, pe, el, unprivileged, pan);
    const watches = this.watchTable.find(pe, el, unprivileged ? 0 : el);
    if (watches) key[KEY_WATCHES] = watches.id;
    const { pool } = this.contexts[pe.index]!;
    for (const context of pool) {
      if (isSameKey(context.key, key)) {
        context.lastUse = ++this.uses;
        return context;
      }
    }
    const context = pool.length < TLB_CONTEXTS ? this.addContext(pe) : this.recycle(pe);
    context.set(key, this.machine.board.paBits);
    context.watches = watches;
    context.lastUse = ++this.uses;
    return context;
  }

  private addContext({ index }: Processor): TranslationContext {
    const { memory } = this;
    const { pool } = this.contexts[index]!;
    const at = memory.tlbs + (index * TLB_CONTEXTS + pool.length) * CONTEXT_TLB_SIZE;
    const context = new TranslationContext(new TlbArrays(memory.i32, at));
    pool.push(context);
    return context;
  }

  /** The least recently used context, emptied. */
  private recycle(pe: Processor): TranslationContext {
    const contexts = this.contexts[pe.index]!;
    let oldest = contexts.pool[0]!;
    for (const context of contexts.pool) if (context.lastUse < oldest.lastUse) oldest = context;
    invariant(oldest !== contexts.current, "the current context is not the least recently used one");
    // It may be a level's, or that of LDTR and STTR; the others are found again quickly.
    forgetLevels(contexts, pe);
    contexts.unprivileged = undefined;
    this.installUnprivileged(pe, undefined);
    oldest.flush();
    return oldest;
  }

  /** Before another context may be recycled: the engine must not go on with the arrays of a current one. */
  private invalidateCurrent(pe: Processor): void {
    this.contextChanged(pe);
  }
}

const isWatched = (watches: Watches, lo: number, hi: number, need: number): boolean =>
  (need & Permission.EXECUTE) !== 0 ? watches.breaksIn(lo, hi) : watches.watchesIn(lo, hi);

/** First what differs most: the words of TTBR0_ELx, VTTBR_EL2 and the head. */
function isSameKey(a: Int32Array, b: Int32Array): boolean {
  if (a[4] !== b[4] || a[5] !== b[5] || a[0] !== b[0] || a[15] !== b[15] || a[16] !== b[16]) return false;
  for (let i = 0; i < KEY_WORDS; i++) {
    if (a[i] !== b[i]) return false;
  }
  return true;
}

/**
 * Whether stage 1 of the regime makes all data Device memory now: it is off, and HCR_EL2.DC does not say otherwise. Then an
 * unaligned access always faults, the engine checks it, and the TLB may hold the memory.
 */
function isAlignAlways(w: Int32Array, regime: Regime, sctlr: number): boolean {
  const off = (sctlr & SCTLR.M) === 0;
  if (regime !== Regime.EL10) return off;
  const hcr = hcrLo(w);
  return (off || (hcr & HCR.TGE) !== 0) && (hcr & HCR.DC) === 0;
}
