/**
 * Bits of VMSAv8-64 descriptors, and what a stage-1 leaf says of permissions and of the space of its output.
 * DDI 0487, "VMSAv8-64 translation table format descriptors", "Stage 1 data accesses", "Stage 1 instruction accesses".
 */
import { Pas, SecurityState } from "@realmbox/abi";
import type { TranslationContext } from "./context.js";
import { Regime } from "./regime.js";

/** Permissions, and what an access needs of them. */
export const Permission = { READ: 1, WRITE: 2, EXECUTE: 4 } as const;

/** Low word. */
export const VALID = 1 << 0;
export const TABLE = 1 << 1;
export const NS = 1 << 5;
export const AP1 = 1 << 6;
export const AP2 = 1 << 7;
export const AF = 1 << 10;
export const NSE = 1 << 11;
export const S2AP_READ = 1 << 6;
export const S2AP_WRITE = 1 << 7;
/** High word. */
export const DBM = 1 << (51 - 32);
export const PXN = 1 << (53 - 32);
export const UXN = 1 << (54 - 32);
export const S2_NS = 1 << (55 - 32);
export const PXN_TABLE = 1 << (59 - 32);
export const UXN_TABLE = 1 << (60 - 32);
export const AP_TABLE0 = 1 << (61 - 32);
export const AP_TABLE1 = 1 << (62 - 32);
export const NS_TABLE = 1 << (63 - 32);

/** What `stage1Output` depends on of a leaf: NS in bit 0, NSE in bit 1. */
export const outputIndex = (lo: number): number => ((lo >> 5) & 1) | ((lo >> 10) & 2);

/** The physical (or intermediate) address space that a stage-1 leaf names, by `outputIndex`. */
export function stage1Output(context: TranslationContext, index: number): Pas {
  switch (context.state) {
    case SecurityState.ROOT:
      return (((index & 2) !== 0 ? 2 : 0) | (index & 1)) as Pas;
    case SecurityState.REALM:
      return context.regime !== Regime.EL10 && (index & 1) !== 0 ? Pas.NS : Pas.REALM;
    case SecurityState.SECURE:
      return (index & 1) !== 0 ? Pas.NS : Pas.SECURE;
    default:
      return Pas.NS;
  }
}

/** What `stage1Permissions` depends on of a leaf: AP[1], AP[2], PXN, UXN in bits 0 to 3. Bit 4: `FOREIGN`. */
export const permissionIndex = (lo: number, hi: number): number => ((lo >> 6) & 3) | ((hi >> 19) & 0xc);
/** The output is not in the space of the context's own state. */
export const FOREIGN = 16;
export const PERMISSION_INDICES = 32;

/** Stage-1 permissions for the context's privilege, by `permissionIndex`. */
export function stage1Permissions(context: TranslationContext, index: number): number {
  const { READ, WRITE, EXECUTE } = Permission;
  const el0Allowed = (index & 1) !== 0;
  const writable = (index & 2) === 0;
  const pxn = (index & 4) !== 0;
  const uxn = (index & 8) !== 0;
  let permissions: number;
  if (!context.twoRanges) {
    permissions = READ | (writable ? WRITE : 0) | (!uxn && !(context.wxn && writable) ? EXECUTE : 0);
  } else if (context.el0) {
    permissions =
      (el0Allowed ? READ | (writable ? WRITE : 0) : 0) |
      (!uxn && !(context.wxn && el0Allowed && writable) ? EXECUTE : 0);
  } else {
    // What EL0 can write is never executable at the higher EL.
    const execute = !pxn && !(el0Allowed && writable) && !(context.wxn && writable);
    permissions = (context.pan && el0Allowed ? 0 : READ | (writable ? WRITE : 0)) | (execute ? EXECUTE : 0);
  }
  if ((index & FOREIGN) === 0) return permissions;
  // Root and the Realm EL2 regimes execute from their own memory only; Secure state unless SCR_EL3.SIF.
  if (context.state === SecurityState.ROOT || context.state === SecurityState.REALM || context.sif) {
    return permissions & ~EXECUTE;
  }
  return permissions;
}
