/** The split virtqueue behind its transport: what a driver may do, and what breaks it. virtio 1.2, "Split Virtqueues". */
import { describe, expect, test } from "vitest";
import type { VirtioDevice } from "./device.js";
import { ALIAS, type Buffer, type GuestOptions, RAM_BASE, RAM_SIZE, TestDriver, TestGuest } from "./driver.oracle.js";
import { VirtioEntropy } from "./entropy.js";
import { type Virtqueue, wantsEvent } from "./queue.js";
import { DESCRIPTOR, FEATURE, INTERRUPT, MMIO } from "./registers.js";

const BUFFERS = RAM_BASE + 0x1_0000n;
const EVENT_IDX = FEATURE.VERSION_1 | FEATURE.EVENT_IDX;

/** Copies the readable bytes of each chain to its writable ones, upside down. */
class Echo implements VirtioDevice {
  readonly name = "echo";
  readonly id = 4;
  readonly queueSizes = [128];
  readonly features = FEATURE.EVENT_IDX | FEATURE.INDIRECT_DESC;
  readonly config = new Uint8Array(0);
  readonly latencyUs: number;
  served = 0;

  constructor(latencyUs = 0) {
    this.latencyUs = latencyUs;
  }

  serve(queue: Virtqueue): boolean {
    do {
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
        const bytes = new Uint8Array(Math.min(chain.readableSize, chain.writableSize));
        queue.readFrom(chain, 0, bytes);
        queue.writeTo(chain, 0, bytes.reverse());
        queue.push(chain, bytes.length);
        this.served++;
      }
      queue.setNotify(true);
    } while (queue.available > 0);
    return false;
  }
}

function echo(options: GuestOptions & { latencyUs?: number } = {}) {
  const device = new Echo(options.latencyUs);
  return { device, guest: new TestGuest(device, options) };
}
const fill = ({ bytes }: TestGuest, at: bigint, content: string) =>
  bytes.set(
    Uint8Array.from(content, (char) => char.charCodeAt(0)),
    Number(at - RAM_BASE),
  );
const text = ({ bytes }: TestGuest, at: bigint, length: number) =>
  String.fromCharCode(...bytes.subarray(Number(at - RAM_BASE), Number(at - RAM_BASE) + length));
const inOut = (length: number): Buffer[] => [
  { address: BUFFERS, length },
  { address: BUFFERS + 0x1000n, length, write: true },
];

describe("chains", () => {
  test("readable bytes are gathered, writable ones scattered", () => {
    const { guest } = echo();
    const driver = new TestDriver(guest, { size: 8 });
    fill(guest, BUFFERS, "abc");
    fill(guest, BUFFERS + 0x100n, "defg");
    const head = driver.send([
      { address: BUFFERS, length: 3 },
      { address: BUFFERS + 0x100n, length: 4 },
      { address: BUFFERS + 0x200n, length: 5, write: true },
      { address: BUFFERS + 0x300n, length: 10, write: true },
    ]);
    expect(driver.returned()).toEqual([{ head, length: 7 }]);
    expect([text(guest, BUFFERS + 0x200n, 6), text(guest, BUFFERS + 0x300n, 3)]).toEqual(["gfedc\0", "ba\0"]);
    expect([guest.interrupts, guest.read(MMIO.INTERRUPT_STATUS)]).toEqual([1, INTERRUPT.USED_BUFFER]);
  });

  test.each([FEATURE.VERSION_1, EVENT_IDX])("more than 65536 on a queue of 4, features %d", (features) => {
    const { guest, device } = echo();
    const driver = new TestDriver(guest, { features });
    for (let i = 0; i < 70_000; i++) {
      guest.view.setUint32(guest.at(BUFFERS), i);
      const head = driver.send(inOut(4));
      const [element, ...rest] = driver.returned();
      if (element?.head !== head || element.length !== 4 || rest.length > 0) throw new Error(`request ${i}`);
      if (guest.view.getUint32(guest.at(BUFFERS) + 0x1000, true) !== i) throw new Error(`content of request ${i}`);
    }
    expect([device.served, guest.interrupts, guest.needsReset]).toEqual([70_000, 70_000, false]);
  });

  test.each([1, 2, 16, 128])("an indirect table of %i", (count) => {
    const { guest } = echo();
    const driver = new TestDriver(guest);
    const half = Math.max(1, count / 2);
    const buffers = Array.from({ length: count }, (_, i) => ({
      address: BUFFERS + BigInt(0x1000 * Number(i >= half) + 4 * i),
      length: 4,
      write: i >= half || count === 1,
    }));
    const head = driver.indirect(RAM_BASE + 0x8000n, buffers);
    driver.offer(head);
    driver.kick();
    expect(driver.returned()).toEqual([{ head, length: count === 1 ? 0 : 4 * half }]);
  });

  test("an indirect descriptor may be the last of a chain", () => {
    const { guest } = echo();
    const driver = new TestDriver(guest);
    fill(guest, BUFFERS, "xy");
    const head = driver.chain(inOut(2));
    const table = RAM_BASE + 0x8000n;
    driver.descriptor(table, BUFFERS + 0x2000n, 2, DESCRIPTOR.WRITE);
    const second =
      driver.descriptors() + BigInt(16 * guest.view.getUint16(guest.at(driver.descriptors()) + 16 * head + 14, true));
    driver.descriptor(second, table, 16, DESCRIPTOR.INDIRECT | DESCRIPTOR.WRITE);
    driver.offer(head);
    driver.kick();
    expect(driver.returned()).toEqual([{ head, length: 2 }]);
    expect(text(guest, BUFFERS + 0x2000n, 2)).toBe("yx");
  });

  test("several at once come back in order with one interrupt", () => {
    const { guest } = echo();
    const driver = new TestDriver(guest, { size: 8 });
    const heads = [0, 1, 2].map(() => driver.chain(inOut(1)));
    for (const head of heads) driver.offer(head);
    driver.kick();
    expect(driver.returned().map(({ head }) => head)).toEqual(heads);
    expect(guest.interrupts).toBe(1);
  });
});

