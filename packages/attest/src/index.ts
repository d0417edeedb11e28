export * from "./explain.js";
export * from "./keys.js";
export * from "./measurement.js";
export * from "./mutate.js";
export * from "./reference.js";
export * from "./verify.js";
