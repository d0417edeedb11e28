/**
 * Files of a Debian package, read into memory: nothing is written, so that no path in a package can lead anywhere. deb(5):
 * an `ar` archive with `debian-binary`, `control.tar.*` and `data.tar.*`.
 */
import { extract } from "tar-stream";
import { readAr } from "./ar.js";
import { latin1 } from "./bytes.js";
import { ImagesError } from "./error.js";
import { unpackStream } from "./unpack.js";

/** What a package may unpack to. */
const UNPACKED_MAX = 2 ** 31;

/** A path of a package: a regular file, or a symbolic link, whose target is as the package has it. */
export type DebEntry =
  | { readonly kind: "file"; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly kind: "link"; readonly target: string };

interface Selection {
  /** How messages call the package. */
  readonly what: string;
  readonly wanted: (path: string) => boolean;
}

/** The regular files of a package for which `wanted` holds, as `readDebTree` has them. */
export async function readDeb(file: Uint8Array, selection: Selection): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const [path, entry] of await readDebTree(file, selection)) {
    if (entry.kind === "file") files.set(path, entry.bytes);
  }
  return files;
}

/**
 * The regular files and symbolic links of a package for which `wanted` holds, by path without a leading `./` or `/`. Paths with
 * `..` and everything else are left out.
 */
export async function readDebTree(
  file: Uint8Array,
  { what, wanted }: Selection,
): Promise<ReadonlyMap<string, DebEntry>> {
  const members = readAr(file);
  const version = members[0];
  if (version?.name !== "debian-binary" || !latin1(version.bytes).startsWith("2.")) {
    throw bad(what, "it has no format version 2");
  }
  const data = members.find(({ name }) => name.startsWith("data.tar"));
  if (data === undefined) throw bad(what, "it holds no files");

  const entries = new Map<string, DebEntry>();
  const archive = extract();
  const feeding = feed(archive, unpackStream(data.bytes, { what: `the package ${what}`, sizeMax: UNPACKED_MAX }));
  // The reader below reports what goes wrong here, too.
  feeding.catch((error) => archive.destroy(error));
  try {
    for await (const entry of archive) {
      const { name, type, mode = 0o644, linkname } = entry.header;
      const path = normalised(name);
      if (type === "file" && path !== undefined && wanted(path)) {
        const chunks: Uint8Array[] = [];
        for await (const chunk of entry) chunks.push(chunk as Uint8Array);
        entries.set(path, { kind: "file", mode: mode & 0o777, bytes: new Uint8Array(Buffer.concat(chunks)) });
        continue;
      }
      if (type === "symlink" && path !== undefined && linkname && wanted(path)) {
        entries.set(path, { kind: "link", target: linkname });
      }
      entry.resume();
    }
    await feeding;
  } catch (error) {
    if (error instanceof ImagesError) throw error;
    throw bad(what, error instanceof Error ? error.message : String(error));
  }
  return entries;
}

async function feed(archive: ReturnType<typeof extract>, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of chunks) {
    if (!archive.write(chunk)) await new Promise<void>((resolve) => archive.once("drain", () => resolve()));
  }
  archive.end(undefined); // its types want an argument
}

/** A path below the root; undefined for one that leads out of it. */
function normalised(name: string): string | undefined {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  return parts.length === 0 || parts.includes("..") ? undefined : parts.join("/");
}

const bad = (what: string, why: string) =>
  new ImagesError("bad-content", `the package ${what} is damaged: ${why}`, "fetch it again");
