/** The command on a terminal: raw mode and its end on every way out, the keys behind Ctrl-a, typing, idle processor time, signals. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { command } from "../support/cli.js";
import { hasPty, Pty } from "../support/pty.js";

const COOKED = { ICANON: true, ECHO: true, ISIG: true, ONLCR: true };
const RAW = { ICANON: false, ECHO: false, ISIG: false, ONLCR: true };

let open: Pty[] = [];
afterEach(() => {
  for (const pty of open) pty.close();
  open = [];
});

function start(words: readonly string[]): Pty {
  const pty = new Pty(words);
  open.push(pty);
  return pty;
}

/** `realmbox LINE` on a terminal. */
const realmbox = (line: string) => start([process.execPath, command, ...line.split(" ")]);

/** The guest `echo`, ready for typing. */
async function echo(options: readonly string[] = ["-q"], params = ""): Promise<Pty> {
  const pty = start([process.execPath, command, "run", ...options, "-p", params, "echo"]);
  await pty.sees("echo: ready");
  return pty;
}

/** Milliseconds until what was typed is echoed. */
async function latency(pty: Pty, text: string): Promise<number> {
  const from = { at: pty.output.length, time: performance.now() };
  pty.send(text);
  await pty.sees(text, from.at);
  return performance.now() - from.time;
}

/** Clock ticks (a hundredth of a second) that a process of Linux has computed. */
function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
    .replace(/^.*\) /, "")
    .split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

const childOf = (pid: number): number =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((child) => {
      try {
        return (
          readFileSync(`/proc/${child}/stat`, "latin1")
            .replace(/^.*\) /, "")
            .split(" ")[1] === String(pid)
        );
      } catch {
        return false;
      }
    })!;

const delay = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[list.length >> 1]!;

