/** `run --rmm` and `diff-rmm` with images that are at hand: the probe, which is hardly an RMM, and a guest, which is none. */
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { realmbox } from "../support/cli.js";

const prebuilt = (name: string): string => fileURLToPath(new URL(`../../guests/${name}`, import.meta.url));
const PROBE = prebuilt("prebuilt-fvp/rmm-probe.bin");
const NO_RMM = prebuilt("prebuilt/hello.bin");

describe("run --rmm", () => {
  test("boots the image at R-EL2; a normal VM does not mind", async () => {
    const { code, stdout, stderr } = await realmbox(["run", "--rmm", PROBE, "hello"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^world: +normal VM$/m);
    expect(stderr).toMatch(/^boot: RMM boot complete pe 0 status E_RMM_BOOT_SUCCESS$/m);
    expect(stderr).toMatch(/^boot: Host pe 0 rmm 0x10000$/m);
  });

  test("what the image refuses is why there is no realm", async () => {
    const { code, stderr } = await realmbox(["run", "--realm", "--rmm", PROBE, "hello"]);
    expect(code).toBe(125);
    expect(stderr).toMatch(/^realmbox: hello: /m);
  });

  test.each([
    {
      what: "no RMM",
      args: ["run", "--rmm", NO_RMM, "hello"],
      says: /^realmbox: option '--rmm': the RMM does not boot: /m,
    },
    {
      what: "no file",
      args: ["run", "--rmm", "nothing.img", "hello"],
      says: /^realmbox: option '--rmm': .*nothing\.img/m,
    },
  ])("$what", async ({ args, says }) => {
    const { code, stderr } = await realmbox(args);
    expect(code).toBe(125);
    expect(stderr).toMatch(says);
  });
});

describe("diff-rmm", () => {
  test("a table of differences, each with its rule", async () => {
    const { code, stdout } = await realmbox(["diff-rmm", "--filter", "RMI_VERSION", "--random", "0", PROBE]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^features \(1\): right is both$/m);
    expect(stdout).toMatch(/^6 scripts, \d+ calls on both; 1 differ, 0 of them by no known rule$/m);
  });

  test("an unknown difference is exit code 1; --json", async () => {
    const { code, stdout } = await realmbox([
      ...["diff-rmm", "--filter", "RMI_REALM_CREATE/params_align", "--random", "1", "--seed", "3", "--json", PROBE],
    ]);
    expect(code).toBe(1);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ schemaVersion: 1, scripts: 2 });
    expect(report.unknownCount).toBeGreaterThan(0);
    expect(report.unknown.join("\n")).toContain("RMI_REALM_CREATE");
  });

  test.each([
    { what: "no RMM", args: ["diff-rmm", NO_RMM], says: /does not boot/ },
    { what: "no such case", args: ["diff-rmm", "--filter", "no-such-case", "--random", "0", PROBE], says: /--filter/ },
  ])("$what", async ({ args, says }) => {
    const { code, stderr } = await realmbox(args);
    expect(code).toBe(125);
    expect(stderr).toMatch(says);
  });
});
