/** Measuring a guest on qemu-system-aarch64 with TCG: one virtual CPU, Debian's QEMU as it is installed. */
import { spawn, spawnSync } from "node:child_process";
import { performance } from "node:perf_hooks";
import { cpuMs, PATIENCE_MS } from "./process-time.mjs";

const PROGRAM = "qemu-system-aarch64";

/** Its first line of `--version`, or undefined when it is not installed. */
export function qemuVersion() {
  const { error, stdout } = spawnSync(PROGRAM, ["--version"], { encoding: "utf8" });
  return error ? undefined : stdout.split("\n")[0].replace(/^QEMU emulator version /, "QEMU ");
}

/**
 * @param {{ kernel: string, initrd?: string, params: string, memoryMiB: number, marks: readonly string[], cpu?: string }} request
 * @returns {Promise<{ line: string, ms: number, cpuMs: number }[]>} each mark's line, and milliseconds from the start of the process to it
 */
export async function runQemu({ kernel, initrd, params, memoryMiB, marks, cpu = "cortex-a57" }) {
  const started = performance.now();
  const qemu = spawn(
    PROGRAM,
    [
      ...["-M", "virt,gic-version=3", "-accel", "tcg", "-cpu", cpu, "-smp", "1", "-m", String(memoryMiB)],
      ...["-nographic", "-nic", "none", "-kernel", kernel, "-append", params],
      ...(initrd === undefined ? [] : ["-initrd", initrd]),
    ],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  const patience = setTimeout(() => qemu.kill("SIGKILL"), PATIENCE_MS);
  const shown = [];
  let text = "";
  let all = "";
  try {
    for await (const chunk of qemu.stdout) {
      const ms = performance.now() - started;
      text += chunk;
      all = (all + chunk).slice(-4000);
      for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n")) {
        const line = text.slice(0, at).trim();
        text = text.slice(at + 1);
        if (!line.includes(marks[shown.length])) continue;
        shown.push({ line, ms, cpuMs: cpuMs(qemu.pid) });
        if (shown.length === marks.length) return shown;
      }
    }
    throw new Error(`QEMU, ${params}: ended early\n${all}`);
  } finally {
    clearTimeout(patience);
    qemu.kill("SIGKILL");
  }
}
