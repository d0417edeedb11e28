/** What the commands about images write: documents and tables on stdout, progress on stderr. */
import { type Progress, progressOn } from "../images/progress.js";
import { writeAll } from "./run.js";

export const print = (text: string): void => writeAll(1, Buffer.from(text));

/** A JSON document of ours. */
export const printJson = (value: object): void => print(`${JSON.stringify({ schemaVersion: 1, ...value }, null, 2)}\n`);

export const terminalProgress = (): Progress =>
  progressOn((text) => writeAll(2, Buffer.from(text)), { terminal: process.stderr.isTTY === true });
