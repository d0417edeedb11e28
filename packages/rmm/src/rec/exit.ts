/**
 * REC exits: how RmiRecExit is filled and how RMI_REC_ENTER ends. DEN0137 1.0-rel0, "REC exit". A handler begins an exit,
 * fills what its reason has, and leaves; everything else is filled here or stays zero.
 */
import {
  REC_EXIT_REASON_NAMES,
  REC_GIC_HCR_EXIT_MASK,
  REC_GIC_HCR_HOST_MASK,
  REC_RUN_GPRS,
  RmiRecExit,
  type RmiRecExitReason,
  type TraceValue,
} from "@realmbox/abi";
import { ichVmcr, isPmuInterrupting, R, type SlotExit } from "@realmbox/machine";
import { PeContextLayout } from "../memory-map.js";
import { ok, type RmiFailure } from "../rmi/command.js";
import { completeRmi } from "../rmi/complete.js";
import type { Rmm } from "../rmm.js";
import { addressOf, lowOf } from "../views.js";
import { REC_AUX, type Rec, RecExit } from "./rec.js";
import { outputs, timerControl } from "./timers.js";

/**
 * Clears RmiRecExit and sets its reason. The Host may have delegated the page meanwhile: then it does not learn what
 * happened, and the REC stays as it is.
 */
export function beginExit(rmm: Rmm, reason: RmiRecExitReason): void {
  const run = rmm.hostPageAt(rmm.peContext().runFrame);
  rmm.exit = run === undefined ? rmm.lostExit : run.upperHalf.as(RecExit);
  rmm.exit.bytes.fill(0);
  rmm.exit.exit_reason = reason;
}

/** What an access of the RMM to a Realm's buffer could not translate: a Data Abort made up for the Host to resolve. */
export interface BufferFault {
  readonly ipa: bigint;
  readonly level: number;
}

/** ESR_EL2 of a Data Abort from a lower level, translation fault, all else zero. */
const BUFFER_FAULT_ESR = 0x9000_0004n;

export function beginBufferFaultExit(rmm: Rmm, rec: Rec, { ipa, level }: BufferFault): void {
  beginExit(rmm, 0);
  rec.forgetExit();
  rmm.exit.esr = BUFFER_FAULT_ESR + BigInt(level);
  rmm.exit.hpfar = (ipa & ~0xfffn) >> 8n;
}

/** The REC that is loaded on this PE leaves it; RmiRecExit, begun by the caller, goes to the Host. */
export function leaveRec(rmm: Rmm): SlotExit {
  const { pe, isolation, results } = rmm;
  const context = rmm.peContext();
  const rec = rmm.rec(context.recFrame);

  fillGic(rmm);
  rec.timers_asserted = fillTimers(rmm);
  if (rec.pmu) rmm.exit.pmu_ovf_status = isPmuInterrupting(rmm.words) ? 1 : 0;
  rec.vserror_pending = isolation.vserrorPending(pe) ? 1 : 0;
  if (context.fp_loaded) isolation.saveSimd(pe, rmm.pageAt(rec.auxAt(REC_AUX.SIMD)), context);
  isolation.save(pe, rec, context);
  rmm.granules.get(rec.frame, "REC").refcount = 0;
  const { words, runFrame } = context;
  words[CONTEXT.REC] = 0;
  words[CONTEXT.REC + 1] = 0;
  if (rmm.trace?.wants("rec")) traceExit(rmm, rec);
  results[X4] = words[CONTEXT.X4]!;
  results[X4 + 1] = words[CONTEXT.X4 + 1]!;

  const traced = rmm.trace?.wants("rmi") ? { rec: rec.addr, run_ptr: addressOf(runFrame) } : undefined;
  return completeRmi(rmm, REC_ENTER, traced, rmm.exit === rmm.lostExit ? REFUSED : ok);
}
const REC_ENTER = { name: "RMI_REC_ENTER", out: [] } as const;
const REFUSED: RmiFailure = { status: "RMI_ERROR_INPUT", index: 0, condition: "run_pas" };
/** Where the Host's X4 is among the results. */
const X4 = 2 * 4;
const CONTEXT = { REC: PeContextLayout.fields.rec.offset / 4, X4: PeContextLayout.fields.x4.offset / 4 } as const;

