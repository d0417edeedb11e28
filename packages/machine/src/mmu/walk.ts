/**
 * The table walks: VMSAv8-64, 4 KiB granule, stage 1 of every regime and stage 2, in every Security state. Each
 * descriptor fetch is an access of its own: through stage 2 where there is one, then the granule protection check.
 *
 * Inside one stage the order of faults is the architecture's: level by level the fetch (stage 2, granule protection,
 * external abort), Translation, Address size; then Access flag, alignment of Device memory, Permission.
 * DDI 0487, "VMSAv8-64 translation table format descriptors", "Memory access control", "MMU fault prioritization".
 *
 * Under TCR_ELx.HA and HD, and VTCR_EL2's, an access sets the Access flag and the dirty state of the descriptors it uses
 * (FEAT_HAFDBS). A page whose dirty state is not set yet gives no permission to write in the result of a read, so that the
 * TLB has none either and the first write walks again. AT instructions and maintenance update nothing.
 *
 * @spec DDI 0487, "The AArch64 Virtual Memory System Architecture": partial: 4 KiB granule and 48-bit addresses only;
 *   no FEAT_XNX, no LPA2; the Contiguous bit is a hint that is ignored
 */
import { Pas, SecurityState } from "@realmbox/abi";
import type { Fault, FaultKind } from "../fault.js";
import { GPC_OK, type GranuleProtection, gpcFault } from "../gpt.js";
import { InTlb, NO_FRAME, type PhysicalMemory } from "../memory.js";
import { blockOf, type Stage2, type TableRange, type TranslationContext } from "./context.js";
import {
  AF,
  AP_TABLE0,
  AP_TABLE1,
  AP1,
  AP2,
  DBM,
  FOREIGN,
  NS_TABLE,
  outputIndex,
  Permission,
  PXN_TABLE,
  permissionIndex,
  S2_NS,
  S2AP_READ,
  S2AP_WRITE,
  TABLE,
  UXN,
  UXN_TABLE,
  VALID,
} from "./descriptor.js";
import { Restriction, type WalkCache, Walked } from "./walk-cache.js";

export { Permission };

/** Of the input address, the bits below what a leaf of a level covers; level 0 has no leaves. */
const LEAF_OFFSET = [0, 0x3fff_ffff, 0x1f_ffff, 0xfff] as const;

/** An address in two words as a number; below 2^53. */
const join = (lo: number, hi: number): number => hi * 2 ** 32 + (lo >>> 0);

/** A page's descriptor that an access can use as it is. */
const PAGE_READY = VALID | TABLE | AF;

export interface WalkOptions {
  /** Permissions that the access needs; 0 for maintenance. */
  readonly need: number;
  /** The access is a data access at an address that is not a multiple of its size. */
  readonly unaligned: boolean;
  /** Whether Access flag and dirty state may be set: not for AT and maintenance. */
  readonly update: boolean;
}

/** Walks tables. Results are fields, addresses as two words, so that a successful walk allocates nothing. */
export class TableWalker {
  /** Output of `stage1`: intermediate or physical address of the byte, its space, and the properties of the mapping. */
  ipaLo = 0;
  ipaHi = 0;
  ipaPas: Pas = Pas.NS;
  s1Permissions = 0;
  s1Device = false;

  /** Output of `stage2`, of `translate` and of `recall`. */
  paLo = 0;
  paHi = 0;
  pas: Pas = Pas.NS;
  permissions = 0;
  device = false;

  private readonly memory: PhysicalMemory;
  private readonly exhausted: (pa: number) => void;
  /** The last descriptor fetched, and the word of memory that has its low half. */
  private lo = 0;
  private hi = 0;
  private word = 0;
  /** The stage-2 leaf of the last address. */
  private leafLo = 0;
  private leafHi = 0;
  private leafLevel = 0;

