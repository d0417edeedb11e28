/** The `realmbox` command as a child process: the built package, as users run it. */
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";

const built = fileURLToPath(new URL("../../packages/realmbox/", import.meta.url));
if (!existsSync(join(built, "bundle/cli.js"))) throw new Error("the package is not built: npm run build");
/** A copy of the package for this test file, so that a build in the meantime does not take it away. */
const copy = mkdtempSync(join(tmpdir(), "realmbox-built-"));
for (const part of ["package.json", "bin", "bundle"]) cpSync(join(built, part), join(copy, part), { recursive: true });
afterAll(() => rmSync(copy, { recursive: true, force: true }));

/** The command's entry. */
export const command = join(copy, "bin/realmbox.js");
/** The library's entry. */
export const library = join(copy, "bundle/index.js");

export interface CliResult {
  /** Exit code; null when a signal ended the process. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  /** Standard input; none by default. */
  readonly input?: string;
  readonly cwd?: string;
  /** Another Node than this one. */
  readonly node?: string;
  /** Variables beside those of this process; the cache of images is an empty one unless named here. */
  readonly env?: Readonly<Record<string, string>>;
  readonly hangMs?: number;
}

/** A process may take this long before it counts as hanging; one that boots Linux longer. */
const HANG_MS = 120_000;
export const LINUX_HANG_MS = 400_000;

export function realmbox(
  args: readonly string[],
  { input, cwd, node = process.execPath, env = {}, hangMs = HANG_MS }: CliOptions = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(node, [command, ...args], {
      cwd: cwd ?? tmpdir(),
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, REALMBOX_CACHE: join(copy, "no-cache"), ...env },
      timeout: hangMs,
      killSignal: "SIGKILL",
    });
    const output = { stdout: "", stderr: "" };
    child.stdout!.setEncoding("latin1").on("data", (text: string) => (output.stdout += text));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
    child.stdin?.end(input);
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...output }));
  });
}

/** A folder for a test file's own files; gone after it. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `realmbox-${name}-`));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
