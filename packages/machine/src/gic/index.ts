export * from "./cpu-interface.js";
export { GIC_REGISTERS, type GicRegister, virtualName } from "./cpu-registers.js";
export * from "./distributor.js";
export * from "./gic.js";
export * from "./interrupts.js";
export { ICH_VTR, ichVmcr, LIST_REGISTERS } from "./virtual-interface.js";