  constructor(memory: PhysicalMemory, exhausted: (pa: number) => void) {
    this.memory = memory;
    this.exhausted = exhausted;
  }

  get ipa(): number {
    return join(this.ipaLo, this.ipaHi);
  }

  get pa(): number {
    return join(this.paLo, this.paHi);
  }

  /**
   * Both stages by what walks remember, when that shows that the access is allowed and updates nothing: then the results
   * are those of `translate`. False: only `translate` can tell.
   */
  recall(context: TranslationContext, lo: number, hi: number, need: number, unaligned: boolean): boolean {
    if (!this.recallStage1(context, lo, hi, need, unaligned)) return false;
    const stage2 = context.stage2For(this.ipaPas === Pas.NS);
    if (stage2) return this.recallStage2(context, stage2, need, unaligned);
    this.takeStage1();
    return true;
  }

  private recallStage1(context: TranslationContext, lo: number, hi: number, need: number, unaligned: boolean): boolean {
    if (!context.stage1) return false;
    const { walks } = context;
    const slot = walks.find(lo, hi);
    if (slot < 0) return false;
    const kind = walks.words[slot + Walked.KIND]!;
    const level = kind & Restriction.LEVEL;
    if (!this.readLeaf(walks, slot, level, lo, context.limitHi)) return false;
    const dLo = this.lo;
    const dHi = this.hi;
    const clean = context.hd && (dHi & DBM) !== 0 && (dLo & AP2) !== 0;
    if (clean && (need & Permission.WRITE) !== 0) return false;
    const pas = (kind & Restriction.NS) !== 0 ? Pas.NS : (context.outputTable[outputIndex(dLo)] as Pas);
    const allowed = restrictedPermissions(context, clean ? dLo & ~AP2 : dLo, dHi, pas, kind);
    const permissions = clean ? allowed & ~Permission.WRITE : allowed;
    const device = context.device[(dLo >> 2) & 7] !== 0;
    if ((need & ~permissions) !== 0 || (unaligned && device)) return false;
    const offset = LEAF_OFFSET[level as 1 | 2 | 3];
    this.ipaLo = (dLo & ~offset) | (lo & offset);
    this.ipaHi = dHi & 0xffff;
    this.ipaPas = pas;
    this.s1Permissions = permissions;
    this.s1Device = device;
    return true;
  }

  /** Of the output of stage 1. */
  private recallStage2(context: TranslationContext, stage2: Stage2, need: number, unaligned: boolean): boolean {
    const { ipaLo } = this;
    const { walks, limitHi } = stage2;
    const slot = walks.find(ipaLo, this.ipaHi);
    if (slot < 0) return false;
    const level = walks.words[slot + Walked.KIND]!;
    if (!this.readLeaf(walks, slot, level, ipaLo, limitHi)) return false;
    if ((need & Permission.WRITE) !== 0 && isClean(stage2, this.lo, this.hi)) return false;
    this.setStage2(context, stage2, this.lo, this.hi, level, ipaLo, this.s1Device);
    if (this.isForeignToRealm(context)) this.permissions &= ~Permission.EXECUTE;
    this.permissions &= this.s1Permissions;
    return (need & ~this.permissions) === 0 && !(unaligned && this.device);
  }

  /** Fetches into `lo` and `hi` the leaf that a walk has remembered; false when it is none, or needs more than a look. */
  private readLeaf({ words }: WalkCache, slot: number, level: number, inputLo: number, limitHi: number): boolean {
    if (level !== 3) {
      this.lo = words[slot + Walked.LO]!;
      this.hi = words[slot + Walked.HI]!;
      return true;
    }
    const { i32 } = this.memory;
    const word = words[slot + Walked.LO]! + ((inputLo >>> 11) & 0x3fe);
    this.lo = i32[word]!;
    this.hi = i32[word + 1]!;
    return (this.lo & PAGE_READY) === PAGE_READY && (this.hi & 0xffff) < limitHi;
  }

