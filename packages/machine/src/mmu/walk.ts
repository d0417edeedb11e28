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
import { NO_FRAME, type PhysicalMemory } from "../memory.js";
import { Regime, STAGE2_LEAVES, type Stage2, type TableRange, type TranslationContext } from "./context.js";

/** Permissions, and what an access needs of them. */
export const Permission = { READ: 1, WRITE: 2, EXECUTE: 4 } as const;

// Descriptor bits, low word.
const VALID = 1 << 0;
const TABLE = 1 << 1;
const NS = 1 << 5;
const AP1 = 1 << 6;
const AP2 = 1 << 7;
const AF = 1 << 10;
const NSE = 1 << 11;
const S2AP_READ = 1 << 6;
const S2AP_WRITE = 1 << 7;
// High word.
const DBM = 1 << (51 - 32);
const PXN = 1 << (53 - 32);
const UXN = 1 << (54 - 32);
const S2_NS = 1 << (55 - 32);
const PXN_TABLE = 1 << (59 - 32);
const UXN_TABLE = 1 << (60 - 32);
const AP_TABLE0 = 1 << (61 - 32);
const AP_TABLE1 = 1 << (62 - 32);
const NS_TABLE = 1 << (63 - 32);

/** Bits of address that a leaf at each level covers: 0 has none. */
const LEAF_BITS = [39, 30, 21, 12] as const;

/** Output address of a descriptor: bits 47:12. */
const outputOf = (lo: number, hi: number): number => (hi & 0xffff) * 2 ** 32 + ((lo & ~0xfff) >>> 0);

export interface WalkOptions {
  /** Permissions that the access needs; 0 for maintenance. */
  readonly need: number;
  /** The access is a data access at an address that is not a multiple of its size. */
  readonly unaligned: boolean;
  /** Whether Access flag and dirty state may be set: not for AT and maintenance. */
  readonly update: boolean;
}

/** Walks tables. Results are fields, so that a successful walk allocates nothing. */
export class TableWalker {
  /** Output of `stage1`: intermediate or physical address of the byte, its space, and the properties of the mapping. */
  ipa = 0;
  ipaPas: Pas = Pas.NS;
  s1Permissions = 0;
  s1Device = false;
  /** log2 of what the stage-1 leaf maps. */
  s1Bits = 12;

  /** Output of `stage2`, and of `translate`. */
  pa = 0;
  pas: Pas = Pas.NS;
  permissions = 0;
  device = false;
  s2Bits = 12;

  private readonly memory: PhysicalMemory;
  private readonly exhausted: (pa: number) => void;
  /** The last descriptor fetched, and the word of memory that has its low half. */
  private lo = 0;
  private hi = 0;
  private word = 0;

  constructor(memory: PhysicalMemory, exhausted: (pa: number) => void) {
    this.memory = memory;
    this.exhausted = exhausted;
  }

