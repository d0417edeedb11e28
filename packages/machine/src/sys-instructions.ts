/**
 * The SYS space: cache maintenance, DC ZVA, address translation (AT), TLB maintenance. Caches have no state here: their
 * maintenance translates and faults as the architecture says and does nothing. TLB maintenance may drop more than it is
 * asked to. DDI 0487, "Cache maintenance instructions", "Address translation instructions", "TLB maintenance instructions".
 *
 * @spec DDI 0487, "The A64 System Instruction Class": partial: no range and outer-shareable TLBI (FEAT_TLBIRANGE,
 *   FEAT_TLBIOS) but those of RME, no DC CVAP, no AT S1E1RP
 */
import { SecurityState } from "@realmbox/abi";
import { Access, DC_ZVA_BYTES, HostReply } from "./cpu/engine.js";
import { R } from "./cpu/state.js";
import { takeWatchpointOf } from "./debug/exceptions.js";
import { el2Enabled, hcrLo, lowerState, takeSync, takeUndefined } from "./exceptions.js";
import type { Machine } from "./machine.js";
import { addressTranslate } from "./mmu/address-translate.js";
import { Regime, scopeOf, type TlbScope } from "./mmu/context.js";
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
  /** Bits of HCR_EL2 without which nothing of `rules` refuses EL1. */
  readonly traps?: number;
  readonly run: Handler;
}

/** For EL1: what HCR_EL2 traps. */
const trapped = (rule: Rule, bit: number) => ({ rules: [rule], traps: bit });
/** For EL0 as well, where SCTLR_EL1.UCI allows it. */
const trappedForEl0 = (rule: Rule, bit: number) => ({ rules: [el0Needs(SCTLR_EL0.UCI), rule], traps: bit });

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
    // What can be read translates, and its last permission fault is EL0's, which asks for reads.
    if (!watched && mmu.probe(context.read, lo, untagged) !== 0) return HostReply.NEXT;
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
  let host = context.alignAlways ? 0 : mmu.probeWrite(context, at, hi);
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

const pou = trapped(tpu, HCR.TPU);
const poc = trapped(tpcp, HCR.TPCP);
const setWay = trapped(tsw, HCR.TSW);
const pouForEl0 = trappedForEl0(tpu, HCR.TPU);
const pocForEl0 = trappedForEl0(tpcp, HCR.TPCP);

