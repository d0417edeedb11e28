/**
 * The machine's side of the engine: what misses the software TLB, and what is no plain instruction. Every path here ends
 * in a host address, a done access, or an exception taken. See `EngineHost` (cpu/engine.ts) for the contract.
 */
import { EC } from "@realmbox/abi";
import { Access, type EngineHost, TLB_ENTRIES, TLB_ENTRY_SIZE } from "./cpu/engine.js";
import { PE_STATE_SIZE, R } from "./cpu/state.js";
import { debugEnabled } from "./debug/enabled.js";
import { takeBreakpoint, takeWatchpointOf } from "./debug/exceptions.js";
import type { WatchedAccess, Watches } from "./debug/watches.js";
import { defaultTarget, FAR_WORD, makeEsr, takeSync } from "./exceptions.js";
import type { Fault } from "./fault.js";
import type { Machine } from "./machine.js";
import type { TranslationContext } from "./mmu/context.js";
import type { Mmu } from "./mmu/mmu.js";
import { Permission } from "./mmu/walk.js";
import type { Processor } from "./processor.js";
import { takeAbort } from "./syndrome.js";
import { executeSystem } from "./system.js";
import { ALIGN_CHECK_LO, ATTENTION_LO, PC_LO, TLB_READ_LO, TLB_READ_U_LO } from "./words.js";

const PAGE = 4096;
const PAGE_MASK = PAGE - 1;
const SCRATCH_OFFSET = R.SCRATCH0 * 8;

const ALIGNMENT: Fault = { fault: "alignment", stage: 1, level: 0, onWalk: false, s1ptw: false };
const UNSUPPORTED_ATOMIC: Fault = { fault: "unsupported-atomic", stage: 1, level: 0, onWalk: false, s1ptw: false };

export class MachineHost implements EngineHost {
  private readonly machine: Machine;
  private readonly mmu: Mmu;
  private readonly base: number;
  /** The engine runs one instruction: then it may begin in a page with a breakpoint. */
  single = false;

  constructor(machine: Machine) {
    this.machine = machine;
    this.mmu = machine.mmu;
    this.base = machine.memory.peStates;
  }

  fetch(base: number): number {
    const pe = this.pe(base);
    const { w } = pe;
    const lo = w[PC_LO]!;
    const { mmu } = this;
    const context = mmu.current(pe);
    // A branch to a tagged address: the architecture removes the tag when PC is written.
    const hi = mmu.untagFetch(context, w[PC_LO + 1]!);
    w[PC_LO + 1] = hi;
    const known = mmu.probe(context.fetch, lo, hi);
    if (known !== 0) return known;
    let fault = mmu.access(pe, context, lo, hi, Permission.EXECUTE, false);
    if (!fault && mmu.host === 0) fault = this.external();
    if (!fault) return context.watches ? this.checkBreakpoints(pe, context.watches, lo, hi) : mmu.host;
    takeAbort(pe, fault, { lo, hi, fetch: true, write: false, insn: 0, flags: 0 });
    return 0;
  }

  load(base: number, vaLo: number, vaHi: number, size: number, access: number, insn: number): number {
    const pe = this.pe(base);
    const lo = vaLo | 0;
    const context = this.begin(pe, lo, vaHi | 0, access, insn, false);
    if (!context) return 0;
    const { mmu } = this;
    const hi = mmu.untag(context, vaHi | 0);
    const unaligned = (access & Access.UNALIGNED) !== 0;
    if ((lo & PAGE_MASK) + size <= PAGE) {
      const known = mmu.probe(context.read, lo, hi);
      if (known !== 0) return known;
      const fault = mmu.access(pe, context, lo, hi, Permission.READ, unaligned);
      if (context.watches) {
        const watched = { lo, hi, tagged: vaHi | 0, size, read: true, write: false };
        if (this.isWatched(pe, context.watches, fault, watched)) return 0;
      }
      if (fault) return this.abort(pe, fault, lo, vaHi | 0, access, insn, false);
      if (mmu.host !== 0) return mmu.host;
      this.deviceRead(pe, mmu.walker.pa, size, base + SCRATCH_OFFSET, insn);
      return base + SCRATCH_OFFSET;
    }
    return this.loadAcross(pe, context, { lo, hi, tagged: vaHi | 0, size, access, insn });
  }

