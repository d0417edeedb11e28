import { describe, expect, test } from "vitest";
import { MemoryTimers } from "./memory-timers.js";
import { NON_SECURE, ROOT, registersOf, restored, TestSystem } from "./system.oracle.js";
import { CounterControl, CounterRead } from "./system-counter.js";

const NSAR = 0x04;
const TIDR = 0x08;
const ACR = [0x40, 0x44] as const;
const FRAME = [0x1_0000, 0x2_0000] as const;
const PCT = 0x00;
const FRQ = 0x10;
const CVAL = 0x20;
const TVAL = 0x28;
const CTL = 0x2c;
const TICK = 10;

/** Frame 1 is the Non-secure world's. */
function timers() {
  const system = new TestSystem(TICK);
  const device = new MemoryTimers("timers", system, { intids: [57, 58] });
  const trusted = registersOf(device, ROOT);
  trusted.write(0, 100_000_000);
  trusted.write(NSAR, 2);
  trusted.write(ACR[1], 0x3f);
  return { system, device, trusted, ...registersOf(device) };
}

describe("who may use what", () => {
  test("CNTNSAR and CNTFRQ are written, and CNTNSAR read, by trusted software only", () => {
    const { read, write, trusted } = timers();
    write(NSAR, 3);
    write(0, 1);
    expect([read(NSAR), trusted.read(NSAR), read(0)]).toEqual([0, 2, 100_000_000]);
    expect(read(TIDR)).toBe(0x11);
  });

  test("a frame that is not Non-secure reads zero and ignores writes; so does its CNTACR", () => {
    const { read, write, trusted } = timers();
    trusted.write(ACR[0], 0x3f);
    write(FRAME[0] + CVAL, 5);
    write(ACR[0], 0);
    expect([read(ACR[0]), read(FRAME[0] + FRQ), trusted.read(FRAME[0] + CVAL)]).toEqual([0, 0, 0]);
    expect([trusted.read(ACR[0]), trusted.read(FRAME[0] + FRQ)]).toEqual([0x3f, 100_000_000]);
    expect([read(ACR[1]), read(FRAME[1] + FRQ)]).toEqual([0x3f, 100_000_000]);
  });

  test.each([
    ["RPCT", 1 << 0, PCT],
    ["RFRQ", 1 << 2, FRQ],
    ["RWPT", 1 << 5, CTL],
  ])("CNTACR.%s", (_, bit, offset) => {
    const { system, device, read, write, trusted } = timers();
    write(FRAME[1] + CTL, 3);
    system.runTo(1000 * TICK, device);
    expect(read(FRAME[1] + offset)).not.toBe(0);
    trusted.write(ACR[1], 0x3f & ~bit);
    expect(read(FRAME[1] + offset)).toBe(0);
  });
});

test("the timer's interrupt follows its condition", () => {
  const { system, device, read, write } = timers();
  write(FRAME[1] + CTL, 1);
  expect(system.levels.get(58)).toBe(true); // CVAL is 0
  device.write(FRAME[1] + CVAL, 8, 1234n, NON_SECURE);
  expect([system.levels.get(58), device.deadline]).toEqual([false, 1234 * TICK]);
  system.runTo(1233 * TICK, device);
  expect(read(FRAME[1] + CTL)).toBe(1);
  system.runTo(1300 * TICK, device);
  expect(read(FRAME[1] + CTL)).toBe(5);
  expect(system.events.at(-1)).toBe(`${1234 * TICK} 58 up`);
  write(FRAME[1] + CTL, 3);
  expect([system.levels.get(58), read(FRAME[1] + CTL)]).toEqual([false, 7]);
});

test("TVAL is relative, signed, and what is far away is never", () => {
  const { system, device, read, write } = timers();
  system.runTo(100 * TICK, device);
  write(FRAME[1] + TVAL, 50);
  expect([read(FRAME[1] + CVAL), read(FRAME[1] + TVAL)]).toEqual([150, 50]);
  write(FRAME[1] + TVAL, -50);
  expect([read(FRAME[1] + CVAL), read(FRAME[1] + TVAL)]).toEqual([50, -50 >>> 0]);
  write(FRAME[1] + CTL, 1);
  device.write(FRAME[1] + CVAL, 8, 0xffff_ffff_ffff_ffffn, NON_SECURE);
  expect(device.deadline).toBe(Number.POSITIVE_INFINITY);
});

test("the count, in the frames and in the counter's own", () => {
  const { system, device, read } = timers();
  const ticks = 0x3_0000_0007;
  system.runTo(ticks * TICK + 3, device);
  expect(device.read(FRAME[1] + PCT, 8, NON_SECURE)).toBe(BigInt(ticks));
  expect(read(FRAME[1] + PCT + 4)).toBe(3);
  expect(new CounterRead("counter", system).read(0, 8, NON_SECURE)).toBe(BigInt(ticks));
  const control = new CounterControl("counter control", system);
  expect(control.read(8, 8, ROOT)).toBe(BigInt(ticks));
  expect([0x00, 0x04, 0x20, 0x24].map(registersOf(control, ROOT).read)).toEqual([1, 0x100, 100_000_000, 0]);
});

test("restored timers go on", () => {
  const { system, device, write } = timers();
  write(FRAME[1] + CTL, 1);
  write(FRAME[1] + CVAL, 777);
  const other = restored(device, new MemoryTimers("timers", system, { intids: [57, 58] }));
  expect(other.deadline).toBe(777 * TICK);
});
