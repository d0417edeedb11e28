#!/usr/bin/env node
/**
 * Builds the guest images, or checks that the committed ones are what the sources give.
 *
 *   node guests/build.mjs                        build all into guests/prebuilt and guests/prebuilt-fvp, with SHA256SUMS
 *   node guests/build.mjs --check                build into a temporary folder and compare with those, byte for byte
 *   node guests/build.mjs --out DIR hello smp    only these, into DIR
 *   node guests/build.mjs --compiler gcc --out DIR
 *
 * Compilers: zig (default; the prebuilt images are its output, version pinned in toolchain/) and gcc (a cross compiler; GUEST_CC,
 * default aarch64-linux-gnu-gcc). ZIG names an installed zig; else it is installed once into the system's temporary folder.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const GUESTS = dirname(fileURLToPath(import.meta.url));
/** Guests: applications over lib/ and librsi/. */
const PREBUILT = join(GUESTS, "prebuilt");
/** Programs for Arm's FVP Base platform, which bring their own everything but this. */
const PREBUILT_FVP = join(GUESTS, "prebuilt-fvp");
const FVP_PROGRAMS = ["el2", "rmm-probe", "secure"];
const FVP_SHARED = ["lib/smccc.S", "lib/string.c"];
const ZIG_VERSION = "0.16.0";

const C_FLAGS = [
  ..."-std=gnu11 -O2 -g0 -ffreestanding -fpie -fno-stack-protector -fno-asynchronous-unwind-tables -fno-unwind-tables".split(
    " ",
  ),
  "-mno-outline-atomics", // LSE atomics are not everywhere
  ..."-Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wvla".split(" "),
];
/** The CPU may have no FP/SIMD, and unaligned accesses fault while the MMU is off. */
const GENERAL_FLAGS = ["-mgeneral-regs-only", "-mstrict-align"];
/** Sources in a folder `fp/`: for them the application has FP/SIMD on. A fused operation is one where the source says so. */
const FP_FLAGS = ["-ffp-contract=off", "-fno-math-errno"];
const LINK_FLAGS = [
  ..."-nostdlib -pie -Wl,--no-dynamic-linker -Wl,-z,norelro -Wl,-z,max-page-size=4096 -Wl,--build-id=none".split(" "),
  ..."-Wl,-z,noexecstack -Wl,--gc-sections".split(" "),
];

const compilers = {
  zig: () => {
    const zig = process.env.ZIG ?? installZig();
    const version = execFileSync(zig, ["version"], { encoding: "utf8" }).trim();
    if (version !== ZIG_VERSION) fail(`${zig} is version ${version}; the images are built with ${ZIG_VERSION}`);
    const cache = join(tmpdir(), `realmbox-zig-cache-${ZIG_VERSION}`);
    return {
      command: [zig, "cc", "-target", "aarch64-freestanding-none"],
      general: ["-mcpu=generic-fp_armv8-neon", ...GENERAL_FLAGS],
      fp: ["-mcpu=generic+crypto", ...FP_FLAGS],
      flags: ["-fno-sanitize=undefined", "-Wno-unused-command-line-argument", "-Wno-ignored-optimization-argument"],
      env: { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache },
    };
  },
  gcc: () => ({
    command: [process.env.GUEST_CC ?? "aarch64-linux-gnu-gcc"],
    general: ["-march=armv8-a", ...GENERAL_FLAGS],
    fp: ["-march=armv8-a+crypto", ...FP_FLAGS],
    flags: ["-fno-tree-loop-distribute-patterns"], // or memcpy becomes a call of itself; clang knows from -ffreestanding
    env: process.env,
  }),
};

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(`guests/build.mjs: ${message}`);
  process.exit(1);
}

/** Installs the pinned compiler with npm, hashes checked by its lock file, and returns the path of its program. */
function installZig() {
  const prefix = join(tmpdir(), `realmbox-zig-${ZIG_VERSION}`);
  const zig = join(prefix, "node_modules", ".bin", "zig");
  if (existsSync(zig)) return zig;
  console.error(`installing zig ${ZIG_VERSION} into ${prefix} (395 MB)`);
  mkdirSync(prefix, { recursive: true });
  for (const file of ["package.json", "package-lock.json"])
    copyFileSync(join(GUESTS, "toolchain", file), join(prefix, file));
  execFileSync("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: prefix,
    stdio: ["ignore", "ignore", "inherit"],
  });
  return zig;
}

/** @param {string} folder relative to guests/ @returns {string[]} its C and assembly files, relative to guests/, in a fixed order */
function sources(folder) {
  const names = readdirSync(join(GUESTS, folder)).filter((name) => /\.[cS]$/.test(name));
  return names.sort().map((name) => `${folder}/${name}`);
}

