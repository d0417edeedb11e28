/**
 * Debian's control files: paragraphs of `Field: value` lines, continued by lines that begin with a blank, parted by empty
 * lines. Debian Policy, "Syntax of control files".
 */

/** Field names in lower case. */
export type Paragraph = ReadonlyMap<string, string>;

/** The paragraphs of a text. */
export function parseControl(text: string): readonly Paragraph[] {
  return text
    .split(/\n[ \t]*\n+/)
    .map(parseParagraph)
    .filter((paragraph) => paragraph.size > 0);
}

export function parseParagraph(text: string): Paragraph {
  const fields = new Map<string, string>();
  let last: string | undefined;
  for (const line of text.split("\n")) {
    if (/^[ \t]/.test(line)) {
      if (last !== undefined) fields.set(last, `${fields.get(last)}\n${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    last = line.slice(0, colon).toLowerCase();
    fields.set(last, line.slice(colon + 1).trim());
  }
  return fields;
}

/** A package as an index or apt describes it. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Each with the version that it must have, when exactly one will do. First alternatives only. */
  readonly depends: readonly { readonly name: string; readonly exactly?: string }[];
  /** Below the archive's root. */
  readonly filename: string;
  readonly size: number;
  /** SHA-256, hexadecimal. */
  readonly sha256: string;
}

/** The package that a paragraph of a Packages index describes; undefined when fields are missing or make no sense. */
export function packageOf(paragraph: Paragraph): DebianPackage | undefined {
  const field = (name: string) => paragraph.get(name) ?? "";
  const size = Number(field("size"));
  const sha256 = field("sha256").toLowerCase();
  const name = field("package");
  const version = field("version");
  const filename = field("filename");
  const sane =
    /^[a-z0-9][a-z0-9+.-]+$/.test(name) &&
    /^[\w.+~:-]+$/.test(version) &&
    /^[\w.+~:%/-]+$/.test(filename) &&
    !filename.startsWith("/") &&
    !filename.split("/").includes("..") &&
    Number.isSafeInteger(size) &&
    size > 0 &&
    /^[0-9a-f]{64}$/.test(sha256);
  if (!sane) return undefined;
  return {
    name,
    version,
    architecture: field("architecture"),
    depends: dependencies(field("depends")),
    filename,
    size,
    sha256,
  };
}

function dependencies(text: string): DebianPackage["depends"] {
  return text.split(",").flatMap((clause) => {
    const match = /^\s*([a-z0-9][a-z0-9+.-]+)(?::\w+)?\s*(?:\(\s*(\S+?)\s*([\w.+~:-]+)\s*\))?/.exec(clause);
    if (match === null) return [];
    const [, name, relation, version] = match;
    return [{ name: name!, ...(relation === "=" ? { exactly: version! } : {}) }];
  });
}

/**
 * Orders two versions as dpkg does: epoch, upstream version, revision; within these, alternately texts (where `~` sorts
 * before everything and letters before other characters) and numbers. Debian Policy, "Version".
 */
export function compareVersions(a: string, b: string): number {
  const [first, second] = [splitVersion(a), splitVersion(b)];
  return (
    first.epoch - second.epoch ||
    comparePart(first.upstream, second.upstream) ||
    comparePart(first.revision, second.revision)
  );
}

function splitVersion(text: string) {
  const colon = text.indexOf(":");
  const rest = text.slice(colon + 1);
  const dash = rest.lastIndexOf("-");
  return {
    epoch: colon < 0 ? 0 : Number(text.slice(0, colon)),
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? "" : rest.slice(dash + 1),
  };
}

const weight = (character: string | undefined): number =>
  character === "~"
    ? -1
    : character === undefined || /\d/.test(character)
      ? 0
      : /[a-z]/i.test(character)
        ? character.charCodeAt(0)
        : character.charCodeAt(0) + 256;

function comparePart(a: string, b: string): number {
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    while ((i < a.length && !/\d/.test(a[i]!)) || (j < b.length && !/\d/.test(b[j]!))) {
      const difference = weight(a[i]) - weight(b[j]);
      if (difference !== 0) return difference;
      i++;
      j++;
    }
    const digits = (text: string, at: number) => /^\d*/.exec(text.slice(at))![0];
    const [m, n] = [digits(a, i), digits(b, j)];
    const difference = BigInt(m || 0) - BigInt(n || 0);
    if (difference !== 0n) return difference < 0n ? -1 : 1;
    i += m.length;
    j += n.length;
  }
  return 0;
}
