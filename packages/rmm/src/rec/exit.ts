/**
 * REC exits: how RmiRecExit is filled and how RMI_REC_ENTER ends. DEN0137 1.0-rel0, "REC exit". A handler begins an exit,
 * fills what its reason has, and leaves; everything else is filled here or stays zero.
 */
import {
  REC_EXIT_OFFSET,
  REC_EXIT_REASON_NAMES,
  REC_GIC_HCR_EXIT_MASK,
  REC_GIC_HCR_HOST_MASK,
  REC_RUN_GPRS,
  type RmiRecExitReason,
  type TraceValue,
} from "@realmbox/abi";
import { ichVmcr, isPmuInterrupting, R, type SlotExit } from "@realmbox/machine";
import { ok, type RmiFailure } from "../rmi/command.js";
import { completeRmi } from "../rmi/complete.js";
import type { Rmm } from "../rmm.js";
import { toNumber } from "../views.js";
import { REC_AUX, type Rec } from "./rec.js";
import { outputs, timerControl } from "./timers.js";

/** Clears RmiRecExit and sets its reason. */
export function beginExit(rmm: Rmm, reason: RmiRecExitReason): void {
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
  const { pe, isolation } = rmm;
  const context = rmm.peContext();
  const rec = rmm.rec(context.rec);

  fillGic(rmm);
  rec.timers_asserted = fillTimers(rmm);
  if (rec.pmu) rmm.exit.pmu_ovf_status = isPmuInterrupting(rmm.words) ? 1 : 0;
  rec.vserror_pending = isolation.vserrorPending(pe) ? 1 : 0;
  if (context.fp_loaded) isolation.saveSimd(pe, rmm.page(toNumber(rec.auxAt(REC_AUX.SIMD))), context);
  isolation.save(pe, rec, context);
  rmm.granules.get(rec.addr, "REC").refcount = 0;
  const { run, x4 } = context;
  context.rec = 0n;
  if (rmm.trace?.wants("rec")) traceExit(rmm, rec);

  // The Host may have delegated the page meanwhile: then it does not learn what happened, and the REC stays as it is.
  const fault = rmm.hostMemory.copyOut(run + EXIT_AT, rmm.exit.bytes);
  return completeRmi(rmm, REC_ENTER, { rec: rec.addr, run_ptr: run }, fault ? REFUSED : ok, x4);
}
const EXIT_AT = BigInt(REC_EXIT_OFFSET);
const REC_ENTER = { name: "RMI_REC_ENTER", out: [] } as const;
const REFUSED: RmiFailure = { status: "RMI_ERROR_INPUT", index: 0, condition: "run_pas" };

/** List registers and their control as they are now. */
function fillGic(rmm: Rmm): void {
  const { exit, words } = rmm;
  const { r } = rmm.pe;
  const hcr = r[R.ICH_HCR_EL2]!;
  let inUse = (hcr & REC_GIC_HCR_HOST_MASK) !== 0n;
  const { listRegisters } = rmm.facts();
  for (let n = 0; n < listRegisters; n++) {
    const slot = R.ICH_LR0 + n;
    if ((words[2 * slot]! | words[2 * slot + 1]!) === 0) continue;
    inUse = true;
    exit.setListRegister(n, r[slot]!);
  }
  exit.gicv3_hcr = hcr & REC_GIC_HCR_EXIT_MASK;
  exit.gicv3_vmcr = BigInt(ichVmcr(words[2 * R.ICH_VMCR_EL2]!));
  // Without list registers and without maintenance interrupts asked for, none can be pending.
  if (inUse) exit.gicv3_misr = rmm.isolation.interrupts.misr(rmm.pe);
}

/** Timers as they are now; their offsets are zero in a Realm. Returns the outputs that are asserted. */
function fillTimers(rmm: Rmm): number {
  const { exit } = rmm;
  const { r } = rmm.pe;
  const cntp = timerControl(rmm, "CNTP");
  const cntv = timerControl(rmm, "CNTV");
  exit.cntp_ctl = cntp;
  exit.cntp_cval = r[R.CNTP_CVAL_EL0]!;
  exit.cntv_ctl = cntv;
  exit.cntv_cval = r[R.CNTV_CVAL_EL0]!;
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
