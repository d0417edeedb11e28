/** `run` as the README shows it: the built-in guests in both worlds, the report, and a guest that finds a fault. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { image } from "../support/box.js";
import { realmbox, temporaryFolder } from "../support/cli.js";
import { plantedWrong, rowNames } from "./rsi-check.js";

const folder = temporaryFolder("run");

describe("hello", () => {
  test("as a realm: boot, construction, console, report", async () => {
    const { code, stdout, stderr } = await realmbox(["run", "--realm", "hello"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^world: +realm/m);
    expect(stdout).toMatch(/^RSI[ a-z]*: +1\.0/im);
    expect(stdout).toMatch(/^IPA width: +33/im);
    expect(stdout).toMatch(/^RIM: +[0-9a-f]{64}$/m);
    for (const step of ["RMM", "CREATE_REALM", "INIT_RIPAS_REALM", "POPULATE_REALM", "ACTIVATE_REALM"]) {
      expect(stderr).toContain(step);
    }
    expect(stderr).toMatch(/RIM expected +([0-9a-f]{64})\n +RIM in token +\1 +equal/);
    expect(stderr).toMatch(/platform key → RAK → realm claims verified, challenge matched/);
    expect(stderr).toMatch(/REC entries +[1-9]/);
    expect(stderr).toMatch(/world switches [1-9]/);
  });

  test("--json: the report alone on stdout, the console on stderr", async () => {
    const { code, stdout, stderr } = await realmbox(["run", "--realm", "--json", "hello"]);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ exit: 0, kind: "realm", rim: { match: true }, token: { verified: true } });
    expect(report.rim.expected).toBe(report.rim.token);
    expect(report.counts.recEntries).toBeGreaterThan(0);
    const { recExits } = report.counts;
    expect(Object.values<number>(recExits).reduce((sum, n) => sum + n, 0)).toBe(report.counts.recEntries);
    expect(report.counts.instructions.realm).toBeGreaterThan(10_000);
    expect(stderr).toMatch(/^world: +realm/m);
  });

  test("as a normal VM", async () => {
    const { code, stdout } = await realmbox(["run", "hello"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^world: +normal VM$/m);
  });

  test("an own challenge is in the token, a random one as well", async () => {
    for (const challenge of ["00112233", "ff".repeat(64), "random"]) {
      const { stdout } = await realmbox(["run", "--realm", "--json", "--challenge", challenge, "hello"]);
      expect(JSON.parse(stdout).token).toMatchObject({ verified: true, challengeMatched: true });
    }
  });

  test("bootargs, initrd, vCPUs and memory arrive", async () => {
    const initrd = join(folder, "initrd");
    writeFileSync(initrd, "123456789");
    const args = ["run", "--realm", "-q", "-c", "3", "-m", "48", "-i", initrd, "-p", "one=1 exit=9", "hello"];
    const { code, stdout } = await realmbox(args);
    expect(code).toBe(9);
    expect(stdout).toMatch(/CPUs: +3,/);
    expect(stdout).toMatch(/RAM: +48 MiB at 0x80000000/);
    expect(stdout).toMatch(/bootargs:.* one=1 exit=9/);
    expect(stdout).toMatch(/initrd: +9 bytes .*CRC-32 cbf43926/); // the check value of CRC-32
  });
});

describe("rsi-check and smp exit with 0", () => {
  test.each([
    ["--realm", "rsi-check"],
    ["rsi-check"],
    ["--realm", "-c", "4", "smp"],
    ["-c", "4", "smp"],
    ["--realm", "-c", "4", "--pes", "1", "smp"],
    ["--realm", "-c", "8", "--pes", "3", "smp"],
    ["--realm", "--measurement-algo", "sha512", "rsi-check"],
    ["--realm", "--realm-pv", "some value", "-c", "2", "rsi-check"],
  ])("%j", async (...args) => {
    const { code, stdout } = await realmbox(["run", "-q", "-m", "64", ...args]);
    expect({ code, tail: code === 0 ? "" : stdout.slice(-500) }).toEqual({ code: 0, tail: "" });
    if (args.includes("rsi-check") && !args.includes("--realm")) expect(stdout).toContain("no RSI here");
  });

  test("a copy of rsi-check with a planted wrong expectation exits with 1 and names the row", async () => {
    const original = image("rsi-check");
    const names = rowNames(original);
    expect(names.length).toBeGreaterThan(100);
    for (const row of [0, Math.floor(names.length / 2), names.length - 1]) {
      const path = join(folder, `planted-${row}`);
      writeFileSync(path, plantedWrong(original, row));
      const { code, stdout } = await realmbox(["run", "--realm", "-q", "-m", "64", path]);
      expect(code).toBe(1);
      const bad = stdout.split("\n").filter((line) => line.startsWith(names[row]!) && !line.endsWith(" ok"));
      expect(bad, names[row]).toHaveLength(1);
    }
  });
});
