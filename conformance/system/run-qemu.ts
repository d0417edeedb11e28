/** Runs a program on QEMU's virt board with EL3 and EL2. */
import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { elfFile } from "../oracle/image.js";
import { RAM_SIZE, RUNNER } from "./layout.js";
import { OUTPUT_FILE, type Program } from "./program.js";

export const CPUS = {
  /** Armv8.2 with VHE, LSE, RAS and 48-bit addresses: closest to ours. */
  "neoverse-n1": "neoverse-n1",
  /** For what Neoverse N1 has not: FEAT_S2FWB, FEAT_E0PD, FEAT_PAuth, FEAT_HCX, Secure EL2. */
  max: "max,lpa2=off,sve=off,sme=off,pauth-impdef=on",
} as const;
export type Cpu = keyof typeof CPUS;

/** The version line of qemu-system-aarch64, or undefined when it is not installed. */
export function qemuVersion(): string | undefined {
  const { stdout } = spawnSync("qemu-system-aarch64", ["--version"], { encoding: "utf8" });
  return stdout?.split("\n")[0];
}

const TIMEOUT_MS = 120_000;

/** The output words. Throws when the image does not come to its end. `counted`: with -icount, so that instructions count. */
export async function runQemu(program: Program, cpu: Cpu, counted = false): Promise<BigUint64Array> {
  const folder = mkdtempSync(join(tmpdir(), "system-"));
  try {
    const image = join(folder, "cases.elf");
    writeFileSync(image, elfFile({ entry: RUNNER, segments: program.segments("qemu") }));
    const options = [
      ...["-M", "virt,secure=on,virtualization=on,gic-version=3", "-cpu", CPUS[cpu], "-m", `${RAM_SIZE >> 20}`],
      ...(counted ? ["-icount", "shift=0"] : []),
      ...["-display", "none", "-serial", "none", "-monitor", "none", "-nic", "none", "-net", "none"],
      ...["-semihosting-config", "enable=on,target=native", "-kernel", image],
    ];
    await new Promise<void>((resolve, reject) =>
      execFile("qemu-system-aarch64", options, { cwd: folder, timeout: TIMEOUT_MS }, (error, stdout, stderr) =>
        error === null ? resolve() : reject(new Error(`${error.message}\n${stdout}${stderr}`)),
      ),
    );
    // A guest that never ends is killed, which QEMU takes for a normal exit.
    if (!existsSync(join(folder, OUTPUT_FILE))) throw new Error("the image did not come to its end");
    const bytes = readFileSync(join(folder, OUTPUT_FILE));
    return new BigUint64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