describe.skipIf(!hasPty)(`on a terminal${hasPty ? "" : " (skipped: no python3 with pseudo-terminals)"}`, () => {
  test("keys go to the guest, Ctrl-c too; the modes come back at its end", async () => {
    const pty = await echo(["-q"], "exit=9");
    expect(await pty.modes()).toEqual(RAW);
    for (const text of ["a", "typed\r", "\x03", "\x1a", "\x00\xff", "\x1b[A"]) await latency(pty, text);
    pty.send("\x04");
    expect(await pty.exit()).toBe(9);
    expect(await pty.modes()).toEqual(COOKED);
    expect(pty.output).toMatch(/echo: 14 bytes/);
  });

  test.each([
    ["Ctrl-a x ends the session with 0", "\x01x", 0],
    ["in two pieces", "\x01|x", 0],
  ])("%s", async (_, keys, code) => {
    const pty = await echo(["--realm"]);
    for (const key of keys.split("|")) {
      pty.send(key);
      await delay(20);
    }
    expect(await pty.exit()).toBe(code);
    expect(pty.output).toContain("exit 0 (the user ended the session with Ctrl-a x)");
    expect(await pty.modes()).toEqual(COOKED);
  });

  test("Ctrl-a x ends a guest that computes", async () => {
    const pty = await echo(["-q"], "busy=1 poll=1");
    pty.send("\x01x");
    expect(await pty.exit()).toBe(0);
  });

  test("Ctrl-a Ctrl-a and Ctrl-a a send Ctrl-a, Ctrl-a h tells the keys, others go through", async () => {
    const pty = await echo(["-q"], "count=5");
    pty.send("\x01\x01\x01a");
    await pty.sees("\x01\x01");
    pty.send("\x01h");
    await pty.sees("Ctrl-a x");
    pty.send("\x01bcd");
    expect(await pty.exit()).toBe(0);
    expect(pty.output).toMatch(/bcd\r\necho: 5 bytes/);
  });

  test("lines of the guest and of realmbox begin at the margin", async () => {
    const pty = realmbox("run --realm --trace=rsi hello");
    expect(await pty.exit()).toBe(0);
    expect(pty.output).toMatch(/\r\nHello from a realmbox guest\r\n/);
    expect(pty.output.replaceAll("\r\n", "")).not.toMatch(/\n/);
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s ends the run, and the modes come back", async (signal, code) => {
    const pty = await echo([]);
    pty.kill(signal);
    expect(await pty.exit()).toBe(code);
    expect(pty.output).toContain(`${signal} ended the run`);
    expect(await pty.modes()).toEqual(COOKED);
  });

  test("a stopped process gives the terminal back, and takes it again", async () => {
    const pty = await echo();
    pty.kill("SIGTSTP");
    await delay(200);
    expect(await pty.modes()).toEqual(COOKED);
    pty.kill("SIGCONT");
    await delay(200);
    expect(await pty.modes()).toEqual(RAW);
    await latency(pty, "still there");
    pty.send("\x01x");
    expect(await pty.exit()).toBe(0);
  });

  test("the time limit ends a guest that waits", async () => {
    const pty = await echo(["-q", "--timeout", "2"]);
    expect(await pty.exit()).toBe(124);
    expect(await pty.modes()).toEqual(COOKED);
  });

  test("in the background it leaves the terminal alone", async () => {
    const pty = start(["sh", "-c", `set -m; "${process.execPath}" "${command}" run -q hello & wait; echo done`]);
    await pty.sees("done");
    expect(pty.output).toContain("Hello from a realmbox guest");
  });

  test("a terminal that does not control the process is one all the same", async () => {
    const pty = start(["setsid", "--wait", process.execPath, command, "run", "-q", "-p", "exit=3", "echo"]);
    await pty.sees("echo: ready");
    await latency(pty, "typed");
    pty.send("\x04");
    expect(await pty.exit()).toBe(3);
    expect(await pty.modes()).toEqual(COOKED);
  });

  test("a second signal ends a process at once that is still busy with the first", async () => {
    const pty = await echo([]);
    pty.kill("SIGTERM");
    pty.kill("SIGTERM");
    expect([143, -15]).toContain(await pty.exit());
    expect(await pty.modes()).toEqual(COOKED);
  });

  test("with the console in a pipe, the terminal is the guest's once it wants input", async () => {
    const line = (image: string) => `"${process.execPath}" "${command}" run -q ${image} | cat; echo done`;
    const silent = start(["sh", "-c", line("-p ticks=3 hello")]);
    await silent.sees("Hello from");
    expect(await silent.modes()).toEqual(COOKED);
    await silent.sees("done");
    const pty = start(["sh", "-c", line("echo")]);
    await pty.sees("echo: ready");
    await delay(200);
    expect(await pty.modes()).toEqual(RAW);
    await latency(pty, "typed");
    pty.send("\x01x");
    await pty.sees("done");
    expect(await pty.modes()).toEqual(COOKED);
  });

  test("what is typed is echoed quickly: a guest that waits, one that computes", async () => {
    for (const [params, most] of [
      ["", 50],
      ["busy=1", 100],
    ] as const) {
      const pty = await echo(["-q"], params);
      const times: number[] = [];
      for (let i = 0; i < 9; i++) {
        times.push(await latency(pty, String(i)));
        await delay(20);
      }
      expect({ params, median: median(times) < most, times }).toMatchObject({ params, median: true });
      pty.send("\x01x");
      await pty.exit();
    }
  });

  test.skipIf(process.platform !== "linux")("a guest that waits costs no processor time", async () => {
    const pty = await echo();
    const pid = childOf(pty.pid);
    const from = ticksOf(pid);
    await delay(2000);
    const perSecond = Number(execFileSync("getconf", ["CLK_TCK"]));
    expect((ticksOf(pid) - from) / perSecond).toBeLessThan(0.2 * 2);
    pty.send("\x01x");
    expect(await pty.exit()).toBe(0);
  });

  test("with the host's clock the guest sleeps in real time", async () => {
    const from = performance.now();
    const pty = realmbox("run -q --clock host -p ticks=10 echo");
    await pty.sees("tick 1\r\n");
    const first = performance.now();
    await pty.sees("tick 10\r\n");
    expect(performance.now() - first).toBeGreaterThan(800);
    expect(performance.now() - from).toBeGreaterThan(1000);
    pty.send("\x01x");
    expect(await pty.exit()).toBe(0);
  });
});
