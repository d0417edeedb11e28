/** The same inputs, the same boot: five times one hash. A hundred times: `npm run soak`. */
import { test } from "vitest";
import { DEBIAN, missing } from "./debian.js";
import { expectOneBoot } from "./repeat.js";

const why = await missing(DEBIAN);

test.skipIf(why !== undefined)(`5 boots are one${why === undefined ? "" : ` (skipped: ${why})`}`, () =>
  expectOneBoot(5),
);
