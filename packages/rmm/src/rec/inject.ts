/**
 * Exceptions that the RMM injects into a Realm: the REC's EL1 takes them as if the hardware had. They work on the loaded
 * REC, whose PC and PSTATE are in ELR_EL2 and SPSR_EL2. DDI 0487, "Exception entry".
 */
import { bit, EC, ESR, FSC, ISS_ABORT, SPSR } from "@realmbox/abi";
import { type Pe, R } from "@realmbox/machine";

/** PSTATE.M of EL0 and of EL1 with SP_EL0. */
const EL0T = 0n;
const EL1T = 4n;
const EL1H = 5n;

const SCTLR_EL1 = { SPAN: bit(23), DSSBS: bit(44) };

/** Offset of the synchronous vector that an exception from `spsr` takes. */
function vectorOffset(spsr: bigint): bigint {
  if (SPSR.AARCH32.get(spsr) === 1n) return 0x600n;
  const mode = SPSR.M.get(spsr);
  return mode === EL0T ? 0x400n : mode === EL1T ? 0x000n : 0x200n;
}

/** PSTATE after an exception entry to EL1 out of `spsr`. */
function entryPstate(spsr: bigint, sctlr: bigint): bigint {
  const kept = spsr & (SPSR.NZCV.mask | SPSR.DIT.mask | SPSR.PAN.mask);
  return (
    kept |
    (SCTLR_EL1.SPAN.get(sctlr) === 0n ? SPSR.PAN.mask : 0n) |
    SPSR.SSBS.of(SCTLR_EL1.DSSBS.get(sctlr)) |
    SPSR.DAIF.of(0xf) |
    EL1H
  );
}

function enterEl1(pe: Pe, esr: bigint, elr: bigint): void {
  const { r } = pe;
  const spsr = r[R.SPSR_EL2]!;
  r[R.ESR_EL1] = esr;
  r[R.ELR_EL1] = elr;
  r[R.SPSR_EL1] = spsr;
  r[R.ELR_EL2] = r[R.VBAR_EL1]! + vectorOffset(spsr);
  r[R.SPSR_EL2] = entryPstate(spsr, r[R.SCTLR_EL1]!);
}

/** Fields of an abort's syndrome that stay when EL1 takes it: IL, CM, WnR. */
const ABORT_KEPT = ESR.IL.mask | ISS_ABORT.CM.mask | ISS_ABORT.WNR.mask;

/** Takes the abort whose syndrome at EL2 was `esr` to EL1 instead, with another fault status. */
function injectAbort(pe: Pe, esr: bigint, far: bigint, status: bigint): void {
  const fromEl0 = SPSR.M.get(pe.r[R.SPSR_EL2]!) === EL0T;
  const lower = Number(ESR.EC.get(esr));
  const ec = fromEl0 ? lower : lower === EC.DATA_ABORT_LOWER ? EC.DATA_ABORT_SAME : EC.INSTRUCTION_ABORT_SAME;
  pe.r[R.FAR_EL1] = far;
  enterEl1(pe, ESR.EC.of(ec) | (esr & ABORT_KEPT) | status, pe.r[R.ELR_EL2]!);
}

/** A Synchronous External Abort, for the access that `esr` and `far` describe. */
export function injectSea(pe: Pe, esr: bigint, far: bigint): void {
  injectAbort(pe, esr, far, ISS_ABORT.EA.mask | ISS_ABORT.FSC.of(FSC.EXTERNAL));
}

/**
 * An Address Size Fault, level 0, for an IPA beyond the Realm's IPA width: DEN0137 1.0-rel0, "Realm access to memory". TF-RMM
 * injects an SEA, and so expects TF-A-Tests' "Realm SEA Adr Fault".
 */
export function injectAddressSizeFault(pe: Pe, esr: bigint, far: bigint): void {
  injectAbort(pe, esr, far, ISS_ABORT.FSC.of(FSC.ADDRESS_SIZE));
}

/** An Undefined Instruction exception at `pc`. */
export function injectUndefined(pe: Pe, pc: bigint): void {
  enterEl1(pe, ESR.EC.of(EC.UNKNOWN) | ESR.IL.mask, pc);
}
