/**
 * `realmbox images fetch debian`: the options, and what is told while it works. Loaded only when it is wanted, with the
 * libraries that read packages.
 */
import { existsSync } from "node:fs";
import { aptSource, haveApt, systemKeyring } from "../images/apt.js";
import { DEFAULT_FLAVOUR, DEFAULT_SUITE, type PackageSource } from "../images/debian-plan.js";
import { ImagesError } from "../images/error.js";
import { fetchDebian } from "../images/fetch-debian.js";
import { mirrorSource } from "../images/mirror.js";
import { silent } from "../images/progress.js";
import { ImageStore, isImageName } from "../images/store.js";
import { benchFetchCommand } from "./bench-fetch.js";
import { aboutRealm, builtInImages } from "./images.js";
import { printJson, terminalProgress } from "./output.js";
import { writeAll } from "./run.js";
import { EXIT, UsageError } from "./usage.js";

export interface FetchFlags {
  readonly suite: string;
  readonly kernelFlavour: string;
  readonly mirror?: string;
  readonly keyring?: string;
  readonly allowExpired?: boolean;
  readonly name?: string;
  readonly force?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** `realmbox images fetch debian` */
export async function fetchCommand(distribution: string, flags: FetchFlags): Promise<number> {
  if (distribution === "bench") return benchFetchCommand(flags);
  if (distribution !== "debian") {
    throw new UsageError(`'${distribution}' cannot be fetched`, "realmbox images fetch debian");
  }
  const { suite, kernelFlavour: flavour, mirror } = flags;
  if (!/^[a-z][a-z0-9-]*$/.test(suite)) {
    throw new UsageError(`option '--suite': '${suite}' is no suite`, "for example sid, forky, trixie");
  }
  const name = flags.name ?? defaultName(flags);
  if (!isImageName(name)) throw new UsageError(`option '--name': '${name}' cannot name an image`);
  if (builtInImages().some((image) => image.name === name)) {
    throw new UsageError(`option '--name': '${name}' is a built-in image`, "choose another name");
  }
  if (mirror === undefined && !haveApt()) {
    throw new UsageError(
      "there is no apt on this machine to fetch Debian's packages with",
      "name a Debian mirror: realmbox images fetch debian --mirror URL",
    );
  }
  const keyring = keyringOf(flags.keyring);

  const store = new ImageStore();
  const progress = flags.quiet ? silent : terminalProgress();
  const abort = new AbortController();
  const stop = () => abort.abort();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  const { signal } = abort;
  try {
    const { record, unchanged } = await store.locked(
      { waiting: (holder) => progress.step(`waiting for another realmbox that changes the cache (${holder})`), signal },
      async () => {
        const source: PackageSource =
          mirror === undefined
            ? await aptSource({ suite, folder: store.downloads("apt", suite), keyring, progress, signal })
            : await mirrorSource({
                ...{ mirror, suite, keyring, progress, signal },
                folder: store.downloads("mirror"),
                allowExpired: flags.allowExpired ?? false,
              });
        const options = { name, suite, flavour, force: flags.force ?? false };
        const fetched = await fetchDebian(store, source, options, progress);
        store.removeDownloads();
        return fetched;
      },
    );
    progress.clear();
    if (flags.json) printJson({ ...record, unchanged });
    else if (!flags.quiet) {
      progress.step(
        `${unchanged ? "up to date" : "fetched"}: ${name}, Debian ${suite}, kernel ${record.kernel.version}, ${aboutRealm(record.kernel.realmAware)}`,
      );
      if (record.initramfs.missing.length > 0) {
        progress.step(`without modules that this kernel does not have: ${record.initramfs.missing.join(", ")}`);
      }
      progress.step(`run it: realmbox run ${record.kernel.realmAware ? "--realm " : ""}-m 512 ${name}`);
    }
    return EXIT.OK;
  } catch (error) {
    progress.clear();
    if (!(error instanceof ImagesError) || error.problem !== "interrupted") throw error;
    writeAll(2, Buffer.from(`realmbox: ${error.message}\n  ${error.hint}\n`));
    return EXIT.INTERRUPTED;
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}

const defaultName = ({ suite, kernelFlavour }: FetchFlags): string =>
  [
    "debian",
    ...(suite === DEFAULT_SUITE ? [] : [suite]),
    ...(kernelFlavour === DEFAULT_FLAVOUR ? [] : [kernelFlavour.replace(/-?arm64$/, "")]),
  ].join("-");

function keyringOf(named: string | undefined): string {
  if (named !== undefined) {
    if (!existsSync(named)) throw new UsageError(`option '--keyring': cannot read '${named}': no such file`);
    return named;
  }
  const keyring = systemKeyring();
  if (keyring !== undefined) return keyring;
  throw new UsageError(
    "the keys of Debian's archive are not on this machine, so that nothing fetched could be checked",
    "install the package debian-archive-keyring, or name a file of keys with --keyring (https://ftp-master.debian.org/keys.html)",
  );
}
