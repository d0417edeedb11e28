/**
 * What translated code depends on besides the instructions: code for one mode is not entered in another. A region does not
 * change it but for IXC, which makes code for the mode without it slower, not wrong.
 */
import { FPCR, FPSR } from "../fp/environment.js";
import { PAUTH, PAUTH_ENABLES } from "../pauth.js";
import { R } from "../state.js";

export const Mode = {
  FP_TRAP: 1,
  SP_CHECK: 2,
  ALIGN_CHECK: 4,
  ZVA_TRAP: 8,
  /** Some key of pointer authentication is enabled. */
  PAUTH: 16,
  /** FPCR asks for what the host's arithmetic does: to nearest, nothing flushed. */
  HOST_FP: 32,
  /** FPSR.IXC is set, so that inexactness need not be found out. */
  INEXACT: 64,
  /** Instructions of pointer authentication trap, but for those whose key is not enabled. */
  PAUTH_TRAP: 128,
} as const;

/** FPCR's bits without which the host's arithmetic is the PE's. */
export const FPCR_OTHER = FPCR.FZ | FPCR.RMODE;

/** The mode of the PE whose state begins at word `at`. */
export function modeOf(words: Int32Array, at: number): number {
  const word = (slot: number) => words[at + slot * 2]!;
  return (
    (word(R.FP_TRAP) !== 0 ? Mode.FP_TRAP : 0) |
    (word(R.SP_CHECK) !== 0 ? Mode.SP_CHECK : 0) |
    (word(R.ALIGN_CHECK) !== 0 ? Mode.ALIGN_CHECK : 0) |
    (word(R.ZVA_TRAP) !== 0 ? Mode.ZVA_TRAP : 0) |
    ((word(R.PAUTH) & PAUTH_ENABLES) !== 0 ? Mode.PAUTH : 0) |
    ((word(R.FPCR) & FPCR_OTHER) === 0 ? Mode.HOST_FP : 0) |
    ((word(R.FPSR) & FPSR.IXC) !== 0 ? Mode.INEXACT : 0) |
    ((word(R.PAUTH) & PAUTH.TRAP) !== 0 ? Mode.PAUTH_TRAP : 0)
  );
}
