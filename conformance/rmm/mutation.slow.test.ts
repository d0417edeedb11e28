/** Each check of the RMM, switched off, makes a conformance case fail; and the committed result says so of these sources. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

test("every mutant is caught, and the committed result is this one", { timeout: 600_000 }, () => {
  const before = readFileSync(at("src/cases/proof.ts"), "utf8");
  const out = execFileSync(process.execPath, [at("mutate.mjs")], { encoding: "utf8" });
  expect(out).toMatch(/ 0 missed\n$/);
  expect(readFileSync(at("src/cases/proof.ts"), "utf8")).toBe(before);
});
