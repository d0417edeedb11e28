/**
 * An archive's Release file, whose signature has been checked: which suite it is, until when it holds, and the hashes of
 * the indices. Debian's repository format, "Release files".
 */
import { parseParagraph } from "./control.js";
import { ImagesError } from "./error.js";

export interface IndexFile {
  /** Below the suite's folder. */
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

export interface Release {
  readonly suite: string;
  readonly codename: string;
  readonly files: ReadonlyMap<string, IndexFile>;
  /** Files are there by their hashes, too, so that an update of the mirror does not take them away. */
  readonly byHash: boolean;
}

export interface ReleaseExpectation {
  /** Suite or codename. */
  readonly suite: string;
  readonly now: Date;
  /** Take one whose Valid-Until has passed. */
  readonly allowExpired: boolean;
  readonly what: string;
}

/** Clocks may differ by this much. */
const CLOCK_SKEW_MS = 3_600_000;

/** Reads a Release file and refuses one that is not the suite's, or not of now. */
export function parseRelease(text: string, { suite, now, allowExpired, what }: ReleaseExpectation): Release {
  const fields = parseParagraph(text);
  const field = (name: string) => fields.get(name) ?? "";
  if (field("suite") !== suite && field("codename") !== suite) {
    throw refused(`${what} is not of ${suite}: its suite is '${field("suite")}', its codename '${field("codename")}'`);
  }
  const date = Date.parse(field("date"));
  if (Number.isNaN(date)) throw refused(`${what} has no date`);
  if (date > now.getTime() + CLOCK_SKEW_MS) {
    throw refused(`${what} is of the future: ${field("date")}`, "is this machine's clock right?");
  }
  if (fields.has("valid-until")) {
    const until = Date.parse(field("valid-until"));
    if (Number.isNaN(until)) throw refused(`${what} has a damaged Valid-Until: '${field("valid-until")}'`);
    if (until < now.getTime() && !allowExpired) {
      throw refused(
        `${what} has expired: it was valid until ${field("valid-until")}`,
        "use another mirror; for an archive of the past add --allow-expired",
      );
    }
  }
  const files = new Map<string, IndexFile>();
  for (const line of field("sha256").split("\n")) {
    const [, sha256, size, path] = /^([0-9a-f]{64})\s+(\d+)\s+(\S+)$/.exec(line.trim()) ?? [];
    if (path !== undefined) files.set(path, { path, size: Number(size), sha256: sha256! });
  }
  if (files.size === 0) throw refused(`${what} names no files by SHA-256`);
  return { suite: field("suite"), codename: field("codename"), files, byHash: field("acquire-by-hash") === "yes" };
}

const refused = (message: string, hint = "try again, or another mirror") =>
  new ImagesError("not-trusted", message, hint);
