/**
 * A guest for tests: memory, a device behind its transport, and a driver of it, written from the document's driver side
 * (virtio 1.2, "Virtqueue Operation", "Driver Requirements"). Not part of the room.
 */
import { createHash } from "node:crypto";
import type { TraceEvent } from "@realmbox/abi";
import { GuestRam } from "../guest-ram.js";
import type { VirtioDevice } from "./device.js";
import { VirtioMmio, type VirtioTransport } from "./mmio.js";
import { DESCRIPTOR, FEATURE, MMIO, STATUS } from "./registers.js";

export const RAM_BASE = 0x8000_0000n;
export const RAM_SIZE = 1 << 20;
export const IPA_BITS = 33;
/** The top IPA bit of a realm. */
export const ALIAS = 1n << 32n;
const PAGE = 4096n;

export interface GuestOptions {
  readonly transport?: VirtioTransport;
  readonly realm?: boolean;
  readonly ramSize?: number;
}

/** Memory and a device in slot 0; time goes on only by `elapse`. */
export class TestGuest {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly ram: GuestRam;
  readonly mmio: VirtioMmio;
  readonly events: TraceEvent[] = [];
  interrupts = 0;
  now = 1000;

  constructor(device: VirtioDevice, { transport = "mmio", realm = false, ramSize = RAM_SIZE }: GuestOptions = {}) {
    this.bytes = new Uint8Array(ramSize);
    this.view = new DataView(this.bytes.buffer);
    this.ram = new GuestRam({ ram: { base: RAM_BASE, size: BigInt(ramSize) }, ipaBits: IPA_BITS, realm });
    const at = (address: bigint) => Number(address - 0x10_0000_0000n);
    this.ram.attach(
      {
        read: (address, into) => void into.set(this.bytes.subarray(at(address), at(address) + into.length)),
        write: (address, from) => void this.bytes.set(from, at(address)),
      },
      0x10_0000_0000n,
    );
    this.mmio = new VirtioMmio({
      device,
      slot: 0,
      transport,
      realm,
      ram: this.ram,
      interrupt: () => this.interrupts++,
      now: () => this.now,
      countsPerUs: () => 1,
      schedule: () => {},
      trace: { wants: () => true, emit: (event) => this.events.push(event) },
    });
  }

  /** Makes pages of a realm shared. */
  share(address: bigint, size: bigint, isShared = true): void {
    this.ram.setShared({ address: address & -PAGE, size: (size + PAGE - 1n) & -PAGE }, isShared);
  }

  elapse(us = 1_000_000): void {
    const end = this.now + us;
    for (;;) {
      const { due } = this.mmio;
      if (due === undefined || due > end) break;
      this.now = Math.max(this.now, due);
      this.mmio.expired();
    }
    this.now = end;
  }

  read(offset: number): number {
    const data = new Uint8Array(4);
    this.mmio.read(offset, data);
    return new DataView(data.buffer).getUint32(0, true);
  }

  write(offset: number, value: number | bigint): void {
    const data = new Uint8Array(4);
    new DataView(data.buffer).setUint32(0, Number(BigInt.asUintN(32, BigInt(value))), true);
    this.mmio.write(offset, data);
  }

  /** A short value for the whole memory: equal before and after, nothing was written. */
  get memoryHash(): string {
    return createHash("sha1").update(this.bytes).digest("hex");
  }

  /** Offset in `bytes` of an IPA in either form. */
  at(address: bigint): number {
    return Number((address & ~ALIAS) - RAM_BASE);
  }

  get status(): number {
    return this.read(MMIO.STATUS);
  }

  get needsReset(): boolean {
    return (this.status & STATUS.DEVICE_NEEDS_RESET) !== 0;
  }

  /** Why the device needs a reset, as the trace has it. */
  get fault(): { readonly queue: number; readonly address: bigint; readonly why: string } | undefined {
    const event = this.events.findLast(({ name }) => name === "DEVICE_NEEDS_RESET");
    return event?.fields as { queue: number; address: bigint; why: string } | undefined;
  }
}

export interface Buffer {
  readonly address: bigint;
  readonly length: number;
  readonly write?: boolean;
}

