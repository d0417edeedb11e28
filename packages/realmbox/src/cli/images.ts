/**
 * Which image the user means. A positional that contains `/` or names a file is a file, else a built-in image
 * (design: "Command line").
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { closest } from "./suggest.js";
import { UsageError } from "./usage.js";

export interface Image {
  /** How reports call it. */
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly builtIn: boolean;
}

/** Folders that may hold the built-in images: beside the bundle, or the workspace's own when run from the sources. */
const FOLDERS = ["./images", "../../../../guests/prebuilt"].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
);

const builtInFolder = (): string | undefined => FOLDERS.find((folder) => existsSync(folder));

/** What the built-in images do, for a list; guests/README.md says more. */
const ABOUT: Readonly<Record<string, string>> = {
  hello: "says where it runs; a realm also fetches its attestation token",
  hostile: "misbehaves or works hard: -p case=NAME; without a case it lists them",
  "rsi-check": "tries every RSI command and PSCI function of a realm",
  smp: "tries several vCPUs, interrupts and timers: -c 4",
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
export function findImage(option: string, name: string): Image {
  if (name.includes("/") || existsSync(name)) return { name, bytes: readInput(option, name), builtIn: false };
  const folder = builtInFolder();
  const known = builtInImages().map((image) => image.name);
  if (folder !== undefined && known.includes(name)) {
    return { name, bytes: new Uint8Array(readFileSync(join(folder, `${name}.bin`))), builtIn: true };
  }
  const near = closest(name, known);
  throw new UsageError(
    `${option}: there is no file and no built-in image '${name}'`,
    near === undefined ? `built-in images: ${known.join(", ") || "none"}` : `did you mean ${near}?`,
  );
}
