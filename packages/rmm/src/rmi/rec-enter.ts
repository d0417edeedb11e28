/** RMI_REC_ENTER: runs a REC. DEN0137 1.0-rel0, "REC entry". */
import {
  RMI_REC_ENTER_FLAGS,
  RmiRecEnter,
  RmiRecExitReason,
  type RmiResponse,
  RmiRipas,
  RSI_STATUS,
  RsiHostCall,
  RsiResponse,
} from "@realmbox/abi";
import { R } from "@realmbox/machine";
import type { EntryControls } from "../isolation/isolation.js";
import { type PeContext, PeContextLayout } from "../memory-map.js";
import { type Rd, RealmState } from "../realm/rd.js";
import { type BufferFault, beginBufferFaultExit, beginExit } from "../rec/exit.js";
import { injectSea } from "../rec/inject.js";
import { gicConfigIsValid } from "../rec/interrupts.js";
import { completeMmio } from "../rec/mmio.js";
import { LastExit, type Rec, RecEnter, RecLayout } from "../rec/rec.js";
import { readCompleted } from "../rec/sysreg.js";
import { maskTimers, timersAsserted } from "../rec/timers.js";
import type { Rmm } from "../rmm.js";
import { realmPage } from "../rtt/walk.js";
import { lowOf, Page, pageOfWords } from "../views.js";
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
  run(rmm, _args, fail) {
    const page = rmm.hostPage(rmm.frame(2));
    if (typeof page === "string") return fail(`run_${page}`, "RMI_ERROR_INPUT");
    const enter = page.as(RecEnter); // nothing changes the Host's memory within this step
    const granule = rmm.granuleIn(rmm.frame(1), "REC");
    if (typeof granule === "string")
      return fail(granule === "state" ? "rec_gran_state" : `rec_${granule}`, "RMI_ERROR_INPUT");
    if (granule.refcount !== 0) return fail("rec_state", "RMI_ERROR_REC");
    const rec = rmm.rec(granule.frame);
    const rd = rmm.rd(rec.ownerFrame);
    if (rd.state === RealmState.NEW) return fail("realm_new", "RMI_ERROR_REALM", 0);
    if (rd.state === RealmState.SYSTEM_OFF) return fail("system_off", "RMI_ERROR_REALM", 1);
    if (!rec.runnable) return fail("rec_runnable", "RMI_ERROR_REC");
    if (rec.psci_pending) return fail("rec_psci", "RMI_ERROR_REC");
    const { ichVtr, listRegisters } = rmm.facts();
    if (!gicConfigIsValid(enter, ichVtr, listRegisters)) return fail("rec_gicv3", "RMI_ERROR_REC");
    const flags = enter.words[ENTER_FLAGS]!;
    const sea = (flags & INJECT_SEA) !== 0;
    const mmio = !sea && (flags & EMUL_MMIO) !== 0;
    const last = rec.last_exit;
    if (sea && last !== LastExit.EMULATABLE_ABORT && last !== LastExit.UNPROTECTED_ABORT)
      return fail("inject_sea", "RMI_ERROR_REC");
    if (mmio && last !== LastExit.EMULATABLE_ABORT) return fail("rec_mmio", "RMI_ERROR_REC");

    const { pe, isolation } = rmm;
    granule.refcount = 1;
    const context = rmm.peContext();
    keepCall(context, rmm.words);
    context.fp_loaded = 0;
    isolation.interrupts.give(rec, enter, listRegisters);
    const controls = CONTROLS[(flags & TRAP_WFI ? 1 : 0) | (flags & TRAP_WFE ? 2 : 0) | (rec.vserror_pending ? 4 : 0)]!;
    isolation.load(pe, rec, context, controls);
    if (rmm.trace?.wants("rec"))
      rmm.emit("rec", "REC entry", { rec: rec.addr, index: rec.index, pc: rec.pc, flags: enter.flags });

    if (sea) injectSea(pe, rec.last_esr, rec.last_far);
    if (mmio) completeMmio(pe, rec.last_esr, enter.getGpr(0));
    if (last === LastExit.SYSREG_READ) readCompleted(pe, rec.last_esr, enter.getGpr(0));
    if (last !== LastExit.NONE) rec.forgetExit();
    if (rec.ripas_pending)
      completeRipasChange(rmm, rec, Number(FLAGS.RIPAS_RESPONSE.get(enter.flags)) as RmiResponseValue);
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

const ENTER_FLAGS = RmiRecEnter.fields.flags.offset / 4;
const INJECT_SEA = lowOf(FLAGS.INJECT_SEA.mask);
const EMUL_MMIO = lowOf(FLAGS.EMUL_MMIO.mask);
const TRAP_WFI = lowOf(FLAGS.TRAP_WFI.mask);
const TRAP_WFE = lowOf(FLAGS.TRAP_WFE.mask);
/** Every combination, made once. */
const CONTROLS: readonly EntryControls[] = Array.from({ length: 8 }, (_, i) => ({
  trapWfi: (i & 1) !== 0,
  trapWfe: (i & 2) !== 0,
  vserror: (i & 4) !== 0,
}));

// Where the PE context has what the command was called with: X1, X2 and X4.
const CONTEXT_REC = PeContextLayout.fields.rec.offset / 4;
const CONTEXT_RUN = PeContextLayout.fields.run.offset / 4;
const CONTEXT_X4 = PeContextLayout.fields.x4.offset / 4;
const X1 = 2 * (R.X0 + 1);
const X2 = 2 * (R.X0 + 2);
const X4 = 2 * (R.X0 + 4);

function keepCall({ words: kept }: PeContext, words: Int32Array): void {
  kept[CONTEXT_REC] = words[X1]!;
  kept[CONTEXT_REC + 1] = words[X1 + 1]!;
  kept[CONTEXT_RUN] = words[X2]!;
  kept[CONTEXT_RUN + 1] = words[X2 + 1]!;
  kept[CONTEXT_X4] = words[X4]!;
  kept[CONTEXT_X4 + 1] = words[X4 + 1]!;
}

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
  const low = rec.words[HOST_CALL_IPA]!;
  const page = realmPage(rmm, rd, pageOfWords(low, rec.words[HOST_CALL_IPA + 1]!));
  const isPage = page instanceof Page;
  if (!isPage && page.kind === "fault") return { ipa: rec.host_call_ipa, level: page.level };
  rec.host_call_pending = 0;
  // When the Realm itself made its structure EMPTY, from another REC, it gets no answer.
  const status = isPage ? RSI_STATUS.RSI_SUCCESS : RSI_STATUS.RSI_ERROR_INPUT;
  const at = (low & 0xfff) + RsiHostCall.fields.gprs.offset;
  if (isPage) rmm.copyGprs(page, at, enter.page, RmiRecEnter.fields.gprs.offset);
  rmm.words[2 * R.X0] = status;
  rmm.words[2 * R.X0 + 1] = 0;
  return undefined;
}
const HOST_CALL_IPA = RecLayout.fields.host_call_ipa.offset / 4;
