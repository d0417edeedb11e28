/**
 * What a running guest has to do with the process around it: standard input, the terminal's mode and size, signals, the
 * time limit. A session lasts as long as the run; `close` leaves everything as it was.
 *
 * - On a terminal each key goes to the guest as it is, Ctrl-c too; Ctrl-a is realmbox's own prefix (escape-keys.ts). Output keeps
 *   its newlines: Node's raw mode leaves the terminal's ONLCR on. Where the console goes elsewhere (`| tee`, `| less`), the terminal
 *   is left alone until the guest wants input.
 * - The terminal's mode is put back on every way out that a process can see: the end of the run, a signal, an error. A stopped
 *   process (SIGTSTP) puts it back as well, and takes it again when it goes on.
 * - SIGINT, SIGTERM and SIGHUP end the run, and the process with 128 and the signal's number after its report. A second one finds no
 *   handler and ends the process at once.
 */
import { constants } from "node:os";
import { isatty } from "node:tty";
import { type ConsoleSource, LiveInput } from "../console-feed.js";
import type { GuestEnd } from "../guest.js";
import { hostTime } from "../host-time.js";
import { EscapeKeys, KEYS_HELP } from "./escape-keys.js";
import { standardInput } from "./standard-input.js";

export interface SessionOptions {
  /** Where the guest's console goes. */
  readonly consoleFd: 1 | 2;
  /** Milliseconds until the time limit; may be infinite. */
  readonly timeoutMs: number;
  /** Text for the user, between the guest's lines. */
  readonly say: (text: string) => void;
  /** The user ends the session. */
  readonly onEnd: (why: string) => void;
  /** The terminal's size; called at first when the console goes to one, and with each change. */
  readonly onResize: (size: { readonly columns: number; readonly rows: number }) => void;
}

/** Input that is opened when it is first asked for. */
class LateInput extends LiveInput {
  #open: ((input: LiveInput) => void) | undefined;

  constructor(open: (input: LiveInput) => void) {
    super();
    this.#open = open;
  }

  override take(max: number): Uint8Array | undefined {
    this.#open?.(this);
    this.#open = undefined;
    return super.take(max);
  }
}

const ENDING_SIGNALS = ["SIGHUP", "SIGINT", "SIGTERM"] as const;

export class Session {
  /** The guest's console input; undefined without any. */
  readonly source: ConsoleSource | undefined;
  readonly #options: SessionOptions;
  readonly #controller = new AbortController();
  readonly #undo: (() => void)[] = [];
  #ending: GuestEnd | undefined;
  #isRaw = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    for (const name of ENDING_SIGNALS) this.#on(name, () => this.#endBySignal(name));
    if (options.timeoutMs !== Number.POSITIVE_INFINITY) {
      this.#undo.push(hostTime.after(options.timeoutMs, () => this.#controller.abort()));
    }
    const input = standardInput();
    if (input.kind === "terminal") this.source = this.#terminal();
    else if (input.kind === "source") {
      this.source = input.source;
      this.#undo.push(input.close);
    }
  }

  /** Aborts when the run must end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** How the run ended, if a signal has ended it. */
  get ending(): GuestEnd | undefined {
    return this.#ending;
  }

  /** Puts the terminal back, stops listening, lets the process end. */
  close(): void {
    for (const undo of this.#undo.splice(0).reverse()) undo();
  }

  #on(name: NodeJS.Signals, listener: () => void): void {
    process.on(name, listener);
    this.#undo.push(() => process.off(name, listener));
  }

  #endBySignal(name: (typeof ENDING_SIGNALS)[number]): void {
    this.#ending = { kind: "signal", name, number: constants.signals[name] };
    this.close();
    this.#controller.abort();
  }

  #terminal(): ConsoleSource {
    if (!isatty(this.#options.consoleFd)) return new LateInput((input) => this.#openTerminal(input));
    const input = new LiveInput();
    this.#openTerminal(input);
    this.#followSize();
    return input;
  }

  #openTerminal(input: LiveInput): void {
    const keys = new EscapeKeys();
    const { stdin } = process;
    const onData = (typed: Uint8Array) => {
      const { bytes, command } = keys.feed(typed);
      if (bytes.length > 0) input.push(bytes);
      if (command === "help") this.#options.say(`\n${KEYS_HELP.join("\n")}\n`);
      if (command === "end") this.#options.onEnd("the user ended the session with Ctrl-a x");
    };
    const onGone = () => this.#endBySignal("SIGHUP");
    const leaveRaw = () => this.#setRaw(false);
    this.#setRaw(true);
    stdin.on("data", onData).on("end", onGone).on("error", onGone);
    process.on("exit", leaveRaw);
    this.#undo.push(() => {
      stdin.off("data", onData).off("end", onGone).off("error", onGone);
      process.off("exit", leaveRaw);
      leaveRaw();
      stdin.destroy();
    });
    this.#on("SIGTSTP", () => {
      leaveRaw();
      process.kill(process.pid, "SIGSTOP");
    });
    this.#on("SIGCONT", () => this.#setRaw(true));
  }

  /** Does nothing on a terminal that is gone. */
  #setRaw(isRaw: boolean): void {
    if (this.#isRaw === isRaw) return;
    try {
      process.stdin.setRawMode(isRaw);
      this.#isRaw = isRaw;
    } catch {
      this.#isRaw = false;
    }
  }

  #followSize(): void {
    const stream = this.#options.consoleFd === 1 ? process.stdout : process.stderr;
    const tell = () => {
      const [columns, rows] = stream.getWindowSize();
      if (columns > 0 && rows > 0) this.#options.onResize({ columns, rows });
    };
    tell();
    stream.on("resize", tell);
    this.#undo.push(() => stream.off("resize", tell));
  }
}
