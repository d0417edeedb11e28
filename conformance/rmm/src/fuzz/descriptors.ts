/**
 * What tables in memory say, decoded here anew: granule protection tables and stage 2 descriptors. DDI 0487, "GPT entry
 * formats", "VMSAv8-64 descriptor formats", "Stage 2 memory type and Cacheability attributes when FWB is 1". Of entries
 * that the hardware does not use, HIPAS and RIPAS are where DEN0137 leaves them to the RMM; the bits are those of TF-RMM's
 * 1.0-rel0 tag, which our RMM shares: HIPAS 4:2, RIPAS 6:5, unprotected 55.
 */

/** States of an RTT entry. DEN0137 1.0-rel0, "RTT entry". */
export const Kind = { UNASSIGNED: 0, ASSIGNED: 1, TABLE: 2, UNASSIGNED_NS: 3, ASSIGNED_NS: 4 } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];
export const KIND_NAMES = ["UNASSIGNED", "ASSIGNED", "TABLE", "UNASSIGNED_NS", "ASSIGNED_NS"] as const;

/** The entry decoded last: one object, because tables are read entry by entry all the time. */
export const entry = {
  kind: Kind.UNASSIGNED as Kind,
  ripas: 0,
  /** ASSIGNED, TABLE: the physical address. ASSIGNED_NS: address, MemAttr[2:0] and S2AP where the descriptor has them. */
  out: 0,
  /** What is wrong with an entry that the hardware uses; undefined: nothing. */
  fault: undefined as string | undefined,
};

const HIGH = 2 ** 32;
const NS_HIGH = 1 << 23; // bit 55
const XN_HIGH = 1 << 22; // bit 54, XN[1] with XN[0] in bit 53
const AF = 1 << 10;

/** Decodes an RTT entry into `entry`, from its halves. */
export function decodeEntry(low: number, high: number, level: number): typeof entry {
  const address = (high & 0xffff) * HIGH + ((low & ~0xfff) >>> 0);
  entry.ripas = 0;
  entry.fault = undefined;
  if ((low & 1) === 0) {
    entry.out = 0;
    const hipas = (low >> 2) & 7;
    if (high & NS_HIGH) {
      entry.kind = Kind.UNASSIGNED_NS;
      if (low !== 0 || high !== NS_HIGH) entry.fault = "an UNASSIGNED_NS entry has other bits";
      return entry;
    }
    entry.ripas = (low >> 5) & 3;
    entry.kind = hipas === 0 ? Kind.UNASSIGNED : Kind.ASSIGNED;
    if (hipas > 1 || entry.ripas > 2) entry.fault = "HIPAS or RIPAS has no such value";
    if (hipas === 1) entry.out = address;
    else if (address !== 0) entry.fault = "an UNASSIGNED entry names memory";
    return entry;
  }
  entry.out = address;
  if (level < 3 && (low & 2) !== 0) {
    entry.kind = Kind.TABLE;
    return entry;
  }
  if (((low & 2) !== 0) !== (level === 3)) entry.fault = "no leaf descriptor of its level";
  if (level === 0) entry.fault = "a block at level 0";
  if ((low & AF) === 0) entry.fault = "a mapping without access flag";
  if (high & NS_HIGH) {
    entry.kind = Kind.ASSIGNED_NS;
    entry.out = address + (low & 0xdc);
    if ((high & XN_HIGH) === 0) entry.fault = "Host memory is executable in a realm";
    return entry;
  }
  entry.kind = Kind.ASSIGNED;
  entry.ripas = 1;
  if ((low & 0xdc) !== 0xd8) entry.fault = "protected memory is not Normal Write-Back, read-write";
  if ((high & (3 << 21)) !== 0) entry.fault = "protected memory is not executable";
  return entry;
}

/** Bits of the IPA below an entry of a level. DDI 0487, "4 KiB granule". */
export const entryBits = (level: number): number => 12 + 9 * (3 - level);
export const entrySize = (level: number): number => 2 ** entryBits(level);

/** Memory as 32-bit words by physical address; undefined: none there. */
export type ReadWord = (pa: number) => number | undefined;

/** GPI of a granule, walked from GPCCR_EL3 and GPTBR_EL3: 4 KiB granules, level 0 entries of 1 GiB; -1: a fault. */
export function gpiOf(read: ReadWord, gptbr: bigint, pa: number): number {
  const l0 = Number(gptbr) * 4096 + Math.floor(pa / 2 ** 30) * 8;
  const low = read(l0);
  const high = read(l0 + 4);
  if (low === undefined || high === undefined) return -1;
  if ((low & 0xf) === 1) return (low >> 4) & 0xf;
  if ((low & 0xf) !== 3) return -1;
  const l1 = (high & 0xf_ffff) * HIGH + ((low & ~0xfff) >>> 0) + (Math.floor(pa / 2 ** 16) % 2 ** 14) * 8;
  const granules = [read(l1), read(l1 + 4)];
  if (granules[0] === undefined || granules[1] === undefined) return -1;
  if ((granules[0] & 0xf) === 1) return (granules[0] >> 4) & 0xf;
  const n = Math.floor(pa / 4096) & 0xf;
  return (granules[n >> 3]! >>> ((n & 7) * 4)) & 0xf;
}
