export * from "./board/base.js";
export * from "./bus.js";
export * from "./cpu/engine.js";
export * from "./cpu/state.js";
export * from "./fault.js";
export * from "./irq.js";
export * from "./pe.js";
export * from "./slot.js";
