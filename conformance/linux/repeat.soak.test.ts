/** A hundred boots with one hash. */
import { expect, test } from "vitest";
import { DEBIAN, missing } from "./debian.js";
import { bootDigest } from "./repeat.js";

const why = await missing(DEBIAN);

test.skipIf(why !== undefined)(`100 boots are one${why === undefined ? "" : ` (skipped: ${why})`}`, () => {
  const first = bootDigest();
  for (let i = 1; i < 100; i++) expect(bootDigest(), `boot ${i + 1}`).toEqual(first);
});
