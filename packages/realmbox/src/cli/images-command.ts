/**
 * `realmbox images ls | inspect | rm`, and the options of `images fetch` (images-fetch.ts). Results go to stdout, notes to
 * stderr.
 */
import { existsSync } from "node:fs";
import { toHex } from "@realmbox/token";
import { type MachineContent, machineContent } from "@realmbox/vmm";
import { Command, Option } from "commander";
import { Box } from "../box.js";
import { nodeCrypto } from "../crypto/node.js";
import { DEFAULT_FLAVOUR, DEFAULT_SUITE, FLAVOURS } from "../images/debian-plan.js";
import { type KernelFacts, kernelFacts } from "../images/kernel-image.js";
import { sizeText } from "../images/progress.js";
import { type ImageRecord, ImageStore } from "../images/store.js";
import { measure, realmPlatform } from "../report.js";
import { aboutRealm, builtInImages, findImage } from "./images.js";
import type { FetchFlags } from "./images-fetch.js";
import { print, printJson, terminalProgress } from "./output.js";
import { configOf } from "./run.js";
import { closest } from "./suggest.js";
import { EXIT, UsageError } from "./usage.js";

/** `realmbox images ls` */
export function listCommand(flags: { readonly json?: boolean }): number {
  const fetched = new ImageStore().list().map((record) => ({
    name: record.name,
    source: "fetched" as const,
    size: record.kernel.size + record.initramfs.size,
    about: `Debian ${record.suite}, kernel ${record.kernel.version}: ${aboutRealm(record.kernel.realmAware)}`,
    suite: record.suite,
    kernel: record.kernel.version,
    realmAware: record.kernel.realmAware,
    fetched: record.fetched,
  }));
  const builtIn = builtInImages().map((image) => ({ ...image, source: "built-in" as const }));
  if (flags.json) {
    printJson({ images: [...fetched, ...builtIn] });
    return EXIT.OK;
  }
  const rows = [
    ["NAME", "SOURCE", "SUITE", "KERNEL", "SIZE", "DATE", "ABOUT"],
    ...fetched.map((image) => [
      ...[image.name, "fetched", image.suite, image.kernel, sizeText(image.size), image.fetched.slice(0, 10)],
      aboutRealm(image.realmAware),
    ]),
    ...builtIn.map(({ name, size, about }) => [name, "built-in", "-", "-", sizeText(size), "-", about]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (column === 4 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join("  ")
      .trimEnd();
  print(`${rows.map(line).join("\n")}\n`);
  return EXIT.OK;
}

/** `realmbox images rm NAME…` or `--all` */
export async function removeCommand(
  names: readonly string[],
  flags: { readonly all?: boolean; readonly json?: boolean },
): Promise<number> {
  const store = new ImageStore();
  const known = store.list().map((record) => record.name);
  if (flags.all && names.length > 0) {
    throw new UsageError(`both --all and '${names[0]}' are given`, "give one of them");
  }
  if (!flags.all && names.length === 0) throw new UsageError("no image named", "realmbox images rm NAME, or --all");
  for (const name of names) {
    if (known.includes(name)) continue;
    if (builtInImages().some((image) => image.name === name)) throw new UsageError(`'${name}' is built in`);
    const near = closest(name, known);
    throw new UsageError(
      `there is no fetched image '${name}'`,
      near === undefined ? `fetched images: ${known.join(", ") || "none"}` : `did you mean ${near}?`,
    );
  }
  const removed = flags.all ? known : names;
  // Nothing to lock, and no cache to make for it.
  if (existsSync(store.folder)) {
    const waiting = (holder: string) =>
      terminalProgress().step(`waiting for another realmbox that changes the cache (${holder})`);
    await store.locked({ waiting, signal: new AbortController().signal }, async () => {
      for (const name of removed) store.remove(name);
      if (flags.all) store.removeDownloads();
    });
  }
  if (flags.json) printJson({ removed });
  return EXIT.OK;
}

/** `realmbox images inspect NAME|FILE` */
export function inspectCommand(name: string, flags: { readonly json?: boolean }): number {
  const store = new ImageStore();
  const image = findImage("image", name, store);
  const record = image.fetched?.record;
  const facts = kernelFacts(image.bytes);
  const content = machineContent(configOf(image, { realm: true }));
  // A Linux without realm support has no use for one.
  const unaware = facts?.banner !== undefined && !facts.realmAware;
  const rim = content.ok && !unaware ? rimOf(content.value) : undefined;
  const params = content.ok ? content.value.bootargs?.trim() : undefined;
  if (flags.json) {
    printJson({
      name,
      source: record !== undefined ? "fetched" : image.builtIn ? "built-in" : "file",
      ...(record === undefined ? {} : fetchedJson(record, store)),
      kernel: {
        size: image.bytes.length,
        ...(record === undefined ? {} : { path: store.path(record.kernel), sha256: record.kernel.sha256 }),
        ...(facts === undefined ? { format: "not an arm64 Image" } : factsJson(facts)),
      },
      commandLine: params ?? null,
      rim: rim === undefined ? null : { algorithm: "sha256", value: rim },
      problem: content.ok ? null : content.error.message,
    });
    return EXIT.OK;
  }
  const lines: (readonly [string, string])[] = [
    ["name", image.note === undefined ? name : `${name} (decompressed)`],
    ...(record === undefined ? [] : recordLines(record)),
    ...(facts === undefined ? [["kernel", "not an arm64 Image"] as const] : factsLines(facts)),
    ["size", `${image.bytes.length} bytes`],
    ...(record === undefined ? [] : initramfsLines(record, store)),
    ["command line", params ?? "none"],
    ["RIM", rim === undefined ? "-" : `${rim} (sha256; of 'run --realm' without further options)`],
    ...(content.ok ? [] : [["problem", content.error.message] as const]),
  ];
  const width = Math.max(...lines.map(([key]) => key.length));
  print(lines.map(([key, value]) => `${`${key}:`.padEnd(width + 1)} ${value}\n`).join(""));
  return EXIT.OK;
}

/** The expected RIM; what the platform gives to every realm is the RMM's to say. */
function rimOf(content: MachineContent): string | undefined {
  const { rmm } = new Box({ crypto: nodeCrypto }).host;
  return rmm === undefined ? undefined : toHex(measure(nodeCrypto, content, realmPlatform(rmm.features0)));
}

const realmText = (facts: KernelFacts): string =>
  facts.realmAware
    ? "yes: it has Linux' code for realms (RSI)"
    : facts.banner === undefined
      ? "unknown: this is not Linux"
      : "no: this Linux has no code for realms (6.13 brought it); it runs as a normal VM";

const factsLines = (facts: KernelFacts): (readonly [string, string])[] => [
  ["kernel", facts.banner ?? "arm64 Image"],
  ["realm support", realmText(facts)],
  ["text_offset", `0x${facts.textOffset.toString(16)}`],
  ["image_size", `0x${facts.imageSize.toString(16)} (${facts.imageSize} bytes)`],
  [
    "flags",
    `0x${facts.flags.toString(16)}: ${facts.endianness}-endian, ${facts.pageSize === undefined ? "page size not told" : `${facts.pageSize} KiB pages`}, placed ${facts.placement}`,
  ],
];

const factsJson = (facts: KernelFacts) => ({
  format: "arm64 Image",
  banner: facts.banner ?? null,
  version: facts.version ?? null,
  realmAware: facts.banner === undefined ? null : facts.realmAware,
  header: {
    text_offset: `0x${facts.textOffset.toString(16)}`,
    image_size: `0x${facts.imageSize.toString(16)}`,
    flags: `0x${facts.flags.toString(16)}`,
    endianness: facts.endianness,
    pageSizeKiB: facts.pageSize ?? null,
    placement: facts.placement,
  },
});

const recordLines = (record: ImageRecord): (readonly [string, string])[] => [
  ["source", `Debian ${record.suite}, flavour ${record.flavour}, from ${record.source}, ${record.fetched}`],
  ["packages", record.packages.map(({ name, version }) => `${name} ${version}`).join(", ")],
];

const initramfsLines = (record: ImageRecord, store: ImageStore): (readonly [string, string])[] => [
  ["initramfs", `${record.initramfs.size} bytes`],
  ["modules", record.initramfs.modules.join(", ")],
  ...(record.initramfs.missing.length === 0 ? [] : [["modules absent", record.initramfs.missing.join(", ")] as const]),
  ["files", `${store.path(record.kernel)}, ${store.path(record.initramfs)}`],
];

const fetchedJson = (record: ImageRecord, store: ImageStore) => ({
  suite: record.suite,
  flavour: record.flavour,
  from: record.source,
  fetched: record.fetched,
  packages: record.packages,
  initramfs: { ...record.initramfs, path: store.path(record.initramfs) },
  params: record.params,
  realmParams: record.realmParams,
});

/** The `images` command for the program. */
export function imagesCommand(
  done: (exitCode: number) => void,
  examples: (...lines: readonly string[]) => string,
): Command {
  const images = new Command("images").description("fetch, list, inspect and remove the images that run knows by name");
  images
    .command("fetch")
    .description("fetch Debian's kernel and busybox and make an image of them, in the cache")
    .argument(
      "<distribution>",
      "debian; or bench: Debian's programs that 'realmbox bench' runs, for the kernel of 'debian'",
    )
    .option("--suite <name>", "sid, forky: kernels with realm support; trixie: normal VM only", DEFAULT_SUITE)
    .addOption(
      new Option("--kernel-flavour <name>", "which of Debian's arm64 kernels")
        .choices(FLAVOURS)
        .default(DEFAULT_FLAVOUR),
    )
    .option("--name <name>", "the image's name (default: debian, with the suite where it is not the default)")
    .option("--mirror <url>", "take the packages from this Debian mirror, without apt")
    .option("--keyring <file>", "the keys of Debian's archive (default: those of the package debian-archive-keyring)")
    .option("--allow-expired", "with --mirror: take an index whose Valid-Until has passed")
    .option("--force", "fetch again what is there and current")
    .option("--json", "print the image's record as a JSON document")
    .option("-q, --quiet", "print nothing but errors, and the record that --json asks for")
    .addHelpText(
      "after",
      `\nThe cache is $REALMBOX_CACHE, else $XDG_CACHE_HOME/realmbox, else ~/.cache/realmbox.${examples("images fetch debian", "images fetch debian --suite trixie")}`,
    )
    .action(async (distribution: string, flags: FetchFlags) => {
      const { fetchCommand } = await import("./images-fetch.js");
      done(await fetchCommand(distribution, flags));
    });
  images
    .command("ls")
    .description("list the images: fetched ones, then those built in")
    .option("--json", "print the list as a JSON document")
    .addHelpText("after", examples("images ls", "images ls --json"))
    .action((flags: { json?: boolean }) => done(listCommand(flags)));
  images
    .command("inspect")
    .description("print what a kernel or an image is: header, version, realm support, expected RIM")
    .argument("<image>", "a file or the name of an image")
    .option("--json", "print it as a JSON document")
    .addHelpText("after", examples("images inspect hello", "images inspect --json ./kernel.bin"))
    .action((name: string, flags: { json?: boolean }) => done(inspectCommand(name, flags)));
  images
    .command("rm")
    .description("remove fetched images")
    .argument("[names...]", "names of fetched images")
    .option("--all", "remove all of them, and everything else in the cache")
    .option("--json", "print what was removed as a JSON document")
    .addHelpText("after", examples("images rm --all"))
    .action(async (names: string[], flags: { all?: boolean; json?: boolean }) =>
      done(await removeCommand(names, flags)),
    );
  return images;
}
