/**
 * Makes the published package out of the compiled rooms: one bundle each for the command, the library and the page, the
 * interpreter as bytes, the built-in guest images, the benchmarks, the licences of what is bundled, and the type declarations.
 * Runs after `tsc -b`.
 */
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = join(root, "packages/realmbox/bundle");
const rooms = ["abi", "token", "machine", "monitor", "rmm", "host", "vmm", "attest", "realmbox", "conformance"];
const folderOf = (room) => join(root, room === "conformance" ? "conformance/rmm" : join("packages", room));
const { version } = JSON.parse(readFileSync(join(root, "packages/realmbox/package.json"), "utf8"));

/** Files under a folder in a fixed order. */
function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => (entry.isDirectory() ? filesUnder(join(folder, entry.name)) : [join(folder, entry.name)]));
}

/** SHA-256 over names and contents of a room's sources, tests left out. */
function sourceDigest(room) {
  const folder = join(folderOf(room), "src");
  const hash = createHash("sha256");
  for (const file of filesUnder(folder)) {
    if (!file.endsWith(".ts") || file.endsWith(".test.ts")) continue;
    hash
      .update(`${relative(folder, file)}\0`)
      .update(readFileSync(file))
      .update("\0");
  }
  return hash.digest("hex");
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const { generateInterpreter } = await import(new URL("../packages/machine/dist/cpu/index.js", import.meta.url));
writeFileSync(join(out, "interpreter.wasm"), generateInterpreter());

const buildInfo = {
  name: "build-info",
  setup(bundler) {
    bundler.onLoad({ filter: /realmbox\/dist\/build-info\.js$/ }, () => ({
      contents: `
        export { default as ENGINE } from ${JSON.stringify(join(out, "interpreter.wasm"))};
        export const VERSION = ${JSON.stringify(version)};
        export const SOURCE_DIGESTS = ${JSON.stringify(Object.fromEntries(["monitor", "rmm", "host"].map((room) => [room, sourceDigest(room)])))};`,
      resolveDir: root,
    }));
  },
};

const dist = (file) => join(root, "packages/realmbox/dist", file);
const common = {
  bundle: true,
  format: "esm",
  outdir: out,
  loader: { ".wasm": "binary" },
  plugins: [buildInfo],
  sourcemap: false,
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
};
const node = await build({
  ...common,
  entryPoints: { cli: dist("cli.js"), index: dist("index.js") },
  platform: "node",
  target: "node20.19",
  // A real dependency of the package: its licence (LGPL) wants it to stay replaceable.
  external: ["openpgp"],
  splitting: true,
  chunkNames: "chunk-[hash]",
  // commander is CommonJS inside; an ES module bundle needs a `require` for Node's own modules.
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
});
const page = await build({
  ...common,
  entryPoints: { page: dist("page.js") },
  platform: "browser",
  target: "es2023",
});

// Licences of every bundled package.
const bundled = new Set();
for (const input of [...Object.keys(node.metafile.inputs), ...Object.keys(page.metafile.inputs)]) {
  const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
  if (match) bundled.add(match[1]);
}
const notices = [...bundled].sort().map((name) => {
  const folder = join(root, "node_modules", name);
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const { version: v, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return `${name} ${v} (${license})\n\n${file ? readFileSync(join(folder, file), "utf8") : ""}`;
});
writeFileSync(join(out, "THIRD-PARTY-NOTICES.txt"), `${notices.join(`\n${"-".repeat(78)}\n`)}\n`);

const prebuilt = join(root, "guests/prebuilt");
if (existsSync(prebuilt)) cpSync(prebuilt, join(out, "images"), { recursive: true });
const prebuiltFvp = join(root, "guests/prebuilt-fvp");
if (existsSync(prebuiltFvp)) cpSync(prebuiltFvp, join(out, "fvp-images"), { recursive: true });
cpSync(join(root, "bench"), join(out, "bench"), { recursive: true, filter: (path) => !path.endsWith(".md") });

// Type declarations: the rooms are private packages, so their names become relative paths; so does the one library whose
// types they mention, because users do not install it.
const typed = { cborg: "types/cborg.d.ts" };
for (const name of Object.keys(typed)) {
  cpSync(join(root, "node_modules", name, "types"), join(out, "types", name, "types"), {
    recursive: true,
    filter: (path) => !path.endsWith(".map"),
  });
}
for (const room of rooms) {
  const from = join(folderOf(room), "dist");
  for (const file of filesUnder(from).filter((name) => name.endsWith(".d.ts"))) {
    const target = join(out, "types", room, relative(from, file));
    mkdirSync(dirname(target), { recursive: true });
    const text = readFileSync(file, "utf8").replace(
      /(["'])(?:@realmbox\/(\w+)|(cborg))\1/g,
      (_, quote, room, library) => {
        const module =
          room === undefined ? join(library, typed[library].replace(".d.ts", ".js")) : join(room, "index.js");
        const path = relative(dirname(target), join(out, "types", module));
        return `${quote}${path.startsWith(".") ? path : `./${path}`}${quote}`;
      },
    );
    writeFileSync(target, text.replace(/\n?\/\/# sourceMappingURL=.*\n?$/, "\n"));
  }
}