describe("interrupts and notifications", () => {
  test("NO_INTERRUPT", () => {
    const { guest } = echo();
    const driver = new TestDriver(guest);
    driver.setFlags(1);
    driver.send(inOut(1));
    expect([driver.returned().length, guest.interrupts, guest.read(MMIO.INTERRUPT_STATUS)]).toEqual([1, 0, 0]);
    driver.setFlags(0);
    driver.send(inOut(1));
    expect(guest.interrupts).toBe(1);
  });
  test("with EVENT_IDX the flag says nothing; used_event does", () => {
    const { guest } = echo();
    const driver = new TestDriver(guest, { size: 8, features: EVENT_IDX });
    driver.setFlags(1);
    driver.send(inOut(1));
    expect(guest.interrupts).toBe(1);
    driver.returned();
    driver.usedEvent(2); // not the next one, the one after it
    driver.send(inOut(1));
    expect(guest.interrupts).toBe(1);
    driver.send(inOut(1));
    expect(guest.interrupts).toBe(2);
    driver.usedEvent(0); // in the past
    driver.send(inOut(1));
    expect(guest.interrupts).toBe(2);
  });
  test.each([
    { event: 5, from: 5, to: 5, wanted: false }, // nothing happened
    { event: 5, from: 5, to: 6, wanted: true },
    { event: 4, from: 5, to: 6, wanted: false },
    { event: 6, from: 5, to: 6, wanted: false },
    { event: 7, from: 5, to: 9, wanted: true },
    { event: 0xffff, from: 0xfffe, to: 1, wanted: true },
    { event: 1, from: 0xfffe, to: 1, wanted: false },
    { event: 0, from: 0xffff, to: 1, wanted: true },
    { event: 0x8000, from: 0, to: 0xffff, wanted: true },
  ])("event $event, index from $from to $to", ({ wanted, ...move }) => {
    expect(wantsEvent(move)).toBe(wanted);
  });
  test("avail_event names the next chain whenever the device goes idle", () => {
    const { guest } = echo();
    const driver = new TestDriver(guest, { features: EVENT_IDX });
    for (let i = 1; i <= 5; i++) {
      driver.send(inOut(1));
      driver.returned();
      expect(driver.availEvent()).toBe(i);
    }
  });
  test("no notification is wanted between one and its service", () => {
    const { guest } = echo({ latencyUs: 20 });
    const driver = new TestDriver(guest, { size: 8 });
    expect(driver.usedFlags()).toBe(0);
    driver.send(inOut(1));
    expect([driver.usedFlags(), driver.returned()]).toEqual([1, []]);
    driver.offer(driver.chain(inOut(1))); // no notification
    guest.elapse(19);
    expect(driver.returned()).toEqual([]);
    guest.elapse(1);
    expect([driver.usedFlags(), driver.returned().length, guest.interrupts]).toEqual([0, 2, 1]);
  });
});

