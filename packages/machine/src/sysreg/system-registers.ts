/**
 * MRS and MSR: looks the register up, applies the access rules and traps, reads or writes, and brings the machine up to
 * date with what a write has changed. The same tables serve native firmware by name.
 *
 * @spec DDI 0487, "AArch64 System Register Descriptions": partial: the registers of the implemented features; no FGT,
 *   MPAM, SVE
 */
import { EC, invariant, sysregIss } from "@realmbox/abi";
import { HostReply } from "../cpu/engine.js";
import { R, type RegName } from "../cpu/state.js";
import { isStepActive } from "../debug/enabled.js";
import { hcrHi, hcrLo, isInterruptDue, makeEsr, takeSync, takeUndefined } from "../exceptions.js";
import { takeFpTrap } from "../fp-access.js";
import { GIC_REGISTERS, type GicRegister, virtualName } from "../gic/index.js";
import type { Machine } from "../machine.js";
import type { Processor } from "../processor.js";
import { HCR, HCR_H } from "../words.js";
import { EL1_ROWS } from "./el1.js";
import { EL2_EL3_ROWS } from "./el2-el3.js";
import { PMU_ROWS } from "./pmu-rows.js";
import { type Check, Effect, encodingKey, type FpTrap, OK, type Row, UNDEFINED } from "./row.js";
import { TIMER_ROWS } from "./timer-rows.js";

/** A row ready for use: every access is two calls. */
interface Register {
  readonly name: string;
  readonly encoding: Row["encoding"];
  readonly effect: Effect;
  readonly redirect: Register | undefined;
  check(pe: Processor, el: number, write: boolean): Check;
  read(pe: Processor, el: number): bigint;
  write(pe: Processor, value: bigint, el: number): void;
}

const ALL_ROWS: readonly Row[] = [...EL1_ROWS, ...EL2_EL3_ROWS, ...TIMER_ROWS, ...PMU_ROWS];

/** HCR_EL2.TIDCP: IMPLEMENTATION DEFINED encodings (CRn 11 and 15) trap from EL1. */
const isImplementationDefined = (key: number): boolean => {
  const crn = (key >> 7) & 0xf;
  return key >> 14 === 3 && (crn === 11 || crn === 15);
};

export class SystemRegisters {
  private readonly machine: Machine;
  private readonly byName = new Map<string, Register>();
  /** Register by encoding: index into `registers` plus one. */
  private readonly byKey = new Uint16Array(1 << 16);
  private readonly registers: Register[] = [];

  constructor(machine: Machine) {
    this.machine = machine;
    // Targets of E2H redirection come first: a row points at the finished register.
    for (const row of [...ALL_ROWS].sort((a, b) => (a.e2h ? 1 : 0) - (b.e2h ? 1 : 0))) this.add(this.fromRow(row));
    for (const row of GIC_REGISTERS.values()) this.add(this.fromGic(row));
  }

  /** Every register's name, for tools and tests. */
  get names(): readonly string[] {
    return [...this.byName.keys()];
  }

  /** Reads a register as an MRS of the current EL does. Throws when there is none, or the access would not be allowed. */
  readByName(pe: Processor, name: string): bigint {
    return this.resolve(pe, name, false).read(pe, pe.el);
  }

  /** Writes a register as an MSR of the current EL does; throws as `readByName`. What depends on it follows the step. */
  writeByName(pe: Processor, name: string, value: bigint): void {
    this.resolve(pe, name, true).write(pe, BigInt.asUintN(64, value), pe.el);
  }

  /** MRS and MSR (register). PC is that of the instruction. */
  execute(pe: Processor, insn: number): number {
    const key = (insn >>> 5) & 0xffff;
    const isRead = (insn & (1 << 21)) !== 0;
    const rt = insn & 0x1f;
    const { el } = pe;
    const found = this.registers[this.byKey[key]! - 1];
    if (!found) {
      if (el === 1 && isImplementationDefined(key) && (hcrLo(pe.w) & HCR.TIDCP) !== 0) {
        takeSync(pe, 2, trapEsr(insn));
      } else {
        takeUndefined(pe);
      }
      return HostReply.JUMP;
    }
    const register = el === 2 && found.redirect && (hcrHi(pe.w) & HCR_H.E2H) !== 0 ? found.redirect : found;
    const check = register.check(pe, el, !isRead);
    if (check !== OK) {
      if (check === UNDEFINED) takeUndefined(pe);
      else if (check > 3) takeFpTrap(pe, check as FpTrap);
      else takeSync(pe, check as 1 | 2 | 3, trapEsr(insn));
      return HostReply.JUMP;
    }
    if (isRead) {
      const value = register.read(pe, el);
      if (rt !== 31) pe.r[R.X0 + rt] = value;
      return HostReply.NEXT;
    }
    register.write(pe, pe.r[R.X0 + rt]!, el);
    return this.applyEffect(pe, register.effect);
  }

