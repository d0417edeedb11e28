/**
 * The SYS space: cache maintenance, DC ZVA, address translation (AT), TLB maintenance. Caches have no state here: their
 * maintenance translates and faults as the architecture says and does nothing. TLB maintenance may drop more than it is
 * asked to. DDI 0487, "Cache maintenance instructions", "Address translation instructions", "TLB maintenance instructions".
 *
 * @spec DDI 0487, "The A64 System Instruction Class": partial: no range and outer-shareable TLBI (FEAT_TLBIRANGE,
 *   FEAT_TLBIOS) but those of RME, no DC CVAP, no AT S1E1RP
 */
import { Access, DC_ZVA_BYTES, HostReply } from "./cpu/engine.js";
import { R } from "./cpu/state.js";
import { takeWatchpointOf } from "./debug/exceptions.js";
import { el2Enabled, hcrLo, lowerState, takeSync, takeUndefined } from "./exceptions.js";
import type { Machine } from "./machine.js";
import { addressTranslate } from "./mmu/address-translate.js";
import { Regime, type TranslationContext } from "./mmu/context.js";
import { Permission } from "./mmu/walk.js";
import type { Processor } from "./processor.js";
import { takeAbort } from "./syndrome.js";
import { type Check, OK, type Rule, UNDEFINED } from "./sysreg/row.js";
import { el0Needs, isHostMode, SCTLR_EL0, tpcp, tpu, tsw, ttlb, zvaRules } from "./sysreg/rules.js";
import { trapEsr } from "./sysreg/system-registers.js";
import { HCR } from "./words.js";

type Handler = (machine: Machine, pe: Processor, insn: number) => number;

interface SysRow {
  readonly name: string;
  /** op1, CRn, CRm, op2. */
  readonly at: readonly [number, number, number, number];
  readonly el: 0 | 1 | 2 | 3;
  readonly rules?: readonly Rule[];
  readonly run: Handler;
}

const nothing: Handler = () => HostReply.NEXT;

/** Rt as two words. */
const operandLo = (pe: Processor, insn: number): number => {
  const rt = insn & 0x1f;
  return rt === 31 ? 0 : pe.w[(R.X0 + rt) * 2]!;
};
const operandHi = (pe: Processor, insn: number): number => {
  const rt = insn & 0x1f;
  return rt === 31 ? 0 : pe.w[(R.X0 + rt) * 2 + 1]!;
};

/**
 * DC by address: the address translates; `need` is what its permission fault asks for. `watched`: watchpoints see a store
 * of the whole line; of the others they see nothing.
 */
const cacheByVa =
  (need: (el: number) => number, watched = false): Handler =>
  (machine, pe, insn) => {
    const { mmu } = machine;
    const lo = operandLo(pe, insn);
    const hi = operandHi(pe, insn);
    const context = mmu.current(pe);
    const untagged = mmu.untag(context, hi);
    const fault = mmu.translateOnly(pe, context, lo, untagged, need(pe.el));
    if (watched && context.watches) {
      const line = { lo: lo & ~(CACHE_LINE - 1), hi: untagged, tagged: hi, size: CACHE_LINE, read: false, write: true };
      if (takeWatchpointOf(pe, context.watches, fault, { ...line, maintenance: true })) return HostReply.JUMP;
    }
    if (!fault) return HostReply.NEXT;
    takeAbort(pe, fault, { lo, hi, fetch: false, write: true, insn, flags: Access.MAINTENANCE });
    return HostReply.JUMP;
  };

/** CTR_EL0.DminLine. */
const CACHE_LINE = 64;

const el0Read = (el: number): number => (el === 0 ? Permission.READ : 0);

/** DC ZVA: a store of 64 zero bytes; to Device memory an alignment fault. */
const zeroByVa: Handler = (machine, pe, insn) => {
  const { mmu, memory } = machine;
  const lo = operandLo(pe, insn);
  const hi = operandHi(pe, insn);
  const at = lo & ~(DC_ZVA_BYTES - 1);
  const context = mmu.current(pe);
  let host = context.alignAlways ? 0 : mmu.probe(context.write, at, hi);
  if (host === 0) {
    // `unaligned`: what makes an access to Device memory fault.
    const untagged = mmu.untag(context, hi);
    const fault = mmu.access(pe, context, at, untagged, Permission.WRITE, true);
    if (context.watches) {
      const block = { lo: at, hi: untagged, tagged: hi, size: DC_ZVA_BYTES, read: false, write: true };
      if (takeWatchpointOf(pe, context.watches, fault, block)) return HostReply.JUMP;
    }
    if (fault) {
      takeAbort(pe, fault, { lo, hi, fetch: false, write: true, insn, flags: Access.MAINTENANCE });
      return HostReply.JUMP;
    }
    host = mmu.host;
  }
  memory.u8.fill(0, host, host + DC_ZVA_BYTES);
  return HostReply.NEXT;
};

