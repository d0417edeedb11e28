/**
 * `realmbox images fetch debian`: Debian's kernel and busybox made into an image that `run` knows by name.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { latin1 } from "./bytes.js";
import type { DebianPackage } from "./control.js";
import { readDeb } from "./deb.js";
import { type ImagePlan, type PackageSource, planImage } from "./debian-plan.js";
import { ImagesError } from "./error.js";
import { MODULES, makeInitramfs } from "./initramfs.js";
import { kernelFacts } from "./kernel-image.js";
import { type ModuleSet, moduleClosure, moduleName } from "./module-set.js";
import { type Progress, sizeText } from "./progress.js";
import type { ImageRecord, ImageStore } from "./store.js";
import { unpack } from "./unpack.js";

/**
 * The default kernel parameters.
 * cryptomgr.notests=1: no self-tests of the kernel's cryptography, without which a boot has a quarter of the instructions.
 */
export const DEFAULT_PARAMS = "cryptomgr.notests=1";
/**
 * Those of a realm.
 * swiotlb=8192: 16 MiB for what devices may see in place of 64 MiB. A realm of 256 MiB then keeps 48 MiB more for itself,
 * and its boot needs 114,065 RMI calls in place of 188,407. Two writers of 60 MB at once did not exhaust it.
 */
export const REALM_PARAMS = "swiotlb=8192";

/** What is made of the same packages, in short: everything that the initramfs holds beside them, and the parameters. */
function recipe(): string {
  const frame = makeInitramfs({ busybox: new Uint8Array(), kernelVersion: "", modules: [] });
  const rest = JSON.stringify([MODULES, DEFAULT_PARAMS, REALM_PARAMS]);
  return createHash("sha256").update(frame).update(rest).digest("hex").slice(0, 16);
}

const MODULE_SIZE_MAX = 64 << 20;

export interface FetchOptions {
  readonly name: string;
  readonly suite: string;
  readonly flavour: string;
  /** Fetch even when the image is there and current. */
  readonly force: boolean;
}

export interface Fetched {
  readonly record: ImageRecord;
  /** The image was there and current. */
  readonly unchanged: boolean;
}

/** Fetches an image into the cache; under its lock. */
export async function fetchDebian(
  store: ImageStore,
  source: PackageSource,
  { name, suite, flavour, force }: FetchOptions,
  progress: Progress,
): Promise<Fetched> {
  const plan = await planImage(source, { flavour });
  const packages = [...plan.kernel, plan.busybox];
  const before = store.find(name);
  if (!force && before !== undefined && isCurrent(store, before, packages)) return { record: before, unchanged: true };

  const files = await source.download(packages);
  progress.step("making the image: kernel, modules and busybox in an initramfs");
  const made = await makeImage(plan, files, progress);
  const record: ImageRecord = {
    schemaVersion: 1,
    name,
    distribution: "debian",
    suite,
    flavour,
    source: source.name,
    fetched: new Date().toISOString(),
    recipe: recipe(),
    kernel: { ...store.add(made.kernel), version: made.version, banner: made.banner, realmAware: made.realmAware },
    initramfs: {
      ...store.add(made.initramfs),
      modules: made.modules.modules.map(({ info }) => info.name),
      missing: made.modules.missing,
    },
    params: DEFAULT_PARAMS,
    realmParams: made.realmAware ? REALM_PARAMS : "",
    packages: packages.map(({ name, version, sha256 }) => ({ name, version, sha256 })),
  };
  store.put(record);
  return { record, unchanged: false };
}

function isCurrent(store: ImageStore, record: ImageRecord, packages: readonly DebianPackage[]): boolean {
  const hashes = (list: readonly { readonly sha256: string }[]) =>
    list
      .map(({ sha256 }) => sha256)
      .sort()
      .join();
  if (record.recipe !== recipe() || hashes(record.packages) !== hashes(packages)) return false;
  try {
    store.read(record.kernel, record.name);
    store.read(record.initramfs, record.name);
    return true;
  } catch {
    return false;
  }
}

interface MadeImage {
  readonly kernel: Uint8Array;
  readonly version: string;
  readonly banner: string;
  readonly realmAware: boolean;
  readonly initramfs: Uint8Array;
  readonly modules: ModuleSet;
}

/** Makes an image of downloaded packages. */
export async function makeImage(plan: ImagePlan, paths: readonly string[], progress: Progress): Promise<MadeImage> {
  const content = new Map<string, Uint8Array>();
  for (const [i, path] of paths.entries()) {
    const { name } = plan.kernel[i] ?? plan.busybox;
    progress.amount(`reading ${basename(path)} (${sizeText(readFileSync(path).length)})`);
    const files = await readDeb(new Uint8Array(readFileSync(path)), {
      what: name,
      wanted: name === plan.busybox.name ? isBusybox : isKernelPart,
    });
    for (const [file, bytes] of files) content.set(file, bytes);
  }
  progress.clear();
  const kernel = [...content].find(([path]) => KERNEL.test(path))?.[1];
  if (kernel === undefined) throw bad("hold no kernel (vmlinuz)");
  const facts = kernelFacts(kernel);
  if (facts?.banner === undefined || facts.version === undefined)
    throw bad("hold a kernel that is no arm64 Linux Image");
  const busybox = [...content].find(([path]) => isBusybox(path))?.[1];
  if (busybox === undefined) throw bad("hold no busybox");

  const modulePaths = new Map<string, string>();
  for (const path of content.keys()) {
    const below = MODULE.exec(path)?.[1];
    if (below !== undefined) modulePaths.set(below, path);
  }
  const builtin = [...content].find(([path]) => path.endsWith("/modules.builtin"))?.[1];
  const modules = await moduleClosure(MODULES, {
    paths: modulePaths.keys(),
    read: (path) => unpack(content.get(modulePaths.get(path)!)!, { what: path, sizeMax: MODULE_SIZE_MAX }),
    builtin: new Set(
      latin1(builtin ?? new Uint8Array())
        .split("\n")
        .map(moduleName),
    ),
  });
  const initramfs = makeInitramfs({ busybox, kernelVersion: facts.version, modules: modules.modules });
  const { banner, version, realmAware } = facts;
  return { kernel, version, banner, realmAware, initramfs, modules };
}

/** Kernel 7.x keeps it with its modules, 6.12 in /boot. */
const KERNEL = /^(boot\/vmlinuz-[^/]+|(usr\/)?lib\/modules\/[^/]+\/vmlinuz)$/;
const MODULE = /^(?:usr\/)?lib\/modules\/[^/]+\/(kernel\/.+\.ko(?:\.(?:xz|zst|gz))?)$/;
const isKernelPart = (path: string) => KERNEL.test(path) || MODULE.test(path) || path.endsWith("/modules.builtin");
const isBusybox = (path: string) => /^(usr\/)?bin\/busybox$/.test(path);

const bad = (what: string) => new ImagesError("bad-content", `the packages ${what}`, "try another --suite");
