/**
 * `npm run mutate`: proves that each condition of the RMM is needed by a conformance case. One instrumented build of the
 * RMM (mutation/instrument.mjs) has a switch for each check; with one check off, a case that claims the condition must
 * fail. What came of it is committed as src/cases/proof.ts, with a digest of the sources that it holds for.
 *
 *   node conformance/rmm/mutate.mjs            all mutants, on two threads; writes the result
 *   node conformance/rmm/mutate.mjs RMI_DATA   those whose id contains a text; writes nothing
 *   node conformance/rmm/mutate.mjs --check    whether the committed result is of these sources; exits with 1 when not
 *
 * A mutant is caught by what the RMM does ("behaviour"), by nothing but the id of the condition that refused ("id"), by an
 * error of the RMM's own invariants or a use of what is not there ("crash"), or by a call that never ends ("hang").
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { build } from "esbuild";
import { instrument, RUNTIME } from "./mutation/instrument.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const rmm = join(root, "packages/rmm/src");
const result = join(here, "src/cases/proof.ts");
const THREADS = 2;
/** A mutant that takes longer hangs. The longest case takes a few seconds. */
const MUTANT_MS_MAX = 120_000;

function sources(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return entry.name === "testing" ? [] : sources(path);
      return /\.(ts|mjs)$/.test(entry.name) && !/\.(test|oracle)\.ts$/.test(entry.name) && path !== result
        ? [path]
        : [];
    })
    .sort();
}

/** Of everything that the result depends on: the RMM, the cases, what drives them, and this tool. */
function digest() {
  const hash = createHash("sha256");
  const folders = [rmm, join(here, "src/cases"), join(here, "src/driver"), join(here, "mutation")];
  for (const path of [...folders.flatMap(sources), fileURLToPath(import.meta.url)]) {
    hash
      .update(`${relative(root, path)}\0`)
      .update(readFileSync(path))
      .update("\0");
  }
  return hash.digest("hex");
}

const committed = () => /digest: "([0-9a-f]{64})"/.exec(readFileSync(result, "utf8"))?.[1];

/** Builds the instrumented RMM; the mutants that it has, and its path. */
async function instrumented() {
  const found = new Set();
  const outfile = join(here, "dist/mutants/rmm.mjs");
  mkdirSync(dirname(outfile), { recursive: true });
  await build({
    stdin: { contents: 'export * from "./index.ts";', resolveDir: rmm, loader: "ts" },
    bundle: true,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    outfile,
    external: ["@realmbox/*"],
    banner: { js: RUNTIME },
    logLevel: "error",
    plugins: [
      {
        name: "instrument",
        setup(plugin) {
          plugin.onLoad({ filter: /packages\/rmm\/src\/.*\.ts$/ }, ({ path }) => ({
            contents: instrument(path, readFileSync(path, "utf8"), found),
            loader: "ts",
          }));
        },
      },
    ],
  });
  return { outfile, found };
}

/** Every condition with its mutants; throws when one has none. */
function mutantsOf(conditions, found) {
  const anyCommand = [...found].filter((key) => key.startsWith("*/")).map((key) => key.slice(2));
  return conditions.flatMap((condition) => {
    const id = condition.slice(condition.indexOf("/") + 1);
    const keys = [...found].filter((key) => key === condition || key.startsWith(`${condition}#`));
    if (keys.length === 0 && anyCommand.includes(id)) keys.push(condition);
    if (keys.length === 0) throw new Error(`no check was found for ${condition}`);
    return keys.map((key) => ({ condition, key }));
  });
}

/** Tries the mutants on worker threads; a hanging one ends its thread. */
function run(outfile, mutants, report) {
  const queue = [...mutants];
  const results = [];
  const thread = () =>
    new Promise((resolve, reject) => {
      let worker;
      let timer;
      let current;
      const next = () => {
        current = queue.shift();
        if (current === undefined) {
          void worker.terminate();
          resolve();
          return;
        }
        timer = setTimeout(() => {
          done({ how: "hang" });
          void worker.terminate();
          start();
        }, MUTANT_MS_MAX);
        worker.postMessage(current);
      };
      const done = (outcome) => {
        clearTimeout(timer);
        const entry = { ...current, ...outcome };
        results.push(entry);
        report(entry, results.length, mutants.length);
      };
      const start = () => {
        worker = new Worker(join(here, "mutation/worker.mjs"), { workerData: { outfile } });
        worker.on("message", (message) => {
          if (message !== "ready") done(message);
          next();
        });
        worker.on("error", reject);
      };
      start();
    });
  return Promise.all(Array.from({ length: Math.min(THREADS, mutants.length) }, thread)).then(() => results);
}

async function main([argument]) {
  if (argument === "--check") {
    if (committed() === digest()) return 0;
    process.stderr.write("src/cases/proof.ts is of other sources: npm run mutate\n");
    return 1;
  }
  const { CASES, CONDITIONS, UNREACHABLE_CONDITIONS } = await import("./dist/cases/index.js");
  const { outfile, found } = await instrumented();
  const reachable = CONDITIONS.filter((condition) => !UNREACHABLE_CONDITIONS.some(({ id }) => id === condition));
  const claimed = new Set(CASES.flatMap(({ conditions }) => conditions));
  const mutants = mutantsOf(reachable, found).filter(({ key }) => argument === undefined || key.includes(argument));
  for (const { condition } of mutants)
    if (!claimed.has(condition)) process.stderr.write(`no case claims ${condition}\n`);
  const started = Date.now();
  const results = await run(outfile, mutants, ({ key, how, by, message }, n, all) => {
    if (how === undefined || argument !== undefined)
      process.stdout.write(`${key}: ${how ?? "NOT CAUGHT"} ${by ?? ""} ${message ?? ""}\n`);
    else if (n % 25 === 0) process.stdout.write(`${n} of ${all}\n`);
  });
  results.sort((a, b) => (a.key < b.key ? -1 : 1));
  const missed = results.filter(({ how }) => how === undefined);
  const count = (how) => results.filter((entry) => entry.how === how).length;
  process.stdout.write(
    `${results.length} mutants of ${reachable.length} conditions in ${Math.round((Date.now() - started) / 1000)} s: ` +
      `${count("behaviour")} caught by behaviour, ${count("id")} by the id alone, ${count("crash")} by a crash, ${count("hang")} by a hang, ${missed.length} missed\n`,
  );
  if (argument === undefined) writeFileSync(result, proof(results));
  return missed.length === 0 ? 0 : 1;
}

function proof(results) {
  const rows = results
    .filter(({ how }) => how !== undefined)
    .map(
      ({ key, how, by }) =>
        `    ${JSON.stringify(key)}: { how: "${how}"${by ? `, by: ${JSON.stringify(by)}` : ""} },\n`,
    );
  const missed = results.filter(({ how }) => how === undefined).map(({ key }) => JSON.stringify(key));
  return `/** Made by \`npm run mutate\`: by which case each check of the RMM was missed when it was off. */
import type { Proof } from "./coverage.js";

// biome-ignore format: one mutant a line
export const PROOF: Proof = {
  digest: "${digest()}",
  missed: [${missed.join(", ")}],
  mutants: {
${rows.join("")}  },
};
`;
}

process.exitCode = await main(process.argv.slice(2));
