/**
 * The instructions that the engine leaves to the machine: exception generation and return, WFI and WFE, MSR (immediate),
 * system register moves, and the SYS space (caches, address translation, TLBs). DDI 0487, "System instruction class
 * encoding overview", "Branches, Exception Generating and System instructions".
 *
 * Each handler gets the PE with PC at the instruction and answers with a HostReply; see `EngineHost` for who counts.
 */
import { EC } from "@realmbox/abi";
import { rowOf } from "./cpu/disassemble.js";
import { HostReply } from "./cpu/engine.js";
import { pointerAuthenticationRows } from "./cpu/rows/pointer-authentication.js";
import type { Row } from "./cpu/rows/row.js";
import { debugTarget, isStepActive } from "./debug/enabled.js";
import {
  defaultTarget,
  el2Enabled,
  exceptionReturn,
  hcrLo,
  isInterruptDue,
  makeEsr,
  takeCall,
  takeSync,
  takeUndefined,
} from "./exceptions.js";
import { takeFpTrap } from "./fp-access.js";
import type { Machine } from "./machine.js";
import { authenticateReturn, takePauthTrap } from "./pauth.js";
import type { Processor } from "./processor.js";
import { setPstate } from "./pstate.js";
import { executeSys } from "./sys-instructions.js";
import { Effect, type FpTrap } from "./sysreg/row.js";
import { el0Target, isHostMode, SCTLR_EL0, sctlrForEl0 } from "./sysreg/rules.js";
import { trapEsr } from "./sysreg/system-registers.js";
import { EVENT_LO, FP_TRAP_LO, HCR, PSTATE, PSTATE_LO, SCR, SCR_LO } from "./words.js";

/** ISS of a trapped WFI or WFE: CV = 1, COND = 0xE, TI. */
const WFX_ISS = 0x1e0_0000;

/** MSR (immediate): op1 and op2 of the PSTATE fields. */
const FIELD = { PAN: 0x04, SPSEL: 0x05, DIT: 0x1a, DAIFSET: 0x1e, DAIFCLR: 0x1f } as const;
const PSTATE_DIT = 1 << 24;

const PAUTH_ROWS: ReadonlySet<Row> = new Set(pointerAuthenticationRows);

export function executeSystem(machine: Machine, pe: Processor, insn: number): number {
  const top = insn >>> 24;
  if (top === 0xd5 && (insn & (1 << 22)) === 0 && (insn & (1 << 23)) === 0) {
    const op0 = (insn >>> 19) & 3;
    if (op0 >= 2) return afterException(pe, machine.systemRegisters.execute(pe, insn));
    if (op0 === 1) return afterException(pe, executeSys(machine, pe, insn));
    return afterException(pe, executeHintOrImmediate(machine, pe, insn));
  }
  if (top === 0xd4) return afterException(pe, generateException(machine, pe, insn));
  if (insn === 0xd69f_03e0) return eret(machine, pe);
  if (insn >>> 0 === 0xd69f_0bff || insn >>> 0 === 0xd69f_0fff) return authenticatedEret(machine, pe, insn);
  const pauth = executePauth(pe, insn);
  if (pauth !== undefined) return afterException(pe, pauth);
  const trap = pe.w[FP_TRAP_LO]!;
  if (trap !== 0 && rowOf(insn)?.fp) takeFpTrap(pe, trap as FpTrap);
  else takeUndefined(pe);
  return afterException(pe, HostReply.JUMP);
}

/** Native firmware does not run in the engine: leave for it. */
const afterException = (pe: Processor, reply: number): number =>
  reply === HostReply.JUMP && pe.firmware ? HostReply.LEAVE : reply;

function eret(machine: Machine, pe: Processor): number {
  if (pe.el === 0) {
    takeUndefined(pe);
    return afterException(pe, HostReply.JUMP);
  }
  const fromEl3 = pe.el === 3;
  pe.retire();
  exceptionReturn(pe);
  if (fromEl3) machine.reports.smcReturn(pe);
  if (pe.firmware) return HostReply.LEAVE;
  // An ERET may unmask an interrupt, or come to an EL where it is not masked, or to one that is stepped.
  return isInterruptDue(pe, pe.lines()) || isStepActive(pe.w) ? HostReply.LEAVE : HostReply.JUMP;
}

