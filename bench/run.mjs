/**
 * Benchmarks: `npm run bench [-- TABLE…] [options]`, `realmbox bench`. Ratios are to qemu-system-aarch64 (TCG, one virtual CPU)
 * running the same image in the same run, in pairs A B A B. `--help` tells the rest.
 */
import { cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BOOT_NAMES, boot, bootText } from "./boot.mjs";
import { CLASS_NAMES, classes, classesText } from "./classes.mjs";
import { libraryFile } from "./paths.mjs";
import { PROGRAM_NAMES, programs, programsRow, programsText } from "./programs.mjs";
import { qemuVersion } from "./qemu.mjs";
import { PATH_NAMES, rmmPaths, rmmPathsText } from "./rmm-paths.mjs";
import { START_NAMES, start, startText } from "./start.mjs";

const TABLES = {
  classes: {
    run: classes,
    text: classesText,
    title: "Bare-metal programs, MMU on, pages of 4 KiB",
    names: CLASS_NAMES,
  },
  programs: { run: programs, text: programsText, title: "Real programs in a Linux guest", names: PROGRAM_NAMES },
  rmm: { run: rmmPaths, text: rmmPathsText, title: "RMM paths", names: PATH_NAMES },
  boot: { run: boot, text: bootText, title: "Linux: process start to the first line of user space", names: BOOT_NAMES },
  start: { run: start, text: startText, title: "Process start", names: START_NAMES },
};

const HELP = `Usage: bench [TABLE…] [options]

Tables: ${Object.keys(TABLES).join(", ")} (default: all)

  --json          the tables as one JSON document on stdout, alone
  --rounds N      pairs of measurements (default: 5)
  --only A,B      only these rows of a table:
${Object.entries(TABLES)
  .map(([name, { names }]) => `                  ${name}: ${names.join(", ")}\n`)
  .join("")}  --no-qemu       measure realmbox alone
  --realm         run the bare-metal programs as a realm
  --jit MODE      off, on, or the number of runs after which code is translated
  --cpu           compare the processor's time, not the elapsed one: for a machine with other load
  --scale X       X times the work, for a quick look; checksums are then only compared, not known
  --dist          measure the output of 'tsc -b' instead of the bundle
`;

/**
 * @typedef {object} Options
 * @property {number} rounds
 * @property {readonly string[] | undefined} only
 * @property {boolean} qemu whether there is a peer to measure
 * @property {boolean} realm
 * @property {number} scale
 * @property {boolean} cpu compare the processor's time
 * @property {string} library
 * @property {"on" | "off" | number | undefined} jit
 * @property {(what: string) => void} progress
 */

/** @param {readonly string[]} args @returns {Promise<number>} exit code: 1 when something gave a wrong result or failed, 125 for a wrong option */
export async function bench(args) {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        rounds: { type: "string", default: "5" },
        only: { type: "string" },
        "no-qemu": { type: "boolean", default: false },
        realm: { type: "boolean", default: false },
        cpu: { type: "boolean", default: false },
        jit: { type: "string" },
        scale: { type: "string", default: "1" },
        dist: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return wrong(/** @type {Error} */ (error).message);
  }
  const { values, positionals } = parsed;
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const rounds = Number(values.rounds);
  if (!(Number.isInteger(rounds) && rounds > 0)) return wrong(`--rounds ${values.rounds}: a number from 1`);
  const scale = Number(values.scale);
  if (!(scale > 0)) return wrong(`--scale ${values.scale}: a number above 0`);
  const { jit } = values;
  if (jit !== undefined && !/^(on|off|\d+)$/.test(jit)) return wrong(`--jit ${jit}: on, off or a number`);
  const unknown = positionals.find((name) => !(name in TABLES));
  if (unknown !== undefined) return wrong(`there is no table '${unknown}'; ${Object.keys(TABLES).join(", ")}`);

  const wanted = positionals.length > 0 ? positionals : Object.keys(TABLES);
  const only = values.only?.split(",");
  const known = wanted.flatMap((name) => TABLES[/** @type {keyof typeof TABLES} */ (name)].names);
  const stranger = only?.find((name) => !known.includes(name));
  if (stranger !== undefined) return wrong(`--only ${stranger}: there is none; ${known.join(", ")}`);

  const version = qemuVersion();
  const machine = {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    load: loadavg()[0],
    node: process.versions.node,
    qemu: version ?? null,
  };
  const say = values.json ? () => {} : (/** @type {string} */ text) => console.log(text);
  say(
    `${machine.cpu}, ${machine.cores} cores, load ${machine.load.toFixed(1)}, Node ${machine.node}, ${version ?? "no qemu-system-aarch64: no ratios"}`,
  );
  say(`Medians of ${rounds} rounds; a ratio above 1 is faster than QEMU.\n`);
  const options = {
    rounds,
    only,
    qemu: version !== undefined && !values["no-qemu"],
    realm: values.realm,
    scale,
    cpu: values.cpu,
    library: libraryFile({ dist: values.dist }),
    jit: /** @type {Options["jit"]} */ (jit === undefined || jit === "on" || jit === "off" ? jit : Number(jit)),
    progress: (/** @type {string} */ what) => process.stderr.isTTY && process.stderr.write(`\r\x1b[K${what}`),
  };
  const results = {};
  for (const name of wanted) {
    const { run, text, title } = TABLES[/** @type {keyof typeof TABLES} */ (name)];
    try {
      results[name] = await run(options);
    } catch (error) {
      results[name] = { error: /** @type {Error} */ (error).message };
    }
    options.progress("");
    say(`${title}\n\n${results[name].error ?? text(results[name])}\n`);
  }
  // The real programs are a row of the classes, too.
  if (Array.isArray(results.classes) && results.programs?.ratio !== undefined)
    results.classes.push(programsRow(results.programs));
  if (values.json) console.log(JSON.stringify({ schemaVersion: 2, machine, rounds, ...results }, null, 2));
  const failed = Object.values(results).some((result) => [result].flat().some(({ error }) => error !== undefined));
  return failed ? 1 : 0;
}

/** @param {string} message */
function wrong(message) {
  console.error(`bench: ${message}`);
  return 125;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await bench(process.argv.slice(2));
