/**
 * `Guest.runAsync` and its console input, in the library: the same run as `Guest.run`, delivery on demand, the end of the
 * input, waiting, cancelling. Time is the test's own, so that nothing depends on the machine that tests.
 */
import { crc32 } from "node:zlib";
import { TRACE_CATEGORIES } from "@realmbox/abi";
import {
  type BoxOptions,
  type ConsoleSource,
  type GuestEnd,
  type HostTime,
  hostTime,
  LiveInput,
  type RunAsyncOptions,
  type StampedTraceEvent,
  traceLine,
  type VmConfig,
} from "realmbox";
import { describe, expect, test } from "vitest";
import { image, MiB, makeBox, makeGuest, small } from "../support/box.js";
import { tracedRun } from "../support/run.js";

const echo = (params = "", more: Partial<VmConfig> = {}): VmConfig => ({
  kernel: image("echo"),
  params,
  memory: 32n * MiB,
  ...more,
});

const bytesOf = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
/** All values in an order that no line discipline would keep. */
const binary = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 167 + (i >> 8)) & 0xff);
const summary = (bytes: Uint8Array) =>
  `\necho: ${bytes.length} bytes, CRC-32 ${crc32(bytes).toString(16).padStart(8, "0")}\n`;

function source(bytes: Uint8Array, { end = true, interactive = false } = {}): LiveInput {
  const input = new LiveInput({ interactive });
  input.push(bytes);
  if (end) input.end();
  return input;
}

/** Host time that passes only while the run waits; `waits` are those that went to their end. */
function testTime(): HostTime & { readonly waits: number[] } {
  let now = 0;
  const waits: number[] = [];
  return {
    waits,
    now: () => now,
    pause: hostTime.pause,
    after: (ms, callback) => {
      const timer = setImmediate(() => {
        now += ms;
        waits.push(ms);
        callback();
      });
      return () => clearImmediate(timer);
    },
  };
}

interface Ran {
  readonly end: GuestEnd;
  readonly console: string;
  readonly lines: readonly string[];
  readonly now: number;
}

async function ran(config: VmConfig, until: RunAsyncOptions, options: Partial<BoxOptions> = {}): Promise<Ran> {
  const lines: string[] = [];
  const listener = (event: StampedTraceEvent) => void lines.push(traceLine(event));
  const box = makeBox({ ...options, trace: { categories: TRACE_CATEGORIES, listener } });
  const guest = makeGuest(box, config);
  const end = await guest.runAsync(until);
  return { end, console: guest.console, lines, now: box.machine.now };
}

const worlds = [
  ["a realm", true],
  ["a normal VM", false],
] as const;

describe.each(worlds)("%s", (_, realm) => {
  test("without input from outside the run is that of `run`", async () => {
    const config = { ...small("smp", 2), realm };
    const sync = tracedRun(config, { pes: 2 });
    const async = await ran(config, {}, { pes: 2 });
    expect({ ...async, end: sync.end }).toEqual({
      end: { kind: "exit", status: 0 },
      console: sync.guest.console,
      lines: sync.lines,
      now: sync.box.machine.now,
    });
  });

  test.each(["", "poll=1", "busy=1 poll=1", "slow=200"])("every byte arrives, in its order: %s", async (params) => {
    const bytes = binary(700);
    const run = await ran(echo(`count=700 exit=4 ${params}`, { realm }), { source: source(bytes) });
    expect(run.end).toEqual({ kind: "exit", status: 4 });
    expect(run.console).toBe(`echo: ready\n${Buffer.from(bytes).toString("latin1")}${summary(bytes)}`);
  });

  test("input that comes later but in time makes the same run", async () => {
    const text = bytesOf("first line\nsecond line\n".repeat(20));
    const config = echo("ticks=2", { realm });
    const whole = await ran(config, { source: source(text) });
    const late = new LiveInput({ interactive: false });
    setTimeout(() => late.push(text.subarray(0, 100)), 1);
    setTimeout(() => late.push(text.subarray(100)), 30);
    setTimeout(() => late.end(), 60);
    expect(await ran(config, { source: late })).toEqual(whole);
    expect(whole.console).toContain(summary(text));
  });
});