  /** Without stage 2, the output of stage 1 is the whole output. */
  private takeStage1(): void {
    this.paLo = this.ipaLo;
    this.paHi = this.ipaHi;
    this.pas = this.ipaPas;
    this.permissions = this.s1Permissions;
    this.device = this.s1Device;
  }

  /**
   * Both stages; the granule protection check of the output is the caller's. `hi`: the address after TBI removal. Of stage 1
   * what walks remember is enough: many of these end in a stage-2 fault of a device or a page that is not there yet.
   */
  translate(
    context: TranslationContext,
    protection: GranuleProtection,
    lo: number,
    hi: number,
    options: WalkOptions,
  ): Fault | undefined {
    if (!this.recallStage1(context, lo, hi, options.need, options.unaligned)) {
      const fault = this.stage1(context, protection, lo, hi, options);
      if (fault) return fault;
    }
    const stage2 = context.stage2For(this.ipaPas === Pas.NS);
    if (!stage2) {
      this.takeStage1();
      return undefined;
    }
    const { s1Permissions } = this;
    const second = this.stage2(context, stage2, protection, this.ipaLo, this.ipaHi, options, false);
    if (second) return second;
    this.permissions &= s1Permissions;
    return undefined;
  }

  /** Stage 1 alone. */
  stage1(
    context: TranslationContext,
    protection: GranuleProtection,
    lo: number,
    hi: number,
    options: WalkOptions,
  ): Fault | undefined {
    const { need, unaligned } = options;
    if (!context.stage1) return this.stage1Off(context, lo, hi, need, unaligned);
    const high = context.twoRanges && (hi & (1 << 23)) !== 0;
    const range = context.ranges[high ? 1 : 0];
    if (range.off || !isInRange(range, lo, hi, high ? -1 : 0)) return stage1Fault("translation", 0);
    if (range.baseTooBig) return stage1Fault("address-size", 0);

    let tablePas = context.ownPas;
    let { level, baseLo, baseHi } = range;
    let mask = range.indexMask;
    // What tables restrict, as the walk cache remembers it.
    let restrictions = 0;
    for (;;) {
      // Tables are aligned to their size.
      const entryLo = baseLo | ((indexAt(lo, hi, level) & mask) << 3);
      const { update } = options;
      const fault = this.fetchStage1(context, protection, entryLo, baseHi, tablePas, level, update);
      if (fault) return fault;
      const dLo = this.lo;
      const dHi = this.hi;
      const word = this.word;
      const isTable = (dLo & TABLE) !== 0;
      if ((dLo & VALID) === 0 || (isTable ? false : level === 0 || level === 3))
        return stage1Fault("translation", level);
      if ((dHi & 0xffff) >= context.limitHi) return stage1Fault("address-size", level);
      if (isTable && level < 3) {
        if (!range.hpd) {
          if ((dHi & AP_TABLE0) !== 0) restrictions |= Restriction.NO_EL0;
          if ((dHi & AP_TABLE1) !== 0) restrictions |= Restriction.READ_ONLY;
          if ((dHi & PXN_TABLE) !== 0) restrictions |= Restriction.PXN;
          if ((dHi & UXN_TABLE) !== 0) restrictions |= Restriction.UXN;
        }
        if (context.state === SecurityState.SECURE && (dHi & NS_TABLE) !== 0) {
          tablePas = Pas.NS;
          restrictions |= Restriction.NS;
        }
        baseLo = dLo & ~0xfff;
        baseHi = dHi & 0xffff;
        level++;
        mask = 0x1ff;
        continue;
      }
      if ((dLo & AF) === 0 && !context.ha) return stage1Fault("access-flag", level);
      const offset = LEAF_OFFSET[level as 1 | 2 | 3];
      this.ipaLo = (dLo & ~offset) | (lo & offset);
      this.ipaHi = dHi & 0xffff;
      this.ipaPas = tablePas === Pas.NS ? Pas.NS : (context.outputTable[outputIndex(dLo)] as Pas);
      this.s1Device = context.device[(dLo >> 2) & 7] !== 0;
      const alignment = this.stage1Alignment(level, unaligned);
      if (alignment) return alignment;
      // Read-only with DBM is writable, and not yet dirty.
      const clean = context.hd && (dHi & DBM) !== 0 && (dLo & AP2) !== 0;
      this.s1Permissions = restrictedPermissions(context, clean ? dLo & ~AP2 : dLo, dHi, this.ipaPas, restrictions);
      if ((need & ~this.s1Permissions) !== 0) return stage1Fault("permission", level);
      const dirty = clean && (need & Permission.WRITE) !== 0;
      if (clean && !dirty) this.s1Permissions &= ~Permission.WRITE;
      if (!update) return undefined;
      const updated = (dirty ? dLo & ~AP2 : dLo) | AF;
      if (updated !== dLo) {
        const refusal = this.mayUpdateStage1(context, protection, entryLo, baseHi, tablePas);
        if (refusal) return refusal;
        this.update(word, updated);
      }
      if (level < 3) {
        context.walks.put(lo, hi, updated, dHi, level | restrictions);
        // A TLBI of any address of a stage-1 block must find all entries made from the block.
        context.blocks.add(blockOf(lo, hi, level));
      } else if (range.level < 3) {
        this.rememberTable(context.walks, lo, hi, word - ((lo >>> 11) & 0x3fe), 3 | restrictions);
      }
      context.filled = true;
      return undefined;
    }
  }

