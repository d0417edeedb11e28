import { expect, test } from "vitest";
import { Sp805 } from "./sp805.js";
import { registersOf, restored, TestSystem } from "./system.oracle.js";

const LOAD = 0x000;
const VALUE = 0x004;
const CONTROL = 0x008;
const INT_CLR = 0x00c;
const RIS = 0x010;
const MIS = 0x014;
const LOCK = 0xc00;
const INTEN = 1;
const RESEN = 2;
const MHZ = 100;

function watchdog() {
  const system = new TestSystem();
  const device = new Sp805("watchdog", system, { hz: 1_000_000, intid: 32 });
  return { system, device, ...registersOf(device) };
}

test("reset values and identification", () => {
  const { read } = watchdog();
  expect([LOAD, VALUE, CONTROL, RIS, MIS, LOCK].map(read)).toEqual([0xffff_ffff, 0xffff_ffff, 0, 0, 0, 0]);
  expect([0xfe0, 0xfe4, 0xff0].map(read)).toEqual([0x05, 0x18, 0x0d]);
});

test("the first zero raises the interrupt, the second resets the machine", () => {
  const { system, device, read, write } = watchdog();
  write(LOAD, 1000);
  write(CONTROL, INTEN | RESEN);
  system.runTo(400 * MHZ, device);
  expect(read(VALUE)).toBe(600);
  system.runTo(1001 * MHZ, device);
  expect([read(VALUE), read(RIS), read(MIS)]).toEqual([1000, 1, 1]);
  system.runTo(5000 * MHZ, device);
  expect(system.events.slice(0, 2)).toEqual([`${1000 * MHZ} 32 up`, `${2001 * MHZ} reset: watchdog`]);
});

test("without RESEN nothing but the interrupt happens", () => {
  const { system, device, read, write } = watchdog();
  write(LOAD, 10);
  write(CONTROL, INTEN);
  system.runTo(10_000 * MHZ, device);
  expect(system.events).toEqual([`${10 * MHZ} 32 up`]);
  // 10 down to 0 is 11 ticks.
  expect([read(VALUE), device.deadline]).toEqual([10 - ((10_000 - 11) % 11), Number.POSITIVE_INFINITY]);
});

test("clearing the interrupt reloads the counter", () => {
  const { system, device, read, write } = watchdog();
  write(LOAD, 100);
  write(CONTROL, INTEN | RESEN);
  for (let n = 1; n <= 5; n++) {
    system.runTo(n * 150 * MHZ, device);
    write(INT_CLR, 0);
    expect(read(VALUE)).toBe(100);
  }
  expect(system.events.some((event) => event.includes("reset"))).toBe(false);
});

test("stopped, it keeps its value; started again, it begins anew", () => {
  const { system, device, read, write } = watchdog();
  write(LOAD, 100);
  write(CONTROL, INTEN | RESEN);
  system.runTo(40 * MHZ, device);
  write(CONTROL, 0);
  system.runTo(1000 * MHZ, device);
  expect([read(VALUE), device.deadline]).toEqual([60, Number.POSITIVE_INFINITY]);
  write(CONTROL, INTEN);
  expect(read(VALUE)).toBe(100);
});

test("locked, it ignores writes", () => {
  const { read, write } = watchdog();
  write(LOCK, 0);
  write(LOAD, 5);
  expect([read(LOCK), read(LOAD)]).toEqual([1, 0xffff_ffff]);
  write(LOCK, 0x1acc_e551);
  write(LOAD, 5);
  expect([read(LOCK), read(LOAD)]).toEqual([0, 5]);
});

test("a restored watchdog resets at the same count", () => {
  const { system, device, write } = watchdog();
  write(LOAD, 100);
  write(CONTROL, INTEN | RESEN);
  system.runTo(150 * MHZ, device);
  const other = restored(device, new Sp805("watchdog", system, { hz: 1_000_000, intid: 32 }));
  system.runTo(1000 * MHZ, other);
  expect(system.events).toContain(`${201 * MHZ} reset: watchdog`);
});