describe("what breaks the device", () => {
  type Step = (driver: TestDriver, guest: TestGuest) => void;
  const table = RAM_BASE + 0x8000n;
  const raw =
    (...descriptors: [bigint, number, number, number?][]): Step =>
    (driver) => {
      for (const [i, [address, length, flags, next]] of descriptors.entries()) {
        driver.descriptor(driver.descriptors() + BigInt(16 * i), address, length, flags, next);
      }
      driver.offer(0);
    };
  const { NEXT, WRITE, INDIRECT } = DESCRIPTOR;
  const cases: readonly (readonly [what: string, prepare: Step, why: RegExp, address: bigint | undefined])[] = (
    [
      ["a loop", raw([BUFFERS, 4, NEXT, 1], [BUFFERS, 4, NEXT, 0]), /loop/],
      ["a descriptor that follows itself", raw([BUFFERS, 4, NEXT, 0]), /loop/],
      ["a head outside the table", (driver) => driver.offer(4), /descriptor 4 of a table of 4/],
      ["a next outside the table", raw([BUFFERS, 4, NEXT, 9]), /descriptor 9 of a table of 4/],
      ["an address before RAM", raw([RAM_BASE - 4n, 4, 0]), /not in RAM/, RAM_BASE - 4n],
      ["a buffer that leaves RAM", raw([RAM_BASE + BigInt(RAM_SIZE) - 4n, 5, 0]), /not in RAM/],
      ["an address overflow", raw([0xffff_ffff_ffff_fff0n, 0x20, 0]), /not in RAM/, 0xffff_ffff_ffff_fff0n],
      ["the largest length", raw([BUFFERS, 0xffff_ffff, 0]), /not in RAM/],
      ["the top IPA bit in a normal VM", raw([BUFFERS | ALIAS, 4, 0]), /not in RAM/, BUFFERS | ALIAS],
      ["a buffer without bytes", raw([BUFFERS, 0, 0]), /without bytes/],
      ["readable behind writable", raw([BUFFERS, 4, WRITE | NEXT, 1], [BUFFERS, 4, 0]), /behind a writable/],
      ["indirect with a next", raw([table, 16, INDIRECT | NEXT, 1]), /with a next/],
      ["an indirect table without entries", raw([table, 0, INDIRECT]), /table of 0 bytes/],
      ["an indirect table of half an entry", raw([table, 24, INDIRECT]), /table of 24 bytes/],
      ["an indirect table outside RAM", raw([0x1000n, 16, INDIRECT]), /descriptor table: not in RAM/, 0x1000n],
      [
        "nested indirect tables",
        (driver) => {
          driver.descriptor(table, table, 16, INDIRECT);
          raw([table, 16, INDIRECT])(driver, driver.guest);
        },
        /indirect descriptor in an indirect table/,
        table,
      ],
      [
        "an endless indirect table",
        (driver) => {
          for (let i = 0; i < 2048; i++) driver.descriptor(table + BigInt(16 * i), BUFFERS, 4, NEXT, (i + 1) % 2048);
          raw([table, 2048 * 16, INDIRECT])(driver, driver.guest);
        },
        /loop, or longer/,
      ],
      [
        "an available index that is too far",
        (driver, guest) => guest.view.setUint16(guest.at(driver.available()) + 2, 5, true),
        /5 ahead/,
      ],
    ] as readonly (readonly [string, Step, RegExp, bigint?])[]
  ).map(([what, prepare, why, address]) => [what, prepare, why, address]);
  test.each([...cases])("%s", (_, prepare, why, address) => {
    const { guest, device } = echo();
    const driver = new TestDriver(guest);
    const interrupts = guest.interrupts;
    prepare(driver, guest);
    const before = guest.memoryHash;
    driver.kick();
    expect(guest.fault).toMatchObject({ queue: 0, why: expect.stringMatching(why) });
    if (address !== undefined) expect(guest.fault!.address).toBe(address);
    expect(guest.needsReset).toBe(true);
    expect(guest.read(MMIO.INTERRUPT_STATUS)).toBe(INTERRUPT.CONFIG_CHANGE);
    expect(guest.interrupts).toBe(interrupts + 1);
    // Nothing happens any more, even to a queue that is good again.
    expect(guest.memoryHash).toBe(before);
    raw([BUFFERS, 4, 0])(driver, guest);
    const later = guest.memoryHash;
    driver.kick();
    guest.elapse();
    expect([guest.memoryHash, device.served]).toEqual([later, 0]);
    // Until the device is reset.
    const again = new TestDriver(guest);
    expect(guest.needsReset).toBe(false);
    again.send(inOut(2));
    expect(again.returned()).toHaveLength(1);
  });

  test.each([
    ["a size that is no power of two", { size: 3 }, /queue size 3/],
    ["a size of 0", { size: 0 }, /queue size 0/],
    ["a size above the most", { size: 256 }, /queue size 256/],
    ["an unaligned descriptor table", { base: RAM_BASE + 8n }, /descriptor table unaligned/],
    ["rings outside RAM", { base: RAM_BASE + BigInt(RAM_SIZE) }, /available ring: not in RAM/],
  ] as const)("%s", (_, options, why) => {
    const { guest } = echo();
    if ("base" in options && options.base > RAM_BASE + 8n) {
      // The driver's own writes must not land anywhere.
      new TestDriver(guest, { ready: false });
      guest.write(MMIO.QUEUE_READY, 0);
      guest.write(MMIO.QUEUE_DRIVER_LOW, options.base);
      guest.write(MMIO.QUEUE_READY, 1);
      guest.write(MMIO.STATUS, 7);
      guest.write(MMIO.QUEUE_NOTIFY, 0);
    } else new TestDriver(guest, options);
    expect(guest.fault?.why).toMatch(why);
    expect(guest.needsReset).toBe(true);
  });

  test("chains before the bad one are returned and told", () => {
    const { guest } = echo();
    const driver = new TestDriver(guest, { size: 8 });
    driver.offer(driver.chain(inOut(2)));
    driver.offer(driver.chain([{ address: 0n, length: 1 }]));
    driver.kick();
    expect(driver.returned()).toHaveLength(1);
    expect(guest.read(MMIO.INTERRUPT_STATUS)).toBe(INTERRUPT.USED_BUFFER | INTERRUPT.CONFIG_CHANGE);
  });
});

