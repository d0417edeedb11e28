/**
 * A driver in a guest against the virtio devices: what it writes is on the disk, what it must not show stays unseen, in a
 * normal VM and in a realm, on both transports, with and without the optional features.
 */
import { Gpi } from "@realmbox/abi";
import { MemoryDisk, type VmConfig } from "@realmbox/vmm";
import { type Box, type Guest, type GuestOptions, makeReport, type StampedTraceEvent } from "realmbox";
import { describe, expect, test } from "vitest";
import { makeBox, makeGuest, runToEnd, small } from "../support/box.js";
import { findPattern } from "../support/memory.js";
import { tracedRun } from "../support/run.js";

const worlds = [
  ["a realm", true],
  ["a normal VM", false],
] as const;
/** What the guest's private pages hold, eight bytes over and over. */
const SECRET = Uint8Array.of(0x35, 0x74, 0x0f, 0x7a, 0xda, 0xe7, 0xc2, 0x5e);

interface Run {
  readonly box: Box;
  readonly guest: Guest;
  readonly disk: MemoryDisk;
  readonly end: ReturnType<typeof runToEnd>;
  readonly events: readonly StampedTraceEvent[];
}

function run(config: Partial<VmConfig>, options: GuestOptions = {}): Run {
  const box = makeBox();
  const events: StampedTraceEvent[] = [];
  box.machine.trace.subscribe(["virtio"], (event) => events.push(event));
  const disk = new MemoryDisk(1 << 20);
  const readOnly = new MemoryDisk(
    Uint8Array.from({ length: 64 << 10 }, (_, i) => i >> 9),
    { readOnly: true },
  );
  const guest = makeGuest(
    box,
    { ...small("virtio"), disks: [disk, readOnly], rng: true, console: "virtio", ...config },
    options,
  );
  return { box, guest, disk, end: runToEnd(guest), events };
}
const isOver = (end: Run["end"]) => expect(end).toEqual({ kind: "exit", status: 0 });

/** What the guest writes: its generator (guests/apps/virtio/main.c, "fill"). */
function filled(size: number, seed: number): Buffer {
  let state = seed;
  return Buffer.from(
    Array.from({ length: size }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 24;
    }),
  );
}

