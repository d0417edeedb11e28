/**
 * A hostile driver: random register accesses of any width in any order, random rings and descriptors, one device of each
 * kind on each transport in each world. What must hold, whatever it does:
 *
 * - nothing throws;
 * - the device reads and writes RAM alone, of a realm only what is shared;
 * - it writes used rings and buffers alone: what lies in a used ring that the driver enabled, or in a descriptor with the
 *   WRITE flag that the device has read;
 * - one access of the guest, or one expiry of the timer, causes bounded work;
 * - a broken or reset device leaves memory alone;
 * - what the device keeps is bounded;
 * - after a reset and a proper set-up it works.
 */
import { InputQueue } from "../devices/console.js";
import { GuestRam } from "../guest-ram.js";
import { VirtioBlock } from "./block.js";
import { VirtioConsole } from "./console.js";
import type { VirtioDevice } from "./device.js";
import { MemoryDisk } from "./disk.js";
import { VirtioEntropy } from "./entropy.js";
import { VIRTIO_TRANSPORTS, VirtioMmio, type VirtioTransport } from "./mmio.js";
import { DESCRIPTOR, MMIO, STATUS } from "./registers.js";

const RAM_BASE = 0x8000_0000n;
const PAGES = 64;
const RAM_SIZE = PAGES << 12;
const ALIAS = 1n << 32n;
const VMM_ADDRESS = 0x5000_0000n;
/** Chains of a turn, times buffers of a chain, times the accesses for one of each, with room. */
const ACCESSES_MAX = 256 * (2 * 256 + 64);
/** Bytes: an entropy device's 64 KiB for each of 128 chains; a block device's turn is half of that. */
const BYTES_MAX = 9 << 20;
const STATE_MAX = 8 << 10;

/** xorshift32; never 0. */
class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e37_79b1) ^ 0x2545_f491) >>> 0 || 1;
  }
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }
  below(limit: number): number {
    return this.next() % limit;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
}

interface Range {
  readonly from: number;
  readonly to: number;
}

/** A violation, with what was going on. */
const violated = (what: string): never => {
  throw new Error(`violated: ${what}`);
};

/** One device under attack. Its memory stays dirty from case to case. */
class Target {
  readonly bytes = new Uint8Array(RAM_SIZE);
  readonly view = new DataView(this.bytes.buffer);
  readonly shared = new Uint8Array(PAGES).fill(1);
  readonly mmio: VirtioMmio;
  readonly realm: boolean;
  readonly transport: VirtioTransport;
  readonly device: VirtioDevice;
  readonly console: VirtioConsole | undefined;
  readonly input = new InputQueue();
  readonly ram: GuestRam;
  now = 0;
  /** Where the device may write: used rings, and buffers of descriptors that it read. */
  rings: Range[] = [];
  buffers: Range[] = [];
  /** Work since the guest's last access. */
  accesses = 0;
  moved = 0;

  constructor(device: VirtioDevice, { transport, realm }: { transport: VirtioTransport; realm: boolean }) {
    this.realm = realm;
    this.transport = transport;
    this.device = device;
    this.console = device instanceof VirtioConsole ? device : undefined;
    this.ram = new GuestRam({ ram: { base: RAM_BASE, size: BigInt(RAM_SIZE) }, ipaBits: 33, realm });
    this.ram.setShared({ address: RAM_BASE, size: BigInt(RAM_SIZE) }, true);
    this.ram.attach(
      {
        read: (address, into) => this.#read(address, into),
        write: (address, from) => this.#write(address, from),
      },
      VMM_ADDRESS,
    );
    this.mmio = new VirtioMmio({
      device,
      slot: 0,
      transport,
      realm,
      ram: this.ram,
      interrupt: () => {},
      now: () => this.now,
      countsPerUs: () => 1,
      schedule: () => {},
    });
    this.console?.attach(this.mmio);
  }

