/** The same inputs, the same boot: five times one hash. A hundred times: `npm run soak`. */
import { expect, test } from "vitest";
import { DEBIAN, missing } from "./debian.js";
import { bootDigest } from "./repeat.js";

const why = await missing(DEBIAN);

test.skipIf(why !== undefined)(`5 boots are one${why === undefined ? "" : ` (skipped: ${why})`}`, () => {
  const first = bootDigest();
  expect(first.events).toBeGreaterThan(100_000);
  for (let i = 1; i < 5; i++) expect(bootDigest()).toEqual(first);
});
