/** The parsers of both suites' consoles, fed with lines of the documented formats, byte by byte. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AcsParser } from "./acs-parser.js";
import { ConsoleLines, LINE_MAX } from "./console-lines.js";
import { countTests, type Stamp, type SuiteParser, totalsAgree } from "./results.js";
import { TftfParser } from "./tftf-parser.js";

const at = (n: number): Stamp => ({ instructions: n * 1000, machineMs: n, hostMs: n * 10 });

/** Feeds a console; `\f` stands for a reset. Each line takes one unit of time. */
function fed<P extends SuiteParser>(parser: P, console: string, lineEnd = "\n\r"): P {
  let time = 0;
  const lines = new ConsoleLines((line) => parser.line(line, at(time++)));
  for (const [part, text] of console.split("\f").entries()) {
    if (part > 0) {
      lines.flush();
      parser.reset();
    }
    for (const byte of Buffer.from(text.replaceAll("\n", lineEnd), "latin1")) lines.push(byte);
  }
  lines.flush();
  return parser;
}

const STARS = "***********************************\n";
const ACS_1_0 = `

********* RMM v1.0 ACS EAC **********


Suite=command : cmd_first
HOST : 
\tmade 3 granules
REALM : 
\tin the realm
Result => Passed

${STARS}
Suite=command : cmd_second
HOST : 
\tfirst complaint
\tlast complaint 0x304
Result => Failed (Error Code=22)

${STARS}
Suite=exception : exc_third
HOST : 

\tnothing of the kind here
Result => Skipped (Skip code=4)

${STARS}
Suite=gic : gic_fourth
Result => Error (Error code=7)

${STARS}

REGRESSION REPORT: 
==================
   TOTAL TESTS     : 4
   TOTAL PASSED    : 1
   TOTAL FAILED    : 1
   TOTAL SKIPPED   : 1
   TOTAL SIM ERROR : 1

******* END OF ACS *******
HOST : Entering standby.. 
`;

describe("the compliance suite", () => {
  test("results, codes, reasons, times, totals", () => {
    const results = fed(new AcsParser(), ACS_1_0).results(at(99));
    expect(results).toMatchObject({
      suite: "acs",
      ended: true,
      versions: ["RMM v1.0 ACS EAC"],
      printed: { tests: 4, passed: 1, failed: 1, skipped: 1, error: 1 },
      panic: null,
    });
    expect(results.tests.map(({ suite, name, status, code, reason }) => [suite, name, status, code, reason])).toEqual([
      ["command", "cmd_first", "passed", null, null],
      ["command", "cmd_second", "failed", 22, "last complaint 0x304"],
      ["exception", "exc_third", "skipped", 4, "nothing of the kind here"],
      ["gic", "gic_fourth", "error", 7, null],
    ]);
    expect(results.tests[0]).toMatchObject({
      output: ["HOST :", "\tmade 3 granules", "REALM :", "\tin the realm"],
      outputDropped: 0,
      resets: 0,
      instructions: 5000,
      machineMs: 5,
      ms: 50,
    });
    expect(totalsAgree(results)).toBe(true);
  });

  test("the form of later releases", () => {
    const results = fed(
      new AcsParser(),
      `********* RMM v1.1 ACS **********
Planes feature not supported,      Skipping planes Suite
*********************************
Suite=command : Test=cmd_first
Host:
saw no such thing
Result=Skipped (Skip code=4)
${STARS}Suite=command : Test=cmd_second
Result=Failed (Error code=1)
${STARS}`,
    ).results(at(9));
    expect(results.tests.map(({ name, status, reason }) => [name, status, reason])).toEqual([
      ["cmd_first", "skipped", "saw no such thing"],
      ["cmd_second", "failed", null],
    ]);
    expect(results).toMatchObject({
      ended: false,
      versions: ["RMM v1.1 ACS"],
      notes: ["Planes feature not supported, Skipping planes Suite"],
      printed: null,
    });
  });

  test("a test that a reset interrupts has the result that follows; one without any is incomplete", () => {
    const parser = fed(
      new AcsParser(),
      `Suite=command : cmd_first
\tabout to ha\fResult => Error (Error code=3)

${STARS}Suite=command : cmd_second\n\tgoing on\n`,
    );
    expect(parser.completed).toBe(1);
    const { tests, ended } = parser.results(at(9));
    expect(ended).toBe(false);
    expect(tests).toMatchObject([
      { name: "cmd_first", status: "error", code: 3, resets: 1, output: ["\tabout to ha"] },
      { name: "cmd_second", status: "incomplete", resets: 0, output: ["\tgoing on"] },
    ]);
  });

  test("totals that are not those of the tests", () => {
    const lied = fed(new AcsParser(), ACS_1_0.replace("TOTAL FAILED    : 1", "TOTAL FAILED    : 0")).results(at(9));
    expect(totalsAgree(lied)).toBe(false);
  });

  test("the end's text inside of a test is that test's output", () => {
    const parser = fed(new AcsParser(), "Suite=a : b\n******* END OF ACS *******\nTOTAL TESTS : 5\n");
    expect(parser.ended).toBe(false);
    expect(parser.results(at(3)).printed).toBe(null);
  });
});

