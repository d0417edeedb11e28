/**
 * A split virtqueue seen from the device. virtio 1.2, "Split Virtqueues".
 *
 *   descriptor table   16 × N     address u64, length u32, flags u16, next u16
 *   available ring     6 + 2 × N  flags u16, idx u16, ring[N] u16, used_event u16       the driver writes
 *   used ring          6 + 8 × N  flags u16, idx u16, ring[N] { id u32, len u32 }, avail_event u16   the device writes
 *
 * Everything that the driver says is checked before it is used: sizes, indices, chains that loop, buffers that are not
 * there. The first violation breaks the queue: it is told once (`QueueFault`) and nothing is read or written any more
 * until the device is reset. Work is bounded: a turn takes at most N chains of at most `sizeMax` buffers, also when what
 * the device writes for the driver falls onto the rings and makes more of them.
 *
 * Nothing of the guest runs while a device serves a queue, so what `pop` has checked stays true until then.
 *
 * @spec virtio 1.2, "Split Virtqueues": complete
 * @spec virtio 1.2, "Packed Virtqueues": absent
 */
import type { GuestRam, RamRefusal } from "../guest-ram.js";
import { DESCRIPTOR, RING_FLAG } from "./registers.js";

/** What was wrong with a queue. */
export interface QueueFault {
  readonly queue: number;
  /** Of the ring, descriptor or buffer in question. */
  readonly address: bigint;
  readonly why: string;
}

/** A buffer of the guest. */
export interface Segment {
  readonly address: bigint;
  readonly length: number;
}

/** A chain of buffers that the driver made available: all readable ones come before the writable ones. */
export interface Chain {
  /** Descriptor by which it is returned. */
  readonly head: number;
  readonly readable: readonly Segment[];
  readonly writable: readonly Segment[];
  /** Totals in bytes. */
  readonly readableSize: number;
  readonly writableSize: number;
}

export interface QueueAddresses {
  readonly descriptors: bigint;
  /** Available ring. */
  readonly driver: bigint;
  /** Used ring. */
  readonly device: bigint;
}

export interface QueueState {
  readonly size: number;
  readonly isReady: boolean;
  readonly isBroken: boolean;
  readonly addresses: readonly [string, string, string];
  readonly counters: readonly [number, number, number];
  readonly eventIdx: boolean;
  readonly notify: boolean;
}

export interface QueueOptions {
  readonly index: number;
  /** QueueNumMax. */
  readonly sizeMax: number;
  readonly ram: GuestRam;
  readonly onFault: (fault: QueueFault) => void;
}

const NO_ADDRESSES: QueueAddresses = { descriptors: 0n, driver: 0n, device: 0n };
/** virtio 1.2, "The Virtqueue Descriptor Table": no chain has more bytes. */
const CHAIN_BYTES_MAX = 2 ** 32;

const describe = (why: RamRefusal): string =>
  ({
    "outside-ram": "not in RAM",
    private: "private memory of the realm",
    "host-refused": "the Host has no memory left",
  })[why];