  /** Remembers the last table of a walk, and that its granule is in use. */
  private rememberTable(walks: WalkCache, lo: number, hi: number, word: number, kind: number): void {
    const { memory } = this;
    walks.put(lo, hi, word, 0, kind);
    memory.inTlb[memory.pageOfHost(word * 4)]! |= InTlb.ANY;
  }

  /** Stage 1 does not translate: the address is the output, if it has not too many bits. */
  private stage1Off(
    context: TranslationContext,
    lo: number,
    hi: number,
    need: number,
    unaligned: boolean,
  ): Fault | undefined {
    const address = (hi >>> 0) * 2 ** 32 + (lo >>> 0);
    if (address >= context.offLimit) return stage1Fault("address-size", 0);
    this.ipaLo = lo;
    this.ipaHi = hi;
    this.ipaPas = context.ownPas;
    this.s1Permissions = Permission.READ | Permission.WRITE | Permission.EXECUTE;
    this.s1Device = context.offDevice && (need & Permission.EXECUTE) === 0;
    return this.stage1Alignment(0, unaligned);
  }

  /** Device memory takes aligned accesses only; stage 1 decides without stage 2, FEAT_S2FWB or not. */
  private stage1Alignment(level: number, unaligned: boolean): Fault | undefined {
    return unaligned && this.s1Device ? stage1Fault("alignment", level) : undefined;
  }

  /** Fetches a stage-1 descriptor into `lo` and `hi`. */
  private fetchStage1(
    context: TranslationContext,
    protection: GranuleProtection,
    lo: number,
    hi: number,
    pas: Pas,
    level: number,
    update: boolean,
  ): Fault | undefined {
    const stage2 = context.stage2For(pas === Pas.NS);
    if (!stage2)
      return this.fetch(protection, lo, hi, pas) ? undefined : this.unfetched(protection, lo, hi, pas, 1, level);
    const fault = this.stage2(context, stage2, protection, lo, hi, update ? WALK_READ : WALK_LOOK, true);
    if (fault) return fault;
    const { paLo, paHi } = this;
    return this.fetch(protection, paLo, paHi, this.pas)
      ? undefined
      : this.unfetched(protection, paLo, paHi, this.pas, 1, level);
  }

