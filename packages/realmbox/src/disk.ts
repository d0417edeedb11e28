/**
 * Disk images in files (`-d IMAGE[,ro]`): raw, read and written in place by position, synchronously.
 *
 * A write is in the operating system's hands when it returns: the end of realmbox, however sudden, loses nothing of it. A
 * flush is fdatasync: afterwards a power failure loses nothing either. An error at run time (no space, a bad medium) is
 * the guest's I/O error, and a line for the user, once for each kind.
 *
 * Two writers would destroy an image, and Node has no flock. So a writable image has a lock file with its owner's process
 * in the system's folder for temporary files, by device and inode of the image; the lock of a process that is gone is
 * void. This keeps realmbox from itself, on one computer; it does not keep other programs from the image, nor a reader
 * (`,ro`) from one that a later realmbox writes.
 */
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  type Stats,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Disk, DiskError } from "@realmbox/vmm";
import { UsageError } from "./cli/usage.js";

const SECTOR_SIZE = 512;
const OPTION = "option '-d, --disk'";

/** What the argument of `-d` says. */
export interface DiskSpec {
  readonly path: string;
  readonly readOnly: boolean;
}

/** `IMAGE[,ro]`; a comma that is not before `ro` belongs to the name. */
export function parseDisk(text: string): DiskSpec {
  if (text.endsWith(",direct")) {
    throw new UsageError(
      `${OPTION}: '${text}': images are not opened with O_DIRECT`,
      `write ${text.slice(0, -",direct".length)}`,
    );
  }
  const readOnly = text.endsWith(",ro");
  const path = readOnly ? text.slice(0, -",ro".length) : text;
  if (path === "") throw new UsageError(`${OPTION}: no file is named`, "for example -d disk.img");
  return { path, readOnly };
}

export interface FileDiskOptions {
  /** A line for the user about an error at run time. */
  readonly warn: (line: string) => void;
}

/** Opens the images of a command line in their order; `UsageError` says what is wrong with one. */
export function openDisks(arguments_: readonly string[], options: FileDiskOptions): FileDisk[] {
  const disks: FileDisk[] = [];
  try {
    for (const argument of arguments_) disks.push(FileDisk.open(parseDisk(argument), options));
    return disks;
  } catch (error) {
    for (const disk of disks) disk.close();
    throw error;
  }
}

export class FileDisk implements Disk {
  readonly path: string;
  readonly size: number;
  readonly readOnly: boolean;
  readonly #fd: number;
  readonly #lock: Lock | undefined;
  readonly #warn: (line: string) => void;
  readonly #warned = new Set<string>();

  private constructor({ path, readOnly }: DiskSpec, opened: Opened, { warn }: FileDiskOptions) {
    this.path = path;
    this.readOnly = readOnly;
    this.size = opened.size;
    this.#fd = opened.fd;
    this.#lock = opened.lock;
    this.#warn = warn;
  }

  static open(spec: DiskSpec, options: FileDiskOptions): FileDisk {
    const fd = openImage(spec);
    try {
      const stats = fstatSync(fd);
      checkImage(spec, stats);
      return new FileDisk(spec, { fd, size: stats.size, lock: takeLock(spec, stats) }, options);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  read(offset: number, into: Uint8Array): DiskError {
    return this.#attempt("read", () => {
      for (let done = 0; done < into.length; ) {
        const n = readSync(this.#fd, into, done, into.length - done, offset + done);
        if (n === 0) return "EIO"; // somebody has cut the file
        done += n;
      }
      return undefined;
    });
  }

  write(offset: number, from: Uint8Array): DiskError {
    return this.#attempt("write", () => {
      for (let done = 0; done < from.length; ) {
        const n = writeSync(this.#fd, from, done, from.length - done, offset + done);
        if (n === 0) return "EIO";
        done += n;
      }
      return undefined;
    });
  }