export class Virtqueue {
  readonly index: number;
  readonly sizeMax: number;
  readonly #ram: GuestRam;
  readonly #onFault: (fault: QueueFault) => void;
  #size = 0;
  #ready = false;
  #broken = false;
  #addresses = NO_ADDRESSES;
  /** Next entry of the available ring, free-running. */
  #nextAvail = 0;
  /** used.idx. */
  #used = 0;
  /** used.idx when the driver was last told. */
  #told = 0;
  #eventIdx = false;
  #notify = true;
  /** Chains that this turn may still take. */
  #turn = Infinity;
  readonly #bytes = new Uint8Array(DESCRIPTOR.SIZE);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor({ index, sizeMax, ram, onFault }: QueueOptions) {
    this.index = index;
    this.sizeMax = sizeMax;
    this.#ram = ram;
    this.#onFault = onFault;
  }

  get isReady(): boolean {
    return this.#ready;
  }

  get addresses(): QueueAddresses {
    return this.#addresses;
  }

  /** Buffers were returned that the driver has not been told of. */
  get hasNews(): boolean {
    return this.#used !== this.#told;
  }

  /** The driver enables the queue, both rings empty. */
  enable(options: { readonly size: number; readonly addresses: QueueAddresses; readonly eventIdx: boolean }): void {
    const { size, addresses, eventIdx } = options;
    this.reset();
    this.#size = size;
    this.#addresses = addresses;
    this.#eventIdx = eventIdx;
    this.#ready = true;
    if (size < 1 || size > this.sizeMax || (size & (size - 1)) !== 0) {
      this.#fail(addresses.descriptors, `queue size ${size}: not a power of two up to ${this.sizeMax}`);
    } else if ((addresses.descriptors & 15n) !== 0n) this.#fail(addresses.descriptors, "descriptor table unaligned");
    else if ((addresses.driver & 1n) !== 0n) this.#fail(addresses.driver, "available ring unaligned");
    else if ((addresses.device & 3n) !== 0n) this.#fail(addresses.device, "used ring unaligned");
  }

  /** EVENT_IDX is settled by the driver's features, which may come after the queue's addresses. */
  set eventIdx(value: boolean) {
    this.#eventIdx = value;
  }

  /** Off, and everything forgotten. */
  reset(): void {
    this.#ready = false;
    this.#broken = false;
    this.#size = 0;
    this.#addresses = NO_ADDRESSES;
    this.#nextAvail = 0;
    this.#used = 0;
    this.#told = 0;
    this.#eventIdx = false;
    this.#notify = true;
  }

  /** The device's turn begins: as many chains as the queue holds. */
  beginTurn(): void {
    this.#turn = this.#size;
  }

  /** The turn ends; true when it took all that a turn may, and more waits. */
  endTurn(): boolean {
    const isSpent = this.#turn === 0;
    this.#turn = Infinity;
    return isSpent && this.available > 0;
  }

  /** Takes the next chain; undefined when there is none for this turn, or the queue is broken or off. */
  pop(): Chain | undefined {
    if (this.available === 0) return undefined;
    this.#turn--;
    const { driver } = this.#addresses;
    const entry = driver + 4n + 2n * BigInt(this.#nextAvail & (this.#size - 1));
    const head = this.#read16(entry, "available ring");
    if (head === undefined) return undefined;
    const chain = this.#walk(head);
    if (chain !== undefined) this.#nextAvail = (this.#nextAvail + 1) & 0xffff;
    return chain;
  }

  /** Chains that wait, and that this turn may take; 0 also when the queue is off, or breaks now. */
  get available(): number {
    return this.#turn === 0 ? 0 : Math.min(this.#available() ?? 0, this.#turn);
  }

  /** Returns a chain with the number of bytes written to it. */
  push({ head }: Chain, written: number): void {
    if (this.#isOff) return;
    const { device } = this.#addresses;
    const entry = device + 4n + 8n * BigInt(this.#used & (this.#size - 1));
    this.#view.setUint32(0, head, true);
    this.#view.setUint32(4, written, true);
    if (!this.#write(entry, this.#bytes.subarray(0, 8), "used ring")) return;
    // The entry is there before the index says so.
    const next = (this.#used + 1) & 0xffff;
    if (this.#write16(device + 2n, next, "used ring")) this.#used = next;
  }

  /** Copies from a chain's readable bytes, from `offset` on; false when the queue broke. */
  readFrom({ readable }: Chain, offset: number, into: Uint8Array): boolean {
    return this.#each(readable, offset, into, (address, part) => this.#read(address, part, "buffer"));
  }

  /** Copies to a chain's writable bytes, from `offset` on; false when the queue broke. */
  writeTo({ writable }: Chain, offset: number, from: Uint8Array): boolean {
    return this.#each(writable, offset, from, (address, part) => this.#write(address, part, "buffer"));
  }

  /** Whether the driver wants an interrupt for what has been returned since it was last told; counts as telling. */
  takeInterrupt(): boolean {
    if (this.#isOff || !this.hasNews) return false;
    const { driver } = this.#addresses;
    const told = this.#told;
    if (!this.#eventIdx) {
      const flags = this.#read16(driver, "available ring");
      if (flags === undefined) return false;
      this.#told = this.#used;
      return (flags & RING_FLAG.NO_INTERRUPT) === 0;
    }
    const event = this.#read16(driver + 4n + 2n * BigInt(this.#size), "available ring");
    if (event === undefined) return false;
    this.#told = this.#used;
    return wantsEvent({ event, from: told, to: this.#used });
  }

  /** Whether the driver should notify of further chains. After switching it on, look once more whether some have come. */
  setNotify(wanted: boolean): void {
    if (this.#isOff) return;
    const { device } = this.#addresses;
    if (this.#eventIdx) {
      // An event index that lies behind asks for nothing, so switching off needs no write.
      if (wanted) this.#write16(device + 4n + 8n * BigInt(this.#size), this.#nextAvail, "used ring");
    } else if (wanted !== this.#notify) {
      this.#write16(device, wanted ? 0 : RING_FLAG.NO_NOTIFY, "used ring");
    }
    this.#notify = wanted;
  }

  /** Breaks the queue: the device cannot make sense of a chain. */
  fail({ head }: Chain, why: string): void {
    if (!this.#isOff) this.#fail(this.#addresses.descriptors + BigInt(DESCRIPTOR.SIZE * head), why);
  }

  get state(): QueueState {
    const { descriptors, driver, device } = this.#addresses;
    return {
      size: this.#size,
      isReady: this.#ready,
      isBroken: this.#broken,
      addresses: [`${descriptors}`, `${driver}`, `${device}`],
      counters: [this.#nextAvail, this.#used, this.#told],
      eventIdx: this.#eventIdx,
      notify: this.#notify,
    };
  }

  set state(state: QueueState) {
    const [descriptors, driver, device] = state.addresses;
    this.#size = state.size;
    this.#ready = state.isReady;
    this.#broken = state.isBroken;
    this.#addresses = { descriptors: BigInt(descriptors), driver: BigInt(driver), device: BigInt(device) };
    [this.#nextAvail, this.#used, this.#told] = state.counters;
    this.#eventIdx = state.eventIdx;
    this.#notify = state.notify;
  }

  get #isOff(): boolean {
    return !this.#ready || this.#broken;
  }

  /** Chains that wait; undefined when the queue is off, or breaks now. */
  #available(): number | undefined {
    if (this.#isOff) return undefined;
    const { driver } = this.#addresses;
    const index = this.#read16(driver + 2n, "available ring");
    if (index === undefined) return undefined;
    const count = (index - this.#nextAvail) & 0xffff;
    if (count <= this.#size) return count;
    this.#fail(driver + 2n, `available index ${index} is ${count} ahead, more than the queue has`);
    return undefined;
  }

  #walk(head: number): Chain | undefined {
    const readable: Segment[] = [];
    const writable: Segment[] = [];
    let readableSize = 0;
    let writableSize = 0;
    let table = this.#addresses.descriptors;
    let tableSize = this.#size;
    let isIndirect = false;
    let index = head;
    for (let steps = 0; ; ) {
      if (index >= tableSize) return this.#fail(table, `descriptor ${index} of a table of ${tableSize}`);
      const at = table + BigInt(DESCRIPTOR.SIZE * index);
      if (!this.#read(at, this.#bytes, "descriptor table")) return undefined;
      const address = this.#view.getBigUint64(0, true);
      const length = this.#view.getUint32(8, true);
      const flags = this.#view.getUint16(12, true);
      const hasNext = (flags & DESCRIPTOR.NEXT) !== 0;
      if ((flags & DESCRIPTOR.INDIRECT) !== 0) {
        if (isIndirect) return this.#fail(at, "indirect descriptor in an indirect table");
        if (hasNext) return this.#fail(at, "indirect descriptor with a next one");
        if (length === 0 || length % DESCRIPTOR.SIZE !== 0) {
          return this.#fail(at, `indirect table of ${length} bytes`);
        }
        table = address;
        tableSize = length / DESCRIPTOR.SIZE;
        isIndirect = true;
        index = 0;
        continue;
      }
      if (++steps > this.sizeMax) return this.#fail(at, "chain with a loop, or longer than the queue");
      if (length === 0) return this.#fail(at, "buffer without bytes");
      const refused = this.#ram.refusal(address, length);
      if (refused !== undefined) return this.#fail(address, `buffer: ${describe(refused)}`);
      if ((flags & DESCRIPTOR.WRITE) !== 0) {
        writable.push({ address, length });
        writableSize += length;
      } else if (writable.length > 0) return this.#fail(at, "readable buffer behind a writable one");
      else {
        readable.push({ address, length });
        readableSize += length;
      }
      if (readableSize + writableSize > CHAIN_BYTES_MAX) return this.#fail(at, "chain of more than 4 GiB");
      if (!hasNext) return { head, readable, writable, readableSize, writableSize };
      index = this.#view.getUint16(14, true);
    }
  }

  /** Applies `access` to the parts of `data` that lie in `segments` from `offset` on. */
  #each(
    segments: readonly Segment[],
    offset: number,
    data: Uint8Array,
    access: (address: bigint, part: Uint8Array) => boolean,
  ): boolean {
    let skip = offset;
    let done = 0;
    for (const { address, length } of segments) {
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const part = data.subarray(done, done + length - skip);
      if (part.length === 0) break;
      if (!access(address + BigInt(skip), part)) return false;
      done += part.length;
      skip = 0;
    }
    return true;
  }

  #read(address: bigint, into: Uint8Array, what: string): boolean {
    const refused = this.#ram.read(address, into);
    if (refused === undefined) return true;
    this.#fail(address, `${what}: ${describe(refused)}`);
    return false;
  }

  #write(address: bigint, from: Uint8Array, what: string): boolean {
    const refused = this.#ram.write(address, from);
    if (refused === undefined) return true;
    this.#fail(address, `${what}: ${describe(refused)}`);
    return false;
  }

  #read16(address: bigint, what: string): number | undefined {
    return this.#read(address, this.#bytes.subarray(0, 2), what) ? this.#view.getUint16(0, true) : undefined;
  }

  #write16(address: bigint, value: number, what: string): boolean {
    this.#view.setUint16(0, value, true);
    return this.#write(address, this.#bytes.subarray(0, 2), what);
  }

  #fail(address: bigint, why: string): undefined {
    this.#broken = true;
    this.#onFault({ queue: this.index, address, why });
    return undefined;
  }
}

/** Whether a move of an index passes the event that the other side waits for. virtio 1.2, "Used Buffer Notification Suppression". */
export const wantsEvent = ({ event, from, to }: { event: number; from: number; to: number }): boolean =>
  ((to - event - 1) & 0xffff) < ((to - from) & 0xffff);
