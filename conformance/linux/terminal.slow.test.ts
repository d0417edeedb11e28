/** People at a shell of Linux: typing, Ctrl-c, the end of input, real time, the terminal's size. */
import { afterEach, describe, expect, test } from "vitest";
import { command } from "../support/cli.js";
import { hasPty, Pty } from "../support/pty.js";
import { DEBIAN, type DebianImage, missing, TRIXIE } from "./debian.js";

const why = new Map<string, string | undefined>();
for (const image of [DEBIAN, TRIXIE])
  why.set(image.name, hasPty ? await missing(image) : "no python3 with pseudo-terminals");
const note = (name: string) => (why.get(name) === undefined ? "" : ` (skipped: ${why.get(name)})`);

const PROMPT = "~# ";
const CTRL_C = "\x03";
const delay = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[list.length >> 1]!;

let open: Pty[] = [];
afterEach(() => {
  for (const pty of open) pty.close();
  open = [];
});

class Shell {
  readonly #pty: Pty;

  private constructor(pty: Pty) {
    this.#pty = pty;
  }

  static async open(args: readonly string[]): Promise<Shell> {
    const pty = new Pty([process.execPath, command, "run", "-q", "-m", "512", ...args]);
    open.push(pty);
    await pty.sees(PROMPT);
    return new Shell(pty);
  }

  /** Types; milliseconds until the expected text has come. */
  async type(text: string, expected: string): Promise<number> {
    const from = { at: this.#pty.output.length, time: performance.now() };
    this.#pty.send(text);
    await this.#pty.sees(expected, from.at);
    return performance.now() - from.time;
  }

  /** Runs a command line; what it wrote. */
  async run(line: string): Promise<string> {
    const at = this.#pty.output.length;
    await this.type(`${line}; echo do'n'e\r`, "\ndone\r");
    const [, ...lines] = this.#pty.output.slice(at).replaceAll("\r", "").split("\n");
    return lines.slice(0, lines.indexOf("done")).join("\n");
  }

  /** Starts a program that would not end by itself; milliseconds until Ctrl-c has ended it. */
  async interrupt(line: string): Promise<number> {
    await this.type(`${line}\r`, "\n");
    await delay(1000);
    return this.type(CTRL_C, PROMPT);
  }

  async resize(columns: number, rows: number): Promise<void> {
    this.#pty.resize(columns, rows);
    await delay(300);
  }

  async end(): Promise<number> {
    this.#pty.send("\x01x");
    return this.#pty.exit();
  }
}

const shells: readonly (readonly [string, DebianImage, readonly string[]])[] = [
  ["a realm", DEBIAN, ["--realm"]],
  ["a realm with virtio console and 2 vCPUs", DEBIAN, ["--realm", "--console", "virtio", "-c", "2"]],
  ["a realm on the host's clock", DEBIAN, ["--realm", "--clock", "host"]],
  ["a normal VM", TRIXIE, []],
];

describe.each(shells)("%s", (_, image, args) => {
  test.skipIf(why.get(image.name) !== undefined)(`shell on a terminal${note(image.name)}`, async () => {
    const shell = await Shell.open([...args, image.name]);
    expect(await shell.run("echo $((6 * 7))")).toBe("42");
    const times: number[] = [];
    for (const letter of "abcdefghi") {
      times.push(await shell.type(letter, letter));
      await delay(20);
    }
    expect(median(times), `${times}`).toBeLessThan(50);
    await shell.type(CTRL_C, PROMPT);
    for (const line of ["sleep 1000", "while :; do :; done", "cat"])
      expect(await shell.interrupt(line)).toBeLessThan(1000);
    const from = performance.now();
    const slept = await shell.run("date +%s; sleep 2; date +%s");
    expect(performance.now() - from).toBeGreaterThan(1900);
    const [before, after] = slept.split("\n").map(Number);
    expect([2, 3]).toContain(after! - before!);
    if (args.includes("virtio")) {
      expect(await shell.run("stty size")).toBe("24 80");
      await shell.resize(132, 43);
      expect(await shell.run("stty size")).toBe("43 132");
    }
    expect(await shell.end()).toBe(0);
  });
});
