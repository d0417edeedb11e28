import { expect, test } from "vitest";
import { GenericWatchdog } from "./generic-watchdog.js";
import { registersOf, restored, TestSystem } from "./system.oracle.js";

const WCS = 0x000;
const WOR = 0x008;
const WCV = 0x010;
const WRR = 0x1_0000;
/** Counts in a tick of the system counter. */
const TICK = 10;

function watchdog() {
  const system = new TestSystem(TICK);
  const device = new GenericWatchdog("generic watchdog", system, { intid: 59 });
  return { system, device, ...registersOf(device) };
}

test("WS0 when the counter is past the compare value, WS1 and the reset one offset later", () => {
  const { system, device, read, write } = watchdog();
  system.runTo(1000 * TICK, device);
  write(WOR, 500);
  write(WCS, 1);
  expect(read(WCV)).toBe(1500);
  system.runTo(1500 * TICK, device);
  expect(read(WCS)).toBe(1);
  system.runTo(1501 * TICK, device);
  expect([read(WCS), read(WCV), system.levels.get(59)]).toEqual([3, 2001, true]);
  system.runTo(10_000 * TICK, device);
  expect(read(WCS)).toBe(7);
  expect(system.events).toEqual([`${1501 * TICK} 59 up`, `${2002 * TICK} reset: generic watchdog`]);
});

test.each([
  ["WCS", WCS, 1],
  ["WOR", WOR, 100],
  ["WRR", WRR, 0],
])("a write to %s is a refresh", (_, offset, value) => {
  const { system, device, read, write } = watchdog();
  write(WOR, 100);
  write(WCS, 1);
  system.runTo(150 * TICK, device);
  expect(read(WCS)).toBe(3);
  write(offset, value);
  expect([read(WCS), read(WCV), system.levels.get(59)]).toEqual([1, 250, false]);
});

test("disabled, nothing happens; the interrupt goes down", () => {
  const { system, device, read, write } = watchdog();
  write(WOR, 100);
  write(WCS, 1);
  system.runTo(101 * TICK, device);
  write(WCS, 0);
  system.runTo(10_000 * TICK, device);
  expect([read(WCS), device.deadline]).toEqual([0, Number.POSITIVE_INFINITY]);
  expect(system.events).toEqual([`${101 * TICK} 59 up`, `${101 * TICK} 59 down`]);
});

test("the offset has 48 bits", () => {
  const { device, read, write } = watchdog();
  write(0x00c, 0xffff_1234);
  write(WOR, 0x5678_9abc);
  write(WCS, 1);
  expect([read(0x00c), read(WOR), read(0x014), read(WCV)]).toEqual([0x1234, 0x5678_9abc, 0x1234, 0x5678_9abc]);
  expect(device.deadline).toBe((0x1234 * 2 ** 32 + 0x5678_9abc + 1) * TICK);
});

test("a restored watchdog goes on", () => {
  const { system, device, write } = watchdog();
  write(WOR, 100);
  write(WCS, 1);
  const other = restored(device, new GenericWatchdog("generic watchdog", system, { intid: 59 }));
  expect(other.deadline).toBe(device.deadline);
});
