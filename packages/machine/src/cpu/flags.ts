/**
 * The lazy condition flags of the PE state, packed: the plain version of what the engine computes inline.
 * DDI 0487, "Condition flags and related instructions"; state.ts says how they are kept.
 */
import { R } from "./state.js";

/** Values of NZCV_KIND. */
export const FlagKind = { PACKED: 0, SUB: 1, ADD: 2, LOGIC: 3 } as const;

const SIGN = 1n << 63n;
const U64 = (1n << 64n) - 1n;

/** NZCV in bits 31:28, out of the lazy form. */
export function packNzcv(r: BigUint64Array): bigint {
  const a = r[R.NZCV_A];
  const b = r[R.NZCV_B];
  const pack = (result: bigint, c: boolean, v: boolean) =>
    ((result & SIGN) !== 0n ? 1n << 31n : 0n) |
    (result === 0n ? 1n << 30n : 0n) |
    (c ? 1n << 29n : 0n) |
    (v ? 1n << 28n : 0n);
  switch (Number(r[R.NZCV_KIND])) {
    case FlagKind.SUB: {
      const result = (a - b) & U64;
      return pack(result, a >= b, ((a ^ b) & (a ^ result) & SIGN) !== 0n);
    }
    case FlagKind.ADD: {
      const result = (a + b) & U64;
      return pack(result, result < a, (~(a ^ b) & (a ^ result) & SIGN) !== 0n);
    }
    case FlagKind.LOGIC:
      return pack(a, false, false);
    default:
      return a & 0xf000_0000n;
  }
}

/** Sets NZCV from bits 31:28 of `value`. */
export function setNzcv(r: BigUint64Array, value: bigint): void {
  r[R.NZCV_KIND] = 0n;
  r[R.NZCV_A] = value & 0xf000_0000n;
}
