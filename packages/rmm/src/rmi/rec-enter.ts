/** RMI_REC_ENTER: runs a REC. DEN0137 1.0-rel0, "REC entry". */
import {
  RMI_REC_ENTER_FLAGS,
  RmiRecExitReason,
  type RmiResponse,
  RmiRipas,
  RSI_STATUS,
  RsiHostCall,
  RsiResponse,
} from "@realmbox/abi";
import { R } from "@realmbox/machine";
import { type Rd, RealmState } from "../realm/rd.js";
import { type BufferFault, beginBufferFaultExit, beginExit } from "../rec/exit.js";
import { injectSea } from "../rec/inject.js";
import { gicConfigIsValid } from "../rec/interrupts.js";
import { completeMmio } from "../rec/mmio.js";
import { LastExit, type Rec, RecEnter } from "../rec/rec.js";
import { readCompleted } from "../rec/sysreg.js";
import { maskTimers, timersAsserted } from "../rec/timers.js";
import type { Rmm } from "../rmm.js";
import { realmPage } from "../rtt/walk.js";
import { putWords } from "../views.js";
import { ENTERED, EXITED, rmiCommand } from "./command.js";

const FLAGS = RMI_REC_ENTER_FLAGS;

/**
 * RMI_REC_ENTER, FID 0xC400015C: completes what the last exit left to the Host, and runs the REC until its next exit.
 * @spec DEN0137 1.0-rel0, "RMI_REC_ENTER command": complete
 */
export const recEnter = rmiCommand({
  name: "RMI_REC_ENTER",
  in: ["rec", "run_ptr"],
  out: [],
  conditions: [
    "run_align",
    "run_bound",
    "run_pas",
    "rec_align",
    "rec_bound",
    "rec_gran_state",
    "rec_state",
    "realm_new",
    "system_off",
    "rec_runnable",
    "rec_psci",
    "rec_gicv3",
    "inject_sea", // as TF-RMM's: the flag needs an abort to answer
    "rec_mmio",
  ],
  run(rmm, { rec: recAddr, run_ptr }, fail) {
    const page = rmm.hostPage(run_ptr);
    if (typeof page === "string") return fail(`run_${page}`, "RMI_ERROR_INPUT");
    const enter = page.as(RecEnter, run_ptr); // nothing changes the Host's memory within this step
    const granule = rmm.granuleIn(recAddr, "REC");
    if (typeof granule === "string")
      return fail(granule === "state" ? "rec_gran_state" : `rec_${granule}`, "RMI_ERROR_INPUT");
    if (granule.refcount !== 0) return fail("rec_state", "RMI_ERROR_REC");
    const rec = rmm.rec(recAddr);
    const rd = rmm.rd(rec.owner);
    if (rd.state === RealmState.NEW) return fail("realm_new", "RMI_ERROR_REALM", 0);
    if (rd.state === RealmState.SYSTEM_OFF) return fail("system_off", "RMI_ERROR_REALM", 1);
    if (!rec.runnable) return fail("rec_runnable", "RMI_ERROR_REC");
    if (rec.psci_pending) return fail("rec_psci", "RMI_ERROR_REC");
    const { ichVtr, listRegisters } = rmm.facts();
    if (!gicConfigIsValid(enter, ichVtr, listRegisters)) return fail("rec_gicv3", "RMI_ERROR_REC");
    const { flags } = enter;
    const sea = (flags & FLAGS.INJECT_SEA.mask) !== 0n;
    const mmio = !sea && (flags & FLAGS.EMUL_MMIO.mask) !== 0n;
    const last = rec.last_exit;
    if (sea && last !== LastExit.EMULATABLE_ABORT && last !== LastExit.UNPROTECTED_ABORT)
      return fail("inject_sea", "RMI_ERROR_REC");
    if (mmio && last !== LastExit.EMULATABLE_ABORT) return fail("rec_mmio", "RMI_ERROR_REC");

    const { pe, isolation } = rmm;
    granule.refcount = 1;
    const context = rmm.peContext();
    context.rec = recAddr;
    context.run = run_ptr;
    context.x4 = rmm.x(4);
    context.fp_loaded = 0;
    isolation.interrupts.give(rec, enter, listRegisters);
    isolation.load(pe, rec, context, {
      trapWfi: (flags & FLAGS.TRAP_WFI.mask) !== 0n,
      trapWfe: (flags & FLAGS.TRAP_WFE.mask) !== 0n,
      vserror: rec.vserror_pending !== 0,
    });
    if (rmm.trace?.wants("rec")) rmm.emit("rec", "REC entry", { rec: recAddr, index: rec.index, pc: rec.pc, flags });

    if (sea) injectSea(pe, rec.last_esr, rec.last_far);
    if (mmio) completeMmio(pe, rec.last_esr, enter.getGpr(0));
    if (last === LastExit.SYSREG_READ) readCompleted(pe, rec.last_esr, enter.getGpr(0));
    if (last !== LastExit.NONE) rec.forgetExit();
    if (rec.ripas_pending) completeRipasChange(rmm, rec, Number(FLAGS.RIPAS_RESPONSE.get(flags)) as RmiResponseValue);
    if (rec.host_call_pending) {
      const fault = completeHostCall(rmm, { rec, rd, enter });
      if (fault) {
        beginBufferFaultExit(rmm, rec, fault);
        return EXITED;
      }
    }

    const outputs = timersAsserted(rmm);
    if (outputs !== rec.timers_asserted) {
      // The Host must learn of a timer output that changed while the REC was out.
      beginExit(rmm, RmiRecExitReason.RMI_EXIT_IRQ);
      return EXITED;
    }
    maskTimers(pe, outputs);
    return ENTERED;
  },
});
type RmiResponseValue = (typeof RmiResponse)[keyof typeof RmiResponse];

/** The Realm learns how far its RSI_IPA_STATE_SET went: X0 to X2. */
function completeRipasChange({ pe }: Rmm, rec: Rec, response: RmiResponseValue): void {
  const refused = rec.ripas_value === RmiRipas.RAM && rec.ripas_addr !== rec.ripas_top && response !== 0;
  pe.r[R.X0] = BigInt(RSI_STATUS.RSI_SUCCESS);
  pe.r[R.X0 + 1] = rec.ripas_addr;
  pe.r[R.X0 + 2] = BigInt(refused ? RsiResponse.RSI_REJECT : RsiResponse.RSI_ACCEPT);
  rec.ripas_pending = 0;
  rec.ripas_addr = 0n;
  rec.ripas_top = 0n;
}

/** Writes the Host's answer into the Realm's RsiHostCall; a fault leaves the call pending. */
function completeHostCall(
  rmm: Rmm,
  { rec, rd, enter }: { readonly rec: Rec; readonly rd: Rd; readonly enter: RecEnter },
): BufferFault | undefined {
  const ipa = rec.host_call_ipa;
  const page = realmPage(rmm, rd, ipa);
  if (page.kind === "fault") return { ipa, level: page.level };
  rec.host_call_pending = 0;
  // The Realm itself made its structure EMPTY, from another REC: it gets no answer.
  const status = page.kind === "empty" ? RSI_STATUS.RSI_ERROR_INPUT : RSI_STATUS.RSI_SUCCESS;
  if (page.kind === "mapped") {
    const at = Number(ipa & 0xfffn) + RsiHostCall.fields.gprs.offset;
    putWords(rmm.page(page.pa).u64, at / 8, enter.gprWords);
  }
  rmm.pe.r[R.X0] = BigInt(status);
  return undefined;
}
