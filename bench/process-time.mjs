/** Seconds from the start of a process to a text in its output; then it is killed. */
import { spawn } from "node:child_process";
import { performance } from "node:perf_hooks";

/** Nothing here takes as long, but for a machine that hangs. */
export const PATIENCE_MS = 900_000;

/** @param {string} text @param {string} command @param {readonly string[]} args @returns {Promise<number>} */
export async function secondsTo(text, command, args) {
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
      if (output.includes(text)) return (performance.now() - from) / 1000;
    }
    throw new Error(`${command} ended early: ${output.slice(-2000)}${errors}`);
  } finally {
    clearTimeout(patience);
    child.kill("SIGKILL");
  }
}
