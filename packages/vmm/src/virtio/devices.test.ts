/** Block and console behind their transport. virtio 1.2, "Block Device", "Console Device". */
import { describe, expect, test } from "vitest";
import { InputQueue } from "../devices/console.js";
import { BLOCK_LATENCY_US, VirtioBlock } from "./block.js";
import { VirtioConsole } from "./console.js";
import { type Disk, type DiskError, MemoryDisk } from "./disk.js";
import { type Buffer, type GuestOptions, RAM_BASE, TestDriver, TestGuest } from "./driver.oracle.js";
import { BLOCK_FEATURE, FEATURE, MMIO } from "./registers.js";

const HEADER = RAM_BASE + 0x1_0000n;
const DATA = RAM_BASE + 0x2_0000n;
const STATUS = RAM_BASE + 0x3_0000n;
const [IN, OUT, FLUSH, GET_ID] = [0, 1, 4, 8];
const [OK, IOERR, UNSUPP] = [0, 1, 2];
const WRITE_BACK = FEATURE.VERSION_1 | BLOCK_FEATURE.FLUSH;

/** A disk that tells what is done to it, and fails as it is told. */
class LoggedDisk implements Disk {
  readonly log: string[] = [];
  readonly disk: MemoryDisk;
  fail: DiskError;

  constructor(size: number, readOnly = false) {
    this.disk = new MemoryDisk(size, { readOnly });
  }
  get size(): number {
    return this.disk.size;
  }
  get readOnly(): boolean {
    return this.disk.readOnly;
  }
  read(offset: number, into: Uint8Array): DiskError {
    this.log.push(`read ${offset} ${into.length}`);
    return this.fail ?? this.disk.read(offset, into);
  }
  write(offset: number, from: Uint8Array): DiskError {
    this.log.push(`write ${offset} ${from.length}`);
    return this.fail ?? this.disk.write(offset, from);
  }
  flush(): DiskError {
    this.log.push("flush");
    return this.fail;
  }
}

function block(options: GuestOptions & { size?: number; readOnly?: boolean; features?: bigint } = {}) {
  const { size = 64 << 10, readOnly = false, features = WRITE_BACK } = options;
  const disk = new LoggedDisk(size, readOnly);
  const guest = new TestGuest(new VirtioBlock(disk, 0), { ramSize: 4 << 20, ...options });
  const driver = new TestDriver(guest, { size: 16, features });
  const submit = (type: number, sector: bigint, data: readonly Buffer[] = []) => {
    const at = guest.at(HEADER);
    guest.view.setUint32(at, type, true);
    guest.view.setBigUint64(at + 8, sector, true);
    guest.bytes[guest.at(STATUS)] = 0xee;
    return driver.send([...[{ address: HEADER, length: 16 }, ...data], { address: STATUS, length: 1, write: true }]);
  };
  /** A request from notification to completion: status, length. */
  const request = (type: number, sector: bigint, data: readonly Buffer[] = []) => {
    submit(type, sector, data);
    guest.elapse();
    const [element] = driver.returned();
    return [guest.bytes[guest.at(STATUS)], element?.length];
  };
  return { disk, guest, driver, submit, request };
}

describe.each(["mmio", "mmio-legacy"] as const)("block device, %s", (transport) => {
  const features = transport === "mmio" ? WRITE_BACK : BLOCK_FEATURE.FLUSH;
  test("writes, reads back, flushes", () => {
    const { disk, guest, request } = block({ transport, features });
    guest.bytes.fill(0x5a, guest.at(DATA), guest.at(DATA) + 1024);
    expect(request(OUT, 3n, [{ address: DATA, length: 1024 }])).toEqual([OK, 1]);
    expect(request(FLUSH, 0n)).toEqual([OK, 1]);
    expect(request(IN, 2n, [{ address: DATA + 0x1000n, length: 2048, write: true }])).toEqual([OK, 2049]);
    const read = guest.bytes.subarray(guest.at(DATA) + 0x1000, guest.at(DATA) + 0x1000 + 2049);
    expect([...new Set(read.subarray(0, 512))]).toEqual([0]);
    expect([...new Set(read.subarray(512, 1536))]).toEqual([0x5a]);
    expect(disk.log).toEqual(["write 1536 1024", "flush", "read 1024 2048"]);
  });
});

