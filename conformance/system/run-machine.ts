/** Runs a program on our machine: a board with the addresses of QEMU's virt, EL3 left to the image. */

import { R } from "../../packages/machine/src/cpu/state.js";
import { type Board, generateInterpreter, Machine } from "../../packages/machine/src/index.js";
import { END, GICD, GICR, OUTPUT, RAM, RAM_SIZE, SAVE, UART } from "./layout.js";
import { type Program, SAVED_OUTPUT } from "./program.js";

const ROOT_SIZE = 0x0400_0000;

const BOARD: Board = {
  name: "virt",
  peCount: 1,
  paBits: 48,
  root: { base: BigInt(RAM), size: BigInt(ROOT_SIZE) },
  realm: { base: 0n, size: 0x1_0000n },
  dram: [{ base: BigInt(RAM + ROOT_SIZE), size: BigInt(RAM_SIZE - ROOT_SIZE) }],
  uart: BigInt(UART),
  gicd: BigInt(GICD),
  gicr: BigInt(GICR),
  counterHz: 62_500_000,
  instructionsPerTick: 10,
  frameBytes: RAM_SIZE,
};

/** Most that a call of a script executes, but for the few that fill memory. */
const INSTRUCTIONS_PER_CALL = 2_000;
const INSTRUCTIONS_MORE = 50_000_000;

let engine: Uint8Array | undefined;

/** How far the output had come at the last entry. */
function whereabouts({ memory }: Machine, program: Program): string {
  const written = memory.view.getBigUint64(memory.host(SAVE + SAVED_OUTPUT), true);
  return `after ${program.fields[Number(written - BigInt(OUTPUT)) / 8 - 1]?.name ?? "the start"}`;
}

/** A machine with the program's image, at its start; it stops at the image's end. */
export function prepare(program: Program): Machine {
  engine ??= generateInterpreter();
  const machine = new Machine({ board: BOARD, engine });
  for (const { address, bytes } of program.segments("machine")) machine.load(BigInt(address), bytes);
  const device = { name: "end", read: () => 0n, write: () => machine.stop("end") };
  machine.bus.attach({ base: BigInt(END), size: 0x1000n, device });
  machine.reset();
  return machine;
}

/** The output words. Throws when the image does not come to its end. */
export function runMachine(program: Program): BigUint64Array {
  const machine = prepare(program);
  const end = machine.run({ instructions: program.size * INSTRUCTIONS_PER_CALL + INSTRUCTIONS_MORE });
  if (end.kind !== "stopped")
    throw new Error(
      `the image ended with ${JSON.stringify(end)} ${whereabouts(machine, program)}, EL${machine.pes[0].el}, PC 0x${machine.pes[0].r[R.PC].toString(16)}`,
    );
  const output = new BigUint64Array(program.fields.length);
  const page = 4096;
  for (let done = 0; done < output.byteLength; done += page) {
    const host = machine.memory.host(OUTPUT + done);
    const size = Math.min(page, output.byteLength - done);
    new Uint8Array(output.buffer).set(machine.memory.u8.subarray(host, host + size), done);
  }
  return output;
}
