/**
 * Block moves: copies of fixed runs of words between places of the machine's memory, such as a PE's state and the granule
 * that keeps a world's or a REC's registers. A list of moves becomes one WebAssembly function of straight code, because a
 * world switch is a hundred registers in a dozen runs: it takes 60 ns so, and 400 ns with a call of `set` for each run and
 * an assignment for each single register (Node 20).
 */
import { invariant } from "@realmbox/abi";
import { Wasm, type WasmMemory, type WasmModule } from "./cpu/wasm/api.js";
import { CodeWriter } from "./cpu/wasm/code.js";
import { ModuleWriter } from "./cpu/wasm/module.js";

/** A place in a move: which of the function's arguments, and an offset in bytes from there. */
export interface MovePlace {
  readonly base: 0 | 1 | 2;
  readonly offset: number;
}

/** One run: `size` bytes, a multiple of 8. Runs that overlap are copied upwards. */
export interface Move {
  readonly from: MovePlace;
  readonly to: MovePlace;
  readonly size: number;
}

/**
 * Makes the moves of its list, in their order. The arguments are host addresses: `byteOffset` of `Pe.bytes`, or of what a
 * port's `page` gave in this step.
 */
export type BlockMove = (a: number, b: number, c: number) => void;

/** By list: machines of one process share what was compiled. */
const modules = new WeakMap<readonly Move[], WasmModule>();

export function compileMoves(memory: WasmMemory, moves: readonly Move[]): BlockMove {
  let module = modules.get(moves);
  if (!module) {
    module = new Wasm.Module(moduleOf(moves));
    modules.set(moves, module);
  }
  const instance = new Wasm.Instance(module, { realmbox: { memory } });
  return instance.exports.move as BlockMove;
}

function moduleOf(moves: readonly Move[]): Uint8Array {
  const writer = new ModuleWriter();
  writer.importMemory("realmbox", "memory", 1);
  const move = writer.declare({ params: ["i32", "i32", "i32"], results: [] });
  writer.exportFunction("move", move);
  const code = new CodeWriter(3);
  for (const { from, to, size } of moves) {
    invariant(size > 0 && size % 8 === 0, "whole words are moved", size);
    let done = 0;
    for (; done + 16 <= size; done += 16) {
      code.localGet(to.base);
      code.localGet(from.base);
      code.simdMemory("v128_load", from.offset + done);
      code.simdMemory("v128_store", to.offset + done);
    }
    if (done === size) continue;
    code.localGet(to.base);
    code.localGet(from.base);
    code.memory("i64_load", from.offset + done);
    code.memory("i64_store", to.offset + done);
  }
  writer.define(move, code);
  return writer.build();
}
