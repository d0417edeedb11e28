/**
 * The library for a page: the same as `index.ts` without Node. Runs best in a Worker, where synchronous WebAssembly
 * compilation has no size limit and a long run blocks nobody.
 */

export type { Crypto, StampedTraceEvent, TraceCategory } from "@realmbox/abi";
export { PAS_NAMES, Pas, SecurityState, TRACE_CATEGORIES } from "@realmbox/abi";
export { GROUPS, type HostClock, isFault, type Jit, type Machine, parseJit, R } from "@realmbox/machine";
export { type Disk, type DiskError, MemoryDisk, type VmConfig, type VmEnd } from "@realmbox/vmm";
export * from "./box.js";
export { type ConsoleSource, LiveInput } from "./console-feed.js";
export { portableCrypto } from "./crypto/portable.js";
export * from "./fvp/index.js";
export * from "./guest.js";
export { type HostTime, hostTime } from "./host-time.js";
export * from "./report.js";
export * from "./trace-text.js";