/** ERETAA, ERETAB. */
function authenticatedEret(machine: Machine, pe: Processor, insn: number): number {
  if (pe.el !== 0 && !authenticateReturn(pe, (insn & (1 << 10)) !== 0)) return afterException(pe, HostReply.JUMP);
  return eret(machine, pe);
}

/** Instructions of pointer authentication come here when they trap. */
function executePauth(pe: Processor, insn: number): number | undefined {
  const row = rowOf(insn);
  if (!row || !PAUTH_ROWS.has(row)) return undefined;
  return takePauthTrap(pe) ? HostReply.JUMP : undefined;
}

function generateException(machine: Machine, pe: Processor, insn: number): number {
  const imm = (insn >>> 5) & 0xffff;
  switch (insn & 0xe0_001f) {
    case 0x00_0001: // SVC
      pe.retire();
      takeCall(pe, defaultTarget(pe), makeEsr(EC.SVC64, imm));
      return HostReply.JUMP;
    case 0x00_0002:
      return hvc(pe, imm);
    case 0x00_0003:
      return smc(machine, pe, imm);
    case 0x20_0000: // BRK
      takeSync(pe, breakTarget(pe), makeEsr(EC.BRK64, imm));
      return HostReply.JUMP;
    default:
      // HLT without halting debug, DCPS: UNDEFINED.
      takeUndefined(pe);
      return HostReply.JUMP;
  }
}

/** BRK goes to EL2 from below when debug exceptions are routed there; nothing disables it. */
const breakTarget = (pe: Processor): 1 | 2 | 3 => (pe.el < 2 ? debugTarget(pe.w) : (pe.el as 2 | 3));

/** HVC: to EL2, or at EL3 to EL3. UNDEFINED at EL0, without SCR_EL3.HCE, and in Secure state without EL2. */
function hvc(pe: Processor, imm: number): number {
  const { el, w } = pe;
  if (el === 0 || (w[SCR_LO]! & SCR.HCE) === 0 || (el === 1 && !el2Enabled(w))) {
    takeUndefined(pe);
    return HostReply.JUMP;
  }
  pe.retire();
  takeCall(pe, el === 3 ? 3 : 2, makeEsr(EC.HVC64, imm));
  return HostReply.JUMP;
}

/** SMC: HCR_EL2.TSC traps EL1's, with the SMC itself as the return address; SCR_EL3.SMD makes it UNDEFINED. */
function smc(machine: Machine, pe: Processor, imm: number): number {
  const { el, w } = pe;
  if (el === 0) {
    takeUndefined(pe);
  } else if (el === 1 && (hcrLo(w) & HCR.TSC) !== 0) {
    takeSync(pe, 2, makeEsr(EC.SMC64, imm));
  } else if ((w[SCR_LO]! & SCR.SMD) !== 0) {
    takeUndefined(pe);
  } else {
    machine.reports.smc(pe);
    pe.retire();
    takeCall(pe, 3, makeEsr(EC.SMC64, imm));
  }
  return HostReply.JUMP;
}

/** op0 = 0: WFE, WFI, SEV, SEVL, other hints, barriers, MSR (immediate). */
function executeHintOrImmediate(machine: Machine, pe: Processor, insn: number): number {
  const crn = (insn >>> 12) & 0xf;
  if (crn === 4 && (insn & 0x1f) === 0x1f) return msrImmediate(machine, pe, insn);
  if (crn !== 2) {
    // Barriers have nothing to wait for; other encodings of CRn 3 are unallocated.
    if (crn === 3) return HostReply.NEXT;
    takeUndefined(pe);
    return HostReply.JUMP;
  }
  switch ((insn >>> 5) & 0x7f) {
    case 2:
      return wfe(machine, pe);
    case 3:
      return wfi(machine, pe);
    case 4:
      machine.sendEvent();
      return HostReply.NEXT;
    case 5:
      pe.w[EVENT_LO] = 1;
      return HostReply.NEXT;
    default:
      // A hint of pointer authentication comes here only to trap.
      return takePauthTrap(pe) ? HostReply.JUMP : HostReply.NEXT;
  }
}