  #checked(address: bigint, length: number): Range {
    const from = Number(address - VMM_ADDRESS);
    const to = from + length;
    if (from < 0 || to > RAM_SIZE) violated(`access outside RAM at ${from}`);
    if (this.realm) {
      for (let page = from >> 12; page <= (to - 1) >> 12; page++) {
        if (this.shared[page] === 0) violated(`access to private page ${page}`);
      }
    }
    this.moved += length;
    if (++this.accesses > ACCESSES_MAX) violated(`${this.accesses} accesses for one of the guest's`);
    if (this.moved > BYTES_MAX) violated(`${this.moved} bytes for one access of the guest's`);
    return { from, to };
  }

  #read(address: bigint, into: Uint8Array): undefined {
    const { from, to } = this.#checked(address, into.length);
    into.set(this.bytes.subarray(from, to));
    if (into.length !== DESCRIPTOR.SIZE) return;
    // Perhaps a descriptor.
    const flags = this.view.getUint16(from + 12, true);
    if ((flags & DESCRIPTOR.WRITE) === 0 || (flags & DESCRIPTOR.INDIRECT) !== 0) return;
    const start = Number((this.view.getBigUint64(from, true) & (this.realm ? ~ALIAS : -1n)) - RAM_BASE);
    this.buffers.push({ from: start, to: start + this.view.getUint32(from + 8, true) });
  }

  #write(address: bigint, data: Uint8Array): undefined {
    const { from, to } = this.#checked(address, data.length);
    const holds = (range: Range) => from >= range.from && to <= range.to;
    if (!this.rings.some(holds) && !this.buffers.some(holds)) violated(`write of ${data.length} bytes at ${from}`);
    this.bytes.set(data, from);
  }

  /** What the guest does next is one access. */
  act(access: () => void): void {
    this.accesses = 0;
    this.moved = 0;
    this.buffers = [];
    const isBroken = (this.read32(MMIO.STATUS) & STATUS.DEVICE_NEEDS_RESET) !== 0;
    const isOff = this.read32(MMIO.STATUS) === 0;
    access();
    if ((isBroken || isOff) && this.accesses > 0) violated(`a ${isBroken ? "broken" : "reset"} device touched memory`);
  }

  read32(offset: number): number {
    const data = new Uint8Array(4);
    this.mmio.read(offset, data);
    return new DataView(data.buffer).getUint32(0, true);
  }

  write32(offset: number, value: number): void {
    const data = new Uint8Array(4);
    new DataView(data.buffer).setUint32(0, value >>> 0, true);
    this.mmio.write(offset, data);
  }

  share(page: number, isShared: boolean): void {
    this.shared[page] = isShared ? 1 : 0;
    this.ram.setShared({ address: RAM_BASE + BigInt(page << 12), size: 4096n }, isShared);
  }
}

/** A queue as the attacker has set it up: offsets in RAM. */
interface Rings {
  readonly size: number;
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
}

const REGISTERS = Object.values(MMIO);

/** Attacks one target after the other; `cases` of them from a seed. */
export class Attack {
  readonly #random: Random;
  readonly #targets: readonly Target[];
  /** Set-ups of the present target's queues. */
  #rings: (Rings | undefined)[] = [];
  /** Cases whose device ended broken, and chains that were served: the attack must not die at the first check. */
  broken = 0;
  written = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    const makers: readonly (() => VirtioDevice)[] = [
      () => new VirtioBlock(new MemoryDisk(128 << 10), 0),
      () => new VirtioBlock(new MemoryDisk(64 << 10, { readOnly: true }), 1),
      () => new VirtioEntropy((into) => into.fill(this.#random.next())),
    ];
    this.#targets = VIRTIO_TRANSPORTS.flatMap((transport) =>
      [false, true].flatMap((realm) => [
        ...makers.map((make) => new Target(make(), { transport, realm })),
        consoleTarget({ transport, realm }),
      ]),
    );
  }

  run(cases: number): void {
    for (let i = 0; i < cases; i++) this.#case();
  }