  /** Both stages; the granule protection check of the output is the caller's. `hi`: the address after TBI removal. */
  translate(
    context: TranslationContext,
    protection: GranuleProtection,
    lo: number,
    hi: number,
    options: WalkOptions,
  ): Fault | undefined {
    const fault = this.stage1(context, protection, lo, hi, options);
    if (fault) return fault;
    const stage2 = context.regime === Regime.EL10 ? context.stage2For(this.ipaPas === Pas.NS) : undefined;
    if (!stage2) {
      this.pa = this.ipa;
      this.pas = this.ipaPas;
      this.permissions = this.s1Permissions;
      this.device = this.s1Device;
      this.s2Bits = this.s1Bits;
      return undefined;
    }
    const { s1Permissions } = this;
    const second = this.stage2(context, stage2, protection, this.ipa, options, false);
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
    let { level, base } = range;
    let mask = range.indexMask;
    // Hierarchical restrictions, as descriptor bits of the leaf: AP and XN that tables force.
    let noEl0 = false;
    let readOnly = false;
    let pxn = 0;
    let uxn = 0;
    for (;;) {
      const entry = base + (indexAt(lo, hi, level) & mask) * 8;
      const fault = this.fetchStage1(
        context,
        protection,
        entry,
        tablePas,
        level,
        options.update ? WALK_READ : WALK_LOOK,
      );
      if (fault) return fault;
      const dLo = this.lo;
      const dHi = this.hi;
      const word = this.word;
      const isTable = (dLo & TABLE) !== 0;
      if ((dLo & VALID) === 0 || (isTable ? false : level === 0 || level === 3))
        return stage1Fault("translation", level);
      const output = outputOf(dLo, dHi);
      if (output >= context.limit) return stage1Fault("address-size", level);
      if (isTable && level < 3) {
        if (!range.hpd) {
          noEl0 ||= (dHi & AP_TABLE0) !== 0;
          readOnly ||= (dHi & AP_TABLE1) !== 0;
          if ((dHi & PXN_TABLE) !== 0) pxn = PXN;
          if ((dHi & UXN_TABLE) !== 0) uxn = UXN;
        }
        if (context.state === SecurityState.SECURE && (dHi & NS_TABLE) !== 0) tablePas = Pas.NS;
        base = output;
        level++;
        mask = 0x1ff;
        continue;
      }
      if ((dLo & AF) === 0 && !context.ha) return stage1Fault("access-flag", level);
      this.setOutput(dLo, dHi, level, lo);
      this.ipaPas = outputPas(context, dLo, tablePas);
      this.s1Device = context.device[(dLo >> 2) & 7] !== 0;
      const alignment = this.stage1Alignment(level, unaligned);
      if (alignment) return alignment;
      // Read-only with DBM is writable, and not yet dirty.
      const clean = context.hd && (dHi & DBM) !== 0 && (dLo & AP2) !== 0;
      const own = clean ? dLo & ~AP2 : dLo;
      const ap = (noEl0 ? own & ~AP1 : own) | (readOnly ? AP2 : 0);
      this.s1Permissions = permissionsOf(context, ap, dHi | pxn | uxn, this.ipaPas);
      if ((need & ~this.s1Permissions) !== 0) return stage1Fault("permission", level);
      const dirty = clean && (need & Permission.WRITE) !== 0;
      if (clean && !dirty) this.s1Permissions &= ~Permission.WRITE;
      if (!options.update || (!dirty && (dLo & AF) !== 0)) return undefined;
      const refusal = this.mayUpdateStage1(context, protection, entry, tablePas);
      if (refusal) return refusal;
      this.memory.i32[word] = (dirty ? dLo & ~AP2 : dLo) | AF;
      return undefined;
    }
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
    this.ipa = address;
    this.ipaPas = context.ownPas;
    this.s1Permissions = Permission.READ | Permission.WRITE | Permission.EXECUTE;
    this.s1Device = context.offDevice && (need & Permission.EXECUTE) === 0;
    this.s1Bits = 12;
    return this.stage1Alignment(0, unaligned);
  }

  /** Device memory takes aligned accesses only; stage 1 decides without stage 2, FEAT_S2FWB or not. */
  private stage1Alignment(level: number, unaligned: boolean): Fault | undefined {
    return unaligned && this.s1Device ? stage1Fault("alignment", level) : undefined;
  }

  private setOutput(dLo: number, dHi: number, level: number, lo: number): void {
    this.s1Bits = LEAF_BITS[level as 0 | 1 | 2 | 3];
    this.ipa = leafAddress(dLo, dHi, level, lo);
  }

  /** Fetches a stage-1 descriptor into `lo` and `hi`. */
  private fetchStage1(
    context: TranslationContext,
    protection: GranuleProtection,
    address: number,
    pas: Pas,
    level: number,
    options: WalkOptions,
  ): Fault | undefined {
    const stage2 = context.regime === Regime.EL10 ? context.stage2For(pas === Pas.NS) : undefined;
    if (!stage2) return this.fetch(protection, address, pas, 1, level, -1, false);
    const fault = this.stage2(context, stage2, protection, address, options, true);
    return fault ?? this.fetch(protection, this.pa, this.pas, 1, level, -1, false);
  }

  /** Whether stage 2 lets the walk write the stage-1 descriptor that it has fetched at an address. */
  private mayUpdateStage1(
    context: TranslationContext,
    protection: GranuleProtection,
    address: number,
    pas: Pas,
  ): Fault | undefined {
    const stage2 = context.regime === Regime.EL10 ? context.stage2For(pas === Pas.NS) : undefined;
    return stage2 && this.stage2(context, stage2, protection, address, WALK_UPDATE, true);
  }

