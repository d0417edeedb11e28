/**
 * Linux's own virtio drivers, of Debian's kernels: an ext4 disk, entropy, the virtio console, both transports; and realmbox
 * killed while Linux writes: the journal replays clean, and what `sync` has returned for is there.
 */
import { spawn } from "node:child_process";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import {
  complaints,
  DEBIAN,
  type DebianImage,
  hostSawNothing,
  logOf,
  missing,
  PRINT_LOG,
  session,
  TRIXIE,
} from "../linux/debian.js";
import { command, temporaryFolder } from "../support/cli.js";
import { checkExt4, hasE2fsprogs, makeExt4, readExt4 } from "./ext4.js";

const cwd = temporaryFolder("virtio-linux");
const absent = hasE2fsprogs ? undefined : "no e2fsprogs";
const why = new Map<string, string | undefined>();
for (const image of [DEBIAN, TRIXIE]) why.set(image.name, absent ?? (await missing(image)));
const note = (name: string) => (why.get(name) === undefined ? "" : ` (skipped: ${why.get(name)})`);

let images = 0;
function newImage(): string {
  const path = join(cwd, `${images++}.img`);
  makeExt4(path, 32);
  return path;
}

const sessions: readonly (readonly [string, DebianImage, readonly string[]])[] = [
  ["debian as a realm", DEBIAN, ["--realm"]],
  ["debian as a realm, 4 vCPUs, virtio console", DEBIAN, ["--realm", "-c", "4", "--console", "virtio"]],
  ["debian as a normal VM", DEBIAN, []],
  ["debian as a normal VM, legacy transport", DEBIAN, ["--virtio-transport", "mmio-legacy"]],
  ["debian-trixie as a normal VM", TRIXIE, []],
];

describe.each(sessions)("%s", (_, image, options) => {
  test.skipIf(why.get(image.name) !== undefined)(`disk, entropy, log${note(image.name)}`, async () => {
    const path = newImage();
    const run = await session(
      [...options, "-m", "512", "-d", path, "--rng", image.name],
      [
        // The kernel's own messages would fall into lines, as the echo of what is typed ahead does.
        "dmesg -n 1",
        "mkdir -p /m; mount -t ext4 /dev/vda /m && echo mounts=$((1 + 1))",
        "dd if=/dev/urandom of=/m/file bs=64k count=64 2>/dev/null; md5sum /m/file; sync",
        "echo 3 > /proc/sys/vm/drop_caches; md5sum /m/file; md5sum /m/file > /m/sum",
        "cat /sys/block/vda/serial; echo; modprobe virtio-rng",
        "echo random=$(head -c 16 /dev/hwrng | od -An -tx1 | tr -d ' ')",
        "umount /m && echo mounts=$((1 - 1))",
        PRINT_LOG,
        "poweroff -f",
      ],
    );
    expect(run.code, run.console.slice(-2000)).toBe(0);
    expect(run.console).toContain("mounts=2\n");
    expect(run.console).toContain("mounts=0\n");
    expect(run.console).toContain("realmbox-disk0\n");
    expect(run.console).toMatch(/random=[0-9a-f]{32}\n/);
    const sums = [...run.console.matchAll(/([0-9a-f]{32}) {2}\/m\/file$/gm)].map(([, sum]) => sum);
    expect(sums).toHaveLength(2);
    expect(sums[1]).toBe(sums[0]);
    expect(complaints(logOf(run))).toEqual([]);
    expect(hostSawNothing(run)).toBe(true);
    expect(checkExt4(path)).toBeUndefined();
    expect(readExt4(path, "/sum")).toContain(sums[0]);
  });
});

/** Each round makes, renames and deletes files, and tells its number when sync has returned. */
const LOAD = [
  "mkdir -p /m; mount -t ext4 /dev/vda /m; i=0; mkdir /m/a",
  "while :; do i=$((i+1)); " +
    "dd if=/dev/urandom of=/m/a/$((i % 7)) bs=4k count=$((i % 11)) seek=$((i % 5)) 2>/dev/null; " +
    "echo $i > /m/next; mv /m/next /m/last; rm -f /m/a/$((i * 3 % 7)); sync; echo synced=$i; done",
];
const STOPS = 15;

/** The last number that the guest told. */
const lastSynced = (console: string): number => Number([...console.matchAll(/^synced=(\d+)\r?$/gm)].at(-1)?.[1] ?? 0);

describe.each([
  ["a realm", ["--realm"]],
  ["a normal VM", []],
])("killed while Linux writes, as %s", (world, options) => {
  test.skipIf(why.get(DEBIAN.name) !== undefined)(`${STOPS} moments${note(DEBIAN.name)}`, async () => {
    const path = newImage();
    const child = spawn(process.execPath, [command, "run", "-q", ...options, "-m", "512", "-d", path, DEBIAN.name], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    let console = "";
    child.stdout.setEncoding("latin1").on("data", (text: string) => (console += text));
    child.stdin.write(`${LOAD.join("\n")}\n`);
    const ended = new Promise((resolve) => child.on("close", (_code, signal) => resolve(signal)));
    while (lastSynced(console) < 3) {
      expect(child.exitCode, console.slice(-2000)).toBeNull();
      await sleep(100);
    }
    // A stopped process has left the image as a killed one would; what it wrote to its console comes out of the pipe.
    const moments: { copy: string; synced: number }[] = [];
    for (let i = 0; i < STOPS; i++) {
      await sleep(((Math.imul(i + 1, 0x9e37_79b1) >>> 0) % 400) + 20);
      child.kill("SIGSTOP");
      while (!/\) T /.test(readFileSync(`/proc/${child.pid}/stat`, "latin1"))) await sleep(1);
      await sleep(20);
      const copy = join(cwd, `${world.replaceAll(" ", "-")}-${i}.img`);
      copyFileSync(path, copy);
      moments.push({ copy, synced: lastSynced(console) });
      child.kill("SIGCONT");
    }
    child.kill("SIGKILL");
    expect(await ended).toBe("SIGKILL");
    moments.push({ copy: path, synced: lastSynced(console) });
    for (const { copy, synced } of moments) {
      expect(checkExt4(copy)).toBeUndefined();
      expect(Number(readExt4(copy, "/last"))).toBeGreaterThanOrEqual(synced);
    }
    expect(new Set(moments.map(({ synced }) => synced)).size).toBeGreaterThan(3);
  });
});
