/**
 * Translation contexts: everything that decides how a virtual address of one regime, privilege and Security state is
 * translated, decoded once from the system registers. A PE keeps a few contexts, each with its TLB arrays, found again by
 * the registers' values; so a REC entry and exit, a change of ASID, or an EL change flushes nothing.
 *
 * DDI 0487, "Translation regimes", "TCR_EL1", "TCR_EL2", "VTCR_EL2", "VSTCR_EL2".
 */
import { Pas, SecurityState } from "@realmbox/abi";
import { R } from "../cpu/state.js";
import type { Watches } from "../debug/watches.js";
import { el2Enabled, lowerState } from "../lower-state.js";
import type { Processor } from "../processor.js";
import { HCR, HCR_H, HCR_HI, HCR_LO, PSTATE, PSTATE_LO, SCR, SCR_LO } from "../words.js";
import { PERMISSION_INDICES, stage1Output, stage1Permissions } from "./descriptor.js";
import { Regime } from "./regime.js";
import type { TlbArrays } from "./tlb.js";
import { WalkCache } from "./walk-cache.js";

export { Regime };

/** SCTLR_ELx, low word: what translation and alignment use. */
export const SCTLR = { M: 1 << 0, A: 1 << 1, SA: 1 << 3, SA0: 1 << 4, WXN: 1 << 19 } as const;

const SCTLR_LO = [R.SCTLR_EL1 * 2, R.SCTLR_EL2 * 2, R.SCTLR_EL2 * 2, R.SCTLR_EL3 * 2] as const;
export const TCR_LO = [R.TCR_EL1 * 2, R.TCR_EL2 * 2, R.TCR_EL2 * 2, R.TCR_EL3 * 2] as const;
const TTBR0_LO = [R.TTBR0_EL1 * 2, R.TTBR0_EL2 * 2, R.TTBR0_EL2 * 2, R.TTBR0_EL3 * 2] as const;
const TTBR1_LO = [R.TTBR1_EL1 * 2, -1, R.TTBR1_EL2 * 2, -1] as const;
const MAIR_LO = [R.MAIR_EL1 * 2, R.MAIR_EL2 * 2, R.MAIR_EL2 * 2, R.MAIR_EL3 * 2] as const;
const VTCR_LO = R.VTCR_EL2 * 2;
const VTTBR_LO = R.VTTBR_EL2 * 2;
const VSTCR_LO = R.VSTCR_EL2 * 2;
const VSTTBR_LO = R.VSTTBR_EL2 * 2;

const PA_SIZES = [32, 36, 40, 42, 44, 48, 52, 52] as const;

/** Physical address bits of an IPS or PS field, at most what the machine has. */
const outputLimit = (field: number, paBits: number): number => 2 ** Math.min(PA_SIZES[field]!, paBits);

/** A pair of words as a number; for table bases, below 2^53. */
const join = (lo: number, hi: number): number => (hi >>> 0) * 2 ** 32 + (lo >>> 0);

/** One range of virtual addresses of stage 1 (TTBR0 or TTBR1), or a stage-2 input range. */
export interface TableRange {
  /** No walk is made: EPD, E0PD, or a size that the architecture does not allow. Translation fault, level 0. */
  readonly off: boolean;
  /** Bits of input address that the tables cover. */
  readonly inputBits: number;
  /** Level of the first look-up. */
  readonly level: number;
  /** Physical or intermediate address of the first table. */
  readonly baseLo: number;
  readonly baseHi: number;
  /** Entries of the first table minus one; concatenated stage-2 tables count as one. */
  readonly indexMask: number;
  /** The table's address exceeds the output size: Address size fault, level 0. */
  readonly baseTooBig: boolean;
  /** Hierarchical permissions are ignored. */
  readonly hpd: boolean;
  /** The top byte of an address is ignored: of data, and of instructions. */
  readonly tbi: boolean;
  readonly tbiFetch: boolean;
}

