/** Runs a program of image.ts in qemu-aarch64, the user-mode emulator. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { elfFile, type Program } from "./image.js";

/** The version line of qemu-aarch64, or undefined when it is not installed. */
export function qemuVersion(): string | undefined {
  try {
    return execFileSync("qemu-aarch64", ["--version"], { encoding: "utf8" }).split("\n")[0];
  } catch {
    return undefined;
  }
}

/** What the program wrote to standard output. */
export function runQemu(program: Program, cpu: "max" | "cortex-a57" = "max"): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "oracle-"));
  try {
    const file = join(folder, "tests.elf");
    writeFileSync(file, elfFile(program));
    chmodSync(file, 0o755);
    return execFileSync("qemu-aarch64", ["-cpu", cpu, file], { maxBuffer: 1 << 28 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
