/** The command with a standard input that is no terminal: pipes, files, devices; and signals without a terminal. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type CliResult, command, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder("pipes");
const delay = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const binary = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 167 + (i >> 8)) & 0xff);
const summary = (bytes: Uint8Array) =>
  `\necho: ${bytes.length} bytes, CRC-32 ${crc32(bytes).toString(16).padStart(8, "0")}\n`;

interface Running {
  readonly child: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  readonly result: Promise<CliResult & { readonly signal: NodeJS.Signals | null }>;
}

/** `realmbox run` with the guest `echo`; its input is a pipe to write to, or a descriptor. */
function echo(options: readonly string[], params: string, input: "pipe" | number): Running {
  const child = spawn(process.execPath, [command, "run", ...options, "-m", "32", "-p", params, "echo"], {
    cwd: tmpdir(),
    stdio: [input, "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined },
  });
  const output = { stdout: "", stderr: "" };
  child.stdout!.setEncoding("latin1").on("data", (text: string) => (output.stdout += text));
  child.stderr!.setEncoding("latin1").on("data", (text: string) => (output.stderr += text));
  child.stdin?.on("error", () => {}); // the guest may end before it has read everything
  const result = new Promise<CliResult & { readonly signal: NodeJS.Signals | null }>((resolve) =>
    child.on("close", (code, signal) => resolve({ code, signal, ...output })),
  );
  return { child, output, result };
}

/** Waits until the guest has written the text to its console. */
async function sees({ output, result }: Running, text: string): Promise<void> {
  let over = false;
  void result.then(() => (over = true));
  while (!output.stdout.includes(text)) {
    if (over) throw new Error(`the run ended without '${text}': ${JSON.stringify(output)}`);
    await delay(5);
  }
}

/** A run whose input is in a file, or all at once in a pipe. */
function fed(bytes: Uint8Array, by: "file" | "pipe", options: readonly string[] = ["-q"], params = "") {
  if (by === "pipe") {
    const run = echo(options, params, "pipe");
    run.child.stdin!.end(bytes);
    return run.result;
  }
  const path = join(folder, `input-${Math.random()}`);
  writeFileSync(path, bytes);
  const fd = openSync(path, "r");
  const run = echo(options, params, fd);
  closeSync(fd);
  return run.result;
}

describe.each(["file", "pipe"] as const)("a %s", (by) => {
  test("gives the guest every byte, of every value, and then the end", async () => {
    const bytes = binary(5000);
    const { code, stdout } = await fed(bytes, by, ["-q", "--realm"], `quiet=1 count=${bytes.length}`);
    expect([code, stdout]).toEqual([0, `echo: ready\n${summary(bytes)}`]);
  });

  test("that ends in a line, in half a line, in nothing", async () => {
    for (const text of ["one\ntwo\n", "one\ntwo", ""]) {
      const bytes = Buffer.from(text);
      const { code, stdout } = await fed(bytes, by);
      expect([code, stdout]).toEqual([0, `echo: ready\n${text}${summary(bytes)}`]);
    }
  });

  test("of 100 KiB goes through the FIFO without loss", async () => {
    const bytes = binary(100 << 10);
    const { stdout } = await fed(bytes, by, ["-q"], `quiet=1 count=${bytes.length}`);
    expect(stdout).toBe(`echo: ready\n${summary(bytes)}`);
  });
});

test("/dev/null is an input that ends at once", async () => {
  const fd = openSync("/dev/null", "r");
  const { code, stdout } = await echo(["-q"], "exit=5", fd).result;
  closeSync(fd);
  expect([code, stdout]).toEqual([5, `echo: ready\n${summary(new Uint8Array(0))}`]);
});

test("file, pipe, and a pipe whose writer is slow but in time make the same run", async () => {
  const bytes = Buffer.from("a line of input\n".repeat(40));
  const traced = async (name: string, run: (options: readonly string[]) => Promise<CliResult>) => {
    const path = join(folder, `${name}.trace`);
    const { code, stdout } = await run(["--realm", "-q", "--trace", "--trace-out", path]);
    return { code, stdout, trace: readFileSync(path, "utf8") };
  };
  const file = await traced("file", (options) => fed(bytes, "file", options, "ticks=1"));
  expect(file).toMatchObject({ code: 0, stdout: expect.stringContaining(summary(bytes)) });
  expect(file.trace.split("\n").length).toBeGreaterThan(1000);
  expect(await traced("pipe", (options) => fed(bytes, "pipe", options, "ticks=1"))).toEqual(file);
  const slow = await traced("slow", async (options) => {
    const { child, result } = echo(options, "ticks=1", "pipe");
    for (let at = 0; at < bytes.length; at += 200) {
      child.stdin!.write(bytes.subarray(at, at + 200));
      await delay(20);
    }
    child.stdin!.end();
    return result;
  });
  expect(slow).toEqual(file);
});

test("a pipe whose writer is slow is waited for, and what the guest writes is passed on meanwhile", async () => {
  const run = echo(["-q"], "count=6", "pipe");
  await sees(run, "echo: ready");
  for (const text of ["ab", "cd", "ef"]) {
    await delay(250);
    run.child.stdin!.write(text);
    await sees(run, text);
  }
  expect(await run.result).toMatchObject({ code: 0, stdout: `echo: ready\nabcdef${summary(Buffer.from("abcdef"))}` });
});

test("a pipe that never ends does not keep a guest that does not read, nor the process", async () => {
  const run = echo(["-q"], "count=1", "pipe");
  await sees(run, "echo: ready");
  run.child.stdin!.write("xyz");
  expect((await run.result).code).toBe(0);
  const child = spawn(process.execPath, [command, "run", "-q", "hello"], { stdio: ["pipe", "ignore", "ignore"] });
  expect(await new Promise((resolve) => child.on("close", resolve))).toBe(0);
});

test("guests that do not read leave the input to others", async () => {
  const path = join(folder, "two");
  writeFileSync(path, "for the next one\n");
  const line = `("${process.execPath}" "${command}" run -q hello > /dev/null; cat) < "${path}"`;
  const child = spawn("sh", ["-c", line], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (chunk) => (text += chunk));
  await new Promise((resolve) => child.on("close", resolve));
  expect(text).toBe("for the next one\n");
});

describe("signals", () => {
  test.each([
    ["SIGINT", 130, ""],
    ["SIGTERM", 143, "poll=1"],
    ["SIGHUP", 129, "busy=1"],
  ] as const)("%s ends the run with %i and its report: %s", async (name, code, params) => {
    const run = echo(["--json"], params, "pipe");
    while (!run.output.stderr.includes("echo: ready")) await delay(5);
    run.child.kill(name);
    const { stdout, ...result } = await run.result;
    expect(result.code).toBe(code);
    expect(JSON.parse(stdout)).toMatchObject({ exit: code, end: `${name} ended the run` });
  });

  test("a closed standard output ends the writing, not the run", async () => {
    const run = echo([], "ticks=2 exit=6", "pipe");
    await sees(run, "tick 1");
    run.child.stdout!.destroy();
    run.child.stdin!.end("some input");
    expect(await run.result).toMatchObject({ code: 6, stderr: expect.stringContaining("exit status 6") });
  });
});
