/**
 * What floating-point operations depend on and leave behind: FPCR, FPSR. Without FEAT_AFP, FEAT_FP16 and trapped
 * exceptions.
 *
 * @spec DDI 0487, "FPCR, Floating-point Control Register": partial: RMode, FZ, DN and AHP; the trap enables and the
 *   fields of later extensions are RES0
 * @spec DDI 0487, "FPSR, Floating-point Status Register": complete
 */

/** FPCR, bits that exist. */
export const FPCR = {
  RMODE_SHIFT: 22,
  RMODE: 3 << 22,
  FZ: 1 << 24,
  DN: 1 << 25,
  AHP: 1 << 26,
  WRITABLE: (3 << 22) | (1 << 24) | (1 << 25) | (1 << 26),
} as const;

/** FPSR: cumulative flags. */
export const FPSR = {
  IOC: 1 << 0, // Invalid Operation
  DZC: 1 << 1, // Divide by Zero
  OFC: 1 << 2, // Overflow
  UFC: 1 << 3, // Underflow
  IXC: 1 << 4, // Inexact
  IDC: 1 << 7, // Input Denormal
  QC: 1 << 27, // saturation of integer Advanced SIMD
  WRITABLE: 0x0800_009f,
} as const;

/** DDI 0487, "FPRounding"; the first four are FPCR.RMode's encoding. */
export const Rounding = {
  TIE_EVEN: 0,
  POSITIVE_INFINITY: 1,
  NEGATIVE_INFINITY: 2,
  ZERO: 3,
  TIE_AWAY: 4,
  ODD: 5,
} as const;

/** The control fields in effect, and the flags that operations have raised. */
export class Environment {
  rounding = 0;
  flushToZero = false;
  defaultNaN = false;
  alternativeHalf = false;
  /** FPSR bits. */
  flags = 0;

  constructor(fpcr = 0) {
    this.reset(fpcr);
  }

  /** Takes FPCR's fields and clears the flags. */
  reset(fpcr: number): void {
    this.rounding = (fpcr & FPCR.RMODE) >>> FPCR.RMODE_SHIFT;
    this.flushToZero = (fpcr & FPCR.FZ) !== 0;
    this.defaultNaN = (fpcr & FPCR.DN) !== 0;
    this.alternativeHalf = (fpcr & FPCR.AHP) !== 0;
    this.flags = 0;
  }

  raise(flags: number): void {
    this.flags |= flags;
  }
}
