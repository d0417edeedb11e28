/**
 * The file descriptors: what a process holds of the kernel's objects. Each call first checks that the process is the one
 * that created the object (EIO otherwise), then the arguments as the ioctl does, and hands on.
 */
export { DeviceHandle } from "./device-handle.js";
export { GuestMemfdHandle } from "./guest-memfd-handle.js";
export { ProcessHandle } from "./process-handle.js";
export { KvmHandle, RmeHandle } from "./system-handles.js";
export { VcpuHandle } from "./vcpu-handle.js";
export { VmHandle } from "./vm-handle.js";
