/**
 * What proves an RMM behind the SMC interface: a Host at NS-EL2 and code at R-EL1 as scripts (`driver/`), the conformance
 * cases (`cases/`), fuzzing against invariants (`fuzz/`), and one RMM beside another (`differential/`).
 */
export * from "./cases/index.js";
export * from "./differential/index.js";
export * from "./driver/index.js";
export * from "./fuzz/index.js";
