/**
 * Debian's own kernels to a shell, as a realm and as a normal VM, with one vCPU and several: no complaint in the log,
 * power-off and reboot by PSCI, and the Host sees nothing that the realm did not share.
 */
import { describe, expect, test } from "vitest";
import {
  complaints,
  DEBIAN,
  type DebianImage,
  hostSawNothing,
  logOf,
  missing,
  PRINT_LOG,
  session,
  TRIXIE,
} from "./debian.js";

const absent = new Map<DebianImage, string | undefined>();
for (const image of [DEBIAN, TRIXIE]) absent.set(image, await missing(image));

const boots: readonly (readonly [DebianImage, boolean, number])[] = [
  [DEBIAN, true, 1],
  [DEBIAN, true, 4],
  [DEBIAN, true, 8],
  [DEBIAN, false, 1],
  [DEBIAN, false, 4],
  [TRIXIE, false, 1],
  [TRIXIE, false, 4],
];

describe.each(boots)("$name", (image, realm, cpus) => {
  const why = absent.get(image);
  const world = realm ? "realm" : "normal VM";
  test.skipIf(why !== undefined)(
    `${image.name} as a ${world} with ${cpus} vCPUs${why === undefined ? "" : ` (skipped: ${why})`}`,
    async () => {
      const run = await session(
        [...(realm ? ["--realm"] : []), "-c", `${cpus}`, "-m", "512", image.name],
        ["echo cpus=$(nproc)", PRINT_LOG, "poweroff -f"],
      );
      expect(run.code, run.console.slice(-2000)).toBe(0);
      expect(run.report.end).toBe("the guest switched off");
      expect(run.console).toContain("realmbox: userspace");
      expect(run.console).toContain(`cpus=${cpus}`);
      const log = logOf(run);
      expect(log).toContain("Booting Linux");
      expect(complaints(log)).toEqual([]);
      expect(/RME: Using RSI version 1\.0/.test(log)).toBe(realm);
      expect(hostSawNothing(run)).toBe(true);
    },
  );
});

const why = absent.get(DEBIAN);
const note = why === undefined ? "" : ` (skipped: ${why})`;

test.skipIf(why !== undefined)(`reboot by PSCI ends the run${note}`, async () => {
  const run = await session(["--realm", "-m", "512", DEBIAN.name], ["reboot -f"]);
  expect(run.code).toBe(0);
  expect(run.report.end).toBe("the guest asked for a reset");
});

test.skipIf(absent.get(TRIXIE) !== undefined)(
  `a kernel without realm support, as a realm: exit 126, and what would work${absent.get(TRIXIE) === undefined ? "" : ` (skipped: ${absent.get(TRIXIE)})`}`,
  async () => {
    const run = await session(["--realm", "-m", "512", TRIXIE.name], []);
    expect(run.code).toBe(126);
    expect(run.report.end).toMatch(/no realm support.*6\.13.*without --realm/);
    expect(hostSawNothing(run)).toBe(true);
  },
);

test.skipIf(why !== undefined)(`the image's shell from a script, as the README has it${note}`, async () => {
  const run = await session(["--realm", "-m", "512", DEBIAN.name], ["dmesg | grep RME", "poweroff -f"]);
  expect(run.code).toBe(0);
  expect(run.console).toMatch(/\] RME: Using RSI version 1\.0/);
});
