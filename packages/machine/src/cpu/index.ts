export * from "./engine.js";
export * from "./flags.js";
export * from "./state.js";
export { WASM_PAGE_SIZE, Wasm, type WasmMemory } from "./wasm/api.js";
