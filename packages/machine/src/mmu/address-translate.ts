/**
 * AT: address translation instructions, whose result is PAR_EL1. A walk that faults is reported there; a stage-2 fault or
 * external abort of a walk that EL2 must see is not modelled as an exception but reported in PAR_EL1 too, as the
 * architecture has it for AT S12. DDI 0487, "Address translation instructions", "PAR_EL1".
 *
 * @spec DDI 0487, AT instructions: partial: a stage-2 fault on the walk of AT S1E1x at EL1 is reported in PAR_EL1, not taken
 * to EL2
 */
import { SecurityState } from "@realmbox/abi";
import { R } from "../cpu/state.js";
import type { Fault } from "../fault.js";
import type { Machine } from "../machine.js";
import type { Processor } from "../processor.js";
import { faultStatus } from "../syndrome.js";
import { isHostMode } from "../sysreg/rules.js";
import { Permission } from "./walk.js";

const PAR = { F: 1n, PTW: 1n << 8n, S: 1n << 9n, RES1: 1n << 11n, NS: 1n << 9n, NSE: 1n << 11n } as const;
/** SH = inner shareable, ATTR = Normal Write-Back; Device-nGnRnE is outer shareable, ATTR 0. */
const SH_INNER = 3n << 7n;
const SH_OUTER = 2n << 7n;
const ATTR_NORMAL = 0xffn << 56n;

export function addressTranslate(
  machine: Machine,
  pe: Processor,
  request: { lo: number; hi: number; el: 0 | 1 | 2 | 3; write: boolean; both: boolean },
): void {
  const { mmu } = machine;
  const { walker } = mmu;
  const need = request.write ? Permission.WRITE : Permission.READ;
  // Under {E2H, TGE} = {1, 1}, AT S1E1x and S1E0x at EL2 are of the EL2&0 regime.
  const el = request.el <= 1 && pe.el >= 2 && !request.both && isHostMode(pe.w) ? 2 : request.el;
  const context = mmu.contextFor(pe, { el: el === 0 ? 1 : el, unprivileged: request.el === 0 });
  const hi = mmu.untag(context, request.hi);
  const options = { need, unaligned: false };
  const { protection } = pe;
  const fault = request.both
    ? walker.translate(context, protection, request.lo, hi, options)
    : walker.stage1(context, protection, request.lo, hi, options);
  if (fault) {
    pe.r[R.PAR_EL1] = failure(fault);
    return;
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
}

const failure = (fault: Fault): bigint =>
  PAR.F |
  PAR.RES1 |
  (BigInt(faultStatus(fault)) << 1n) |
  (fault.s1ptw ? PAR.PTW : 0n) |
  (fault.stage === 2 ? PAR.S : 0n);
