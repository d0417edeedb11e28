/**
 * The cache: fetched images and downloads, under $REALMBOX_CACHE, else $XDG_CACHE_HOME/realmbox, else ~/.cache/realmbox.
 *
 *     images/NAME.json   an image's record: what it is, and which files it consists of
 *     files/SHA256       those files, by their hash
 *     downloads/         packages on their way, apt's private root; empty after a fetch
 *     lock               held by the one process that fetches or removes
 *
 * Invariants: a record appears whole or not at all (written aside, then renamed), and only after its files; a file is
 * removed only by the holder of the lock, and only when no record names it. So readers need no lock.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { homedir, hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ImagesError, interrupted } from "./error.js";

export interface StoredFile {
  /** Hexadecimal; also the file's name. */
  readonly sha256: string;
  readonly size: number;
}

/** What the cache knows of a fetched image. */
export interface ImageRecord {
  readonly schemaVersion: 1;
  readonly name: string;
  readonly distribution: "debian";
  readonly suite: string;
  readonly flavour: string;
  /** Where the packages came from, in words. */
  readonly source: string;
  /** ISO 8601. */
  readonly fetched: string;
  /** Another one when a later realmbox makes another image of the same packages. */
  readonly recipe: string;
  readonly kernel: StoredFile & {
    readonly version: string;
    readonly banner: string;
    readonly realmAware: boolean;
  };
  readonly initramfs: StoredFile & { readonly modules: readonly string[]; readonly missing: readonly string[] };
  /** The default kernel parameters, and those of a realm behind them. */
  readonly params: string;
  readonly realmParams: string;
  readonly packages: readonly { readonly name: string; readonly version: string; readonly sha256: string }[];
}

/** Where the cache is. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const { REALMBOX_CACHE: own, XDG_CACHE_HOME: xdg } = environment;
  if (own !== undefined && own !== "") return own;
  return join(xdg?.startsWith("/") ? xdg : join(homedir(), ".cache"), "realmbox");
}

/** A lock's holder renews it this often; one that is older than the limit was left behind. */
const RENEW_MS = 2_000;
const STALE_MS = 60_000;

export class ImageStore {
  readonly folder: string;

  constructor(folder: string = cacheFolder()) {
    this.folder = folder;
  }

  /** The records of all images, by name. */
  list(): readonly ImageRecord[] {
    const folder = join(this.folder, "images");
    if (!existsSync(folder)) return [];
    return readdirSync(folder)
      .filter((file) => file.endsWith(".json"))
      .map((file) => file.slice(0, -".json".length))
      .sort()
      .flatMap((name) => this.find(name) ?? []);
  }

