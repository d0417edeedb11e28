/**
 * Self-hosted debug through Linux: a program that steps another one, and stops it at hardware breakpoints and watchpoints. In
 * a normal VM and in a realm.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { cpioArchive } from "../../packages/realmbox/src/images/cpio.js";
import { ImageStore } from "../../packages/realmbox/src/images/store.js";
import { temporaryFolder } from "../support/cli.js";
import { DEBIAN, hostSawNothing, missing, session } from "./debian.js";

const folder = temporaryFolder("linux-ptrace");
const PROGRAM = join(folder, "ptrace");
const SOURCE = fileURLToPath(new URL("programs/ptrace.c", import.meta.url));
const GCC = "aarch64-linux-gnu-gcc";

function build(): string | undefined {
  const { error, status, stderr } = spawnSync(GCC, ["-O2", "-static", "-o", PROGRAM, SOURCE], { encoding: "utf8" });
  if (error) return `no ${GCC}`;
  return status === 0 ? undefined : `ptrace.c: ${stderr.split("\n")[0]}`;
}

const why = (await missing(DEBIAN)) ?? build();

/** What the program counts: 100 times four instructions, 100 hits, two writes, no read, two accesses. */
const EXPECTED = [
  "instructions in the loop: 400",
  "each instruction of the loop is one step: yes",
  "the loop was gone round: yes",
  "every trap in it is TRAP_TRACE: yes",
  "system calls were stepped over: yes",
  "the child has ended by itself: yes",
  "breakpoint hits: 100",
  "it is hit each time round: yes",
  ...[2, 1, 3].flatMap((lsc) => [
    `watchpoint hits with LSC ${lsc}: ${lsc === 1 ? 0 : 2}`,
    "it is hit by those accesses alone: yes",
  ]),
  "ptrace as expected",
];

describe("ptrace", () => {
  let initrd: string;
  beforeAll(() => {
    if (why !== undefined) return;
    const store = new ImageStore();
    const { initramfs } = store.find(DEBIAN.name)!;
    const added = cpioArchive(new Map([["opt/ptrace", { kind: "file", mode: 0o755, bytes: readFileSync(PROGRAM) }]]));
    initrd = join(folder, "initrd");
    writeFileSync(initrd, Buffer.concat([readFileSync(store.path(initramfs)), added]));
  });

  test.skipIf(why !== undefined).each([
    ["a realm", ["--realm", "-c", "1"]],
    ["a realm with four vCPUs", ["--realm", "-c", "4"]],
    ["a normal VM", ["-c", "2"]],
  ])(`%s${why === undefined ? "" : ` (skipped: ${why})`}`, async (_, args) => {
    const store = new ImageStore();
    const kernel = store.path(store.find(DEBIAN.name)!.kernel);
    const run = await session(
      [...args, "-m", "512", "-k", kernel, "-i", initrd, "-p", "cryptomgr.notests=1 quiet"],
      ["echo program-begins; /opt/ptrace; echo program-ends", "poweroff -f"],
    );
    expect(run.code, run.console.slice(-2000)).toBe(0);
    const output = /\nprogram-begins\n([\s\S]*)program-ends\n/.exec(run.console)?.[1];
    expect(output?.trimEnd().split("\n")).toEqual(EXPECTED);
    expect(hostSawNothing(run)).toBe(true);
  });
});
