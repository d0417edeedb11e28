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
import { toNumber } from "../views.js";
import {
  assigned,
  assignedNs,
  isLiveLow,
  isTableLow,
  isValidEntry,
  nsHostDesc,
  rtteAddr,
  rtteAddrOf,
  rtteRipas,
  rtteState,
} from "./entry.js";
import { RTT_ENTRIES, RTT_LEVEL_BLOCK_MIN, RTT_LEVEL_PAGE } from "./geometry.js";

/** Sizes of an entry by level, as numbers. */
const ENTRY_SIZES = [0, 1, 2, 3].map((level) => 2 ** rttEntryShift(level));

/** Where a walk ended. */
export interface Walk {
  readonly level: number;
  /** The table that holds the entry. */
  readonly rtt: bigint;
  readonly index: number;
  readonly entry: bigint;
}

/** Walks towards `level`; ends there, or at the first entry that is not TABLE. `ipa` lies in the Realm's IPA space. */
export function walk(rmm: Rmm, rd: Rd, ipa: bigint, level: number): Walk {
  const address = toNumber(ipa);
  let at = rd.rtt_level_start;
  let n = Math.floor(address / ENTRY_SIZES[at]!); // over all start tables
  let rtt = toNumber(rd.rtt_base) + Math.floor(n / RTT_ENTRIES) * GRANULE_SIZE;
  for (;;) {
    const index = n % RTT_ENTRIES;
    const page = rmm.page(rtt);
    const low = page.u32[2 * index]!;
    if (at === level || !isTableLow(low, at)) return { level: at, rtt: BigInt(rtt), index, entry: page.u64[index]! };
    rtt = rtteAddrOf(low, page.u32[2 * index + 1]!);
    at++;
    n = Math.floor(address / ENTRY_SIZES[at]!);
  }
}

export function setEntry(rmm: Rmm, { rtt, index }: { readonly rtt: bigint; readonly index: number }, entry: bigint) {
  rmm.write64(rtt + BigInt(8 * index), entry);
}

/** The entries of a table in place. */
export function entriesOf(rmm: Rmm, rtt: bigint): BigUint64Array {
  return rmm.page(toNumber(rtt)).u64;
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
export function skipNonLive(rmm: Rmm, { rtt, index, level }: Omit<Walk, "entry">, ipa: bigint): bigint {
  const words = rmm.page(toNumber(rtt)).u32;
  let next = index;
  while (next < RTT_ENTRIES && !isLiveLow(words[2 * next]!)) next++;
  return next === index ? ipa : alignDown(ipa, level) + BigInt(next - index) * rttEntrySize(level);
}

/** Fills a new table at `level` so that the Realm sees what the parent entry said; returns its number of ASSIGNED entries. */
export function unfold(rmm: Rmm, rtt: bigint, parent: bigint, level: number): number {
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
export function foldedEntry(rmm: Rmm, rtt: bigint, level: number): bigint | undefined {
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

/** What an access of the RMM on the Realm's behalf finds at a Protected IPA. */
export type RealmPage =
  | { readonly kind: "mapped"; readonly pa: number }
  /** RIPAS EMPTY: the Realm's own mistake. */
  | { readonly kind: "empty" }
  /** RIPAS DESTROYED, or RAM without a page: the Host's to resolve. */
  | { readonly kind: "fault"; readonly level: number };

/** Translates a Protected IPA to the PA of its page's first byte, as the hardware would. */
export function realmPage(rmm: Rmm, rd: Rd, ipa: bigint): RealmPage {
  const { level, entry } = walk(rmm, rd, ipa, RTT_LEVEL_PAGE);
  if (isValidEntry(entry)) {
    const offset = toNumber(ipa) % ENTRY_SIZES[level]!;
    return { kind: "mapped", pa: toNumber(rtteAddr(entry)) + offset - (offset % GRANULE_SIZE) };
  }
  if (rtteRipas(entry) === RmiRipas.EMPTY) return { kind: "empty" };
  return { kind: "fault", level };
}
