/** `realmbox fvp` as users run it: what goes where, the files that it writes, exit codes, what it refuses. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DOMParser } from "@xmldom/xmldom";
import type { FvpReport } from "realmbox";
import { expect, test } from "vitest";
import { command, realmbox, temporaryFolder } from "../support/cli.js";

const cwd = temporaryFolder("fvp");
const path = (name: string) => join(cwd, name);
const text = (name: string) => readFileSync(path(name), "utf8");
writeFileSync(path("gic.cfg"), "el2 only=gic");
writeFileSync(path("bad.cfg"), "el2 only=gic_sgi_self also=ending_deadlock");
writeFileSync(path("empty.bin"), "");
writeFileSync(path("small.bin"), "abcd");
writeFileSync(path("large.bin"), "");
truncateSync(path("large.bin"), 33 << 20);

const given = new Set<string>();
function fvp(line: string) {
  const words = line.split(" ");
  for (const word of words) given.add(word.replace(/=.*/, ""));
  return realmbox(["fvp", ...words], { cwd });
}

test("the suite's console is on stdout, the report on stderr and in the files", async () => {
  const { code, stdout, stderr } = await fvp(
    "--ns el2 --hw-config gic.cfg --report report.json --junit report.xml --uart 0=uart0.txt --pes 4",
  );
  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(stdout).toMatch(/Suite=gic : gic_sgi_self\s+Result => Passed/);
  expect(stdout).toMatch(/END OF ACS/);
  expect(stderr).toMatch(
    /^fvp: exit 0 \(the suite reached its end\)\n {2}realmbox EL2 ACS form 1\n {2}tests +6: 6 passed\n/,
  );
  expect(text("uart0.txt")).toBe("");
  const report = JSON.parse(text("report.json")) as FvpReport;
  expect(report).toMatchObject({
    schemaVersion: 1,
    exit: 0,
    suite: "acs",
    board: { name: "fvp", pes: 4, dram2: false },
    images: { ns: { name: "el2", address: "0x88000000" }, rmm: null },
    totals: { tests: 6, passed: 6 },
    printedTotals: { tests: 6, passed: 6, failed: 0, skipped: 0, error: 0 },
  });
  const [suite] = junit("report.xml");
  expect(suite).toMatchObject({ name: "gic", tests: "6", failures: "0", errors: "0", skipped: "0" });
});

test("--json: the report alone on stdout, the console on stderr", async () => {
  const { code, stdout, stderr } = await fvp("--ns el2 --hw-config gic.cfg --pes 1 --json -q");
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ totals: { tests: 6, skipped: 2 } });
  expect(stderr).toMatch(/Suite=gic : gic_sgi_all\s+one PE only\s+Result => Skipped/);
});

test("a run without the suite's end: exit code 126, and an error in the JUnit file", async () => {
  const { code, stderr } = await fvp("--ns el2 --hw-config bad.cfg --junit bad.xml --suite acs");
  expect(code).toBe(126);
  expect(stderr).toMatch(/^fvp: exit 126 \(nothing can happen any more/);
  expect(junit("bad.xml")).toMatchObject([
    { name: "gic", errors: "0" },
    { name: "ending", errors: "1" },
    { name: "fvp", errors: "1" },
  ]);
});

test("--suite tftf does not read the other suite's UART", async () => {
  const { code, stdout } = await fvp("--ns el2 --hw-config gic.cfg --suite tftf --max-instructions 3000000 -q");
  expect({ code, stdout }).toEqual({ code: 126, stdout: "" });
});

test("limits: exit code 124, and a report of what is known", async () => {
  const { code, stdout } = await fvp("--ns el2 --max-instructions 500000 --json -q");
  expect(code).toBe(124);
  const report = JSON.parse(stdout) as FvpReport;
  expect(report).toMatchObject({ exit: 124, suiteEnded: false, end: { kind: "limit" } });
  expect(report.totals.passed).toBeGreaterThan(3);
});

test("seeds, memory, flash, traces, the Secure world", async () => {
  writeFileSync(path("rmi.cfg"), "el2 only=rmi_parallel ");
  const { code, stdout, stderr } = await fvp(
    "--ns el2@0x8a001000 --secure secure@0x6000000 --secure-el 1 --hw-config rmi.cfg --flash0 small.bin --flash1 small.bin " +
      "--dram2 --seed 5 --interleave 9 --max-resets 0 --timeout 100 --trace=boot --trace-out trace.txt --quiet",
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(/rmi_parallel\s+Result => Passed/);
  expect(text("trace.txt")).toMatch(/ pe0 boot /);
});

test("another RMM in the place of ours", async () => {
  const line = "--ns el2 --rmm small.bin --hw-config gic.cfg --max-instructions 3000000 -q";
  expect((await fvp(line)).code).toBeGreaterThanOrEqual(124);
});

test("the engines: what --jit says, and one beside the other", async () => {
  const { code, stdout } = await fvp("--ns el2 --hw-config gic.cfg --jit=0");
  expect(code).toBe(0);
  expect(stdout).toMatch(/Suite=gic : gic_sgi_self\s+Result => Passed/);
  const checked = await fvp("--ns el2 --hw-config gic.cfg --jit=0 --check-translator 100000 --max-instructions 300000");
  expect(checked.code).toBe(0);
  expect(checked.stdout + checked.stderr).toMatch(/interpreter and translator are equal up to count 300,000/);
});

test("SIGINT ends the run, with the report and as shells count it", async () => {
  writeFileSync(path("spin.cfg"), "el2 only=gic_sgi_self also=ending_spin");
  const args = ["fvp", "--ns", "el2", "--hw-config", "spin.cfg", "--report", "signal.json", "-q"];
  const child = spawn(process.execPath, [command, ...args], { cwd, stdio: ["ignore", "pipe", "ignore"] });
  let stdout = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
    if (stdout.includes("ending_spin")) child.kill("SIGINT");
  });
  const [code] = await once(child, "close");
  expect(code).toBe(130);
  expect(JSON.parse(text("signal.json"))).toMatchObject({
    end: { kind: "signal", why: "SIGINT ended the run" },
    totals: { passed: 1, incomplete: 1 },
  });
});

