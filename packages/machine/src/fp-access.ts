/**
 * Whether FP and SIMD instructions, FPCR and FPSR may be used at the current EL, and the exception if not.
 * DDI 0487, pseudocode "AArch64.CheckFPAdvSIMDEnabled", "AArch64.AdvSIMDFPAccessTrap", "CPACR_EL1", "CPTR_EL2", "CPTR_EL3".
 *
 * @spec DDI 0487, "AArch64.CheckFPAdvSIMDEnabled": complete
 */
import { EC } from "@realmbox/abi";
import { R } from "./cpu/state.js";
import { el2Enabled, hcrLo, makeEsr, takeSync } from "./exceptions.js";
import type { Processor } from "./processor.js";
import { FP_TRAP, type FpTrap, OK } from "./sysreg/row.js";
import { HCR, HCR_H, HCR_HI } from "./words.js";

const CPACR_LO = R.CPACR_EL1 * 2;
const CPTR_EL2_LO = R.CPTR_EL2 * 2;
const CPTR_EL3_LO = R.CPTR_EL3 * 2;

/** CPTR_EL2 with E2H = 0, CPTR_EL3. */
const TFP = 1 << 10;
/** FPEN, CPACR_EL1 and CPTR_EL2 with E2H = 1: 0b01 closes EL0 alone, 0b11 nothing. */
const FPEN_SHIFT = 20;
const isClosed = (control: number, user: boolean): boolean => {
  const fpen = (control >> FPEN_SHIFT) & 3;
  return user ? fpen !== 3 : (fpen & 1) === 0;
};

/** ISS of EC 0x07: CV = 1, COND = 0xE. */
const ISS_UNCONDITIONAL = 0x1e0_0000;

/** The first control, in the architecture's order, that closes FP and SIMD at `el`; OK when none does. */
export function fpTrap(w: Int32Array, el: number): typeof OK | FpTrap {
  const el2 = el2Enabled(w);
  const e2h = el2 && (w[HCR_HI]! & HCR_H.E2H) !== 0;
  const tge = (hcrLo(w) & HCR.TGE) !== 0;
  if (el < 2 && !(e2h && tge) && isClosed(w[CPACR_LO]!, el === 0)) return tge ? FP_TRAP.UNKNOWN_EL2 : FP_TRAP.EL1;
  if (el < 3 && el2) {
    const control = w[CPTR_EL2_LO]!;
    if (e2h ? isClosed(control, el === 0 && tge) : (control & TFP) !== 0) return FP_TRAP.EL2;
  }
  return (w[CPTR_EL3_LO]! & TFP) !== 0 ? FP_TRAP.EL3 : OK;
}

/** Takes the exception that `fpTrap` asks for. */
export function takeFpTrap(pe: Processor, trap: FpTrap): void {
  if (trap === FP_TRAP.UNKNOWN_EL2) takeSync(pe, 2, makeEsr(EC.UNKNOWN, 0));
  else takeSync(pe, (trap - FP_TRAP.EL1 + 1) as 1 | 2 | 3, makeEsr(EC.FP, ISS_UNCONDITIONAL));
}
