/** The cache: where it is, records that appear whole, files that nobody needs, and the lock between processes. */
import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { progressOn, sizeText } from "./progress.js";
import { cacheFolder, type ImageRecord, ImageStore, isImageName } from "./store.js";

const root = mkdtempSync(join(tmpdir(), "realmbox-store-"));
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;
const newStore = () => new ImageStore(join(root, `cache${count++}`));

const record = (store: ImageStore, name: string, kernel: string): ImageRecord => ({
  ...{ schemaVersion: 1, name, distribution: "debian", suite: "sid", flavour: "arm64", source: "a test", recipe: "x" },
  ...{ fetched: "2026-11-20T00:00:00.000Z", params: "", realmParams: "", packages: [] },
  kernel: { ...store.add(Buffer.from(kernel)), version: "7", banner: "Linux version 7", realmAware: true },
  initramfs: { ...store.add(Buffer.from("initramfs")), modules: [], missing: [] },
});

test("where the cache is", () => {
  expect(cacheFolder({ REALMBOX_CACHE: "/own", XDG_CACHE_HOME: "/xdg" })).toBe("/own");
  expect(cacheFolder({ XDG_CACHE_HOME: "/xdg" })).toBe("/xdg/realmbox");
  expect(cacheFolder({ XDG_CACHE_HOME: "relative" })).toMatch(/\/\.cache\/realmbox$/);
  expect(cacheFolder({ REALMBOX_CACHE: "" })).toMatch(/\/\.cache\/realmbox$/);
});

test("names of images", () => {
  for (const name of ["debian", "debian-sid", "a.b_c+d"]) expect(isImageName(name)).toBe(true);
  for (const name of ["", "-x", ".x", "a/b", "a b", "..", "x".repeat(80)]) expect(isImageName(name)).toBe(false);
});

describe("records and files", () => {
  test("put, find, list, replace, remove; files go with their last record", () => {
    const store = newStore();
    expect(store.list()).toEqual([]);
    store.put(record(store, "one", "kernel 1"));
    store.put(record(store, "two", "kernel 1"));
    expect(store.list().map(({ name }) => name)).toEqual(["one", "two"]);
    const files = () => readdirSync(join(store.folder, "files")).length;
    expect(files()).toBe(2);
    store.put(record(store, "one", "kernel 2"));
    expect(files()).toBe(3);
    expect(Buffer.from(store.read(store.find("one")!.kernel, "one")).toString()).toBe("kernel 2");
    store.remove("one");
    expect(files()).toBe(2);
    store.remove("two");
    expect(files()).toBe(0);
  });
  test("what an interrupted write left goes with the next change", () => {
    const store = newStore();
    store.put(record(store, "one", "k"));
    writeFileSync(join(store.folder, "files/.new-0123"), "half");
    writeFileSync(join(store.folder, "images/.new-0123"), "half");
    store.put(record(store, "one", "k"));
    expect(readdirSync(join(store.folder, "files"))).toHaveLength(2);
    expect(readdirSync(join(store.folder, "images"))).toEqual(["one.json"]);
  });
  test.each([
    ["no JSON", "{"],
    ["another version", JSON.stringify({ schemaVersion: 2, name: "one" })],
    [
      "a path in the place of a hash",
      JSON.stringify({ schemaVersion: 1, name: "one", realmParams: "", kernel: { sha256: "../../etc/passwd" } }),
    ],
    ["another name", JSON.stringify({ schemaVersion: 1, name: "two" })],
  ])("a record that is none: %s", (_, text) => {
    const store = newStore();
    store.put(record(store, "one", "k"));
    writeFileSync(join(store.folder, "images/one.json"), text);
    expect(store.find("one")).toBeUndefined();
    expect(store.list()).toEqual([]);
  });
  test("files that are gone, or cut", () => {
    const store = newStore();
    store.put(record(store, "one", "kernel"));
    const { kernel } = store.find("one")!;
    writeFileSync(store.path(kernel), "ker");
    expect(() => store.read(kernel, "one")).toThrow(/the image 'one' is damaged: .* has 3 bytes, not 6/);
    rmSync(store.path(kernel));
    expect(() => store.read(kernel, "one")).toThrow(/the image 'one' is damaged: ENOENT/);
  });
  test("a place that cannot be written", () => {
    const file = join(root, "a-file");
    writeFileSync(file, "");
    expect(() => new ImageStore(join(file, "cache")).add(Buffer.from("x"))).toThrow(
      /cannot write .*: a part of the path is a file/,
    );
    if (existsSync("/proc/self")) {
      expect(() => new ImageStore("/proc/realmbox/cache").downloads()).toThrow(
        /cannot write '\/proc\/realmbox': folders cannot be made there/,
      );
    }
    if (process.getuid?.() === 0) return; // root may write anywhere
    const closed = join(root, "closed");
    mkdirSync(closed);
    chmodSync(closed, 0o500);
    expect(() => new ImageStore(join(closed, "cache")).add(Buffer.from("x"))).toThrow(/permission denied/);
  });
});

