/** A hundred boots with one hash. */
import { test } from "vitest";
import { DEBIAN, missing } from "./debian.js";
import { expectOneBoot } from "./repeat.js";

const why = await missing(DEBIAN);

test.skipIf(why !== undefined)(`100 boots are one${why === undefined ? "" : ` (skipped: ${why})`}`, () =>
  expectOneBoot(100),
);
