/** The registers of virtio over MMIO. virtio 1.2, "MMIO Device Register Layout"; kvmtool's tolerance. */
import { describe, expect, test } from "vitest";
import { VirtioBlock } from "./block.js";
import { VirtioConsole } from "./console.js";
import { MemoryDisk } from "./disk.js";
import { type GuestOptions, RAM_BASE, TestDriver, TestGuest } from "./driver.oracle.js";
import { VirtioEntropy } from "./entropy.js";
import { FEATURE, INTERRUPT, MMIO, STATUS } from "./registers.js";

const block = (options: GuestOptions = {}) => new TestGuest(new VirtioBlock(new MemoryDisk(1 << 16), 0), options);
const rng = (options: GuestOptions = {}) => new TestGuest(new VirtioEntropy((into) => into.fill(0xab)), options);
const features = (guest: TestGuest) => {
  guest.write(MMIO.DEVICE_FEATURES_SEL, 0);
  const low = guest.read(MMIO.DEVICE_FEATURES);
  guest.write(MMIO.DEVICE_FEATURES_SEL, 1);
  return BigInt(low) | (BigInt(guest.read(MMIO.DEVICE_FEATURES)) << 32n);
};

describe("identity", () => {
  test.each([
    { transport: "mmio", version: 2 },
    { transport: "mmio-legacy", version: 1 },
  ] as const)("$transport", ({ transport, version }) => {
    const guest = block({ transport });
    expect([MMIO.MAGIC, MMIO.VERSION, MMIO.DEVICE_ID, MMIO.VENDOR_ID].map((at) => guest.read(at))).toEqual([
      0x7472_6976,
      version,
      2,
      0x4d56_4b4c,
    ]);
  });
  test("slots are 512 bytes from 0x0300_0000 on", () => {
    const { mmio } = block();
    expect([mmio.base, mmio.size]).toEqual([0x0300_0000n, 0x200n]);
  });
});

describe("features", () => {
  const { ANY_LAYOUT, VERSION_1, ACCESS_PLATFORM } = FEATURE;
  test.each([
    [{}, VERSION_1],
    [{ realm: true }, VERSION_1 | ACCESS_PLATFORM],
    [{ transport: "mmio-legacy" }, ANY_LAYOUT],
    [{ transport: "mmio-legacy", realm: true }, ANY_LAYOUT],
  ] as const)("of the transport: %j", (options, expected) => {
    expect(features(rng(options))).toBe(expected);
  });
  test("of a block device: SEG_MAX, FLUSH, INDIRECT_DESC, EVENT_IDX; RO when it is", () => {
    const common = (1n << 2n) | (1n << 9n) | (1n << 28n) | (1n << 29n) | VERSION_1;
    expect(features(block())).toBe(common);
    const readOnly = new TestGuest(new VirtioBlock(new MemoryDisk(512, { readOnly: true }), 0));
    expect(features(readOnly)).toBe(common | (1n << 5n));
  });
  test("halves beyond the second are empty", () => {
    const guest = block({ realm: true });
    for (const sel of [2, 3, 0xffff_ffff]) {
      guest.write(MMIO.DEVICE_FEATURES_SEL, sel);
      expect(guest.read(MMIO.DEVICE_FEATURES)).toBe(0);
      guest.write(MMIO.DRIVER_FEATURES_SEL, sel);
      guest.write(MMIO.DRIVER_FEATURES, 0xffff_ffff);
    }
  });
});

