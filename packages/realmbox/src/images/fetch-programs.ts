/**
 * `realmbox images fetch bench`: the kernel of a fetched Debian image with an initramfs of Debian's programs (programs.ts), as an
 * image that `realmbox bench` runs.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { compareVersions, type DebianPackage } from "./control.js";
import { type DebEntry, readDebTree } from "./deb.js";
import { ARCHITECTURE, type PackageSource } from "./debian-plan.js";
import { ImagesError } from "./error.js";
import { isProgramPart, makeProgramsInitramfs, PROGRAM_PACKAGES, UNNEEDED } from "./programs.js";
import type { Progress } from "./progress.js";
import type { ImageRecord, ImageStore } from "./store.js";

/** The image's name in the cache. */
export const PROGRAMS_IMAGE = "debian-programs";
/** Where the programs come from: a release that stays as it is, so that figures of different days compare. */
export const PROGRAMS_SUITE = "trixie";

/** The packages and what they depend on, in order of their names; `ImagesError` when the suite lacks one. */
async function planPrograms(source: PackageSource): Promise<readonly DebianPackage[]> {
  const chosen = new Map<string, DebianPackage>();
  for (let wanted: readonly string[] = PROGRAM_PACKAGES; wanted.length > 0; ) {
    const found = await source.find(wanted);
    for (const name of wanted) {
      const [newest] = found
        .filter((candidate) => candidate.name === name && candidate.architecture === ARCHITECTURE)
        .sort((a, b) => compareVersions(b.version, a.version));
      if (newest === undefined) throw new ImagesError("not-found", `${source.name} has no package ${name}`);
      chosen.set(name, newest);
    }
    const next = [...chosen.values()].flatMap(({ depends }) => depends.map(({ name }) => name));
    wanted = [...new Set(next)].filter((name) => !chosen.has(name) && !UNNEEDED.test(name));
  }
  return [...chosen.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Fetches the programs into the cache, beside the kernel of the image `debian`; under the cache's lock. */
export async function fetchPrograms(
  store: ImageStore,
  source: PackageSource,
  kernel: ImageRecord,
  progress: Progress,
): Promise<ImageRecord> {
  const packages = await planPrograms(source);
  const files = await source.download(packages);
  progress.step("making the image: the programs in an initramfs");
  const content = new Map<string, DebEntry>();
  for (const [i, file] of files.entries()) {
    const { name } = packages[i]!;
    progress.amount(`reading ${name}`);
    const entries = await readDebTree(new Uint8Array(readFileSync(file)), { what: name, wanted: isProgramPart });
    for (const [path, entry] of entries) content.set(path, entry);
  }
  progress.clear();
  const initramfs = makeProgramsInitramfs(content);
  const record: ImageRecord = {
    ...kernel,
    name: PROGRAMS_IMAGE,
    suite: PROGRAMS_SUITE,
    source: source.name,
    fetched: new Date().toISOString(),
    recipe: createHash("sha256").update(makeProgramsInitramfs(new Map())).digest("hex").slice(0, 16),
    initramfs: { ...store.add(initramfs), modules: [], missing: [] },
    packages: packages.map(({ name, version, sha256 }) => ({ name, version, sha256 })),
  };
  store.put(record);
  return record;
}
