/** The Realm Management Monitor: native firmware of slot realm-el2. */
export type { GranuleState } from "./granule/granule.js";
export type { Isolation } from "./isolation/isolation.js";
export { rme } from "./isolation/rme.js";
export { PSCI_FUNCTIONS, PSCI_UNKNOWN } from "./psci/psci.js";
export { RMI_COMMANDS } from "./rmi/table.js";
export { createRmm, type RmmOptions } from "./rmm.js";
export { RSI_COMMANDS } from "./rsi/table.js";
