import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { disassemble, rowOf } from "./disassemble.js";
import { keyOf } from "./interpreter/decode.js";
import { ROWS } from "./rows/index.js";
import { fieldsOf, type Row } from "./rows/row.js";

const OBJDUMP = "aarch64-linux-gnu-objdump";

function objdumpPresent(): boolean {
  try {
    execFileSync(OBJDUMP, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** A small deterministic generator (xorshift32). */
function randomWords(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Words of a row: random fields, each field at times all zeros or all ones. */
function wordsOf(row: Row, count: number, random: () => number): number[] {
  const words: number[] = [];
  for (let attempt = 0; attempt < count * 50 && words.length < count; attempt++) {
    let word = row.value;
    for (const { lo, width } of Object.values(row.fields)) {
      const ones = 2 ** width - 1;
      const choice = random() % 8;
      const value = choice === 0 ? 0 : choice === 1 ? ones : random() & ones;
      word |= value << lo;
    }
    word = ((word & ~row.mask) | row.value) >>> 0;
    if (rowOf(word) === row && !row.unpredictable?.(fieldsOf(row, word))) words.push(word);
  }
  return words;
}

const PC = 0x10_0000;

/** One spelling for both: single spaces, no comment, no symbol. */
const normalize = (text: string): string =>
  text
    .replace(/\s*(\/\/|<|;).*$/, "")
    .replaceAll(/\s+/g, " ")
    .trim();

function objdump(words: readonly number[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "disassemble-"));
  try {
    const file = join(folder, "words.bin");
    writeFileSync(file, new Uint8Array(Uint32Array.from(words).buffer));
    const args = ["-D", "-b", "binary", "-m", "aarch64", "-z", `--adjust-vma=${PC}`, file];
    const text = execFileSync(OBJDUMP, args, { encoding: "utf8", maxBuffer: 1 << 28 });
    return [...text.matchAll(/^\s*[0-9a-f]+:\t[0-9a-f]{8} \t(.*)$/gm)].map(([, line]) => normalize(line));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** System registers have names in objdump and numbers here. */
const hasRegisterNames = (row: Row): boolean =>
  ["MRS", "MSR (register)", "MSR (immediate)", "SYS", "SYSL"].includes(row.name);

describe("disassemble", () => {
  test.each([
    [0x91004020, "add x0, x1, #0x10"],
    [0xd2800000, "mov x0, #0x0"],
    [0xa9bf7bfd, "stp x29, x30, [sp, #-16]!"],
    [0x54000041, "b.ne 0x100008"],
    [0xd65f03c0, "ret"],
    [0xffffffff, ".inst 0xffffffff"],
  ])("%i is %s", (word, text) => {
    expect(disassemble(word, BigInt(PC))).toBe(text);
  });

  test("every row can be drawn from its pattern", () => {
    const random = randomWords(1);
    for (const row of ROWS) {
      const words = wordsOf(row, 20, random);
      expect(words.length, row.name).toBeGreaterThan(0);
      for (const word of words) expect(keyOf(word)).toBeLessThan(1 << 17);
    }
  });

  test.skipIf(!objdumpPresent())(`agrees with ${OBJDUMP} on random words of every row`, () => {
    const random = randomWords(1);
    const cases = ROWS.filter((row) => !hasRegisterNames(row)).flatMap((row) =>
      wordsOf(row, 300, random).map((word) => ({ row, word })),
    );
    const theirs = objdump(cases.map(({ word }) => word));
    expect(theirs.length).toBe(cases.length);
    const different = cases.flatMap(({ row, word }, i) => {
      const ours = normalize(disassemble(word, BigInt(PC + 4 * i)));
      return ours === theirs[i] ? [] : [`${word.toString(16)} ${row.name}: ${ours} | ${theirs[i]}`];
    });
    expect(different.slice(0, 60)).toEqual([]);
  });
});
