/**
 * PSTATE of a PE over its state words: the condition flags, which the engine keeps lazily, and the banked stack pointer.
 * The hot form of cpu/flags.ts: on words, without bigint. DDI 0487, "Process state, PSTATE".
 */
import { FlagKind } from "./cpu/flags.js";
import { R } from "./cpu/state.js";
import { NZCV_A_LO, NZCV_B_LO, NZCV_KIND_LO, PSTATE, PSTATE_LO, SP_LO } from "./words.js";

const N = 0x8000_0000 | 0;
const Z = 1 << 30;
const C = 1 << 29;
const V = 1 << 28;

/** NZCV in bits 31:28, packed; the state holds them packed from here on. */
export function packFlags(w: Int32Array): number {
  const kind = w[NZCV_KIND_LO]!;
  if (kind === FlagKind.PACKED) return w[NZCV_A_LO]! & (N | Z | C | V);
  const flags = evaluateFlags(kind, w);
  setFlags(w, flags);
  return flags;
}

/** Sets NZCV from bits 31:28. */
export function setFlags(w: Int32Array, flags: number): void {
  w[NZCV_A_LO] = flags & (N | Z | C | V);
  w[NZCV_A_LO + 1] = 0;
  w[NZCV_KIND_LO] = FlagKind.PACKED;
}

function evaluateFlags(kind: number, w: Int32Array): number {
  const aLo = w[NZCV_A_LO]!;
  const aHi = w[NZCV_A_LO + 1]!;
  const bLo = w[NZCV_B_LO]!;
  const bHi = w[NZCV_B_LO + 1]!;
  if (kind === FlagKind.LOGIC) return pack(aHi, (aLo | aHi) === 0, false, 0);
  if (kind === FlagKind.SUB) {
    const lo = (aLo - bLo) | 0;
    const borrow = aLo >>> 0 < bLo >>> 0 ? 1 : 0;
    const hi = (aHi - bHi - borrow) | 0;
    const carry = aHi === bHi ? borrow === 0 : aHi >>> 0 > bHi >>> 0;
    return pack(hi, (lo | hi) === 0, carry, (aHi ^ bHi) & (aHi ^ hi));
  }
  const lo = (aLo + bLo) | 0;
  const sum = (aHi >>> 0) + (bHi >>> 0) + (lo >>> 0 < aLo >>> 0 ? 1 : 0);
  const hi = sum | 0;
  return pack(hi, (lo | hi) === 0, sum > 0xffff_ffff, ~(aHi ^ bHi) & (aHi ^ hi));
}

const pack = (sign: number, zero: boolean, carry: boolean, overflow: number): number =>
  (sign < 0 ? N : 0) | (zero ? Z : 0) | (carry ? C : 0) | (overflow < 0 ? V : 0);

/** Word index of the bank in which the SP that `pstate` selects lives while another is in use. */
const bankOf = (pstate: number): number => BANKS[pstate & 0xf]!;
const BANKS: readonly number[] = Array.from({ length: 16 }, (_, mode) => {
  if ((mode & PSTATE.SP) === 0) return R.SP_EL0 * 2;
  return [R.SP_EL1, R.SP_EL1, R.SP_EL2, R.SP_EL3][mode >> 2]! * 2;
});

/** Replaces PSTATE but for NZCV, exchanging the stack pointer when another one is selected. */
export function setPstate(w: Int32Array, pstate: number): void {
  const before = bankOf(w[PSTATE_LO]!);
  const after = bankOf(pstate);
  w[PSTATE_LO] = pstate;
  if (before === after) return;
  w[before] = w[SP_LO]!;
  w[before + 1] = w[SP_LO + 1]!;
  w[SP_LO] = w[after]!;
  w[SP_LO + 1] = w[after + 1]!;
}

/** Whether `name`'s stack pointer is the one in use, so that its live value is in SP and not in its bank. */
export const isCurrentBank = (w: Int32Array, slot: number): boolean => bankOf(w[PSTATE_LO]!) === slot * 2;
