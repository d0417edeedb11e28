/**
 * The guest's driver on QEMU's virtio devices: an outside oracle for the driver by which our devices are tested. What ours
 * do beyond the document (DEVICE_NEEDS_RESET at once for every bad buffer) is left out.
 */
import { execFile, spawnSync } from "node:child_process";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MemoryDisk } from "@realmbox/vmm";
import { describe, expect, test } from "vitest";
import { makeBox, makeGuest, prebuilt, runToEnd, small } from "../support/box.js";
import { temporaryFolder } from "../support/cli.js";

const cwd = temporaryFolder("virtio-qemu");
const missing = spawnSync("qemu-system-aarch64", ["--version"]).error !== undefined;
const note = missing ? " (skipped: no qemu-system-aarch64)" : "";
const SIZE = 1 << 20;

/** The console of a run on QEMU's virt board with a disk and an entropy device. */
function qemu(disk: string, bootargs: string, legacy: boolean): Promise<string> {
  const options = [
    ...["-M", "virt,gic-version=3", "-cpu", "cortex-a57", "-m", "128", "-nographic", "-nic", "none"],
    ...["-kernel", fileURLToPath(new URL("virtio.bin", prebuilt)), "-append", bootargs],
    ...["-drive", `if=none,file=${disk},format=raw,id=disk`, "-device", "virtio-blk-device,drive=disk"],
    ...["-device", "virtio-rng-device", "-global", `virtio-mmio.force-legacy=${legacy}`],
  ];
  return new Promise((resolve, reject) =>
    execFile("qemu-system-aarch64", options, { timeout: 60_000 }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stdout}`)),
    ),
  );
}

describe.each([
  ["version 2", false],
  ["version 1", true],
])("%s", (version, legacy) => {
  test.skipIf(missing).each(["", "indirect=1", "features=0"])(`params '%s'${note}`, async (params) => {
    const path = join(cwd, `${version.replace(" ", "")}-${params}.img`);
    writeFileSync(path, "");
    truncateSync(path, SIZE);
    const console = await qemu(path, params, legacy);
    expect(console).toContain("virtio: all is well\n");
    expect(console).toContain(version);

    // The same image runs on our devices, and leaves the same disk.
    const disk = new MemoryDisk(SIZE);
    const virtioTransport = legacy ? "mmio-legacy" : "mmio";
    const guest = makeGuest(makeBox(), { ...small("virtio"), params, disks: [disk], rng: true, virtioTransport });
    expect(runToEnd(guest)).toEqual({ kind: "exit", status: 0 });
    expect(Buffer.compare(readFileSync(path), disk.bytes)).toBe(0);
  });
});