interface Stage1Options extends Pick<TableRange, "off" | "hpd" | "tbi" | "tbiFetch"> {
  readonly tsz: number;
}

/**
 * Of which addresses the top byte is ignored, a bit for each half (bit 55): TCR_ELx.TBI, and for instructions unless
 * TBID. A regime with one range has the same for both.
 */
export function topByteIgnored(lo: number, hi: number, twoRanges: boolean): { data: number; fetch: number } {
  if (twoRanges) {
    const data = (hi >>> (37 - 32)) & 3;
    return { data, fetch: data & ~(hi >>> (51 - 32)) };
  }
  const data = (lo & (1 << 20)) !== 0 ? 3 : 0;
  return { data, fetch: (lo & (1 << 29)) !== 0 ? 0 : data };
}

export interface Stage2 {
  readonly range: TableRange;
  /** Bits 47:32 of output addresses from here on are too big. */
  readonly limitHi: number;
  /** PAS of the tables. */
  readonly walkPas: Pas;
  /** PAS of the output where the descriptor does not say. */
  readonly outputPas: Pas;
  readonly walks: WalkCache;
  /** VTCR_EL2.HA, and HD with it. */
  readonly ha: boolean;
  readonly hd: boolean;
}

const NO_RANGE: TableRange = {
  off: true,
  inputBits: 48,
  level: 0,
  baseLo: 0,
  baseHi: 0,
  indexMask: 0,
  baseTooBig: false,
  hpd: false,
  tbi: false,
  tbiFetch: false,
};

/** Words of a context's key. */
export const KEY_WORDS = 22;
/** Where the key says which breakpoints and watchpoints there are: `Watches.id`, or 0. */
export const KEY_WATCHES = 20;

/** First word of a key. */
const keyHead = (regime: Regime, el0: boolean, state: number, pan: boolean): number =>
  0x100 | regime | (el0 ? 4 : 0) | (state << 3) | (pan ? 0x20 : 0);

/** HCR_EL2 bits that belong to the key of an EL1&0 context. */
const KEY_HCR_LO = HCR.VM | HCR.DC | HCR.PTW | HCR.TGE;
const KEY_HCR_HI = HCR_H.FWB;

/** The regime that an EL uses now. */
export function regimeOf(w: Int32Array, el: number): Regime {
  if (el === 3) return Regime.EL3;
  if (!el2Enabled(w)) return Regime.EL10;
  const e2h = (w[HCR_HI]! & HCR_H.E2H) !== 0;
  if (el === 2) return e2h ? Regime.EL20 : Regime.EL2;
  return el === 0 && e2h && (w[HCR_LO]! & HCR.TGE) !== 0 ? Regime.EL20 : Regime.EL10;
}

/** SCTLR_ELx of a regime. */
export const sctlrOf = (w: Int32Array, regime: Regime): number => w[SCTLR_LO[regime]]!;

/** Whether stage 1 of the EL1&0 regime is off whatever SCTLR_EL1.M says: HCR_EL2.DC, or TGE without E2H. */
const stage1Forced = (hcr: number): boolean => (hcr & (HCR.DC | HCR.TGE)) !== 0;

/**
 * Writes the key of the context in which an access of `el`'s privilege (`unprivileged`: EL0's of the same regime; `pan`:
 * PSTATE.PAN applies) is made now; returns the regime.
 */
