/** Measuring on realmbox: each time a fresh process with a fresh machine (child.mjs). */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CHILD } from "./paths.mjs";
import { PATIENCE_MS } from "./process-time.mjs";

/**
 * @typedef {"on" | "off" | number | undefined} Jit
 *
 * @typedef {object} GuestRequest
 * @property {string} library the library's module
 * @property {string} kernel a file
 * @property {string} [initrd] a file
 * @property {string} params kernel parameters; of a program for the board `fvp`, what it finds in place of a device tree
 * @property {boolean} [nodefaults] `params` are all, without kvmtool's own
 * @property {boolean} realm
 * @property {number} memoryMiB
 * @property {readonly string[]} marks texts of console lines, in the order in which they come; the last ends the run
 * @property {Jit} jit
 *
 * @typedef {object} Mark
 * @property {string} line
 * @property {number} ms elapsed
 * @property {number} cpuMs the processor's time, of all threads
 * @property {Record<string, number>} counters instructions retired and the Host's counters
 */

async function child(/** @type {object} */ request) {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, JSON.stringify(request)], {
    maxBuffer: 1 << 26,
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  return JSON.parse(stdout);
}

/**
 * Runs a guest of the native Host, or with `kind: "fvp"` a program at NS-EL2.
 * @param {GuestRequest & { kind?: "guest" | "fvp" }} request @returns {Promise<Mark[]>}
 */
export async function runRealmbox({ kind = "guest", ...request }) {
  const { shown, end, console } = await child({ kind, ...request });
  if (shown.length < request.marks.length)
    throw new Error(`realmbox, ${request.params}: ${JSON.stringify(end)}\n${console}`);
  return shown;
}

/**
 * Seconds from one mark to another: elapsed, or with `cpu` of the processor, which other load disturbs less.
 * @param {{ ms: number, cpuMs: number }} from @param {{ ms: number, cpuMs: number }} to @param {{ cpu: boolean }} how
 */
export const secondsBetween = (from, to, { cpu }) => (cpu ? to.cpuMs - from.cpuMs : to.ms - from.ms) / 1000;

/**
 * Creates a realm with `contentMiB` of data to be measured beside its kernel, activates and destroys it.
 * @param {{ library: string, kernel: string, memoryMiB: number, contentMiB: number, jit: Jit }} request
 * @returns {Promise<{ ms: number, cpuMs: number, rmiCalls: number }>}
 */
export const runLifeCycle = (request) => child({ kind: "lifeCycle", ...request });
