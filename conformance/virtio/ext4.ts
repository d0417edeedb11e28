/** ext4 images by Debian's e2fsprogs: made, and looked at after a guest has written them. */
import { execFileSync, spawnSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";

/** The tools are in sbin, which is not on everybody's path. */
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, LC_ALL: "C" };

export const hasE2fsprogs = spawnSync("mke2fs", ["-V"], { env }).status === 0;

/** A new, empty file system of so many MiB. */
export function makeExt4(path: string, size: number): void {
  writeFileSync(path, "");
  truncateSync(path, size << 20);
  // The same file system in every run: no random UUID and hash seed.
  const uuid = "01234567-89ab-cdef-0123-456789abcdef";
  execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", "-U", uuid, "-E", `hash_seed=${uuid}`, path], { env });
}

/**
 * What is wrong with a file system that was in use when its machine ended; undefined when its journal replays and leaves
 * nothing to repair. Afterwards it is clean.
 */
export function checkExt4(path: string): string | undefined {
  // Preen: the journal, and files that were open and deleted. 0: nothing to do, 1: done.
  const replay = spawnSync("e2fsck", ["-f", "-p", path], { env, encoding: "utf8" });
  if (replay.status === null || replay.status > 1)
    return `e2fsck -p: ${replay.status}: ${replay.stdout}${replay.stderr}`;
  const check = spawnSync("e2fsck", ["-f", "-n", path], { env, encoding: "utf8" });
  return check.status === 0 ? undefined : `e2fsck -n: ${check.status}: ${check.stdout}${check.stderr}`;
}

/** A file of the file system, as text. */
export const readExt4 = (path: string, file: string): string =>
  execFileSync("debugfs", ["-R", `cat ${file}`, path], { env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
