/** Adds up what .ci/run left in a folder: vitest's JSON reports and the checks that are no test suite. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const lines = (file) =>
  existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8").split("\n").filter(Boolean) : [];
let passed = lines("checks-passed").length;
let failed = lines("checks-failed").length;
let skipped = 0;
const skips = [];
for (const file of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
  const report = JSON.parse(readFileSync(join(folder, file), "utf8"));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  for (const suite of report.testResults) {
    if (suite.status === "failed" && suite.assertionResults.every((test) => test.status !== "failed")) failed++; // did not load
    for (const test of suite.assertionResults) {
      if (test.status !== "pending" && test.status !== "skipped" && test.status !== "todo") continue;
      skipped++;
      skips.push(test.fullName);
    }
  }
}
if (skips.length > 0) console.log(`\nskipped:\n${skips.map((name) => `  ${name}`).join("\n")}`);
for (const name of lines("checks-failed")) console.log(`failed: ${name}`);
console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
