/**
 * ns16550A UART with 64-byte FIFOs and byte-wide registers, as kvmtool's (hw/serial.c) shows it to a guest: "U6_16550A".
 * National Semiconductor PC16550D data sheet for the registers.
 *
 * A transmitted byte leaves at once, so the transmitter is always empty (LSR.THRE, LSR.TEMT). The FIFO-type bits of IIR
 * are always set. Differences from kvmtool, each towards the part it models: FIFOs are cleared by FCR (kvmtool looks at
 * LCR, and so forgets LCR bits), IIR names the receiver when both causes hold, and MSR follows MCR in loopback.
 *
 * @spec PC16550D, "Registers": partial: no baud rate, parity and framing, break detection, overrun error (the input
 *   waits), trigger levels
 */

import { UART_SIZE } from "../memory-map.js";
import type { MmioDevice } from "./bus.js";
import type { ConsoleInput, ConsoleReceiver } from "./console.js";

const REG = { RBR_THR_DLL: 0, IER_DLM: 1, IIR_FCR: 2, LCR: 3, MCR: 4, LSR: 5, MSR: 6, SCR: 7 } as const;
const IER = { RDI: 0x01, THRI: 0x02, IMPLEMENTED: 0x0f } as const;
const IIR = { NONE: 0x01, THRI: 0x02, RDI: 0x04, FIFO_BITS: 0xc0 } as const;
const FCR = { CLEAR_RECEIVER: 0x02 } as const;
const LCR = { DLAB: 0x80 } as const;
const MCR = { DTR: 0x01, RTS: 0x02, OUT1: 0x04, OUT2: 0x08, LOOP: 0x10 } as const;
const LSR = { DR: 0x01, THRE: 0x20, TEMT: 0x40 } as const;
const MSR = { CTS: 0x10, DSR: 0x20, RI: 0x40, DCD: 0x80 } as const;

const FIFO_SIZE = 64;
/** Looks at LSR in a row, in vain and with nothing in between, that are waiting. A driver that sends looks once or twice. */
const POLLS = 64;

export interface Ns16550Options {
  readonly name: string;
  readonly base: bigint;
  /** A byte was sent. */
  readonly transmit: (byte: number) => void;
  readonly input: ConsoleInput;
  /** The interrupt line changed. */
  readonly setLine: (level: boolean) => void;
}

/** The registers and the looped bytes, as plain data. */
export interface Ns16550State {
  readonly registers: readonly number[];
  readonly polls: number;
  readonly handshake: boolean;
  readonly received: readonly number[];
  readonly line: boolean;
}

export class Ns16550 implements MmioDevice, ConsoleReceiver {
  readonly name: string;
  readonly base: bigint;
  readonly size = UART_SIZE;
  readonly #options: Ns16550Options;
  #dll = 0;
  #dlm = 0;
  #ier = 0;
  #lcr = 0;
  #mcr: number = MCR.OUT2;
  #scr = 0;
  /** Bytes received by loopback. Others stay in the source until the guest reads them, so that no reset loses any. */
  #received: number[] = [];
  #line = false;
  /** Looks at LSR in vain since the last other access. */
  #polls = 0;
  /** RTS has been set: from now on its absence says "do not send". */
  #handshake = false;

  constructor(options: Ns16550Options) {
    this.name = options.name;
    this.base = options.base;
    this.#options = options;
  }

  /** Something outside has bytes: an interrupt may be due. */
  inputArrived(): void {
    this.#update();
  }

