export * from "./gpt.js";
export * from "./images.js";
export * from "./keys.js";
export * from "./monitor.js";
export * from "./platform-token.js";
export { PSCI_SYSTEM_OFF, PSCI_SYSTEM_RESET } from "./services/psci.js";