const el0Cache = el0Needs(SCTLR_EL0.UCI);

const cacheRows: readonly SysRow[] = [
  { name: "IC IALLUIS", at: [0, 7, 1, 0], el: 1, rules: [tpu], run: nothing },
  { name: "IC IALLU", at: [0, 7, 5, 0], el: 1, rules: [tpu], run: nothing },
  { name: "IC IVAU", at: [3, 7, 5, 1], el: 0, rules: [el0Cache, tpu], run: nothing },
  { name: "DC IVAC", at: [0, 7, 6, 1], el: 1, rules: [tpcp], run: cacheByVa(() => Permission.WRITE, true) },
  { name: "DC ISW", at: [0, 7, 6, 2], el: 1, rules: [tsw], run: nothing },
  { name: "DC CSW", at: [0, 7, 10, 2], el: 1, rules: [tsw], run: nothing },
  { name: "DC CISW", at: [0, 7, 14, 2], el: 1, rules: [tsw], run: nothing },
  { name: "DC ZVA", at: [3, 7, 4, 1], el: 0, rules: zvaRules, run: zeroByVa },
  { name: "DC CVAC", at: [3, 7, 10, 1], el: 0, rules: [el0Cache, tpcp], run: cacheByVa(el0Read) },
  { name: "DC CVAU", at: [3, 7, 11, 1], el: 0, rules: [el0Cache, tpu], run: cacheByVa(el0Read) },
  { name: "DC CIVAC", at: [3, 7, 14, 1], el: 0, rules: [el0Cache, tpcp], run: cacheByVa(el0Read) },
  { name: "DC CIPAPA", at: [6, 7, 14, 1], el: 3, run: nothing },
  { name: "DC CIGDPAPA", at: [6, 7, 14, 5], el: 3, run: nothing },
];

const at =
  (options: { el: 0 | 1 | 2 | 3; write: boolean; both: boolean }): Handler =>
  (machine, pe, insn) => {
    const request = { insn, lo: operandLo(pe, insn), hi: operandHi(pe, insn), ...options };
    return addressTranslate(machine, pe, request) ? HostReply.NEXT : HostReply.JUMP;
  };

/** The EL2 regimes need EL2: UNDEFINED at EL3 while it is disabled. */
const needsEl2: Rule = ({ w }) => (el2Enabled(w) ? OK : UNDEFINED);

const atRows: readonly SysRow[] = [
  { name: "AT S1E1R", at: [0, 7, 8, 0], el: 1, run: at({ el: 1, write: false, both: false }) },
  { name: "AT S1E1W", at: [0, 7, 8, 1], el: 1, run: at({ el: 1, write: true, both: false }) },
  { name: "AT S1E0R", at: [0, 7, 8, 2], el: 1, run: at({ el: 0, write: false, both: false }) },
  { name: "AT S1E0W", at: [0, 7, 8, 3], el: 1, run: at({ el: 0, write: true, both: false }) },
  { name: "AT S1E2R", at: [4, 7, 8, 0], el: 2, rules: [needsEl2], run: at({ el: 2, write: false, both: false }) },
  { name: "AT S1E2W", at: [4, 7, 8, 1], el: 2, rules: [needsEl2], run: at({ el: 2, write: true, both: false }) },
  { name: "AT S12E1R", at: [4, 7, 8, 4], el: 2, run: at({ el: 1, write: false, both: true }) },
  { name: "AT S12E1W", at: [4, 7, 8, 5], el: 2, run: at({ el: 1, write: true, both: true }) },
  { name: "AT S12E0R", at: [4, 7, 8, 6], el: 2, run: at({ el: 0, write: false, both: true }) },
  { name: "AT S12E0W", at: [4, 7, 8, 7], el: 2, run: at({ el: 0, write: true, both: true }) },
  { name: "AT S1E3R", at: [6, 7, 8, 0], el: 3, run: at({ el: 3, write: false, both: false }) },
  { name: "AT S1E3W", at: [6, 7, 8, 1], el: 3, run: at({ el: 3, write: true, both: false }) },
];

