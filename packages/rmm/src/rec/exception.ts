/**
 * Exceptions that a running REC takes to R-EL2: which the RMM answers itself, and which end in a REC exit. DEN0137
 * 1.0-rel0, "Realm exceptions".
 */
import { EC, ESR, ISS_SERROR, ISS_WFX, invariant, REC_EXIT_ESR_MASK, RmiRecExitReason } from "@realmbox/abi";
import { R, type SlotEvent, type SlotExit } from "@realmbox/machine";
import type { Rmm } from "../rmm.js";
import { realmSmc } from "../rsi/dispatch.js";
import { realmAbort, type TrapOutcome } from "./abort.js";
import { beginExit, leaveRec } from "./exit.js";
import { injectUndefined } from "./inject.js";
import { REC_AUX, type Rec } from "./rec.js";
import { skipInstruction } from "./skip.js";
import { realmSysreg } from "./sysreg.js";
import { maskTimers, timersAsserted } from "./timers.js";

const { RMI_EXIT_SYNC, RMI_EXIT_IRQ, RMI_EXIT_FIQ, RMI_EXIT_SERROR } = RmiRecExitReason;
type Vector = Extract<SlotEvent, { kind: "exception" }>["vector"];

const ESR_LOW = 2 * R.ESR_EL2;
const EC_SHIFT = ESR.EC.lo;

/** The REC of this PE took an exception to R-EL2. */
export function realmException(rmm: Rmm, vector: Vector): SlotExit {
  const frame = rmm.peContext().recFrame;
  invariant(frame !== 0, "only a REC runs below R-EL2", rmm.pe.index);
  const rec = rmm.rec(frame);
  switch (vector) {
    case "sync":
      return synchronous(rmm, rec) === "exit" ? leaveRec(rmm) : resumeRec(rmm, rec);
    case "irq":
      return asynchronousExit(rmm, rec, RMI_EXIT_IRQ);
    case "fiq":
      return asynchronousExit(rmm, rec, RMI_EXIT_FIQ);
    case "serror":
      return serrorExit(rmm, rec);
  }
}

/** The Realm goes on, unless a timer output has changed: the Host must learn of that first. */
function resumeRec(rmm: Rmm, rec: Rec): SlotExit {
  const outputs = timersAsserted(rmm);
  if (outputs !== rec.timers_asserted) return asynchronousExit(rmm, rec, RMI_EXIT_IRQ);
  maskTimers(rmm.pe, outputs);
  return rmm.isolation.resume();
}

function asynchronousExit(rmm: Rmm, rec: Rec, reason: typeof RMI_EXIT_IRQ | typeof RMI_EXIT_FIQ): SlotExit {
  rec.forgetExit();
  beginExit(rmm, reason);
  return leaveRec(rmm);
}

function synchronous(rmm: Rmm, rec: Rec): TrapOutcome {
  const { pe } = rmm;
  switch (rmm.words[ESR_LOW]! >>> EC_SHIFT) {
    case EC.SMC64:
      return realmSmc(rmm, rec);
    case EC.DATA_ABORT_LOWER:
    case EC.INSTRUCTION_ABORT_LOWER:
      return realmAbort(rmm, rec);
    case EC.SYSREG64:
      return realmSysreg(rmm, rec);
    case EC.WFX:
      return waitExit(rmm, rec, pe.r[R.ESR_EL2]!);
    case EC.FP: {
      const context = rmm.peContext();
      rmm.isolation.loadSimd(pe, rmm.pageAt(rec.auxAt(REC_AUX.SIMD)), context);
      context.fp_loaded = 1;
      return "realm"; // the instruction is executed again
    }
    case EC.HVC64:
      injectUndefined(pe, pe.r[R.ELR_EL2]! - 4n); // unlike the others, HVC has left ELR at the next instruction
      return "realm";
    case EC.SVE:
    case EC.SME:
      injectUndefined(pe, pe.r[R.ELR_EL2]!);
      return "realm";
    default:
      // Nothing else is configured to trap; the Host learns that the REC is stuck, not why.
      rec.forgetExit();
      beginExit(rmm, RMI_EXIT_SYNC);
      return "exit";
  }
}

/** WFI or WFE, which the Host asked to trap; WFIT and WFET tell how long the Realm would wait. */
function waitExit(rmm: Rmm, rec: Rec, esr: bigint): TrapOutcome {
  const { pe } = rmm;
  rec.forgetExit();
  skipInstruction(pe);
  beginExit(rmm, RMI_EXIT_SYNC);
  rmm.exit.esr = esr & REC_EXIT_ESR_MASK.WFX;
  const rn = Number(ISS_WFX.RN.get(esr));
  if (ISS_WFX.TI.get(esr) >= 2n && rn !== 31) rmm.exit.setGpr(0, pe.r[R.X0 + rn]!);
  return "exit";
}

/** ISS_SERROR.AET of errors that the Realm must handle: unrecoverable-by-restart and recoverable. */
const UEU = 1n;
const UER = 3n;

/** An SError: the Host learns of it, and the Realm gets it at its next entry when its own state may be damaged. */
function serrorExit(rmm: Rmm, rec: Rec): SlotExit {
  const { pe } = rmm;
  const esr = pe.r[R.ESR_EL2]!;
  const aet = ISS_SERROR.AET.get(esr);
  rec.forgetExit();
  beginExit(rmm, RMI_EXIT_SERROR);
  rmm.exit.esr = esr & REC_EXIT_ESR_MASK.SERROR;
  if (aet === UEU || aet === UER) rmm.isolation.requestVserror(pe, rec, esr);
  return leaveRec(rmm);
}
