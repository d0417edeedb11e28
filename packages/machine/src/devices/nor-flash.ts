/**
 * NOR flash: two 16-bit chips side by side on a 32-bit bus, with the Common Flash Interface and Intel's basic command set.
 * JESD68.01 (CFI), "Query structure"; Intel StrataFlash J3 data sheet, "Command set". Operations are done at once: the
 * status is always ready. Contents outlive a reset; what was never written reads as ones. Code does not run from it.
 *
 * @spec JESD68.01, "Query structure": partial: of Intel's command set no suspend, protection registers or configuration;
 *   program and erase take no time
 */
import type { Device } from "./device.js";

export const FLASH_BLOCK_SIZE = 0x4_0000;
const BLOCKS_PER_REGION = 256;
const ERASED = 0xff;

const CMD = {
  READ_ARRAY: 0xff,
  READ_ID: 0x90,
  READ_QUERY: 0x98,
  READ_STATUS: 0x70,
  CLEAR_STATUS: 0x50,
  PROGRAM: 0x40,
  PROGRAM_2: 0x10,
  BUFFER: 0xe8,
  ERASE: 0x20,
  LOCK: 0x60,
  CONFIRM: 0xd0,
  LOCK_BLOCK: 0x01,
};
const STATUS = { READY: 1 << 7, ERASE: 1 << 5, PROGRAM: 1 << 4, LOCKED: 1 << 1 };
const SEQUENCE_ERROR = STATUS.ERASE | STATUS.PROGRAM;

const ID = { MANUFACTURER: 0x89, DEVICE: 0x18 };
/** Words that the write buffer holds: 32 bytes. */
const BUFFER_WORDS = 16;

/** CFI query of one chip from word 0x10: 32 MiB in 256 blocks of 128 KiB, Intel's extended command set (1), 32 byte buffer. */
const QUERY: readonly number[] = [
  ...[0x51, 0x52, 0x59, 0x01, 0x00, 0x31, 0x00, 0x00, 0x00, 0x00, 0x00], // "QRY", command set, table at 0x31
  ...[0x27, 0x36, 0x00, 0x00, 0x08, 0x09, 0x0a, 0x00, 0x01, 0x01, 0x02, 0x00], // voltages, typical and maximum times
  ...[0x19, 0x01, 0x00, 0x05, 0x00, 0x01, BLOCKS_PER_REGION - 1, 0x00, 0x00, 0x02], // size, x16, buffer, one region
];
const QUERY_AT = 0x10;

type Mode = "array" | "status" | "id" | "query";
type Pending =
  | { readonly kind: "none" | "program" | "erase" | "lock" | "count" | "confirm" }
  | { readonly kind: "buffer"; readonly left: number };

interface Chip {
  mode: Mode;
  status: number;
  pending: Pending;
  /** Words of the write buffer: device offset and value. */
  buffer: (readonly [offset: number, value: number])[];
}

const chipAtReset = (): Chip => ({ mode: "array", status: STATUS.READY, pending: { kind: "none" }, buffer: [] });

export class NorFlash implements Device {
  readonly name: string;
  readonly size: number;
  #chips: readonly [Chip, Chip] = [chipAtReset(), chipAtReset()];
  /** Contents by block; absent: erased. */
  readonly #blocks = new Map<number, Uint8Array>();
  /** Locked blocks: block number times two plus the chip. */
  readonly #locked = new Set<number>();

  constructor(name: string, size: number) {
    this.name = name;
    this.size = size;
  }

  reset(): void {
    this.#chips = [chipAtReset(), chipAtReset()];
  }

  /** Puts contents in, as a programmer would before the machine starts. */
  load(bytes: Uint8Array, offset = 0): void {
    for (let i = 0; i < bytes.length; ) {
      const at = offset + i;
      const n = Math.min(bytes.length - i, FLASH_BLOCK_SIZE - (at % FLASH_BLOCK_SIZE), this.size - at);
      if (n <= 0) return;
      this.#blockAt(at).set(bytes.subarray(i, i + n), at % FLASH_BLOCK_SIZE);
      i += n;
    }
  }

  /** A copy of contents. */
  contents(offset = 0, length = this.size - offset): Uint8Array {
    const bytes = new Uint8Array(length).fill(ERASED);
    for (let i = 0; i < length; ) {
      const at = offset + i;
      const n = Math.min(length - i, FLASH_BLOCK_SIZE - (at % FLASH_BLOCK_SIZE));
      const block = this.#blocks.get(Math.floor(at / FLASH_BLOCK_SIZE));
      const within = at % FLASH_BLOCK_SIZE;
      if (block) bytes.set(block.subarray(within, within + n), i);
      i += n;
    }
    return bytes;
  }

  read(offset: number, size: number): bigint {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#readByte(offset + i));
    return value;
  }

  /** A chip takes words only. */
  write(offset: number, size: number, value: bigint): void {
    for (let i = 0; i + 2 <= size; i += 2) {
      this.#writeWord(offset + i, Number((value >> BigInt(8 * i)) & 0xffffn));
    }
  }

