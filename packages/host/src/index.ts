export { createHost, type HostOptions, type RunnableMachine } from "./host.js";
export * from "./kvm/api.js";
export * from "./kvm/errno.js";