describe("the end of the input", () => {
  test.each([
    ["nothing", "", 1],
    ["a line", "line\n", 1],
    ["half a line", "half", 2],
  ])("after %s", async (_, text, characters) => {
    const bytes = bytesOf(`${text}${"\x04".repeat(characters)}`);
    const run = await ran(echo(`count=${bytes.length}`), { source: source(bytesOf(text)) });
    expect(run.console).toContain(summary(bytes));
  });

  test("comes again while the guest waits, ever later, in no time", async () => {
    const time = testTime();
    const before = performance.now();
    const { end, now } = await ran(echo("count=5 quiet=1"), { source: source(bytesOf("")), time });
    expect(end).toEqual({ kind: "exit", status: 0 });
    expect(now / 1e9).toBeCloseTo(1 + 2 + 4 + 8, 1);
    expect(time.waits).toEqual([]);
    expect(performance.now() - before).toBeLessThan(5000);
  });

  test("after which a guest that waits on can never be woken", async () => {
    const { end } = await ran(echo("count=1000 quiet=1"), { source: source(bytesOf("")) });
    expect(end).toMatchObject({ kind: "stuck", why: expect.stringContaining("wait") });
  });
});

describe("waiting", () => {
  test("a source that nobody asks does not hold the guest up", async () => {
    const asked: ConsoleSource = {
      interactive: false,
      take: () => {
        throw new Error("the guest does not read");
      },
    };
    const time = testTime();
    const { end } = await ran(small("hello"), { source: asked, time });
    expect([end, time.waits]).toEqual([{ kind: "exit", status: 0 }, []]);
  });

  test("the guest's time is the host's while somebody may type, and skipped before", async () => {
    const time = testTime();
    const input = new LiveInput();
    const box = makeBox();
    const guest = makeGuest(box, echo("ticks=3 count=2"));
    const ready = await guest.runAsync({ source: input, time, console: "echo: ready\n" });
    expect([ready, time.waits]).toEqual([{ kind: "reached" }, []]);
    expect(box.machine.now / box.machine.countsPerMs).toBeGreaterThan(300);
    setTimeout(() => input.push(bytesOf("x")), 5);
    const echoed = await guest.runAsync({ source: input, time, console: "x" });
    expect(echoed).toEqual({ kind: "reached" });
    setTimeout(() => input.push(bytesOf("y")), 5);
    expect(await guest.runAsync({ source: input, time })).toEqual({ kind: "exit", status: 0 });
  });

  test("a wait and a computation end by the signal", async () => {
    for (const params of ["", "poll=1"]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 20);
      const end = await ran(echo(params), { source: new LiveInput(), signal: controller.signal });
      expect(end.end).toEqual({ kind: "cancelled" });
    }
  });

  test("what is typed reaches a guest that computes, at once", async () => {
    const input = new LiveInput();
    const guest = makeGuest(makeBox(), echo("busy=1 count=1"));
    const from = { time: 0 };
    setTimeout(() => {
      from.time = performance.now();
      input.push(bytesOf("x"));
    }, 300);
    expect(await guest.runAsync({ source: input })).toEqual({ kind: "exit", status: 0 });
    expect(performance.now() - from.time).toBeLessThan(100);
  });

  test("input waits for a receiver that is not on yet", async () => {
    const bytes = bytesOf("typed ahead");
    const input = source(bytes, { interactive: true, end: false });
    const run = await ran(echo(`count=${bytes.length} ticks=1`), { source: input });
    expect(run.console).toContain(summary(bytes));
  });
});

describe("with a host clock", () => {
  test.each(worlds)("%s sleeps as long as it says", async (_, realm) => {
    const box = makeBox({ clock: hostTime, pes: 2 });
    const from = performance.now() - Number(box.machine.counter()) / (box.machine.board.counterHz / 1000);
    const guest = makeGuest(box, echo("ticks=4", { realm, cpus: 2 }), { startDate: Date.now() });
    expect(await guest.runAsync({ console: "tick 1\n" })).toEqual({ kind: "reached" });
    const first = performance.now();
    expect(await guest.runAsync({ console: "tick 4\n" })).toEqual({ kind: "reached" });
    expect(performance.now() - first).toBeGreaterThan(280);
    expect(performance.now() - first).toBeLessThan(600);
    const counter = Number(box.machine.counter()) / box.machine.board.counterHz;
    expect(counter).toBeCloseTo((performance.now() - from) / 1000, 1);
  });

  test("typing and the end of the input work as ever", async () => {
    const bytes = bytesOf("hello\n");
    const { end, console } = await ran(echo(), { source: source(bytes) }, { clock: hostTime });
    expect(end).toEqual({ kind: "exit", status: 0 });
    expect(console).toContain(summary(bytes));
  });
});
