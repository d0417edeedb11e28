/**
 * Virtual interrupts of a REC: what the Host may put into list registers, and when it may not. DEN0137 1.0-rel0, "REC
 * interrupts and timers"; IHI 0069, "ICH_LR<n>_EL2".
 */
import { ICH_LR, ICH_VTR_EL2, REC_GIC_HCR_HOST_MASK, RmiRecEnter } from "@realmbox/abi";
import { lowOf } from "../views.js";
import type { RecEnter } from "./rec.js";

/** List registers that the CPU interface has. */
export const listRegisterCount = (vtr: bigint): number => Number(ICH_VTR_EL2.LISTREGS.get(vtr)) + 1;

// Words of RmiRecEnter.
const HCR = RmiRecEnter.fields.gicv3_hcr.offset / 4;
const LRS = RmiRecEnter.fields.gicv3_lrs.offset / 4;
const HCR_HOST = lowOf(REC_GIC_HCR_HOST_MASK);
/** Bits 44:32 but for EOI, the only use of the field when HW is 0. */
const PINTID_RES0 = ICH_LR.PINTID.mask & ~ICH_LR.EOI.mask;

function isValidIntid(vintid: bigint, vtr: bigint): boolean {
  if (vintid <= 1019n) return true; // SGI, PPI, SPI
  const idBits = ICH_VTR_EL2.IDBITS.get(vtr) === 0n ? 16n : 24n;
  return vintid >= 8192n && vintid < 1n << idBits; // LPI
}

/**
 * Whether RmiRecEnter's gicv3_hcr and gicv3_lrs are acceptable: only the Host's bits; no physical interrupt, reserved
 * priority bits clear, valid INTIDs, none twice. Entries of state inactive, and those beyond the CPU interface's number,
 * are not looked at.
 */
export function gicConfigIsValid(enter: RecEnter, vtr: bigint, listRegisters: number): boolean {
  const { words } = enter;
  if ((words[HCR]! & ~HCR_HOST) !== 0 || words[HCR + 1] !== 0) return false;
  let seen: bigint[] | undefined;
  for (let n = 0; n < listRegisters; n++) {
    if (words[LRS + 2 * n + 1]! >>> 30 === 0) continue; // ICH_LR.STATE
    const lr = enter.get64(4 * (LRS + 2 * n));
    const priorityRes0 = ICH_LR.PRIORITY.of(0xff >> (Number(ICH_VTR_EL2.PRIBITS.get(vtr)) + 1));
    if (lr & (ICH_LR.HW.mask | PINTID_RES0 | priorityRes0)) return false;
    const vintid = ICH_LR.VINTID.get(lr);
    if (!isValidIntid(vintid, vtr) || seen?.includes(vintid)) return false;
    seen ??= [];
    seen.push(vintid);
  }
  return true;
}
