/** Every single expectation of rsi-check matters: with any one of them wrong, its exit status is 1. */
import { expect, test } from "vitest";
import { image, makeBox, makeGuest, runToEnd, small } from "../support/box.js";
import { plantedWrong, rowNames } from "./rsi-check.js";

test("a wrong expectation in any row is found", () => {
  const original = image("rsi-check");
  const missed: string[] = [];
  for (const [row, name] of rowNames(original).entries()) {
    const guest = makeGuest(makeBox(), { ...small("rsi-check"), kernel: plantedWrong(original, row), realm: true });
    const end = runToEnd(guest);
    if (end.kind !== "exit" || end.status !== 1) missed.push(`${name}: ${JSON.stringify(end)}`);
  }
  expect(missed).toEqual([]);
});
