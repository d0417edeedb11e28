/**
 * Stage-2 aborts of a Realm: whose they are. DEN0137 1.0-rel0, "Realm access to memory", "REC exit due to Data Abort",
 * "REC exit due to Instruction Abort".
 *
 *   IPA            RIPAS      HIPAS        data                            instruction
 *   protected      EMPTY      any          SEA to the Realm                SEA to the Realm
 *   protected      RAM        UNASSIGNED   REC exit                        REC exit
 *   protected      DESTROYED  any          REC exit                        REC exit
 *   unprotected    -          any          REC exit, emulatable if ISV     SEA to the Realm
 *   beyond         -          -            Address Size Fault to the Realm, likewise
 */
import { EC, ESR, FSC, ISS_ABORT, ipaOfHpfar, REC_EXIT_ESR_MASK, RmiRecExitReason, RmiRipas } from "@realmbox/abi";
import { R } from "@realmbox/machine";
import type { Rmm } from "../rmm.js";
import { isValidEntry, rtteRipas } from "../rtt/entry.js";
import { RTT_LEVEL_PAGE } from "../rtt/geometry.js";
import { walk } from "../rtt/walk.js";
import { beginExit } from "./exit.js";
import { injectAddressSizeFault, injectSea } from "./inject.js";
import { isWrite, storedValue } from "./mmio.js";
import { LastExit, type Rec } from "./rec.js";

/** ISS_ABORT.SET of an external abort. */
const UER = 0n; // recoverable: the Realm may handle it

/** "realm": the Realm goes on; "exit": RmiRecExit is begun and filled. */
export type TrapOutcome = "realm" | "exit";

/** A Data or Instruction Abort from the loaded REC, by the syndrome registers of EL2. */
export function realmAbort(rmm: Rmm, rec: Rec): TrapOutcome {
  const { pe } = rmm;
  const esr = pe.r[R.ESR_EL2]!;
  const far = pe.r[R.FAR_EL2]!;
  const hpfar = pe.r[R.HPFAR_EL2]!;
  const status = Number(ISS_ABORT.FSC.get(esr));
  if (isExternal(status)) {
    if (ISS_ABORT.SET.get(esr) === UER) injectSea(pe, esr, far);
    rec.forgetExit();
    beginAbortExit(rmm, esr, REC_EXIT_ESR_MASK.DATA_ABORT, 0n);
    return "exit";
  }

  const rd = rmm.rd(rec.ownerFrame);
  const ipa = ipaOfHpfar(hpfar);
  const fetch = Number(ESR.EC.get(esr)) === EC.INSTRUCTION_ABORT_LOWER;
  if (rmm.trace?.wants("fault"))
    rmm.emit("fault", fetch ? "Instruction Abort" : "Data Abort", { ipa, esr, far, pc: pe.r[R.ELR_EL2]! });
  if (ipa >= rd.ipaSize) {
    injectAddressSizeFault(pe, esr, far);
    return "realm";
  }
  if (rd.isProtected(ipa)) {
    const { entry } = walk(rmm, rd, ipa, RTT_LEVEL_PAGE);
    if (rtteRipas(entry) === RmiRipas.EMPTY) {
      if (rmm.trace?.wants("fault"))
        rmm.emit("fault", "SEA to the Realm", { ipa, ripas: "EMPTY", pc: pe.r[R.ELR_EL2]! });
      injectSea(pe, esr, far);
      return "realm";
    }
    // Another PE has resolved the fault meanwhile: the access is made again.
    if (isValidEntry(entry) && isTranslationFault(status)) return "realm";
    rec.forgetExit();
    const { DATA_ABORT, INSTRUCTION_ABORT } = REC_EXIT_ESR_MASK;
    beginAbortExit(rmm, esr, fetch ? INSTRUCTION_ABORT : DATA_ABORT, hpfar);
    return "exit";
  }
  if (fetch) {
    injectSea(pe, esr, far);
    return "realm";
  }
  unprotectedDataAbort(rmm, rec, { esr, far, hpfar });
  return "exit";
}

/** A Data Abort at an Unprotected IPA: the Host may map memory there, emulate the access, or refuse it. */
function unprotectedDataAbort(
  rmm: Rmm,
  rec: Rec,
  { esr, far, hpfar }: { readonly esr: bigint; readonly far: bigint; readonly hpfar: bigint },
): void {
  rec.last_esr = esr;
  rec.last_far = far;
  if (ISS_ABORT.ISV.get(esr) === 0n) {
    rec.last_exit = LastExit.UNPROTECTED_ABORT;
    beginAbortExit(rmm, esr, REC_EXIT_ESR_MASK.DATA_ABORT, hpfar);
    return;
  }
  rec.last_exit = LastExit.EMULATABLE_ABORT;
  beginAbortExit(rmm, esr, REC_EXIT_ESR_MASK.EMULATABLE_ABORT, hpfar);
  rmm.exit.far = far & 0xfffn;
  if (isWrite(esr)) rmm.exit.setGpr(0, storedValue(rmm.pe, esr));
}

function beginAbortExit(rmm: Rmm, esr: bigint, mask: bigint, hpfar: bigint): void {
  beginExit(rmm, RmiRecExitReason.RMI_EXIT_SYNC);
  rmm.exit.esr = esr & mask;
  rmm.exit.hpfar = hpfar;
}

/** Synchronous External abort, on the access itself or on a walk of any level. */
const isExternal = (status: number): boolean => status === FSC.EXTERNAL || (status >= 0x13 && status <= 0x17);
const isTranslationFault = (status: number): boolean => status >= FSC.TRANSLATION && status <= FSC.TRANSLATION + 3;
