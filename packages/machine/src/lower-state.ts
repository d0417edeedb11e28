/** What SCR_EL3 and HCR_EL2 say of EL2 and below, over the state words. DDI 0487, "SCR_EL3", "HCR_EL2". */
import { HCR_HI, HCR_LO, SCR, SCR_H, SCR_HI, SCR_LO } from "./words.js";

/** HCR_EL2 as it takes effect: zero but for RW when EL2 is not enabled in the current Security state. */
export const el2Enabled = (w: Int32Array): boolean => (w[SCR_LO]! & (SCR.NS | SCR.EEL2)) !== 0;
export const hcrLo = (w: Int32Array): number => (el2Enabled(w) ? w[HCR_LO]! : 0);
export const hcrHi = (w: Int32Array): number => (el2Enabled(w) ? w[HCR_HI]! : 0);

/** The Security state of EL2 and below, from SCR_EL3; 2 is the reserved combination. */
export const lowerState = (w: Int32Array): number => (w[SCR_LO]! & SCR.NS) | ((w[SCR_HI]! & SCR_H.NSE) !== 0 ? 2 : 0);
