/**
 * Which kernel modules go into an initramfs, and the tables by which `modprobe` finds them there: modules.dep and
 * modules.alias, which Debian's packages do not hold (depmod writes them when a package is installed).
 */
import { ImagesError } from "./error.js";
import { canonicalName, type ModuleInfo, moduleInfo } from "./module-info.js";

export interface KernelModule {
  /** Below /lib/modules/VERSION, uncompressed: `kernel/fs/ext4/ext4.ko`. */
  readonly path: string;
  /** The file as Debian signed it. */
  readonly bytes: Uint8Array;
  readonly info: ModuleInfo;
}

export interface ModuleSource {
  /** Paths of the modules that the packages hold, below /lib/modules/VERSION, with their compression's suffix. */
  readonly paths: Iterable<string>;
  /** The module's file, uncompressed. */
  readonly read: (path: string) => Promise<Uint8Array>;
  /** Names of what is in the kernel itself: `modules.builtin`. */
  readonly builtin: ReadonlySet<string>;
}

export interface ModuleSet {
  /** Each behind what it depends on. */
  readonly modules: readonly KernelModule[];
  /** Wanted, but neither a module nor built in. */
  readonly missing: readonly string[];
}

/** The wanted modules with everything that they depend on. */
export async function moduleClosure(wanted: readonly string[], source: ModuleSource): Promise<ModuleSet> {
  const paths = new Map<string, string>();
  for (const path of source.paths) paths.set(moduleName(path), path);
  const modules = new Map<string, KernelModule>();
  const missing: string[] = [];
  const visiting = new Set<string>();

  const visit = async (name: string, need: "wanted" | "dependency" | "soft"): Promise<void> => {
    if (modules.has(name) || source.builtin.has(name)) return;
    const path = paths.get(name);
    if (path === undefined) {
      if (need === "wanted") missing.push(name);
      if (need === "dependency") throw bad(`the kernel's packages lack the module ${name}, which others need`);
      return;
    }
    if (visiting.has(name)) throw bad(`the kernel module ${name} depends on itself`);
    visiting.add(name);
    const bytes = await source.read(path);
    const info = moduleInfo(bytes);
    if (info === undefined) throw bad(`'${path}' is no AArch64 kernel module`);
    // A soft dependency may be an alias such as crypto-crc32c: modules of the generic code are named after it.
    for (const soft of info.softDepends.map(canonicalName)) {
      await visit(soft, "soft");
      if (soft.startsWith("crypto_")) await visit(`${soft.slice(7)}_generic`, "soft");
    }
    for (const dependency of info.depends) await visit(dependency, "dependency");
    modules.set(name, { path: path.replace(/\.(xz|zst|gz)$/, ""), bytes, info });
  };
  for (const name of wanted) await visit(canonicalName(name), "wanted");
  return { modules: [...modules.values()], missing };
}

/** `kernel/fs/ext4/ext4.ko.xz` → `ext4`; also for the lines of modules.builtin. */
export const moduleName = (path: string): string =>
  canonicalName(path.slice(path.lastIndexOf("/") + 1).replace(/\.ko(\.\w+)?$/, ""));

/**
 * modules.dep: each module's path, then all that it needs; what is named last is loaded first. modules.dep(5).
 * `modules` are in load order.
 */
export function modulesDep(modules: readonly KernelModule[]): string {
  const byName = new Map(modules.map((module) => [module.info.name, module]));
  const collect = (module: KernelModule, into: Set<KernelModule>): Set<KernelModule> => {
    for (const dependency of module.info.depends.flatMap((name) => byName.get(name) ?? [])) {
      into.add(dependency);
      collect(dependency, into);
    }
    return into;
  };
  return modules
    .map((module) => {
      const needs = collect(module, new Set());
      const order = modules.filter((other) => needs.has(other)).reverse();
      return `${module.path}:${order.map(({ path }) => ` ${path}`).join("")}\n`;
    })
    .join("");
}

/** modules.alias: what devices and file systems ask for, and who answers. */
export function modulesAlias(modules: readonly KernelModule[]): string {
  return modules.flatMap(({ info }) => info.aliases.map((alias) => `alias ${alias} ${info.name}\n`)).join("");
}

/** modules.softdep: what is loaded first where it exists. */
export function modulesSoftdep(modules: readonly KernelModule[]): string {
  return modules
    .filter(({ info }) => info.softDepends.length > 0)
    .map(({ info }) => `softdep ${info.name} pre: ${info.softDepends.join(" ")}\n`)
    .join("");
}

const bad = (message: string) => new ImagesError("bad-content", message);