  save(): unknown {
    return {
      chips: this.#chips,
      locked: [...this.#locked],
      blocks: [...this.#blocks].map(([block, bytes]) => [block, toHex(bytes)] as const),
    };
  }

  restore(data: unknown): void {
    const { chips, locked, blocks } = data as {
      chips: readonly [Chip, Chip];
      locked: readonly number[];
      blocks: readonly (readonly [number, string])[];
    };
    this.#chips = [copyOf(chips[0]), copyOf(chips[1])];
    this.#locked.clear();
    for (const entry of locked) this.#locked.add(entry);
    this.#blocks.clear();
    for (const [block, hex] of blocks) this.#blocks.set(block, fromHex(hex));
  }

  #blockAt(offset: number): Uint8Array {
    const number = Math.floor(offset / FLASH_BLOCK_SIZE);
    let block = this.#blocks.get(number);
    if (!block) {
      block = new Uint8Array(FLASH_BLOCK_SIZE).fill(ERASED);
      this.#blocks.set(number, block);
    }
    return block;
  }

  #readByte(offset: number): number {
    const lane = (offset >> 1) & 1;
    const chip = this.#chips[lane as 0 | 1];
    if (chip.mode === "array") {
      return this.#blocks.get(Math.floor(offset / FLASH_BLOCK_SIZE))?.[offset % FLASH_BLOCK_SIZE] ?? ERASED;
    }
    // These modes give a byte in each word.
    if ((offset & 1) !== 0) return 0;
    if (chip.mode === "status") return chip.status;
    const word = (offset % FLASH_BLOCK_SIZE) >> 2;
    if (chip.mode === "query") return QUERY[word - QUERY_AT] ?? 0;
    if (word === 0) return ID.MANUFACTURER;
    if (word === 1) return ID.DEVICE;
    return word === 2 && this.#isLocked(offset) ? 1 : 0;
  }

  #writeWord(offset: number, value: number): void {
    const chip = this.#chips[((offset >> 1) & 1) as 0 | 1];
    const { pending } = chip;
    const command = value & 0xff;
    switch (pending.kind) {
      case "none":
        this.#command(chip, command);
        return;
      case "program":
        this.#program(chip, offset, value);
        break;
      case "erase":
        if (command === CMD.CONFIRM) this.#erase(chip, offset);
        else chip.status |= SEQUENCE_ERROR;
        break;
      case "lock":
        if (command === CMD.LOCK_BLOCK) this.#locked.add(lockOf(offset));
        else if (command === CMD.CONFIRM) this.#locked.delete(lockOf(offset));
        else chip.status |= SEQUENCE_ERROR;
        break;
      case "count":
        if (value < BUFFER_WORDS) {
          chip.buffer = [];
          chip.pending = { kind: "buffer", left: value + 1 };
          return;
        }
        chip.status |= SEQUENCE_ERROR;
        break;
      case "buffer":
        chip.buffer.push([offset, value]);
        chip.pending = pending.left === 1 ? { kind: "confirm" } : { kind: "buffer", left: pending.left - 1 };
        return;
      case "confirm":
        if (command === CMD.CONFIRM) for (const [at, word] of chip.buffer) this.#program(chip, at, word);
        else chip.status |= SEQUENCE_ERROR;
        chip.buffer = [];
    }
    chip.pending = { kind: "none" };
    chip.mode = "status";
  }

  #command(chip: Chip, command: number): void {
    switch (command) {
      case CMD.READ_ARRAY:
        chip.mode = "array";
        break;
      case CMD.READ_ID:
        chip.mode = "id";
        break;
      case CMD.READ_QUERY:
        chip.mode = "query";
        break;
      case CMD.READ_STATUS:
        chip.mode = "status";
        break;
      case CMD.CLEAR_STATUS:
        chip.status = STATUS.READY;
        break;
      case CMD.PROGRAM:
      case CMD.PROGRAM_2:
        this.#await(chip, "program");
        break;
      case CMD.ERASE:
        this.#await(chip, "erase");
        break;
      case CMD.LOCK:
        this.#await(chip, "lock");
        break;
      case CMD.BUFFER:
        this.#await(chip, "count");
    }
  }

  #await(chip: Chip, kind: "program" | "erase" | "lock" | "count"): void {
    chip.pending = { kind };
    chip.mode = "status";
  }

  /** Programming only ever clears bits. */
  #program(chip: Chip, offset: number, value: number): void {
    if (this.#isLocked(offset)) {
      chip.status |= STATUS.PROGRAM | STATUS.LOCKED;
      return;
    }
    const block = this.#blockAt(offset);
    const at = offset % FLASH_BLOCK_SIZE;
    block[at]! &= value & 0xff;
    block[at + 1]! &= value >> 8;
  }

  /** This chip's half of the block. */
  #erase(chip: Chip, offset: number): void {
    if (this.#isLocked(offset)) {
      chip.status |= STATUS.ERASE | STATUS.LOCKED;
      return;
    }
    const block = this.#blocks.get(Math.floor(offset / FLASH_BLOCK_SIZE));
    for (let at = offset & 2; block && at < FLASH_BLOCK_SIZE; at += 4) block[at] = block[at + 1] = ERASED;
  }

  #isLocked(offset: number): boolean {
    return this.#locked.has(lockOf(offset));
  }
}

const lockOf = (offset: number): number => Math.floor(offset / FLASH_BLOCK_SIZE) * 2 + ((offset >> 1) & 1);

const copyOf = (chip: Chip): Chip => ({ ...chip, buffer: [...chip.buffer] });

function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

const fromHex = (text: string): Uint8Array =>
  Uint8Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
