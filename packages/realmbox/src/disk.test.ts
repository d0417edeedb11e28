/** Disk images in files: access by position, errors as values, the lock. What the command says is in conformance/virtio. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { FileDisk, openDisks, parseDisk } from "./disk.js";

const folder = mkdtempSync(join(tmpdir(), "realmbox-disk-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
function image(content = new Uint8Array(4096)): string {
  const path = join(folder, `${files++}.img`);
  writeFileSync(path, content);
  return path;
}
function open(path: string, readOnly = false) {
  const warnings: string[] = [];
  return { warnings, disk: FileDisk.open({ path, readOnly }, { warn: (line) => warnings.push(line) }) };
}
const pattern = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 31) >> 3);

test.each([
  ["disk.img", "disk.img", false],
  ["disk.img,ro", "disk.img", true],
  ["a,b.img", "a,b.img", false],
  ["a,b.img,ro", "a,b.img", true],
  ["ro", "ro", false],
])("-d %s", (argument, path, readOnly) => {
  expect(parseDisk(argument)).toEqual({ path, readOnly });
});

describe("a file as a disk", () => {
  test("reads and writes where it is told", () => {
    const path = image(pattern(4096));
    const { disk, warnings } = open(path);
    expect([disk.size, disk.readOnly]).toEqual([4096, false]);
    expect(disk.write(1000, Uint8Array.of(1, 2, 3))).toBeUndefined();
    expect(disk.flush()).toBeUndefined();
    const into = new Uint8Array(5);
    expect(disk.read(999, into)).toBeUndefined();
    const expected = pattern(4096);
    expected.set([1, 2, 3], 1000);
    expect(into).toEqual(expected.subarray(999, 1004));
    disk.close();
    expect(Buffer.compare(readFileSync(path), expected)).toBe(0);
    expect(warnings).toEqual([]);
  });
  test("an error is a value, and one line for each kind", () => {
    const path = image();
    const { disk, warnings } = open(path);
    truncateSync(path, 512);
    expect([disk.read(0, new Uint8Array(1024)), disk.read(2048, new Uint8Array(512))]).toEqual(["EIO", "EIO"]);
    expect(warnings).toEqual([`disk '${path}': read failed: EIO; the guest gets an I/O error`]);
    disk.close();
    expect(disk.write(0, new Uint8Array(512))).toBe("EBADF");
    expect(warnings).toHaveLength(2);
  });
  test("a read-only one is flushed by doing nothing", () => {
    const { disk } = open(image(), true);
    expect([disk.readOnly, disk.flush()]).toEqual([true, undefined]);
    disk.close();
  });
});

describe("the lock", () => {
  test("a writer excludes writers and readers until it is closed; readers share", () => {
    const path = image();
    const writer = open(path).disk;
    expect(() => open(path)).toThrow(`'${path}' is given twice`);
    expect(() => open(path, true)).toThrow(`'${path}' is given twice`);
    writer.close();
    const readers = [open(path, true).disk, open(path, true).disk];
    for (const reader of readers) reader.close();
    open(path).disk.close();
  });
  test("of disks that cannot all be opened none stays locked", () => {
    const path = image();
    expect(() => openDisks([path, join(folder, "nothing")], { warn: () => {} })).toThrow("no such file");
    open(path).disk.close();
  });
});
