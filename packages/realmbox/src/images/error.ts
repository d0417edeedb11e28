/**
 * What goes wrong when images are fetched, read or removed: a sentence and a hint for the user. The command line prints
 * both and exits with 125, as for every `UsageError`.
 */
import { UsageError } from "../cli/usage.js";

export type ImagesProblem =
  /** A package, an index or an archive is not what it should be. */
  | "bad-content"
  /** A hash, a signature or a date says: do not use this. */
  | "not-trusted"
  /** No such suite, package, file or image. */
  | "not-found"
  /** The network, the mirror or apt does not work. */
  | "unreachable"
  /** Something on this machine is missing or forbidden. */
  | "environment"
  /** The user ended it. */
  | "interrupted";

export class ImagesError extends UsageError {
  readonly problem: ImagesProblem;
  constructor(problem: ImagesProblem, message: string, hint?: string) {
    super(message, hint);
    this.name = "ImagesError";
    this.problem = problem;
  }
}

export const interrupted = (): ImagesError =>
  new ImagesError("interrupted", "interrupted", "the next fetch goes on where this one stopped");
