/**
 * Real programs in a Linux guest: SQLite, OpenSSL, gzip, xz and Python, each with a fixed amount of work, from the line that `/init`
 * prints before one to the line after it. The same kernel, initramfs and command line (but for the console's name, since QEMU's
 * board has a PL011) on realmbox as a normal VM and as a realm, and on QEMU; one boot of each system in a round, which runs all
 * programs. Fetches Debian's kernel and programs when the cache does not hold them (`realmbox images fetch debian`, `… fetch bench`).
 */
import { spawnSync } from "node:child_process";
import { fetchedImage } from "./boot.mjs";
import { COMMAND } from "./paths.mjs";
import { runQemu } from "./qemu.mjs";
import { runRealmbox, secondsBetween } from "./realmbox.mjs";
import { figure, geometricMean, median, spread, table } from "./statistics.mjs";

export const PROGRAM_NAMES = ["sqlite", "openssl", "gzip", "xz", "python"];

const MUST = { must: 0.9, each: 0.7, aim: 1.3 };
/** What a realm may take more than a normal VM, for compute. */
const OVERHEAD_MUST = 0.05;
const MEMORY_MIB = 512;
const IMAGE = "debian-programs";

/** The image, fetched when need be; undefined when that fails. */
function programsImage() {
  for (const [name, distribution] of [
    ["debian", "debian"],
    [IMAGE, "bench"],
  ]) {
    if (fetchedImage(name) !== undefined) continue;
    const { status } = spawnSync(process.execPath, [COMMAND, "images", "fetch", distribution], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    if (status !== 0) return undefined;
  }
  return fetchedImage(IMAGE);
}

/**
 * @typedef {object} Measured one program's run
 * @property {number} seconds
 * @property {string} sum over its output
 * @property {Record<string, number>} counters what happened meanwhile
 */

/**
 * @param {readonly { line: string, ms: number, cpuMs: number, counters?: Record<string, number> }[]} marks three of each program
 * @param {{ cpu: boolean }} how
 * @returns {Measured[]}
 */
function measured(marks, how) {
  return Array.from({ length: marks.length / 3 }, (_, i) => {
    const [begin, end, sum] = marks.slice(3 * i, 3 * i + 3);
    if (!end.line.endsWith(" 0")) throw new Error(`a program fails: ${end.line}`);
    const before = begin.counters ?? {};
    const after = end.counters ?? {};
    const counters = Object.keys(after).map((key) => [key, after[key] - (before[key] ?? 0)]);
    return {
      seconds: secondsBetween(begin, end, how),
      sum: sum.line.split(" ")[3],
      counters: Object.fromEntries(counters.filter(([, count]) => count !== 0)),
    };
  });
}

/** @param {import("./run.mjs").Options} options */
export async function programs({ rounds, only, qemu, library, jit, cpu, progress }) {
  const image = programsImage();
  if (image === undefined) return { skipped: "the programs' packages cannot be fetched" };
  const names = PROGRAM_NAMES.filter((name) => !only || only.includes(name));
  const params = `cryptomgr.notests=1 swiotlb=8192 programs=${names.join(",")}`;
  const request = {
    kernel: image.kernel,
    initrd: image.initrd,
    memoryMiB: MEMORY_MIB,
    marks: names.flatMap((name) => [`bench: begin ${name}`, `bench: end ${name}`, `bench: sum ${name}`]),
  };
  const ours = async (/** @type {boolean} */ realm) =>
    measured(
      await runRealmbox({ ...request, params: `console=ttyS0 ${params}`, nodefaults: true, realm, library, jit }),
      { cpu },
    );
  /** @type {Record<"vm" | "realm" | "qemu", Measured[][]>} */
  const runs = { vm: [], realm: [], qemu: [] };
  for (let round = 0; round < rounds; round++) {
    progress(`programs, round ${round + 1}: normal VM`);
    runs.vm.push(await ours(false));
    if (qemu) {
      progress(`programs, round ${round + 1}: QEMU`);
      runs.qemu.push(measured(await runQemu({ ...request, params: `console=ttyAMA0 ${params}` }), { cpu }));
    }
    progress(`programs, round ${round + 1}: realm`);
    runs.realm.push(await ours(true));
  }
  const rows = names.map((name, i) => {
    const sums = new Set(Object.values(runs).flatMap((list) => list.map((run) => run[i].sum)));
    if (sums.size !== 1) throw new Error(`${name}: the outputs differ: ${[...sums].join(", ")}`);
    const seconds = (/** @type {Measured[][]} */ list) => list.map((run) => run[i].seconds);
    const [vm, realm, peer] = [seconds(runs.vm), seconds(runs.realm), seconds(runs.qemu)];
    const told = (/** @type {number[]} */ list) => ({ seconds: median(list), ...spread(list) });
    const ratios = peer.map((time, round) => time / vm[round]);
    const overheads = realm.map((time, round) => time / vm[round] - 1);
    return {
      name,
      output: [...sums][0],
      ...(qemu ? { ratio: median(ratios), spread: spread(ratios), qemu: told(peer), ratios } : {}),
      vm: { ...told(vm), counters: runs.vm[0][i].counters },
      realm: { ...told(realm), counters: runs.realm[0][i].counters },
      realmOverhead: { median: median(overheads), ...spread(overheads), must: OVERHEAD_MUST },
    };
  });
  const means = qemu ? runs.vm.map((_, round) => geometricMean(rows.map((row) => row.ratios[round]))) : [];
  return {
    kernel: image.version,
    commandLine: `console=… ${params}`,
    ...(qemu ? { ratio: geometricMean(rows.map((row) => row.ratio)), spread: spread(means), ...MUST } : {}),
    rows,
  };
}

/** The row of the classes' table. @param {Awaited<ReturnType<typeof programs>>} result */
export const programsRow = ({ ratio, spread: range, rows }) => ({
  name: "real programs in a Linux guest",
  ratio,
  must: MUST.must,
  mustEach: MUST.each,
  aim: MUST.aim,
  spread: range,
  parts: rows.map(({ name, ratio: one, spread: its }) => ({ name, ratio: one, spread: its })),
});

/** RmiRecExitReason. DEN0137, "RmiRecExitReason type". */
const REC_EXITS = ["synchronous", "IRQ", "FIQ", "PSCI", "RIPAS change", "host call", "SError"];

/** What a counter counts, for people. */
function counterText(/** @type {string} */ key) {
  const [name, index] = key.split(".");
  if (name === "recExits") return `REC exits (${REC_EXITS[Number(index)] ?? index})`;
  if (name === "guestExits") return `exits of class 0x${Number(index).toString(16)}`;
  if (name === "kvmExits") return `exits to the VMM (KVM_EXIT ${index})`;
  return name;
}

/** Counters of exits and of the Host's calls: those that are there, most first. */
function exitsText(/** @type {Record<string, number>} */ counters) {
  return Object.entries(counters)
    .filter(([key]) => key !== "instructions")
    .sort(([, a], [, b]) => b - a)
    .map(([key, count]) => `${counterText(key)} ${figure(count)}`)
    .join(", ");
}

/** @param {Awaited<ReturnType<typeof programs>>} result */
export function programsText(result) {
  if (result.skipped !== undefined) return `skipped: ${result.skipped}`;
  const seconds = (/** @type {any} */ of) => (of ? figure(of.seconds) : "");
  const range = (/** @type {any} */ of) => (of ? `${figure(of.min)} to ${figure(of.max)}` : "");
  const percent = (/** @type {number} */ x) => `${(100 * x).toFixed(1)} %`;
  const rows = result.rows.map((row) => [
    row.name,
    row.ratio === undefined ? "" : figure(row.ratio),
    range(row.spread),
    seconds(row.vm),
    seconds(row.qemu),
    seconds(row.realm),
    percent(row.realmOverhead.median),
    figure(row.vm.counters.instructions / 1e6),
  ]);
  const mean =
    result.ratio === undefined
      ? []
      : [["geometric mean", figure(result.ratio), range(result.spread), "", "", "", "", ""]];
  const exits = result.rows.flatMap((row) => [
    `${row.name}, normal VM: ${exitsText(row.vm.counters)}`,
    `${row.name}, realm:     ${exitsText(row.realm.counters)}`,
  ]);
  return [
    `Debian ${result.kernel}, ${result.commandLine}; must ${MUST.must}, none below ${MUST.each}, aim ${MUST.aim}; realm at most ${percent(OVERHEAD_MUST)} more`,
    "",
    table([
      ["program", "ratio", "spread", "normal VM, s", "QEMU, s", "realm, s", "realm more", "M instructions"],
      ...rows,
      ...mean,
    ]),
    "",
    "Between the marks:",
    ...exits,
  ].join("\n");
}
