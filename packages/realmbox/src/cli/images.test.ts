/** `realmbox images`, and images by name, as users run them: on a cache that the test makes. */
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import { realmbox, temporaryFolder } from "../../../../conformance/support/cli.js";
import { ImageStore } from "../images/store.js";

const cwd = temporaryFolder("images");
const cache = join(cwd, "cache");
const hello = new Uint8Array(
  readFileSync(fileURLToPath(new URL("../../../../guests/prebuilt/hello.bin", import.meta.url))),
);
const run = (line: string, env: Readonly<Record<string, string>> = { REALMBOX_CACHE: cache }) =>
  realmbox(line.split(" "), { cwd, env });
async function output(line: string): Promise<string> {
  const { code, stdout, stderr } = await run(line);
  expect({ line, code, stderr }).toEqual({ line, code: 0, stderr: "" });
  return stdout;
}

/** Puts an image into the cache: hello in the place of a kernel. */
function putImage(name: string, suite: string): ImageStore {
  const store = new ImageStore(cache);
  store.put({
    ...{ schemaVersion: 1, name, distribution: "debian", suite, flavour: "arm64", source: "a test" },
    ...{ fetched: "2026-11-20T13:00:00.000Z", recipe: "1", params: "exit=9", realmParams: "of=realms" },
    kernel: { ...store.add(hello), version: "7.0.0-test", banner: "Linux version 7.0.0-test", realmAware: true },
    initramfs: { ...store.add(new Uint8Array([1, 2, 3])), modules: ["ext4"], missing: ["tsm_report"] },
    packages: [{ name: "busybox-static", version: "1:1.38", sha256: "00".repeat(32) }],
  });
  return store;
}

beforeAll(() => putImage("debian", "sid"));

