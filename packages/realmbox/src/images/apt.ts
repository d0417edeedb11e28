/**
 * Packages by Debian's own client, in a private root: its own lists, cache and list of sources, so that nothing of the
 * system changes and no privilege is needed. apt checks the archive's signature and every hash; the key is the one of
 * Debian's archive. What the user's apt says about transport (Acquire::*: proxies, certificates, dates) holds here too,
 * except what would switch checks off; hooks of the system do not run.
 */
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { type DebianPackage, packageOf, parseControl } from "./control.js";
import { ARCHITECTURE, type PackageSource } from "./debian-plan.js";
import { ImagesError, interrupted } from "./error.js";
import { type Progress, sizeText } from "./progress.js";

export interface AptOptions {
  readonly suite: string;
  /** The private root: a folder of this suite, which keeps apt's lists and partial downloads. */
  readonly folder: string;
  /** The archive's keys. */
  readonly keyring: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Whether there is an apt client. */
export const haveApt = (): boolean =>
  ["apt-get", "apt-cache", "apt-config"].every((tool) =>
    (process.env.PATH ?? "").split(":").some((folder) => {
      try {
        accessSync(join(folder, tool), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    }),
  );

/** Fetches the suite's index. */
export async function aptSource(options: AptOptions): Promise<PackageSource> {
  const { suite, folder, keyring, progress, signal } = options;
  const uris = await debianUris();
  for (const part of ["state/lists/partial", "cache/archives/partial", "etc", "packages"]) {
    mkdirSync(join(folder, part), { recursive: true });
  }
  writeFileSync(join(folder, "state/status"), "");
  writeFileSync(
    join(folder, "etc/sources.list"),
    uris.map((uri) => `deb [arch=${ARCHITECTURE} signed-by=${keyring}] ${uri} ${suite} main\n`).join(""),
  );
  const configuration = join(folder, "etc/apt.conf");
  writeFileSync(configuration, await aptConfiguration(folder), { mode: 0o600 });
  const environment = { ...process.env, APT_CONFIG: configuration, LC_ALL: "C.UTF-8" };

  progress.step(`apt: reading the index of ${suite} from ${uris.join(", ")}`);
  await runApt("apt-get", ["update"], { environment, progress, signal });
  return {
    name: `${suite} (apt)`,
    find: async (names) => {
      // apt-cache fails when it knows none of the names.
      const shown = await output("apt-cache", ["show", ...names], environment).catch(() => "");
      return parseControl(shown).flatMap((paragraph) => packageOf(paragraph) ?? []);
    },
    download: async (packages) => {
      const target = join(folder, "packages");
      const missing = packages.filter((wanted) => downloaded(target, wanted) === undefined);
      if (missing.length > 0) {
        progress.step(
          `apt: downloading ${missing.length} packages, ${sizeText(missing.reduce((sum, { size }) => sum + size, 0))}`,
        );
        const names = missing.map(({ name, version }) => `${name}=${version}`);
        const printed = await output("apt-get", ["download", "--print-uris", ...names], environment);
        const run = { environment, progress, signal, cwd: target };
        if (existsSync(APT_HELPER)) {
          await runApt(APT_HELPER, ["download-file", ...downloadArguments(printed, target)], run);
        } else await runApt("apt-get", ["download", ...names], run);
      }
      return packages.map((wanted) => {
        const file = downloaded(target, wanted);
        if (file === undefined) throw new ImagesError("not-trusted", `apt left no good file of ${wanted.name}`);
        return file;
      });
    },
  };
}

/** A package's file that apt left, when its hash is right. */
function downloaded(folder: string, { name, size, sha256 }: DebianPackage): string | undefined {
  return readdirSync(folder)
    .filter((file) => file.startsWith(`${name}_`) && file.endsWith(".deb"))
    .map((file) => join(folder, file))
    .find((file) => {
      if (statSync(file).size !== size) return false;
      return createHash("sha256").update(readFileSync(file)).digest("hex") === sha256;
    });
}

/** Where the user's apt gets Debian from: the main archives, not those of security updates. */
async function debianUris(): Promise<readonly string[]> {
  const format = "$(REPO_URI)|$(COMPONENT)|$(ORIGIN)|$(LABEL)|$(CREATED_BY)";
  const targets = await output("apt-get", ["indextargets", "--format", format], process.env);
  const uris = targets.split("\n").flatMap((line) => {
    const [uri = "", component, origin, label, kind] = line.split("|");
    // Before the first `apt-get update` a source has no origin yet: then its path must tell.
    const isDebian =
      (origin === "Debian" && label === "Debian") ||
      (!/\w/.test(origin ?? "") && /\/debian\/?$/.test(uri)) ||
      (origin?.startsWith("$(") && /\/debian\/?$/.test(uri));
    return isDebian && kind === "Packages" && component === "main" && !uri.startsWith("cdrom:") ? [uri] : [];
  });
  if (uris.length === 0) {
    throw new ImagesError(
      "environment",
      "apt's configuration on this machine has no archive of Debian",
      "name a Debian mirror: realmbox images fetch debian --mirror URL",
    );
  }
  return [...new Set(uris)].slice(0, 1);
}

/** An apt configuration that stands alone. */
async function aptConfiguration(folder: string): Promise<string> {
  const user = await output("apt-config", ["dump"], process.env);
  const transport = user
    .split("\n")
    .filter((line) => /^Acquire(::|\s)/.test(line))
    .filter((line) => !/^Acquire::(Allow\w*|Languages|IndexTargets)\b/i.test(line));
  const settings: readonly (readonly [string, string])[] = [
    ["Dir::Etc::main", "/dev/null"],
    ["Dir::Etc::parts", "/dev/null"],
    ["Dir::Etc::sourcelist", join(folder, "etc/sources.list")],
    ["Dir::Etc::sourceparts", "/dev/null"],
    ["Dir::Etc::preferences", "/dev/null"],
    ["Dir::Etc::preferencesparts", "/dev/null"],
    ["Dir::State", join(folder, "state")],
    ["Dir::State::status", join(folder, "state/status")],
    ["Dir::Cache", join(folder, "cache")],
    ["APT::Architecture", ARCHITECTURE],
    ["Acquire::Languages", "none"],
    ["Acquire::Retries", "2"],
    // apt downloads as user _apt when it is root, who may not be able to reach the folder.
    ...(process.getuid?.() === 0 && !reachableByAll(folder) ? ([["APT::Sandbox::User", "root"]] as const) : []),
  ];
  return [
    ...transport,
    "#clear APT::Architectures;",
    `APT::Architectures { "${ARCHITECTURE}"; };`,
    ...settings.map(([name, value]) => `${name} "${value}";`),
    "",
  ].join("\n");
}

const reachableByAll = (folder: string): boolean =>
  (statSync(folder).mode & 0o001) !== 0 && (folder === "/" || reachableByAll(dirname(folder)));

interface AptRun {
  readonly environment: NodeJS.ProcessEnv;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly cwd?: string;
}

/** Downloads as `apt-get download` does, but goes on with what an interrupted download has left. */
const APT_HELPER = "/usr/lib/apt/apt-helper";

/** `apt-get download --print-uris` prints `'URI' FILE SIZE SHA256:HASH`; apt-helper wants URI, FILE, HASH. */
function downloadArguments(printed: string, folder: string): readonly string[] {
  return printed.split("\n").flatMap((line) => {
    const [, uri, file, hash] = /^'([^']+)' (\S+) \d+ (SHA256:[0-9a-f]{64})$/.exec(line.trim()) ?? [];
    return uri === undefined || file!.includes("/") ? [] : [uri, join(folder, file!), hash!];
  });
}

/** Runs a program of apt; its status lines become progress, its complaints the error. */
function runApt(
  program: string,
  args: readonly string[],
  { environment, progress, signal, cwd }: AptRun,
): Promise<void> {
  const what = `${basename(program)} ${args[0]}`;
  if (signal.aborted) return Promise.reject(interrupted());
  return new Promise((resolve, reject) => {
    // apt reads no terminal, and its progress comes on descriptor 3.
    const child = spawn(program, ["-q", "-o", "APT::Status-Fd=3", ...args], {
      env: environment,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      detached: true,
      ...(cwd === undefined ? {} : { cwd }),
    });
    // To all of apt's processes: its download method then leaves a file that it can go on with.
    const stop = () => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGINT");
    };
    signal.addEventListener("abort", stop);
    let complaints = "";
    const keep = (chunk: Buffer) => {
      complaints = (complaints + chunk.toString()).slice(-20_000);
    };
    child.stdout!.on("data", keep);
    child.stderr!.on("data", keep);
    child.stdio[3]!.on("data", (chunk: Buffer) => {
      // dlstatus:ITEM:PERCENT:TEXT
      const last = chunk.toString().trim().split("\n").at(-1)!;
      const [kind, , percent, ...text] = last.split(":");
      if (kind === "dlstatus") progress.amount(`apt: ${Number(percent).toFixed(0).padStart(3)} %  ${text.join(":")}`);
    });
    child.on("error", (error) => {
      progress.clear();
      reject(signal.aborted ? interrupted() : new ImagesError("environment", `${what}: ${error.message}`));
    });
    child.on("close", (code) => {
      signal.removeEventListener("abort", stop);
      progress.clear();
      if (signal.aborted) reject(interrupted());
      else if (code === 0 && !/^(Err:|W: Failed to fetch)/m.test(complaints)) resolve();
      else reject(aptError(what, complaints));
    });
  });
}