  store(base: number, vaLo: number, vaHi: number, size: number, access: number, insn: number): number {
    const pe = this.pe(base);
    const lo = vaLo | 0;
    const context = this.begin(pe, lo, vaHi | 0, access, insn, true);
    if (!context) return 0;
    const { mmu, machine } = this;
    const hi = mmu.untag(context, vaHi | 0);
    const scratch = base + SCRATCH_OFFSET;
    if ((lo & PAGE_MASK) + size <= PAGE) {
      let host = mmu.probeWrite(context, lo, hi);
      if (host === 0) {
        const fault = mmu.access(pe, context, lo, hi, Permission.WRITE, (access & Access.UNALIGNED) !== 0);
        if (context.watches) {
          const watched = { lo, hi, tagged: vaHi | 0, size, read: false, write: true };
          if (this.isWatched(pe, context.watches, fault, watched)) return 0;
        }
        if (fault) return this.abort(pe, fault, lo, vaHi | 0, access, insn, true);
        host = mmu.host;
      }
      if (host !== 0) copyBytes(machine.memory.u8, host, scratch, size);
      else this.deviceWrite(pe, mmu.walker.pa, size, scratch, insn);
      return 1;
    }
    return this.storeAcross(pe, context, { lo, hi, tagged: vaHi | 0, size, access, insn });
  }

  modify(base: number, vaLo: number, vaHi: number, size: number, access: number, insn: number): number {
    const pe = this.pe(base);
    const lo = vaLo | 0;
    const { mmu } = this;
    const atomic = (access & Access.ATOMIC) !== 0;
    // A misaligned atomic or exclusive was refused by `begin`; what is left lies within one page.
    const context = this.begin(pe, lo, vaHi | 0, access, insn, !atomic);
    if (!context) return 0;
    const hi = mmu.untag(context, vaHi | 0);
    const known = mmu.probeWrite(context, lo, hi);
    if (known !== 0) return known;
    // WnR of an atomic says whether the write alone was refused.
    const unread = atomic ? mmu.access(pe, context, lo, hi, Permission.READ, false) : undefined;
    const fault = unread ?? mmu.access(pe, context, lo, hi, Permission.WRITE, false);
    const watched = { lo, hi, tagged: vaHi | 0, size, read: atomic, write: true };
    if (context.watches && this.isWatched(pe, context.watches, fault, watched)) return 0;
    if (fault) return this.abort(pe, fault, lo, vaHi | 0, access, insn, unread === undefined);
    if (mmu.host === 0) return this.abort(pe, UNSUPPORTED_ATOMIC, lo, vaHi | 0, access, insn, !atomic);
    return mmu.host;
  }

