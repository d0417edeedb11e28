/** Debian's PMU driver in normal VMs and realms: exact counts, and a sample at each overflow that was asked for. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { cpioArchive } from "../../packages/realmbox/src/images/cpio.js";
import { ImageStore } from "../../packages/realmbox/src/images/store.js";
import { temporaryFolder } from "../support/cli.js";
import { DEBIAN, hostSawNothing, missing, session } from "./debian.js";

const folder = temporaryFolder("linux-pmu");
const GCC = "aarch64-linux-gnu-gcc";

function build(): string | undefined {
  const source = fileURLToPath(new URL("programs/perf.c", import.meta.url));
  const { error, status, stderr } = spawnSync(GCC, ["-O2", "-static", "-o", join(folder, "perf"), source]);
  if (error) return `no ${GCC}`;
  return status === 0 ? undefined : `perf.c: ${stderr.toString().split("\n")[0]}`;
}

const why = (await missing(DEBIAN)) ?? build();

describe("perf_event_open", () => {
  test.skipIf(why !== undefined).each([
    { guest: "a realm", args: ["--realm", "--pmu"], counters: 7 },
    { guest: "a realm with two event counters", args: ["--realm", "--pmu", "--pmu-counters", "2"], counters: 3 },
    { guest: "a normal VM", args: ["--pmu"], counters: 7 },
  ])(`$guest${why === undefined ? "" : ` (skipped: ${why})`}`, async ({ args, counters }) => {
    const store = new ImageStore();
    const image = store.find(DEBIAN.name)!;
    const bytes = readFileSync(join(folder, "perf"));
    const added = cpioArchive(new Map([["opt/perf", { kind: "file", mode: 0o755, bytes }]]));
    const initrd = join(folder, "initrd");
    writeFileSync(initrd, Buffer.concat([readFileSync(store.path(image.initramfs)), added]));
    const run = await session(
      [...args, "-m", "512", "-k", store.path(image.kernel), "-i", initrd, "-p", "cryptomgr.notests=1"],
      ["/opt/perf; grep arm-pmu /proc/interrupts", "poweroff -f"],
    );
    expect(run.code, run.console.slice(-2000)).toBe(0);
    expect(run.console).toContain(`armv8_pmuv3 PMU driver, ${counters} (`);
    // 10 million rounds of two instructions, a sample for every 50,000; an interrupt for each.
    expect(run.console).toContain("difference 2000000\ncycles pass\nsamples 400\n");
    expect(/arm-pmu/.test(run.console) && /\s400\s+GICv3\s+23 Level/.test(run.console)).toBe(true);
    expect(hostSawNothing(run)).toBe(true);
  });
});
