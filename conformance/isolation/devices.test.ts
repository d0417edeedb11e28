/**
 * A VMM that lets its devices loose on what a realm keeps private: it takes every page for shared. What it then finds there is
 * its own memory behind the unprotected alias, so the realm's content stays the realm's, in both directions.
 */
import { Gpi } from "@realmbox/abi";
import { MemoryDisk } from "@realmbox/vmm";
import { hostBytesOf } from "realmbox";
import { expect, test } from "vitest";
import { makeBox, makeGuest, runToEnd, small } from "../support/box.js";
import { findPattern } from "../support/memory.js";

/** What the guest's private page holds, over and over; guests/apps/virtio/main.c. */
const SECRET = Uint8Array.of(0x35, 0x74, 0x0f, 0x7a, 0xda, 0xe7, 0xc2, 0x5e);

test.each(["", " alias=1"])("devices on private pages find other memory (params 'case=hostile%s')", (params) => {
  const box = makeBox();
  const disk = new MemoryDisk(Uint8Array.from({ length: 1 << 20 }, () => 0x77));
  const config = { ...small("virtio"), realm: true, params: `case=hostile${params}`, disks: [disk], rng: true };
  const guest = makeGuest(box, config);
  const { ram } = guest.vm.content;
  guest.vm.guestRam.setShared({ address: ram.base, size: ram.size }, true);

  // The guest misses the refusals and says so; that its private page changed it does not say.
  expect(runToEnd(guest)).toEqual({ kind: "exit", status: 1 });
  expect(guest.console).toContain("FAILED: a private page: status 0x");
  expect(guest.console).not.toContain("of the private page changed");
  expect(guest.vm.guestRam.counters.bytesWritten).toBeGreaterThan(512);

  // The guest read sector 0 into its private page and wrote it back from there: the page's shared half took it.
  expect(new Set(disk.bytes.subarray(0, 512))).toEqual(new Set([0x77]));
  expect(Buffer.from(disk.bytes).indexOf(SECRET)).toBe(-1);
  expect(findPattern(box.machine, SECRET, Gpi.REALM)).not.toEqual([]);
  expect(findPattern(box.machine, SECRET, Gpi.NS)).toEqual([]);
  expect(hostBytesOf(box.machine.counters).other).toBe(0);
  expect(box.machine.counters.granuleProtectionFaults).toBe(0);
});
