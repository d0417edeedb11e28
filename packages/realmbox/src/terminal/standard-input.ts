/**
 * Standard input as a guest's console input, by what it is: a terminal, a pipe or socket, a file or another device. Nothing
 * is read before the guest asks, so that what a guest does not want stays there for whoever comes next.
 */
import { fstatSync, readFileSync, readSync } from "node:fs";
import { isatty } from "node:tty";
import type { ConsoleSource } from "../console-feed.js";

const STDIN = 0;
const CHUNK = 1 << 16;
const EMPTY = new Uint8Array(0);

/** A file, or a device that is always ready such as /dev/null: read when asked. */
class FileInput implements ConsoleSource {
  readonly interactive = false;
  #rest: Uint8Array = EMPTY;
  #ended = false;

  take(max: number): Uint8Array | undefined {
    if (this.#rest.length === 0 && !this.#ended) this.#read();
    if (this.#rest.length === 0) return undefined;
    const taken = this.#rest.subarray(0, max);
    this.#rest = this.#rest.subarray(max);
    return taken;
  }

  /** Whatever cannot be read (a folder, a broken disk) is at its end. */
  #read(): void {
    const chunk = new Uint8Array(CHUNK);
    try {
      this.#rest = chunk.subarray(0, readSync(STDIN, chunk));
    } catch {
      this.#rest = EMPTY;
    }
    this.#ended = this.#rest.length === 0;
  }
}

/** A pipe or a socket. The kernel's buffer and Node's hold what nobody has taken. */
class StreamInput implements ConsoleSource {
  readonly interactive = false;
  onReadable?: (() => void) | undefined;
  #isOpen = false;
  #rest: Uint8Array = EMPTY;
  #ended = false;

  take(max: number): Uint8Array | undefined {
    if (!this.#isOpen) this.#open();
    if (this.#rest.length === 0) this.#rest = (process.stdin.read() as Buffer | null) ?? EMPTY;
    if (this.#rest.length === 0) return this.#ended ? undefined : EMPTY;
    const taken = this.#rest.subarray(0, max);
    this.#rest = this.#rest.subarray(max);
    return taken;
  }

  /** Stops reading; a pipe that never ends would keep the process. */
  close(): void {
    if (this.#isOpen) process.stdin.destroy();
  }

  #open(): void {
    this.#isOpen = true;
    const end = () => {
      this.#ended = true;
      this.onReadable?.();
    };
    process.stdin.on("readable", () => this.onReadable?.());
    process.stdin.on("end", end).on("error", end).on("close", end);
  }
}

/** Whether this process is in the background of its terminal: then it must leave it alone, or the shell stops it. */
function isInBackground(): boolean {
  try {
    // proc(5): pid (name) state ppid pgrp session tty_nr tpgid
    const fields = readFileSync("/proc/self/stat", "latin1")
      .replace(/^.*\) /, "")
      .split(" ");
    const [, , group, , , foreground] = fields;
    // -1: it has no controlling terminal, so nobody stops it.
    return foreground !== "-1" && group !== foreground;
  } catch {
    return false; // no Linux: hope for the best, as others do
  }
}

export type StandardInput =
  | { readonly kind: "terminal" }
  | { readonly kind: "source"; readonly source: ConsoleSource; readonly close: () => void }
  | { readonly kind: "none" };

/** What standard input is. */
export function standardInput(): StandardInput {
  try {
    const stat = fstatSync(STDIN);
    if (isatty(STDIN)) return isInBackground() ? { kind: "none" } : { kind: "terminal" };
    if (!stat.isFIFO() && !stat.isSocket()) return { kind: "source", source: new FileInput(), close: () => {} };
    const source = new StreamInput();
    return { kind: "source", source, close: () => source.close() };
  } catch {
    return { kind: "none" }; // closed
  }
}