export interface DriverOptions {
  readonly features?: bigint;
  readonly size?: number;
  readonly queues?: number;
  /** Where queue q's rings are: 16 KiB each from here on. */
  readonly base?: bigint;
  /** Addresses carry this bit. */
  readonly alias?: bigint;
  readonly ready?: boolean;
}

const RINGS = 0x4000n;

/** Sets the device up and moves chains. */
export class TestDriver {
  readonly guest: TestGuest;
  readonly size: number;
  readonly #base: bigint;
  readonly #alias: bigint;
  readonly #eventIdx: boolean;
  readonly #next: number[] = [];
  readonly #seen: number[] = [];
  readonly #free: number[][] = [];
  readonly #chains: Map<number, number[]>[] = [];

  constructor(guest: TestGuest, options: DriverOptions = {}) {
    const { size = 4, queues = 1, base = RAM_BASE, alias = 0n, features = FEATURE.VERSION_1, ready = true } = options;
    this.guest = guest;
    this.size = size;
    this.#base = base;
    this.#alias = alias;
    this.#eventIdx = (features & FEATURE.EVENT_IDX) !== 0n;
    guest.write(MMIO.STATUS, 0);
    guest.write(MMIO.STATUS, STATUS.ACKNOWLEDGE);
    guest.write(MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER);
    guest.write(MMIO.DRIVER_FEATURES_SEL, 0);
    guest.write(MMIO.DRIVER_FEATURES, features);
    guest.write(MMIO.DRIVER_FEATURES_SEL, 1);
    guest.write(MMIO.DRIVER_FEATURES, features >> 32n);
    const isLegacy = guest.read(MMIO.VERSION) === 1;
    if (isLegacy) guest.write(MMIO.GUEST_PAGE_SIZE, 4096);
    else guest.write(MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.FEATURES_OK);
    for (let queue = 0; queue < queues; queue++) this.#enable(queue, isLegacy);
    if (ready) this.ready();
  }

  ready(): void {
    this.guest.write(MMIO.STATUS, STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.FEATURES_OK | STATUS.DRIVER_OK);
  }

  descriptors(queue = 0): bigint {
    return this.#base + RINGS * BigInt(queue);
  }
  available(queue = 0): bigint {
    return this.descriptors(queue) + BigInt(16 * this.size);
  }
  /** At the next page, where the legacy layout has it. */
  used(queue = 0): bigint {
    const end = this.available(queue) + BigInt(6 + 2 * this.size);
    return (end + PAGE - 1n) & -PAGE;
  }