/** apt's own words, with what can be done about the usual causes. */
export function aptError(what: string, complaints: string): ImagesError {
  const lines = complaints
    .split("\n")
    .filter((line) => /^(E|W):/.test(line))
    .map((line) => line.slice(3))
    .filter((line) => !/^Some index files failed|^Failed to fetch some archives/.test(line));
  const message = `${what} failed: ${[...new Set(lines)].slice(0, 3).join("; ") || "no reason given"}`;
  if (
    /Could not resolve|Temporary failure resolving|Could not connect|Cannot initiate the connection|timed out|Network is unreachable/.test(
      complaints,
    )
  ) {
    return new ImagesError("unreachable", message, "is this machine online? images that were fetched before still run");
  }
  if (/NO_PUBKEY|not signed|signatures? (couldn't|were invalid)|EXPKEYSIG|BADSIG|GPG error/.test(complaints)) {
    return new ImagesError(
      "not-trusted",
      message,
      "update the package debian-archive-keyring, or name a newer --keyring",
    );
  }
  if (/does not have a Release file|404 +Not Found/.test(complaints)) {
    return new ImagesError("not-found", message, "is there such a suite? try --suite sid, forky or trixie");
  }
  if (/No space left/.test(complaints)) return new ImagesError("environment", message, "free some space in the cache");
  return new ImagesError("unreachable", message);
}

/** Debian's archive keys on this machine; undefined when there are none. */
export const systemKeyring = (): string | undefined =>
  ["gpg", "pgp", "asc"]
    .map((suffix) => `/usr/share/keyrings/debian-archive-keyring.${suffix}`)
    .find((path) => existsSync(path));

function output(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { env, maxBuffer: 64 << 20, encoding: "utf8" }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(aptError(`${command} ${args[0]}`, stderr));
    });
  });
}