type Match = (context: TranslationContext) => boolean;

/**
 * The contexts that a TLBI …E1 names: the EL2&0 regime in host mode, else EL1&0 with the current VMID. Global entries lie
 * in contexts of every ASID, so an ASID narrows nothing.
 */
function el1Match(pe: Processor): Match {
  const { w } = pe;
  const state = lowerState(w);
  if (pe.el >= 2 && isHostMode(w)) return (context) => context.regime === Regime.EL20 && context.state === state;
  return vmidMatch(state, el2Enabled(w) ? currentVmid(pe) : -1);
}

/** EL1&0 contexts of a VMID; a context without stage 2 has none and matches always, and so does a `vmid` of -1. */
const vmidMatch =
  (state: number, vmid: number): Match =>
  (context) =>
    context.regime === Regime.EL10 &&
    context.state === state &&
    (vmid < 0 || context.vmid < 0 || context.vmid === vmid);

/** VTTBR_EL2.VMID, eight bits of it unless VTCR_EL2.VS. */
const currentVmid = ({ w }: Processor): number =>
  (w[R.VTTBR_EL2 * 2 + 1]! >>> 16) & ((w[R.VTCR_EL2 * 2]! & (1 << 19)) !== 0 ? 0xffff : 0xff);

const el2Match = ({ w }: Processor): Match => {
  const state = lowerState(w);
  return ({ regime, state: own }) => own === state && (regime === Regime.EL2 || regime === Regime.EL20);
};

const el3Match: Match = ({ regime }) => regime === Regime.EL3;

/** On which PEs: the instruction's, or all (IS forms; HCR_EL2.FB makes EL1's local forms broadcast). */
const scope = (pe: Processor, local: boolean): Processor | undefined =>
  local && !(pe.el === 1 && (hcrLo(pe.w) & (1 << 9)) !== 0) ? pe : undefined;

const flushMatching =
  (match: (pe: Processor) => Match, local: boolean): Handler =>
  (machine, pe) => {
    machine.mmu.flushWhere(match(pe), scope(pe, local));
    return refetch(pe);
  };

/** By address: VA[55:12] in bits 43:0. */
const flushPage =
  (match: (pe: Processor) => Match, local: boolean): Handler =>
  (machine, pe, insn) => {
    const lo = operandLo(pe, insn);
    const hi = operandHi(pe, insn);
    const vaHi = ((((hi << 12) | (lo >>> 20)) & 0xff_ffff) << 8) >> 8;
    machine.mmu.flushVa(match(pe), lo << 12, vaHi, scope(pe, local));
    return refetch(pe);
  };

/** The page that the engine fetches from may be among what was dropped. */
function refetch(pe: Processor): number {
  pe.completeInstruction();
  return HostReply.JUMP;
}

/** By IPA: entries combine both stages and do not remember their IPA, so the whole VMID goes, whatever TGE says. */
const vmidOf = (pe: Processor): Match => vmidMatch(lowerState(pe.w), currentVmid(pe));
const allVmids = (pe: Processor): Match => vmidMatch(lowerState(pe.w), -1);

/** The IS form (CRm `crm`) and the local one. */
function tlbiPair(
  name: string,
  form: { op1: number; op2: number; el: 1 | 2 | 3; make: (local: boolean) => Handler },
): SysRow[] {
  const { op1, op2, el, make } = form;
  const rules = el === 1 ? [ttlb] : [];
  return [
    { name: `TLBI ${name}IS`, at: [op1, 8, 3, op2], el, rules, run: make(false) },
    { name: `TLBI ${name}`, at: [op1, 8, 7, op2], el, rules, run: make(true) },
  ];
}

const whole = (match: (pe: Processor) => Match) => (local: boolean) => flushMatching(match, local);
const page = (match: (pe: Processor) => Match) => (local: boolean) => flushPage(match, local);
const el3 = () => el3Match;

const granules: Handler = (machine, pe) => {
  machine.invalidateGranules(0, Number.POSITIVE_INFINITY);
  return refetch(pe);
};

/** RPAOS, RPALOS: SIZE in bits 47:44, PA[51:12] in bits 39:0. */
const RANGE_BITS = [12, 14, 16, 21, 25, 29, 30, 34, 36, 39] as const;
const granuleRange: Handler = (machine, pe, insn) => {
  const lo = operandLo(pe, insn);
  const hi = operandHi(pe, insn);
  const bits = RANGE_BITS[(hi >>> 12) & 0xf];
  const pa = ((hi & 0xff) * 2 ** 32 + (lo >>> 0)) * 4096;
  if (bits !== undefined) machine.invalidateGranules(pa, 2 ** bits);
  return refetch(pe);
};