  #enable(queue: number, isLegacy: boolean): void {
    const { guest, size } = this;
    this.#next[queue] = 0;
    this.#seen[queue] = 0;
    this.#free[queue] = Array.from({ length: size }, (_, i) => size - 1 - i);
    this.#chains[queue] = new Map();
    guest.bytes.fill(0, guest.at(this.descriptors(queue)), guest.at(this.used(queue)) + 6 + 8 * size);
    guest.write(MMIO.QUEUE_SEL, queue);
    guest.write(MMIO.QUEUE_NUM, size);
    if (isLegacy) {
      guest.write(MMIO.QUEUE_ALIGN, 4096);
      guest.write(MMIO.QUEUE_PFN, (this.descriptors(queue) | this.#alias) / PAGE);
      return;
    }
    const address = (offset: number, value: bigint) => {
      guest.write(offset, value | this.#alias);
      guest.write(offset + 4, (value | this.#alias) >> 32n);
    };
    address(MMIO.QUEUE_DESC_LOW, this.descriptors(queue));
    address(MMIO.QUEUE_DRIVER_LOW, this.available(queue));
    address(MMIO.QUEUE_DEVICE_LOW, this.used(queue));
    guest.write(MMIO.QUEUE_READY, 1);
  }

  /** Writes a descriptor at an address. */
  descriptor(at: bigint, address: bigint, length: number, flags: number, next = 0): void {
    const { view } = this.guest;
    const offset = this.guest.at(at);
    view.setBigUint64(offset, address, true);
    view.setUint32(offset + 8, length, true);
    view.setUint16(offset + 12, flags, true);
    view.setUint16(offset + 14, next, true);
  }

  /** Writes a chain into the descriptor table; its head. */
  chain(buffers: readonly Buffer[], queue = 0): number {
    const ids = buffers.map(() => {
      const id = this.#free[queue]!.pop();
      if (id === undefined) throw new Error("the queue is full");
      return id;
    });
    for (const [i, { address, length, write }] of buffers.entries()) {
      const next = ids[i + 1];
      const flags = (write ? DESCRIPTOR.WRITE : 0) | (next === undefined ? 0 : DESCRIPTOR.NEXT);
      const at = this.descriptors(queue) + BigInt(16 * ids[i]!);
      this.descriptor(at, address | this.#alias, length, flags, next);
    }
    this.#chains[queue]!.set(ids[0]!, ids);
    return ids[0]!;
  }

  /** Writes a chain into an indirect table at `table`; the head. */
  indirect(table: bigint, buffers: readonly Buffer[], queue = 0): number {
    for (const [i, { address, length, write }] of buffers.entries()) {
      const isLast = i === buffers.length - 1;
      const flags = (write ? DESCRIPTOR.WRITE : 0) | (isLast ? 0 : DESCRIPTOR.NEXT);
      this.descriptor(table + BigInt(16 * i), address | this.#alias, length, flags, isLast ? 0 : i + 1);
    }
    const id = this.#free[queue]!.pop()!;
    const at = this.descriptors(queue) + BigInt(16 * id);
    this.descriptor(at, table | this.#alias, 16 * buffers.length, DESCRIPTOR.INDIRECT);
    this.#chains[queue]!.set(id, [id]);
    return id;
  }

  /** Makes a chain available. */
  offer(head: number, queue = 0): void {
    const { view } = this.guest;
    const available = this.guest.at(this.available(queue));
    view.setUint16(available + 4 + 2 * (this.#next[queue]! % this.size), head, true);
    this.#next[queue] = (this.#next[queue]! + 1) & 0xffff;
    view.setUint16(available + 2, this.#next[queue]!, true);
  }

  kick(queue = 0): void {
    this.guest.write(MMIO.QUEUE_NOTIFY, queue);
  }

  /** Chain, offer, kick. */
  send(buffers: readonly Buffer[], queue = 0): number {
    const head = this.chain(buffers, queue);
    this.offer(head, queue);
    this.kick(queue);
    return head;
  }

  /** Takes what the device has returned. */
  returned(queue = 0): { readonly head: number; readonly length: number }[] {
    const { view } = this.guest;
    const used = this.guest.at(this.used(queue));
    const elements: { head: number; length: number }[] = [];
    while (this.#seen[queue] !== view.getUint16(used + 2, true)) {
      const at = used + 4 + 8 * (this.#seen[queue]! % this.size);
      const head = view.getUint32(at, true);
      elements.push({ head, length: view.getUint32(at + 4, true) });
      this.#free[queue]!.push(...(this.#chains[queue]!.get(head) ?? []));
      this.#chains[queue]!.delete(head);
      this.#seen[queue] = (this.#seen[queue]! + 1) & 0xffff;
    }
    if (this.#eventIdx) this.usedEvent(this.#seen[queue]!, queue);
    return elements;
  }

  /** EVENT_IDX: the index of the used ring that is to give an interrupt. */
  usedEvent(index: number, queue = 0): void {
    this.guest.view.setUint16(this.guest.at(this.available(queue)) + 4 + 2 * this.size, index, true);
  }

  /** EVENT_IDX: the index of the available ring of which the device wants to hear. */
  availEvent(queue = 0): number {
    return this.guest.view.getUint16(this.guest.at(this.used(queue)) + 4 + 8 * this.size, true);
  }

  usedFlags(queue = 0): number {
    return this.guest.view.getUint16(this.guest.at(this.used(queue)), true);
  }

  /** available.flags. */
  setFlags(flags: number, queue = 0): void {
    this.guest.view.setUint16(this.guest.at(this.available(queue)), flags, true);
  }
}