describe.each(worlds)("as %s", (_, realm) => {
  describe.each([
    ["", "mmio"],
    ["alias=1 indirect=1", "mmio"],
    ["features=0", "mmio"],
    ["", "mmio-legacy"],
    ["alias=1 indirect=1", "mmio-legacy"],
  ] as const)("params '%s', %s", (params, virtioTransport) => {
    test("every device does its work", () => {
      const { box, guest, disk, end, events } = run({ realm, params, virtioTransport });
      expect(guest.console).toContain("virtio: all is well\n");
      isOver(end);
      const version = virtioTransport === "mmio" ? 2 : 1;
      expect(guest.console.match(/^virtio: slot .*$/gm)).toEqual([
        `virtio: slot 0: device 3, version ${version}, INTID 36`,
        `virtio: slot 1: device 2, version ${version}, INTID 37`,
        `virtio: slot 2: device 2, version ${version}, INTID 38`,
        `virtio: slot 3: device 4, version ${version}, INTID 39`,
      ]);
      expect(guest.console).toContain("\nthis line went through the virtio console\n");
      const written = Buffer.from(disk.bytes);
      for (const i of [0, 1, 2, 3]) {
        const at = (8 + 32 * i) * 512;
        expect(written.subarray(at, at + (512 << i))).toEqual(filled(512 << i, i));
      }
      expect(events.filter(({ name }) => name === "DEVICE_NEEDS_RESET")).toEqual([]);
      expect(box.machine.counters.granuleProtectionFaults).toBe(0);
    });
  });

  test.each(["", "alias=1 indirect=1"])(
    "hostile buffers break the device, and nothing else (params '%s')",
    (params) => {
      const { box, guest, disk, end, events } = run({ realm, params: `case=hostile ${params}` });
      isOver(end);
      expect(guest.console).toContain("virtio: all is well\n");
      const faults = events.filter(({ name }) => name === "DEVICE_NEEDS_RESET").map(({ fields }) => fields);
      expect(faults.filter(({ device }) => device === "blk0")).toHaveLength(realm ? 8 : 4);
      expect(faults.filter(({ device }) => device === "rng")).toHaveLength(realm ? 6 : 4);
      const page = BigInt(/device 2: private page (0x[0-9a-f]+)/.exec(guest.console)![1]!);
      if (realm) {
        const why = "buffer: private memory of the realm";
        expect(faults).toContainEqual({ device: "blk0", queue: 0, address: page, why });
        expect(faults).toContainEqual({ device: "blk0", queue: 0, address: page | (1n << 32n), why });
        expect(faults).toContainEqual({
          device: "rng",
          queue: 0,
          address: expect.any(BigInt),
          why: "available ring: private memory of the realm",
        });
      }
      // The Host found nothing and took nothing: neither in its memory, nor on the disk, nor by a refused access.
      expect(findPattern(box.machine, SECRET, realm ? Gpi.REALM : Gpi.NS)).not.toEqual([]);
      if (realm) expect(findPattern(box.machine, SECRET, Gpi.NS)).toEqual([]);
      expect(Buffer.from(disk.bytes).indexOf(SECRET)).toBe(-1);
      expect(box.machine.counters.granuleProtectionFaults).toBe(0);
      expect(box.host.counters.granuleFaults).toBe(0);
    },
  );

  test("the console's size and input reach the guest", () => {
    const box = makeBox();
    const config: VmConfig = { ...small("virtio"), realm, params: "case=echo", console: "virtio" };
    const guest = makeGuest(box, config);
    const until = (text: string) => guest.run({ console: text, instructions: 60_000_000 }).kind;
    expect(until("this line went through the virtio console\n")).toBe("reached");
    const type = (text: string) => {
      guest.input.push(new TextEncoder().encode(text));
      guest.vm.consoleInputArrived();
    };
    type("first\n");
    expect(until("console\nfirst\n")).toBe("reached");
    guest.vm.setConsoleSize({ columns: 132, rows: 50 });
    expect(until("virtio: console of 132 columns and 50 rows\n")).toBe("reached");
    type("sec");
    type("ond\n");
    expect(until("second\n")).toBe("reached");
    type("quit\n");
    isOver(runToEnd(guest));
  });

  test("random bytes follow from the seed", () => {
    const bytesOf = (seed: bigint) => {
      const guest = makeGuest(makeBox({ seed }), { ...small("virtio"), realm, rng: true });
      isOver(runToEnd(guest));
      return /random bytes ([0-9a-f]{64})\n/.exec(guest.console)?.[1];
    };
    expect(bytesOf(1n)).toBe(bytesOf(1n));
    expect(bytesOf(1n)).not.toBe(bytesOf(2n));
  });
});

test.each(worlds)("two runs as %s are one run", (_, realm) => {
  const once = () => {
    const disk = new MemoryDisk(1 << 20);
    const config = { ...small("virtio"), realm, disks: [disk], rng: true, console: "virtio" } as const;
    const { lines, guest, box } = tracedRun(config);
    return { lines, console: guest.console, now: box.machine.now, disk: Buffer.from(disk.bytes).toString("base64") };
  };
  const first = once();
  expect(first.lines.some((line) => line.includes("driver ready"))).toBe(true);
  expect(once()).toEqual(first);
});

test("an error of the disk is the guest's I/O error", () => {
  const disk = new MemoryDisk(1 << 20);
  disk.write = () => "ENOSPC";
  const { guest, end } = run({ disks: [disk] });
  expect(end).toEqual({ kind: "exit", status: 1 });
  expect(guest.console).toContain("FAILED: block request 1 of 512 bytes at sector 8: status 1, not 0\n");
});

test("the realm's measurement follows the devices, not the disks' content", () => {
  const rimOf = (config: Partial<VmConfig>) => {
    const { box, guest, end } = run({ realm: true, disks: [], rng: false, console: "serial", ...config });
    const { rim } = makeReport({ box, guest, end, image: "virtio", challenge: new Uint8Array(64) });
    return rim?.expected;
  };
  const one = rimOf({ disks: [new MemoryDisk(1 << 20)] });
  const another = rimOf({ disks: [new MemoryDisk(Uint8Array.from({ length: 1 << 20 }, () => 7))] });
  expect(another).toBe(one);
  const others = [rimOf({}), rimOf({ rng: true, disks: [new MemoryDisk(1 << 20)] }), rimOf({ console: "virtio" })];
  // One entropy device looks like one disk: the device tree tells slots alone.
  expect(rimOf({ rng: true })).toBe(one);
  expect(new Set([one, ...others]).size).toBe(4);
});