/** @param {string} folder relative to guests/ @returns {string[]} the folders in it, in a fixed order */
function below(folder) {
  const folders = readdirSync(join(GUESTS, folder), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return folders.map(({ name }) => `${folder}/${name}`).sort();
}

/** @param {string} app @returns {{ from: string[], script: string }} what an image is made of */
function parts(app) {
  if (!FVP_PROGRAMS.includes(app)) {
    return {
      from: [...sources("lib"), ...sources("librsi"), ...[`apps/${app}`, ...below(`apps/${app}`)].flatMap(sources)],
      script: "lib/link.ld",
    };
  }
  return { from: [...FVP_SHARED, ...[app, ...below(app)].flatMap(sources)], script: `${app}/link.ld` };
}

/**
 * The loadable segments of an ELF file as one flat image, from the lowest physical address to the last byte in the file.
 * @param {Buffer} elf
 */
function flatten(elf) {
  const segments = [];
  const offset = Number(elf.readBigUInt64LE(32));
  for (let i = 0; i < elf.readUInt16LE(56); i++) {
    const at = offset + i * elf.readUInt16LE(54);
    const [fileOffset, , address, fileSize] = [8, 16, 24, 32].map((field) => Number(elf.readBigUInt64LE(at + field)));
    if (elf.readUInt32LE(at) === 1 && fileSize > 0) segments.push({ fileOffset, address, fileSize });
  }
  const base = Math.min(...segments.map((segment) => segment.address));
  const flat = Buffer.alloc(Math.max(...segments.map((segment) => segment.address + segment.fileSize)) - base);
  for (const { fileOffset, address, fileSize } of segments)
    elf.copy(flat, address - base, fileOffset, fileOffset + fileSize);
  return flat;
}

/** @param {{ command: string[], general: string[], fp: string[], flags: string[], env: NodeJS.ProcessEnv }} compiler @param {string} app @param {string} out */
function build(compiler, app, out) {
  const work = mkdtempSync(join(tmpdir(), "realmbox-guest-"));
  const [program, ...first] = compiler.command;
  const run = (/** @type {string[]} */ ...args) => {
    const result = spawnSync(program, [...first, ...compiler.flags, ...args], {
      cwd: GUESTS,
      env: compiler.env,
      stdio: "inherit",
    });
    if (result.status !== 0) fail(`${program} failed: ${result.error?.message ?? args.at(-1)}`);
  };
  try {
    const { from, script } = parts(app);
    const objects = from.map((source) => {
      const object = join(work, `${source.replaceAll("/", "_")}.o`);
      const registers = source.includes("/fp/") ? compiler.fp : compiler.general;
      run(...registers, ...C_FLAGS, "-ffunction-sections", "-fdata-sections", "-I", ".", "-c", source, "-o", object);
      return object;
    });
    const elf = join(out, `${app}.elf`);
    run(...compiler.general, ...LINK_FLAGS, "-T", script, ...objects, "-o", elf);
    writeFileSync(join(out, `${app}.bin`), flatten(readFileSync(elf)));
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** @param {string} folder @param {string[]} apps */
function sums(folder, apps) {
  const files = apps.flatMap((app) => [`${app}.bin`, `${app}.elf`]);
  const sum = (/** @type {string} */ file) =>
    createHash("sha256")
      .update(readFileSync(join(folder, file)))
      .digest("hex");
  return files.map((file) => `${sum(file)}  ${file}\n`).join("");
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    check: { type: "boolean", default: false },
    out: { type: "string" },
    compiler: { type: "string", default: "zig" },
  },
});
const guests = readdirSync(join(GUESTS, "apps")).sort();
const all = [...guests, ...FVP_PROGRAMS];
const apps = positionals.length > 0 ? positionals : all;
for (const app of apps) if (!all.includes(app)) fail(`no application ${app}; there are ${all.join(", ")}`);
if (!(values.compiler in compilers))
  fail(`no compiler ${values.compiler}; there are ${Object.keys(compilers).join(", ")}`);
if (values.out === undefined && !values.check && values.compiler !== "zig")
  fail("the prebuilt images are built with zig: name another folder with --out");

const compiler = compilers[/** @type {keyof typeof compilers} */ (values.compiler)]();
const temporary = values.check ? mkdtempSync(join(tmpdir(), "realmbox-guests-")) : undefined;
const homeOf = (/** @type {string} */ app) => (FVP_PROGRAMS.includes(app) ? PREBUILT_FVP : PREBUILT);
for (const app of apps) {
  const out = temporary ?? values.out ?? homeOf(app);
  mkdirSync(out, { recursive: true });
  build(compiler, app, out);
}
if (temporary !== undefined) {
  const differ = apps.filter((app) => {
    const list = join(homeOf(app), "SHA256SUMS");
    const committed = existsSync(list) ? readFileSync(list, "utf8") : "";
    const built = sums(temporary, [app]);
    return !built.split("\n").every((line) => committed.includes(line)) || sums(homeOf(app), [app]) !== built;
  });
  rmSync(temporary, { recursive: true });
  if (differ.length > 0) fail(`not what the sources give: ${differ.join(", ")}`);
  console.log(`${apps.length} prebuilt images are what the sources give`);
} else if (values.out === undefined) {
  for (const [home, of] of /** @type {const} */ ([
    [PREBUILT, guests],
    [PREBUILT_FVP, FVP_PROGRAMS],
  ]))
    if (of.some((app) => apps.includes(app))) writeFileSync(join(home, "SHA256SUMS"), sums(home, [...of]));
}
