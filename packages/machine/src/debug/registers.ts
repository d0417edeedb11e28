/**
 * The registers of breakpoints and watchpoints as EL2 sees them when it emulates the accesses of a guest.
 * DDI 0487, "DBGBVR<n>_EL1", "DBGBCR<n>_EL1", "DBGWVR<n>_EL1", "DBGWCR<n>_EL1".
 */
import { R } from "../cpu/state.js";

/** MDSCR_EL1.MDE: breakpoints and watchpoints are on. Without it, nothing depends on their registers. */
export const MDSCR_MDE = 1n << 15n;

/** CRm is the number of the breakpoint or watchpoint, op2 says which register. */
export interface DebugEncoding {
  readonly op0: number;
  readonly op1: number;
  readonly crn: number;
  readonly crm: number;
  readonly op2: number;
}

const FIRST_BY_OP2 = [R.DBGBVR0, R.DBGBCR0, R.DBGWVR0, R.DBGWCR0] as const;

/** How many of each: ID_AA64DFR0_EL1.BRPs and WRPs plus one. */
export const BREAKPOINTS = 2;
export const WATCHPOINTS = 2;

/** The slot of a breakpoint's or watchpoint's register, or undefined: another register, or one that does not exist. */
export function debugSlot({ op0, op1, crn, crm, op2 }: DebugEncoding): number | undefined {
  if (op0 !== 2 || op1 !== 0 || crn !== 0 || op2 < 4 || crm >= (op2 < 6 ? BREAKPOINTS : WATCHPOINTS)) return undefined;
  return FIRST_BY_OP2[op2 - 4]! + crm;
}

/** Addresses: bits 63:49 are hardwired to bit 48, bits 1:0 are RES0. */
const addressOf = (value: bigint): bigint => BigInt.asUintN(64, BigInt.asIntN(49, value)) & ~3n;

const isAddress = (slot: number): boolean =>
  (slot >= R.DBGBVR0 && slot < R.DBGBVR0 + BREAKPOINTS) || (slot >= R.DBGWVR0 && slot < R.DBGWVR0 + WATCHPOINTS);

/** What a write leaves in the register of a slot. */
export const debugValue = (slot: number, value: bigint): bigint =>
  isAddress(slot) ? addressOf(value) : value & 0xffff_ffffn;
