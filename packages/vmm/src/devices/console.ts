/**
 * Console input: where a UART takes its bytes from. The UART asks when the guest looks at it, never the other way
 * round: input that is there from the start (a file, a pipe) is so delivered at the same instruction in every run.
 */

export interface ConsoleInput {
  /** Takes the next byte; undefined when there is none now. */
  take(): number | undefined;
  /** Whether `take` would give a byte. */
  readonly ready: boolean;
}

/** No input, ever. */
export const NO_INPUT: ConsoleInput = { take: () => undefined, ready: false };

/**
 * A queue of bytes. A terminal pushes what is typed and then calls the UART's `inputArrived`; a file is pushed whole
 * before the machine runs.
 */
export class InputQueue implements ConsoleInput {
  #chunks: Uint8Array[] = [];
  #at = 0;

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
