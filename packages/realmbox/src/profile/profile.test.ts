/** Profiles of a guest: the same in every engine and however the run is cut; symbols of both kinds of files. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { makeBox, makeGuest, small } from "../../../../conformance/support/box.js";
import { profileSpeedscope, profileText } from "./profile-report.js";
import { type ProfileRow, Profiler } from "./profiler.js";
import { readSymbols, SymbolTable } from "./symbols.js";

const prebuilt = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../../../guests/prebuilt/${name}`, import.meta.url)));

async function profileOf(options: {
  readonly jit: "off" | number;
  readonly checkEvery?: number;
}): Promise<ProfileRow[]> {
  const box = makeBox({ jit: options.jit });
  const guest = makeGuest(box, small("hello"));
  const profiler = new Profiler(box.machine, 97);
  const { checkEvery } = options;
  const end = await guest.runAsync({ profiler, ...(checkEvery === undefined ? {} : { checkEvery }) });
  expect(end).toEqual({ kind: "exit", status: 0 });
  return profiler.rows();
}

describe("a profile", () => {
  test("is the same in both engines, and wherever a run is cut", async () => {
    const rows = await profileOf({ jit: "off" });
    expect(rows.length).toBeGreaterThan(50);
    expect(rows[0]!.level).toBe("non-secure EL1");
    expect(await profileOf({ jit: 0 })).toEqual(rows);
    expect(await profileOf({ jit: "off", checkEvery: 1_000 })).toEqual(rows);
  });

  test("has the counts of the run", async () => {
    const counts = (await profileOf({ jit: 5 })).reduce((sum, row) => sum + row.counts, 0);
    expect(counts).toBeGreaterThan(200_000);
    expect(counts).toBeLessThan(300_000);
  });
});

describe("symbols", () => {
  const map = "ffff800008000000 T _text\nffff800008010000 t do_work\nffff800008020000 D data\n";

  test("of System.map", () => {
    const table = new SymbolTable(readSymbols(new TextEncoder().encode(map))!);
    expect(table.size).toBe(2);
    expect(table.find(0xffff_8000_0801_0004n)?.name).toBe("do_work");
    expect(table.find(0xffff_8000_0800_fffcn)?.name).toBe("_text");
    expect(table.find(0xffff_7fff_ffff_fffcn)).toBeUndefined();
    expect(table.find(0xffff_8000_0900_0000n)).toBeUndefined();
  });

  test("of an ELF file", () => {
    const names = readSymbols(prebuilt("hello.elf"))!.map(({ name }) => name);
    expect(names).toContain("main");
  });

  test("of neither, or cut short", () => {
    expect(readSymbols(new TextEncoder().encode("hello\n"))).toBeUndefined();
    expect(readSymbols(new Uint8Array(0))).toBeUndefined();
    const elf = prebuilt("hello.elf");
    for (const length of [64, 65, 200, elf.length - 100]) expect(() => readSymbols(elf.slice(0, length))).not.toThrow();
  });

  test("in the report", () => {
    const table = new SymbolTable(readSymbols(new TextEncoder().encode(map))!);
    const rows = [
      { level: "realm EL1", pc: 0xffff_8000_0801_0004n, counts: 30 },
      { level: "realm EL1", pc: 0xffff_8000_0801_0008n, counts: 60 },
      { level: "realm EL0", pc: 0x1234n, counts: 10 },
    ];
    const text = profileText(rows, table, 97);
    expect(text).toMatch(/^ 90\.00% +90 {2}realm EL1$/m);
    expect(text).toMatch(/^ 90\.00% +90 {2}realm EL1 +do_work$/m);
    expect(text).toMatch(/^ 10\.00% +10 {2}realm EL0 +0x1000\+0xfff$/m);
    expect(text).toMatch(/^ 60\.00% +60 {2}realm EL1 +0xffff800008010008 {2}do_work\+0x8$/m);
    expect(profileSpeedscope(rows, table, "x")).toMatchObject({
      shared: { frames: [{ name: "realm EL1" }, { name: "do_work" }, { name: "realm EL0" }, { name: "0x1000+0xfff" }] },
      profiles: [
        {
          samples: [
            [0, 1],
            [2, 3],
          ],
          weights: [90, 10],
          endValue: 100,
        },
      ],
    });
  });
});