  /** Writes the low word of a descriptor, by its index in the memory's words. */
  private update(word: number, value: number): void {
    this.memory.writes(word * 4);
    this.memory.i32[word] = value;
  }

  /** Whether stage 2 lets the walk write the stage-1 descriptor that it has fetched at an address. */
  private mayUpdateStage1(
    context: TranslationContext,
    protection: GranuleProtection,
    lo: number,
    hi: number,
    pas: Pas,
  ): Fault | undefined {
    const stage2 = context.stage2For(pas === Pas.NS);
    return stage2 && this.stage2(context, stage2, protection, lo, hi, WALK_UPDATE, true);
  }

  /**
   * Stage 2 of an intermediate physical address. `s1ptw`: the access is the fetch of a stage-1 descriptor. The result's
   * memory type combines with `s1Device`.
   */
  stage2(
    context: TranslationContext,
    stage2: Stage2,
    protection: GranuleProtection,
    ipaLo: number,
    ipaHi: number,
    options: WalkOptions,
    s1ptw: boolean,
  ): Fault | undefined {
    const { need, unaligned } = options;
    // The space of the IPA: Secure state has two, each with its own tables.
    const pas = stage2 === context.stage2Ns ? Pas.NS : context.ownPas;
    const missing = this.stage2Leaf(context, stage2, protection, ipaLo, ipaHi, pas, options, s1ptw);
    if (missing) return missing;
    const level = this.leafLevel;
    const s1Device = s1ptw ? false : this.s1Device;
    const s2Device = this.setStage2(context, stage2, this.leafLo, this.leafHi, level, ipaLo, s1Device);
    if (unaligned && this.device) return stage2Fault("alignment", level, s1ptw, ipaLo, ipaHi, pas);
    if (this.isForeignToRealm(context)) {
      // Realm state executes and walks its own memory only.
      if (s1ptw) return stage2Fault("permission", level, s1ptw, ipaLo, ipaHi, pas);
      this.permissions &= ~Permission.EXECUTE;
    }
    if (s1ptw && context.ptw && s2Device) return stage2Fault("permission", level, s1ptw, ipaLo, ipaHi, pas);
    if ((need & ~this.permissions) === 0) return undefined;
    return stage2Fault("permission", level, s1ptw, ipaLo, ipaHi, pas);
  }

  /** Sets the output by a stage-2 leaf, with all permissions that the leaf gives; returns whether the leaf says Device. */
  private setStage2(
    context: TranslationContext,
    stage2: Stage2,
    lo: number,
    hi: number,
    level: number,
    ipaLo: number,
    s1Device: boolean,
  ): boolean {
    const offset = LEAF_OFFSET[level as 1 | 2 | 3];
    this.paLo = (lo & ~offset) | (ipaLo & offset);
    this.paHi = hi & 0xffff;
    this.pas = context.state === SecurityState.REALM && (hi & S2_NS) !== 0 ? Pas.NS : stage2.outputPas;
    this.permissions = stage2Permissions(lo, hi);
    return this.combineType(context, (lo >> 2) & 0xf, s1Device);
  }

  private isForeignToRealm(context: TranslationContext): boolean {
    return context.state === SecurityState.REALM && this.pas !== Pas.REALM;
  }

