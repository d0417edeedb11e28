/** The engine's tables in the first bytes of the memory: decode, logical immediates, CRC. Data segments of the module. */
import type { TableName } from "../rows/context.js";
import { bitmaskImmediate } from "../rows/text.js";
import { KEY_COUNT } from "./decode.js";

/** u16 by decode key: what the dispatch jumps to. */
export const DECODE_TABLE = 0;

/** Host address and entry size (log2) of the tables that rows name. */
export const TABLES: Readonly<Record<TableName, { readonly address: number; readonly log2: 2 | 3 }>> = {
  bitmask: { address: KEY_COUNT * 2, log2: 3 }, // by N:immr:imms
  crc32: { address: KEY_COUNT * 2 + 0x10000, log2: 2 },
  crc32c: { address: KEY_COUNT * 2 + 0x10400, log2: 2 },
};

/** Reserved encodings give 0; they are never decoded. */
function bitmaskTable(): Uint8Array {
  const table = new BigUint64Array(0x2000);
  for (let index = 0; index < table.length; index++)
    table[index] = bitmaskImmediate(index >> 12, (index >> 6) & 0x3f, index & 0x3f) ?? 0n;
  return new Uint8Array(table.buffer);
}

/** Polynomials of CRC32 and CRC32C, reflected. DDI 0487, "CRC32B, CRC32H, CRC32W, CRC32X". */
function crcTable(polynomial: number): Uint8Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let sum = byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? polynomial : 0);
    table[byte] = sum;
  }
  return new Uint8Array(table.buffer);
}

/** Everything but the decode table. All hosts of WebAssembly that matter are little-endian, and so are these. */
export function constantTables(): { readonly address: number; readonly bytes: Uint8Array }[] {
  return [
    { address: TABLES.bitmask.address, bytes: bitmaskTable() },
    { address: TABLES.crc32.address, bytes: crcTable(0xedb8_8320) },
    { address: TABLES.crc32c.address, bytes: crcTable(0x82f6_3b78) },
  ];
}

/** The parts of `bytes` without long runs of zeros, so that the module stays small. */
export function* nonZeroRuns(bytes: Uint8Array): Generator<{ readonly offset: number; readonly bytes: Uint8Array }> {
  const gap = 32;
  let at = 0;
  while (at < bytes.length) {
    while (at < bytes.length && bytes[at] === 0) at++;
    if (at === bytes.length) return;
    let end = at + 1;
    for (let zeros = 0; end < bytes.length && zeros < gap; end++) zeros = bytes[end] === 0 ? zeros + 1 : 0;
    while (bytes[end - 1] === 0) end--;
    yield { offset: at, bytes: bytes.subarray(at, end) };
    at = end;
  }
}