const RIGHT = (word: string) => `  TEST COMPLETE ${word.padStart(54)}\n`;
const TFTF = `NOTICE:  Booting trusted firmware test framework
NOTICE:  Built : 12:00:00, Nov 20 2026
NOTICE:  v2.12(debug):v2.12.0

NOTICE:  Running at NS-EL2
INFO:    something else
NOTICE:  Starting a new test session
--
Running test suite 'Realm payload tests'
Description: what realms do

> Executing 'A realm's first'
INFO:    booting
[VMID 0][Rec 0]: PANIC in file: realm.c line: 3
${RIGHT("Passed")}
> Executing 'Second'
${RIGHT("Skipped")}the feature is not there
and another one neither

> Executing 'Third'
ERROR:   it went wrong
${RIGHT("Failed")}
--
Running test suite 'Others'
Description: none

> Executing 'Fourth'
ERROR:   it went wrong
${RIGHT("Failed")}in its own words

******************************* Summary *******************************
> Test suite 'Realm payload tests'
${"Failed".padStart(70)}
=================================
Tests Skipped : 1
Tests Passed  : 1
Tests Failed  : 2
Tests Crashed : 0
Total tests   : 4
=================================
NOTICE:  Exiting tests.
\x04`;

describe("TF-A-Tests", () => {
  test("results, reasons, versions, totals", () => {
    const results = fed(new TftfParser(), TFTF, "\r\n").results(at(99));
    expect(results).toMatchObject({
      suite: "tftf",
      ended: true,
      panic: null,
      versions: ["Built : 12:00:00, Nov 20 2026", "v2.12(debug):v2.12.0", "Running at NS-EL2"],
      printed: { tests: 4, passed: 1, failed: 2, skipped: 1, crashed: 0 },
    });
    const suite = "Realm payload tests";
    expect(results.tests.map((t) => [t.suite, t.name, t.status, t.reason])).toEqual([
      [suite, "A realm's first", "passed", null],
      [suite, "Second", "skipped", "the feature is not there and another one neither"],
      [suite, "Third", "failed", "ERROR:   it went wrong"],
      ["Others", "Fourth", "failed", "in its own words"],
    ]);
    expect(results.tests[0]!.output).toEqual(["INFO:    booting", "[VMID 0][Rec 0]: PANIC in file: realm.c line: 3"]);
    expect(totalsAgree(results)).toBe(true);
  });

  test.each([
    "PANIC in file: tftf/main.c line: 256",
    "Unhandled exception on CPU3.",
    "ASSERT: lib/x.c:10:a == b",
    "BUG: Unreachable code!",
  ])("%s: the framework hangs", (line) => {
    const parser = fed(new TftfParser(), `> Executing 'T'\n${line}\nSystem registers:\n  MPIDR=0x81000000\n`);
    expect(parser.panic).toBe(line);
    const { tests, ended } = parser.results(at(5));
    expect(ended).toBe(false);
    expect(tests).toMatchObject([
      { name: "T", status: "incomplete", output: [line, "System registers:", "  MPIDR=0x81000000"] },
    ]);
  });

  test("a test that resets the machine by itself goes on, one that crashed does not", () => {
    const parser = fed(
      new TftfParser(),
      `Running test suite 'S'
> Executing 'Resets itself'
before\f${TFTF.slice(0, TFTF.indexOf("NOTICE:  Starting"))}NOTICE:  Resuming interrupted test session
Running test suite 'S'
> Executing 'Resets itself'
after
${RIGHT("Passed")}
> Executing 'Crashes'
PANIC in file: a line: 1\fNOTICE:  Resuming interrupted test session
> Executing 'Last'
${RIGHT("Passed")}
`,
    );
    const { tests, panic } = parser.results(at(99));
    expect(panic).toBe(null);
    expect(tests.map(({ name, status, resets }) => [name, status, resets])).toEqual([
      ["Resets itself", "passed", 1],
      ["Crashes", "crashed", 1],
      ["Last", "passed", 0],
    ]);
    expect(tests[0]!.output).toContain("before");
    expect(tests[0]!.output).toContain("after");
  });
});

describe("a hostile console", () => {
  test("an endless line, control characters", () => {
    const seen: string[] = [];
    const lines = new ConsoleLines((line) => seen.push(line));
    for (let n = 0; n < 1_000_000; n++) lines.push(0x41);
    for (const byte of [10, 0x1b, 0x5b, 0x32, 0x4a, 0, 9, 0x85, 0xe9, 13, 10]) lines.push(byte);
    expect(seen).toHaveLength(2);
    expect(seen[0]).toHaveLength(LINE_MAX + " […]".length);
    expect(seen[1]).toBe("\\x1b[2J\\x00\t\\x85é");
  });

  test.each([
    ["acs", () => new AcsParser(), "Suite=s : "],
    ["tftf", () => new TftfParser(), "> Executing '"],
  ] as const)("%s: any number of tests and lines is kept within bounds", (_name, make, begin) => {
    const parser = make();
    for (let n = 0; n < 12_000; n++) parser.line(`${begin}${n}'`, at(n));
    for (let n = 0; n < 100_000; n++) parser.line("x".repeat(1000), at(n));
    const { tests, testsDropped } = parser.results(at(1));
    expect(tests.length + testsDropped).toBe(12_000);
    expect(tests.length).toBeLessThanOrEqual(10_001);
    const last = tests.at(-1)!;
    expect(last.outputDropped).toBeGreaterThan(99_000);
    expect(last.output.join("").length).toBeLessThan(100_000);
  });

  test("whatever the console says, the results can be counted", () => {
    const pieces = [...ACS_1_0.split("\n"), ...TFTF.split("\n"), "\f", "Result=Passed", "> Executing ''", "Suite= : "];
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string())), (lines) => {
        for (const parser of [new AcsParser(), new TftfParser()]) {
          const results = fed(parser, lines.join("\n")).results(at(1000));
          const { tests, ...rest } = countTests(results.tests);
          expect(Object.values(rest).reduce((sum, count) => sum + count, 0)).toBe(tests);
          expect(parser.completed).toBeLessThanOrEqual(tests);
        }
      }),
      { seed: 1, numRuns: 300 },
    );
  });
});
