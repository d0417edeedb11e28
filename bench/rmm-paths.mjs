/**
 * What calls to the RMM cost. RMI from a program at Non-secure EL2 of the board `fvp` (guests/el2/tests_bench.c), RSI and REC
 * entries from a realm under the native Host (guests/apps/bench/realm.c), the life of a realm through the library.
 */
import { fvpImageFile, imageFile } from "./paths.mjs";
import { runLifeCycle, runRealmbox, secondsBetween } from "./realmbox.mjs";
import { figure, median, spread, table } from "./statistics.mjs";

const MICROSECONDS = { unit: "µs", better: "less" };

/** `peer`: the reference stack on QEMU with RME, measured elsewhere. */
const PATHS = [
  {
    name: "rmi-version",
    title: "RMI_VERSION from NS-EL2",
    run: el2("version", 100_000),
    ...MICROSECONDS,
    must: 2,
    peer: 43,
  },
  {
    name: "delegate",
    title: "delegate + undelegate of a granule",
    run: el2("delegate", 50_000),
    ...MICROSECONDS,
    must: 4,
    peer: 128,
  },
  {
    name: "touch",
    title: "first touch of a protected page",
    run: realm("touch", 20_000),
    ...MICROSECONDS,
    must: 10,
    peer: 250,
  },
  { name: "rsi", title: "null RSI call (RSI_VERSION)", run: realm("rsi", 200_000), ...MICROSECONDS, must: 2 },
  {
    name: "rec",
    title: "REC entry/exit round trips",
    run: rate(realm("host-call", 200_000)),
    unit: "1/s",
    better: "more",
    must: 400_000,
  },
  { name: "rec-el2", title: "… by a program at NS-EL2", run: rate(el2("rec", 100_000)), unit: "1/s", better: "more" },
  {
    name: "vm",
    title: "… entries of a normal VM",
    run: rate(realm("host-call", 200_000, false)),
    unit: "1/s",
    better: "more",
  },
  {
    name: "life-cycle",
    title: "realm of 256 MiB, 64 MiB measured: create, populate, activate, destroy",
    run: lifeCycle,
    unit: "s",
    better: "less",
    must: 0.5,
  },
];
const MEMORY_MIB = 128;

/** Microseconds of one call by the program at NS-EL2. */
function el2(/** @type {string} */ name, /** @type {number} */ base) {
  return async ({ library, jit, scale, cpu }) => {
    const n = Math.max(1, Math.round(base * scale));
    const [from, to] = await runRealmbox({
      kind: "fvp",
      library,
      jit,
      kernel: fvpImageFile("el2"),
      params: `el2 only=- also=bench_${name} n=${n}`,
      realm: false,
      memoryMiB: 0,
      marks: [`begin ${name}`, `end ${name}`],
    });
    return (secondsBetween(from, to, { cpu }) * 1e6) / n;
  };
}

/** Microseconds of one call by a realm, or a normal VM. */
function realm(/** @type {string} */ name, /** @type {number} */ base, isRealm = true) {
  return async ({ library, jit, scale, cpu }) => {
    const n = Math.max(1, Math.round(base * scale));
    const [from, to] = await runRealmbox({
      library,
      jit,
      kernel: imageFile("bench"),
      params: `class=${name} n=${n}`,
      realm: isRealm,
      memoryMiB: MEMORY_MIB,
      marks: [`bench: begin ${name}`, `bench: end ${name}`],
    });
    return (secondsBetween(from, to, { cpu }) * 1e6) / n;
  };
}

/** Calls a second. */
function rate(/** @type {(options: import("./run.mjs").Options) => Promise<number>} */ microseconds) {
  return async (/** @type {import("./run.mjs").Options} */ options) => 1e6 / (await microseconds(options));
}

/** Seconds. The kernel is small, so what is measured is nearly all the initial RAM disk's. */
async function lifeCycle({ library, jit, cpu }) {
  const { ms, cpuMs } = await runLifeCycle({
    library,
    jit,
    kernel: imageFile("hello"),
    memoryMiB: 256,
    contentMiB: 64,
  });
  return (cpu ? cpuMs : ms) / 1000;
}

export const PATH_NAMES = PATHS.map(({ name }) => name);

/** @param {import("./run.mjs").Options} options */
export async function rmmPaths(options) {
  const rows = [];
  for (const { run, ...path } of PATHS) {
    if (options.only && !options.only.includes(path.name)) continue;
    options.progress(path.title);
    const list = [];
    for (let round = 0; round < options.rounds; round++) list.push(await run(options));
    rows.push({ ...path, median: median(list), spread: spread(list) });
  }
  return rows;
}

/** @param {Awaited<ReturnType<typeof rmmPaths>>} rows */
export const rmmPathsText = (rows) =>
  table([
    ["path", "measured", "spread", "unit", "must", "reference stack"],
    ...rows.map((row) => [
      row.title,
      figure(row.median),
      `${figure(row.spread.min)} to ${figure(row.spread.max)}`,
      row.unit,
      row.must === undefined ? "" : `${row.better === "less" ? "<" : "≥"} ${figure(row.must)}`,
      row.peer === undefined ? "" : figure(row.peer),
    ]),
  ]);
