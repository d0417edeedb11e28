/**
 * The library for Node: everything of `page.ts`, and Node's faster crypto. Assemble a machine, create a realm, run it
 * until something happens, read state, assert.
 */
export { nodeCrypto } from "./crypto/node.js";
export * from "./page.js";