/** Where a WFI or WFE that would wait traps to, or 0. */
function waitTrap(pe: Processor, bits: { sctlr: number; hcr: number; scr: number }): 0 | 1 | 2 | 3 {
  const { el, w } = pe;
  if (el === 0 && (sctlrForEl0(w) & bits.sctlr) === 0) return el0Target(pe);
  if (el < 2 && (hcrLo(w) & bits.hcr) !== 0 && !(el === 0 && isHostMode(w))) return 2;
  return el < 3 && (w[SCR_LO]! & bits.scr) !== 0 ? 3 : 0;
}

function wfi(machine: Machine, pe: Processor): number {
  // With an interrupt pending the PE would not wait, so nothing traps.
  if (!machine.wouldWait(pe)) return HostReply.NEXT;
  const trap = waitTrap(pe, { sctlr: SCTLR_EL0.NTWI, hcr: HCR.TWI, scr: SCR.TWI });
  if (trap !== 0) {
    takeSync(pe, trap, makeEsr(EC.WFX, WFX_ISS));
    return HostReply.JUMP;
  }
  // While it is stepped it ends at once, as a WFI may.
  if (isStepActive(pe.w)) return HostReply.NEXT;
  pe.sleeping = true;
  pe.completeInstruction();
  return HostReply.LEAVE;
}

/** WFE with the event register set clears it and ends. Else it waits, or traps where a wait does. */
function wfe(machine: Machine, pe: Processor): number {
  if (machine.takeEvent(pe)) return HostReply.NEXT;
  const trap = waitTrap(pe, { sctlr: SCTLR_EL0.NTWE, hcr: HCR.TWE, scr: SCR.TWE });
  if (trap !== 0) {
    takeSync(pe, trap, makeEsr(EC.WFX, WFX_ISS | 1));
    return HostReply.JUMP;
  }
  if (isStepActive(pe.w)) return HostReply.NEXT;
  machine.awaitEvent(pe);
  pe.completeInstruction();
  return HostReply.LEAVE;
}

function msrImmediate(machine: Machine, pe: Processor, insn: number): number {
  const { w, el } = pe;
  const imm = (insn >>> 8) & 0xf;
  const field = ((insn >>> 13) & 0x38) | ((insn >>> 5) & 7);
  const set = (mask: number, value: number) => {
    w[PSTATE_LO] = (w[PSTATE_LO]! & ~mask) | value;
  };
  if (field === FIELD.DAIFSET || field === FIELD.DAIFCLR) {
    if (el === 0 && (sctlrForEl0(w) & SCTLR_EL0.UMA) === 0) {
      takeSync(pe, el0Target(pe), trapEsr(insn));
      return HostReply.JUMP;
    }
    const bits = imm << 6;
    if (field === FIELD.DAIFSET) {
      set(bits, bits);
      return HostReply.NEXT;
    }
    set(bits, 0);
    return machine.systemRegisters.applyEffect(pe, Effect.SIGNALS);
  }
  if (field === FIELD.DIT) {
    set(PSTATE_DIT, (imm & 1) !== 0 ? PSTATE_DIT : 0);
    return HostReply.NEXT;
  }
  if (el > 0 && field === FIELD.SPSEL) {
    setPstate(w, (w[PSTATE_LO]! & ~PSTATE.SP) | (imm & 1));
    return HostReply.NEXT;
  }
  if (el > 0 && field === FIELD.PAN) {
    set(PSTATE.PAN, (imm & 1) !== 0 ? PSTATE.PAN : 0);
    // The privileged context differs by PAN; fetches do not.
    if (el === 1) pe.guestLevelChanged();
    else pe.contextChanged();
    return HostReply.NEXT;
  }
  takeUndefined(pe);
  return HostReply.JUMP;
}
