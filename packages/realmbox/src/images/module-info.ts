/**
 * What a kernel module says about itself: the `.modinfo` section of its ELF file, NUL-separated `key=value` texts
 * (Linux, include/linux/moduleinfo.h). Nothing is run or relocated.
 */
import { cString, latin1 } from "./bytes.js";

export interface ModuleInfo {
  /** With underscores, as `lsmod` shows it. */
  readonly name: string;
  /** Names of modules whose symbols it uses. */
  readonly depends: readonly string[];
  /** Modules or aliases that it would like to be there before. */
  readonly softDepends: readonly string[];
  /** What it answers to: patterns of device aliases, `fs-ext4`, … */
  readonly aliases: readonly string[];
  readonly vermagic: string;
}

/** Module names are compared with underscores. */
export const canonicalName = (name: string): string => name.replaceAll("-", "_");

/** Reads a module; undefined when the bytes are no AArch64 module. */
export function moduleInfo(file: Uint8Array): ModuleInfo | undefined {
  const section = modinfoSection(file);
  if (section === undefined) return undefined;
  const fields = latin1(section)
    .split("\0")
    .map((text) => [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)] as const);
  const all = (key: string) => fields.filter(([name]) => name === key).map(([, value]) => value);
  const name = all("name")[0];
  if (name === undefined) return undefined;
  return {
    name: canonicalName(name),
    depends: all("depends").flatMap((list) =>
      list
        .split(",")
        .filter((word) => word !== "")
        .map(canonicalName),
    ),
    softDepends: all("softdep").flatMap(softDependencies),
    aliases: all("alias"),
    vermagic: all("vermagic")[0] ?? "",
  };
}

/** `pre: a b post: c`: what comes before. */
function softDependencies(text: string): readonly string[] {
  const before = /\bpre:\s*(.*?)\s*(?:\bpost:|$)/.exec(text)?.[1] ?? "";
  return before.split(/\s+/).filter((word) => word !== "");
}

/** ELF64, little-endian, AArch64 (ELF specification; e_machine 183). */
function modinfoSection(file: Uint8Array): Uint8Array | undefined {
  if (file.length < 64 || latin1(file.subarray(0, 6)) !== "\x7fELF\x02\x01") return undefined;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (view.getUint16(18, true) !== 183) return undefined;
  const tableAt = Number(view.getBigUint64(40, true));
  const [entrySize, count, namesIndex] = [58, 60, 62].map((at) => view.getUint16(at, true)) as [number, number, number];
  const header = (i: number) => {
    const at = tableAt + i * entrySize;
    if (entrySize < 64 || i >= count || at + 64 > file.length) return undefined;
    return {
      name: view.getUint32(at, true),
      start: Number(view.getBigUint64(at + 24, true)),
      size: Number(view.getBigUint64(at + 32, true)),
    };
  };
  const names = header(namesIndex);
  if (names === undefined) return undefined;
  for (let i = 0; i < count; i++) {
    const section = header(i);
    if (section === undefined) return undefined;
    if (cString(file, names.start + section.name, 16) !== ".modinfo") continue;
    const end = section.start + section.size;
    return end > file.length ? undefined : file.subarray(section.start, end);
  }
  return undefined;
}
