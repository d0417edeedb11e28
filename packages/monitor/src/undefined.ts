/**
 * Trapped accesses that EL3 does not serve come back to the level that made them as an UNDEFINED instruction. With the
 * trap controls that the monitor programs nothing should trap; a foreign RMM or Host may still find something.
 * DDI 0487, "Exception entry"; "ESR_ELx", EC 0x00.
 */
import { SPSR } from "@realmbox/abi";
import { type Pe, R } from "@realmbox/machine";

const IL = 1n << 25n;
const DAIF_MASKED = 0x3c0n;
const HCR_TGE = 1n << 27n;

/** Makes the ERET from EL3 arrive at the vector of an exception with an unknown reason. */
export function injectUndefined(pe: Pe): void {
  const { r } = pe;
  const spsr = r[R.SPSR_EL3]!;
  const mode = SPSR.M.get(spsr);
  const from = mode >> 2n;
  const toEl2 = from === 2n || (from === 0n && (r[R.HCR_EL2]! & HCR_TGE) !== 0n);
  const [elr, saved, esr, vbar] = toEl2
    ? [R.ELR_EL2, R.SPSR_EL2, R.ESR_EL2, R.VBAR_EL2]
    : [R.ELR_EL1, R.SPSR_EL1, R.ESR_EL1, R.VBAR_EL1];
  const sameLevel = from === (toEl2 ? 2n : 1n);
  const group = !sameLevel ? 0x400n : (mode & 1n) !== 0n ? 0x200n : 0x000n;
  r[elr] = r[R.ELR_EL3]!;
  r[saved] = spsr;
  r[esr] = IL;
  r[R.ELR_EL3] = (r[vbar]! & ~0x7ffn) + group;
  r[R.SPSR_EL3] = DAIF_MASKED | SPSR.M.of(toEl2 ? 9 : 5) | (spsr & SPSR.NZCV.mask);
}
