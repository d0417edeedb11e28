export * from "./board/base.js";
export * from "./bus.js";
export * from "./cpu/index.js";
export * from "./fault.js";
export * from "./irq.js";
export * from "./pe.js";
export * from "./slot.js";
