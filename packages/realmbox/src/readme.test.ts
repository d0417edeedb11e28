/** The README's library example, run as a user would: plain JavaScript that imports the built package. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));

test("the README's example runs", () => {
  const blocks = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/```ts\n([\s\S]*?)```/g)];
  expect(blocks).toHaveLength(1);
  const { code } = transformSync(blocks[0]![1]!, { loader: "ts", format: "esm", target: "node20" });
  // Inside the workspace, so that `realmbox` resolves as it does for a user.
  const folder = mkdtempSync(join(root, "packages/realmbox/bundle/readme-"));
  try {
    writeFileSync(join(folder, "example.mjs"), code);
    execFileSync(process.execPath, [join(folder, "example.mjs")], { cwd: root, stdio: "pipe" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
