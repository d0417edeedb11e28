/**
 * A guest that drives virtio devices is saved at many places and restored into another box, with the disk as it was then: the
 * rest of its life is that of a guest that was never stopped.
 */
import { MemoryDisk, type VmConfig } from "@realmbox/vmm";
import { type Box, Box as BoxClass, type Guest, nodeCrypto, traceLine } from "realmbox";
import { describe, expect, test } from "vitest";
import { MiB, makeBox, makeGuest, small } from "../support/box.js";

const PLACES = 6;
const configOf = (realm: boolean, disk: MemoryDisk): VmConfig => ({
  ...small("virtio"),
  realm,
  params: "alias=1",
  disks: [disk],
  rng: true,
  console: "virtio",
});

/** Runs on to the end, or to a clock count; what came of it. */
function go(box: Box, guest: Guest, instructions = 60_000_000) {
  const lines: string[] = [];
  const stop = box.machine.trace.subscribe(["virtio", "irq", "mmio", "rec"], (event) => lines.push(traceLine(event)));
  const end = guest.run({ instructions });
  stop();
  return { end, lines, console: guest.console, now: box.machine.now };
}

describe.each([
  ["a realm", true],
  ["a normal VM", false],
])("%s", (_, realm) => {
  const whole = () => {
    const disk = new MemoryDisk(1 << 20);
    const box = makeBox();
    const guest = makeGuest(box, configOf(realm, disk));
    const begun = box.machine.now;
    return { begun, disk, ...go(box, guest), counters: guest.vm.guestRam.counters };
  };
  const expected = whole();
  /** Places at which a request waited for its time. */
  let outstanding = 0;

  test("a whole run ends well", () => expect(expected.end).toEqual({ kind: "exit", status: 0 }));

  test.each(Array.from({ length: PLACES }, (_, i) => i + 1))(`saved at place %i of ${PLACES}`, (place) => {
    const disk = new MemoryDisk(1 << 20);
    const box = makeBox();
    const guest = makeGuest(box, configOf(realm, disk));
    // The devices are at work in the second half.
    const length = expected.now - expected.begun;
    const first = go(box, guest, Math.floor(length * (0.4 + (0.6 * place) / (PLACES + 1))));
    expect(first.end.kind).toBe("limit");
    const snapshot = box.snapshot();
    const { virtio } = guest.vm.save() as { virtio: { transports: { due: number | null }[] } };
    if (virtio.transports.some(({ due }) => due !== null)) outstanding++;

    const copy = new MemoryDisk(disk.bytes.slice());
    const options = { crypto: nodeCrypto, dramSize: 256n * MiB };
    const restored = BoxClass.restore(options, snapshot, [{ config: configOf(realm, copy) }]);
    if (!restored.ok) throw new Error(restored.error.message);
    const other = restored.value.guests[0]!;
    const second = go(restored.value.box, other);
    expect(second.end).toEqual(expected.end);
    expect(second.now).toBe(expected.now);
    expect(first.console + second.console).toBe(expected.console);
    expect(second.lines).toEqual(expected.lines.slice(-second.lines.length));
    expect(other.vm.guestRam.counters).toEqual(expected.counters);
    expect(Buffer.compare(copy.bytes, expected.disk.bytes)).toBe(0);
  });

  test("at some of them a request was outstanding", () => expect(outstanding).toBeGreaterThan(0));
});
