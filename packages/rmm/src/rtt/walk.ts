/**
 * Walks and whole-table operations on a Realm's RTTs. DEN0137 1.0-rel0, "RTT walk", "RTT folding", "RTT unfolding".
 *
 * Every change of an entry is one 64-bit store. An entry that was valid for the hardware is made invalid, its
 * translations are forgotten on all PEs, and only then is it given a new meaning (break before make), because other PEs
 * may be running the Realm.
 */
import { GRANULE_SIZE, RmiRipas, rttEntryShift, rttEntrySize } from "@realmbox/abi";
import type { Rd } from "../realm/rd.js";
import type { Rmm } from "../rmm.js";
import { join, type Page, toNumber } from "../views.js";
import {
  assigned,
  assignedNs,
  isLiveLow,
  isTableLow,
  isValidLow,
  nsHostDesc,
  rtteAddr,
  rtteFrame,
  rtteRipas,
  rtteRipasOf,
  rtteState,
} from "./entry.js";
import { RTT_ENTRIES, RTT_LEVEL_BLOCK_MIN, RTT_LEVEL_PAGE } from "./geometry.js";

/** log2 of the pages of an entry by level. */
const PAGE_BITS = [0, 1, 2, 3].map((level) => rttEntryShift(level) - 12);
const PAGES = PAGE_BITS.map((bits) => 2 ** bits);
const INDEX_BITS = 9;
const INDEX_MASK = RTT_ENTRIES - 1;

/** Where a walk ended, and the entry as it was then. */
export class Walk {
  readonly level: number;
  /** The table that holds the entry. */
  readonly table: Page;
  readonly index: number;
  /** The entry's two words. */
  readonly low: number;
  readonly high: number;

  constructor(level: number, table: Page, index: number) {
    this.level = level;
    this.table = table;
    this.index = index;
    this.low = table.i32[2 * index]!;
    this.high = table.i32[2 * index + 1]!;
  }

  get entry(): bigint {
    return join(this.low, this.high);
  }
}

/** Walks towards `level`; ends there, or at the first entry that is not TABLE. `ipa` lies in the Realm's IPA space. */
export const walk = (rmm: Rmm, rd: Rd, ipa: bigint, level: number): Walk =>
  walkPage(rmm, rd, Math.floor(toNumber(ipa) / GRANULE_SIZE), level);

/** The same for a page of the IPA space, by its number. */
export function walkPage(rmm: Rmm, rd: Rd, ipaPage: number, level: number): Walk {
  let at = rd.rtt_level_start;
  // Over all start tables.
  const first = Math.floor(ipaPage / PAGES[at]!);
  let index = first & INDEX_MASK;
  let table = rmm.pageAt(rd.rttFrame + (first >>> INDEX_BITS));
  for (;;) {
    const low = table.i32[2 * index]!;
    if (at === level || !isTableLow(low, at)) return new Walk(at, table, index);
    table = rmm.pageAt(rtteFrame(low, table.i32[2 * index + 1]!));
    at++;
    // Levels below the first have fewer than 32 bits of page number.
    index = (ipaPage >>> PAGE_BITS[at]!) & INDEX_MASK;
  }
}

/** Changes an entry by one 64-bit store. */
export function setEntry({ table, index }: Pick<Walk, "table" | "index">, entry: bigint): void {
  table.u64[index] = entry;
}

/** The entries of a table in place. */
export function entriesOf(rmm: Rmm, rtt: number): BigUint64Array {
  return rmm.pageAt(rtt).u64;
}

/** The start of the entry that a walk ended in. */
export const alignDown = (ipa: bigint, level: number): bigint => ipa & ~OFFSET_MASKS[level]!;
export const isAligned = (ipa: bigint, level: number): boolean => (ipa & OFFSET_MASKS[level]!) === 0n;
/** Bits of an address below an entry of each level. */
const OFFSET_MASKS = [0, 1, 2, 3].map((level) => rttEntrySize(level) - 1n);

/**
 * The `top` output of commands that remove something: the next IPA, from the entry that `walk` ended in on, whose entry
 * is live; `ipa` itself when that entry is live; the end of the table when none is. The scan stays in one table.
 */
export function skipNonLive({ table, index, level }: Walk, ipa: bigint): bigint {
  const words = table.i32;
  let next = index;
  while (next < RTT_ENTRIES && !isLiveLow(words[2 * next]!)) next++;
  return next === index ? ipa : alignDown(ipa, level) + BigInt(next - index) * rttEntrySize(level);
}

/** Fills a new table at `level` so that the Realm sees what the parent entry said; returns its number of ASSIGNED entries. */
export function unfold(rmm: Rmm, rtt: number, parent: bigint, level: number): number {
  const entries = entriesOf(rmm, rtt);
  const size = rttEntrySize(level);
  switch (rtteState(parent, level - 1)) {
    case "ASSIGNED": {
      const ripas = rtteRipas(parent);
      for (let i = 0; i < RTT_ENTRIES; i++) entries[i] = assigned(rtteAddr(parent) + BigInt(i) * size, ripas, level);
      return RTT_ENTRIES;
    }
    case "ASSIGNED_NS": {
      const desc = nsHostDesc(parent);
      for (let i = 0; i < RTT_ENTRIES; i++) entries[i] = assignedNs(desc + BigInt(i) * size, level);
      return 0;
    }
    default: // UNASSIGNED, UNASSIGNED_NS: the same at every level
      entries.fill(parent);
      return 0;
  }
}

/** The parent entry that says the same as all entries of the table at `level`; undefined when no single entry does. */
export function foldedEntry(rmm: Rmm, rtt: number, level: number): bigint | undefined {
  const entries = entriesOf(rmm, rtt);
  const first = entries[0]!;
  const state = rtteState(first, level);
  if (state === "TABLE") return undefined;
  if (state === "UNASSIGNED" || state === "UNASSIGNED_NS") {
    return entries.every((entry) => entry === first) ? first : undefined;
  }
  // ASSIGNED, ASSIGNED_NS: contiguous, aligned, of equal attributes, and a block may stand at the parent's level.
  if (level - 1 < RTT_LEVEL_BLOCK_MIN || !isAligned(rtteAddr(first), level - 1)) return undefined;
  const size = rttEntrySize(level);
  let expected = first;
  for (const entry of entries) {
    if (entry !== expected) return undefined;
    expected += size;
  }
  const pa = rtteAddr(first);
  return state === "ASSIGNED" ? assigned(pa, rtteRipas(first), level - 1) : assignedNs(nsHostDesc(first), level - 1);
}

/** Why an access of the RMM on the Realm's behalf finds no page at a Protected IPA. */
export type NoPage =
  /** RIPAS EMPTY: the Realm's own mistake. */
  | { readonly kind: "empty" }
  /** RIPAS DESTROYED, or RAM without a page: the Host's to resolve. */
  | { readonly kind: "fault"; readonly level: number };

const EMPTY: NoPage = { kind: "empty" };

/** The Realm's page at a Protected IPA, by the page's number, as the hardware would translate it. */
export function realmPage(rmm: Rmm, rd: Rd, ipaPage: number): Page | NoPage {
  const { level, low, high } = walkPage(rmm, rd, ipaPage, RTT_LEVEL_PAGE);
  if (isValidLow(low)) return rmm.pageAt(rtteFrame(low, high) + (ipaPage & (PAGES[level]! - 1)));
  return rtteRipasOf(low) === RmiRipas.EMPTY ? EMPTY : { kind: "fault", level };
}