  /** Finds the valid leaf of an IPA: what walks remember when it allows what is needed, else by a walk. */
  private stage2Leaf(
    context: TranslationContext,
    stage2: Stage2,
    protection: GranuleProtection,
    ipaLo: number,
    ipaHi: number,
    pas: Pas,
    { need, update }: WalkOptions,
    s1ptw: boolean,
  ): Fault | undefined {
    const { range, limitHi, walks } = stage2;
    const write = (need & Permission.WRITE) !== 0;
    const slot = walks.find(ipaLo, ipaHi);
    if (slot >= 0) {
      const level = walks.words[slot + Walked.KIND]!;
      const ready = this.readLeaf(walks, slot, level, ipaLo, limitHi);
      if (ready && (need & ~stage2Permissions(this.lo, this.hi)) === 0) return this.setLeaf(this.lo, this.hi, level);
    }
    if (range.off || !isInRange(range, ipaLo, ipaHi, 0)) {
      return stage2Fault("translation", 0, s1ptw, ipaLo, ipaHi, pas);
    }
    if (range.baseTooBig) return stage2Fault("address-size", 0, s1ptw, ipaLo, ipaHi, pas);
    let { level, baseLo, baseHi } = range;
    let mask = range.indexMask;
    for (;;) {
      const entryLo = baseLo | ((stage2Index(ipaLo, ipaHi, level) & mask) << 3);
      if (!this.fetch(protection, entryLo, baseHi, stage2.walkPas)) {
        const ipa = BigInt(join(ipaLo, ipaHi));
        return { ...this.unfetched(protection, entryLo, baseHi, stage2.walkPas, 2, level), s1ptw, ipa };
      }
      const { lo, hi, word } = this;
      const isTable = (lo & TABLE) !== 0;
      const reserved = !isTable && (level === 0 || level === 3);
      if ((lo & VALID) === 0 || reserved) return stage2Fault("translation", level, s1ptw, ipaLo, ipaHi, pas);
      if ((hi & 0xffff) >= limitHi) return stage2Fault("address-size", level, s1ptw, ipaLo, ipaHi, pas);
      if (isTable && level < 3) {
        baseLo = lo & ~0xfff;
        baseHi = hi & 0xffff;
        level++;
        mask = 0x1ff;
        continue;
      }
      if ((lo & AF) === 0 && !stage2.ha) return stage2Fault("access-flag", level, s1ptw, ipaLo, ipaHi, pas);
      const updated = lo | AF | (write && isClean(stage2, lo, hi) ? S2AP_WRITE : 0);
      this.setLeaf(updated, hi, level);
      // What is only looked up leaves no trace: the next access walks again.
      if (!update) return undefined;
      if (updated !== lo) this.update(word, updated);
      if (level < 3) walks.put(ipaLo, ipaHi, updated, hi, level);
      else if (range.level < 3) this.rememberTable(walks, ipaLo, ipaHi, word - ((ipaLo >>> 11) & 0x3fe), 3);
      context.filled = true;
      return undefined;
    }
  }

  private setLeaf(lo: number, hi: number, level: number): undefined {
    this.leafLo = lo;
    this.leafHi = hi;
    this.leafLevel = level;
  }

  /**
   * Sets `device` from the stage-2 attributes and the stage-1 type; returns whether stage 2 alone says Device.
   * DDI 0487, "Stage 2 memory region attributes", with and without FEAT_S2FWB.
   */
  private combineType(context: TranslationContext, memAttr: number, s1Device: boolean): boolean {
    if (!context.fwb) {
      const s2Device = (memAttr & 0xc) === 0;
      this.device = s1Device || s2Device;
      return s2Device;
    }
    const s2Device = (memAttr & 4) === 0;
    // 0b110 forces Normal Write-Back; 0b111 takes stage 1's; 0b101 is Non-cacheable, Device stays Device.
    this.device = s2Device || ((memAttr & 3) !== 2 && s1Device);
    return s2Device;
  }

  /** Fetches the descriptor at a physical address into `lo` and `hi`; when it cannot, `unfetched` says why. */
  private fetch(protection: GranuleProtection, lo: number, hi: number, pas: Pas): boolean {
    const { memory } = this;
    const page = memory.pageIndexOfWords(lo, hi);
    let host = 0;
    if (page >= 0 && protection.permits(page, pas)) {
      const frame = memory.touchedPage(page);
      if (frame !== 0) host = frame + (lo & 0xfff);
    }
    if (host === 0) {
      const address = join(lo, hi);
      if (protection.check(address, pas) === GPC_OK) host = memory.host(address);
      if (host <= 0) return false;
    }
    const { i32 } = memory;
    const word = host >>> 2;
    this.word = word;
    this.lo = i32[word]!;
    this.hi = i32[word + 1]!;
    return true;
  }

