/**
 * Console bytes as lines of text. What comes from an emulated program may be anything: an endless line, control characters,
 * bytes that are no text. A line is cut at a length, the rest of it is dropped; what could move a terminal's cursor or has no
 * place in an XML document is written out as \xNN.
 */

/** Characters of a line that are kept. */
export const LINE_MAX = 2000;

const CR = 0x0d;
const LF = 0x0a;
const TAB = 0x09;
/** Puts an end to what was cut. */
const CUT = " […]";

const hex = (byte: number): string => `\\x${byte.toString(16).padStart(2, "0")}`;
/** Latin-1, without its two blocks of control characters. */
const isPrintable = (byte: number): boolean => (byte >= 0x20 && byte < 0x7f) || byte >= 0xa0 || byte === TAB;

export class ConsoleLines {
  readonly #onLine: (line: string) => void;
  #line = "";
  #isCut = false;

  /** `onLine` gets each line without its end. */
  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  /** The next byte. CR is dropped wherever it stands: programs end lines with CR LF, LF CR or LF. */
  push(byte: number): void {
    if (byte === LF) this.#end();
    else if (byte !== CR) {
      if (this.#line.length >= LINE_MAX) this.#isCut = true;
      else this.#line += isPrintable(byte) ? String.fromCharCode(byte) : hex(byte);
    }
  }

  /** No more of this line will come: the run is over, or the machine was reset. */
  flush(): void {
    if (this.#line !== "") this.#end();
  }

  #end(): void {
    const line = this.#isCut ? `${this.#line}${CUT}` : this.#line;
    this.#line = "";
    this.#isCut = false;
    this.#onLine(line);
  }
}
