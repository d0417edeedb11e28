/**
 * The keys that a terminal's user has for realmbox itself, behind the prefix Ctrl-a (kvmtool, term.c, "term_getc"):
 *
 * | Keys | Do |
 * | --- | --- |
 * | Ctrl-a x | end the session |
 * | Ctrl-a Ctrl-a, Ctrl-a a | send one Ctrl-a |
 * | Ctrl-a h, Ctrl-a ? | tell these keys |
 * | Ctrl-a, any other | send that other, as kvmtool does |
 */

const PREFIX = 0x01;
const key = (character: string): number => character.charCodeAt(0);

export const KEYS_HELP = [
  "Ctrl-a x       end the session: the guest stops at once",
  "Ctrl-a Ctrl-a  send Ctrl-a to the guest (also Ctrl-a a)",
  "Ctrl-a h       this help",
] as const;

export interface Typed {
  /** What goes to the guest. */
  readonly bytes: Uint8Array;
  /** What realmbox is to do; nothing after "end" counts. */
  readonly command: "end" | "help" | undefined;
}

export class EscapeKeys {
  #prefixed = false;

  /** Takes what was typed apart. The prefix and its key may come in two pieces. */
  feed(typed: Uint8Array): Typed {
    const bytes: number[] = [];
    let command: Typed["command"];
    for (const byte of typed) {
      if (!this.#prefixed) {
        if (byte === PREFIX) this.#prefixed = true;
        else bytes.push(byte);
        continue;
      }
      this.#prefixed = false;
      if (byte === key("x")) return { bytes: Uint8Array.from(bytes), command: "end" };
      if (byte === key("h") || byte === key("?")) command = "help";
      else bytes.push(byte === key("a") ? PREFIX : byte);
    }
    return { bytes: Uint8Array.from(bytes), command };
  }
}