  private unfetched(
    protection: GranuleProtection,
    lo: number,
    hi: number,
    pas: Pas,
    stage: 1 | 2,
    level: number,
  ): Fault {
    const address = join(lo, hi);
    const refusal = protection.check(address, pas);
    const where = { stage, level, onWalk: true, s1ptw: false };
    if (refusal !== GPC_OK) return { ...gpcFault(refusal, address, pas), ...where };
    if (this.memory.host(address) === NO_FRAME) this.exhausted(address);
    return { fault: "external", ...where, pa: BigInt(address), pas };
  }
}

/** Accesses of a stage-1 walk to its descriptors: as a read, in an AT or maintenance, and to update one. */
const WALK_READ: WalkOptions = { need: Permission.READ, unaligned: false, update: true };
const WALK_LOOK: WalkOptions = { ...WALK_READ, update: false };
const WALK_UPDATE: WalkOptions = { ...WALK_READ, need: Permission.READ | Permission.WRITE };

/** Whether a stage-2 leaf may be written once its dirty state is set. */
const isClean = ({ hd }: Stage2, lo: number, hi: number): boolean => hd && (hi & DBM) !== 0 && (lo & S2AP_WRITE) === 0;

function stage2Fault(fault: FaultKind, level: number, s1ptw: boolean, ipaLo: number, ipaHi: number, pas: Pas): Fault {
  return { fault, stage: 2, level, onWalk: false, s1ptw, ipa: BigInt(join(ipaLo, ipaHi)), pas };
}

const stage1Fault = (fault: FaultKind, level: number): Fault => ({
  fault,
  stage: 1,
  level,
  onWalk: false,
  s1ptw: false,
});

/** Whether the bits of an address above the input size are all equal to `sign`. */
const isInRange = ({ inputBits }: TableRange, lo: number, hi: number, sign: number): boolean =>
  inputBits >= 32 ? hi >> (inputBits - 32) === sign : hi === sign && lo >> inputBits === sign;

/** Index into a stage-2 table of a level, before masking: the first table may be several, concatenated. */
function stage2Index(lo: number, hi: number, level: number): number {
  if (level === 3) return (hi << 20) | (lo >>> 12);
  if (level === 2) return (hi << 11) | (lo >>> 21);
  if (level === 1) return (hi << 2) | (lo >>> 30);
  return hi >>> 7;
}

/** Index into the table of a level. */
function indexAt(lo: number, hi: number, level: number): number {
  if (level === 3) return (lo >>> 12) & 0x1ff;
  if (level === 2) return (lo >>> 21) & 0x1ff;
  if (level === 1) return ((hi & 0x7f) << 2) | (lo >>> 30);
  return (hi >>> 7) & 0x1ff;
}

/** Stage-1 permissions of a leaf under what tables restrict. */
function restrictedPermissions(
  context: TranslationContext,
  lo: number,
  hi: number,
  pas: Pas,
  restrictions: number,
): number {
  const own = permissionIndex((restrictions & Restriction.NO_EL0) !== 0 ? lo & ~AP1 : lo, hi);
  const index = own | ((restrictions >> Restriction.SET_SHIFT) & 0xe);
  return context.permissionTable[index | (pas === context.ownPas ? 0 : FOREIGN)]!;
}

/** Permissions that a stage-2 leaf gives. */
const stage2Permissions = (lo: number, hi: number): number =>
  ((lo & S2AP_READ) !== 0 ? Permission.READ : 0) |
  ((lo & S2AP_WRITE) !== 0 ? Permission.WRITE : 0) |
  ((hi & UXN) === 0 ? Permission.EXECUTE : 0);