export function writeKey(key: Int32Array, pe: Processor, el: number, unprivileged: boolean, pan: boolean): Regime {
  const { w } = pe;
  const regime = regimeOf(w, el);
  const state = el === 3 ? SecurityState.ROOT : lowerState(w);
  const el0 = el === 0 || unprivileged;
  key.fill(0);
  key[0] = keyHead(regime, el0, state, pan && !el0 && (w[PSTATE_LO]! & PSTATE.PAN) !== 0);
  key[1] = sctlrOf(w, regime) & (SCTLR.M | SCTLR.WXN);
  key[2] = w[TCR_LO[regime]]!;
  key[3] = w[TCR_LO[regime] + 1]!;
  key[4] = w[TTBR0_LO[regime]]!;
  key[5] = w[TTBR0_LO[regime] + 1]!;
  if (TTBR1_LO[regime] >= 0) {
    key[6] = w[TTBR1_LO[regime]]!;
    key[7] = w[TTBR1_LO[regime] + 1]!;
  }
  key[8] = w[MAIR_LO[regime]]!;
  key[9] = w[MAIR_LO[regime] + 1]!;
  if (state === SecurityState.SECURE) key[10] = w[SCR_LO]! & (SCR.SIF | SCR.EEL2);
  if (regime !== Regime.EL10 || !el2Enabled(w)) return regime;
  const hcr = w[HCR_LO]! & KEY_HCR_LO;
  key[11] = hcr;
  key[12] = w[HCR_HI]! & KEY_HCR_HI;
  if ((hcr & (HCR.VM | HCR.DC)) === 0) return regime;
  key[13] = w[VTCR_LO]!;
  key[14] = w[VTCR_LO + 1]!;
  key[15] = w[VTTBR_LO]!;
  key[16] = w[VTTBR_LO + 1]!;
  if (state === SecurityState.SECURE) {
    key[17] = w[VSTCR_LO]!;
    key[18] = w[VSTTBR_LO]!;
    key[19] = w[VSTTBR_LO + 1]!;
  }
  return regime;
}

/** The bit of `TlbScope.scopes` for a regime in a Security state. */
export const scopeOf = (regime: Regime, state: number): number => 1 << (regime | (state << 2));

/** The contexts that a TLBI names. */
export interface TlbScope {
  /** A set of `scopeOf`. */
  scopes: number;
  /** -1: all. A context without stage 2 has no VMID and is named by each. */
  vmid: number;
  /** -1: all. */
  asid: number;
}

/** A context's registers decoded. Only `TranslationContext.set` writes the fields. */
export class TranslationContext {
  readonly tlb: TlbArrays;
  /** What walks of stage 1 remember. */
  readonly walks = new WalkCache();
  /** Host addresses of the TLB arrays: reads, writes, fetches. */
  readonly read: number;
  readonly write: number;
  readonly fetch: number;
  readonly key = new Int32Array(KEY_WORDS);
  /** When it was last current; 0: holds nothing. */
  lastUse = 0;
  /** Whether a TLB entry was made or a walk remembered since the last flush. */
  filled = false;
  /** 2 MiB and 1 GiB regions of virtual addresses that a stage-1 block maps, from which there may be 4 KiB entries. */
  readonly blocks = new Set<number>();

  regime: Regime = Regime.EL10;
  state: number = 0;
  /** Accesses have EL0's permissions. */
  el0 = false;
  pan = false;
  wxn = false;
  /** Stage 1 translates. */
  stage1 = false;
  /** With stage 1 off, data is Device memory (else Normal: HCR_EL2.DC). */
  offDevice = false;
  /** Stage 1 makes all data Device memory: unaligned accesses fault, whatever stage 2 and SCTLR_ELx.A say. */
  alignAlways = false;
  twoRanges = false;
  ranges: readonly [TableRange, TableRange] = [NO_RANGE, NO_RANGE];
  /** TCR_ELx.HA: walks set the Access flag; HD with it: and the dirty state. */
  ha = false;
  hd = false;
  /** Stage-1 output addresses from here on are too big; and bits 47:32 of one. */
  limit = 0;
  limitHi = 0;
  /** The same while stage 1 is off. */
  offLimit = 0;
  /** Per MAIR attribute: 1 when it is Device memory. */
  readonly device = new Uint8Array(8);
  /** Stage-1 permissions by `permissionIndex`, and spaces of the output by `outputIndex`. */
  readonly permissionTable = new Uint8Array(PERMISSION_INDICES);
  readonly outputTable = new Uint8Array(4);
  /** What the state's own memory is: walks, and the output of stage 1 when it is off. */
  ownPas: Pas = Pas.NS;
  sif = false;
  /** HCR_EL2.PTW, FWB. */
  ptw = false;
  fwb = false;
  stage2: Stage2 | undefined;
  /** Stage 2 of Non-secure IPAs in Secure state. */
  stage2Ns: Stage2 | undefined;
  /** -1: not by VMID. */
  vmid = -1;
  /** Regime and Security state as a bit, for `TlbScope`. */
  scope = 0;
  /** ASID of the EL1&0 and EL2&0 regimes, and which bits of an ASID count. */
  asid = 0;
  asidMask = 0xff;
  /** Breakpoints and watchpoints that may match here: the TLB arrays hold none of their pages. */
  watches: Watches | undefined;