const cacheRows: readonly SysRow[] = [
  { name: "IC IALLUIS", at: [0, 7, 1, 0], el: 1, ...pou, run: nothing },
  { name: "IC IALLU", at: [0, 7, 5, 0], el: 1, ...pou, run: nothing },
  { name: "IC IVAU", at: [3, 7, 5, 1], el: 0, ...pouForEl0, run: nothing },
  { name: "DC IVAC", at: [0, 7, 6, 1], el: 1, ...poc, run: cacheByVa(() => Permission.WRITE, true) },
  { name: "DC ISW", at: [0, 7, 6, 2], el: 1, ...setWay, run: nothing },
  { name: "DC CSW", at: [0, 7, 10, 2], el: 1, ...setWay, run: nothing },
  { name: "DC CISW", at: [0, 7, 14, 2], el: 1, ...setWay, run: nothing },
  { name: "DC ZVA", at: [3, 7, 4, 1], el: 0, rules: zvaRules, run: zeroByVa },
  { name: "DC CVAC", at: [3, 7, 10, 1], el: 0, ...pocForEl0, run: cacheByVa(el0Read) },
  { name: "DC CVAU", at: [3, 7, 11, 1], el: 0, ...pouForEl0, run: cacheByVa(el0Read) },
  { name: "DC CIVAC", at: [3, 7, 14, 1], el: 0, ...pocForEl0, run: cacheByVa(el0Read) },
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

/** What the TLBI that is executed names: one object for all, for it does not outlive the instruction. */
const named: TlbScope = { scopes: 0, vmid: -1, asid: -1 };

/** Sets the VMID and the ASID to all. */
type Name = (pe: Processor) => void;

function nameAll(scopes: number): void {
  named.scopes = scopes;
  named.vmid = -1;
  named.asid = -1;
}

/** The contexts that a TLBI …E1 names: the EL2&0 regime in host mode, else EL1&0 with the current VMID. */
function nameEl1(pe: Processor): void {
  const { w } = pe;
  const state = lowerState(w);
  if (pe.el >= 2 && isHostMode(w)) {
    nameAll(scopeOf(Regime.EL20, state));
    return;
  }
  nameAll(scopeOf(Regime.EL10, state));
  if (el2Enabled(w)) named.vmid = currentVmid(pe);
}

/** VTTBR_EL2.VMID, eight bits of it unless VTCR_EL2.VS. */
const currentVmid = ({ w }: Processor): number =>
  (w[R.VTTBR_EL2 * 2 + 1]! >>> 16) & ((w[R.VTCR_EL2 * 2]! & (1 << 19)) !== 0 ? 0xffff : 0xff);

function nameEl2({ w }: Processor): void {
  const state = lowerState(w);
  nameAll(scopeOf(Regime.EL2, state) | scopeOf(Regime.EL20, state));
}

const nameEl3: Name = () => nameAll(scopeOf(Regime.EL3, SecurityState.ROOT));

/** By IPA: entries combine both stages and do not remember their IPA, so the whole VMID goes, whatever TGE says. */
function nameVmid(pe: Processor): void {
  nameAll(scopeOf(Regime.EL10, lowerState(pe.w)));
  named.vmid = currentVmid(pe);
}

const nameVmids: Name = (pe) => nameAll(scopeOf(Regime.EL10, lowerState(pe.w)));

/** On which PEs: the instruction's, or all (IS forms; HCR_EL2.FB makes EL1's local forms broadcast). */
const scope = (pe: Processor, local: boolean): Processor | undefined =>
  local && !(pe.el === 1 && (hcrLo(pe.w) & (1 << 9)) !== 0) ? pe : undefined;

const flushNamed =
  (name: Name, local: boolean): Handler =>
  (machine, pe) => {
    name(pe);
    machine.mmu.flushScope(named, scope(pe, local));
    return refetch(pe);
  };

/** By ASID, bits 63:48. Global entries stay, and so do the contexts of other ASIDs. */
const flushAsid =
  (local: boolean): Handler =>
  (machine, pe, insn) => {
    nameEl1(pe);
    named.asid = operandHi(pe, insn) >>> 16;
    machine.mmu.flushScope(named, scope(pe, local));
    return refetch(pe);
  };

/**
 * By address: VA[55:12] in bits 43:0. Global entries lie in contexts of every ASID, so an ASID narrows nothing. `leaf`:
 * only last-level entries.
 */
const flushPage =
  (name: Name, leaf: boolean, local: boolean): Handler =>
  (machine, pe, insn) => {
    const lo = operandLo(pe, insn);
    const hi = operandHi(pe, insn);
    const vaHi = ((((hi << 12) | (lo >>> 20)) & 0xff_ffff) << 8) >> 8;
    name(pe);
    machine.mmu.flushVa(named, lo << 12, vaHi, leaf, scope(pe, local));
    return refetch(pe);
  };

/** The page that the engine fetches from may be among what was dropped. */
function refetch(pe: Processor): number {
  pe.completeInstruction();
  return HostReply.JUMP;
}

/** The IS form (CRm `crm`) and the local one. */
function tlbiPair(
  name: string,
  form: { op1: number; op2: number; el: 1 | 2 | 3; make: (local: boolean) => Handler },
): SysRow[] {
  const { op1, op2, el, make } = form;
  const checks = el === 1 ? trapped(ttlb, HCR.TTLB) : {};
  return [
    { name: `TLBI ${name}IS`, at: [op1, 8, 3, op2], el, ...checks, run: make(false) },
    { name: `TLBI ${name}`, at: [op1, 8, 7, op2], el, ...checks, run: make(true) },
  ];
}

const whole = (name: Name) => (local: boolean) => flushNamed(name, local);
const page = (name: Name) => (local: boolean) => flushPage(name, false, local);
const leafPage = (name: Name) => (local: boolean) => flushPage(name, true, local);

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
  ...tlbiPair("VMALLE1", { op1: 0, op2: 0, el: 1, make: whole(nameEl1) }),
  ...tlbiPair("VAE1", { op1: 0, op2: 1, el: 1, make: page(nameEl1) }),
  ...tlbiPair("ASIDE1", { op1: 0, op2: 2, el: 1, make: flushAsid }),
  ...tlbiPair("VAAE1", { op1: 0, op2: 3, el: 1, make: page(nameEl1) }),
  ...tlbiPair("VALE1", { op1: 0, op2: 5, el: 1, make: leafPage(nameEl1) }),
  ...tlbiPair("VAALE1", { op1: 0, op2: 7, el: 1, make: leafPage(nameEl1) }),
  ...tlbiPair("ALLE2", { op1: 4, op2: 0, el: 2, make: whole(nameEl2) }),
  ...tlbiPair("VAE2", { op1: 4, op2: 1, el: 2, make: page(nameEl2) }),
  ...tlbiPair("VALE2", { op1: 4, op2: 5, el: 2, make: leafPage(nameEl2) }),
  ...tlbiPair("ALLE1", { op1: 4, op2: 4, el: 2, make: whole(nameVmids) }),
  ...tlbiPair("VMALLS12E1", { op1: 4, op2: 6, el: 2, make: whole(nameVmid) }),
  { name: "TLBI IPAS2E1IS", at: [4, 8, 0, 1], el: 2, run: flushNamed(nameVmid, false) },
  { name: "TLBI IPAS2LE1IS", at: [4, 8, 0, 5], el: 2, run: flushNamed(nameVmid, false) },
  { name: "TLBI IPAS2E1", at: [4, 8, 4, 1], el: 2, run: flushNamed(nameVmid, true) },
  { name: "TLBI IPAS2LE1", at: [4, 8, 4, 5], el: 2, run: flushNamed(nameVmid, true) },
  ...tlbiPair("ALLE3", { op1: 6, op2: 0, el: 3, make: whole(nameEl3) }),
  ...tlbiPair("VAE3", { op1: 6, op2: 1, el: 3, make: page(nameEl3) }),
  ...tlbiPair("VALE3", { op1: 6, op2: 5, el: 3, make: leafPage(nameEl3) }),
  { name: "TLBI PAALLOS", at: [6, 8, 1, 4], el: 3, run: granules },
  { name: "TLBI PAALL", at: [6, 8, 7, 4], el: 3, run: granules },
  { name: "TLBI RPAOS", at: [6, 8, 4, 3], el: 3, run: granuleRange },
  { name: "TLBI RPALOS", at: [6, 8, 4, 7], el: 3, run: granuleRange },
];

