/**
 * A token as text: base64 between two marker lines (RFC 7468 in form), as the `attest` command of fetched images prints it.
 * It may stand in the middle of a whole console log, with what else a console carries: other line ends, kernel messages
 * between the lines, escape sequences of a terminal.
 */
import { latin1 } from "../images/bytes.js";
import { TOKEN_BEGIN, TOKEN_END } from "../images/guest-scripts.js";

export type Armour =
  /** No marker: the bytes are what they are. */
  | { readonly kind: "none" }
  /** The last of `count` tokens. */
  | { readonly kind: "token"; readonly bytes: Uint8Array; readonly count: number }
  | { readonly kind: "damaged"; readonly why: string };

/** The last token that a text holds: a console log may hold several, and the last is the one just asked for. */
export function findArmour(file: Uint8Array): Armour {
  // A CBOR tag of two bytes begins a token in bytes; what its claims hold is not looked at here.
  if (file[0] === 0xd9) return { kind: "none" };
  const text = latin1(file).replace(ESCAPE_SEQUENCES, "");
  // Only whole lines: a script that is shown on the console names the marker, too.
  const begins = [...text.matchAll(new RegExp(`^\\s*${TOKEN_BEGIN}\\s*$`, "gm"))];
  const last = begins.at(-1);
  if (last === undefined) return { kind: "none" };
  const from = last.index + last[0].length;
  const end = text.indexOf(TOKEN_END, from);
  if (end < 0) return { kind: "damaged", why: `the text ends before '${TOKEN_END}'` };
  const lines = text
    .slice(from, end)
    .split(/[\r\n]+/)
    .map(plainLine)
    .filter((line) => line !== "");
  const base64 = lines.join("");
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64) || base64 === "") {
    return { kind: "damaged", why: "what stands between the markers is not base64" };
  }
  return { kind: "token", bytes: new Uint8Array(Buffer.from(base64, "base64")), count: begins.length };
}

/** What a shell or a pager writes to steer a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal control is what is looked for
const ESCAPE_SEQUENCES = /\x1b\[[0-9;?]*[A-Za-z]/g;

/** A line without blanks around it; empty when it is a kernel message, which begins with its time in brackets. */
const plainLine = (line: string): string => (/^\s*(<\d+>)?\[ *\d+\.\d+\]/.test(line) ? "" : line.trim());
