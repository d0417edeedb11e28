/** The board `fvp` with monitor and RMM, and a program of emulated code at NS-EL2, for this room's tests. */
import { FVP_IMAGES, type FvpOptions, fvpBoard, generateInterpreter, Machine } from "@realmbox/machine";
import { type Assembler, assemble } from "../../machine/test-support/assembler.js";
import { createRmm } from "../../rmm/src/index.js";
import { crypto, SEED } from "./harness.oracle.js";
import type { SecureImage } from "./images.js";
import { createMonitor } from "./monitor.js";

export const UART = [0x1c09_0000n, 0x1c0a_0000n, 0x1c0b_0000n, 0x1c0c_0000n] as const;

export interface Fvp {
  readonly machine: Machine;
  /** What came out of a UART. */
  readonly output: (uart: string) => string;
  /** 64-bit words of Non-secure memory. */
  readonly words: (pa: bigint, count: number) => bigint[];
}

let engine: Uint8Array | undefined;

/** A machine about to boot `program` at 0x8800_0000. */
export function fvpWith(
  program: (a: Assembler) => void,
  options: FvpOptions & { readonly hwConfig?: Uint8Array; readonly secure?: SecureImage } = {},
): Fvp {
  const { hwConfig, secure, ...board } = options;
  const machine = new Machine({
    board: fvpBoard({ frameBytes: 32 << 20, ...board }),
    engine: (engine ??= generateInterpreter()),
  });
  const rmm = createRmm({ crypto, board: machine.board, trace: machine.trace });
  machine.install("realm-el2", rmm);
  const monitor = createMonitor({
    machine,
    crypto,
    rmm: { kind: "native", image: rmm.image },
    host: { kind: "binary", image: assemble(program), loadAt: FVP_IMAGES.NS },
    ...(secure ? { secure } : {}),
    configs: hwConfig ? [{ name: "HW_CONFIG", data: hwConfig, loadAt: FVP_IMAGES.HW_CONFIG }] : [],
    seed: SEED,
  });
  machine.install("root-el3", monitor);
  const bytes = new Map<string, number[]>();
  machine.onUartOutput = (byte, uart) => {
    bytes.set(uart, [...(bytes.get(uart) ?? []), byte]);
  };
  machine.reset();
  return {
    machine,
    output: (uart) => String.fromCharCode(...(bytes.get(uart) ?? [])),
    words: (pa, count) =>
      Array.from({ length: count }, (_, n) => machine.memory.u64[machine.memory.host(Number(pa) + 8 * n) / 8]!),
  };
}

/** Sends a text through a PL011, with X9 and X10. */
export function print(a: Assembler, uart: bigint, text: string): void {
  a.mov(9, uart);
  for (const char of text) a.mov(10, char.charCodeAt(0)).strb(10, 9);
}

/** An SMC with X0.. = `values`. */
export function call(a: Assembler, ...values: (bigint | number)[]): void {
  for (const [n, value] of values.entries()) a.mov(n, value);
  a.smc();
}

/** X8 is where the next `keep` puts its register. */
export const keep = (a: Assembler, ...registers: number[]): void => {
  for (const register of registers) a.str(register, 8).add(8, 8, 8);
};
