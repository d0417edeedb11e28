/** Fetching from a mirror: a small archive made and signed here, over HTTP on this machine, with what can go wrong. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { fetchDebian } from "./fetch-debian.js";
import { type MirrorOptions, mirrorSource } from "./mirror.js";
import { silent } from "./progress.js";
import { ImageStore } from "./store.js";
import {
  type Archive,
  type ArchiveOptions,
  cutAfter,
  kernelPackages,
  makeArchive,
  makeBusybox,
  makeDeb,
  newKey,
  type SigningKey,
  serve,
} from "./test-archive.oracle.js";

const root = mkdtempSync(join(tmpdir(), "realmbox-mirror-"));
let key: SigningKey;
let strangersKey: SigningKey;
let keyring: string;
const servers: { close: () => Promise<void> }[] = [];
beforeAll(async () => {
  key = await newKey();
  strangersKey = await newKey();
  keyring = join(root, "keys.asc");
  writeFileSync(keyring, key.armored);
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
afterAll(() => rmSync(root, { recursive: true }));

let count = 0;
async function mirrorOf(archive: Archive, options?: Parameters<typeof serve>[1]) {
  const server = await serve(archive, options);
  servers.push(server);
  const store = new ImageStore(join(root, `cache${count++}`));
  const fetchFrom = async (more: Partial<MirrorOptions> = {}) => {
    const source = await mirrorSource({
      ...{ mirror: server.url, suite: "sid", keyring, folder: store.downloads("mirror"), allowExpired: false },
      ...{ progress: silent, signal: new AbortController().signal, retryMs: 5, stallMs: 500 },
      ...more,
    });
    return fetchDebian(store, source, { name: "debian", suite: "sid", flavour: "arm64", force: false }, silent);
  };
  return { ...server, store, fetchFrom };
}
const archive = (options?: ArchiveOptions) => makeArchive(key, options);

describe("a good archive", () => {
  test("becomes an image; the same one is not fetched again", async () => {
    const { fetchFrom, store, requests } = await mirrorOf(await archive());
    const { record, unchanged } = await fetchFrom();
    expect(unchanged).toBe(false);
    expect(record).toMatchObject({
      name: "debian",
      suite: "sid",
      params: "cryptomgr.notests=1",
      realmParams: "swiotlb=8192",
    });
    expect(record.kernel).toMatchObject({
      version: "7.0.0-arm64",
      realmAware: true,
      banner: expect.stringContaining("#1"),
    });
    expect(record.initramfs.missing).toEqual([]);
    const order = record.initramfs.modules;
    for (const [before, after] of [
      ["crc32c_generic", "jbd2"],
      ["jbd2", "ext4"],
      ["configfs", "tsm_report"],
      ["tsm_report", "arm_cca_guest"],
    ] as const) {
      expect(order.indexOf(before)).toBeGreaterThanOrEqual(0);
      expect(order.indexOf(before)).toBeLessThan(order.indexOf(after));
    }
    expect(store.find("debian")).toEqual(record);
    const before = requests.length;
    expect(await fetchFrom()).toEqual({ record, unchanged: true });
    expect(requests.slice(before).filter(({ path }) => path.endsWith(".deb"))).toEqual([]);
  });
  test("with the kernel in one package, in /boot; modules that it lacks are told", async () => {
    const packages = [
      ...(await kernelPackages("6.12.1-arm64", { parted: false })),
      { name: "busybox-static", version: "1:1.37", file: await makeDeb({ "./bin/busybox": makeBusybox() }) },
    ];
    const { fetchFrom } = await mirrorOf(await archive({ packages, byHash: false, validUntil: undefined }));
    const { record } = await fetchFrom();
    expect(record.kernel).toMatchObject({ version: "6.12.1-arm64", realmAware: false });
    expect(record.initramfs.missing).toEqual(["tsm_report", "arm_cca_guest"]);
  });
  test("is found by its suite's name, too; the newest of several kernels is taken", async () => {
    const old = (await kernelPackages("6.9.0-arm64", { parted: true })).map((one) =>
      one.name === "linux-image-arm64" ? { ...one, version: "0.9~rc1-1" } : one,
    );
    const packages = [
      ...old,
      ...(await kernelPackages("7.0.0-arm64", { parted: true })),
      { name: "busybox-static", version: "1:1.38", file: await makeDeb({ "./bin/busybox": makeBusybox() }) },
    ];
    const made = await archive({ packages });
    for (const [path, bytes] of [...made.files]) made.files.set(path.replace("dists/sid", "dists/unstable"), bytes);
    const { fetchFrom } = await mirrorOf(made);
    expect((await fetchFrom({ suite: "unstable" })).record.kernel.version).toBe("7.0.0-arm64");
  });
});

describe("what is not trusted is refused, and leaves no image", () => {
  const HOUR = 3_600_000;
  test.each<[string, ArchiveOptions, RegExp]>([
    ["expired", { validUntil: new Date(Date.now() - HOUR) }, /InRelease has expired: it was valid until \w{3}, \d+/],
    ["of the future", { date: new Date(Date.now() + 48 * HOUR) }, /not trusted: .*future|InRelease is of the future/],
    [
      "another suite",
      { edit: (text) => text.replace("Suite: unstable\nCodename: sid", "Suite: stable\nCodename: old") },
      /is not of sid: its suite is 'stable', its codename 'old'/,
    ],
    ["no hashes", { edit: (text) => text.replace("SHA256:", "MD5Sum:") }, /names no files by SHA-256/],
    [
      "no packages for arm64",
      { edit: (text) => text.replaceAll("binary-arm64", "binary-riscv64") },
      /has no packages for arm64/,
    ],
  ])("%s", async (_, options, message) => {
    const { fetchFrom, store } = await mirrorOf(await archive(options));
    await expect(fetchFrom()).rejects.toThrow(message);
    expect(store.list()).toEqual([]);
  });
  test("expired, but the user allows it", async () => {
    const { fetchFrom } = await mirrorOf(await archive({ validUntil: new Date(Date.now() - HOUR) }));
    expect((await fetchFrom({ allowExpired: true })).unchanged).toBe(false);
  });
  test("signed by a stranger", async () => {
    const { fetchFrom } = await mirrorOf(await archive({ signer: strangersKey.privateKey }));
    await expect(fetchFrom()).rejects.toThrow(/signed by keys that the keyring does not hold \([0-9a-f]{16}\)/);
  });
  test("the signed text was changed", async () => {
    const made = await archive();
    const path = "dists/sid/InRelease";
    const text = Buffer.from(made.files.get(path)!).toString();
    made.files.set(path, Buffer.from(text.replace("Acquire-By-Hash: yes", "Acquire-By-Hash: not")));
    const { fetchFrom } = await mirrorOf(made);
    await expect(fetchFrom()).rejects.toThrow(/InRelease is not trusted: .*(digest|verif|signature)/i);
  });
  test("text around the signed text is not read", async () => {
    const made = await archive({ validUntil: new Date(Date.now() - HOUR) });
    const path = "dists/sid/InRelease";
    const text = Buffer.from(made.files.get(path)!).toString();
    made.files.set(
      path,
      Buffer.from(
        `Valid-Until: Fri, 01 Jan 2100 00:00:00 GMT\n\n${text}\nValid-Until: Fri, 01 Jan 2100 00:00:00 GMT\n`,
      ),
    );
    const { fetchFrom } = await mirrorOf(made);
    await expect(fetchFrom()).rejects.toThrow(/not trusted|expired/);
  });
  test.each([
    ["not signed", "Suite: unstable\nCodename: sid\n", /not trusted: it is not a signed file/],
    ["empty", "", /not trusted: it is not a signed file/],
  ])("%s", async (_, text, message) => {
    const made = await archive();
    made.files.set("dists/sid/InRelease", Buffer.from(text));
    const { fetchFrom } = await mirrorOf(made);
    await expect(fetchFrom()).rejects.toThrow(message);
  });
  test("an index with another hash", async () => {
    const made = await archive();
    for (const [path, bytes] of made.files) {
      if (/Packages\.gz|by-hash/.test(path))
        made.files.set(
          path,
          Uint8Array.from(bytes, (byte, i) => (i === 40 ? byte ^ 1 : byte)),
        );
    }
    const { fetchFrom } = await mirrorOf(made);
    await expect(fetchFrom()).rejects.toThrow(/the index of sid is not what the archive's index says: its SHA-256/);
  });
  test("a package with another hash, a larger one, a shorter one", async () => {
    const made = await archive();
    const path = [...made.files.keys()].find((name) => name.includes("busybox"))!;
    const bytes = made.files.get(path)!;
    for (const [content, message] of [
      [
        Uint8Array.from(bytes, (byte, i) => (i === 100 ? byte ^ 1 : byte)),
        /busybox-static 1:1\.38\.0-3 is not what .* SHA-256/,
      ],
      [Buffer.concat([bytes, bytes]), /busybox-static 1:1\.38\.0-3 is not what .* larger/],
      [bytes.subarray(0, 100), /cut the connection: 100 B of \d+ B of busybox-static 1:1\.38\.0-3 are here/],
    ] as const) {
      made.files.set(path, content);
      const { fetchFrom, store } = await mirrorOf(made);
      await expect(fetchFrom()).rejects.toThrow(message);
      expect(store.list()).toEqual([]);
    }
  });
  test.each([
    ["a keyring that is none", "rubbish", /is no keyring/],
    ["an empty keyring", "", /is no keyring/],
  ])("%s", async (_, content, message) => {
    const { fetchFrom } = await mirrorOf(await archive());
    const path = join(root, "other.asc");
    writeFileSync(path, content);
    await expect(fetchFrom({ keyring: path })).rejects.toThrow(message);
  });
  test("a keyring of several armoured blocks holds all their keys", async () => {
    const { fetchFrom } = await mirrorOf(await archive());
    const path = join(root, "several.asc");
    writeFileSync(path, `${strangersKey.armored}\n${key.armored}`);
    expect((await fetchFrom({ keyring: path })).unchanged).toBe(false);
  });
});

describe("the network", () => {
  test("a cut connection is resumed where it broke", async () => {
    const { fetchFrom, state, requests, store } = await mirrorOf(await archive());
    state.fault = cutAfter(300);
    await expect(fetchFrom()).resolves.toMatchObject({ unchanged: false });
    const ranges = requests.filter(({ range }) => range !== undefined).map(({ range }) => range);
    expect(ranges).toContain("bytes=300-");
    expect(store.list()).toHaveLength(1);
  });
  test("what an ended process left is resumed by the next", async () => {
    const { fetchFrom, state, requests, store } = await mirrorOf(await archive());
    const abort = new AbortController();
    state.fault = (path, _request, response, content) => {
      if (!path.includes("linux-modules")) return false;
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, 200));
      setTimeout(() => abort.abort(), 50);
      return true;
    };
    await expect(fetchFrom({ signal: abort.signal })).rejects.toThrow(/^interrupted$/);
    expect(store.list()).toEqual([]);
    const parts = readdirSync(store.downloads("mirror")).filter((file) => file.endsWith(".part"));
    expect(parts).toHaveLength(1);
    state.fault = undefined;
    const before = requests.length;
    await fetchFrom();
    expect(requests.slice(before).filter(({ range }) => range === "bytes=200-")).toHaveLength(1);
  });
  test("a part that is rubbish is thrown away", async () => {
    const { fetchFrom, store } = await mirrorOf(await archive());
    await fetchFrom();
    const sha = store.find("debian")!.packages.find(({ name }) => name === "busybox-static")!.sha256;
    store.remove("debian");
    rmSync(join(store.downloads("mirror"), `${sha}.deb`));
    writeFileSync(join(store.downloads("mirror"), `${sha}.deb.part`), "rubbish");
    await fetchFrom();
    expect(store.list()).toHaveLength(1);
  });
  test("a server without ranges, and one that stops sending", async () => {
    const { fetchFrom, state } = await mirrorOf(await archive(), { ranges: false });
    let stopped = 0;
    state.fault = (path, _request, response, content) => {
      if (!path.includes("busybox") || stopped++ > 0) return false;
      response.writeHead(200, { "content-length": content.length });
      response.write(content.subarray(0, 50));
      return true;
    };
    expect((await fetchFrom({ stallMs: 200 })).unchanged).toBe(false);
    expect(stopped).toBe(2);
  });
  test("errors that pass are tried again, others are told at once", async () => {
    const { fetchFrom, state, requests } = await mirrorOf(await archive());
    let failures = 2;
    state.fault = (path, _request, response) => {
      if (!path.endsWith(".deb") || failures-- <= 0) return false;
      response.writeHead(503).end();
      return true;
    };
    expect((await fetchFrom()).unchanged).toBe(false);
    const forbidden = await mirrorOf(await archive());
    forbidden.state.fault = (path, _request, response) => {
      if (!path.endsWith(".deb")) return false;
      response.writeHead(403).end();
      return true;
    };
    await expect(forbidden.fetchFrom()).rejects.toThrow(/the server answers 403/);
    expect(forbidden.requests.filter(({ path }) => path.endsWith(".deb"))).toHaveLength(1);
    expect(requests.length).toBeGreaterThan(3);
  });
  test("404: no such suite, a package that is gone", async () => {
    const made = await archive();
    const { fetchFrom } = await mirrorOf(made);
    await expect(fetchFrom({ suite: "nosuch" })).rejects.toThrow(/dists\/nosuch\/InRelease: not found \(404\)/);
    made.files.delete([...made.files.keys()].find((path) => path.includes("linux-binary"))!);
    await expect(fetchFrom()).rejects.toThrow(/linux-binary.*not found \(404\)/);
  });
  test("offline", async () => {
    const { fetchFrom, close } = await mirrorOf(await archive());
    await close();
    servers.pop();
    await expect(fetchFrom()).rejects.toThrow(/^cannot fetch from 127\.0\.0\.1:\d+: it refuses connections$/);
    await expect(fetchFrom({ mirror: "http://realmbox.invalid/debian" })).rejects.toThrow(
      /^cannot fetch from realmbox\.invalid: (there is no such host|its name cannot be resolved)/,
    );
  });
  test.each([
    ["nonsense", /'--mirror': 'nonsense' is no URL/],
    ["ftp://host/debian", /is neither http nor https/],
  ])("mirror %s", async (mirror, message) => {
    const { fetchFrom } = await mirrorOf(await archive());
    await expect(fetchFrom({ mirror })).rejects.toThrow(message);
  });
});

test("two processes at once: the second waits, then has nothing to do", async () => {
  const { fetchFrom, store, requests } = await mirrorOf(await archive());
  const waiting: string[] = [];
  const { signal } = new AbortController();
  const one = () => store.locked({ waiting: (holder) => waiting.push(holder), signal }, () => fetchFrom());
  const [first, second] = await Promise.all([one(), one()]);
  expect([first.unchanged, second.unchanged].sort()).toEqual([false, true]);
  expect(waiting).toHaveLength(1);
  expect(requests.filter(({ path }) => path.includes("busybox"))).toHaveLength(1);
  expect(existsSync(join(store.folder, "lock"))).toBe(false);
  expect(readFileSync(store.path(first.record.kernel)).length).toBe(first.record.kernel.size);
});