describe("block device", () => {
  test("the header and the status may be cut into any pieces", () => {
    const { guest, driver } = block();
    guest.view.setUint32(guest.at(HEADER), IN, true);
    driver.send([
      { address: HEADER, length: 5 },
      { address: HEADER + 5n, length: 11 },
      { address: DATA, length: 100, write: true },
      { address: DATA + 100n, length: 413, write: true },
    ]);
    guest.elapse();
    expect(driver.returned()).toMatchObject([{ length: 513 }]);
  });
  test("a request completes a fixed time after its notification, in order", () => {
    const { disk, guest, driver, submit } = block();
    const heads = [submit(OUT, 0n, [{ address: DATA, length: 512 }])];
    guest.elapse(BLOCK_LATENCY_US - 1);
    heads.push(submit(OUT, 1n, [{ address: DATA, length: 512 }]));
    expect([driver.returned(), disk.log]).toEqual([[], []]);
    guest.elapse(1);
    expect(driver.returned().map(({ head }) => head)).toEqual(heads);
    expect(guest.interrupts).toBe(1);
  });
  test("a large request in odd pieces touches its pieces alone", () => {
    const { disk, guest, request } = block({ size: 256 << 10 });
    for (let i = 0; i < disk.size; i++) disk.disk.bytes[i] = (i * 7) ^ (i >> 8);
    const pieces = [65_000, 2000, 584].map((length, i) => ({
      address: RAM_BASE + (1n << 20n) + BigInt(i * 0x1_1000),
      length,
    }));
    const before = guest.bytes.slice();
    const total = 132 * 512;
    expect(
      request(
        IN,
        5n,
        pieces.map((piece) => ({ ...piece, write: true })),
      ),
    ).toEqual([OK, total + 1]);
    let at = 5 * 512;
    for (const { address, length } of pieces) {
      const offset = guest.at(address);
      expect(
        Buffer.compare(guest.bytes.subarray(offset, offset + length), disk.disk.bytes.subarray(at, at + length)),
      ).toBe(0);
      before.set(disk.disk.bytes.subarray(at, at + length), offset);
      at += length;
    }
    const memory = guest.at(RAM_BASE + (1n << 20n));
    expect(Buffer.compare(guest.bytes.subarray(memory), before.subarray(memory))).toBe(0);
    // And back, to another place.
    expect(request(OUT, 300n, pieces)).toEqual([OK, 1]);
    const copy = disk.disk.bytes.subarray(300 * 512, 300 * 512 + total);
    expect(Buffer.compare(copy, disk.disk.bytes.subarray(5 * 512, 5 * 512 + total))).toBe(0);
  });
  test("a driver without FLUSH gets each write flushed", () => {
    const { disk, request } = block({ features: FEATURE.VERSION_1 });
    expect(request(OUT, 0n, [{ address: DATA, length: 512 }])).toEqual([OK, 1]);
    expect(disk.log).toEqual(["write 0 512", "flush"]);
  });
  test("GET_ID", () => {
    const { guest, request } = block();
    expect(request(GET_ID, 0n, [{ address: DATA, length: 20, write: true }])).toEqual([OK, 21]);
    const id = guest.bytes.subarray(guest.at(DATA), guest.at(DATA) + 20);
    expect(String.fromCharCode(...id)).toBe("realmbox-disk0".padEnd(20, "\0"));
  });
  test.each([2, 3, 11, 13, 14, 0xffff_ffff])("request type %i is unsupported", (type) => {
    const { disk, request } = block();
    expect(request(type, 0n, [{ address: DATA, length: 512 }])).toEqual([UNSUPP, 1]);
    expect(disk.log).toEqual([]);
  });
  test.each([
    ["a read beyond the end", IN, 127n, 1024],
    ["a write beyond the end", OUT, 128n, 512],
    ["a sector that overflows", IN, 0xffff_ffff_ffff_ffffn, 512],
    ["a sector whose byte offset overflows", OUT, 1n << 55n, 512],
    ["half a sector", IN, 0n, 256],
    ["half a sector more", OUT, 0n, 513],
  ] as const)("%s is an I/O error", (_, type, sector, length) => {
    const { disk, request } = block();
    expect(request(type, sector, [{ address: DATA, length, write: type === IN }])).toEqual([IOERR, 1]);
    expect(disk.log).toEqual([]);
  });
  test("more than 32 MiB in one request is an I/O error, and no work", () => {
    const { disk, request } = block({ size: 64 << 20 });
    const data = Array.from({ length: 12 }, () => ({ address: RAM_BASE, length: 3 << 20, write: true }));
    expect(request(IN, 0n, data)).toEqual([IOERR, 1]);
    expect(disk.log).toEqual([]);
  });
  test("a read-only disk refuses writes, not flushes", () => {
    const { disk, request } = block({ readOnly: true });
    expect(request(OUT, 0n, [{ address: DATA, length: 512 }])).toEqual([IOERR, 1]);
    expect(request(FLUSH, 0n)).toEqual([OK, 1]);
    expect(disk.log).toEqual(["flush"]);
  });
  test.each([IN, OUT, FLUSH])("an error of the disk is the request's (type %i), and the device goes on", (type) => {
    const { disk, request } = block();
    const data = type === FLUSH ? [] : [{ address: DATA, length: 512, write: type === IN }];
    disk.fail = "ENOSPC";
    expect(request(type, 0n, data)).toEqual([IOERR, 1]);
    disk.fail = undefined;
    expect(request(type, 0n, data)[0]).toBe(OK);
  });
  test.each([
    ["no header", [{ address: STATUS, length: 1, write: true }]],
    [
      "half a header",
      [
        { address: HEADER, length: 15 },
        { address: STATUS, length: 1, write: true },
      ],
    ],
    ["no status", [{ address: HEADER, length: 16 }]],
  ] as const)("%s breaks the device", (_, chain) => {
    const { guest, driver, disk } = block();
    driver.send(chain);
    guest.elapse();
    expect([guest.needsReset, disk.log]).toEqual([true, []]);
    expect(guest.fault?.why).toMatch(/without header or status/);
  });
  test("data that is private breaks the device before the disk is touched", () => {
    const { guest, disk } = block({ realm: true });
    guest.share(RAM_BASE, 4n << 20n);
    guest.share(DATA + 0x1000n, 0x1000n, false);
    const driver = new TestDriver(guest, { size: 16, features: WRITE_BACK });
    guest.view.setUint32(guest.at(HEADER), OUT, true);
    driver.send([
      { address: HEADER, length: 16 },
      { address: DATA, length: 0x2000 },
      { address: STATUS, length: 1, write: true },
    ]);
    guest.elapse();
    expect([guest.needsReset, disk.log]).toEqual([true, []]);
    expect(guest.fault).toMatchObject({ device: "blk0", queue: 0, address: DATA });
  });
  test("a long row of large requests lets the guest go on in between, and is done in the end", () => {
    const { disk, guest, driver } = block({ size: 64 << 20 });
    guest.view.setUint32(guest.at(HEADER), IN, true);
    const large = () =>
      driver.chain([
        { address: HEADER, length: 16 },
        { address: RAM_BASE + (1n << 20n), length: 3 << 20, write: true },
        { address: STATUS, length: 1, write: true },
      ]);
    for (let i = 0; i < 5; i++) driver.offer(large());
    driver.kick();
    guest.elapse(BLOCK_LATENCY_US);
    expect(driver.returned()).toHaveLength(2);
    guest.elapse();
    expect(driver.returned()).toHaveLength(3);
    expect(disk.log).toHaveLength(5 * 48);
  });
});

