/**
 * What the walks of one stage remember, by 2 MiB of input address: where the last table of the walk lies in memory, or the
 * block that maps the address. A TLB structure: dropped by what drops TLB entries, never holding what faults or what has
 * yet to get its Access flag. A last-level descriptor is read again each time.
 *
 * The memory of the tables that it points to is in `PhysicalMemory.inTlb`, so that a GPT change finds it. What translated
 * a table's address and checked its granule is part of the entry.
 */

/** Slots: 256 MiB of tables at a time, or of blocks. */
const SLOTS = 128;

/** Words of a slot: the region's address (bits 31:21 and 63:32), the generation, then `Walked`. */
const SLOT_WORDS = 8;
const HI = 1;
const GENERATION = 2;

/** Words that describe what was found, from the slot that `find` gives. */
export const Walked = {
  /** The table's first word in memory (level 3), or the block's descriptor in `LO` and `HI`. */
  LO: 3,
  HI: 4,
  /** Level of the leaf in bits 1:0, and for stage 1 what tables on the way have restricted: `Restriction`. */
  KIND: 5,
} as const;

/** Stage 1: bits of `Walked.KIND` that table descriptors give. */
export const Restriction = {
  LEVEL: 3,
  /** APTable[0]: AP[1] counts as 0. */
  NO_EL0: 1 << 4,
  /** In bits 11:8 what they set of AP[1], AP[2], PXN, UXN: an index of `TranslationContext.permissionTable`. */
  SET_SHIFT: 8,
  READ_ONLY: 1 << 9,
  PXN: 1 << 10,
  UXN: 1 << 11,
  /** NSTable in Secure state. */
  NS: 1 << 12,
} as const;

export class WalkCache {
  readonly words = new Int32Array(SLOTS * SLOT_WORDS);
  /** Slots of other generations are empty. */
  private generation = 1;

  /** The slot of an input address, or -1. */
  find(lo: number, hi: number): number {
    const { words } = this;
    const slot = slotOf(lo, hi);
    return words[slot] === lo >>> 21 && words[slot + HI] === hi && words[slot + GENERATION] === this.generation
      ? slot
      : -1;
  }

  /** Remembers for an input address what `Walked` says. */
  put(lo: number, hi: number, foundLo: number, foundHi: number, kind: number): void {
    const { words } = this;
    const slot = slotOf(lo, hi);
    words[slot] = lo >>> 21;
    words[slot + HI] = hi;
    words[slot + GENERATION] = this.generation;
    words[slot + Walked.LO] = foundLo;
    words[slot + Walked.HI] = foundHi;
    words[slot + Walked.KIND] = kind;
  }

  /** Forgets the block that maps an address, if one does. */
  dropBlock(lo: number, hi: number): void {
    const slot = this.find(lo, hi);
    if (slot >= 0 && (this.words[slot + Walked.KIND]! & Restriction.LEVEL) !== 3) this.words[slot + GENERATION] = 0;
  }

  forget(): void {
    if (++this.generation < 0x7fff_ffff) return;
    this.words.fill(0);
    this.generation = 1;
  }
}

/** Neighbours side by side; regions that are equal in the low bits are spread by the higher ones. */
const slotOf = (lo: number, hi: number): number =>
  (((lo >>> 21) ^ (lo >>> 28) ^ Math.imul(hi, 0x25)) & (SLOTS - 1)) * SLOT_WORDS;