  constructor(tlb: TlbArrays) {
    this.tlb = tlb;
    this.read = tlb.read;
    this.write = tlb.write;
    this.fetch = tlb.fetch;
  }

  /** Decodes the registers in `key`. */
  set(key: Int32Array, paBits: number): void {
    this.key.set(key);
    const head = key[0]!;
    this.regime = (head & 3) as Regime;
    this.el0 = (head & 4) !== 0;
    this.state = (head >> 3) & 3;
    this.pan = (head & 0x20) !== 0;
    this.wxn = (key[1]! & SCTLR.WXN) !== 0;
    const hcr = key[11]!;
    this.stage1 = (key[1]! & SCTLR.M) !== 0 && !(this.regime === Regime.EL10 && stage1Forced(hcr));
    this.offDevice = (hcr & HCR.DC) === 0;
    this.alignAlways = !this.stage1 && this.offDevice;
    this.twoRanges = this.regime === Regime.EL10 || this.regime === Regime.EL20;
    this.ownPas = this.state as Pas;
    this.sif = (key[10]! & SCR.SIF) !== 0;
    this.ptw = (hcr & HCR.PTW) !== 0;
    this.fwb = (key[12]! & HCR_H.FWB) !== 0;
    for (let i = 0; i < 8; i++) this.device[i] = ((key[8 + (i >> 2)]! >>> ((i & 3) * 8)) & 0xf0) === 0 ? 1 : 0;
    this.offLimit = 2 ** paBits;
    this.setStage1(paBits);
    this.setStage2(paBits);
    this.limitHi = this.limit / 2 ** 32;
    for (let i = 0; i < PERMISSION_INDICES; i++) this.permissionTable[i] = stage1Permissions(this, i);
    for (let i = 0; i < 4; i++) this.outputTable[i] = stage1Output(this, i);
    // TCR_ELx.A1 says whose ASID it is; TCR_ELx.AS = 0: eight bits of it.
    const ttbrHi = (key[2]! & (1 << 22)) !== 0 ? key[7]! : key[5]!;
    this.asidMask = this.twoRanges && (key[3]! & (1 << (36 - 32))) !== 0 ? 0xffff : 0xff;
    this.asid = (ttbrHi >>> 16) & this.asidMask;
    this.scope = scopeOf(this.regime, this.state);
  }

