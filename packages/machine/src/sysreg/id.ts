/** What the machine says it is: the ID registers, constants. */

/** MIDR_EL1: an implementer and part that firmware has in its CPU tables. */
export const MIDR = 0x410f_d0f0n;