  flush(): DiskError {
    if (this.readOnly) return undefined;
    return this.#attempt("flush", () => {
      fdatasyncSync(this.#fd);
      return undefined;
    });
  }

  /** Gives file and lock back. */
  close(): void {
    this.#lock?.release();
    closeSync(this.#fd);
  }

  #attempt(what: string, access: () => DiskError): DiskError {
    const error = attempt(access);
    if (error === undefined || this.#warned.has(`${what} ${error}`)) return error;
    this.#warned.add(`${what} ${error}`);
    this.#warn(`disk '${this.path}': ${what} failed: ${error}; the guest gets an I/O error`);
    return error;
  }
}

interface Opened {
  readonly fd: number;
  readonly size: number;
  readonly lock: Lock | undefined;
}

/** An error of the operating system as a value. */
function attempt(access: () => DiskError): DiskError {
  try {
    return access();
  } catch (error) {
    return codeOf(error);
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? "EIO";

function openImage({ path, readOnly }: DiskSpec): number {
  try {
    return openSync(path, readOnly ? "r" : "r+");
  } catch (error) {
    const code = codeOf(error);
    const because = (why: string, hint?: string) => new UsageError(`${OPTION}: cannot open '${path}': ${why}`, hint);
    switch (code) {
      case "ENOENT":
        throw because("no such file", `make one: truncate -s 64M ${path}`);
      case "EISDIR":
        throw because("is a directory", "name a raw disk image");
      case "EACCES":
      case "EROFS":
      case "EPERM":
        throw readOnly
          ? because("permission denied")
          : because("it may not be written", `write -d ${path},ro for a read-only disk`);
      default:
        throw because(code);
    }
  }
}

function checkImage({ path }: DiskSpec, stats: Stats): void {
  const wrong = (why: string, hint: string) => new UsageError(`${OPTION}: '${path}' ${why}`, hint);
  if (stats.isDirectory()) throw wrong("is a directory", "name a raw disk image");
  if (!stats.isFile()) throw wrong("is not a regular file", "name a raw disk image");
  if (stats.size === 0 || stats.size % SECTOR_SIZE !== 0) {
    throw wrong(
      `has ${stats.size} bytes, not a positive multiple of ${SECTOR_SIZE}`,
      "images are raw; qcow2 and others must be converted first",
    );
  }
}

interface Lock {
  release(): void;
}

/** Takes the lock of a writable image; of a read-only one it only looks whether somebody writes. */
function takeLock({ path, readOnly }: DiskSpec, { dev, ino }: Stats): Lock | undefined {
  const folder = join(tmpdir(), `realmbox-locks-${process.getuid?.() ?? 0}`);
  const file = join(folder, `${dev}-${ino}`);
  for (let attempts = 0; attempts < 3; attempts++) {
    const owner = ownerOf(file);
    if (owner !== undefined) throw inUse(path, owner);
    if (readOnly) return undefined;
    // Linked when it is complete: nobody sees a lock without its owner.
    const mine = `${file}.${process.pid}`;
    const error = attempt(() => {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeFileSync(mine, identityOf(process.pid));
      linkSync(mine, file);
      return undefined;
    });
    attempt(() => void unlinkSync(mine));
    if (error === undefined) return { release: () => void attempt(() => void unlinkSync(file)) };
    if (error !== "EEXIST") {
      throw new UsageError(`${OPTION}: cannot lock '${path}' with '${file}': ${error}`);
    }
  }
  throw new UsageError(`${OPTION}: '${path}' is being opened by several processes`);
}

const inUse = (path: string, owner: number): UsageError =>
  owner === process.pid
    ? new UsageError(`${OPTION}: '${path}' is given twice`, "give each disk an image of its own, or share one with ,ro")
    : new UsageError(
        `${OPTION}: '${path}' is in use by another realmbox, process ${owner}`,
        "wait for its end, or use a copy",
      );

/** The living process that a lock file names; the file of a dead one is removed. */
function ownerOf(file: string): number | undefined {
  let content: string;
  try {
    content = readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
  const pid = Number.parseInt(content, 10);
  if (pid > 0 && isAlive(pid) && identityOf(pid) === content) return pid;
  attempt(() => void unlinkSync(file));
  return undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}

/** A process by number and, where /proc tells it, start time: numbers are given out again. */
function identityOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // proc(5): field 22, starttime; the name in field 2 may hold blanks and parentheses.
    return `${pid} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
  } catch {
    return `${pid}`;
  }
}
