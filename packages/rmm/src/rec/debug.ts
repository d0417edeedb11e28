/**
 * Self-hosted debug of a Realm: MDSCR_EL1, and as many breakpoints and watchpoints as its parameters say. Accesses trap
 * (MDCR_EL2.TDA), so the REC always has what the Realm has written; the registers themselves are in the PE while
 * MDSCR_EL1.MDE is set and the REC runs. Software step, BRK and the OS Lock need nothing of the RMM: debug exceptions are
 * the Realm's (MDCR_EL2.TDE = 0), and the rest is in the EL1 group.
 * DEN0137 1.0-rel0, "Realm access to System registers"; DDI 0487, "MDSCR_EL1".
 *
 * Invariant: the PE's DEBUG group is the REC's exactly while MDSCR_EL1.MDE is 1, else the Host's.
 */
import { ISS_SYSREG, ISS_SYSREG_ID_MASK, sysregIss } from "@realmbox/abi";
import { debugSlot, debugValue, GROUPS, MDSCR_MDE, R } from "@realmbox/machine";
import type { Rmm } from "../rmm.js";
import type { Rec } from "./rec.js";

const MDSCR_EL1 = sysregIss(2, 0, 0, 2, 2);
const MDSCR_MASK = 0xffff_ffffn;

const isMdscr = (esr: bigint): boolean => (Number(esr) & ISS_SYSREG_ID_MASK) === MDSCR_EL1;

/** Index in the REC's DEBUG group of the register that an access names, or undefined when the Realm has no such one. */
function indexOf(rmm: Rmm, rec: Rec, esr: bigint): number | undefined {
  const field = (name: "OP0" | "OP1" | "CRN" | "CRM" | "OP2") => Number(ISS_SYSREG[name].get(esr));
  const encoding = { op0: field("OP0"), op1: field("OP1"), crn: field("CRN"), crm: field("CRM"), op2: field("OP2") };
  const slot = debugSlot(encoding);
  if (slot === undefined) return undefined;
  const { num_bps, num_wps } = rmm.rd(rec.ownerFrame);
  return encoding.crm <= (encoding.op2 < 6 ? num_bps : num_wps) ? slot - GROUPS.DEBUG.first : undefined;
}

/** What the loaded REC reads; undefined: no debug register that it has. */
export function readDebug(rmm: Rmm, rec: Rec, esr: bigint): bigint | undefined {
  if (isMdscr(esr)) return rmm.pe.r[R.MDSCR_EL1]!;
  const index = indexOf(rmm, rec, esr);
  return index === undefined ? undefined : rec.blocks.debug[index]!;
}

/** A write of the loaded REC; nothing happens when it is of no debug register that the REC has. */
export function writeDebug(rmm: Rmm, rec: Rec, esr: bigint, value: bigint): void {
  const { r } = rmm.pe;
  if (isMdscr(esr)) {
    const change = r[R.MDSCR_EL1]! ^ value;
    r[R.MDSCR_EL1] = value & MDSCR_MASK;
    if ((change & MDSCR_MDE) === 0n) return;
    if ((value & MDSCR_MDE) !== 0n) rmm.isolation.loadDebug(rec, rmm.peContext());
    else rmm.isolation.unloadDebug(rmm.peContext());
    return;
  }
  const index = indexOf(rmm, rec, esr);
  if (index === undefined) return;
  const slot = GROUPS.DEBUG.first + index;
  rec.blocks.debug[index] = debugValue(slot, value);
  if ((r[R.MDSCR_EL1]! & MDSCR_MDE) !== 0n) r[slot] = rec.blocks.debug[index]!;
}
