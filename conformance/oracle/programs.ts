/** Programs of programs/ for the oracle: compiled here, with Debian's cross compiler. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { OUTPUT, type Program, type Segment } from "./image.js";

const COMPILER = "aarch64-linux-gnu-gcc";

/** The compiler's version line, or undefined when it is not installed. */
export function compilerVersion(): string | undefined {
  try {
    return execFileSync(COMPILER, ["--version"], { encoding: "utf8" }).split("\n")[0];
  } catch {
    return undefined;
  }
}

const PAGE = 0x1000;
const PT_LOAD = 1;

/** The loadable segments of an executable, in whole pages. System V ABI, "Program Header". */
function programOf(file: Uint8Array): Program {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const word = (at: number) => Number(view.getBigUint64(at, true));
  const headers = word(32);
  const segments: Segment[] = [];
  for (let i = 0; i < view.getUint16(56, true); i++) {
    const at = headers + i * view.getUint16(54, true);
    if (view.getUint32(at, true) !== PT_LOAD) continue;
    const [offset, address, , fileSize, size] = [8, 16, 24, 32, 40].map((field) => word(at + field));
    const before = address % PAGE;
    const bytes = new Uint8Array(before + size);
    bytes.set(file.subarray(offset, offset + fileSize), before);
    segments.push({ address: address - before, bytes, executable: (view.getUint32(at + 4, true) & 1) !== 0 });
  }
  return { entry: word(24), segments };
}

/** `name`.c with these options, its `.output` section where the harness looks for results. */
export function compile(name: string, options: readonly string[]): Program {
  const folder = mkdtempSync(join(tmpdir(), "oracle-"));
  try {
    const file = join(folder, name);
    execFileSync(COMPILER, [
      ...options,
      ...["-march=armv8-a", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector"],
      `-Wl,--section-start=.output=0x${OUTPUT.toString(16)}`,
      ...["-o", file, fileURLToPath(new URL(`programs/${name}.c`, import.meta.url))],
    ]);
    return programOf(readFileSync(file));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