  /** The record of an image; undefined when there is none, or none that this realmbox can read. */
  find(name: string): ImageRecord | undefined {
    if (!isImageName(name)) return undefined;
    let record: ImageRecord;
    try {
      record = JSON.parse(readFileSync(this.#record(name), "utf8"));
    } catch {
      return undefined;
    }
    const sound = (file: StoredFile | undefined) => /^[0-9a-f]{64}$/.test(file?.sha256 ?? "");
    return record.schemaVersion === 1 &&
      typeof record.realmParams === "string" &&
      record.name === name &&
      sound(record.kernel) &&
      sound(record.initramfs)
      ? record
      : undefined;
  }

  /** Where a file of a record is. */
  path({ sha256 }: StoredFile): string {
    return join(this.folder, "files", sha256);
  }

  /** Reads a file of a record; `ImagesError` when it is gone or another one. */
  read(file: StoredFile, image: string): Uint8Array {
    let bytes: Uint8Array;
    try {
      const buffer = readFileSync(this.path(file));
      bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    } catch (error) {
      throw new ImagesError(
        "not-found",
        `the image '${image}' is damaged: ${(error as NodeJS.ErrnoException).code} on ${this.path(file)}`,
        `fetch it again: realmbox images rm ${image}, then realmbox images fetch`,
      );
    }
    if (bytes.length !== file.size) {
      throw new ImagesError(
        "bad-content",
        `the image '${image}' is damaged: ${this.path(file)} has ${bytes.length} bytes, not ${file.size}`,
        `fetch it again: realmbox images rm ${image}, then realmbox images fetch`,
      );
    }
    return bytes;
  }

  /** Puts a file in; under the lock. */
  add(bytes: Uint8Array): StoredFile {
    const file = { sha256: createHash("sha256").update(bytes).digest("hex"), size: bytes.length };
    if (!existsSync(this.path(file)) || statSync(this.path(file)).size !== file.size)
      this.#write(this.path(file), bytes);
    return file;
  }

  /** Makes an image known, in place of one of the same name; under the lock. */
  put(record: ImageRecord): void {
    this.#write(this.#record(record.name), Buffer.from(`${JSON.stringify(record, null, 2)}\n`));
    this.#sweep();
  }

  /** Forgets an image and the files that no other one has; under the lock. */
  remove(name: string): void {
    rmSync(this.#record(name), { force: true });
    this.#sweep();
  }

  /** A folder for downloads, which outlives an interrupted fetch. */
  downloads(...parts: readonly string[]): string {
    const folder = join(this.folder, "downloads", ...parts);
    this.#makeFolder(folder);
    return folder;
  }

  /** Removes everything that was downloaded; under the lock. */
  removeDownloads(): void {
    rmSync(join(this.folder, "downloads"), { recursive: true, force: true });
  }

  /** Does something as the only process that changes the cache. */
  async locked<T>(
    { waiting, signal }: { readonly waiting: (holder: string) => void; readonly signal: AbortSignal },
    action: () => Promise<T>,
  ): Promise<T> {
    const path = join(this.folder, "lock");
    this.#makeFolder(this.folder);
    const own = `${hostname()} ${process.pid} ${randomBytes(8).toString("hex")}`;
    for (let told = false; !take(path, own); ) {
      if (signal.aborted) throw interrupted();
      if (!told) waiting(holderOf(path) ?? "another process");
      told = true;
      await sleep(200);
    }
    const renewal = setInterval(() => {
      if (holderOf(path) === own) utimesSync(path, new Date(), new Date());
    }, RENEW_MS);
    try {
      return await action();
    } finally {
      clearInterval(renewal);
      if (holderOf(path) === own) rmSync(path, { force: true });
    }
  }

  #record(name: string): string {
    return join(this.folder, "images", `${name}.json`);
  }

  /** Removes files that no record names, and what an interrupted write left. */
  #sweep(): void {
    const used = new Set(this.list().flatMap(({ kernel, initramfs }) => [kernel.sha256, initramfs.sha256]));
    for (const part of ["files", "images"]) {
      const folder = join(this.folder, part);
      if (!existsSync(folder)) continue;
      for (const file of readdirSync(folder)) {
        if (file.startsWith(".new-") || (part === "files" && !used.has(file)))
          rmSync(join(folder, file), { force: true });
      }
    }
  }

  /** Writes a file aside, then gives it its name. */
  #write(path: string, bytes: Uint8Array): void {
    const folder = join(path, "..");
    this.#makeFolder(folder);
    const aside = join(folder, `.new-${randomBytes(8).toString("hex")}`);
    try {
      const fd = openSync(aside, "wx", 0o644);
      try {
        writeFileSync(fd, bytes);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(aside, path);
    } catch (error) {
      rmSync(aside, { force: true });
      throw cannotWrite(path, error);
    }
  }

  /** With the folders above it, one by one: Node's recursive form never ends where none can be made, as in /proc. */
  #makeFolder(folder: string): void {
    const missing: string[] = [];
    for (let path = folder; !existsSync(path) && dirname(path) !== path; path = dirname(path)) missing.unshift(path);
    for (const path of missing) {
      try {
        mkdirSync(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw cannotWrite(path, error);
      }
    }
  }
}

/** Whether a text can name an image: no path, no option. */
export const isImageName = (name: string): boolean => /^[a-z0-9][a-z0-9._+-]{0,63}$/i.test(name);

/** Takes the lock when it is free or left behind. */
function take(path: string, own: string): boolean {
  try {
    writeFileSync(path, own, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw cannotWrite(path, error);
  }
  const holder = holderOf(path);
  if (holder === undefined || !isLeftBehind(path, holder)) return false;
  // Two processes may see this: only the one whose rename takes that very lock away goes on, and puts back any other.
  const aside = `${path}.${randomBytes(8).toString("hex")}`;
  try {
    renameSync(path, aside);
    if (holderOf(aside) === holder) rmSync(aside, { force: true });
    else renameSync(aside, path);
  } catch {
    // Somebody else was faster.
  }
  return false;
}

function holderOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function isLeftBehind(path: string, holder: string): boolean {
  try {
    if (Date.now() - statSync(path).mtimeMs > STALE_MS) return true;
  } catch {
    return false;
  }
  const [host, pid] = holder.split(" ");
  if (host !== hostname()) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

function cannotWrite(path: string, error: unknown): ImagesError {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  const why: Readonly<Record<string, string>> = {
    EACCES: "permission denied",
    EROFS: "the file system is read-only",
    ENOSPC: "no space is left",
    ENOTDIR: "a part of the path is a file",
    ENOENT: "folders cannot be made there",
  };
  return new ImagesError(
    "environment",
    `cannot write '${path}': ${why[code] ?? code}`,
    "REALMBOX_CACHE=FOLDER puts the cache elsewhere",
  );
}