  fill(base: number, vaLo: number, vaHi: number, _size: number, access: number): number {
    const pe = this.pe(base);
    const lo = vaLo | 0;
    const hi = vaHi | 0;
    const { mmu } = this;
    const isUnprivileged = (access & Access.UNPRIVILEGED) !== 0;
    const pointer = isUnprivileged ? TLB_READ_U_LO : TLB_READ_LO;
    const installed = pe.w[pointer]!;
    const context = isUnprivileged ? mmu.unprivileged(pe) : mmu.current(pe);
    // A region has the pointers in locals: it must be entered anew when a context has been installed just now.
    if (pe.w[pointer] !== installed) return 0;
    // A tagged address is in no array.
    if (mmu.untag(context, hi) !== hi) return 0;
    const write = (access & Access.WRITE) !== 0;
    const array = write ? context.write : context.read;
    const { translator } = this.machine;
    if (translator) translator.counters.fills++;
    const invalidations = translator?.counters.invalidations;
    if ((write ? mmu.probeWrite(context, lo, hi) : mmu.probe(array, lo, hi)) === 0) {
      const fault = mmu.access(pe, context, lo, hi, write ? Permission.WRITE : Permission.READ, false);
      if (fault || mmu.probe(array, lo, hi) === 0) return 0;
    }
    // The code that asks may be gone: it must not go on.
    if (translator?.counters.invalidations !== invalidations) return 0;
    return (array + ((lo >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_SIZE) >>> 0;
  }

  translate(base: number, entered: number): number {
    return this.machine.translator?.translate(base, entered !== 0) ? 1 : 0;
  }

  system(base: number, insn: number): number {
    return executeSystem(this.machine, this.pe(base), insn);
  }

  misaligned(base: number, kind: number): void {
    const pe = this.pe(base);
    const { w } = pe;
    const target = defaultTarget(pe);
    if (kind === 0) {
      w[FAR_WORD[target]!] = w[PC_LO]!;
      w[FAR_WORD[target]! + 1] = w[PC_LO + 1]!;
    }
    takeSync(pe, target, makeEsr(kind === 0 ? EC.PC_ALIGNMENT : EC.SP_ALIGNMENT, 0));
    this.leaveIfNative(pe);
  }

  private pe(base: number): Processor {
    return this.machine.pes[(base - this.base) / PE_STATE_SIZE]!;
  }

  /** The context of an access, unless its address is misaligned where that is an exception whatever is there. */
  private begin(
    pe: Processor,
    lo: number,
    hi: number,
    access: number,
    insn: number,
    write: boolean,
  ): TranslationContext | undefined {
    const strict = (access & (Access.ORDERED | Access.ATOMIC)) !== 0 || pe.w[ALIGN_CHECK_LO] !== 0;
    if ((access & Access.UNALIGNED) !== 0 && strict) {
      this.abort(pe, ALIGNMENT, lo, hi, access, insn, write);
      return undefined;
    }
    return (access & Access.UNPRIVILEGED) !== 0 ? this.mmu.unprivileged(pe) : this.mmu.current(pe);
  }

  private abort(
    pe: Processor,
    fault: Fault,
    lo: number,
    hi: number,
    access: number,
    insn: number,
    write: boolean,
  ): number {
    takeAbort(pe, fault, { lo, hi, fetch: false, write, insn, flags: access });
    this.leaveIfNative(pe);
    return 0;
  }

  /** The instruction at PC was translated to `mmu.host`: its address unless it breaks; or leaves to run it alone. */
  private checkBreakpoints(pe: Processor, watches: Watches, lo: number, hi: number): number {
    if (!watches.breaksIn(lo, hi)) return this.mmu.host;
    if (watches.breaksAt(lo, hi) && debugEnabled(pe.w)) {
      takeBreakpoint(pe);
      this.leaveIfNative(pe);
      return 0;
    }
    if (!this.single) pe.w[ATTENTION_LO] = 1;
    return this.mmu.host;
  }

  /** Takes the Watchpoint exception of an access whose translation may have met a fault. */
  private isWatched(pe: Processor, watches: Watches, fault: Fault | undefined, access: WatchedAccess): boolean {
    if (!takeWatchpointOf(pe, watches, fault, access)) return false;
    this.leaveIfNative(pe);
    return true;
  }

  private leaveIfNative(pe: Processor): void {
    if (pe.firmware) pe.w[ATTENTION_LO] = 1;
  }

  /** Nothing that can be fetched from answers at the address of the last access. */
  private external(): Fault {
    const { pa, pas } = this.mmu.walker;
    return { fault: "external", stage: 0, level: 0, onWalk: false, s1ptw: false, pa: BigInt(pa), pas };
  }

  /** A read over a page boundary: gathered in SCRATCH. */
  private loadAcross(pe: Processor, context: TranslationContext, access: CrossingAccess): number {
    const { machine, mmu } = this;
    const scratch = pe.base + SCRATCH_OFFSET;
    const head = PAGE - (access.lo & PAGE_MASK);
    for (const part of partsOf(access, head)) {
      const fault = mmu.access(pe, context, part.lo, part.hi, Permission.READ, isUnaligned(access));
      if (context.watches && this.isWatched(pe, context.watches, fault, { ...part, read: true, write: false }))
        return 0;
      if (fault) return this.abort(pe, fault, part.lo, part.tagged, access.access, access.insn, false);
      if (mmu.host === 0) this.deviceRead(pe, mmu.walker.pa, part.size, scratch + part.offset, access.insn);
      else machine.memory.u8.copyWithin(scratch + part.offset, mmu.host, mmu.host + part.size);
    }
    return scratch;
  }

  /** A write over a page boundary: both pages allow it before either is written. */
  private storeAcross(pe: Processor, context: TranslationContext, access: CrossingAccess): number {
    const { machine, mmu } = this;
    const scratch = pe.base + SCRATCH_OFFSET;
    const head = PAGE - (access.lo & PAGE_MASK);
    const places: { host: number; pa: number; offset: number; size: number }[] = [];
    for (const part of partsOf(access, head)) {
      const fault = mmu.access(pe, context, part.lo, part.hi, Permission.WRITE, isUnaligned(access));
      if (context.watches && this.isWatched(pe, context.watches, fault, { ...part, read: false, write: true }))
        return 0;
      if (fault) return this.abort(pe, fault, part.lo, part.tagged, access.access, access.insn, true);
      places.push({ host: mmu.host, pa: mmu.walker.pa, offset: part.offset, size: part.size });
    }
    for (const { host, pa, offset, size } of places) {
      if (host === 0) this.deviceWrite(pe, pa, size, scratch + offset, access.insn);
      else machine.memory.u8.copyWithin(host, scratch + offset, scratch + offset + size);
    }
    return 1;
  }

  /** Reads from a device into memory at host address `to`. */
  private deviceRead(pe: Processor, pa: number, size: number, to: number, insn: number): void {
    const { bus, memory } = this.machine;
    const from = { pe: pe.index, pas: this.mmu.walker.pas, state: pe.state };
    const step = elementSize(size, insn);
    for (let done = 0; done < size; done += step) {
      const value = bus.read(pa + done, step, from) ?? 0n;
      if (step === 8) memory.view.setBigUint64(to + done, value, true);
      else if (step === 4) memory.view.setUint32(to + done, Number(value), true);
      else if (step === 2) memory.view.setUint16(to + done, Number(value), true);
      else memory.view.setUint8(to + done, Number(value));
    }
  }

  private deviceWrite(pe: Processor, pa: number, size: number, at: number, insn: number): void {
    const { bus, memory } = this.machine;
    const from = { pe: pe.index, pas: this.mmu.walker.pas, state: pe.state };
    const step = elementSize(size, insn);
    for (let done = 0; done < size; done += step) {
      const value =
        step === 8
          ? memory.view.getBigUint64(at + done, true)
          : BigInt(
              step === 4
                ? memory.view.getUint32(at + done, true)
                : step === 2
                  ? memory.view.getUint16(at + done, true)
                  : memory.view.getUint8(at + done),
            );
      bus.write(pa + done, step, value, from);
    }
  }
}

/** `copyWithin` for what a register holds: the call of the builtin takes longer than eight bytes do. */
function copyBytes(u8: Uint8Array, to: number, from: number, size: number): void {
  if (size > 8) u8.copyWithin(to, from, from + size);
  else for (let i = 0; i < size; i++) u8[to + i] = u8[from + i]!;
}

interface CrossingAccess {
  readonly lo: number;
  /** High word without and with the tag. */
  readonly hi: number;
  readonly tagged: number;
  readonly size: number;
  readonly access: number;
  readonly insn: number;
}

const isUnaligned = ({ access }: CrossingAccess): boolean => (access & Access.UNALIGNED) !== 0;

/** The two parts of an access that crosses a page boundary `head` bytes after its start. */
function partsOf({ lo, hi, tagged, size }: CrossingAccess, head: number) {
  const next = (lo + head) | 0;
  const carry = next === 0 ? 1 : 0;
  return [
    { lo, hi, tagged, offset: 0, size: head },
    { lo: next, hi: (hi + carry) | 0, tagged: (tagged + carry) | 0, offset: head, size: size - head },
  ];
}

/**
 * Bytes of one access to a device: a pair of registers is two, a structure one per element, and sixteen bytes are two
 * halves. DDI 0487, "Single-copy atomicity", "Advanced SIMD load/store structures".
 */
function elementSize(size: number, insn: number): number {
  const isVector = (insn & (1 << 26)) !== 0;
  if ((insn & 0x3a00_0000) >>> 0 === 0x2800_0000) {
    const opc = insn >>> 30;
    return Math.min(isVector ? 4 << opc : opc === 2 ? 8 : 4, 8);
  }
  if ((insn & 0xbe00_0000) >>> 0 === 0x0c00_0000) {
    const field = (insn >>> 10) & 3;
    const isMultiple = (insn & (1 << 24)) === 0;
    const scale = (insn >>> 14) & 3;
    if (isMultiple || scale === 3) return 1 << field;
    // Lanes of eight bytes are those of four with size 0b01.
    return scale === 2 && field === 1 ? 8 : 1 << scale;
  }
  return Math.min(size, 8);
}