describe("an image by its name", () => {
  test("brings its kernel, initramfs and parameters, and says so", async () => {
    const { code, stdout, stderr } = await run("run debian");
    expect(code).toBe(9); // exit=9 is among its default parameters
    expect(stdout).toMatch(/^bootargs: *console=ttyS0 root=\/dev\/vda rw {2}exit=9$/m);
    expect(stdout).toMatch(/^initrd: *3 bytes/m);
    expect(stderr).toMatch(
      /^debian: Debian sid, kernel 7\.0\.0-test\ndebian: default kernel parameters exit=9 \(--nodefaults/m,
    );
  });
  test("the user's parameters come last, and --nodefaults leaves the image's out", async () => {
    expect((await run("run -q -p exit=4 debian")).stdout).toMatch(/^bootargs: .*exit=9 exit=4$/m);
    const bare = await run("run --nodefaults -p exit=5 debian");
    expect(bare.code).toBe(5);
    expect(bare.stdout).toMatch(/^bootargs: *exit=5$/m);
    expect(bare.stderr).not.toContain("default kernel parameters");
  });
  test("-i takes another initrd; measure and a realm's token agree", async () => {
    writeFileSync(join(cwd, "initrd"), "12345");
    expect((await run("run -q -i initrd debian")).stdout).toMatch(/^initrd: *5 bytes/m);
    const { code, stdout, stderr } = await run("run --realm --json debian");
    expect(code).toBe(9);
    expect(stderr).toMatch(/^debian: default kernel parameters exit=9 of=realms \(/m);
    const { rim } = JSON.parse(stdout);
    expect(rim.token).toBe((await run("measure debian")).stdout.trim());
    expect(JSON.parse(await output("images inspect debian --json")).rim.value).toBe(rim.token);
  });
  test("is not a file's: a file of the same name comes first", async () => {
    copyFileSync(fileURLToPath(new URL("../../../../guests/prebuilt/hello.bin", import.meta.url)), join(cwd, "debian"));
    const { stdout } = await run("run -q debian");
    expect(stdout).not.toContain("exit=9");
    await run("run -q ./debian");
  });
  test("before it is fetched", async () => {
    const { code, stderr } = await run("run --realm debian-forky");
    expect(code).toBe(125);
    expect(stderr).toBe(
      "realmbox: image: 'debian-forky' has not been fetched\n  run first: realmbox images fetch debian --suite forky\n",
    );
  });
});

test("a compressed kernel is decompressed, and said so", async () => {
  writeFileSync(join(cwd, "Image.gz"), gzipSync(hello));
  const { code, stdout, stderr } = await run("run -k ./Image.gz");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^world: *normal VM/m);
  expect(stderr).toMatch(/^\.\/Image\.gz: decompressed \(gzip\)$/m);
  expect(await output("measure ./Image.gz")).toBe(await output("measure hello"));
});

describe("images ls, inspect, rm", () => {
  test("ls: fetched and built-in images", async () => {
    putImage("debian-two", "forky");
    const table = await output("images ls");
    expect(table).toMatch(/^NAME +SOURCE +SUITE +KERNEL +SIZE +DATE +ABOUT$/m);
    expect(table).toMatch(/^debian-two +fetched +forky +7\.0\.0-test +\d+ kB +2026-11-20 +realm or normal VM$/m);
    expect(table).toMatch(/^hello +built-in +- +- +\d+ kB +- +says where/m);
    const { images } = JSON.parse(await output("images ls --json"));
    expect(images).toContainEqual(expect.objectContaining({ name: "debian-two", source: "fetched", suite: "forky" }));
    for (const { about } of images) expect(about).not.toBe("");
  });
  test("inspect: a fetched image, a built-in one, a file", async () => {
    const fetched = await output("images inspect debian-two");
    expect(fetched).toMatch(/^modules: +ext4$/m);
    expect(fetched).toMatch(/^modules absent: +tsm_report$/m);
    expect(fetched).toMatch(/^command line: +console=ttyS0 root=\/dev\/vda rw {2}exit=9 of=realms$/m);
    const builtIn = await output("images inspect hello");
    expect(builtIn).toMatch(/^flags: +0xa: little-endian, 4 KiB pages, placed anywhere$/m);
    const rim = (await output("measure hello")).trim();
    expect(builtIn).toMatch(new RegExp(`^RIM: +${rim} \\(sha256`, "m"));
    writeFileSync(join(cwd, "flat"), hello.subarray(64));
    expect(await output("images inspect ./flat")).toMatch(/^kernel: +not an arm64 Image$/m);
    expect(JSON.parse(await output("images inspect ./flat --json"))).toMatchObject({ source: "file" });
  });
  test("rm: by name, all, and what is not there", async () => {
    for (const [line, message] of [
      ["images rm debian-tow", /no fetched image 'debian-tow'\n {2}did you mean debian-two\?/],
      ["images rm hello", /'hello' is built in/],
      ["images rm", /no image named/],
      ["images rm --all debian", /both --all and 'debian'/],
    ] as const) {
      const { code, stderr } = await run(line);
      expect({ line, code }).toEqual({ line, code: 125 });
      expect(stderr).toMatch(message);
    }
    expect(JSON.parse(await output("images rm debian-two --json")).removed).toEqual(["debian-two"]);
    expect(readdirSync(join(cache, "files"))).toHaveLength(2); // debian has the same ones
    await output("images rm --all");
    expect(readdirSync(join(cache, "files"))).toEqual([]);
    expect(existsSync(join(cache, "lock"))).toBe(false);
    const nowhere = { REALMBOX_CACHE: join(cwd, "nowhere") };
    expect((await run("images rm --all", nowhere)).code).toBe(0);
    expect(existsSync(nowhere.REALMBOX_CACHE)).toBe(false);
  });
  test("alone: its help", async () => {
    const { code, stdout, stderr } = await run("images");
    expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
    expect(stderr).toMatch(/fetch \[options\] <distribution>/);
  });
});

describe("images fetch: what is wrong before anything is fetched", () => {
  test.each([
    ["images fetch ubuntu", {}, /'ubuntu' cannot be fetched/],
    ["images fetch", {}, /missing required argument 'distribution'/],
    ["images fetch debian --suite ../x", {}, /'--suite': '\.\.\/x' is no suite/],
    ["images fetch debian --name a/b", {}, /'--name': 'a\/b' cannot name an image/],
    ["images fetch debian --name hello", {}, /'hello' is a built-in image/],
    ["images fetch debian --kernel-flavour rt", {}, /Allowed choices are arm64, cloud-arm64/],
    ["images fetch debian --keyring ./nokeys", {}, /'--keyring': cannot read '\.\/nokeys'/],
    ["images fetch debian", { PATH: "/nonexistent" }, /there is no apt .*\n {2}name a Debian mirror: .*--mirror URL/],
  ] as const)("%s", async (line, env, message) => {
    const { code, stderr } = await run(line, { REALMBOX_CACHE: cache, ...env });
    expect(code).toBe(125);
    expect(stderr).toMatch(message);
  });
});
