export * from "./crypto.js";
export * from "./granule.js";
export * from "./guest-channel.js";
export * from "./invariant.js";
export * from "./layout.js";
export * from "./smccc.js";
export * from "./trace.js";