/** All SYS instructions; also what tests and tools list. */
export const SYS_ROWS: readonly SysRow[] = [...cacheRows, ...atRows, ...tlbiRows];

/** Row plus one by op1:CRn:CRm:op2. */
const byKey = new Uint8Array(1 << 14);
for (const [
  i,
  {
    at: [op1, crn, crm, op2],
  },
] of SYS_ROWS.entries()) {
  byKey[(op1 << 11) | (crn << 7) | (crm << 3) | op2] = i + 1;
}

/** SYS and SYSL. */
export function executeSys(machine: Machine, pe: Processor, insn: number): number {
  const row = (insn & (1 << 21)) === 0 ? SYS_ROWS[byKey[(insn >>> 5) & 0x3fff]! - 1] : undefined;
  const { el } = pe;
  if (!row || el < row.el) {
    const crn = (insn >>> 12) & 0xf;
    const isTrapped = !row && el === 1 && (crn === 11 || crn === 15) && (hcrLo(pe.w) & HCR.TIDCP) !== 0;
    if (isTrapped) takeSync(pe, 2, trapEsr(insn));
    else takeUndefined(pe);
    return HostReply.JUMP;
  }
  if (el === 1 && row.traps !== undefined && (hcrLo(pe.w) & row.traps) === 0) return row.run(machine, pe, insn);
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
