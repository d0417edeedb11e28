/**
 * Accesses at Unprotected IPAs that the Host emulates. The register and the extension come from the syndrome that the RMM
 * remembered, never from the Host. DEN0137 1.0-rel0, "Emulated memory accesses".
 */
import { ISS_ABORT } from "@realmbox/abi";
import { type Pe, R } from "@realmbox/machine";
import { skipInstruction } from "./skip.js";

/** Bits of an access. */
const widthOf = (esr: bigint): number => 8 << Number(ISS_ABORT.SAS.get(esr));

export const isWrite = (esr: bigint): boolean => ISS_ABORT.WNR.get(esr) === 1n;

/** What an emulatable store stores, as the Host may see it: cut to the size of the access. */
export function storedValue(pe: Pe, esr: bigint): bigint {
  const srt = Number(ISS_ABORT.SRT.get(esr));
  return srt === 31 ? 0n : BigInt.asUintN(widthOf(esr), pe.r[R.X0 + srt]!);
}

/** The register value that a load of `value` gives. */
export function loadedValue(esr: bigint, value: bigint): bigint {
  const width = widthOf(esr);
  const cut = BigInt.asUintN(width, value);
  if (ISS_ABORT.SSE.get(esr) === 0n) return cut;
  return BigInt.asUintN(ISS_ABORT.SF.get(esr) === 1n ? 64 : 32, BigInt.asIntN(width, cut));
}

/** Completes the access of the loaded REC's last exit with the value that the Host gave for a load. */
export function completeMmio(pe: Pe, esr: bigint, value: bigint): void {
  const srt = Number(ISS_ABORT.SRT.get(esr));
  if (!isWrite(esr) && srt !== 31) pe.r[R.X0 + srt] = loadedValue(esr, value);
  skipInstruction(pe);
}
