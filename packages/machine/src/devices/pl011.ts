/**
 * PL011 UART: the firmware's and the Host's console. DDI 0183 (PrimeCell UART PL011), "Programmers model". Output goes
 * to a callback at once: the transmitter is never busy and its FIFO always empty. Input waits in the receive queue.
 *
 * @spec DDI 0183, "Programmers Model": partial: no baud rate timing, DMA, modem lines, error conditions, loopback;
 *   their registers are storage
 */
import type { MmioDevice, Snapshotable } from "../bus.js";

const DR = 0x00;
const RSR = 0x04;
const FR = 0x18;
const ILPR = 0x20;
const IBRD = 0x24;
const FBRD = 0x28;
const LCR_H = 0x2c;
const CR = 0x30;
const IFLS = 0x34;
const IMSC = 0x38;
const RIS = 0x3c;
const MIS = 0x40;
const ICR = 0x44;
const DMACR = 0x48;

const FLAG = { RXFE: 1 << 4, RXFF: 1 << 6, TXFE: 1 << 7 };
const INT = { RX: 1 << 4, TX: 1 << 5, RT: 1 << 6 };
const LCR_H_FEN = 1 << 4;

/** Which bits of a register that is plain storage exist. */
const STORED: Readonly<Record<number, number>> = {
  [ILPR]: 0xff,
  [IBRD]: 0xffff,
  [FBRD]: 0x3f,
  [LCR_H]: 0xff,
  [CR]: 0xff87,
  [IFLS]: 0x3f,
  [IMSC]: 0x7ff,
  [DMACR]: 0x7,
};

/** PeriphID0..3 and PCellID0..3 from 0xFE0: part 0x011, Arm, revision 3. */
const ID = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1];

/** Size of the register frame in bytes. */
export const PL011_SIZE = 0x1000;

interface Pl011State {
  readonly registers: Readonly<Record<string, number>>;
  readonly latched: number;
  readonly input: readonly number[];
}

export interface Pl011Options {
  readonly name: string;
  /** Each byte that the software sends. */
  readonly onOutput: (byte: number) => void;
  /** The level of the combined interrupt output (UARTINTR). */
  readonly onInterrupt?: (level: boolean) => void;
}

export class Pl011 implements MmioDevice, Snapshotable {
  readonly name: string;
  readonly #onOutput: (byte: number) => void;
  readonly #onInterrupt: (level: boolean) => void;
  readonly #registers: Record<number, number> = {};
  /** Interrupts latched until ICR clears them: the transmit interrupt. Receive interrupts follow the queue. */
  #latched = 0;
  #input: number[] = [];
  #level = false;

  constructor(options: Pl011Options) {
    this.name = options.name;
    this.#onOutput = options.onOutput;
    this.#onInterrupt = options.onInterrupt ?? (() => {});
    this.reset();
  }

  reset(): void {
    for (const offset of Object.keys(STORED)) this.#registers[Number(offset)] = 0;
    this.#registers[CR] = 0x300;
    this.#registers[IFLS] = 0x12;
    this.#latched = 0;
    this.#input = [];
    this.#update();
  }

  /** Queues input, as if it had arrived on the line. */
  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.#input.push(byte);
    this.#update();
  }

  /** 32 bytes deep with LCR_H.FEN, else one. */
  get #fifoDepth(): number {
    return this.#registers[LCR_H]! & LCR_H_FEN ? 32 : 1;
  }

  #raw(): number {
    const receive = this.#input.length > 0 ? INT.RX | INT.RT : 0;
    return this.#latched | receive;
  }

  #update(): void {
    const level = (this.#raw() & this.#registers[IMSC]!) !== 0;
    if (level === this.#level) return;
    this.#level = level;
    this.#onInterrupt(level);
  }

  read(offset: number, _size: number): bigint {
    const at = offset & ~3;
    if (at >= 0xfe0) return BigInt(ID[(at - 0xfe0) >> 2]!);
    let value = 0;
    switch (at) {
      case DR:
        value = this.#input.shift() ?? 0;
        this.#update();
        break;
      case RSR:
        break;
      case FR:
        value =
          FLAG.TXFE |
          (this.#input.length === 0 ? FLAG.RXFE : 0) |
          (this.#input.length >= this.#fifoDepth ? FLAG.RXFF : 0);
        break;
      case RIS:
        value = this.#raw();
        break;
      case MIS:
        value = this.#raw() & this.#registers[IMSC]!;
        break;
      default:
        value = this.#registers[at] ?? 0;
    }
    return BigInt(value >>> (8 * (offset & 3)));
  }

  write(offset: number, _size: number, value: bigint): void {
    const low = Number(value & 0xffffn);
    switch (offset) {
      case DR:
        this.#onOutput(low & 0xff);
        this.#latched |= INT.TX; // the FIFO has drained again
        break;
      case ICR:
        this.#latched &= ~low;
        break;
      default: {
        const stored = STORED[offset];
        if (stored === undefined) return;
        this.#registers[offset] = low & stored;
      }
    }
    this.#update();
  }

  save(): Pl011State {
    return {
      registers: Object.fromEntries(Object.entries(this.#registers)),
      latched: this.#latched,
      input: [...this.#input],
    };
  }

  restore(data: unknown): void {
    const state = data as Pl011State;
    for (const [offset, value] of Object.entries(state.registers)) this.#registers[Number(offset)] = value;
    this.#latched = state.latched;
    this.#input = [...state.input];
    this.#update();
  }
}
