import { describe, expect, test } from "vitest";
import { EscapeKeys } from "./escape-keys.js";

const typed = (keys: EscapeKeys, text: string) => {
  const { bytes, command } = keys.feed(Buffer.from(text, "latin1"));
  return [Buffer.from(bytes).toString("latin1"), command];
};

describe("Ctrl-a", () => {
  test.each([
    ["all other bytes", "ls\r\x03\x00\xff", "ls\r\x03\x00\xff", undefined],
    ["x ends, and what follows does not count", "ab\x01xcd", "ab", "end"],
    ["Ctrl-a is one Ctrl-a", "a\x01\x01b", "a\x01b", undefined],
    ["a is one Ctrl-a", "\x01a", "\x01", undefined],
    ["twice, and then x, is no end", "\x01\x01x", "\x01x", undefined],
    ["h asks for help", "a\x01hb", "ab", "help"],
    ["any other is that other", "\x01b\x01\r", "b\r", undefined],
  ])("%s", (_, text, bytes, command) => {
    expect(typed(new EscapeKeys(), text)).toEqual([bytes, command]);
  });

  test("may come apart from its key", () => {
    const keys = new EscapeKeys();
    expect(typed(keys, "a\x01")).toEqual(["a", undefined]);
    expect(typed(keys, "x")).toEqual(["", "end"]);
  });
});
