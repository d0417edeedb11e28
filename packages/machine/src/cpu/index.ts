export { createEngine } from "./create-engine.js";
export { disassemble } from "./disassemble.js";
export { encode, rowNamed } from "./encode.js";
export * from "./engine.js";
export * from "./flags.js";
export { createInterpreter, generateInterpreter } from "./interpreter/index.js";
export * from "./state.js";
export { Translator, type TranslatorCounters, type TranslatorLimits } from "./translator/translator.js";
export { WASM_PAGE_SIZE, Wasm, type WasmMemory } from "./wasm/api.js";