const tlbiRows: readonly SysRow[] = [
  ...tlbiPair("VMALLE1", { op1: 0, op2: 0, el: 1, make: whole(el1Match) }),
  ...tlbiPair("VAE1", { op1: 0, op2: 1, el: 1, make: page(el1Match) }),
  ...tlbiPair("ASIDE1", { op1: 0, op2: 2, el: 1, make: whole(el1Match) }),
  ...tlbiPair("VAAE1", { op1: 0, op2: 3, el: 1, make: page(el1Match) }),
  ...tlbiPair("VALE1", { op1: 0, op2: 5, el: 1, make: page(el1Match) }),
  ...tlbiPair("VAALE1", { op1: 0, op2: 7, el: 1, make: page(el1Match) }),
  ...tlbiPair("ALLE2", { op1: 4, op2: 0, el: 2, make: whole(el2Match) }),
  ...tlbiPair("VAE2", { op1: 4, op2: 1, el: 2, make: page(el2Match) }),
  ...tlbiPair("VALE2", { op1: 4, op2: 5, el: 2, make: page(el2Match) }),
  ...tlbiPair("ALLE1", { op1: 4, op2: 4, el: 2, make: whole(allVmids) }),
  ...tlbiPair("VMALLS12E1", { op1: 4, op2: 6, el: 2, make: whole(vmidOf) }),
  { name: "TLBI IPAS2E1IS", at: [4, 8, 0, 1], el: 2, run: flushMatching(vmidOf, false) },
  { name: "TLBI IPAS2LE1IS", at: [4, 8, 0, 5], el: 2, run: flushMatching(vmidOf, false) },
  { name: "TLBI IPAS2E1", at: [4, 8, 4, 1], el: 2, run: flushMatching(vmidOf, true) },
  { name: "TLBI IPAS2LE1", at: [4, 8, 4, 5], el: 2, run: flushMatching(vmidOf, true) },
  ...tlbiPair("ALLE3", { op1: 6, op2: 0, el: 3, make: whole(el3) }),
  ...tlbiPair("VAE3", { op1: 6, op2: 1, el: 3, make: page(el3) }),
  ...tlbiPair("VALE3", { op1: 6, op2: 5, el: 3, make: page(el3) }),
  { name: "TLBI PAALLOS", at: [6, 8, 1, 4], el: 3, run: granules },
  { name: "TLBI PAALL", at: [6, 8, 7, 4], el: 3, run: granules },
  { name: "TLBI RPAOS", at: [6, 8, 4, 3], el: 3, run: granuleRange },
  { name: "TLBI RPALOS", at: [6, 8, 4, 7], el: 3, run: granuleRange },
];

/** All SYS instructions; also what tests and tools list. */
export const SYS_ROWS: readonly SysRow[] = [...cacheRows, ...atRows, ...tlbiRows];

const byKey = new Map(
  SYS_ROWS.map((row) => [(row.at[0] << 11) | (row.at[1] << 7) | (row.at[2] << 3) | row.at[3], row]),
);

/** SYS and SYSL. */
export function executeSys(machine: Machine, pe: Processor, insn: number): number {
  const row = (insn & (1 << 21)) === 0 ? byKey.get((insn >>> 5) & 0x3fff) : undefined;
  const { el } = pe;
  if (!row || el < row.el) {
    const crn = (insn >>> 12) & 0xf;
    const trapped = !row && el === 1 && (crn === 11 || crn === 15) && (hcrLo(pe.w) & HCR.TIDCP) !== 0;
    if (trapped) takeSync(pe, 2, trapEsr(insn));
    else takeUndefined(pe);
    return HostReply.JUMP;
  }
  const check = firstRefusal(row.rules, pe, el);
  if (check !== OK) {
    if (check < 0) takeUndefined(pe);
    else takeSync(pe, check as 1 | 2 | 3, trapEsr(insn));
    return HostReply.JUMP;
  }
  return row.run(machine, pe, insn);
}

function firstRefusal(rules: readonly Rule[] | undefined, pe: Processor, el: number): Check {
  if (!rules) return OK;
  for (const rule of rules) {
    const check = rule(pe, el, true);
    if (check !== OK) return check;
  }
  return OK;
}
