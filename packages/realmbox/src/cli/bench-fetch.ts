/** `realmbox images fetch bench`: loaded only when it is wanted, with the libraries that read packages. */
import { aptSource, haveApt, systemKeyring } from "../images/apt.js";
import { fetchPrograms, PROGRAMS_SUITE } from "../images/fetch-programs.js";
import { silent } from "../images/progress.js";
import { ImageStore } from "../images/store.js";
import { printJson, terminalProgress } from "./output.js";
import { EXIT, UsageError } from "./usage.js";

export interface BenchFetchFlags {
  readonly mirror?: string;
  readonly keyring?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Fetches Debian's programs for the kernel that `images fetch debian` has put into the cache. */
export async function benchFetchCommand(flags: BenchFetchFlags): Promise<number> {
  const store = new ImageStore();
  const kernel = store.find("debian");
  if (kernel === undefined) {
    throw new UsageError("the programs need a kernel", "run first: realmbox images fetch debian");
  }
  if (flags.mirror !== undefined) throw new UsageError("the programs are fetched with apt, not from a --mirror");
  if (!haveApt()) throw new UsageError("there is no apt on this machine to fetch Debian's packages with");
  const keyring = flags.keyring ?? systemKeyring();
  if (keyring === undefined) {
    throw new UsageError(
      "the keys of Debian's archive are not on this machine, so that nothing fetched could be checked",
      "install the package debian-archive-keyring, or name a file of keys with --keyring",
    );
  }
  const progress = flags.quiet ? silent : terminalProgress();
  const abort = new AbortController();
  const stop = () => abort.abort();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    const waiting = (holder: string) =>
      progress.step(`waiting for another realmbox that changes the cache (${holder})`);
    const record = await store.locked({ waiting, signal: abort.signal }, async () => {
      const source = await aptSource({
        ...{ suite: PROGRAMS_SUITE, keyring, progress, signal: abort.signal },
        folder: store.downloads("apt", PROGRAMS_SUITE),
      });
      const made = await fetchPrograms(store, source, kernel, progress);
      store.removeDownloads();
      return made;
    });
    if (flags.json) printJson(record);
    else if (!flags.quiet) progress.step(`fetched: ${record.name}, for realmbox bench`);
    return EXIT.OK;
  } finally {
    progress.clear();
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}
