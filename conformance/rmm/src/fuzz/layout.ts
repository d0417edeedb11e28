/**
 * The fuzzer's machine: board `base` with one bank of DRAM of 512 granules, all of them delegable. The last 32 are the Host's
 * own for structures and sources, which it hardly ever delegates; the two before them belong to the Secure world.
 */
export const PAGE = 4096;
export const DRAM = 0x8000_0000;
export const GRANULES = 512;
export const DRAM_END = DRAM + GRANULES * PAGE;

/** First granule of the Host's own, by index. */
export const HOST_FIRST = 480;
/** Pages for RmiRealmParams, RmiRecParams and RmiRecRun. */
export const STRUCTURES = 16;
/** Pages that RMI_DATA_CREATE copies: the agent first, then others. */
export const SOURCE_FIRST = HOST_FIRST + STRUCTURES;
export const SOURCES = GRANULES - SOURCE_FIRST;
/** Granules of the Secure PAS. */
export const SECURE: readonly number[] = [478, 479];
/** Granules that calls play with: 0 up to here. */
export const PLAYGROUND = 478;

export const paOf = (granule: number): number => DRAM + granule * PAGE;
export const bigPaOf = (granule: number): bigint => BigInt(paOf(granule));
