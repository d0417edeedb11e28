/** The package as users get it: packed, installed in an empty folder, run and type-checked from there. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "realmbox-package-"));
const run = (command: string, args: readonly string[], cwd = folder) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

beforeAll(() => {
  const [packed] = JSON.parse(
    run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], join(root, "packages/realmbox")),
  ) as [{ filename: string }];
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  run("npm", ["install", "--no-audit", "--no-fund", join(folder, packed.filename)]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("the command boots hello as a realm with a verified token", () => {
  const report = JSON.parse(run("npx", ["realmbox", "run", "--realm", "--json", "hello"]));
  expect(report.exit).toBe(0);
  expect(report.rim.token).toBe(report.rim.expected);
  expect(report.token.verified).toBe(true);
});

test("the library runs and its types check", () => {
  const source = `import { Box, nodeCrypto, type Report } from "realmbox";
const box: Box = new Box({ crypto: nodeCrypto });
export const realmPages: number = box.host.pages.realm;
export type Exit = Report["exit"];
`;
  writeFileSync(join(folder, "user.ts"), source);
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: { target: "es2023", lib: ["es2023"], module: "nodenext", strict: true, types: [] },
      files: ["user.ts"],
    }),
  );
  run("node", [join(root, "node_modules/typescript/bin/tsc"), "-p", folder]);
  expect(run("node", ["-e", "import('./user.js').then((m) => console.log(m.realmPages))"]).trim()).toBe("0");
});

test("it installs nothing else but the OpenPGP library, which is not bundled because of its licence", () => {
  const tree = JSON.parse(run("npm", ["ls", "--all", "--json"]));
  expect(Object.keys(tree.dependencies)).toEqual(["realmbox"]);
  expect(Object.keys(tree.dependencies.realmbox.dependencies)).toEqual(["openpgp"]);
  // What it could use but does not need is listed without a version.
  const further = Object.values<{ version?: string }>(
    tree.dependencies.realmbox.dependencies.openpgp.dependencies ?? {},
  );
  expect(further.filter(({ version }) => version !== undefined)).toEqual([]);
});
