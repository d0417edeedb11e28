/** Boots of Debian to its shell and off again, each in a process of its own, by what boot-digest.mjs says of them. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "vitest";
import { ImageStore } from "../../packages/realmbox/src/images/store.js";
import { library } from "../support/cli.js";
import { DEBIAN } from "./debian.js";

const program = fileURLToPath(new URL("boot-digest.mjs", import.meta.url));

async function bootDigest(): Promise<string> {
  const store = new ImageStore();
  const record = store.find(DEBIAN.name)!;
  const args = [program, library, store.path(record.kernel), store.path(record.initramfs), record.params];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return stdout;
}

/** Boots `count` times, two at a time; every boot must be the first one again. */
export async function expectOneBoot(count: number): Promise<void> {
  const first = await bootDigest();
  expect(JSON.parse(first).events).toBeGreaterThan(100_000);
  let left = count - 1;
  const worker = async () => {
    while (left-- > 0) expect(await bootDigest()).toBe(first);
  };
  await Promise.all([worker(), worker()]);
}