  /** Brings the machine up to date after a write by emulated code; the reply for the engine. */
  applyEffect(pe: Processor, effect: Effect): number {
    switch (effect) {
      case Effect.NONE:
        return HostReply.NEXT;
      case Effect.CONTEXT:
        pe.contextChanged();
        pe.completeInstruction();
        return HostReply.JUMP;
      case Effect.SIGNALS:
        // A read of the lines is cheaper than to leave; nothing else depends on these registers.
        if (!isInterruptDue(pe, pe.lines()) && !isStepActive(pe.w)) return HostReply.NEXT;
        pe.completeInstruction();
        return HostReply.LEAVE;
      case Effect.DEBUG:
        pe.contextChanged();
        pe.completeInstruction();
        return isStepActive(pe.w) || pe.pmu.live ? HostReply.LEAVE : HostReply.JUMP;
      case Effect.CHECKS:
        pe.machine.mmu.checksChanged(pe);
        return HostReply.NEXT;
      case Effect.WORLD:
        pe.account();
        pe.levelChanged();
        pe.completeInstruction();
        return HostReply.LEAVE;
      default:
        pe.completeInstruction();
        return HostReply.LEAVE;
    }
  }

  private resolve(pe: Processor, name: string, write: boolean): Register {
    const found = this.byName.get(name);
    if (!found) throw new Error(`no system register ${name}`);
    const redirect = pe.el === 2 && found.redirect && (hcrHi(pe.w) & HCR_H.E2H) !== 0;
    const register = redirect ? found.redirect! : found;
    const check = register.check(pe, pe.el, write);
    if (check !== OK) throw new Error(`${name} cannot be ${write ? "written" : "read"} at EL${pe.el}`);
    return register;
  }

  private add(register: Register): void {
    const key = encodingKey(register.encoding);
    invariant(this.byKey[key] === 0, "system registers have encodings of their own", register.name);
    invariant(!this.byName.has(register.name), "system registers have names of their own", register.name);
    this.byKey[key] = this.registers.push(register);
    this.byName.set(register.name, register);
  }

  private fromRow(row: Row): Register {
    const {
      name,
      encoding,
      rules = [],
      alias = false,
      readOnly = false,
      writeOnly = false,
      effect = Effect.NONE,
    } = row;
    const slot = R[row.slot ?? (name as RegName)];
    invariant(slot !== undefined || row.read !== undefined || writeOnly, "a register has storage or a read", name);
    const mask = row.mask ?? ~0n;
    const res1 = row.res1 ?? 0n;
    const redirect = row.e2h === undefined ? undefined : this.byName.get(row.e2h);
    invariant((row.e2h === undefined) === (redirect === undefined), "E2H redirects to a register", name);
    return {
      name,
      encoding,
      effect,
      redirect,
      check(pe, el, write) {
        if (el < row.el || (write ? readOnly : writeOnly)) return UNDEFINED;
        if (alias && (hcrHi(pe.w) & HCR_H.E2H) === 0) return UNDEFINED;
        for (const rule of rules) {
          const check = rule(pe, el, write);
          if (check !== OK) return check;
        }
        return OK;
      },
      read: row.read ?? ((pe) => pe.r[slot]! | res1),
      write:
        row.write ??
        ((pe, value) => {
          pe.r[slot] = (value & mask) | res1;
        }),
    };
  }

  private fromGic(row: GicRegister): Register {
    const { name, encoding } = row;
    const { machine } = this;
    const gic = () => machine.gic;
    const accessOf = (pe: Processor, write: boolean) => gic().interfaces[pe.index]!.access(row, write);
    const nameFor = (pe: Processor, write: boolean) => (accessOf(pe, write) === "virtual" ? virtualName(name) : name);
    return {
      name,
      encoding,
      effect: Effect.SIGNALS,
      redirect: undefined,
      check(pe, _el, write) {
        const access = accessOf(pe, write);
        if (access === "undefined") return UNDEFINED;
        return access === "trap-el2" ? 2 : access === "trap-el3" ? 3 : OK;
      },
      read(pe) {
        // A read may acknowledge an interrupt.
        pe.linesChanged();
        return gic().read(pe, nameFor(pe, false));
      },
      write: (pe, value) => gic().write(pe, nameFor(pe, true), value),
    };
  }
}

/** Encoding of a register (of these tables and the GIC's) by name, as bits 20:5 of MRS and MSR hold it. */
export function encodingOf(name: string): number {
  const row = ALL_ROWS.find((row) => row.name === name) ?? GIC_REGISTERS.get(name);
  if (!row) throw new Error(`no system register ${name}`);
  return encodingKey(row.encoding);
}

/** ESR of a trapped MSR, MRS or SYS instruction. */
export function trapEsr(insn: number): number {
  const iss = sysregIss(
    (insn >>> 19) & 3,
    (insn >>> 16) & 7,
    (insn >>> 12) & 0xf,
    (insn >>> 8) & 0xf,
    (insn >>> 5) & 7,
  );
  return makeEsr(EC.SYSREG64, iss | ((insn & 0x1f) << 5) | ((insn >>> 21) & 1));
}
