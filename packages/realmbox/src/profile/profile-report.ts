/** A profile as text, in the manner of `perf report`, and as a document for https://www.speedscope.app. */
import type { ProfileRow } from "./profiler.js";
import type { SymbolTable } from "./symbols.js";

/** Lines of a table. */
const LINES = 100;

interface Hot {
  readonly level: string;
  readonly name: string;
  counts: number;
}

/** Counts by level and symbol; addresses without a symbol are put together by their 4 KiB page. */
function bySymbol(rows: readonly ProfileRow[], symbols: SymbolTable): Hot[] {
  const found = new Map<string, Hot>();
  for (const { level, pc, counts } of rows) {
    const name = symbols.find(pc)?.name ?? `0x${(pc & ~0xfffn).toString(16)}+0xfff`;
    const key = `${level} ${name}`;
    const hot = found.get(key);
    if (hot) hot.counts += counts;
    else found.set(key, { level, name, counts });
  }
  return [...found.values()].sort((a, b) => b.counts - a.counts || (a.level + a.name < b.level + b.name ? -1 : 1));
}

const sum = (rows: readonly { readonly counts: number }[]): number => rows.reduce((all, { counts }) => all + counts, 0);

export function profileText(rows: readonly ProfileRow[], symbols: SymbolTable, every: number): string {
  const total = sum(rows);
  const share = (counts: number) => `${((counts * 100) / Math.max(total, 1)).toFixed(2).padStart(6)}%`;
  const count = (n: number) => n.toLocaleString("en-US").padStart(14);
  const levels = new Map<string, number>();
  for (const { level, counts } of rows) levels.set(level, (levels.get(level) ?? 0) + counts);
  const hot = bySymbol(rows, symbols);
  const where = (pc: bigint) => {
    const symbol = symbols.find(pc);
    return `0x${pc.toString(16).padStart(16, "0")}${symbol ? `  ${symbol.name}+0x${(pc - symbol.address).toString(16)}` : ""}`;
  };
  return [
    `# ${total.toLocaleString("en-US")} counts, a look every ${every.toLocaleString("en-US")}`,
    "",
    "# share          counts  level",
    ...[...levels].sort((a, b) => b[1] - a[1]).map(([level, counts]) => `${share(counts)}${count(counts)}  ${level}`),
    "",
    "# share          counts  level          symbol, or page",
    ...hot
      .slice(0, LINES)
      .map(({ level, name, counts }) => `${share(counts)}${count(counts)}  ${level.padEnd(14)} ${name}`),
    "",
    "# share          counts  level          address",
    ...rows
      .slice(0, LINES)
      .map(({ level, pc, counts }) => `${share(counts)}${count(counts)}  ${level.padEnd(14)} ${where(pc)}`),
    "",
  ].join("\n");
}

/** Speedscope's file format, a sampled profile: each symbol is one sample of its weight, below its level. */
export function profileSpeedscope(rows: readonly ProfileRow[], symbols: SymbolTable, name: string): object {
  const frames: { name: string }[] = [];
  const indices = new Map<string, number>();
  const frame = (text: string): number => {
    let index = indices.get(text);
    if (index === undefined) {
      index = frames.push({ name: text }) - 1;
      indices.set(text, index);
    }
    return index;
  };
  const hot = bySymbol(rows, symbols);
  return {
    $schema: "https://www.speedscope.app/file-format-schema.json",
    name,
    exporter: "realmbox",
    shared: { frames },
    profiles: [
      {
        type: "sampled",
        name,
        unit: "none",
        startValue: 0,
        endValue: sum(hot),
        samples: hot.map((one) => [frame(one.level), frame(one.name)]),
        weights: hot.map(({ counts }) => counts),
      },
    ],
  };
}