// Words of RmiRecExit, and of the PE's state.
const EXIT = {
  HCR: RmiRecExit.fields.gicv3_hcr.offset / 4,
  LRS: RmiRecExit.fields.gicv3_lrs.offset / 4,
  VMCR: RmiRecExit.fields.gicv3_vmcr.offset / 4,
  CNTP_CVAL: RmiRecExit.fields.cntp_cval.offset / 4,
  CNTV_CVAL: RmiRecExit.fields.cntv_cval.offset / 4,
  CNTP_CTL: RmiRecExit.fields.cntp_ctl.offset / 4,
  CNTV_CTL: RmiRecExit.fields.cntv_ctl.offset / 4,
} as const;
const ICH_HCR = 2 * R.ICH_HCR_EL2;
const ICH_LR0 = 2 * R.ICH_LR0;
const ICH_VMCR = 2 * R.ICH_VMCR_EL2;
const CNTP_CVAL = 2 * R.CNTP_CVAL_EL0;
const CNTV_CVAL = 2 * R.CNTV_CVAL_EL0;
const HCR_HOST = lowOf(REC_GIC_HCR_HOST_MASK);
const HCR_EXIT = lowOf(REC_GIC_HCR_EXIT_MASK);

/** List registers and their control as they are now. */
function fillGic(rmm: Rmm): void {
  const { words } = rmm;
  const to = rmm.exit.words;
  const hcr = words[ICH_HCR]!;
  let inUse = (hcr & HCR_HOST) !== 0;
  const { listRegisters } = rmm.facts();
  for (let n = 0; n < listRegisters; n++) {
    const low = words[ICH_LR0 + 2 * n]!;
    const high = words[ICH_LR0 + 2 * n + 1]!;
    if ((low | high) === 0) continue;
    inUse = true;
    to[EXIT.LRS + 2 * n] = low;
    to[EXIT.LRS + 2 * n + 1] = high;
  }
  to[EXIT.HCR] = hcr & HCR_EXIT;
  to[EXIT.VMCR] = ichVmcr(words[ICH_VMCR]!);
  // Without list registers and without maintenance interrupts asked for, none can be pending.
  if (inUse) rmm.exit.gicv3_misr = rmm.isolation.interrupts.misr(rmm.pe);
}

/** Timers as they are now; their offsets are zero in a Realm. Returns the outputs that are asserted. */
function fillTimers(rmm: Rmm): number {
  const { words } = rmm;
  const to = rmm.exit.words;
  const cntp = timerControl(rmm, "CNTP");
  const cntv = timerControl(rmm, "CNTV");
  to[EXIT.CNTP_CTL] = cntp;
  to[EXIT.CNTP_CVAL] = words[CNTP_CVAL]!;
  to[EXIT.CNTP_CVAL + 1] = words[CNTP_CVAL + 1]!;
  to[EXIT.CNTV_CTL] = cntv;
  to[EXIT.CNTV_CVAL] = words[CNTV_CVAL]!;
  to[EXIT.CNTV_CVAL + 1] = words[CNTV_CVAL + 1]!;
  return outputs(cntv, cntp);
}

function traceExit(rmm: Rmm, rec: Rec): void {
  const { exit } = rmm;
  const reason = REC_EXIT_REASON_NAMES[exit.exit_reason]!;
  const fields: Record<string, TraceValue> = { rec: rec.addr, reason, pc: rec.pc };
  for (const name of ["esr", "far", "hpfar", "ripas_base", "ripas_top"] as const) {
    if (exit[name] !== 0n) fields[name] = exit[name];
  }
  for (let n = 0; n < REC_RUN_GPRS; n++) {
    const value = exit.getGpr(n);
    if (value !== 0n) fields[`gprs[${n}]`] = value;
  }
  rmm.emit("rec", "REC exit", fields);
}
