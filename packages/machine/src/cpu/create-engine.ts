/** The engine of a machine: the interpreter, with translated code when there is a translator. */
import type { Engine, EngineHost } from "./engine.js";
import { createInterpreter } from "./interpreter/index.js";
import type { Translator } from "./translator/translator.js";
import type { WasmMemory } from "./wasm/api.js";

/** Parameters as for `createInterpreter`. The translator belongs to this engine from now on. */
export function createEngine(options: {
  readonly memory: WasmMemory;
  readonly host: EngineHost;
  readonly module: Uint8Array;
  readonly translator?: Translator;
}): Engine {
  const { memory, host, module, translator } = options;
  if (!translator) {
    const { run } = createInterpreter({ memory, host, module });
    return { run, runTranslated: run };
  }
  const { regions, stage } = translator;
  const interpreter = createInterpreter({ memory, host, module, tables: { regions, stage } });
  translator.interpreter = interpreter;
  return interpreter;
}
