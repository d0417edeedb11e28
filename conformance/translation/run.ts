/** Runs an image of image.ts under QEMU and on the machine. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { baseBoard } from "../../packages/machine/src/board/base.js";
import { generateInterpreter } from "../../packages/machine/src/cpu/index.js";
import { R } from "../../packages/machine/src/cpu/state.js";
import { Machine } from "../../packages/machine/src/machine.js";
import { ERET, OFF } from "../../packages/machine/src/slot.js";
import { CODE, UART } from "./image.js";

const QEMU = "qemu-system-aarch64";

/** QEMU's version line, or undefined when it is not installed. */
export const qemuVersion = spawnSync(QEMU, ["--version"], { encoding: "utf8" }).stdout?.split("\n")[0];

/** The records that the image sends through its UART, under QEMU. */
export function runQemu(image: Uint8Array, cpu: string): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "realmbox-system-"));
  try {
    const file = join(folder, "image.bin");
    const out = join(folder, "uart.bin");
    writeFileSync(file, image);
    const machine = ["-M", "virt,virtualization=on,gic-version=3", "-cpu", cpu, "-m", "1024", "-accel", "tcg"];
    const devices = ["-nodefaults", "-display", "none", "-monitor", "none", "-serial", `file:${out}`, "-kernel", file];
    const { status, stderr } = spawnSync(QEMU, [...machine, ...devices], { timeout: 60_000, encoding: "utf8" });
    if (status !== 0) throw new Error(`${QEMU} ended with ${status}: ${stderr}`);
    return readFileSync(out);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The interpreter, generated once for all runs of a file. */
let engine: Uint8Array | undefined;

/** The same on the machine: EL3 firmware that does nothing but enter the image at Non-secure EL2. */
export function runMachine(image: Uint8Array): Uint8Array {
  const dram = [{ base: 0x4000_0000n, size: 1024n << 20n }];
  const board = { ...baseBoard({ frameBytes: 64 << 20 }), realm: { base: 0x1_0000_0000n, size: 1n << 20n }, dram };
  engine ??= generateInterpreter();
  const machine = new Machine({ board, engine });
  const out: number[] = [];
  machine.bus.attach({
    base: UART,
    size: 0x1000n,
    device: { name: "uart", read: () => 0n, write: (_offset, _size, value) => void out.push(Number(value)) },
  });
  machine.install("root-el3", {
    name: "boot",
    image: new Uint8Array(0),
    step(pe, event) {
      if (event.kind !== "start") {
        machine.stop("SYSTEM_OFF");
        return OFF;
      }
      pe.r[R.SCR_EL3] = 0x531n;
      pe.r[R.SPSR_EL3] = 0x3c9n;
      pe.r[R.ELR_EL3] = CODE;
      return ERET;
    },
  });
  machine.load(CODE, image);
  machine.reset();
  const end = machine.run({ instructions: 50_000_000 });
  if (end.kind !== "stopped") throw new Error(`the machine ended with ${JSON.stringify(end)}`);
  return Uint8Array.from(out);
}