test("every option of the help is used here", async () => {
  const { stdout } = await realmbox(["fvp", "--help"]);
  const options = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, name]) => name!);
  expect(options.length).toBeGreaterThan(20);
  expect(options.filter((name) => name !== "--help" && !given.has(name))).toEqual([]);
});

test.each([
  ["--report x.json", /option '--ns <image>' is missing/],
  ["--ns nothing", /no file and no built-in image 'nothing'/],
  ["--ns ./nothing.bin", /cannot read '.\/nothing.bin': no such file/],
  ["--ns empty.bin", /NS image 'empty.bin' is empty/],
  ["--ns el2@x", /'x' is not an address/],
  ["--ns el2@0x88000001", /0x88000001 is not a multiple of 4 KiB/],
  ["--ns el2@0x1000", /0x1000 do not lie in Non-secure DRAM/],
  ["--ns el2@0xfbfff000", /0xfbfff000 do not lie in Non-secure DRAM/],
  ["--ns el2@0x880000000", /0x880000000 do not lie in Non-secure DRAM, 0x80000000 to 0xfbffffff$/m],
  ["--ns el2@0x82000000 --hw-config gic.cfg", /and HW_CONFIG at 0x82000000 overlap/],
  ["--ns el2 --rmm large.bin", /RMM 'large.bin' has 34603008 bytes; there is room for 33550336/],
  ["--ns el2 --rmm empty.bin", /RMM 'empty.bin' is empty/],
  ["--ns el2 --flash0 nothing.bin", /'--flash0': cannot read 'nothing.bin'/],
  ["--ns el2 --uart 4=x", /'4=x' is not N=FILE/],
  ["--ns el2 --uart 1=/nowhere/x", /cannot write '\/nowhere\/x'/],
  ["--ns el2 --report /nowhere/x", /cannot write '\/nowhere\/x'/],
  ["--ns el2 --suite kvm", /'kvm' is neither acs nor tftf nor none/],
  ["--ns el2 --pes 9", /'9' is not a whole number from 1 to 8/],
  ["--ns el2 --timeout 0", /'0' is not a positive number of seconds/],
  ["--ns el2 --max-resets -1", /'-1' is not a whole number/],
])("%s", async (line, sentence) => {
  const { code, stdout, stderr } = await fvp(line);
  expect({ code, stdout }).toEqual({ code: 125, stdout: "" });
  expect(stderr).toMatch(sentence);
  expect(stderr).not.toMatch(/internal error/);
  expect(existsSync(path("x.json"))).toBe(false);
});

/** The suites of a JUnit file, read by a parser that takes nothing but XML; each has as many tests as it says. */
function junit(name: string): Record<string, string>[] {
  const stop = (level: string, message: string) => {
    throw new Error(`${level}: ${message}`);
  };
  const document = new DOMParser({ onError: stop }).parseFromString(text(name), "application/xml");
  const root = document.documentElement!;
  expect(root.tagName).toBe("testsuites");
  const suites = [...root.getElementsByTagName("testsuite")];
  return suites.map((suite) => {
    const cases = [...suite.getElementsByTagName("testcase")];
    expect(String(cases.length)).toBe(suite.getAttribute("tests"));
    for (const one of cases) expect(one.getAttribute("name")).toBeTruthy();
    return Object.fromEntries([...suite.attributes].map(({ name: key, value }) => [key, value]));
  });
}
