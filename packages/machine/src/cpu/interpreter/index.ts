/** The interpreter as an `Engine`. */
import type { Engine, EngineHost } from "../engine.js";
import { operate } from "../fp/operations.js";
import { R } from "../state.js";
import { Wasm, type WasmMemory, type WasmModule, type WasmTable } from "../wasm/api.js";

export { generateInterpreter } from "./generate.js";

/** Compiled modules by their bytes: machines of one process share them. */
const modules = new WeakMap<Uint8Array, WasmModule>();

function compiled(bytes: Uint8Array): WasmModule {
  let module = modules.get(bytes);
  if (!module) {
    module = new Wasm.Module(bytes);
    modules.set(bytes, module);
  }
  return module;
}

export interface Interpreter extends Engine {
  /** Functions that translated code calls (slots.ts). */
  readonly helpers: WasmTable;
  /** Puts the function at `from` of the stage into a slot of the regions. */
  install(slot: number, from: number): void;
}

const emptyTable = (): WasmTable => new Wasm.Table({ element: "anyfunc", initial: 0 });

/**
 * Instantiates the interpreter over the machine's memory; this fills the first ENGINE_TABLES_SIZE bytes of it.
 * `module` are the bytes of `generateInterpreter`. One engine serves all PEs of the machine.
 */
export function createInterpreter(options: {
  readonly memory: WasmMemory;
  readonly host: EngineHost;
  readonly module: Uint8Array;
  /** The functions of translated code, and where new ones come from; without them `runTranslated` never finds any. */
  readonly tables?: { readonly regions: WasmTable; readonly stage: WasmTable };
}): Interpreter {
  const { memory, host, module, tables = { regions: emptyTable(), stage: emptyTable() } } = options;
  // WebAssembly hands i32 over as signed numbers; addresses and instruction words are unsigned to the host.
  const access =
    (call: EngineHost["load"]): EngineHost["load"] =>
    (base, vaLo, vaHi, size, flags, insn) =>
      call.call(host, base >>> 0, vaLo >>> 0, vaHi >>> 0, size, flags, insn >>> 0);
  const imports: EngineHost = {
    fetch: (base) => host.fetch(base >>> 0),
    load: access(host.load),
    store: access(host.store),
    modify: access(host.modify),
    system: (base, insn) => host.system(base >>> 0, insn >>> 0),
    misaligned: (base, kind) => host.misaligned(base >>> 0, kind),
    fill: (base, vaLo, vaHi, size, flags) => host.fill(base >>> 0, vaLo >>> 0, vaHi >>> 0, size, flags),
    translate: (base, entered) => host.translate(base >>> 0, entered),
  };
  const words = new Int32Array(memory.buffer);
  /** `FpOperation` number `operation` on a PE: under its FPCR, adding to its FPSR. WebAssembly's i64 are signed here. */
  const operateOn = (base: number, operation: number, a: bigint, b: bigint, c: bigint): bigint => {
    const at = (base >>> 0) / 4;
    const unsigned = (bits: bigint) => BigInt.asUintN(64, bits);
    const fpcr = words[at + R.FPCR * 2];
    const { result, flags } = operate(operation, fpcr, unsigned(a), unsigned(b), unsigned(c));
    words[at + R.FPSR * 2] |= flags;
    return result;
  };
  const { exports } = new Wasm.Instance(compiled(module), {
    realmbox: { memory, ...tables, ...imports, operate: operateOn },
  });
  return {
    run: exports.run as Engine["run"],
    runTranslated: exports.runTranslated as Engine["runTranslated"],
    helpers: exports.helpers as WasmTable,
    install: exports.install as Interpreter["install"],
  };
}
