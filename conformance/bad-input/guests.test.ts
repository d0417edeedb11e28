/**
 * Guests that never end, or end badly: the command ends with the exit code that the table of the command line gives (0
 * to 123 the guest's own, 124 a limit, 126 crashed) and says why; with --json stdout is one document whatever happened.
 */
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { type CliResult, command, realmbox } from "../support/cli.js";

interface Ending {
  readonly case: string;
  readonly options?: readonly string[];
  readonly code: number;
  readonly end: RegExp;
  /** Only one of the two worlds. */
  readonly only?: "realm" | "normal VM";
}

const LIMIT = ["--max-instructions", "20000000"];
const endings: readonly Ending[] = [
  { case: "loop", options: LIMIT, code: 124, end: /instruction limit/ },
  { case: "loop", options: ["--timeout", "1"], code: 124, end: /time limit/ },
  { case: "wfi", code: 126, end: /waits/ },
  { case: "undefined", code: 120, end: /exit status 120/ },
  { case: "jump", code: 120, end: /exit status 120/ },
  { case: "vectors", code: 126, end: /exceptions/ },
  { case: "stack", code: 126, end: /exceptions/ },
  { case: "vanish", code: 126, end: /exceptions/, only: "realm" },
  { case: "devices", options: LIMIT, code: 0, end: /exit status 0/ },
  { case: "sysregs", options: LIMIT, code: 0, end: /exit status 0/ },
  { case: "memory", options: LIMIT, code: 0, end: /exit status 0/ },
  { case: "nonesuch", code: 2, end: /exit status 2/ },
];

describe.each(["realm", "normal VM"] as const)("as a %s", (kind) => {
  const world = kind === "realm" ? ["--realm"] : [];
  const run = (args: readonly string[]): Promise<CliResult> => realmbox(["run", ...world, ...args]);

  const cases = endings.filter(({ only = kind }) => only === kind);
  test.each(cases.map((ending) => [ending.case, (ending.options ?? []).join(" "), ending] as const))(
    "case=%s %s",
    async (_case, _options, ending) => {
      const args = ["--json", ...(ending.options ?? []), "-m", "16", "-p", `case=${ending.case}`, "hostile"];
      const { code, stdout, stderr } = await run(args);
      expect(stderr).toContain(`hostile: ${ending.case === "nonesuch" ? "no case" : ending.case}`);
      const report = JSON.parse(stdout);
      expect(report).toMatchObject({ exit: ending.code, kind, end: expect.stringMatching(ending.end) });
      expect(code).toBe(ending.code);
    },
  );

  test("overwriting all of its memory ends it one way or another", async () => {
    const { code, stdout, stderr } = await run([...LIMIT, "-m", "8", "-p", "case=scribble seed=3", "hostile"]);
    expect(stdout).toContain("hostile: scribble");
    expect(stderr).not.toContain("internal error");
    expect([120, 124, 126]).toContain(code);
  });

  test("its console is all of stdout, the rest goes to stderr", async () => {
    const { code, stdout, stderr } = await run(["-p", "exit=7", "hello"]);
    expect(code).toBe(7);
    expect(stdout).toMatch(/^world: +\S/m);
    expect(stdout).not.toMatch(/^(boot|build): /m);
    expect(stderr).toMatch(/exit 7/);
    const quiet = await run(["-q", "-p", "exit=7", "hello"]);
    expect(quiet).toEqual({ code: 7, stdout, stderr: "" });
  });

  test("standard input that nobody reads is no problem", async () => {
    const piped = await realmbox(["run", ...world, "-q", "hello"], { input: "some input\n".repeat(1000) });
    expect(piped.code).toBe(0);
  });

  test("whoever reads stdout may stop reading: the run ends as it would", () => {
    const line = ["run", ...world, "-q", "-p", "exit=5", "hello"].map((arg) => `'${arg}'`).join(" ");
    const script = `set -o pipefail; '${process.execPath}' '${command}' ${line} | head -c 1`;
    const { status, stdout, stderr } = spawnSync("bash", ["-c", script], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    expect({ status, stderr }).toEqual({ status: 5, stderr: "" });
    expect(stdout).toHaveLength(1);
  });
});