  /**
   * Stage 2 of an intermediate physical address. `s1ptw`: the access is the fetch of a stage-1 descriptor. The result's
   * memory type combines with `s1Device`.
   */
  stage2(
    context: TranslationContext,
    stage2: Stage2,
    protection: GranuleProtection,
    ipa: number,
    options: WalkOptions,
    s1ptw: boolean,
  ): Fault | undefined {
    const { need, unaligned } = options;
    // The space of the IPA: Secure state has two, each with its own tables.
    const pas = stage2 === context.stage2Ns ? Pas.NS : context.ownPas;
    const slot = this.stage2Leaf(context, stage2, protection, ipa, pas, options, s1ptw);
    if (typeof slot !== "number") return slot;
    const { leaves } = stage2;
    const lo = leaves.lo[slot]!;
    const hi = leaves.hi[slot]!;
    const level = leaves.level[slot]!;
    this.pa = leafAddress(lo, hi, level, ipa | 0);
    this.s2Bits = LEAF_BITS[level as 0 | 1 | 2 | 3];
    this.pas = context.state === SecurityState.REALM && (hi & S2_NS) !== 0 ? Pas.NS : stage2.outputPas;
    const s2Device = this.combineType(context, (lo >> 2) & 0xf, s1ptw ? false : this.s1Device);
    if (unaligned && this.device) return stage2Fault("alignment", level, s1ptw, ipa, pas);
    this.permissions =
      ((lo & S2AP_READ) !== 0 ? Permission.READ : 0) |
      ((lo & S2AP_WRITE) !== 0 ? Permission.WRITE : 0) |
      ((hi & UXN) === 0 ? Permission.EXECUTE : 0);
    if (context.state === SecurityState.REALM && this.pas !== Pas.REALM) {
      // Realm state executes and walks its own memory only.
      if (s1ptw) return stage2Fault("permission", level, s1ptw, ipa, pas);
      this.permissions &= ~Permission.EXECUTE;
    }
    if (s1ptw && context.ptw && s2Device) return stage2Fault("permission", level, s1ptw, ipa, pas);
    if ((need & ~this.permissions) === 0) return undefined;
    // Whoever handles the fault may grant the permission: the next access walks again.
    leaves.page[slot] = -1;
    return stage2Fault("permission", level, s1ptw, ipa, pas);
  }

