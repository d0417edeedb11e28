/**
 * RTT entries: stage-2 descriptors that the hardware walks, with HIPAS and RIPAS of invalid ones in bits that hardware
 * ignores. DEN0137 1.0-rel0, "RTT entry"; DDI 0487, "Stage 2 descriptor formats", FEAT_S2FWB memory attributes.
 *
 *   valid = bit 0
 *   invalid entry:  HIPAS bits 4:2 (0 UNASSIGNED, 1 ASSIGNED), RIPAS bits 6:5, NS bit 55, PA bits 47:12 when ASSIGNED
 *   valid entry:    ASSIGNED with RIPAS RAM (NS 0), ASSIGNED_NS (NS 1), TABLE
 */
import { RMI_NS_DESC, RmiRipas } from "@realmbox/abi";
import { frameOfWords, highOf, join, lowOf } from "../views.js";
import { RTT_LEVEL_PAGE } from "./geometry.js";

/** UNASSIGNED and ASSIGNED have a RIPAS: they are of the Protected half; the `_NS` ones of the Unprotected half. */
export type RtteState = "UNASSIGNED" | "ASSIGNED" | "TABLE" | "UNASSIGNED_NS" | "ASSIGNED_NS";

const VALID = 1n;
/** Bit 1 of a valid entry: a table, or at level 3 a page; 0: a block. */
const TABLE_OR_PAGE = 2n;
const HIPAS_ASSIGNED = 1n << 2n;
const RIPAS_SHIFT = 5n;
const NS = 1n << 55n;
const EXECUTE_NEVER = 1n << 54n;
const ACCESS_FLAG = 1n << 10n;
const INNER_SHAREABLE = 3n << 8n;
const OUTER_SHAREABLE = 2n << 8n;
const NORMAL_WRITE_BACK = 6n; // MemAttr[2:0], FEAT_S2FWB
const READ_WRITE = 3n; // S2AP
const ADDR = 0x0000_ffff_ffff_f000n;

/** Normal Write-Back, Inner Shareable, read-write, executable: every mapping of protected memory. */
const PROTECTED_ATTRIBUTES =
  ACCESS_FLAG | INNER_SHAREABLE | RMI_NS_DESC.S2AP.of(READ_WRITE) | RMI_NS_DESC.MEM_ATTR.of(NORMAL_WRITE_BACK) | VALID;

/** What the Host says of an unprotected mapping and reads back: ADDR, MemAttr, S2AP. */
const NS_HOST_BITS = RMI_NS_DESC.ADDR.mask | RMI_NS_DESC.MEM_ATTR.mask | RMI_NS_DESC.S2AP.mask;

const leafType = (level: number): bigint => (level === RTT_LEVEL_PAGE ? TABLE_OR_PAGE : 0n);

export function rtteState(entry: bigint, level: number): RtteState {
  if (entry & VALID) {
    if (level < RTT_LEVEL_PAGE && entry & TABLE_OR_PAGE) return "TABLE";
    return entry & NS ? "ASSIGNED_NS" : "ASSIGNED";
  }
  if (entry & NS) return "UNASSIGNED_NS";
  return entry & HIPAS_ASSIGNED ? "ASSIGNED" : "UNASSIGNED";
}

/** RIPAS of an UNASSIGNED or ASSIGNED entry. */
export const rtteRipas = (entry: bigint): RmiRipas =>
  entry & VALID ? RmiRipas.RAM : (Number((entry >> RIPAS_SHIFT) & 3n) as RmiRipas);

/** Output address of an ASSIGNED or ASSIGNED_NS entry, or the next table of a TABLE entry. */
export const rtteAddr = (entry: bigint): bigint => entry & ADDR;

/** The same from the entry's two words, as a frame number. */
export const rtteFrame = (low: number, high: number): number => frameOfWords(low & ~0xfff, high & 0xffff);

/** `rtteState`, `rtteRipas` and `isValidEntry` from an entry's words. */
export function rtteStateOf(low: number, high: number, level: number): RtteState {
  if ((low & 1) !== 0) {
    if (level < RTT_LEVEL_PAGE && (low & 2) !== 0) return "TABLE";
    return (high & NS_HIGH) !== 0 ? "ASSIGNED_NS" : "ASSIGNED";
  }
  if ((high & NS_HIGH) !== 0) return "UNASSIGNED_NS";
  return (low & HIPAS_ASSIGNED_LOW) !== 0 ? "ASSIGNED" : "UNASSIGNED";
}
const NS_HIGH = highOf(NS);
const HIPAS_ASSIGNED_LOW = lowOf(HIPAS_ASSIGNED);

export const rtteRipasOf = (low: number): RmiRipas =>
  (low & 1) !== 0 ? RmiRipas.RAM : (((low >>> RIPAS_SHIFT_LOW) & 3) as RmiRipas);
const RIPAS_SHIFT_LOW = Number(RIPAS_SHIFT);

export const isValidLow = (low: number): boolean => (low & 1) !== 0;

/** What the hardware uses: an entry that may have been cached by a TLB. */
export const isValidEntry = (entry: bigint): boolean => (entry & VALID) !== 0n;

export const unassigned = (ripas: RmiRipas): bigint => BigInt(ripas) << RIPAS_SHIFT;
export const UNASSIGNED_NS = NS;

export function assigned(pa: bigint, ripas: RmiRipas, level: number): bigint {
  if (ripas === RmiRipas.RAM) return pa | PROTECTED_ATTRIBUTES | leafType(level);
  return pa | HIPAS_ASSIGNED | unassigned(ripas);
}

/** A page (level 3) with its frame number; `assigned` of its address. */
export function assignedPage(frame: number, ripas: RmiRipas): bigint {
  const low = ripas === RmiRipas.RAM ? PAGE_RAM_LOW : HIPAS_ASSIGNED_LOW | (ripas << RIPAS_SHIFT_LOW);
  return join((frame << 12) | low, frame >>> 20);
}
const PAGE_RAM_LOW = lowOf(PROTECTED_ATTRIBUTES | TABLE_OR_PAGE);

/** An unprotected mapping; `desc` is the Host's, with nothing but its own bits. Never executable by a Realm. */
export function assignedNs(desc: bigint, level: number): bigint {
  // Without LPA2, shareability follows the memory type: Inner for cacheable memory, Outer for all else.
  const cacheable = RMI_NS_DESC.MEM_ATTR.get(desc) >= NORMAL_WRITE_BACK;
  const shareability = cacheable ? INNER_SHAREABLE : OUTER_SHAREABLE;
  return desc | NS | EXECUTE_NEVER | ACCESS_FLAG | shareability | VALID | leafType(level);
}

/** The Host's view of an ASSIGNED_NS entry. */
export const nsHostDesc = (entry: bigint): bigint => entry & NS_HOST_BITS;

export const table = (pa: bigint): bigint => pa | VALID | TABLE_OR_PAGE;

/** Whether an entry of a level is TABLE, from its low 32 bits. */
export const isTableLow = (low: number, level: number): boolean => level < RTT_LEVEL_PAGE && (low & 3) === 3;

/**
 * Whether an entry stores a PA, from its low 32 bits: anything valid, and ASSIGNED. Decides the `top` outputs; scans of
 * whole tables use it on their words.
 */
export const isLiveLow = (low: number): boolean => (low & 0x1d) !== 0;