describe("reset", () => {
  test("requests that wait never touch memory afterwards", () => {
    const { guest, device } = echo({ latencyUs: 20 });
    const driver = new TestDriver(guest, { size: 8 });
    for (let i = 0; i < 3; i++) driver.send(inOut(4));
    expect(guest.mmio.due).toBeDefined();
    guest.write(MMIO.STATUS, 0);
    expect([guest.status, guest.mmio.due]).toEqual([0, undefined]);
    const before = guest.memoryHash;
    guest.elapse();
    expect([guest.memoryHash, device.served, guest.interrupts]).toEqual([before, 0, 0]);
  });
  test("an off queue is not served", () => {
    const { guest, device } = echo({ latencyUs: 20 });
    const driver = new TestDriver(guest);
    driver.send(inOut(4));
    guest.write(MMIO.QUEUE_READY, 0);
    guest.elapse();
    driver.kick();
    guest.elapse();
    expect(device.served).toBe(0);
  });
});

describe("a realm", () => {
  const realm = (alias: bigint) => {
    const { guest, device } = echo({ realm: true });
    guest.share(RAM_BASE, 0x4000n);
    guest.share(BUFFERS, 0x2000n);
    return { guest, device, driver: new TestDriver(guest, { alias }) };
  };
  describe.each([
    ["plain IPAs", 0n],
    ["the unprotected alias", ALIAS],
  ])("%s", (_, alias) => {
    test("shared memory works", () => {
      const { guest, driver } = realm(alias);
      fill(guest, BUFFERS, "ab");
      driver.send(inOut(2));
      expect(driver.returned()).toHaveLength(1);
      expect(text(guest, BUFFERS + 0x1000n, 2)).toBe("ba");
    });
    test.each([
      ["a private buffer", BUFFERS + 0x2000n, 4],
      ["a buffer that runs into a private page", BUFFERS + 0x1ffen, 4],
    ])("%s", (__, address, length) => {
      const { guest, driver } = realm(alias);
      const bytesBefore = guest.ram.counters.bytesRead;
      driver.send([{ address, length }]);
      expect(guest.fault).toEqual({
        device: "echo",
        queue: 0,
        address: address | alias,
        why: "buffer: private memory of the realm",
      });
      expect(guest.needsReset).toBe(true);
      // Index, ring entry, descriptor: nothing else was read.
      expect(guest.ram.counters.bytesRead - bytesBefore).toBe(2 + 2 + 16);
    });
    test("a ring that is made private", () => {
      const { guest, driver } = realm(alias);
      guest.share(RAM_BASE, 0x4000n, false);
      driver.send(inOut(2));
      expect(guest.fault?.why).toBe("available ring: private memory of the realm");
    });
  });
  test("a page that is shared later is accepted from then on", () => {
    const { guest, driver } = realm(0n);
    driver.send([{ address: BUFFERS + 0x5000n, length: 4 }]);
    expect(guest.needsReset).toBe(true);
    guest.share(BUFFERS + 0x5000n, 0x1000n);
    new TestDriver(guest).send([{ address: BUFFERS + 0x5000n, length: 4 }]);
    expect(guest.needsReset).toBe(false);
  });
});