  /** Slot of the valid leaf for an IPA in the context's stage-2 leaves: remembered, or found by a walk. */
  private stage2Leaf(
    context: TranslationContext,
    stage2: Stage2,
    protection: GranuleProtection,
    ipa: number,
    pas: Pas,
    { need, update }: WalkOptions,
    s1ptw: boolean,
  ): number | Fault {
    const { range, limit, leaves } = stage2;
    const ipaLo = ipa | 0;
    const slot = (ipaLo >>> 12) & (STAGE2_LEAVES - 1);
    const page = ipa - (ipaLo & 0xfff);
    const write = (need & Permission.WRITE) !== 0;
    if (leaves.page[slot] === page && !(write && isClean(stage2, leaves.lo[slot]!, leaves.hi[slot]!))) return slot;
    if (range.off || ipa >= range.limit) return stage2Fault("translation", 0, s1ptw, ipa, pas);
    if (range.baseTooBig) return stage2Fault("address-size", 0, s1ptw, ipa, pas);
    const ipaHi = (ipa / 2 ** 32) | 0;
    let { level, base } = range;
    let mask = range.indexMask;
    for (;;) {
      const entry = base + (stage2Index(ipaLo, ipaHi, level) & mask) * 8;
      const fault = this.fetch(protection, entry, stage2.walkPas, 2, level, ipa, s1ptw);
      if (fault) return fault;
      const { lo, hi } = this;
      const isTable = (lo & TABLE) !== 0;
      const reserved = !isTable && (level === 0 || level === 3);
      if ((lo & VALID) === 0 || reserved) return stage2Fault("translation", level, s1ptw, ipa, pas);
      const output = outputOf(lo, hi);
      if (output >= limit) return stage2Fault("address-size", level, s1ptw, ipa, pas);
      if (isTable && level < 3) {
        base = output;
        level++;
        mask = 0x1ff;
        continue;
      }
      if ((lo & AF) === 0 && !stage2.ha) return stage2Fault("access-flag", level, s1ptw, ipa, pas);
      const updated = lo | AF | (write && isClean(stage2, lo, hi) ? S2AP_WRITE : 0);
      if (updated !== lo && update) this.memory.i32[this.word] = updated;
      // What is only looked up leaves no trace: the next access walks again.
      leaves.page[slot] = updated === lo || update ? page : -1;
      leaves.lo[slot] = updated;
      leaves.hi[slot] = hi;
      leaves.level[slot] = level;
      context.filled = true;
      return slot;
    }
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

  /** Fetches the descriptor at a physical address into `lo` and `hi`. `ipa`: what is translated, for stage 2, else -1. */
  private fetch(
    protection: GranuleProtection,
    address: number,
    pas: Pas,
    stage: 1 | 2,
    level: number,
    ipa: number,
    s1ptw: boolean,
  ): Fault | undefined {
    const refusal = protection.check(address, pas);
    const host = refusal === GPC_OK ? this.memory.host(address) : 0;
    if (host > 0) {
      const { i32 } = this.memory;
      this.word = host >>> 2;
      this.lo = i32[this.word]!;
      this.hi = i32[this.word + 1]!;
      return undefined;
    }
    if (host === NO_FRAME) this.exhausted(address);
    const where = { stage, level, onWalk: true, s1ptw, ...(ipa < 0 ? {} : { ipa: BigInt(ipa) }) };
    if (refusal !== GPC_OK) return { ...gpcFault(refusal, address, pas), ...where };
    return { fault: "external", ...where, pa: BigInt(address), pas };
  }
}

/** Accesses of a stage-1 walk to its descriptors: as a read, in an AT or maintenance, and to update one. */
const WALK_READ: WalkOptions = { need: Permission.READ, unaligned: false, update: true };
const WALK_LOOK: WalkOptions = { ...WALK_READ, update: false };
const WALK_UPDATE: WalkOptions = { ...WALK_READ, need: Permission.READ | Permission.WRITE };

/** Whether a stage-2 leaf may be written once its dirty state is set. */
const isClean = ({ hd }: Stage2, lo: number, hi: number): boolean => hd && (hi & DBM) !== 0 && (lo & S2AP_WRITE) === 0;

const stage2Fault = (fault: FaultKind, level: number, s1ptw: boolean, ipa: number, pas: Pas): Fault => ({
  fault,
  stage: 2,
  level,
  onWalk: false,
  s1ptw,
  ipa: BigInt(ipa),
  pas,
});

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

/** Address that a leaf of a level maps `lo` (the low word of the input) to; output bits below the leaf's size are ignored. */
function leafAddress(dLo: number, dHi: number, level: number, lo: number): number {
  const offset = level === 3 ? 0xfff : level === 2 ? 0x1f_ffff : 0x3fff_ffff;
  return (dHi & 0xffff) * 2 ** 32 + (((dLo & ~offset) | (lo & offset)) >>> 0);
}

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

/** The physical (or intermediate) address space that a stage-1 leaf names. */
function outputPas(context: TranslationContext, lo: number, tablePas: Pas): Pas {
  switch (context.state) {
    case SecurityState.ROOT:
      return (((lo & NSE) !== 0 ? 2 : 0) | ((lo & NS) !== 0 ? 1 : 0)) as Pas;
    case SecurityState.REALM:
      return context.regime !== Regime.EL10 && (lo & NS) !== 0 ? Pas.NS : Pas.REALM;
    case SecurityState.SECURE:
      return tablePas === Pas.NS || (lo & NS) !== 0 ? Pas.NS : Pas.SECURE;
    default:
      return Pas.NS;
  }
}

/** Stage-1 permissions for the context's privilege. DDI 0487, "Stage 1 data accesses", "Stage 1 instruction accesses". */
function permissionsOf(context: TranslationContext, lo: number, hi: number, pas: Pas): number {
  const { READ, WRITE, EXECUTE } = Permission;
  const writable = (lo & AP2) === 0;
  let permissions: number;
  if (!context.twoRanges) {
    permissions = READ | (writable ? WRITE : 0) | ((hi & UXN) === 0 && !(context.wxn && writable) ? EXECUTE : 0);
  } else if (context.el0) {
    const el0 = (lo & AP1) !== 0;
    permissions =
      (el0 ? READ | (writable ? WRITE : 0) : 0) | ((hi & UXN) === 0 && !(context.wxn && el0 && writable) ? EXECUTE : 0);
  } else {
    const el0 = (lo & AP1) !== 0;
    // What EL0 can write is never executable at the higher EL.
    const execute = (hi & PXN) === 0 && !(el0 && writable) && !(context.wxn && writable);
    permissions = (context.pan && el0 ? 0 : READ | (writable ? WRITE : 0)) | (execute ? EXECUTE : 0);
  }
  if (pas === context.ownPas) return permissions;
  // Root and the Realm EL2 regimes execute from their own memory only; Secure state unless SCR_EL3.SIF.
  if (context.state === SecurityState.ROOT || context.state === SecurityState.REALM || context.sif) {
    return permissions & ~EXECUTE;
  }
  return permissions;
}
