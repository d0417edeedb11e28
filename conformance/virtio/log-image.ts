/**
 * The disk that `virtio case=log` writes: numbered blocks of 4 KiB, block n at place n modulo the number of places, a line
 * "flushed n" after each flush. guests/apps/virtio/main.c, "run_log".
 */
import { crc32 } from "node:zlib";

export const LOG_BLOCK = 4096;
const MAGIC = "rmbx-log";
/** Blocks between two flushes. */
const WRITES = 3;

/** The number of the last block that the guest told to be flushed; -1: none. */
export function lastFlushed(console: string): number {
  const told = [...console.matchAll(/^flushed (\d+)$/gm)];
  return told.length === 0 ? -1 : Number(told.at(-1)![1]);
}

/** The number of the block at a place; undefined when there is none that is whole. */
function blockAt(image: Buffer, place: number): number | undefined {
  const block = image.subarray(place * LOG_BLOCK, (place + 1) * LOG_BLOCK);
  if (block.toString("latin1", 0, 8) !== MAGIC) return undefined;
  if (crc32(block.subarray(0, LOG_BLOCK - 4)) !== block.readUInt32LE(LOG_BLOCK - 4)) return undefined;
  return Number(block.readBigUInt64LE(8));
}

/** What is wrong with an image after `flushed` was told: blocks that are lost, old or damaged. */
export function lostBlocks(image: Buffer, flushed: number): string[] {
  const places = image.length / LOG_BLOCK;
  const problems: string[] = [];
  for (let place = 0; place < places; place++) {
    // The newest flushed block of this place.
    const wanted = flushed - ((flushed - place) % places);
    if (flushed < place) continue;
    const found = blockAt(image, place);
    if (found === undefined) problems.push(`place ${place}: no whole block, ${wanted} was flushed`);
    else if (found % places !== place) problems.push(`place ${place}: block ${found}`);
    else if (found < wanted) problems.push(`place ${place}: block ${found}, ${wanted} was flushed`);
    else if (found > flushed + WRITES + 1) problems.push(`place ${place}: block ${found} from the future`);
  }
  return problems;
}