describe("the lock", () => {
  const { signal } = new AbortController();
  test("one at a time; released after an error, too", async () => {
    const store = newStore();
    let inside = 0;
    const action = async () => {
      expect(++inside).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 20));
      inside--;
    };
    await Promise.all(Array.from({ length: 5 }, () => store.locked({ waiting: () => {}, signal }, action)));
    const failing = store.locked({ waiting: () => {}, signal }, async () => Promise.reject(new Error("no")));
    await expect(failing).rejects.toThrow("no");
    expect(existsSync(join(store.folder, "lock"))).toBe(false);
  });
  test("of a process that is gone is taken over; of a living one waited for, until the user ends it", async () => {
    const store = newStore();
    mkdirSync(store.folder, { recursive: true });
    const child = spawn(process.execPath, ["-e", ""]);
    await new Promise((resolve) => child.on("close", resolve));
    const lock = join(store.folder, "lock");
    writeFileSync(lock, `${hostname()} ${child.pid} abc`);
    expect(await store.locked({ waiting: () => {}, signal }, async () => 7)).toBe(7);

    writeFileSync(lock, `${hostname()} ${process.pid} abc`);
    const abort = new AbortController();
    const told: string[] = [];
    const waiting = store.locked({ waiting: (holder) => told.push(holder), signal: abort.signal }, async () => 8);
    setTimeout(() => abort.abort(), 100);
    await expect(waiting).rejects.toThrow("interrupted");
    expect(told).toEqual([`${hostname()} ${process.pid} abc`]);
    expect(readFileSync(lock, "utf8")).toContain("abc");
  });
  test("of another machine is taken over when nobody renews it", async () => {
    const store = newStore();
    mkdirSync(store.folder, { recursive: true });
    const lock = join(store.folder, "lock");
    writeFileSync(lock, "elsewhere 1 abc");
    const old = new Date(Date.now() - 120_000);
    utimesSync(lock, old, old);
    expect(await store.locked({ waiting: () => {}, signal }, async () => 7)).toBe(7);
  });
});

test("progress: in place on a terminal, plain lines elsewhere", () => {
  const shown = (terminal: boolean) => {
    let text = "";
    let time = 0;
    const progress = progressOn((more) => (text += more), { terminal, now: () => (time += 60) });
    progress.step("first");
    for (const amount of ["1 %", "2 %", "3 %"]) progress.amount(amount);
    progress.step("second");
    progress.clear();
    return text;
  };
  expect(shown(false)).toBe("first\nsecond\n");
  expect(shown(true)).toBe("first\n\r\x1b[K2 %\r\x1b[Ksecond\n");
  expect([5, 1500, 110_000_000].map(sizeText)).toEqual(["5 B", "2 kB", "110.0 MB"]);
});
