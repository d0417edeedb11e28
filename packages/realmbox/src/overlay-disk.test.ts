import { MemoryDisk } from "@realmbox/vmm";
import { expect, test } from "vitest";
import { OverlayDisk } from "./overlay-disk.js";

test("an overlay reads what was written to it, and leaves the disk below alone", () => {
  const content = Uint8Array.from({ length: 10_240 }, (_, i) => i);
  const below = new MemoryDisk(content.slice());
  const disk = new OverlayDisk(below, { readOnly: false });
  const written = content.slice();
  const other = new OverlayDisk(below, { readOnly: true });
  expect([disk.size, disk.readOnly, other.readOnly]).toEqual([10_240, false, true]);
  for (const [offset, length] of [
    [0, 512],
    [4000, 200],
    [4096, 4096],
    [8190, 2050],
    [10_239, 1],
  ]) {
    const bytes = new Uint8Array(length!).fill((offset! % 251) ^ 0x5a);
    written.set(bytes, offset!);
    expect(disk.write(offset!, bytes)).toBeUndefined();
  }
  const read = (from: OverlayDisk) => {
    const into = new Uint8Array(10_240);
    expect(from.read(0, into)).toBeUndefined();
    return into;
  };
  expect(read(disk)).toEqual(written);
  expect(read(other)).toEqual(content);
  expect(below.bytes).toEqual(content);
});
