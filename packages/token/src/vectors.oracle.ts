/**
 * For tests: other projects' attestation vectors, which are not part of this repository. They are looked for in the
 * folder that REALMBOX_ATTESTATION_VECTORS names, else in `shared/vectors/attestation` beside the repository; without
 * them the tests that need them are skipped, and say so.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder =
  process.env.REALMBOX_ATTESTATION_VECTORS ??
  fileURLToPath(new URL("../../../../shared/vectors/attestation", import.meta.url));

export const haveVectors = existsSync(join(folder, "made", "manifest.json"));

/** A vector's bytes; the path is relative to the collection. */
export const vector = (path: string): Uint8Array => Uint8Array.from(readFileSync(join(folder, path)));
export const vectorText = (path: string): string => readFileSync(join(folder, path), "utf8");
// biome-ignore lint/suspicious/noExplicitAny: files of many shapes
export const vectorJson = (path: string): any => JSON.parse(vectorText(path));
export const vectorNames = (path: string): string[] => (haveVectors ? readdirSync(join(folder, path)).sort() : []);

export interface MadeVector {
  readonly file: string;
  readonly fails_at: "none" | "decode" | "claims" | "platform-signature" | "realm-signature" | "binding" | "appraise";
  readonly what: string;
}
/** The vectors of `made/`, one change each, with the stage that must refuse it. */
export const madeVectors: readonly MadeVector[] = haveVectors ? vectorJson("made/manifest.json").vectors : [];
