export * from "./kvm/api.js";
export * from "./kvm/errno.js";
