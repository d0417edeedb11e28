/**
 * REC exits: how RmiRecExit is filled and how RMI_REC_ENTER ends. DEN0137 1.0-rel0, "REC exit". A handler begins an exit,
 * fills what its reason has, and leaves; everything else is filled here or stays zero.
 */
import {
  CNT_CTL,
  REC_EXIT_OFFSET,
  REC_EXIT_REASON_NAMES,
  REC_GIC_HCR_EXIT_MASK,
  REC_GIC_HCR_HOST_MASK,
  REC_RUN_GPRS,
  RmiRecExit,
  type RmiRecExitReason,
  type TraceValue,
} from "@realmbox/abi";
import { R, type SlotExit } from "@realmbox/machine";
import { ok, type RmiFailure } from "../rmi/command.js";
import { completeRmi } from "../rmi/complete.js";
import type { Rmm } from "../rmm.js";
import { listRegisterCount } from "./interrupts.js";
import { REC_AUX, type Rec } from "./rec.js";
import { timersAsserted } from "./timers.js";

const EXIT = RmiRecExit.fields;

/** Clears RmiRecExit and sets its reason. */
export function beginExit(rmm: Rmm, reason: RmiRecExitReason): void {
  rmm.exitBytes.fill(0);
  EXIT.exit_reason.write(rmm.exit, 0, reason);
}

/** Sets one general register of RmiRecExit. */
export function setExitGpr(rmm: Rmm, n: number, value: bigint): void {
  rmm.exit.setBigUint64(EXIT.gprs.offset + 8 * n, value, true);
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
  EXIT.esr.write(rmm.exit, 0, BUFFER_FAULT_ESR + BigInt(level));
  EXIT.hpfar.write(rmm.exit, 0, (ipa & ~0xfffn) >> 8n);
}

/** The REC that is loaded on this PE leaves it; RmiRecExit, begun by the caller, goes to the Host. */
export function leaveRec(rmm: Rmm): SlotExit {
  const { pe, isolation } = rmm;
  const context = rmm.peContext(pe.index);
  const rec = rmm.rec(context.rec);

  fillGic(rmm);
  rec.timers_asserted = fillTimers(rmm);
  rec.vserror_pending = isolation.vserrorPending(pe) ? 1 : 0;
  if (context.fp_loaded) isolation.saveSimd(pe, rmm.bytesAt(rec.auxAt(REC_AUX.SIMD)), context);
  isolation.save(pe, rec, context);
  rmm.granules.get(rec.addr, "REC").refcount = 0;
  const { run, x4 } = context;
  context.rec = 0n;
  if (rmm.trace?.wants("rec")) traceExit(rmm, rec);

  // The Host may have delegated the page meanwhile: then it does not learn what happened, and the REC stays as it is.
  const fault = rmm.hostMemory.copyOut(run + BigInt(REC_EXIT_OFFSET), rmm.exitBytes);
  const refused: RmiFailure = { status: "RMI_ERROR_INPUT", index: 0, condition: "run_pas" };
  return completeRmi(rmm, REC_ENTER, { rec: rec.addr, run_ptr: run }, fault ? refused : ok, x4);
}
const REC_ENTER = { name: "RMI_REC_ENTER", out: [] } as const;

/** List registers and their control as they are now. Offsets between CNT* and the counters are zero in a Realm. */
function fillGic(rmm: Rmm): void {
  const { pe, exit } = rmm;
  const { r } = pe;
  const hcr = r[R.ICH_HCR_EL2]!;
  let inUse = (hcr & REC_GIC_HCR_HOST_MASK) !== 0n;
  const count = listRegisterCount(rmm.globals().ich_vtr);
  for (let n = 0; n < count; n++) {
    const lr = r[R.ICH_LR0 + n]!;
    if (lr === 0n) continue;
    inUse = true;
    exit.setBigUint64(EXIT.gicv3_lrs.offset + 8 * n, lr, true);
  }
  EXIT.gicv3_hcr.write(exit, 0, hcr & REC_GIC_HCR_EXIT_MASK);
  EXIT.gicv3_vmcr.write(exit, 0, r[R.ICH_VMCR_EL2]!);
  // Without list registers and without maintenance interrupts asked for, none can be pending.
  if (inUse) EXIT.gicv3_misr.write(exit, 0, rmm.isolation.interrupts.misr(pe));
}

function fillTimers({ pe, exit }: Rmm): number {
  const { r } = pe;
  const ctl = (timer: "CNTV" | "CNTP", stored: bigint) =>
    (stored & CNT_CTL.ENABLE.mask) === 0n ? stored : pe.timerCtl(timer);
  EXIT.cntp_ctl.write(exit, 0, ctl("CNTP", r[R.CNTP_CTL_EL0]!));
  EXIT.cntp_cval.write(exit, 0, r[R.CNTP_CVAL_EL0]!);
  EXIT.cntv_ctl.write(exit, 0, ctl("CNTV", r[R.CNTV_CTL_EL0]!));
  EXIT.cntv_cval.write(exit, 0, r[R.CNTV_CVAL_EL0]!);
  return timersAsserted(pe);
}

function traceExit(rmm: Rmm, rec: Rec): void {
  const { exit } = rmm;
  const reason = EXIT.exit_reason.read(exit, 0) as RmiRecExitReason;
  const fields: Record<string, TraceValue> = { rec: rec.addr, reason: REC_EXIT_REASON_NAMES[reason]!, pc: rec.pc };
  for (const name of ["esr", "far", "hpfar", "ripas_base", "ripas_top"] as const) {
    const value = EXIT[name].read(exit, 0);
    if (value !== 0n) fields[name] = value;
  }
  for (let n = 0; n < REC_RUN_GPRS; n++) {
    const value = exit.getBigUint64(EXIT.gprs.offset + 8 * n, true);
    if (value !== 0n) fields[`gprs[${n}]`] = value;
  }
  rmm.emit("rec", "REC exit", fields);
}
