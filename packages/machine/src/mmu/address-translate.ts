/**
 * AT: address translation instructions, whose result is PAR_EL1: the output address and its attributes, or the fault of
 * the walk. Some faults are exceptions instead. DDI 0487, "Address translation instructions", "PAR_EL1", AArch64.AT.
 *
 * @spec DDI 0487, "A64 System instructions for address translation": partial: no AT S1E1RP and S1E1WP
 */
import { SecurityState } from "@realmbox/abi";
import { Access } from "../cpu/engine.js";
import { R } from "../cpu/state.js";
import { hcrHi } from "../exceptions.js";
import type { Fault } from "../fault.js";
import type { Machine } from "../machine.js";
import type { Processor } from "../processor.js";
import { faultStatus, isGpcException, takeAbort } from "../syndrome.js";
import { isHostMode } from "../sysreg/rules.js";
import { HCR_H } from "../words.js";
import { Permission } from "./walk.js";

const PAR = { F: 1n, PTW: 1n << 8n, S: 1n << 9n, RES1: 1n << 11n, NS: 1n << 9n, NSE: 1n << 11n } as const;
/** SH = inner shareable, ATTR = Normal Write-Back; Device-nGnRnE is outer shareable, ATTR 0. */
const SH_INNER = 3n << 7n;
const SH_OUTER = 2n << 7n;
const ATTR_NORMAL = 0xffn << 56n;

export interface TranslationRequest {
  /** The instruction, and the virtual address as it gives it. */
  readonly insn: number;
  readonly lo: number;
  readonly hi: number;
  /** Whose privilege, and with what access. */
  readonly el: 0 | 1 | 2 | 3;
  readonly write: boolean;
  /** Stages 1 and 2; else stage 1 alone. */
  readonly both: boolean;
}

/** Executes an AT instruction; false when it took an exception. */
export function addressTranslate(machine: Machine, pe: Processor, request: TranslationRequest): boolean {
  const { mmu } = machine;
  const { walker } = mmu;
  const need = request.write ? Permission.WRITE : Permission.READ;
  // Under {E2H, TGE} = {1, 1}, AT S1E1x and S1E0x at EL2 are of the EL2&0 regime.
  const el = request.el <= 1 && pe.el >= 2 && !request.both && isHostMode(pe.w) ? 2 : request.el;
  const context = mmu.contextFor(pe, { el: el === 0 ? 1 : el, unprivileged: request.el === 0 });
  const hi = mmu.untag(context, request.hi);
  const options = { need, unaligned: false, update: false };
  const { protection } = pe;
  const fault = request.both
    ? walker.translate(context, protection, request.lo, hi, options)
    : walker.stage1(context, protection, request.lo, hi, options);
  if (fault && isException(pe, fault, request)) {
    const { insn, lo } = request;
    takeAbort(pe, fault, { lo, hi: request.hi, fetch: false, write: true, insn, flags: Access.MAINTENANCE });
    return false;
  }
  if (fault) {
    pe.r[R.PAR_EL1] = failure(fault);
    return true;
  }
  const pa = request.both ? walker.pa : walker.ipa;
  const pas = request.both ? walker.pas : walker.ipaPas;
  const device = request.both ? walker.device : walker.s1Device;
  // NS and NSE say which space; NSE only for the Root state's own translations.
  const space =
    context.state === SecurityState.NON_SECURE
      ? 0n
      : ((pas & 1) !== 0 ? PAR.NS : 0n) | (el === 3 && (pas & 2) !== 0 ? PAR.NSE : 0n);
  pe.r[R.PAR_EL1] = (BigInt(pa) & ~0xfffn) | space | (device ? SH_OUTER : SH_INNER | ATTR_NORMAL);
  return true;
}

/**
 * Whether a fault is an exception and not a result: external aborts on the walk, GPC exceptions, a stage-2 fault on the
 * walk of AT S1E1x and S1E0x at EL1, and a granule protection fault of these under HCR_EL2.GPF.
 */
function isException(pe: Processor, fault: Fault, { both }: TranslationRequest): boolean {
  if (fault.fault === "external" || isGpcException(pe, fault)) return true;
  if (pe.el !== 1 || both) return false;
  return fault.s1ptw || (fault.fault === "granule-protection" && (hcrHi(pe.w) & HCR_H.GPF) !== 0);
}

const failure = (fault: Fault): bigint =>
  PAR.F |
  PAR.RES1 |
  (BigInt(faultStatus(fault)) << 1n) |
  (fault.s1ptw ? PAR.PTW : 0n) |
  (fault.stage === 2 ? PAR.S : 0n);
