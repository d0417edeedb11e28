/**
 * `realmbox bench`: the benchmarks of the checkout's folder bench/, which the bundle holds a copy of. They read their options
 * themselves.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { UsageError } from "./usage.js";

interface Benchmarks {
  /** Runs what the arguments say and prints the tables; the exit code. */
  readonly bench: (args: readonly string[]) => Promise<number>;
}

/** Beside the bundle, or the workspace's own when run from the sources. */
const FILES = ["./bench/run.mjs", "../../../../bench/run.mjs"].map((path) => new URL(path, import.meta.url));

export async function benchCommand(args: readonly string[]): Promise<number> {
  const file = FILES.find((url) => existsSync(fileURLToPath(url)));
  if (file === undefined) throw new UsageError("the benchmarks are not part of this installation");
  const { bench }: Benchmarks = await import(file.href);
  return bench(args);
}