describe("tolerance", () => {
  const request = { address: RAM_BASE + 0x1_0000n, length: 4, write: true };
  test("FEATURES_OK is kept, whatever was accepted", () => {
    const guest = rng({ realm: true });
    guest.write(MMIO.DRIVER_FEATURES, 0xffff_ffff);
    guest.write(MMIO.STATUS, 0xb);
    expect(guest.status).toBe(0xb);
  });
  test("a driver that accepts nothing and skips FEATURES_OK is served", () => {
    const guest = rng();
    const driver = new TestDriver(guest, { features: 0n, ready: false });
    guest.write(MMIO.STATUS, 7);
    driver.send([request]);
    expect(driver.returned()).toMatchObject([{ length: 4 }]);
  });
  test("buffers that were there before DRIVER_OK are served with it, not before", () => {
    const guest = rng();
    const driver = new TestDriver(guest, { ready: false });
    driver.send([request]);
    expect(driver.returned()).toEqual([]);
    driver.ready();
    expect(driver.returned()).toHaveLength(1);
  });
  test("the driver cannot set or clear DEVICE_NEEDS_RESET", () => {
    const guest = rng();
    guest.write(MMIO.STATUS, 0xff);
    expect(guest.status).toBe(0xff & ~STATUS.DEVICE_NEEDS_RESET);
    const driver = new TestDriver(guest);
    driver.offer(99);
    driver.kick();
    guest.write(MMIO.STATUS, 0xf);
    expect(guest.status).toBe(0xf | STATUS.DEVICE_NEEDS_RESET);
    guest.write(MMIO.STATUS, 0);
    expect(guest.status).toBe(0);
  });
});

describe("accesses", () => {
  test.each([1, 2, 8])("of %i bytes at registers do nothing", (size) => {
    const guest = block();
    new TestDriver(guest);
    const before = JSON.stringify(guest.mmio.state);
    for (let offset = 0; offset < 0x100; offset++) {
      const data = new Uint8Array(size);
      guest.mmio.read(offset, data);
      expect(data).toEqual(new Uint8Array(size));
      guest.mmio.write(offset, data.fill(0xff));
    }
    expect(JSON.stringify(guest.mmio.state)).toBe(before);
  });
  test("unaligned words at registers do nothing", () => {
    const guest = block();
    for (const offset of [1, 2, 3, 0x71]) expect(guest.read(offset)).toBe(0);
  });
  test("configuration is read in any size; outside it is zero", () => {
    const guest = block();
    const read = (offset: number, size: number) => {
      const data = new Uint8Array(size);
      guest.mmio.read(MMIO.CONFIG + offset, data);
      return data.reduceRight((value, byte) => value * 256 + byte, 0);
    };
    expect([read(0, 8), read(0, 4), read(0, 2), read(0, 1), read(12, 4)]).toEqual([128, 128, 128, 128, 254]);
    expect([read(0xf8, 8), read(0x3c, 4)]).toEqual([0, 0]);
    guest.mmio.write(MMIO.CONFIG, new Uint8Array(8).fill(0xff));
    expect(read(0, 8)).toBe(128);
  });
  test("write-only and unknown registers read zero; there is no shared memory", () => {
    const guest = block();
    for (const at of [0x14, 0x20, 0x24, 0x28, 0x30, 0x38, 0x3c, 0x40, 0x50, 0x64, 0xac, 0xd0]) {
      expect(guest.read(at), `0x${at.toString(16)}`).toBe(0);
    }
    for (const at of [0xb0, 0xb4, 0xb8, 0xbc]) expect(guest.read(at)).toBe(0xffff_ffff);
  });
});

