/**
 * Console input: where a console device takes its bytes from. The device asks when the guest looks at it, never the other
 * way round: input that is there from the start is so delivered at the same instruction in every run. Whoever has more
 * of it than a queue should hold looks at the device's `ConsoleReceiver` and gives the queue as much as the guest takes.
 */

export interface ConsoleInput {
  /** Takes the next byte; undefined when there is none now. */
  take(): number | undefined;
  /** Whether `take` would give a byte. */
  readonly ready: boolean;
  /** The guest does not wait for an interrupt but asks over and over whether a byte has come. */
  polled?(): void;
}

/** The guest's end of the console, for whoever feeds its input. */
export interface ConsoleReceiver {
  /** The guest has switched its receiver on: what comes reaches it. */
  readonly receiving: boolean;
  /** And it has taken everything that came. */
  readonly wantsInput: boolean;
  /** The source has bytes: an interrupt may be due. */
  inputArrived(): void;
}

/** No input, ever. */
export const NO_INPUT: ConsoleInput = { take: () => undefined, ready: false };

/** A queue of bytes. Whoever pushes while the machine runs calls `ConsoleReceiver.inputArrived` then. */
export class InputQueue implements ConsoleInput {
  /** Called when the guest polls in vain. */
  onPolled?: (() => void) | undefined;
  #chunks: Uint8Array[] = [];
  #at = 0;

  polled(): void {
    this.onPolled?.();
  }

  push(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#chunks.push(bytes);
  }

  get ready(): boolean {
    return this.#chunks.length > 0;
  }

  take(): number | undefined {
    const chunk = this.#chunks[0];
    if (chunk === undefined) return undefined;
    const byte = chunk[this.#at++]!;
    if (this.#at === chunk.length) {
      this.#chunks.shift();
      this.#at = 0;
    }
    return byte;
  }

  /** The bytes not taken yet. */
  get pending(): Uint8Array {
    const [first, ...rest] = this.#chunks;
    if (first === undefined) return new Uint8Array(0);
    return Uint8Array.from([first.subarray(this.#at), ...rest].flatMap((chunk) => [...chunk]));
  }
}