describe("console", () => {
  const [RX, TX] = [0, 1];
  function setUp() {
    const out: number[] = [];
    const input = new InputQueue();
    const device = new VirtioConsole({ output: (byte) => out.push(byte), input });
    const guest = new TestGuest(device);
    device.attach(guest.mmio);
    const driver = new TestDriver(guest, { queues: 2, size: 8 });
    const type = (text: string) => {
      input.push(new TextEncoder().encode(text));
      device.inputArrived();
    };
    return { out, input, device, guest, driver, type, said: () => String.fromCharCode(...out) };
  }
  test("what the guest sends is written", () => {
    const { guest, driver, said } = setUp();
    guest.bytes.set(new TextEncoder().encode("hello world"), guest.at(DATA));
    const head = driver.send(
      [
        { address: DATA, length: 6 },
        { address: DATA + 6n, length: 5 },
      ],
      TX,
    );
    expect([said(), driver.returned(TX)]).toEqual(["hello world", [{ head, length: 0 }]]);
  });
  test("input waits for buffers, and buffers for input", () => {
    const { guest, driver, input, device, type } = setUp();
    expect(device.receiving).toBe(false);
    type("abcde");
    expect(input.ready).toBe(true);
    driver.send([{ address: DATA, length: 3, write: true }], RX);
    expect(driver.returned(RX)).toMatchObject([{ length: 3 }]);
    driver.send([{ address: DATA + 16n, length: 64, write: true }], RX);
    expect(driver.returned(RX)).toMatchObject([{ length: 2 }]);
    expect([device.receiving, input.ready]).toEqual([false, false]);
    driver.send([{ address: DATA + 32n, length: 64, write: true }], RX);
    expect([device.receiving, device.wantsInput, driver.returned(RX)]).toEqual([true, true, []]);
    const before = guest.interrupts;
    type("f");
    expect([driver.returned(RX), guest.interrupts - before]).toMatchObject([[{ length: 1 }], 1]);
    expect(new TextDecoder().decode(guest.bytes.subarray(guest.at(DATA) + 32, guest.at(DATA) + 33))).toBe("f");
  });
  test("the guest wants input again when it has given every buffer back", () => {
    const { driver, device, type } = setUp();
    const give = () => driver.send([{ address: DATA, length: 8, write: true }], RX);
    for (let i = 0; i < 3; i++) give();
    expect(device.wantsInput).toBe(true);
    type("x");
    expect([device.receiving, device.wantsInput]).toEqual([true, false]);
    driver.returned(RX);
    give();
    expect(device.wantsInput).toBe(true);
  });
  test("another driver may have fewer buffers", () => {
    const { guest, driver, device } = setUp();
    for (let i = 0; i < 3; i++) driver.send([{ address: DATA, length: 8, write: true }], RX);
    const other = new TestDriver(guest, { queues: 2, size: 8 });
    expect([device.receiving, device.wantsInput]).toEqual([false, false]);
    other.send([{ address: DATA, length: 8, write: true }], RX);
    expect([device.receiving, device.wantsInput]).toEqual([true, true]);
  });
  test("80 × 24 at first; sizes stay in their 16 bits", () => {
    const { guest, device } = setUp();
    expect([guest.read(MMIO.CONFIG), guest.read(MMIO.CONFIG + 4)]).toEqual([80 | (24 << 16), 1]);
    device.setSize({ columns: 1e6, rows: 0 });
    expect(guest.read(MMIO.CONFIG)).toBe(0xffff | (1 << 16));
  });
  test("a megabyte and more in one buffer is no console output", () => {
    const { guest, driver, out } = setUp();
    const whole = { address: RAM_BASE, length: 1 << 19 };
    driver.send([whole, whole, { address: RAM_BASE, length: 1 }], TX);
    expect([guest.needsReset, out.length]).toEqual([true, 0]);
  });
});
