/**
 * Reads an `ar` archive, the outer layer of a Debian package. deb(5), "FORMAT": magic, then members with a header of 60
 * characters and a content padded to an even length. Debian packages use short names only, which may end with a slash.
 */
import { latin1 } from "./bytes.js";
import { ImagesError } from "./error.js";

export interface ArMember {
  readonly name: string;
  /** A view of the archive. */
  readonly bytes: Uint8Array;
}

const MAGIC = "!<arch>\n";
const HEADER_SIZE = 60;

/** The members in their order; `ImagesError` when the archive is damaged or cut. */
export function readAr(archive: Uint8Array): readonly ArMember[] {
  if (latin1(archive.subarray(0, MAGIC.length)) !== MAGIC) throw bad("it does not begin as an ar archive does");
  const members: ArMember[] = [];
  for (let at = MAGIC.length; at < archive.length; ) {
    const header = latin1(archive.subarray(at, at + HEADER_SIZE));
    if (header.length < HEADER_SIZE || !header.endsWith("`\n")) throw bad("a member's header is damaged");
    const size = /^(\d+) *$/.exec(header.slice(48, 58))?.[1];
    if (size === undefined) throw bad("a member has no size");
    const start = at + HEADER_SIZE;
    const end = start + Number(size);
    if (end > archive.length) throw bad("it is cut");
    members.push({ name: header.slice(0, 16).trimEnd().replace(/\/$/, ""), bytes: archive.subarray(start, end) });
    at = end + (end % 2);
  }
  return members;
}

const bad = (why: string) => new ImagesError("bad-content", `not a Debian package: ${why}`);
