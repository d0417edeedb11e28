/**
 * Which image the user means. A positional that contains `/` or names a file is a file, else a built-in image, else one
 * that `images fetch` has put into the cache.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ImageRecord, ImageStore } from "../images/store.js";
import { unwrapKernel } from "../images/unwrap-kernel.js";
import { closest } from "./suggest.js";
import { UsageError } from "./usage.js";

export interface Image {
  /** How reports call it. */
  readonly name: string;
  /** The kernel, decompressed. */
  readonly bytes: Uint8Array;
  readonly builtIn: boolean;
  /** What a fetched image brings along; options of the user come first. */
  readonly fetched?: {
    readonly record: ImageRecord;
    readonly initrd: Uint8Array;
  };
  /** What was done to the file, for the user to know. */
  readonly note?: string;
}

/** Folders that may hold the built-in images: beside the bundle, or the workspace's own when run from the sources. */
const FOLDERS = ["./images", "../../../../guests/prebuilt"].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
);

const builtInFolder = (): string | undefined => FOLDERS.find((folder) => existsSync(folder));

/** What the built-in images do, for a list; guests/README.md says more. */
const ABOUT: Readonly<Record<string, string>> = {
  bench: "one class of work for benchmarks: -p class=NAME; without a class it lists them",
  echo: "gives back what it reads from the console, until Ctrl-d",
  hello: "says where it runs; a realm also fetches its attestation token",
  hostile: "misbehaves or works hard: -p case=NAME; without a case it lists them",
  "rsi-check": "tries every RSI command and PSCI function of a realm",
  smp: "tries several vCPUs, interrupts and timers: -c 4",
  virtio: "drives virtio devices: -d disk.img --rng --console virtio",
};

/** The built-in images, in alphabetical order. */
export function builtInImages(): readonly { readonly name: string; readonly size: number; readonly about: string }[] {
  const folder = builtInFolder();
  if (folder === undefined) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(".bin"))
    .sort()
    .map((file) => ({ name: basename(file, ".bin"), size: statSync(join(folder, file)).size }))
    .map((image) => ({ ...image, about: ABOUT[image.name] ?? "" }));
}

/** Reads a file that an option names; `UsageError` names both. */
export function readInput(option: string, path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === "ENOENT"
        ? "no such file"
        : code === "EISDIR"
          ? "is a directory"
          : code === "EACCES"
            ? "permission denied"
            : String(code);
    throw new UsageError(`${option}: cannot read '${path}': ${why}`);
  }
}

/** Resolves a positional or `-k` argument to an image; `UsageError` when there is no such thing. */
export function findImage(option: string, name: string, store = new ImageStore()): Image {
  if (name.includes("/") || existsSync(name)) {
    const { bytes, how } = unwrapKernel(readInput(option, name), name);
    return { name, bytes, builtIn: false, ...(how === undefined ? {} : { note: how }) };
  }
  const folder = builtInFolder();
  const builtIn = builtInImages().map((image) => image.name);
  if (folder !== undefined && builtIn.includes(name)) {
    return { name, bytes: new Uint8Array(readFileSync(join(folder, `${name}.bin`))), builtIn: true };
  }
  const record = store.find(name);
  if (record !== undefined) {
    const bytes = store.read(record.kernel, name);
    const initrd = store.read(record.initramfs, name);
    return { name, bytes, builtIn: false, fetched: { record, initrd } };
  }
  if (name === "debian" || name.startsWith("debian-")) {
    const suite = name.slice("debian-".length);
    throw new UsageError(
      `${option}: '${name}' has not been fetched`,
      `run first: realmbox images fetch debian${suite === "" ? "" : ` --suite ${suite}`}`,
    );
  }
  const known = [...builtIn, ...store.list().map((image) => image.name)];
  const near = closest(name, [...known, "debian"]);
  throw new UsageError(
    `${option}: there is no file and no built-in or fetched image '${name}'`,
    near === undefined ? `images: ${known.join(", ") || "none"}` : `did you mean ${near}?`,
  );
}

/** How an image is to be run, as far as its default kernel parameters go. */
export interface ParamsFlags {
  readonly params?: string | undefined;
  readonly nodefaults?: boolean | undefined;
  readonly realm?: boolean | undefined;
}

/** The default kernel parameters of an image; none with `--nodefaults`. */
function defaultParams({ fetched }: Image, { nodefaults, realm }: ParamsFlags): string {
  if (fetched === undefined || nodefaults) return "";
  const { params, realmParams } = fetched.record;
  return [params, ...(realm ? [realmParams] : [])].filter((text) => text !== "").join(" ");
}

/** The kernel parameters of a run: the image's own, then the user's. */
export function paramsOf(image: Image, flags: ParamsFlags): string | undefined {
  const own = defaultParams(image, flags);
  return own === "" ? flags.params : flags.params === undefined ? own : `${own} ${flags.params}`;
}

/** What an image can be run as. */
export const aboutRealm = (realmAware: boolean): string => (realmAware ? "realm or normal VM" : "normal VM only");

/** What the user should know about an image and did not say. */
export function notesOf(image: Image, flags: ParamsFlags): readonly string[] {
  const { fetched, note } = image;
  const own = defaultParams(image, flags);
  return [
    ...(note === undefined ? [] : [note]),
    ...(fetched === undefined
      ? []
      : [`${image.name}: Debian ${fetched.record.suite}, kernel ${fetched.record.kernel.version}`]),
    ...(own === "" ? [] : [`${image.name}: default kernel parameters ${own} (--nodefaults leaves them out)`]),
  ];
}
