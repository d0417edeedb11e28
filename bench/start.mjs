/** Process start to the first character of a realm, beside a bare `node`. */
import { COMMAND } from "./paths.mjs";
import { secondsTo } from "./process-time.mjs";
import { figure, median, spread, table } from "./statistics.mjs";

const ROWS = [
  { name: "realm", title: "realmbox run --realm hello", args: [COMMAND, "run", "--realm", "-q", "hello"], must: 1.5 },
  { name: "node", title: "a bare node", args: ["-e", "console.log(1); setTimeout(() => {}, 100)"] },
];

export const START_NAMES = ROWS.map(({ name }) => name);

/** @param {import("./run.mjs").Options} options */
export async function start({ rounds, only, cpu, progress }) {
  const rows = ROWS.filter(({ name }) => !only || only.includes(name)).map((row) => ({ ...row, times: [] }));
  for (let round = 0; round < rounds; round++) {
    progress(`start, round ${round + 1}`);
    for (const { args, times } of rows) times.push(await secondsTo("\n", process.execPath, args, { cpu }));
  }
  return rows.map(({ args, times, ...row }) => ({ ...row, seconds: median(times), spread: spread(times) }));
}

/** @param {Awaited<ReturnType<typeof start>>} rows */
export const startText = (rows) =>
  table([
    ["command", "to its first line, s", "spread", "must"],
    ...rows.map((row) => [
      row.title,
      figure(row.seconds),
      `${figure(row.spread.min)} to ${figure(row.spread.max)}`,
      row.must === undefined ? "" : `< ${row.must}`,
    ]),
  ]);
