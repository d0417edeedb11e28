export * from "./cpu-interface.js";
export * from "./distributor.js";
export * from "./gic.js";
