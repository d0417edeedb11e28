/** Measuring a guest on realmbox: each time a fresh process with a fresh box (child.mjs). */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CHILD } from "./paths.mjs";

/**
 * @typedef {object} ChildRequest
 * @property {string} library the library's module
 * @property {string} kernel a file
 * @property {string} [initrd] a file
 * @property {string} params kernel parameters
 * @property {boolean} realm
 * @property {number} memoryMiB
 * @property {readonly string[]} marks texts of console lines, in the order in which they come; the last ends the run
 * @property {"on" | "off" | number} [jit]
 *
 * @typedef {object} Mark
 * @property {string} line
 * @property {number} ms
 * @property {Record<string, number>} counters instructions retired and the Host's counters
 */

/** @param {ChildRequest} request @returns {Promise<{ shown: Mark[], counters: Record<string, unknown> }>} */
export async function runRealmbox(request) {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, JSON.stringify(request)], {
    maxBuffer: 1 << 26,
  });
  const result = JSON.parse(stdout);
  if (result.shown.length < request.marks.length)
    throw new Error(`realmbox, ${request.params}: ${JSON.stringify(result.end)}\n${result.console}`);
  return result;
}