  private setStage1(paBits: number): void {
    const { key } = this;
    const lo = key[2]!;
    const hi = key[3]!;
    const el0 = this.el0;
    const { data, fetch } = topByteIgnored(lo, hi, this.twoRanges);
    const ignored = (n: number) => ({ tbi: (data & (1 << n)) !== 0, tbiFetch: (fetch & (1 << n)) !== 0 });
    if (!this.twoRanges) {
      this.limit = outputLimit((lo >> 16) & 7, paBits);
      this.ha = (lo & (1 << 21)) !== 0;
      this.hd = this.ha && (lo & (1 << 22)) !== 0;
      const options = { tsz: lo & 0x3f, off: false, hpd: (lo & (1 << 24)) !== 0, ...ignored(0) };
      this.ranges = [this.stage1Range(join(key[4]!, key[5]! & 0xffff), options), NO_RANGE];
      return;
    }
    this.limit = outputLimit(hi & 7, paBits);
    this.ha = (hi & (1 << (39 - 32))) !== 0;
    this.hd = this.ha && (hi & (1 << (40 - 32))) !== 0;
    const e0pd = (n: number) => el0 && (hi & (1 << (55 - 32 + n))) !== 0;
    this.ranges = [
      this.stage1Range(join(key[4]!, key[5]! & 0xffff), {
        tsz: lo & 0x3f,
        off: (lo & (1 << 7)) !== 0 || e0pd(0),
        hpd: (hi & (1 << (41 - 32))) !== 0,
        ...ignored(0),
      }),
      this.stage1Range(join(key[6]!, key[7]! & 0xffff), {
        tsz: (lo >> 16) & 0x3f,
        off: (lo & (1 << 23)) !== 0 || e0pd(1),
        hpd: (hi & (1 << (42 - 32))) !== 0,
        ...ignored(1),
      }),
    ];
  }

  /** With FEAT_TTST, without FEAT_LVA: TxSZ is 16 to 48; outside of it every access faults, as the architecture allows. */
  private stage1Range(ttbr: number, options: Stage1Options): TableRange {
    const { tsz, hpd, tbi, tbiFetch } = options;
    const valid = tsz >= 16 && tsz <= 48;
    const inputBits = valid ? 64 - tsz : 48;
    const level = 3 - Math.floor((inputBits - 13) / 9);
    const entryBits = inputBits - (39 - 9 * level);
    // BADDR: the table's size is its alignment, at least 64 bytes; bit 0 is CnP.
    const align = Math.max(8 * 2 ** entryBits, 64);
    const base = ttbr - (ttbr % align);
    return {
      off: options.off || !valid,
      inputBits,
      level,
      baseLo: base | 0,
      baseHi: (base / 2 ** 32) | 0,
      indexMask: 2 ** entryBits - 1,
      baseTooBig: base >= this.limit,
      hpd,
      tbi,
      tbiFetch,
    };
  }

  private setStage2(paBits: number): void {
    const { key, state } = this;
    this.stage2 = undefined;
    this.stage2Ns = undefined;
    this.vmid = -1;
    if ((key[11]! & (HCR.VM | HCR.DC)) === 0) return;
    const vtcr = key[13]!;
    // VTCR_EL2.VS = 0: eight bits of VMID.
    this.vmid = (key[16]! >>> 16) & ((vtcr & (1 << 19)) !== 0 ? 0xffff : 0xff);
    const limit = outputLimit((vtcr >> 16) & 7, paBits);
    const vttbr = join(key[15]!, key[16]! & 0xffff);
    const pas = state as Pas;
    const limitHi = limit / 2 ** 32;
    const walks = new WalkCache();
    const ha = (vtcr & (1 << 21)) !== 0;
    const hd = ha && (vtcr & (1 << 22)) !== 0;
    if (state !== SecurityState.SECURE) {
      this.stage2 = {
        range: stage2Range(vtcr, vttbr, limit, paBits),
        limitHi,
        walkPas: pas,
        outputPas: pas,
        walks,
        ha,
        hd,
      };
      return;
    }
    // DDI 0487, "VSTCR_EL2.SW, SA" and "VTCR_EL2.NSW, NSA": each makes the ones below it behave as 1.
    const vstcr = key[17]!;
    const sw = (vstcr & (1 << 29)) !== 0;
    const sa = sw || (vstcr & (1 << 30)) !== 0;
    const nsw = sw || (vtcr & (1 << 29)) !== 0;
    const nsa = sa || nsw || (vtcr & (1 << 30)) !== 0;
    const choose = (ns: boolean): Pas => (ns ? Pas.NS : Pas.SECURE);
    const vsttbr = join(key[18]!, key[19]! & 0xffff);
    // T0SZ, SL0 and TG0 are VSTCR_EL2's, the rest is VTCR_EL2's.
    const range = stage2Range(vstcr, vsttbr, limit, paBits);
    this.stage2 = { range, limitHi, walkPas: choose(sw), outputPas: choose(sa), walks, ha, hd };
    this.stage2Ns = {
      range: stage2Range(vtcr, vttbr, limit, paBits),
      limitHi,
      walkPas: choose(nsw),
      outputPas: choose(nsa),
      walks: new WalkCache(),
      ha,
      hd,
    };
  }

