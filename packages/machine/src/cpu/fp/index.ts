/** Floating-point arithmetic: the reference for all of it, and what the fast paths leave. */
export { FPCR, FPSR, Rounding } from "./environment.js";
export { Control, type FpOperation, operate, operationNumber } from "./operations.js";
