export * from "./compare.js";
export * from "./lockstep.js";
export { lockstepText } from "./report.js";
