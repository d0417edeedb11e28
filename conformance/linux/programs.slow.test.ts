/**
 * Programs of a stock compiler and the GNU C library in user space of Debian's kernel: the same output as under qemu-aarch64,
 * and vector registers that survive every switch between threads, vCPUs and worlds.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { type CpioContent, cpioArchive } from "../../packages/realmbox/src/images/cpio.js";
import { ImageStore } from "../../packages/realmbox/src/images/store.js";
import { temporaryFolder } from "../support/cli.js";
import { DEBIAN, hostSawNothing, missing, session } from "./debian.js";

const folder = temporaryFolder("linux-programs");
const PROGRAMS = ["arithmetic", "threads"] as const;
const source = (name: string) => fileURLToPath(new URL(`programs/${name}.c`, import.meta.url));
const GCC = "aarch64-linux-gnu-gcc";

function build(name: string): string | undefined {
  const args = ["-O2", "-ftree-vectorize", "-frounding-math", "-static", "-pthread", "-o", join(folder, name)];
  const { error, status, stderr } = spawnSync(GCC, [...args, source(name), "-lm"], { encoding: "utf8" });
  if (error) return `no ${GCC}`;
  return status === 0 ? undefined : `${name}.c: ${stderr.split("\n")[0]}`;
}

const noQemu = spawnSync("qemu-aarch64", ["--version"]).error ? "no qemu-aarch64" : undefined;
const why = (await missing(DEBIAN)) ?? noQemu ?? PROGRAMS.map(build).find((problem) => problem !== undefined);

/** The image's initramfs with the programs behind it: the kernel unpacks one archive after the other. */
function initrdWithPrograms(): string {
  const store = new ImageStore();
  const { initramfs } = store.find(DEBIAN.name)!;
  const program = (name: string): CpioContent => ({
    kind: "file",
    mode: 0o755,
    bytes: readFileSync(join(folder, name)),
  });
  const added = cpioArchive(new Map(PROGRAMS.map((name) => [`opt/${name}`, program(name)])));
  const path = join(folder, "initrd");
  writeFileSync(path, Buffer.concat([readFileSync(store.path(initramfs)), added]));
  return path;
}

describe("programs in user space", () => {
  let initrd: string;
  let expected: string;
  beforeAll(() => {
    if (why !== undefined) return;
    initrd = initrdWithPrograms();
    expected = execFileSync("qemu-aarch64", [join(folder, "arithmetic")], { encoding: "utf8" });
  });

  test.skipIf(why !== undefined).each([
    ["a realm", ["--realm", "-c", "4"]],
    ["a normal VM", ["-c", "2"]],
  ])(`%s${why === undefined ? "" : ` (skipped: ${why})`}`, async (_, args) => {
    const store = new ImageStore();
    const run = await session(
      [
        ...args,
        "-m",
        "512",
        "-k",
        store.path(store.find(DEBIAN.name)!.kernel),
        "-i",
        initrd,
        "-p",
        "cryptomgr.notests=1 quiet",
      ],
      ["echo program-begins; /opt/arithmetic; echo program-ends", "/opt/threads; echo status=$?", "poweroff -f"],
    );
    expect(run.code, run.console.slice(-2000)).toBe(0);
    expect(/\nprogram-begins\n([\s\S]*)program-ends\n/.exec(run.console)?.[1]).toBe(expected);
    expect(run.console).toContain("registers kept\nstatus=0\n");
    expect(hostSawNothing(run)).toBe(true);
  });
});
