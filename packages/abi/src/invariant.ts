/** What cannot happen throws: a broken invariant is a defect of realmbox, never an effect of a guest, host or token. */
export function invariant(condition: boolean, what: string, detail?: unknown): asserts condition {
  if (condition) return;
  throw new Error(`invariant broken: ${what}${detail === undefined ? "" : ` (${String(detail)})`}`);
}
