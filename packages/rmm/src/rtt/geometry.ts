/**
 * Geometry of a Realm's stage-2 tables: 4 KiB granule, levels 0 to 3, up to 16 concatenated start tables. DEN0137
 * 1.0-rel0, "Realm Translation Table"; DDI 0487, "Concatenated translation tables". LPA2, and with it level -1, is not
 * offered (RmiFeatureRegister0.LPA2 = 0).
 */
import { rttEntryShift } from "@realmbox/abi";

/** Entries of one table. */
export const RTT_ENTRIES = 512;
export const RTT_LEVEL_PAGE = 3;
/** Least level whose entries may be blocks. */
export const RTT_LEVEL_BLOCK_MIN = 1;
/** Physical addresses from here on need LPA2. */
export const PA_SIZE = 1n << 48n;
/** Least IPA width that a Realm can have. DEN0137, "Realm parameters". */
export const IPA_WIDTH_MIN = 32;

/** IPA bits that one table at `level` resolves, its descendants included. */
const tableBits = (level: number): number => rttEntryShift(level) + 9;

/**
 * The number of start tables that an IPA width needs at a start level; undefined when the level does not fit the width.
 * DDI 0487, "Implications of the effective minimum and maximum input address size".
 */
export function startTables(ipaWidth: number, startLevel: number): number | undefined {
  if (startLevel < 0 || startLevel > 2) return undefined;
  const spare = ipaWidth - tableBits(startLevel);
  // A level higher in the tree is used only when this one, concatenated or not, resolves at least two entries.
  if (spare > 4 || ipaWidth <= rttEntryShift(startLevel)) return undefined;
  return spare <= 0 ? 1 : 2 ** spare;
}
