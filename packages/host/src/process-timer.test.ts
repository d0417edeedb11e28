/** The timer of a process on the Host: fires once, at its count, in a step of the Host; a snapshot holds it. */
import { describe, expect, test } from "vitest";
import { makeStack } from "./stack.oracle.js";

describe("process timer", () => {
  const { host, process, machine } = makeStack({ dramMiB: 64 });
  const fired: number[] = [];
  process.onTimer(() => fired.push(process.now));
  const run = (counts: number) => machine.run({ instructions: counts * machine.board.instructionsPerTick });

  test("the clock is the physical counter", () => {
    expect(process.clockHz).toBe(machine.board.counterHz);
    expect(process.now).toBe(machine.ticks);
  });
  test("fires once, at its count, on a machine that is idle until then", () => {
    const at = process.now + 5000;
    process.setTimer(at);
    run(4000);
    expect(fired).toEqual([]);
    run(4000);
    expect(fired).toHaveLength(1);
    expect(fired[0]! - at).toBeGreaterThanOrEqual(0);
    expect(fired[0]! - at).toBeLessThan(100);
    run(10_000);
    expect(fired).toHaveLength(1);
  });
  test("a disarmed timer does not fire; one that is armed again from its handler does", () => {
    fired.length = 0;
    process.setTimer(process.now + 500);
    process.setTimer(undefined);
    run(2000);
    expect(fired).toEqual([]);
    process.onTimer(() => {
      fired.push(process.now);
      if (fired.length < 3) process.setTimer(process.now + 1000);
    });
    process.setTimer(process.now + 1000);
    run(10_000);
    expect(fired).toHaveLength(3);
    expect(fired[2]! - fired[1]!).toBeGreaterThanOrEqual(1000);
  });
  test("a time that has passed fires at once", () => {
    fired.length = 2;
    process.setTimer(1);
    run(200);
    expect(fired).toHaveLength(3);
  });
  test("a snapshot holds the time; the handler is given again", () => {
    fired.length = 2;
    const at = process.now + 3000;
    process.setTimer(at);
    run(100);
    const snapshot = machine.snapshot();
    process.setTimer(undefined);
    machine.restore(snapshot);
    const again = host.findProcess(process.name)!;
    again.onTimer(() => fired.push(again.now));
    run(5000);
    expect(fired).toHaveLength(3);
    expect(fired[2]! - at).toBeLessThan(100);
  });
});
