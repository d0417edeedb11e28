/**
 * Snapshots: the whole state of a machine as one file. Frames keep their order, so that host addresses in the PE states
 * (an exclusive monitor's) stay true, and a machine restored in another process goes on as this one would.
 *
 *   0   8   magic "RBSNAP03"
 *   8   4   bytes of the header, little-endian
 *   12  n   header: JSON, `Header`
 *       …   PE state blocks, in order
 *       …   per frame: page index (4 bytes), 1 (the page follows) or 0 (the page is zero)
 *       …   the pages that are not zero, in frame order
 */
import { invariant } from "@realmbox/abi";
import { type MutableCounters, restoreCounters } from "./counters.js";
import type { Machine } from "./machine.js";
import { PAGE_SIZE } from "./memory.js";
import type { SavedProcessor } from "./processor.js";

/** The machine's own fields. */
export interface SavedClock {
  readonly time: number;
  readonly turn: number;
  readonly sliceEnd: number;
  /** Why the machine is to be reset when it runs again. */
  readonly reset?: string;
}

interface Header {
  readonly board: string;
  readonly clock: SavedClock;
  readonly frames: number;
  readonly pes: readonly SavedProcessor[];
  readonly counters: MutableCounters;
  /** By name of the registered part. */
  readonly parts: Readonly<Record<string, unknown>>;
}

const MAGIC = [..."RBSNAP03"].map((c) => c.charCodeAt(0));
const PREAMBLE = 12;
const FRAME_RECORD = 8;

/** What must be equal in the machine that restores. */
const boardKey = (machine: Machine): string =>
  JSON.stringify(machine.board, (_, value) => (typeof value === "bigint" ? value.toString() : value));

export function saveMachine(machine: Machine, clock: SavedClock): Uint8Array {
  const { memory, pes } = machine;
  const pages = memory.saveFrames();
  const frame = (i: number) => memory.pageBytes(memory.frames + i * PAGE_SIZE);
  const filled: number[] = [];
  for (let i = 0; i < pages.length; i++) {
    if (!isZero(memory.u64, memory.frames / 8 + i * (PAGE_SIZE / 8))) filled.push(i);
  }
  const header: Header = {
    board: boardKey(machine),
    clock,
    frames: pages.length,
    pes: pes.map((pe) => pe.save()),
    counters: machine.counters,
    parts: Object.fromEntries(machine.parts.map((part) => [part.name, part.save()])),
  };
  const text = encodeUtf8(JSON.stringify(header));
  const stateSize = pes.reduce((sum, pe) => sum + pe.bytes.length, 0);
  const data = new Uint8Array(
    PREAMBLE + text.length + stateSize + pages.length * FRAME_RECORD + filled.length * PAGE_SIZE,
  );
  const view = new DataView(data.buffer);
  data.set(MAGIC);
  view.setUint32(8, text.length, true);
  data.set(text, PREAMBLE);
  let at = PREAMBLE + text.length;
  for (const pe of pes) {
    data.set(pe.bytes, at);
    at += pe.bytes.length;
  }
  const isFilled = new Set(filled);
  pages.forEach((page, i) => {
    view.setUint32(at, page, true);
    view.setUint32(at + 4, isFilled.has(i) ? 1 : 0, true);
    at += FRAME_RECORD;
  });
  for (const i of filled) {
    data.set(frame(i), at);
    at += PAGE_SIZE;
  }
  return data;
}

export function restoreMachine(machine: Machine, data: Uint8Array): SavedClock {
  const { memory, pes } = machine;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length < PREAMBLE || MAGIC.some((byte, i) => data[i] !== byte))
    throw new Error("not a snapshot of a machine");
  const textSize = view.getUint32(8, true);
  const header = JSON.parse(decodeUtf8(data.subarray(PREAMBLE, PREAMBLE + textSize))) as Header;
  if (header.board !== boardKey(machine)) throw new Error("the snapshot is of a machine with another board");
  const names = machine.parts.map(({ name }) => name);
  const missing = Object.keys(header.parts).find((name) => !names.includes(name));
  if (missing !== undefined)
    throw new Error(`the snapshot holds the state of "${missing}", which this machine has not`);
  const unsaved = names.find((name) => !(name in header.parts));
  if (unsaved !== undefined) throw new Error(`the snapshot holds no state of "${unsaved}"`);

  let at = PREAMBLE + textSize;
  for (const pe of pes) {
    pe.bytes.set(data.subarray(at, at + pe.bytes.length));
    at += pe.bytes.length;
  }
  const pages = new Uint32Array(header.frames);
  const filled: number[] = [];
  for (let i = 0; i < header.frames; i++) {
    pages[i] = view.getUint32(at, true);
    if (view.getUint32(at + 4, true) !== 0) filled.push(i);
    at += FRAME_RECORD;
  }
  invariant(at + filled.length * PAGE_SIZE === data.length, "a snapshot has the size that it says", data.length);
  memory.restoreFrames(pages);
  for (const i of filled) {
    memory.pageBytes(memory.frames + i * PAGE_SIZE).set(data.subarray(at, at + PAGE_SIZE));
    at += PAGE_SIZE;
  }
  restoreCounters(machine.counters, header.counters);
  for (const part of machine.parts) part.restore(header.parts[part.name]);
  pes.forEach((pe, i) => {
    pe.restore(header.pes[i]!);
  });
  return header.clock;
}

function isZero(words: BigUint64Array, first: number): boolean {
  for (let i = first; i < first + PAGE_SIZE / 8; i++) {
    if (words[i] !== 0n) return false;
  }
  return true;
}

// The core knows neither Node's nor the DOM's TextEncoder; header strings are short.
function encodeUtf8(text: string): Uint8Array {
  const escaped = unescapePercent(encodeURIComponent(text));
  return Uint8Array.from(escaped, (c) => c.charCodeAt(0));
}

function decodeUtf8(bytes: Uint8Array): string {
  let escaped = "";
  for (const byte of bytes) escaped += `%${byte.toString(16).padStart(2, "0")}`;
  return decodeURIComponent(escaped);
}

const unescapePercent = (text: string): string =>
  text.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
