/** `-d`, `--rng`, `--console` and `--virtio-transport` of the command: images in files, and what can be wrong with one. */
import { spawn } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type CliResult, command, realmbox, temporaryFolder } from "../support/cli.js";

const cwd = temporaryFolder("disks");
let files = 0;
/** A new image file. */
function disk(size = 1 << 20): string {
  const name = `disk${files++}.img`;
  writeFileSync(join(cwd, name), "");
  truncateSync(join(cwd, name), size);
  return name;
}
const content = (name: string) => readFileSync(join(cwd, name));
const run = (line: string) => realmbox(line.split(" "), { cwd });

describe.each(["", "--realm "])("run %s", (realm) => {
  test("two disks, entropy and console", async () => {
    const [one, two] = [disk(), disk(64 << 10)];
    const before = content(two);
    const options = `--disk ${one} -d ${two},ro --rng --console virtio`;
    const { code, stdout, stderr } = await run(`run -q ${realm}${options} virtio`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("virtio: all is well\n");
    expect(
      content(one)
        .subarray(4096, 4608)
        .some((byte) => byte !== 0),
    ).toBe(true);
    expect(content(two).equals(before)).toBe(true);
  });
  test("the legacy transport", async () => {
    const { code, stdout } = await run(`run -q ${realm}-d ${disk()} --virtio-transport mmio-legacy virtio`);
    expect({ code, version: /slot 0: device 2, version (\d)/.exec(stdout)?.[1] }).toEqual({ code: 0, version: "1" });
  });
});

test("the command line is kvmtool's: hvc0 with the virtio console", async () => {
  const { stdout } = await run("run -q --console virtio -p exit=0 hello");
  expect(stdout).toMatch(/bootargs: +console=hvc0 root=\/dev\/vda rw {2}exit=0\n/);
});

test("what a device does wrong is in the trace", async () => {
  const { code, stderr } = await run(`run -q --realm --trace=virtio -p case=hostile -d ${disk()} virtio`);
  expect(code).toBe(0);
  expect(stderr).toMatch(
    /^ *\d+ pe0 virtio +DEVICE_NEEDS_RESET device=blk0 queue=0 address=0x8[0-9a-f]+ why="buffer: private memory of the realm"$/m,
  );
});

describe("an image that cannot be used", () => {
  mkdirSync(join(cwd, "folder"));
  writeFileSync(join(cwd, "odd.img"), "x".repeat(1000));
  writeFileSync(join(cwd, "empty.img"), "");
  writeFileSync(join(cwd, "locked.img"), "x".repeat(512));
  chmodSync(join(cwd, "locked.img"), 0o444);
  symlinkSync(disk(), join(cwd, "link.img"));
  const isRoot = process.getuid?.() === 0;
  const cases: readonly (readonly [string, RegExp])[] = [
    ["-d nothing.img", /cannot open 'nothing\.img': no such file/],
    ["-d folder", /'folder'.* is a directory|cannot open 'folder': is a directory/],
    ["-d folder,ro", /'folder' is a directory/],
    ["-d /dev/null", /'\/dev\/null' is not a regular file/],
    ["-d odd.img", /'odd\.img' has 1000 bytes, not a positive multiple of 512/],
    ["-d empty.img", /'empty\.img' has 0 bytes/],
    ["-d disk0.img,direct", /not opened with O_DIRECT/],
    ["-d ,ro", /no file is named/],
    ["-d link.img -d link.img", /'link\.img' is given twice/],
    ["-d a,ro -d b,ro -d c,ro -d d,ro -d e,ro", /cannot open 'a'/],
    ["--console hv", /'--console': 'hv' is neither serial nor virtio/],
    ["--virtio-transport pci", /'pci' is neither mmio nor mmio-legacy\n +there is no PCI/],
    ...(isRoot ? [] : [["-d locked.img", /may not be written\n +write -d locked\.img,ro/] as const]),
  ];
  test.each(cases)("%s", async (options, message) => {
    const result = await run(`run ${options} virtio`);
    expect(result).toMatchObject({ code: 125, stdout: "" });
    expect(result.stderr).toMatch(message);
  });
  test("five disks", async () => {
    const options = Array.from({ length: 5 }, () => `-d ${disk(512)}`).join(" ");
    const { code, stderr } = await run(`run ${options} virtio`);
    expect({ code, stderr }).toMatchObject({ code: 125, stderr: expect.stringContaining("5 disks; 4 is the most") });
  });
});

test("an image that another realmbox writes is refused until that one ends, however it ends", async () => {
  const image = disk();
  const other = spawn(process.execPath, [command, "run", "-q", "-p", "case=log", "-d", image, "virtio"], { cwd });
  const ended = new Promise((resolve) => other.on("close", resolve));
  await new Promise((resolve) => other.stdout.once("data", resolve));
  for (const option of [image, `${image},ro`]) {
    const { code, stderr } = await run(`run -d ${option} virtio`);
    expect(code).toBe(125);
    expect(stderr).toContain(`'${image}' is in use by another realmbox, process ${other.pid}`);
  }
  other.kill("SIGKILL");
  await ended;
  expect(await run(`run -q -d ${image} virtio`)).toMatchObject({ code: 0 });
});

test.skipIf(process.platform === "win32")("an error of the file is the guest's I/O error and one line", async () => {
  const image = disk(64 << 20);
  // The file may not be written beyond 1 MiB: EFBIG, as ENOSPC on a full disk.
  const result = await new Promise<CliResult>((resolve) => {
    const line = `ulimit -f 1024; exec "${process.execPath}" "${command}" run -q -p case=log -d ${image} virtio`;
    const child = spawn("bash", ["-c", line], { cwd });
    const output = { stdout: "", stderr: "" };
    child.stdout.on("data", (text) => (output.stdout += text));
    child.stderr.on("data", (text) => (output.stderr += text));
    child.on("close", (code) => resolve({ code, ...output }));
  });
  expect(result.stdout).toContain("FAILED: block request 1 of 4096 bytes");
  expect(result.stderr).toBe(`realmbox: disk '${image}': write failed: EFBIG; the guest gets an I/O error\n`);
  expect(result.code).toBe(1);
});

test("measure needs no image file; a disk's content is not measured", async () => {
  const rim = async (options: string) => {
    const result = await run(`measure ${options}virtio`);
    expect(result.code).toBe(0);
    return result.stdout;
  };
  const withDisk = await rim("-d nowhere.img ");
  expect(await rim("-d elsewhere.img,ro --virtio-transport mmio-legacy ")).toBe(withDisk);
  const image = disk();
  const { stdout } = await run(`run --json --realm -d ${image} virtio`);
  expect(`${JSON.parse(stdout).rim.expected}\n`).toBe(withDisk);
  const all = [withDisk, await rim(""), await rim("-d a -d b "), await rim("--console virtio -d a ")];
  expect(new Set(all).size).toBe(4);
});

test("a copy of an image is another image", async () => {
  const image = disk();
  copyFileSync(join(cwd, image), join(cwd, "copy.img"));
  expect(await run(`run -q -d ${image} -d copy.img virtio`)).toMatchObject({ code: 0 });
});
