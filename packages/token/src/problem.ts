/** What is wrong with a token, as a value: nothing that a token contains makes this room throw. */

export interface TokenProblem {
  /** The step that found it: "decode" for structure, "claims" for the content of the two claim sets. */
  readonly stage: "decode" | "claims";
  /** Stable, for programs: `claim-missing`, `cbor-truncated`, … */
  readonly code: string;
  /** One sentence for people. */
  readonly message: string;
  /** The claim at fault, by its JSON name, where there is one. */
  readonly claim?: string;
}

export type Result<T, P> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: P };

export const success = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value });
export const failure = <P>(problem: P): { readonly ok: false; readonly problem: P } => ({ ok: false, problem });