describe("queues", () => {
  test("one that does not exist has size 0 and takes nothing", () => {
    const guest = block();
    guest.write(MMIO.QUEUE_SEL, 1);
    expect(guest.read(MMIO.QUEUE_NUM_MAX)).toBe(0);
    guest.write(MMIO.QUEUE_READY, 1);
    expect(guest.read(MMIO.QUEUE_READY)).toBe(0);
    guest.write(MMIO.QUEUE_NOTIFY, 7);
    guest.write(MMIO.QUEUE_SEL, 0);
    expect(guest.read(MMIO.QUEUE_NUM_MAX)).toBe(256);
  });
  test("addresses and readiness can be read back; a reset clears them", () => {
    const guest = block();
    const driver = new TestDriver(guest);
    expect([guest.read(MMIO.QUEUE_DESC_LOW), guest.read(MMIO.QUEUE_DEVICE_LOW), guest.read(MMIO.QUEUE_READY)]).toEqual([
      Number(driver.descriptors()),
      Number(driver.used()),
      1,
    ]);
    guest.write(MMIO.STATUS, 0);
    expect([guest.read(MMIO.QUEUE_DESC_LOW), guest.read(MMIO.QUEUE_READY)]).toEqual([0, 0]);
  });
  test("legacy: GuestPageSize outlives a reset, as Linux relies on", () => {
    const guest = rng({ transport: "mmio-legacy" });
    guest.write(MMIO.GUEST_PAGE_SIZE, 4096);
    guest.write(MMIO.STATUS, 0);
    guest.write(MMIO.QUEUE_NUM, 4);
    guest.write(MMIO.QUEUE_ALIGN, 4096);
    guest.write(MMIO.QUEUE_PFN, Number(RAM_BASE / 4096n));
    guest.write(MMIO.STATUS, 7);
    expect(guest.events.find(({ name }) => name === "queue enabled")?.fields).toMatchObject({ descriptors: RAM_BASE });
    expect(guest.needsReset).toBe(false);
  });
  test("legacy: PFN is read back, 0 switches off; the rings are where QueueAlign puts them", () => {
    const guest = rng({ transport: "mmio-legacy" });
    const driver = new TestDriver(guest, { size: 128 });
    expect(guest.read(MMIO.QUEUE_PFN)).toBe(Number(RAM_BASE / 4096n));
    const head = driver.send([{ address: RAM_BASE + 0x1_0000n, length: 4, write: true }]);
    expect(driver.returned()).toEqual([{ head, length: 4 }]);
    guest.write(MMIO.QUEUE_PFN, 0);
    driver.send([{ address: RAM_BASE + 0x1_0000n, length: 4, write: true }]);
    expect(driver.returned()).toEqual([]);
    guest.write(MMIO.QUEUE_READY, 1);
    expect(guest.read(MMIO.QUEUE_READY)).toBe(0);
  });
});

describe("interrupts", () => {
  const request = { address: RAM_BASE + 0x1_0000n, length: 4, write: true };
  test("every event pulses the line; the status stays until it is acknowledged", () => {
    const guest = rng();
    const driver = new TestDriver(guest);
    driver.send([request]);
    driver.send([request]);
    expect([guest.interrupts, guest.read(MMIO.INTERRUPT_STATUS)]).toEqual([2, INTERRUPT.USED_BUFFER]);
    guest.write(MMIO.INTERRUPT_ACK, INTERRUPT.CONFIG_CHANGE);
    expect(guest.read(MMIO.INTERRUPT_STATUS)).toBe(INTERRUPT.USED_BUFFER);
    guest.write(MMIO.INTERRUPT_ACK, INTERRUPT.USED_BUFFER);
    expect(guest.read(MMIO.INTERRUPT_STATUS)).toBe(0);
    driver.send([request]);
    guest.write(MMIO.STATUS, 0);
    expect(guest.read(MMIO.INTERRUPT_STATUS)).toBe(0);
  });
  test("a change of configuration counts the generation up, and tells a driver that is there", () => {
    const device = new VirtioConsole({ output: () => {}, input: { take: () => undefined, ready: false } });
    const guest = new TestGuest(device);
    device.attach(guest.mmio);
    device.setSize({ columns: 100, rows: 40 });
    expect([guest.read(MMIO.CONFIG_GENERATION), guest.interrupts]).toEqual([1, 0]);
    new TestDriver(guest, { queues: 2 });
    device.setSize({ columns: 100, rows: 40 }); // no change
    expect([guest.read(MMIO.CONFIG_GENERATION), guest.interrupts]).toEqual([1, 0]);
    device.setSize({ columns: 132, rows: 50 });
    expect([guest.read(MMIO.CONFIG_GENERATION), guest.interrupts]).toEqual([2, 1]);
    expect(guest.read(MMIO.INTERRUPT_STATUS)).toBe(INTERRUPT.CONFIG_CHANGE);
    expect(guest.read(MMIO.CONFIG)).toBe(132 | (50 << 16));
  });
});
