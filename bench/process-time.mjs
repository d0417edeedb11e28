/** The time that processes take. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";

/** Nothing here takes as long, but for a machine that hangs. */
export const PATIENCE_MS = 900_000;

/** Milliseconds that all threads of a process have run (Linux, proc(5)); NaN elsewhere. */
export function cpuMs(/** @type {number | undefined} */ pid) {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const ran = (/** @type {string} */ thread) =>
      Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
    return threads.reduce((sum, thread) => sum + ran(thread), 0) / 1e6;
  } catch {
    return Number.NaN;
  }
}

/**
 * Seconds from the start of a process to a text in its output, elapsed or with `cpu` of the processor; then it is killed.
 * @param {string} text @param {string} command @param {readonly string[]} args @param {{ cpu: boolean }} how
 * @returns {Promise<number>}
 */
export async function secondsTo(text, command, args, { cpu }) {
  const from = performance.now();
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors = (errors + chunk).slice(-2000);
  });
  const patience = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  try {
    for await (const chunk of child.stdout) {
      output = (output + chunk).slice(-100_000);
      if (output.includes(text)) return (cpu ? cpuMs(child.pid) : performance.now() - from) / 1000;
    }
    throw new Error(`${command} ended early: ${output.slice(-2000)}${errors}`);
  } finally {
    clearTimeout(patience);
    child.kill("SIGKILL");
  }
}