  /**
   * The receiver's interrupt is enabled, or the guest polls; and RTS is not withdrawn. A driver that keeps the FIFO
   * waiting (Linux with crtscts) withdraws it so that nothing gets lost.
   */
  get receiving(): boolean {
    if (this.#looping || (this.#handshake && (this.#mcr & MCR.RTS) === 0)) return false;
    return (this.#ier & IER.RDI) !== 0 || this.#polls >= POLLS;
  }

  get wantsInput(): boolean {
    return this.receiving && !this.#dataReady;
  }

  read(offset: number, data: Uint8Array): void {
    this.#countPoll(offset);
    data[0] = this.#readRegister(offset);
    this.#update();
  }

  /** Registers are bytes: of a wider write the lowest byte counts, as in kvmtool. */
  write(offset: number, data: Uint8Array): void {
    this.#polls = 0;
    this.#writeRegister(offset, data[0]!);
    this.#update();
  }

  get state(): Ns16550State {
    return {
      registers: [this.#dll, this.#dlm, this.#ier, this.#lcr, this.#mcr, this.#scr],
      polls: this.#polls,
      handshake: this.#handshake,
      received: [...this.#received],
      line: this.#line,
    };
  }

  /** Takes over a state; the interrupt line's level is the virtual GIC's own state and is not driven again. */
  set state({ registers, polls, handshake, received, line }: Ns16550State) {
    [this.#dll, this.#dlm, this.#ier, this.#lcr, this.#mcr, this.#scr] = registers as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    this.#polls = polls;
    this.#handshake = handshake;
    this.#received = [...received];
    this.#line = line;
  }

  #countPoll(offset: number): void {
    if (offset !== REG.LSR || this.#dataReady) {
      this.#polls = 0;
      return;
    }
    this.#polls++;
    if (this.#polls % POLLS === 0) this.#options.input.polled?.();
  }

  #readRegister(offset: number): number {
    const dlab = (this.#lcr & LCR.DLAB) !== 0;
    switch (offset) {
      case REG.RBR_THR_DLL: {
        if (dlab) return this.#dll;
        const looped = this.#received.shift();
        if (looped !== undefined) return looped;
        return this.#looping ? 0 : (this.#options.input.take() ?? 0);
      }
      case REG.IER_DLM:
        return dlab ? this.#dlm : this.#ier;
      case REG.IIR_FCR:
        return this.#cause() | IIR.FIFO_BITS;
      case REG.LCR:
        return this.#lcr;
      case REG.MCR:
        return this.#mcr;
      case REG.LSR:
        return LSR.THRE | LSR.TEMT | (this.#dataReady ? LSR.DR : 0);
      case REG.MSR:
        return this.#modemStatus();
      default:
        return this.#scr;
    }
  }

  #writeRegister(offset: number, value: number): void {
    const dlab = (this.#lcr & LCR.DLAB) !== 0;
    switch (offset) {
      case REG.RBR_THR_DLL:
        if (dlab) this.#dll = value;
        else if (!this.#looping) this.#options.transmit(value);
        else if (this.#received.length < FIFO_SIZE) this.#received.push(value);
        break;
      case REG.IER_DLM:
        if (dlab) this.#dlm = value;
        else this.#ier = value & IER.IMPLEMENTED;
        break;
      case REG.IIR_FCR:
        if ((value & FCR.CLEAR_RECEIVER) !== 0) this.#received = [];
        break;
      case REG.LCR:
        this.#lcr = value;
        break;
      case REG.MCR:
        this.#mcr = value;
        this.#handshake ||= (value & MCR.RTS) !== 0;
        break;
      case REG.SCR:
        this.#scr = value;
        break;
      default: // LSR and MSR are read-only
    }
  }

  /** In loopback the modem inputs are the modem outputs. Else: carrier, data set ready, clear to send. */
  #modemStatus(): number {
    if (!this.#looping) return MSR.DCD | MSR.DSR | MSR.CTS;
    return (
      ((this.#mcr & MCR.RTS) !== 0 ? MSR.CTS : 0) |
      ((this.#mcr & MCR.DTR) !== 0 ? MSR.DSR : 0) |
      ((this.#mcr & MCR.OUT1) !== 0 ? MSR.RI : 0) |
      ((this.#mcr & MCR.OUT2) !== 0 ? MSR.DCD : 0)
    );
  }

  get #looping(): boolean {
    return (this.#mcr & MCR.LOOP) !== 0;
  }

  get #dataReady(): boolean {
    return this.#received.length > 0 || (!this.#looping && this.#options.input.ready);
  }

  #cause(): number {
    if ((this.#ier & IER.RDI) !== 0 && this.#dataReady) return IIR.RDI;
    return (this.#ier & IER.THRI) !== 0 ? IIR.THRI : IIR.NONE;
  }

  #update(): void {
    const level = this.#cause() !== IIR.NONE;
    if (level === this.#line) return;
    this.#line = level;
    this.#options.setLine(level);
  }
}
