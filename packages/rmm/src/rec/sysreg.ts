/**
 * System register accesses of a Realm that trap. DEN0137 1.0-rel0, "Realm access to System registers".
 *
 *   ID registers (HCR_EL2.TID3)                    the RMM's view (`id-registers.ts`)
 *   GIC CPU interface: SGI generation, ICC_DIR      REC exit; the Host emulates
 *   IMPLEMENTATION DEFINED (HCR_EL2.TIDCP)          Undefined Instruction exception
 *   MDSCR_EL1, breakpoints and watchpoints          the Realm's own (`debug.ts`)
 *   all others: debug channel, trace, PMU, activity monitors  read as zero, writes ignored
 */
import { ISS_SYSREG, ISS_SYSREG_ID_MASK, RmiRecExitReason, sysregIss } from "@realmbox/abi";
import { type Pe, R } from "@realmbox/machine";
import type { Rmm } from "../rmm.js";
import type { TrapOutcome } from "./abort.js";
import { readDebug, writeDebug } from "./debug.js";
import { beginExit } from "./exit.js";
import { idRegister } from "./id-registers.js";
import { injectUndefined } from "./inject.js";
import { LastExit, type Rec } from "./rec.js";
import { skipInstruction } from "./skip.js";

const ICC_PMR_EL1 = sysregIss(3, 0, 4, 6, 0);

const field = (iss: bigint, name: Exclude<keyof typeof ISS_SYSREG, "RT" | "READ">): number =>
  Number(ISS_SYSREG[name].get(iss));
const rtOf = (esr: bigint): number => Number(ISS_SYSREG.RT.get(esr));

/** Xn of an MSR or MRS, where 31 is XZR. */
const readX = (pe: Pe, n: number): bigint => (n === 31 ? 0n : pe.r[R.X0 + n]!);
function writeX(pe: Pe, n: number, value: bigint): void {
  if (n !== 31) pe.r[R.X0 + n] = value;
}

/** ICC_*: op0 3, CRn 12, CRm 8 and up, op1 0; and ICC_PMR_EL1. */
function isGicRegister(esr: bigint): boolean {
  if ((Number(esr) & ISS_SYSREG_ID_MASK) === ICC_PMR_EL1) return true;
  return field(esr, "OP0") === 3 && field(esr, "OP1") === 0 && field(esr, "CRN") === 12 && field(esr, "CRM") >= 8;
}

/** CRn 11 and 15 of op0 1 and 3. */
function isImplementationDefined(esr: bigint): boolean {
  const crn = field(esr, "CRN");
  return (field(esr, "OP0") & 1) === 1 && (crn === 11 || crn === 15);
}

const isIdRegister = (esr: bigint): boolean =>
  field(esr, "OP0") === 3 && field(esr, "OP1") === 0 && field(esr, "CRN") === 0 && field(esr, "CRM") !== 0;

export function realmSysreg(rmm: Rmm, rec: Rec): TrapOutcome {
  const { pe } = rmm;
  const esr = pe.r[R.ESR_EL2]!;
  if (isImplementationDefined(esr)) {
    injectUndefined(pe, pe.r[R.ELR_EL2]!);
    return "realm";
  }
  skipInstruction(pe);
  const isRead = ISS_SYSREG.READ.get(esr) === 1n;
  if (isGicRegister(esr)) {
    rec.forgetExit();
    if (isRead) {
      rec.last_exit = LastExit.SYSREG_READ;
      rec.last_esr = esr;
    }
    beginExit(rmm, RmiRecExitReason.RMI_EXIT_SYNC);
    rmm.exit.esr = esr;
    if (!isRead) rmm.exit.setGpr(0, readX(pe, rtOf(esr)));
    return "exit";
  }
  if (isRead) {
    const value = isIdRegister(esr)
      ? idRegister(
          pe,
          { rd: rmm.rd(rec.ownerFrame), pauth: rmm.pauth },
          { crm: field(esr, "CRM"), op2: field(esr, "OP2") },
        )
      : readDebug(rmm, rec, esr);
    writeX(pe, rtOf(esr), value ?? 0n);
  } else {
    writeDebug(rmm, rec, esr, readX(pe, rtOf(esr)));
  }
  return "realm";
}

/** The value that the Host gave for the read of the last exit. */
export function readCompleted(pe: Pe, esr: bigint, value: bigint): void {
  writeX(pe, rtOf(esr), value);
}
