/**
 * Exceptions that the Host injects into the EL1 of a normal VM: the exception entry that the PE would make. The vCPU's
 * registers are in the PE. DDI 0487, "Exception entry"; a realm's are injected by the RMM.
 */
import { EC, ESR, FSC, ISS_ABORT, SPSR } from "@realmbox/abi";
import { R } from "@realmbox/machine";

const SCTLR_SPAN = 1n << 23n;
const KEPT = SPSR.NZCV.mask | SPSR.DIT.mask | SPSR.PAN.mask;
const EL1H_DAIF = 0x3c5n;

/** Offset in the vector table of a synchronous exception that was taken from the mode in `pstate`. */
function syncOffset(pstate: bigint): bigint {
  const mode = pstate & 0x1fn;
  if (mode === 5n) return 0x200n;
  if (mode === 4n) return 0x000n;
  return mode === 0n ? 0x400n : 0x600n;
}

function enterEl1(r: BigUint64Array, esr: bigint, offset: bigint): void {
  const pstate = r[R.SPSR_EL2]!;
  r[R.ELR_EL1] = r[R.ELR_EL2]!;
  r[R.SPSR_EL1] = pstate;
  r[R.ESR_EL1] = esr;
  r[R.ELR_EL2] = r[R.VBAR_EL1]! + offset;
  const pan = (r[R.SCTLR_EL1]! & SCTLR_SPAN) === 0n ? SPSR.PAN.mask : 0n;
  r[R.SPSR_EL2] = (pstate & KEPT) | pan | EL1H_DAIF;
}

/** UNDEFINED at the instruction that trapped. */
export function injectUndefined(r: BigUint64Array): void {
  enterEl1(r, ESR.EC.of(EC.UNKNOWN) | ESR.IL.mask, syncOffset(r[R.SPSR_EL2]!));
}

/** A synchronous external abort in place of the access that trapped with ESR_EL2 = `trapped` and FAR_EL2 = `far`. */
export function injectExternalAbort(r: BigUint64Array, trapped: bigint, far: bigint): void {
  const pstate = r[R.SPSR_EL2]!;
  const isInstruction = ESR.EC.get(trapped) === BigInt(EC.INSTRUCTION_ABORT_LOWER);
  const fromEl0 = (pstate & 0xfn) === 0n;
  let ec: number = isInstruction ? EC.INSTRUCTION_ABORT_SAME : EC.DATA_ABORT_SAME;
  if (fromEl0) ec = isInstruction ? EC.INSTRUCTION_ABORT_LOWER : EC.DATA_ABORT_LOWER;
  const esr = ESR.EC.of(ec) | (trapped & (ESR.IL.mask | ISS_ABORT.WNR.mask)) | ISS_ABORT.EA.mask | BigInt(FSC.EXTERNAL);
  r[R.FAR_EL1] = far;
  enterEl1(r, esr, syncOffset(pstate));
}
