/** The expectations of rsi-check matter: with one of them wrong, its exit status is 1. Every third row, each in a run. */
import { expect, test } from "vitest";
import { image, makeBox, makeGuest, runToEnd, small } from "../support/box.js";
import { plantedWrong, rowNames } from "./rsi-check.js";

test("a wrong expectation in a row is found", () => {
  const original = image("rsi-check");
  const missed: string[] = [];
  for (const [row, name] of rowNames(original).entries()) {
    if (row % 3 !== 1) continue;
    // Some rows need a second CPU.
    const config = { ...small("rsi-check", 2), kernel: plantedWrong(original, row), realm: true };
    const end = runToEnd(makeGuest(makeBox({ pes: 2 }), config));
    if (end.kind !== "exit" || end.status !== 1) missed.push(`${name}: ${JSON.stringify(end)}`);
  }
  expect(missed).toEqual([]);
});
