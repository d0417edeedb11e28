/**
 * virtio over MMIO: a slot of 512 bytes, its registers, and the life of the device behind it. virtio 1.2, "Virtio Over
 * MMIO", version 2; version 1 ("Legacy interface") by option. Behaviour beyond the document is kvmtool's (virtio/mmio.c,
 * virtio/mmio-modern.c), on whose tolerance drivers rely: feature negotiation refuses nothing, and FEATURES_OK may be left
 * out. Registers are read and written as aligned words; other accesses to them do nothing and read zero.
 *
 * The interrupt is edge-triggered: every event is a pulse of the line. A driver that does something impossible (a loop, a
 * buffer outside RAM or in private memory of the realm) finds DEVICE_NEEDS_RESET and a configuration interrupt; the
 * device then leaves the guest's memory alone until it is reset. A reset is complete when the write of Status is: requests
 * that wait are forgotten, whatever they asked for.
 *
 * @spec virtio 1.2, "Virtio Over MMIO": partial: no shared memory regions, RING_RESET, NOTIFICATION_DATA
 */
import type { Trace, TraceValue } from "@realmbox/abi";
import type { MmioDevice } from "../devices/bus.js";
import type { GuestRam } from "../guest-ram.js";
import { VIRTIO_MMIO_SIZE, virtioMmioBase } from "../memory-map.js";
import type { DriverFeatures, VirtioDevice, VirtioLink } from "./device.js";
import { type QueueFault, type QueueState, Virtqueue } from "./queue.js";
import { FEATURE, INTERRUPT, MMIO, MMIO_MAGIC, MMIO_VENDOR, MMIO_VERSION, STATUS } from "./registers.js";

/** `--virtio-transport`. */
export const VIRTIO_TRANSPORTS = ["mmio", "mmio-legacy"] as const;
export type VirtioTransport = (typeof VIRTIO_TRANSPORTS)[number];

export interface VirtioMmioOptions {
  readonly device: VirtioDevice;
  readonly slot: number;
  readonly transport: VirtioTransport;
  /** The guest is a realm: devices offer ACCESS_PLATFORM. */
  readonly realm: boolean;
  readonly ram: GuestRam;
  /** Pulses the interrupt line. */
  readonly interrupt: () => void;
  /** The machine's clock, and its counts in a microsecond. */
  readonly now: () => number;
  readonly countsPerUs: () => number;
  /** `due` has changed. */
  readonly schedule: () => void;
  readonly trace?: Trace | undefined;
}

/** Registers of a queue as the driver wrote them; they take effect when it enables the queue. */
interface QueueRegisters {
  num: number;
  align: number;
  pfn: number;
  /** Low and high words of descriptor table, available ring, used ring. */
  readonly addresses: Uint32Array;
}

export interface VirtioMmioState {
  readonly registers: readonly number[];
  readonly driverFeatures: readonly number[];
  readonly queueRegisters: readonly (readonly number[])[];
  readonly queues: readonly QueueState[];
  readonly due: number | null;
  readonly dueQueues: readonly number[];
}

/** Offsets of the six address registers, in the order of `QueueRegisters.addresses`. */
const ADDRESS_REGISTERS: readonly number[] = [
  MMIO.QUEUE_DESC_LOW,
  MMIO.QUEUE_DESC_HIGH,
  MMIO.QUEUE_DRIVER_LOW,
  MMIO.QUEUE_DRIVER_HIGH,
  MMIO.QUEUE_DEVICE_LOW,
  MMIO.QUEUE_DEVICE_HIGH,
];
const ALL_ONES = 0xffff_ffff;
/** When a device goes on that has stopped before the end of its work. */
const SOON_US = 1;

export class VirtioMmio implements MmioDevice, VirtioLink {
  readonly name: string;
  readonly base: bigint;
  readonly size = VIRTIO_MMIO_SIZE;
  readonly device: VirtioDevice;
  readonly #options: VirtioMmioOptions;
  readonly #isLegacy: boolean;
  readonly #offered: bigint;
  readonly #queues: readonly Virtqueue[];
  readonly #registers: readonly QueueRegisters[];
  readonly #driver: DriverFeatures;
  readonly #driverFeatures = [0, 0];
  #deviceFeaturesSel = 0;
  #driverFeaturesSel = 0;
  #pageSize = 0;
  #queueSel = 0;
  #status = 0;
  #interruptStatus = 0;
  #generation = 0;
  /** When queues are to be served whose notification has come; undefined: none. */
  #due: number | undefined;
  readonly #dueQueues = new Set<number>();

