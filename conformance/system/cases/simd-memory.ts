/**
 * Loads and stores of V registers where they fault: over page boundaries, unaligned with alignment checks, on pages that
 * do not allow them. Whatever happens, a register is either loaded whole or as it was, and write-back comes last.
 * DDI 0487, "Alignment support", "Advanced SIMD load/store structures".
 */
import { type Case, mapRunner, NORMAL, SCTLR, tcr } from "../case.js";
import { op, smc, svc } from "../encoding.js";
import { DATA } from "../layout.js";

const VA = 0x20_0000n;

const structures = (name: string, fields: Readonly<Record<string, number>>): number =>
  op(name, { n: 0, t: 0, ...fields });
const [MULTIPLE_1, MULTIPLE_2, MULTIPLE_3, MULTIPLE_4] = [1, 2, 3, 4].map(
  (n) => `LD${n}, ST${n} (multiple structures)${n === 1 ? ", 4 registers" : ""}`,
);

/** Name and word; for loads of several registers the bytes that they access. */
const WORDS: readonly (readonly [name: string, word: number, several?: number])[] = [
  ["LDR H", op("LDR, H (unsigned offset)", { n: 0, t: 0 })],
  ["LDR D", op("LDR, D (unsigned offset)", { n: 0, t: 0 })],
  ["LDR Q", op("LDR, Q (unsigned offset)", { n: 0, t: 0 })],
  ["STR Q", op("STR, Q (unsigned offset)", { n: 0, t: 0 })],
  ["LDR Q, pre-index", op("LDR, Q (pre-index)", { n: 0, t: 0, i: 0 })],
  ["STR D, post-index", op("STR, D (post-index)", { n: 0, t: 0, i: 8 })],
  ["LDP S", op("LDP, S (signed offset)", { n: 0, t: 0, u: 1 }), 8],
  ["LDP Q", op("LDP, Q (signed offset)", { n: 0, t: 0, u: 1 }), 32],
  ["LDP D, post-index", op("LDP, D (post-index)", { n: 0, t: 0, u: 1, i: 2 }), 16],
  ["STP Q", op("STP, Q (signed offset)", { n: 0, t: 0, u: 1 })],
  ["LD1 four 16B", structures(MULTIPLE_1, { q: 1, l: 1, z: 0 }), 64],
  ["LD2 8B", structures(MULTIPLE_2, { q: 0, l: 1, z: 0 }), 16],
  ["LD3 4S", structures(MULTIPLE_3, { q: 1, l: 1, z: 2 }), 48],
  ["LD4 2D", structures(MULTIPLE_4, { q: 1, l: 1, z: 3 }), 64],
  ["LD4 8H, post-index", structures(`${MULTIPLE_4} (post-index)`, { q: 1, l: 1, z: 1, m: 31 }), 64],
  ["ST1 four 2D", structures(MULTIPLE_1, { q: 1, l: 0, z: 3 })],
  ["ST4 16B", structures(MULTIPLE_4, { q: 1, l: 0, z: 0 })],
  ["LD4 S lanes", structures("LDn, STn (single structure), S", { q: 0, s: 1, l: 1, r: 1, k: 1 }), 16],
  ["ST2 D lanes, post-index", structures("LDn, STn (single structure), D (post-index)", { q: 1, l: 0, r: 1, m: 31 })],
  ["LD4R 2D", structures("LDnR", { q: 1, r: 1, k: 1, z: 3 }), 32],
];

const V_COUNT = 4;
const halves = Array.from({ length: V_COUNT }, (_, d) => d);
/** V0 to V3 = X1 to X8, and back. */
const PRESET = halves.flatMap((d) => [
  op("FMOV, X to D", { n: 1 + 2 * d, d }),
  op("FMOV, X to V.D[1]", { n: 2 + 2 * d, d }),
]);
const READ_BACK = halves.flatMap((n) => [
  op("FMOV, D to X", { n, d: 1 + 2 * n }),
  op("FMOV, V.D[1] to X", { n, d: 2 + 2 * n }),
]);
const VALUES = Object.fromEntries(
  Array.from({ length: 2 * V_COUNT }, (_, i) => [1 + i, 0x1122_3344_5566_7700n + BigInt(i) * 0x0101_0101_0101_0101n]),
);

const OFFSETS = [
  0, 1, 2, 4, 8, 0xfc1, 0xff0, 0xff8, 0xffc, 0xfff, 0x1fc0, 0x1fd0, 0x1ff0, 0x1ff9, 0x2ff8, 0x3ff0, 0x3ffc,
];

/** The page in which nothing is. */
const NOT_MAPPED = { start: 0x2000, end: 0x3000 };

const unaligned: Case[] = (["EL0", "EL1"] as const).flatMap((level) =>
  [0n, SCTLR.A].flatMap((sctlr) =>
    WORDS.map(
      ([name, word, several = 0]): Case => ({
        name: `${name} at ${level}, SCTLR_EL1.A ${sctlr ? 1 : 0}`,
        run: (b) => {
          const low = b.tree(48);
          mapRunner(low);
          // Read and write, read-only, not mapped, read and write.
          low.map(VA, DATA, { attr: NORMAL, ap: 1 });
          low.map(VA + 0x1000n, DATA + 0x1000, { attr: NORMAL, ap: 3 });
          low.map(VA + 0x3000n, DATA + 0x3000, { attr: NORMAL, ap: 1 });
          low.map(VA + 0x4000n, DATA + 0x8000, { attr: NORMAL, ap: 1 });
          b.install(low);
          b.set({ TTBR0_EL1: BigInt(low.root), TCR_EL1: tcr(), SCTLR_EL1: SCTLR.OFF | SCTLR.M | sctlr });
          if (name.startsWith("ST"))
            b.allow({
              field: /\[0x40200f.*\]$/,
              why: "DDI 0487: what of a store lies before the element that aborts may have been written; QEMU writes it, ours does not",
            });
          for (const offset of OFFSETS.filter((at) => at < NOT_MAPPED.end && at + several > NOT_MAPPED.start))
            for (const [n, expect] of several > 0 ? Object.entries(VALUES) : [])
              b.allow({
                field: new RegExp(`^\\+0x${offset.toString(16)}: X${n}$`),
                expect,
                why: "DDI 0487: the registers of a load of several that aborts are UNKNOWN; QEMU has written some, ours none",
              });
          const { program } = b;
          for (const offset of OFFSETS) {
            program.clear();
            b.x(VALUES);
            b.run("EL1", PRESET, { registers: 0 });
            program.clear();
            b.x({ 0: VA + BigInt(offset) });
            program.code([word, level === "EL0" ? svc(0x50) : smc(0)]);
            program.step(`+0x${offset.toString(16)}`);
            b.enter(level, { registers: 1 });
            program.clear();
            b.run("EL1", READ_BACK, { registers: 1 + 2 * V_COUNT });
            program.step("");
          }
          for (const page of [0, 0x1000, 0x3000, 0x8000])
            for (let at = 0; at < 0x1000; at += 8)
              if (at < 0x40 || at >= 0xfc0) {
                program.read64(DATA + page + at);
                program.write64(DATA + page + at, BigInt(DATA + page + at));
              }
        },
      }),
    ),
  ),
);

export const simdMemoryCases: readonly Case[] = unaligned;
