/** A command on a pseudo-terminal, by Python's pty support (support/pty.py). */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { constants, tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const hasPty = spawnSync("python3", ["-c", "import pty"]).status === 0;

/** A terminal's modes that matter here. */
export interface Modes {
  readonly ICANON: boolean;
  readonly ECHO: boolean;
  readonly ISIG: boolean;
  readonly ONLCR: boolean;
}

interface Event {
  readonly output?: string;
  readonly modes?: Modes;
  readonly exit?: number;
}

/** What is awaited must come within this time. */
const AWAIT_MS = 60_000;

export class Pty {
  /** All that came out of the terminal so far (Latin-1). */
  output = "";
  readonly #bridge: ChildProcess;
  #exit: number | undefined;
  #modes: Modes | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(command: readonly string[]) {
    this.#bridge = spawn("python3", [fileURLToPath(new URL("pty.py", import.meta.url)), ...command], {
      cwd: tmpdir(),
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, TERM: "dumb" },
    });
    createInterface({ input: this.#bridge.stdout! }).on("line", (line) => {
      const event = JSON.parse(line) as Event;
      if (event.output !== undefined) this.output += event.output;
      if (event.modes !== undefined) this.#modes = event.modes;
      if (event.exit !== undefined) this.#exit = event.exit;
      for (const look of this.#waiting) look();
    });
  }

  get pid(): number {
    return this.#bridge.pid!;
  }

  /** Types. */
  send(text: string): void {
    this.#request({ send: text });
  }

  resize(columns: number, rows: number): void {
    this.#request({ size: [columns, rows] });
  }

  kill(signal: keyof typeof constants.signals): void {
    this.#request({ signal: constants.signals[signal] });
  }

  /** Waits until the output, from `from` on, contains the text; the command's end is an error. */
  async sees(text: string, from = 0): Promise<void> {
    await this.#until(JSON.stringify(text), () => this.output.includes(text, from));
  }

  async modes(): Promise<Modes> {
    this.#modes = undefined;
    this.#request({ modes: true });
    await this.#until("the terminal's modes", () => this.#modes !== undefined, { afterExit: true });
    return this.#modes!;
  }

  /** Waits for the command's end: its exit code, or minus the number of the signal that ended it. */
  async exit(): Promise<number> {
    await this.#until("the command's end", () => this.#exit !== undefined);
    return this.#exit!;
  }

  /** Ends what still runs. */
  close(): void {
    this.#bridge.stdin!.end();
  }

  #request(request: object): void {
    this.#bridge.stdin!.write(`${JSON.stringify(request)}\n`);
  }

  #until(what: string, holds: () => boolean, { afterExit = false } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(new Error(`waited for ${what} in vain; the terminal shows:\n${this.output}`));
      const look = () => {
        if (holds()) resolve();
        else if (this.#exit !== undefined && !afterExit) fail();
        else return;
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        fail();
      }, AWAIT_MS);
      this.#waiting.add(look);
      look();
    });
  }
}
