/**
 * What the user got wrong, with a sentence and a hint; the command line prints both and exits with 125 (design: "Command
 * line", exit codes).
 */
export const EXIT = {
  OK: 0,
  /** `verify`: evidence was read but is not acceptable. */
  REFUSED: 1,
  /** `--timeout` or `--max-instructions` reached. */
  TIMEOUT: 124,
  /** realmbox failed: bad option, missing file. */
  USAGE: 125,
  /** The guest crashed. */
  CRASHED: 126,
  /** Ended by SIGINT, as shells count it. */
  INTERRUPTED: 130,
} as const;

export class UsageError extends Error {
  readonly hint: string | undefined;
  constructor(message: string, hint?: string) {
    super(message);
    this.name = "UsageError";
    this.hint = hint;
  }
}
