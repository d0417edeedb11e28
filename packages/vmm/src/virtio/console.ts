/**
 * The console device (`--console virtio`): one port, with the terminal's size. virtio 1.2, "Console Device". What the guest
 * sends is written out at once. Input is taken from its source when the guest has a buffer for it, as much as fits.
 *
 * @spec virtio 1.2, "Console Device": partial: no MULTIPORT, EMERG_WRITE
 */
import { layout, u16, u32 } from "@realmbox/abi";
import type { ConsoleInput, ConsoleReceiver } from "../devices/console.js";
import type { VirtioDevice, VirtioLink } from "./device.js";
import type { Chain, Virtqueue } from "./queue.js";
import { CONSOLE_FEATURE, DEVICE_ID } from "./registers.js";

/** virtio 1.2, "Console Device", "Device configuration layout". */
const VirtioConsoleConfig = layout("virtio_console_config", 12, {
  cols: u16(0),
  rows: u16(2),
  max_nr_ports: u32(4),
  emerg_wr: u32(8),
});

const QUEUE_SIZE = 128;
const QUEUE = { RECEIVE: 0, TRANSMIT: 1 } as const;
const CHUNK = 4096;
/** Bytes of one transmission: more is no output of a console. */
const CHAIN_BYTES_MAX = 1 << 20;
/** Bytes after which the device lets the guest go on. */
const TURN_BYTES_MAX = 1 << 20;

export interface ConsoleSize {
  readonly columns: number;
  readonly rows: number;
}

export interface VirtioConsoleState {
  readonly size: ConsoleSize;
  readonly buffers: number;
}

export interface VirtioConsoleOptions {
  readonly output: (byte: number) => void;
  readonly input: ConsoleInput;
}

export class VirtioConsole implements VirtioDevice, ConsoleReceiver {
  readonly name = "console";
  readonly id = DEVICE_ID.CONSOLE;
  readonly queueSizes = [QUEUE_SIZE, QUEUE_SIZE];
  readonly features = CONSOLE_FEATURE.SIZE;
  readonly latencyUs = 0;
  readonly #options: VirtioConsoleOptions;
  #size: ConsoleSize = { columns: 80, rows: 24 };
  #config = configOf(this.#size);
  #link: VirtioLink | undefined;
  /** The most receive buffers that were available at once. */
  #buffers = 0;

  constructor(options: VirtioConsoleOptions) {
    this.#options = options;
  }

  /** The transport that it is behind. */
  attach(link: VirtioLink): void {
    this.#link = link;
  }

  get config(): Uint8Array {
    return this.#config;
  }

  get size(): ConsoleSize {
    return this.#size;
  }

  /** The terminal has another size: a change of configuration. */
  setSize({ columns, rows }: ConsoleSize): void {
    const clamp = (value: number) => Math.min(Math.max(Math.trunc(value), 1), 0xffff);
    const size = { columns: clamp(columns), rows: clamp(rows) };
    if (size.columns === this.#size.columns && size.rows === this.#size.rows) return;
    this.#size = size;
    this.#config = configOf(size);
    this.#link?.configChanged();
  }

  get state(): VirtioConsoleState {
    return { size: this.#size, buffers: this.#buffers };
  }

  /** Takes over a state; the driver is not told. */
  set state({ size, buffers }: VirtioConsoleState) {
    this.#size = size;
    this.#config = configOf(size);
    this.#buffers = buffers;
  }

  /** The driver has given a buffer for input. */
  get receiving(): boolean {
    return (this.#link?.available(QUEUE.RECEIVE) ?? 0) > 0;
  }

  /** And it has given back as many as it ever gave: what came is read. */
  get wantsInput(): boolean {
    const available = this.#link?.available(QUEUE.RECEIVE) ?? 0;
    return available > 0 && available >= this.#buffers && !this.#options.input.ready;
  }

  /** The source of input has bytes. */
  inputArrived(): void {
    this.#link?.serveNow(QUEUE.RECEIVE);
  }

  reset(): void {
    this.#buffers = 0;
  }

  serve(queue: Virtqueue): boolean {
    return queue.index === QUEUE.TRANSMIT ? this.#transmit(queue) : this.#receive(queue);
  }

  #transmit(queue: Virtqueue): boolean {
    let spent = 0;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (chain.readableSize > CHAIN_BYTES_MAX) {
        queue.fail(chain, `${chain.readableSize} bytes of console output in one buffer`);
        return false;
      }
      if (!this.#send(queue, chain)) return false;
      queue.push(chain, 0);
      spent += chain.readableSize;
      if (spent >= TURN_BYTES_MAX) return true;
    }
    return false;
  }

  #send(queue: Virtqueue, chain: Chain): boolean {
    const { output } = this.#options;
    for (let done = 0; done < chain.readableSize; done += CHUNK) {
      const bytes = new Uint8Array(Math.min(CHUNK, chain.readableSize - done));
      if (!queue.readFrom(chain, done, bytes)) return false;
      for (const byte of bytes) output(byte);
    }
    return true;
  }

  #receive(queue: Virtqueue): boolean {
    const { input } = this.#options;
    this.#buffers = Math.max(this.#buffers, queue.available);
    while (input.ready) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const bytes = takeFrom(input, Math.min(chain.writableSize, CHUNK));
      if (!queue.writeTo(chain, 0, bytes)) break;
      queue.push(chain, bytes.length);
    }
    return false;
  }
}

function takeFrom(input: ConsoleInput, max: number): Uint8Array {
  const bytes: number[] = [];
  while (bytes.length < max) {
    const byte = input.take();
    if (byte === undefined) break;
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

const configOf = ({ columns, rows }: ConsoleSize): Uint8Array =>
  VirtioConsoleConfig.encode({ cols: columns, rows, max_nr_ports: 1 });
