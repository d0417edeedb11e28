/**
 * Writes a cpio archive in the "newc" format, which Linux unpacks as its initramfs. Linux, "initramfs buffer format":
 * per file a header of 110 characters (magic and 13 numbers of 8 hexadecimal digits), name and content, each padded to 4.
 *
 * The same entries give the same bytes: sorted by path, owned by root, time 0, inodes counted from 1. A path's folders are
 * added where nobody names them, because Linux creates none by itself.
 */
import { utf8 } from "./bytes.js";

/** What a path holds; a mode is the permission bits. */
export type CpioContent =
  | { readonly kind: "file"; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly kind: "folder"; readonly mode: number }
  | { readonly kind: "link"; readonly target: string }
  | { readonly kind: "character-device"; readonly mode: number; readonly major: number; readonly minor: number };

/** Type bits of a mode. inode(7). */
const TYPE = { file: 0o100000, folder: 0o040000, link: 0o120000, "character-device": 0o020000 } as const;
const HEADER_SIZE = 110;

/** The archive of these paths, which are relative and without `.` or `..`. */
export function cpioArchive(entries: ReadonlyMap<string, CpioContent>): Uint8Array {
  const all = new Map<string, CpioContent>();
  for (const [path, content] of entries) {
    for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
      const folder = path.slice(0, slash);
      if (!entries.has(folder)) all.set(folder, { kind: "folder", mode: 0o755 });
    }
    all.set(path, content);
  }
  // Code unit order puts a folder before what is in it, wherever and whenever this runs.
  const paths = [...all.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const parts = paths.map((path, i) => member(path, i + 1, all.get(path)!));
  parts.push(member("TRAILER!!!", 0, undefined));
  const archive = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}

function member(path: string, inode: number, content: CpioContent | undefined): Uint8Array {
  const name = utf8(`${path}\0`);
  const data =
    content?.kind === "file" ? content.bytes : content?.kind === "link" ? utf8(content.target) : new Uint8Array();
  const device = content?.kind === "character-device" ? content : { major: 0, minor: 0 };
  const mode = content === undefined ? 0 : TYPE[content.kind] | (content.kind === "link" ? 0o777 : content.mode);
  const fields = [
    inode,
    mode,
    0, // uid
    0, // gid
    content === undefined ? 1 : content.kind === "folder" ? 2 : 1, // links
    0, // mtime
    data.length,
    0, // the device that the file was on: major, minor
    0,
    device.major,
    device.minor,
    name.length,
    0, // checksum, of "070702" only
  ];
  const header = utf8(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
  const dataAt = align4(HEADER_SIZE + name.length);
  const bytes = new Uint8Array(align4(dataAt + data.length));
  bytes.set(header);
  bytes.set(name, HEADER_SIZE);
  bytes.set(data, dataAt);
  return bytes;
}

const align4 = (size: number): number => (size + 3) & ~3;
