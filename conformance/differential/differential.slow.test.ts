/**
 * Our RMM beside another one, whose image REALMBOX_RMM names (REALMBOX_RMM=rmm.img; several with colons between them): the
 * same calls to both, and no difference that no rule decides. TF-RMM built for the FVP is what the rules know.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import {
  caseScripts,
  compareRmms,
  comparisonText,
  type NamedScript,
  randomScripts,
  rmmPair,
} from "@realmbox/conformance";
import { generateInterpreter } from "@realmbox/machine";
import { nodeCrypto } from "realmbox";
import { describe, expect, test } from "vitest";

const IMAGES = (process.env.REALMBOX_RMM ?? "").split(":").filter((path) => path !== "");
const SEEDS = Array.from({ length: 200 }, (_, i) => i + 1);
const TIMEOUT_MS = 1_800_000;

describe.skipIf(IMAGES.length === 0)("REALMBOX_RMM names an RMM's image", () => {
  const engine = generateInterpreter();

  describe.each(IMAGES.length === 0 ? ["none"] : IMAGES)("%s", (path) => {
    const compare = (scripts: readonly NamedScript[]) => {
      const comparison = compareRmms(
        rmmPair({ crypto: nodeCrypto, image: new Uint8Array(readFileSync(path)), engine }),
        scripts,
      );
      console.log(`${basename(path)}\n${comparisonText(comparison)}`);
      return comparison;
    };

    test("the conformance cases", { timeout: TIMEOUT_MS }, () => {
      expect(compare(caseScripts()).unknown).toBe(0);
    });

    test("random scripts", { timeout: TIMEOUT_MS }, () => {
      expect(compare(randomScripts(SEEDS)).unknown).toBe(0);
    });
  });
});