  /** Drops what the TLB arrays hold and what walks remember. */
  flush(): void {
    if (!this.filled) return;
    this.tlb.clear();
    this.walks.forget();
    if (this.blocks.size > 0) this.blocks.clear();
    this.stage2?.walks.forget();
    this.stage2Ns?.walks.forget();
    this.filled = false;
  }

  /** Whether a TLBI names it, and there is something to drop. */
  isNamed({ scopes, vmid, asid }: TlbScope): boolean {
    if (!this.filled || (this.scope & scopes) === 0) return false;
    if (vmid >= 0 && this.vmid >= 0 && this.vmid !== vmid) return false;
    return asid < 0 || this.asid === (asid & this.asidMask);
  }

  /**
   * Drops what was made from the stage-1 descriptors of an address. `leaf`: from the last one alone, else from any on the
   * way to it, of which any walk may have used some.
   */
  flushPage(lo: number, hi: number, leaf: boolean): void {
    const { blocks, tlb, walks } = this;
    if (blocks.size > 0) {
      if (blocks.has(blockOf(lo, hi, 1))) {
        this.flush();
        return;
      }
      const block = blockOf(lo, hi, 2);
      if (blocks.has(block)) {
        tlb.dropRegion(lo, hi);
        blocks.delete(block);
      }
    }
    tlb.dropPage(lo, hi);
    if (leaf) walks.dropBlock(lo, hi);
    else walks.forget();
  }

  /** What stage 2 an intermediate address goes through. */
  stage2For(ipaNs: boolean): Stage2 | undefined {
    return ipaNs && this.state === SecurityState.SECURE ? this.stage2Ns : this.stage2;
  }
}

/** A 2 MiB or 1 GiB region of virtual addresses as a number, by the level of its block: even for 2 MiB, odd for 1 GiB. */
export function blockOf(lo: number, hi: number, level: number): number {
  const bits = level === 2 ? 21 : 30;
  return ((hi >>> 0) * 2 ** (32 - bits) + (lo >>> bits)) * 2 + (level === 2 ? 0 : 1);
}

/** SL0 by value: level of the first look-up for the 4 KiB granule. */
const SL0_LEVEL = [2, 1, 0, 3] as const;

function stage2Range(tcr: number, ttbr: number, limit: number, paBits: number): TableRange {
  const inputBits = 64 - (tcr & 0x3f);
  const level = SL0_LEVEL[((tcr >> 6) & 3) as 0 | 1 | 2 | 3];
  const entryBits = inputBits - (39 - 9 * level);
  // Up to sixteen tables are concatenated at the first level; what does not fit together faults.
  if (inputBits > paBits || inputBits < 16 || entryBits < 1 || entryBits > 13) return NO_RANGE;
  const align = Math.max(8 * 2 ** entryBits, 64);
  const base = ttbr - (ttbr % align);
  return {
    off: false,
    inputBits,
    level,
    baseLo: base | 0,
    baseHi: (base / 2 ** 32) | 0,
    indexMask: 2 ** entryBits - 1,
    baseTooBig: base >= limit,
    hpd: false,
    tbi: false,
    tbiFetch: false,
  };
}
