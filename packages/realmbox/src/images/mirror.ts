/**
 * Packages from a mirror that the user names, without apt: InRelease (signature), from there the index of packages (hash),
 * from there the packages (hash). Nothing is used before its check.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type DebianPackage, packageOf, parseParagraph } from "./control.js";
import { ARCHITECTURE, type PackageSource } from "./debian-plan.js";
import { download, fetchSmall, type TransferOptions } from "./download.js";
import { ImagesError } from "./error.js";
import { sizeText } from "./progress.js";
import { type IndexFile, parseRelease, type Release } from "./release.js";
import { readKeyring, verifySigned } from "./signature.js";
import { unpackStream } from "./unpack.js";

export interface MirrorOptions extends TransferOptions {
  /** The archive's root: the URL above `dists/` and `pool/`. */
  readonly mirror: string;
  readonly suite: string;
  readonly keyring: string;
  /** For downloads. */
  readonly folder: string;
  readonly allowExpired: boolean;
  readonly now?: Date;
}

const IN_RELEASE_SIZE_MAX = 8 << 20;
const INDEX_SIZE_MAX = 1 << 29;
/** Of the mirror's index only what an image can need is kept. */
const RELEVANT = /^Package: (linux-|busybox-static$)/;

/** Fetches and checks the suite's index. */
export async function mirrorSource(options: MirrorOptions): Promise<PackageSource> {
  const { suite, folder, progress, signal } = options;
  const root = rootUrl(options.mirror);
  const keyring = await readKeyring(options.keyring);

  progress.step(`reading the index of ${suite} from ${root}`);
  const inReleaseUrl = new URL(`dists/${suite}/InRelease`, root);
  const bytes = await fetchSmall(inReleaseUrl, { ...options, sizeMax: IN_RELEASE_SIZE_MAX });
  const now = options.now ?? new Date();
  const { text } = await verifySigned(Buffer.from(bytes).toString("utf8"), keyring, {
    what: inReleaseUrl.href,
    date: now,
  });
  const release = parseRelease(text, { suite, now, allowExpired: options.allowExpired, what: inReleaseUrl.href });
  const packages = await readIndex(root, release, options);

  return {
    name: `${suite} (${root})`,
    find: async (names) => names.flatMap((name) => packages.get(name) ?? []),
    download: async (wanted) => {
      const total = wanted.reduce((sum, { size }) => sum + size, 0);
      progress.step(`downloading ${wanted.length} packages, ${sizeText(total)}`);
      const files: string[] = [];
      for (const { name, version, filename, size, sha256 } of wanted) {
        const file = join(folder, `${sha256}.deb`);
        await download(
          new URL(escapePath(filename), root),
          file,
          { what: `${name} ${version}`, size, sha256 },
          {
            ...options,
            signal,
          },
        );
        files.push(file);
      }
      return files;
    },
  };
}

async function readIndex(
  root: URL,
  release: Release,
  options: MirrorOptions,
): Promise<ReadonlyMap<string, readonly DebianPackage[]>> {
  const folder = `main/binary-${ARCHITECTURE}`;
  const index = ["xz", "gz"].flatMap((suffix) => release.files.get(`${folder}/Packages.${suffix}`) ?? [])[0];
  if (index === undefined) {
    throw new ImagesError("not-found", `${options.suite} of ${root} has no packages for ${ARCHITECTURE}`);
  }
  const file = await downloadIndex(root, release, index, options);
  const limits = { what: `the index of ${options.suite}`, sizeMax: INDEX_SIZE_MAX };
  const packages = new Map<string, DebianPackage[]>();
  const keep = (paragraph: string) => {
    if (!RELEVANT.test(paragraph.slice(0, Math.max(0, paragraph.indexOf("\n"))))) return;
    const found = packageOf(parseParagraph(paragraph));
    if (found !== undefined) packages.set(found.name, [...(packages.get(found.name) ?? []), found]);
  };
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of unpackStream(new Uint8Array(readFileSync(file)), limits)) {
    const paragraphs = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
    rest = paragraphs.pop()!;
    for (const paragraph of paragraphs) keep(paragraph);
  }
  keep(rest);
  return packages;
}

/** By its hash where the mirror has it so, else by its name. */
async function downloadIndex(root: URL, release: Release, index: IndexFile, options: MirrorOptions): Promise<string> {
  const base = new URL(`dists/${options.suite}/`, root);
  const file = join(options.folder, `${index.sha256}.index`);
  const expected = { ...index, what: `the index of ${options.suite}` };
  const byName = new URL(index.path, base);
  if (release.byHash) {
    const byHash = new URL(`${index.path.slice(0, index.path.lastIndexOf("/"))}/by-hash/SHA256/${index.sha256}`, base);
    try {
      await download(byHash, file, expected, options);
      return file;
    } catch (error) {
      if (!(error instanceof ImagesError && error.problem === "not-found")) throw error;
    }
  }
  await download(byName, file, expected, options);
  return file;
}

function rootUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text.endsWith("/") ? text : `${text}/`);
  } catch {
    throw new ImagesError(
      "not-found",
      `option '--mirror': '${text}' is no URL`,
      "for example http://mirror.example/debian",
    );
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new ImagesError("not-found", `option '--mirror': '${text}' is neither http nor https`);
  }
  return url;
}

/** A path of the index as a URL's: version numbers hold `+` and `~`. */
const escapePath = (path: string): string => path.split("/").map(encodeURIComponent).join("/");
