/**
 * Debian's kernels as guests: `realmbox images fetch debian` gets them once for all test files, from Debian's packages. Without
 * them (no apt client, no network) the suites skip and say why.
 */
import { cacheFolder, ImageStore } from "../../packages/realmbox/src/images/store.js";
import { type CliOptions, type CliResult, LINUX_HANG_MS, realmbox } from "../support/cli.js";

export interface DebianImage {
  readonly name: string;
  readonly suite: string;
  readonly realmAware: boolean;
}

/** The suite with the first realm-aware kernel, and the last without; as `images fetch` names the images. */
export const DEBIAN: DebianImage = { name: "debian", suite: "sid", realmAware: true };
export const TRIXIE: DebianImage = { name: "debian-trixie", suite: "trixie", realmAware: false };

/** The command with the user's own cache of images. */
export const withImages = (args: readonly string[], options: CliOptions = {}): Promise<CliResult> =>
  realmbox(args, { hangMs: LINUX_HANG_MS, ...options, env: { REALMBOX_CACHE: cacheFolder(), ...options.env } });

/** Fetches an image unless it is there; the reason why it cannot be had, or undefined. */
export async function missing({ name, suite }: DebianImage): Promise<string | undefined> {
  if (new ImageStore().find(name) !== undefined) return undefined;
  const fetched = await withImages(["images", "fetch", "debian", "--suite", suite, "--name", name]);
  return fetched.code === 0 ? undefined : `no image of Debian ${suite}: ${fetched.stderr.trim().split("\n").at(-1)}`;
}

export interface Session extends CliResult {
  /** What the guest wrote, without carriage returns. */
  readonly console: string;
  /** The report of `--json`. */
  readonly report: {
    readonly exit: number;
    readonly end: string;
    readonly rim: { readonly expected: string } | null;
    readonly counts: {
      readonly granuleProtectionFaults: number;
      readonly hostBytes: { readonly nonSecure: number; readonly other: number };
      readonly instructions: { readonly total: number };
    };
  };
}

/** Runs an image with these lines typed at its shell; the last should end the guest. Throws when there is no report. */
export async function session(
  args: readonly string[],
  lines: readonly string[],
  options: CliOptions = {},
): Promise<Session> {
  const result = await withImages(["run", "--json", ...args], { ...options, input: `${lines.join("\n")}\n` });
  if (result.stdout === "") throw new Error(`no report, exit ${result.code}: ${result.stderr.slice(-2000)}`);
  return { ...result, console: result.stderr.replaceAll("\r", ""), report: JSON.parse(result.stdout) };
}

/** Types the kernel's log, for `logOf` to find. */
export const PRINT_LOG = "echo log-begins; dmesg; echo log-ends";
export function logOf({ console }: Session): string {
  const log = /\nlog-begins\n([\s\S]*)\nlog-ends\n/.exec(console)?.[1];
  if (log === undefined) throw new Error(`no log: ${console.slice(-2000)}`);
  return log;
}

/** What must not be in a kernel's log. */
const COMPLAINTS =
  /WARNING|\bBUG\b|Oops|Internal error|Call trace|rcu.*(stall|self-detected)|soft lockup|hard LOCKUP|hung task|blocked for more than|Unable to handle|Kernel panic/;

/** The lines of a log in which a kernel complains. */
export const complaints = (log: string): readonly string[] => log.split("\n").filter((line) => COMPLAINTS.test(line));

/** The realm's memory stayed its own: nobody on the Host's side reached anything else than Non-secure memory, nor tried. */
export function hostSawNothing({ report: { counts } }: Session): boolean {
  return counts.hostBytes.other === 0 && counts.granuleProtectionFaults === 0;
}
