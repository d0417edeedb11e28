/** The readers and writers of archives, each with an outside program or hostile input. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { readAr } from "./ar.js";
import { latin1, utf8 } from "./bytes.js";
import { type CpioContent, cpioArchive } from "./cpio.js";
import { readDeb } from "./deb.js";
import { makeAr, makeDeb, makeTar } from "./test-archive.oracle.js";
import { compressionOf, unpack, unpackSync } from "./unpack.js";

const folder = mkdtempSync(join(tmpdir(), "realmbox-archives-"));
afterAll(() => rmSync(folder, { recursive: true }));

const have = (command: string): boolean => {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};

describe("ar", () => {
  test("members with odd and even sizes, names with a slash", () => {
    const archive = makeAr([
      ["one", utf8("abc")],
      ["two/", utf8("de")],
      ["three", utf8("")],
    ]);
    expect(readAr(archive).map(({ name, bytes }) => [name, latin1(bytes)])).toEqual([
      ["one", "abc"],
      ["two", "de"],
      ["three", ""],
    ]);
  });
  test.each([
    ["nothing", utf8("")],
    ["another file", utf8("PK\x03\x04 and more")],
    ["cut in a header", makeAr([["a", utf8("abcd")]]).subarray(0, 40)],
    ["cut in a member", makeAr([["a", utf8("abcd")]]).subarray(0, 70)],
    ["a size that is no number", utf8(`!<arch>\n${"a".padEnd(48)}${"x1".padEnd(10)}\`\n`)],
    ["a size beyond the file", utf8(`!<arch>\n${"a".padEnd(48)}${"9999999999"}\`\n`)],
  ])("%s is refused", (_, archive) => {
    expect(() => readAr(archive)).toThrow(/not a Debian package/);
  });
});

describe("cpio", () => {
  const entries = new Map<string, CpioContent>([
    ["init", { kind: "file", mode: 0o755, bytes: utf8("#!/bin/sh\n") }],
    ["bin/busybox", { kind: "file", mode: 0o755, bytes: new Uint8Array(4097).fill(7) }],
    ["bin/sh", { kind: "link", target: "busybox" }],
    ["dev/console", { kind: "character-device", mode: 0o600, major: 5, minor: 1 }],
    ["tmp", { kind: "folder", mode: 0o1777 }],
    ["lib/modules/7.2.13+deb14-arm64/kernel/a.ko", { kind: "file", mode: 0o644, bytes: utf8("x") }],
    ["empty", { kind: "file", mode: 0o644, bytes: new Uint8Array() }],
  ]);
  test("the same entries in any order give the same bytes", () => {
    const archive = cpioArchive(entries);
    expect(cpioArchive(new Map([...entries].reverse()))).toEqual(archive);
    expect(archive.length % 4).toBe(0);
  });
  test.skipIf(!have("cpio"))("GNU cpio lists what was put in, folders before what they hold", () => {
    const listing = execFileSync("cpio", ["-itv", "--numeric-uid-gid", "--quiet"], {
      input: cpioArchive(entries),
      encoding: "utf8",
      env: { ...process.env, TZ: "UTC", LC_ALL: "C" },
    });
    const rows = listing
      .trim()
      .split("\n")
      .map((line) => line.replace(/\s+/g, " "));
    expect(rows).toEqual([
      "drwxr-xr-x 2 0 0 0 Jan 1 1970 bin",
      "-rwxr-xr-x 1 0 0 4097 Jan 1 1970 bin/busybox",
      "lrwxrwxrwx 1 0 0 7 Jan 1 1970 bin/sh -> busybox",
      "drwxr-xr-x 2 0 0 0 Jan 1 1970 dev",
      "crw------- 1 0 0 5, 1 Jan 1 1970 dev/console",
      "-rw-r--r-- 1 0 0 0 Jan 1 1970 empty",
      "-rwxr-xr-x 1 0 0 10 Jan 1 1970 init",
      "drwxr-xr-x 2 0 0 0 Jan 1 1970 lib",
      "drwxr-xr-x 2 0 0 0 Jan 1 1970 lib/modules",
      "drwxr-xr-x 2 0 0 0 Jan 1 1970 lib/modules/7.2.13+deb14-arm64",
      "drwxr-xr-x 2 0 0 0 Jan 1 1970 lib/modules/7.2.13+deb14-arm64/kernel",
      "-rw-r--r-- 1 0 0 1 Jan 1 1970 lib/modules/7.2.13+deb14-arm64/kernel/a.ko",
      "drwxrwxrwt 2 0 0 0 Jan 1 1970 tmp",
    ]);
  });
  test.skipIf(!have("cpio"))("GNU cpio extracts the same bytes", () => {
    const files = new Map([...entries].filter(([, { kind }]) => kind === "file"));
    execFileSync("cpio", ["-idm", "--quiet"], { input: cpioArchive(files), cwd: folder });
    for (const [path, content] of files) {
      if (content.kind === "file") expect(new Uint8Array(readFileSync(join(folder, path)))).toEqual(content.bytes);
    }
  });
});

describe("unpack", () => {
  // What `xz` and `zstd` make of this text.
  const XZ = Buffer.from(
    "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4AATAA5dADQZSe6N74yHMfUvZAAAAAAAsEiFWdeprksAASoUfq03VR+2830BAAAAAARZWg==",
    "base64",
  );
  const ZSTD = Buffer.from("KLUv/QRYdQAAQGhlbGxvLCAKAQDiihEhaZ2H", "base64");
  const limits = { what: "it", sizeMax: 1000 };
  const text = "hello, hello, hello\n";
  test("xz", async () => {
    const made = XZ;
    expect(compressionOf(made)).toBe("xz");
    expect(latin1(await unpack(made, limits))).toBe(text);
    await expect(unpack(made.subarray(0, made.length - 20), limits)).rejects.toThrow(/it cannot be unpacked/);
    await expect(unpack(made, { what: "it", sizeMax: 5 })).rejects.toThrow(/it cannot be unpacked: more than 5 bytes/);
  });
  test("zstd", async () => {
    const made = ZSTD;
    expect(compressionOf(made)).toBe("zstd");
    expect(latin1(await unpack(made, limits))).toBe(text);
    expect(() => unpackSync(made.subarray(0, 12), "zstd", limits)).toThrow(/it cannot be unpacked/);
    expect(() => unpackSync(made, "zstd", { what: "it", sizeMax: 5 })).toThrow(/more than 5 bytes/);
  });
  test("gzip, with bytes behind it; cut; a bomb", async () => {
    const made = gzipSync(text);
    expect(latin1(await unpack(Buffer.concat([made, Buffer.alloc(8)]), limits))).toBe(text);
    expect(() => unpackSync(made.subarray(0, 20), "gzip", limits)).toThrow(/it cannot be unpacked: unexpected end/);
    expect(() => unpackSync(gzipSync(Buffer.alloc(1 << 20)), "gzip", limits)).toThrow(/it cannot be unpacked/);
  });
  test("other bytes pass", async () => {
    expect(compressionOf(utf8("text"))).toBeUndefined();
    expect(latin1(await unpack(utf8("text"), limits))).toBe("text");
  });
});

describe("deb", () => {
  const read = (file: Uint8Array) => readDeb(file, { what: "p", wanted: () => true });
  test("regular files by their paths; nothing that leads out of the package", async () => {
    const files = await read(
      await makeDeb({
        "./usr/bin/busybox": utf8("b"),
        "/etc/passwd": utf8("inside"),
        "../../../tmp/evil": utf8("out"),
        "./a/../../evil": utf8("out"),
        "./link": { link: "/etc" },
        "./link/evil": utf8("a path, no more"),
      }),
    );
    expect([...files].map(([path, bytes]) => [path, latin1(bytes)])).toEqual([
      ["usr/bin/busybox", "b"],
      ["etc/passwd", "inside"],
      ["link/evil", "a path, no more"],
    ]);
  });
  test("long names, and only what is wanted", async () => {
    const long = `./usr/lib/${"folder/".repeat(30)}file`;
    const deb = await makeDeb({ [long]: utf8("x"), "./other": utf8("y") });
    const files = await readDeb(deb, { what: "p", wanted: (path) => path.endsWith("/file") });
    expect([...files.keys()]).toEqual([long.slice(2)]);
  });
  test.each<[string, () => Promise<Uint8Array> | Uint8Array]>([
    ["no ar archive", () => utf8("rubbish")],
    ["no version", () => makeAr([["x", utf8("y")]])],
    ["an unknown version", () => makeAr([["debian-binary", utf8("3.0\n")]])],
    ["no data", () => makeAr([["debian-binary", utf8("2.0\n")]])],
    [
      "a cut tar",
      async () =>
        makeAr([
          ["debian-binary", utf8("2.0\n")],
          ["data.tar", (await makeTar({ a: new Uint8Array(2000) })).subarray(0, 1000)],
        ]),
    ],
    [
      "no tar",
      () =>
        makeAr([
          ["debian-binary", utf8("2.0\n")],
          ["data.tar", new Uint8Array(1024).fill(65)],
        ]),
    ],
    [
      "cut compression",
      async () =>
        makeAr([
          ["debian-binary", utf8("2.0\n")],
          ["data.tar.gz", gzipSync(await makeTar({ a: utf8("b") })).subarray(0, 30)],
        ]),
    ],
  ])("%s is refused", async (_, make) => {
    await expect(read(await make())).rejects.toThrow(/damaged|not a Debian package|cannot be unpacked/);
  });
  test.skipIf(!have("dpkg-deb"))("dpkg-deb makes what is read, and reads what is made here", async () => {
    const tree = join(folder, "tree");
    execFileSync("mkdir", ["-p", join(tree, "DEBIAN"), join(tree, "usr/bin")]);
    writeFileSync(
      join(tree, "DEBIAN/control"),
      "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a\n",
    );
    writeFileSync(join(tree, "usr/bin/x"), "content");
    execFileSync("dpkg-deb", ["-b", tree, join(folder, "p.deb")], { stdio: "ignore" });
    const files = await read(new Uint8Array(readFileSync(join(folder, "p.deb"))));
    expect([...files].map(([path, bytes]) => [path, latin1(bytes)])).toEqual([["usr/bin/x", "content"]]);
    writeFileSync(join(folder, "own.deb"), await makeDeb({ "./usr/bin/y": utf8("z") }));
    expect(execFileSync("dpkg-deb", ["-c", join(folder, "own.deb")], { encoding: "utf8" })).toMatch(/usr\/bin\/y$/m);
  });
});
