import { describe, expect, test } from "vitest";
import { rowOf } from "../disassemble.js";
import { ROWS } from "../rows/index.js";
import { row } from "../rows/row.js";
import { decode, decodeTable, KEY_COUNT, keyOf } from "./decode.js";

const definition = { group: "data", sem: () => {}, print: () => "" } as const;

describe("decodeTable", () => {
  test("two rows that match one word are an error", () => {
    const wide = row("1111000 aaaaaaaaaaaaaaaaaaaaaaaaa", { name: "wide", ...definition });
    const narrow = row("1111000 00000 aaaaaaaaaaaaaaaaaaaa", { name: "narrow", ...definition });
    expect(() => decodeTable([wide, narrow])).toThrow("no word matches two rows");
  });

  test("a row that declares it goes first, whatever the order", () => {
    const wide = row("1111000 aaaaaaaaaaaaaaaaaaaaaaaaa", { name: "wide", ...definition });
    const narrow = row("1111000 aaaaaaaaaaaaaaaaaaaa 00000", { name: "narrow", refines: "wide", ...definition });
    for (const rows of [
      [wide, narrow],
      [narrow, wide],
    ]) {
      const table = decodeTable(rows);
      expect(decode(table, 0xf000_0020)?.name).toBe("narrow");
      expect(decode(table, 0xf000_0021)?.name).toBe("wide");
      expect(decode(table, 0xf200_0021)).toBeUndefined();
    }
  });

  test("shape fields lie in the key", () => {
    const bad = row("1111000 aaaaaaaaaaaaaaaaaaaa ddddd", { name: "bad", shape: ["d"], ...definition });
    expect(() => decodeTable([bad])).toThrow("shape fields lie in the decode key");
  });

  test("agrees with the linear search of the disassembler on every key", () => {
    const table = decodeTable(ROWS);
    for (let key = 0; key < KEY_COUNT; key++) {
      for (const rest of [0, 0x001f_03ff, 0x0003_201f, 0x001f_0000, 0x0003_03df]) {
        const word = (((key >>> 6) << 21) | ((key & 0x3f) << 10) | rest) >>> 0;
        if (keyOf(word) !== key) continue;
        if (decode(table, word) !== rowOf(word)) expect.fail(`word ${word.toString(16)}`);
      }
    }
  });

  test("most of the encoding space is still free", () => {
    const { byKey } = decodeTable(ROWS);
    expect(byKey.filter((handler) => handler < 0).length).toBeGreaterThan(KEY_COUNT / 3);
  });
});

describe("row", () => {
  test("a pattern has 32 symbols, and a letter is one run", () => {
    expect(() => row("0101", { name: "short", ...definition })).toThrow("32 symbols");
    expect(() => row("a000a000 00000000 00000000 00000000", { name: "split", ...definition })).toThrow("one run");
  });
});
