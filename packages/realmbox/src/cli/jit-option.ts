/** `--jit`, and the environment variable that says what it is by default: for suites, which run in all three ways. */
import { type Jit, parseJit, setUsualJit } from "@realmbox/machine";
import { UsageError } from "./usage.js";

const VARIABLE = "REALMBOX_JIT";

/** What all machines of this command do. Throws `UsageError` for a value that is none. */
export function chooseJit(option: string | undefined): void {
  const variable = process.env[VARIABLE];
  if (option !== undefined) setUsualJit(jitOf("option '--jit'", option));
  else if (variable !== undefined) setUsualJit(jitOf(`environment variable ${VARIABLE}`, variable));
}

function jitOf(where: string, text: string): Jit {
  const jit = parseJit(text);
  if (jit === undefined) {
    throw new UsageError(
      `${where}: '${text}' is neither on nor off nor a number`,
      "a number says how often code runs before it is translated: 0 is at once",
    );
  }
  return jit;
}
