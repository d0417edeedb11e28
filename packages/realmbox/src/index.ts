/**
 * The library for Node: everything of `page.ts`, Node's faster crypto, and disks in files. Assemble a machine, create a realm,
 * run it until something happens, read state, assert.
 */
import "./engine-flags.js";

export { nodeCrypto } from "./crypto/node.js";
export { FileDisk } from "./disk.js";
export * from "./page.js";