  constructor(options: VirtioMmioOptions) {
    const { device, slot, transport, realm, ram } = options;
    this.#options = options;
    this.device = device;
    this.name = device.name;
    this.base = virtioMmioBase(slot);
    this.#isLegacy = transport === "mmio-legacy";
    this.#offered =
      device.features |
      (this.#isLegacy ? FEATURE.ANY_LAYOUT : FEATURE.VERSION_1) |
      (realm && !this.#isLegacy ? FEATURE.ACCESS_PLATFORM : 0n);
    const onFault = (fault: QueueFault) => this.#needsReset(fault);
    this.#queues = device.queueSizes.map((sizeMax, index) => new Virtqueue({ index, sizeMax, ram, onFault }));
    this.#registers = device.queueSizes.map(() => ({ num: 0, align: 0, pfn: 0, addresses: new Uint32Array(6) }));
    this.#driver = { has: (feature) => (this.#accepted & feature) !== 0n };
  }

  /** When `expired` is to be called, by the machine's clock. */
  get due(): number | undefined {
    return this.#due;
  }

  /** The time `due` has come. */
  expired(): void {
    this.#due = undefined;
    const due = [...this.#dueQueues].sort((a, b) => a - b);
    this.#dueQueues.clear();
    for (const index of due) this.#serve(index);
  }

  configChanged(): void {
    this.#generation = (this.#generation + 1) >>> 0;
    if (this.#isLive) this.#raise(INTERRUPT.CONFIG_CHANGE);
  }

  serveNow(queue: number): void {
    this.#serve(queue);
  }

  available(queue: number): number {
    return this.#isLive ? (this.#queues[queue]?.available ?? 0) : 0;
  }

  read(offset: number, data: Uint8Array): void {
    if (offset >= MMIO.CONFIG) {
      const { config } = this.device;
      const at = offset - MMIO.CONFIG;
      if (at + data.length <= config.length) data.set(config.subarray(at, at + data.length));
      return;
    }
    if (data.length !== 4 || offset % 4 !== 0) return;
    viewOf(data).setUint32(0, this.#read(offset), true);
  }

  /** No device of this machine has configuration that the driver may write. */
  write(offset: number, data: Uint8Array): void {
    if (offset >= MMIO.CONFIG || data.length !== 4 || offset % 4 !== 0) return;
    this.#write(offset, viewOf(data).getUint32(0, true));
  }

  get state(): VirtioMmioState {
    return {
      registers: [
        this.#deviceFeaturesSel,
        this.#driverFeaturesSel,
        this.#pageSize,
        this.#queueSel,
        this.#status,
        this.#interruptStatus,
        this.#generation,
      ],
      driverFeatures: [...this.#driverFeatures],
      queueRegisters: this.#registers.map(({ num, align, pfn, addresses }) => [num, align, pfn, ...addresses]),
      queues: this.#queues.map(({ state }) => state),
      due: this.#due ?? null,
      dueQueues: [...this.#dueQueues],
    };
  }

  set state(state: VirtioMmioState) {
    const [deviceFeaturesSel, driverFeaturesSel, pageSize, queueSel, status, interruptStatus, generation] =
      state.registers as [number, number, number, number, number, number, number];
    this.#deviceFeaturesSel = deviceFeaturesSel;
    this.#driverFeaturesSel = driverFeaturesSel;
    this.#pageSize = pageSize;
    this.#queueSel = queueSel;
    this.#status = status;
    this.#interruptStatus = interruptStatus;
    this.#generation = generation;
    this.#driverFeatures.splice(0, 2, ...state.driverFeatures);
    for (const [i, registers] of this.#registers.entries()) {
      const [num, align, pfn, ...addresses] = state.queueRegisters[i] as [number, number, number, ...number[]];
      Object.assign(registers, { num, align, pfn });
      registers.addresses.set(addresses);
      this.#queues[i]!.state = state.queues[i]!;
    }
    this.#due = state.due ?? undefined;
    this.#dueQueues.clear();
    for (const index of state.dueQueues) this.#dueQueues.add(index);
  }

  /** Features that both sides have. */
  get #accepted(): bigint {
    return this.#offered & (BigInt(this.#driverFeatures[0]!) | (BigInt(this.#driverFeatures[1]!) << 32n));
  }

  get #isBroken(): boolean {
    return (this.#status & STATUS.DEVICE_NEEDS_RESET) !== 0;
  }

  /** The driver has set the device up, and has not broken it. */
  get #isLive(): boolean {
    return (this.#status & STATUS.DRIVER_OK) !== 0 && !this.#isBroken;
  }

  #read(offset: number): number {
    switch (offset) {
      case MMIO.MAGIC:
        return MMIO_MAGIC;
      case MMIO.VERSION:
        return this.#isLegacy ? MMIO_VERSION.LEGACY : MMIO_VERSION.MODERN;
      case MMIO.DEVICE_ID:
        return this.device.id;
      case MMIO.VENDOR_ID:
        return MMIO_VENDOR;
      case MMIO.DEVICE_FEATURES:
        return this.#deviceFeaturesSel > 1
          ? 0
          : Number(BigInt.asUintN(32, this.#offered >> BigInt(32 * this.#deviceFeaturesSel)));
      case MMIO.QUEUE_NUM_MAX:
        return this.#queues[this.#queueSel]?.sizeMax ?? 0;
      case MMIO.INTERRUPT_STATUS:
        return this.#interruptStatus;
      case MMIO.STATUS:
        return this.#status;
      case MMIO.QUEUE_PFN:
        return this.#isLegacy ? (this.#registers[this.#queueSel]?.pfn ?? 0) : 0;
    }
    return this.#isLegacy ? 0 : this.#readModern(offset);
  }

  #readModern(offset: number): number {
    switch (offset) {
      case MMIO.QUEUE_READY:
        return this.#queues[this.#queueSel]?.isReady ? 1 : 0;
      case MMIO.SHM_LEN_LOW:
      case MMIO.SHM_LEN_HIGH:
      case MMIO.SHM_BASE_LOW:
      case MMIO.SHM_BASE_HIGH:
        return ALL_ONES;
      case MMIO.CONFIG_GENERATION:
        return this.#generation;
      default: {
        const at = ADDRESS_REGISTERS.indexOf(offset);
        return at < 0 ? 0 : (this.#registers[this.#queueSel]?.addresses[at] ?? 0);
      }
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case MMIO.DEVICE_FEATURES_SEL:
        this.#deviceFeaturesSel = value;
        return;
      case MMIO.DRIVER_FEATURES_SEL:
        this.#driverFeaturesSel = value;
        return;
      case MMIO.DRIVER_FEATURES:
        this.#acceptFeatures(value);
        return;
      case MMIO.QUEUE_SEL:
        this.#queueSel = value;
        return;
      case MMIO.QUEUE_NUM: {
        const registers = this.#registers[this.#queueSel];
        if (registers !== undefined) registers.num = value;
        return;
      }
      case MMIO.QUEUE_NOTIFY:
        this.#notified(value);
        return;
      case MMIO.INTERRUPT_ACK:
        this.#interruptStatus &= ~value;
        return;
      case MMIO.STATUS:
        this.#writeStatus(value & 0xff);
        return;
    }
    if (this.#isLegacy) this.#writeLegacy(offset, value);
    else this.#writeModern(offset, value);
  }

  #writeModern(offset: number, value: number): void {
    const registers = this.#registers[this.#queueSel];
    const queue = this.#queues[this.#queueSel];
    if (registers === undefined || queue === undefined) return;
    if (offset === MMIO.QUEUE_READY) {
      if ((value & 1) === 0) queue.reset();
      else if (!queue.isReady && !this.#isBroken) this.#enable(queue, registers);
      return;
    }
    const at = ADDRESS_REGISTERS.indexOf(offset);
    if (at >= 0) registers.addresses[at] = value;
  }

  #writeLegacy(offset: number, value: number): void {
    if (offset === MMIO.GUEST_PAGE_SIZE) this.#pageSize = value;
    const registers = this.#registers[this.#queueSel];
    const queue = this.#queues[this.#queueSel];
    if (registers === undefined || queue === undefined) return;
    if (offset === MMIO.QUEUE_ALIGN) registers.align = value;
    if (offset !== MMIO.QUEUE_PFN) return;
    registers.pfn = value;
    queue.reset();
    if (value !== 0 && !this.#isBroken) this.#enable(queue, registers);
  }

  #enable(queue: Virtqueue, registers: QueueRegisters): void {
    const size = registers.num;
    const addresses = this.#isLegacy ? legacyAddresses(registers, this.#pageSize) : modernAddresses(registers);
    const eventIdx = this.#driver.has(FEATURE.EVENT_IDX);
    const { descriptors, driver: available, device: used } = addresses;
    this.#trace("queue enabled", { queue: queue.index, size, descriptors, available, used });
    queue.enable({ size, addresses, eventIdx });
    if (this.#isLive) this.#notified(queue.index);
  }

  /** A half of the driver's features; unoffered bits mean nothing. Queues may be enabled before or after. */
  #acceptFeatures(value: number): void {
    if (this.#driverFeaturesSel > 1) return;
    this.#driverFeatures[this.#driverFeaturesSel] = value;
    for (const queue of this.#queues) queue.eventIdx = this.#driver.has(FEATURE.EVENT_IDX);
  }

  #writeStatus(value: number): void {
    if (value === 0) {
      if (this.#status !== 0) this.#trace("reset", {});
      this.#reset();
      return;
    }
    const before = this.#status;
    // NEEDS_RESET is the device's own.
    this.#status = (value & ~STATUS.DEVICE_NEEDS_RESET) | (before & STATUS.DEVICE_NEEDS_RESET);
    if (!this.#isLive || (before & STATUS.DRIVER_OK) !== 0) return;
    this.#trace("driver ready", { features: this.#accepted });
    // A driver may have filled its queues, and notified, before it was ready.
    for (const { index } of this.#queues) this.#notified(index);
  }

  #reset(): void {
    for (const queue of this.#queues) queue.reset();
    for (const registers of this.#registers) {
      Object.assign(registers, { num: 0, align: 0, pfn: 0 });
      registers.addresses.fill(0);
    }
    this.#driverFeatures.fill(0);
    this.#deviceFeaturesSel = 0;
    this.#driverFeaturesSel = 0;
    // GuestPageSize stays: Linux writes it once, before it resets the device for the first time.
    this.#queueSel = 0;
    this.#status = 0;
    this.#interruptStatus = 0;
    this.#forgetDue();
    this.device.reset?.();
  }

  /** The driver says that a queue has something, or may have. */
  #notified(index: number): void {
    const queue = this.#queues[index];
    if (queue === undefined || !this.#isLive || !queue.isReady) return;
    if (this.device.latencyUs === 0) this.#serve(index);
    else if (!this.#dueQueues.has(index) && queue.available > 0) {
      // Whatever else comes until then is served with it: further notifications would tell nothing new.
      queue.setNotify(false);
      this.#serveAfter(index, this.device.latencyUs);
    }
  }

  #serve(index: number): void {
    const queue = this.#queues[index];
    if (queue === undefined || !this.#isLive || !queue.isReady) return;
    queue.beginTurn();
    const stopped = this.device.serve(queue, this.#driver);
    const isUnfinished = queue.endTurn() || stopped;
    if (this.#isLive && isUnfinished) this.#serveAfter(index, SOON_US);
    if (this.#isLive && queue.takeInterrupt()) this.#raise(INTERRUPT.USED_BUFFER);
  }

  #serveAfter(index: number, delayUs: number): void {
    this.#dueQueues.add(index);
    const at = this.#options.now() + delayUs * this.#options.countsPerUs();
    if (this.#due === undefined || at < this.#due) this.#due = at;
    this.#options.schedule();
  }

  #forgetDue(): void {
    this.#dueQueues.clear();
    if (this.#due === undefined) return;
    this.#due = undefined;
    this.#options.schedule();
  }

  #raise(cause: number): void {
    this.#interruptStatus |= cause;
    this.#options.interrupt();
  }

  #needsReset({ queue, address, why }: QueueFault): void {
    if (this.#isBroken) return;
    this.#trace("DEVICE_NEEDS_RESET", { queue, address, why });
    const wasLive = this.#isLive;
    this.#status |= STATUS.DEVICE_NEEDS_RESET;
    this.#forgetDue();
    const news = this.#queues.some(({ hasNews }) => hasNews) ? INTERRUPT.USED_BUFFER : 0;
    if (wasLive) this.#raise(INTERRUPT.CONFIG_CHANGE | news);
  }

  #trace(name: string, fields: Readonly<Record<string, TraceValue>>): void {
    const { trace } = this.#options;
    if (trace?.wants("virtio")) trace.emit({ category: "virtio", name, fields: { device: this.name, ...fields } });
  }
}

const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength);

function modernAddresses({ addresses }: QueueRegisters) {
  const [descLow, descHigh, driverLow, driverHigh, deviceLow, deviceHigh] = addresses;
  const join = (low = 0, high = 0) => BigInt(low) | (BigInt(high) << 32n);
  return {
    descriptors: join(descLow, descHigh),
    driver: join(driverLow, driverHigh),
    device: join(deviceLow, deviceHigh),
  };
}

/** The three parts in one block, the used ring at the next multiple of QueueAlign. virtio 1.2, "Legacy Interfaces: A Note on Virtqueue Layout". */
function legacyAddresses({ num, align, pfn }: QueueRegisters, pageSize: number) {
  const descriptors = BigInt(pfn) * BigInt(pageSize);
  const driver = descriptors + 16n * BigInt(num);
  const end = driver + 6n + 2n * BigInt(num);
  const unit = BigInt(Math.max(align, 1));
  return { descriptors, driver, device: ((end + unit - 1n) / unit) * unit };
}