  #case(): void {
    const random = this.#random;
    const target = random.of(this.#targets);
    this.#rings = [];
    if (random.chance(90)) {
      target.act(() => target.write32(MMIO.STATUS, 0));
      target.rings = [];
    }
    for (let page = 0; page < PAGES; page++) if (random.chance(10)) target.share(page, random.chance(75));
    if (random.chance(85)) this.#setUp(target, random.chance(30));
    const before = target.ram.counters.writes;
    for (let steps = random.below(8) + 1; steps > 0; steps--) this.#step(target);
    target.act(() => this.#elapse(target));
    this.written += target.ram.counters.writes - before;
    if ((target.read32(MMIO.STATUS) & STATUS.DEVICE_NEEDS_RESET) !== 0) this.broken++;
    if (random.chance(5)) this.#check(target);
  }

  /** What holds at the end of a case. */
  #check(target: Target): void {
    const state = JSON.stringify(target.mmio.state);
    if (state.length > STATE_MAX) violated(`a state of ${state.length} characters`);
    for (let page = 0; page < PAGES; page++) target.share(page, true);
    target.bytes.fill(0);
    target.write32(MMIO.STATUS, 0);
    this.#rings = [];
    this.#setUp(target, false);
    const queue = target.console === undefined ? 0 : 1;
    const rings = this.#rings[queue]!;
    const buffers = 0x3_0000;
    target.bytes.fill(0, 0, buffers);
    target.view.setUint32(buffers, 4, true); // a block request of type FLUSH
    this.#descriptor(target, rings.descriptors, { address: buffers, length: 16, flags: DESCRIPTOR.NEXT, next: 1 });
    this.#descriptor(target, rings.descriptors + 16, {
      address: buffers + 64,
      length: 1,
      flags: DESCRIPTOR.WRITE,
      next: 0,
    });
    target.view.setUint16(rings.available + 2, 1, true);
    target.act(() => target.write32(MMIO.QUEUE_NOTIFY, queue));
    target.act(() => this.#elapse(target));
    if (target.view.getUint16(rings.used + 2, true) !== 1)
      violated(`${target.device.name} does not work after a reset`);
  }

  /** Puts the device into service; `wild`: with rings anywhere, overlapping perhaps. */
  #setUp(target: Target, wild: boolean): void {
    const random = this.#random;
    const isLegacy = target.transport === "mmio-legacy";
    for (const status of [1, 3]) target.act(() => target.write32(MMIO.STATUS, status));
    for (const half of [0, 1]) {
      target.write32(MMIO.DRIVER_FEATURES_SEL, half);
      target.write32(MMIO.DRIVER_FEATURES, random.chance(50) ? 0xffff_ffff : random.next());
    }
    if (isLegacy) target.write32(MMIO.GUEST_PAGE_SIZE, 4096);
    for (const [queue, sizeMax] of target.device.queueSizes.entries()) {
      const size = wild ? random.of([1, 2, 8, sizeMax]) : random.of([4, 8, 64]);
      const base = queue * 0x8000;
      const aligned = (limit: number, to: number) => random.below(limit / to) * to;
      let descriptors = wild ? aligned(RAM_SIZE, isLegacy ? 4096 : 16) : base;
      let available = wild && random.chance(50) ? aligned(RAM_SIZE, 2) : descriptors + 16 * size;
      let used = wild && random.chance(50) ? aligned(RAM_SIZE, 4) : descriptors + 0x2000;
      if (isLegacy) {
        descriptors &= ~4095;
        available = descriptors + 16 * size;
        used = (available + 6 + 2 * size + 4095) & ~4095;
      }
      this.#rings[queue] = { size, descriptors, available, used };
      target.rings.push({ from: used, to: used + 6 + 8 * size });
      if (available + 4 <= RAM_SIZE) target.view.setUint16(available + 2, 0, true);
      target.write32(MMIO.QUEUE_SEL, queue);
      target.write32(MMIO.QUEUE_NUM, size);
      this.#enable(target, this.#rings[queue]!);
    }
    target.act(() => target.write32(MMIO.STATUS, 0xf));
  }

  #enable(target: Target, { descriptors, available, used }: Rings): void {
    if (target.transport === "mmio-legacy") {
      target.write32(MMIO.QUEUE_ALIGN, 4096);
      target.act(() => target.write32(MMIO.QUEUE_PFN, Number(RAM_BASE >> 12n) + (descriptors >> 12)));
      return;
    }
    const high = target.realm && this.#random.chance(50) ? 1 : 0;
    const address = (register: number, offset: number) => {
      target.write32(register, Number(RAM_BASE) + offset);
      target.write32(register + 4, high);
    };
    address(MMIO.QUEUE_DESC_LOW, descriptors);
    address(MMIO.QUEUE_DRIVER_LOW, available);
    address(MMIO.QUEUE_DEVICE_LOW, used);
    target.act(() => target.write32(MMIO.QUEUE_READY, 1));
  }

  #step(target: Target): void {
    const random = this.#random;
    const kind = random.below(100);
    if (kind < 45) this.#request(target);
    else if (kind < 60) target.act(() => this.#elapse(target));
    else if (kind < 68) this.#garbage(target);
    else if (kind < 72) target.share(random.below(PAGES), random.chance(50));
    else if (kind < 76) {
      target.input.push(new Uint8Array(random.below(300)));
      target.act(() => target.console?.inputArrived());
    } else if (kind < 80) {
      target.act(() => target.console?.setSize({ columns: random.below(70_000), rows: random.next() - 5 }));
    } else if (kind < 90) this.#wildAccess(target);
    else target.act(() => target.write32(MMIO.QUEUE_NOTIFY, random.below(3)));
  }

  /** Any register, any width; a change of a queue's set-up is followed, so that the used ring stays known. */
  #wildAccess(target: Target): void {
    const random = this.#random;
    const offset = random.chance(70) ? random.of(REGISTERS) : random.below(0x200);
    const data = new Uint8Array(random.of([1, 2, 4, 4, 4, 4, 8]));
    for (let i = 0; i < data.length; i++) data[i] = random.chance(50) ? random.below(4) : random.next();
    if (offset + data.length > 0x200) return;
    if (random.chance(40)) {
      target.act(() => target.mmio.read(offset, data));
      return;
    }
    const before = target.mmio.state.queues;
    target.act(() => {
      // Where this write might enable a queue, its used ring may be anywhere that the registers say.
      for (const [i, [, , , , , , , low, high]] of target.mmio.state.queueRegisters.entries()) {
        const at = Number(((BigInt(low!) | (BigInt(high!) << 32n)) & (target.realm ? ~ALIAS : -1n)) - RAM_BASE);
        target.rings.push({ from: at, to: at + 6 + 8 * (target.device.queueSizes[i] ?? 0) });
      }
      target.mmio.write(offset, data);
    });
    for (const [i, { isReady, size, addresses }] of target.mmio.state.queues.entries()) {
      if (!isReady || before[i]!.isReady) continue;
      const [descriptors, available, used] = addresses.map((text) => Number((BigInt(text) & ~ALIAS) - RAM_BASE));
      target.rings.push({ from: used!, to: used! + 6 + 8 * size });
      this.#rings[i] = { size, descriptors: descriptors!, available: available!, used: used! };
    }
  }

  #elapse(target: Target): void {
    const end = target.now + 200;
    for (let turns = 0; turns < 4; turns++) {
      const { due } = target.mmio;
      if (due === undefined || due > end) break;
      target.now = Math.max(target.now, due);
      target.accesses = 0;
      target.moved = 0;
      target.mmio.expired();
    }
    target.now = end;
  }

  #garbage(target: Target): void {
    const random = this.#random;
    const at = random.below(RAM_SIZE - 256);
    for (let i = 0; i < 64; i++) target.bytes[at + i] = random.next();
  }

  /** Descriptors of some kind, made available, notified perhaps. */
  #request(target: Target): void {
    const random = this.#random;
    const queue = random.below(target.device.queueSizes.length);
    const rings = this.#rings[queue];
    if (rings === undefined || rings.size < 1 || rings.descriptors < 0 || rings.available < 0) return;
    if (rings.descriptors + 16 * rings.size > RAM_SIZE || rings.available + 6 + 2 * rings.size > RAM_SIZE) return;
    const head = random.chance(95) ? random.below(rings.size) : random.next() & 0xffff;
    this.#chain(target, rings, head);
    const index = target.view.getUint16(rings.available + 2, true);
    const slot = rings.available + 4 + 2 * (index % rings.size);
    target.view.setUint16(slot, head, true);
    const ahead = random.chance(97) ? 1 : random.below(0x1_0000);
    target.view.setUint16(rings.available + 2, index + ahead, true);
    if (random.chance(5)) this.#flood(target, rings, index);
    if (random.chance(80)) target.act(() => target.write32(MMIO.QUEUE_NOTIFY, queue));
  }

  /** The whole available ring at once. */
  #flood({ view }: Target, { size, available }: Rings, index: number): void {
    for (let i = 0; i < size; i++) view.setUint16(available + 4 + 2 * i, this.#random.below(size), true);
    view.setUint16(available + 2, index + size, true);
  }

  #chain(target: Target, rings: Rings, head: number): void {
    const random = this.#random;
    const isBlock = target.device instanceof VirtioBlock;
    if (isBlock && random.chance(70)) {
      // A header that makes sense more often than not.
      const at = 0x3_0000 + 16 * random.below(64);
      target.view.setUint32(at, random.of([0, 0, 1, 1, 4, 8, random.next()]), true);
      target.view.setBigUint64(
        at + 8,
        random.chance(80) ? BigInt(random.below(300)) : BigInt(random.next()) << 30n,
        true,
      );
      this.#row(target, rings, head, at);
      return;
    }
    this.#row(target, rings, head, undefined);
  }

  /** A row of descriptors from `head` on, in the table or in an indirect one. */
  #row(target: Target, rings: Rings, head: number, header: number | undefined): void {
    const random = this.#random;
    const isIndirect = random.chance(25);
    const table = isIndirect ? 0x2_0000 + 16 * random.below(1024) : rings.descriptors;
    const isBomb = isIndirect && random.chance(10);
    const limit = isIndirect ? (isBomb ? 2048 : 16) : rings.size;
    const count = isBomb ? 600 : 1 + random.below(Math.min(limit, 5));
    let index = isIndirect ? 0 : head;
    if (isIndirect && head < rings.size) {
      const length = random.chance(90) ? 16 * (isBomb ? 2048 : count) : random.next();
      const flags = DESCRIPTOR.INDIRECT | (random.chance(5) ? random.below(8) : 0);
      this.#descriptor(target, rings.descriptors + 16 * head, { address: table, length, flags, next: 0 });
    }
    const firstWritable = header === undefined ? random.below(count + 1) : 1 + random.below(count);
    for (let i = 0; i < count; i++) {
      const isLast = i === count - 1;
      const next = isIndirect ? (isBomb ? (i + 1) % 2048 : i + 1) : (index + 1) % rings.size;
      const write = i >= firstWritable || (isLast && random.chance(80)) ? DESCRIPTOR.WRITE : 0;
      let flags = write | (isLast ? 0 : DESCRIPTOR.NEXT);
      if (random.chance(3)) flags = random.below(16);
      const isHeader = i === 0 && header !== undefined;
      this.#descriptor(target, table + 16 * index, {
        address: isHeader ? header : this.#address(),
        length: isHeader ? 16 : this.#length(isLast),
        flags,
        next: random.chance(97) ? next : random.next() & 0xffff,
        raw: !isHeader && random.chance(4) ? this.#anyAddress() : undefined,
      });
      index = next;
    }
  }

  #address(): number {
    const random = this.#random;
    // Rings and tables are buffers, too, if the driver says so.
    return random.chance(85) ? 0x1_0000 + random.below(0x2_8000) : random.below(RAM_SIZE);
  }

  #anyAddress(): bigint {
    const random = this.#random;
    const any = (BigInt(random.next()) << 32n) | BigInt(random.next());
    return random.of([
      0n,
      any,
      0xffff_ffff_ffff_ffffn,
      RAM_BASE - 1n,
      RAM_BASE + BigInt(RAM_SIZE) - 1n,
      0x0300_0000n,
      ALIAS,
    ]);
  }

  #length(isLast: boolean): number {
    const random = this.#random;
    if (isLast && random.chance(70)) return 1;
    return random.of(
      [1, 16, 511, 512, 512, 1024, 4096, 0x1_0600, 0, RAM_SIZE, 0xffff_ffff].slice(0, random.chance(90) ? 8 : 11),
    );
  }

  #descriptor(
    { view, realm }: Target,
    at: number,
    d: { address: number; length: number; flags: number; next: number; raw?: bigint | undefined },
  ): void {
    if (at < 0 || at + 16 > RAM_SIZE) return;
    const alias = realm && this.#random.chance(50) ? ALIAS : 0n;
    view.setBigUint64(at, d.raw ?? (RAM_BASE + BigInt(d.address)) | alias, true);
    view.setUint32(at + 8, d.length, true);
    view.setUint16(at + 12, d.flags, true);
    view.setUint16(at + 14, d.next, true);
  }
}

function consoleTarget(options: { transport: VirtioTransport; realm: boolean }): Target {
  // The device's input is the target's, which is made with the device.
  let target: Target | undefined;
  const device = new VirtioConsole({
    output: () => {},
    input: {
      take: () => target?.input.take(),
      get ready() {
        return target?.input.ready ?? false;
      },
    },
  });
  target = new Target(device, options);
  return target;
}
