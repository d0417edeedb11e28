/**
 * Which Debian packages make an image: the kernel's meta package, what it leads to, and busybox. Versions are never
 * written here: the meta package names the current kernel.
 *
 * Up to 6.12 `linux-image-VERSION` holds the kernel (/boot/vmlinuz-VERSION) and its modules; later kernels part it into
 * `linux-binary-VERSION` (vmlinuz below /usr/lib/modules), `linux-modules-VERSION` and `linux-base-VERSION`.
 */
import { compareVersions, type DebianPackage } from "./control.js";
import { ImagesError } from "./error.js";

export const ARCHITECTURE = "arm64";
/** Debian's current kernel for realms; `sid` has had one since 7.x. */
export const DEFAULT_SUITE = "sid";
export const DEFAULT_FLAVOUR = "arm64";
export const FLAVOURS = ["arm64", "cloud-arm64"] as const;

/** Where packages come from: apt, or a mirror. */
export interface PackageSource {
  /** For the image's record and for messages. */
  readonly name: string;
  /** Every version of the packages with these names that the suite has. */
  readonly find: (names: readonly string[]) => Promise<readonly DebianPackage[]>;
  /** Downloads packages and checks their hashes: the files, in the packages' order. */
  readonly download: (packages: readonly DebianPackage[]) => Promise<readonly string[]>;
}

export interface ImagePlan {
  readonly kernel: readonly DebianPackage[];
  readonly busybox: DebianPackage;
}

/** A kernel's own packages: their names carry its version, as in linux-image-7.2.13+deb14-arm64. */
const KERNEL_PACKAGE = /^linux-(image|binary|modules|base)-\d/;

/** Follows the meta package of a kernel flavour; `ImagesError` when the suite lacks something. */
export async function planImage(source: PackageSource, { flavour }: { readonly flavour: string }): Promise<ImagePlan> {
  const meta = newest(await source.find([`linux-image-${flavour}`]), `linux-image-${flavour}`);
  if (meta === undefined) throw missing(source, `linux-image-${flavour}`);
  const kernel = new Map<string, DebianPackage>();
  for (let wanted = kernelDependencies(meta); wanted.length > 0; ) {
    const found = await source.find(wanted.map(({ name }) => name));
    const next: DebianPackage["depends"][number][] = [];
    for (const { name, exactly } of wanted) {
      const match = newest(
        found.filter(({ version }) => exactly === undefined || version === exactly),
        name,
      );
      if (match === undefined) throw missing(source, exactly === undefined ? name : `${name} (= ${exactly})`);
      kernel.set(name, match);
      next.push(...kernelDependencies(match));
    }
    wanted = next.filter(({ name }, i) => !kernel.has(name) && next.findIndex((other) => other.name === name) === i);
  }
  const busybox = newest(await source.find(["busybox-static"]), "busybox-static");
  if (busybox === undefined) throw missing(source, "busybox-static");
  return { kernel: [...kernel.values()], busybox };
}

const kernelDependencies = ({ depends }: DebianPackage) => depends.filter(({ name }) => KERNEL_PACKAGE.test(name));

const newest = (packages: readonly DebianPackage[], name: string): DebianPackage | undefined =>
  packages
    .filter((candidate) => candidate.name === name && candidate.architecture === ARCHITECTURE)
    .sort((a, b) => compareVersions(b.version, a.version))[0];

const missing = (source: PackageSource, what: string) =>
  new ImagesError("not-found", `${source.name} has no package ${what} for ${ARCHITECTURE}`, "try another --suite");
