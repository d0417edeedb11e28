/** With the host's clock no two runs are alike, and every one of them works. */
import { describe, expect, test } from "vitest";
import { complaints, DEBIAN, hostSawNothing, logOf, missing, PRINT_LOG, session } from "./debian.js";

const why = await missing(DEBIAN);
const BOOTS = 20;

describe("--clock host", () => {
  for (let boot = 0; boot < BOOTS; boot++) {
    const realm = boot % 2 === 0;
    const cpus = [1, 2, 4][boot % 3]!;
    test.skipIf(why !== undefined)(
      `boot ${boot + 1}: a ${realm ? "realm" : "normal VM"} with ${cpus} vCPUs${why === undefined ? "" : ` (skipped: ${why})`}`,
      async () => {
        const run = await session(
          ["--clock", "host", ...(realm ? ["--realm"] : []), "-c", `${cpus}`, "-m", "512", DEBIAN.name],
          ["sleep 0.2", PRINT_LOG, "poweroff -f"],
        );
        expect(run.code, run.console.slice(-2000)).toBe(0);
        expect(run.report.end).toBe("the guest switched off");
        expect(complaints(logOf(run))).toEqual([]);
        expect(hostSawNothing(run)).toBe(true);
      },
    );
  }
});
