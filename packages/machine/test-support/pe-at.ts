/** A machine whose PE 0 is put into an EL and a Security state, with registers as given, without any firmware. */
import { SecurityState } from "@realmbox/abi";
import { baseBoard } from "../src/board/base.js";
import type { Board } from "../src/board/board.js";
import { generateInterpreter } from "../src/cpu/index.js";
import { R, type RegName } from "../src/cpu/state.js";
import { Machine } from "../src/machine.js";
import type { Processor } from "../src/processor.js";

/** Root at 0, Realm at 0x4000_0000, 16 MiB of DRAM at 0x8000_0000. */
export const testBoard = (options: { readonly peCount?: number; readonly frameBytes?: number } = {}): Board =>
  baseBoard({ dramSize: 16n << 20n, frameBytes: 16 << 20, ...options });

export const DRAM = 0x8000_0000n;

/** SCR_EL3 of each Security state below EL3: RES1 bits, RW, HCE, ECVEn, EnSCXT; EEL2 for Secure. */
export const SCR_OF: Readonly<Record<SecurityState, bigint>> = {
  [SecurityState.SECURE]: 0x1204_0530n,
  [SecurityState.NON_SECURE]: 0x1200_0531n,
  [SecurityState.ROOT]: 0x1200_0531n,
  [SecurityState.REALM]: 0x1200_0531n | (1n << 62n),
};

let engine: Uint8Array | undefined;
/** The interpreter's bytes, generated once in a test file. */
export const testEngine = (): Uint8Array => (engine ??= generateInterpreter());

export interface PeAt {
  readonly el: 0 | 1 | 2 | 3;
  readonly state?: SecurityState;
  readonly registers?: Readonly<Partial<Record<RegName, bigint>>>;
  /** PSTATE bits beside the mode; default: DAIF set. */
  readonly pstate?: bigint;
  readonly board?: Board;
}

/** SPSR mode of an EL with its own stack pointer. */
export const modeOf = (el: number): bigint => (el === 0 ? 0n : BigInt(el * 4 + 1));

export function machineAt(options: PeAt): { machine: Machine; pe: Processor } {
  const machine = new Machine({ board: options.board ?? testBoard(), engine: testEngine() });
  machine.reset();
  const pe = machine.pes[0]!;
  place(pe, options);
  return { machine, pe };
}

/** Puts a PE where it is wanted. */
export function place(
  pe: Processor,
  { el, state = SecurityState.NON_SECURE, registers = {}, pstate = 0x3c0n }: PeAt,
): void {
  pe.r[R.SCR_EL3] = SCR_OF[state];
  for (const name of Object.keys(registers) as RegName[]) pe.r[R[name]] = registers[name]!;
  pe.pstate = pstate | modeOf(el);
}
