/**
 * Classes of bare-metal programs (guests/apps/bench): the same image on realmbox and on QEMU, in pairs A B A B, from the line that
 * the guest prints before the work to the line after it.
 */
import { imageFile } from "./paths.mjs";
import { runQemu } from "./qemu.mjs";
import { runRealmbox, secondsBetween } from "./realmbox.mjs";
import { figure, geometricMean, median, spread, table } from "./statistics.mjs";

/** Rows of the table; `must` and `aim` are ratios: QEMU's time to realmbox's. A row of several classes is their geometric mean. */
const ROWS = [
  { name: "integer mix", must: 0.9, aim: 1.3, parts: ["integer"] },
  { name: "memory, 32 MB", must: 1.2, aim: 2.5, parts: ["sequential", "random"] },
  { name: "calls (recursive fib)", must: 1.4, aim: 2.5, parts: ["calls"] },
  { name: "indirect branches (bytecode VM)", must: 1.2, aim: 2, parts: ["bytecode"] },
  { name: "double arithmetic", must: 2, aim: 4, parts: ["double"] },
  { name: "double arithmetic with FMA", must: 2, aim: 6, parts: ["fma"] },
  { name: "SIMD", must: 1, aim: 2, parts: ["memcpy", "sha256", "sha256-instructions", "matrix"] },
  { name: "SVC + ERET", must: 4, aim: 9, parts: ["svc"] },
  { name: "multi-precision", must: 0.9, aim: 1.2, parts: ["bignum"] },
];

/** How much of each: about 0.7 s on QEMU when nothing else runs; and the checksum that this must give. */
const WORK = {
  integer: { count: 4000, sum: "5204ed3c36e0867b" },
  sequential: { count: 25, sum: "6bebc364bbb370d1" },
  random: { count: 500, sum: "c712af0d593b815b" },
  calls: { count: 250, sum: "da7cdffdce0b57e5" },
  bytecode: { count: 400, sum: "bd2f6a659da94f7f" },
  double: { count: 5000, sum: "5fb7618f4bb15f2a" },
  fma: { count: 100_000, sum: "100e95e9ef16bec4" },
  memcpy: { count: 40_000, sum: "456ce13c8ec81b2d" },
  sha256: { count: 8000, sum: "b1a0eef83024fa2b" },
  "sha256-instructions": { count: 9000, sum: "07c761bbb5036b4b" },
  matrix: { count: 200, sum: "a74d5aa695551606" },
  svc: { count: 500_000, sum: "feb819169f7c8a04" },
  bignum: { count: 100, sum: "0c935ef2d42c6373" },
};

export const CLASS_NAMES = Object.keys(WORK);
const MEMORY_MIB = 128;

/** @param {string} line the guest's last */
const sumOf = (line) => line.split(" ").at(-1);

/**
 * @param {import("./run.mjs").Options} options
 */
export async function classes({ rounds, only, qemu, realm, scale, library, jit, cpu, progress }) {
  const measured = new Map();
  for (const name of CLASS_NAMES) {
    if (only && !only.includes(name)) continue;
    progress(name);
    // One class that fails must not cost the others' figures.
    measured.set(name, await measure(name).catch((error) => ({ name, error: error.message })));
  }
  return ROWS.flatMap(({ name, must, aim, parts }) => {
    const rows = parts.filter((part) => measured.has(part)).map((part) => measured.get(part));
    if (rows.length === 0) return [];
    const complete = rows.length === parts.length && rows.every((row) => row.ratio !== undefined);
    const ratio = complete ? geometricMean(rows.map((row) => row.ratio)) : undefined;
    const rounds = complete ? rows[0].ratios.map((_, i) => geometricMean(rows.map((row) => row.ratios[i]))) : [];
    const error = rows.find((row) => row.error !== undefined)?.error;
    return [
      {
        name,
        ratio,
        must,
        aim,
        ...(error === undefined ? {} : { error }),
        ...(complete ? { spread: spread(rounds) } : {}),
        parts: rows,
      },
    ];
  });

  /** @param {string} name */
  async function measure(name) {
    const count = Math.max(1, Math.round(WORK[name].count * scale));
    const request = {
      kernel: imageFile("bench"),
      params: `class=${name} n=${count}`,
      memoryMiB: MEMORY_MIB,
      marks: [`bench: begin ${name}`, `bench: end ${name}`],
    };
    const ours = [];
    const theirs = [];
    const sums = new Set(count === WORK[name].count ? [WORK[name].sum] : []);
    let instructions = 0;
    for (let round = 0; round < rounds; round++) {
      const shown = await runRealmbox({ ...request, realm, library, jit });
      ours.push(secondsBetween(shown[0], shown[1], { cpu }));
      instructions = shown[1].counters.instructions - shown[0].counters.instructions;
      sums.add(sumOf(shown[1].line));
      if (!qemu) continue;
      const marks = await runQemu(request);
      theirs.push(secondsBetween(marks[0], marks[1], { cpu }));
      sums.add(sumOf(marks[1].line));
    }
    if (sums.size > 1) throw new Error(`${name}: the checksums differ: ${[...sums].join(", ")}`);
    const ratios = theirs.map((seconds, i) => seconds / ours[i]);
    return {
      name,
      count,
      checksum: [...sums][0],
      ...(qemu ? { ratio: median(ratios), spread: spread(ratios), ratios } : {}),
      instructions,
      realmbox: {
        seconds: median(ours),
        ...spread(ours),
        millionInstructionsPerSecond: instructions / median(ours) / 1e6,
      },
      ...(qemu ? { qemu: { seconds: median(theirs), ...spread(theirs) } } : {}),
    };
  }
}

/** @param {Awaited<ReturnType<typeof classes>>} rows */
export function classesText(rows) {
  const range = (/** @type {{ min: number, max: number } | undefined} */ of) =>
    of ? `${figure(of.min)} to ${figure(of.max)}` : "";
  const partRow = (part, name) =>
    part.error !== undefined
      ? [name, "FAILED", ...Array(6).fill("")]
      : [
          name,
          part.ratio === undefined ? "" : figure(part.ratio),
          range(part.spread),
          "",
          "",
          figure(part.realmbox.seconds),
          part.qemu ? figure(part.qemu.seconds) : "",
          figure(part.realmbox.millionInstructionsPerSecond),
        ];
  const lines = rows.flatMap((row) => {
    if (row.parts.length === 1 && row.ratio !== undefined) {
      const cells = partRow(row.parts[0], row.name);
      return [[...cells.slice(0, 3), String(row.must), String(row.aim), ...cells.slice(5)]];
    }
    const ratio = row.ratio === undefined ? "" : figure(row.ratio);
    return [
      [row.name, ratio, range(row.spread), String(row.must), String(row.aim), "", "", ""],
      ...row.parts.map((part) => partRow(part, `  ${part.name}`)),
    ];
  });
  const errors = rows.flatMap(({ parts }) => parts.flatMap(({ error }) => error ?? []));
  const failures = errors.map((error) => `\n\n${error}`).join("");
  return (
    table([["class", "ratio", "spread", "must", "aim", "realmbox, s", "QEMU, s", "M instr/s"], ...lines]) + failures
  );
}