test("a device that feeds its own ring lets the guest go on", () => {
  // Random bytes that fall onto the available index: one chain more each time.
  let index = 1;
  const guest = new TestGuest(
    new VirtioEntropy((into) => new DataView(into.buffer).setUint16(0, ++index & 0xffff, true)),
  );
  const driver = new TestDriver(guest);
  const ring = { address: driver.available() + 2n, length: 2, write: true };
  const head = driver.chain([ring]);
  for (let i = 0; i < 4; i++) guest.view.setUint16(guest.at(driver.available()) + 4 + 2 * i, head, true);
  guest.view.setUint16(guest.at(driver.available()) + 2, 1, true);
  driver.kick();
  expect([index, guest.needsReset]).toEqual([1 + 4, false]);
  guest.elapse(1);
  expect(index).toBe(1 + 8);
  guest.write(MMIO.STATUS, 0);
  guest.elapse();
  expect(index).toBe(1 + 8);
});

test("a restored queue goes on where it was", () => {
  const { guest } = echo({ latencyUs: 20, realm: true });
  guest.share(RAM_BASE, BigInt(RAM_SIZE));
  const driver = new TestDriver(guest, { size: 8, features: EVENT_IDX });
  for (let i = 0; i < 11; i++) {
    driver.send(inOut(3));
    guest.elapse();
    driver.returned();
  }
  driver.send(inOut(3));
  const state = JSON.parse(JSON.stringify({ mmio: guest.mmio.state, ram: guest.ram.state }));
  const { guest: other } = echo({ latencyUs: 20, realm: true });
  other.bytes.set(guest.bytes);
  other.now = guest.now;
  other.mmio.state = state.mmio;
  other.ram.state = state.ram;
  expect({ mmio: other.mmio.state, ram: other.ram.state }).toEqual(state);
  for (const one of [guest, other]) {
    one.elapse();
    one.interrupts = 0;
  }
  expect(other.memoryHash).toBe(guest.memoryHash);
  expect(other.mmio.state).toEqual(guest.mmio.state);
});

test("the entropy device fills what it is given, and no more", () => {
  let next = 0;
  const guest = new TestGuest(new VirtioEntropy((into) => into.fill(++next)));
  const driver = new TestDriver(guest);
  const head = driver.send([
    { address: BUFFERS, length: 8 },
    { address: BUFFERS + 0x100n, length: 3, write: true },
    { address: BUFFERS + 0x200n, length: 2, write: true },
  ]);
  expect(driver.returned()).toEqual([{ head, length: 5 }]);
  expect([text(guest, BUFFERS + 0x100n, 4), text(guest, BUFFERS + 0x200n, 3)]).toEqual([
    "\x01\x01\x01\0",
    "\x01\x01\0",
  ]);
  driver.send([{ address: BUFFERS, length: 0x4_0000, write: true }]);
  expect(driver.returned()).toMatchObject([{ length: 0x1_0000 }]);
});
