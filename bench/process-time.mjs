/** The time that processes take. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";

/** Nothing here takes as long, but for a machine that hangs. */
export const PATIENCE_MS = 900_000;

/** A clock tick of /proc on every Linux that Node runs on. */
const TICK_MS = 10;

/**
 * Milliseconds of the processor that a process has used, threads that have ended included (Linux, proc_pid_stat(5): utime and
 * stime); NaN elsewhere.
 * @param {number | undefined} pid
 */
export function cpuMs(pid) {
  try {
    // Behind the program's name, which may hold anything: the first field there is the third, state.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
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
