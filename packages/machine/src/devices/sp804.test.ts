import { describe, expect, test } from "vitest";
import { Sp804 } from "./sp804.js";
import { Sp810 } from "./sp810.js";
import { registersOf, restored, TestSystem } from "./system.oracle.js";

const INTID = 34;
const LOAD = 0x00;
const VALUE = 0x04;
const CONTROL = 0x08;
const INT_CLR = 0x0c;
const RIS = 0x10;
const MIS = 0x14;
const BG_LOAD = 0x18;
const EN = 0x80;
const PERIODIC = 0x40;
const INT = 0x20;
const SIZE_32 = 0x02;
const ONE_SHOT = 0x01;

/** 100 counts a tick. */
const MHZ = 100;

function dualTimer(hz = 1_000_000) {
  const system = new TestSystem();
  const device = new Sp804("timers", system, { intid: INTID });
  device.setClock(0, hz);
  device.setClock(1, hz);
  return { system, device, ...registersOf(device) };
}

test("reset values and identification", () => {
  const { read } = dualTimer();
  expect([LOAD, VALUE, CONTROL, RIS, MIS].map(read)).toEqual([0, 0xffff_ffff, 0x20, 0, 0]);
  expect([0xfe0, 0xfe4, 0xfe8, 0xfec, 0xff0, 0xff4, 0xff8, 0xffc].map(read)).toEqual([
    0x04, 0x18, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1,
  ]);
});

describe("modes", () => {
  test("periodic: load + 1 ticks between interrupts", () => {
    const { system, device, read, write } = dualTimer();
    write(LOAD, 9);
    write(CONTROL, EN | PERIODIC | INT | SIZE_32);
    system.runTo(9 * MHZ - 1, device);
    expect([read(VALUE), system.events]).toEqual([1, []]);
    system.runTo(9 * MHZ, device);
    expect([read(VALUE), read(RIS), read(MIS)]).toEqual([0, 1, 1]);
    system.runTo(10 * MHZ, device);
    expect(read(VALUE)).toBe(9);
    write(INT_CLR, 1);
    system.runTo(40 * MHZ, device);
    expect(system.events).toEqual([`${9 * MHZ} 34 up`, `${10 * MHZ} 34 down`, `${19 * MHZ} 34 up`]);
  });

  test("one-shot: stays at zero", () => {
    const { system, device, read, write } = dualTimer();
    write(LOAD, 5);
    write(CONTROL, EN | INT | SIZE_32 | ONE_SHOT);
    system.runTo(1000 * MHZ, device);
    write(INT_CLR, 0);
    system.runTo(10_000 * MHZ, device);
    expect([read(VALUE), read(RIS)]).toEqual([0, 0]);
    expect(system.events).toHaveLength(2);
  });

  test("free-running, 16 bits: wraps to 0xFFFF", () => {
    const { system, device, read, write } = dualTimer();
    write(LOAD, 3);
    write(CONTROL, EN);
    system.runTo(4 * MHZ, device);
    expect([read(VALUE), read(RIS), read(MIS)]).toEqual([0xffff, 1, 0]);
    expect(system.events).toEqual([]);
  });

  test.each([
    [0, 1],
    [1, 16],
    [2, 256],
  ])("prescaler %i divides by %i", (pre, divisor) => {
    const { system, device, read, write } = dualTimer();
    write(LOAD, 10);
    write(CONTROL, EN | INT | SIZE_32 | (pre << 2));
    system.runTo(10 * divisor * MHZ - 1, device);
    expect(read(RIS)).toBe(0);
    system.runTo(10 * divisor * MHZ, device);
    expect(read(RIS)).toBe(1);
  });

  test("a load of zero raises the interrupt at once", () => {
    const { read, write } = dualTimer();
    write(CONTROL, EN | INT | SIZE_32 | PERIODIC);
    write(LOAD, 0);
    expect(read(MIS)).toBe(1);
  });
});

test("a background load does not disturb the count that is under way", () => {
  const { system, device, read, write } = dualTimer();
  write(LOAD, 10);
  write(CONTROL, EN | PERIODIC | INT | SIZE_32);
  system.runTo(4 * MHZ, device);
  write(BG_LOAD, 100);
  expect(read(VALUE)).toBe(6);
  system.runTo(11 * MHZ, device);
  expect([read(VALUE), read(LOAD)]).toEqual([100, 100]);
});

test("what is stopped keeps its value; the two timers are apart and share the interrupt", () => {
  const { system, device, read, write } = dualTimer();
  write(LOAD, 1000);
  write(0x20 + LOAD, 20);
  write(CONTROL, EN | INT | SIZE_32);
  write(0x20 + CONTROL, EN | INT | SIZE_32 | ONE_SHOT);
  system.runTo(300 * MHZ, device);
  write(CONTROL, INT | SIZE_32);
  system.runTo(900 * MHZ, device);
  expect([read(VALUE), read(0x20 + VALUE), read(RIS), read(0x20 + RIS)]).toEqual([700, 0, 0, 1]);
  expect(system.levels.get(INTID)).toBe(true);
  write(0x20 + INT_CLR, 1);
  expect(system.levels.get(INTID)).toBe(false);
});

test("the system controller chooses the clock of each timer; a count goes on from where it is", () => {
  const system = new TestSystem();
  const device = new Sp804("timers", system, { intid: INTID });
  const controller = new Sp810("sp810", system, {
    setClock: (timer, hz) => timer < 2 && device.setClock(timer as 0 | 1, hz),
  });
  controller.reset();
  const { read, write } = registersOf(device);
  write(LOAD, 0xffff_ffff);
  write(CONTROL, EN | SIZE_32);
  system.runTo(100_000_000, device);
  expect(0xffff_ffff - read(VALUE)).toBe(32_768);
  registersOf(controller).write(0, 1 << 15); // 1 MHz
  system.runTo(200_000_000, device);
  expect(0xffff_ffff - read(VALUE)).toBe(1_032_768);
  registersOf(controller).write(0, 1 << 16); // the raw clock
  system.runTo(300_000_000, device);
  expect(0xffff_ffff - read(VALUE)).toBe(36_032_768);
});

test("bytes of a register, as a driver of byte accesses writes Control", () => {
  const { device, read } = dualTimer();
  device.write(CONTROL, 1, 0xa2n, { pe: 0, pas: 1, state: 1 });
  expect(read(CONTROL)).toBe(0xa2);
});

test("a restored timer goes on as the saved one", () => {
  const one = dualTimer();
  one.write(LOAD, 77);
  one.write(CONTROL, EN | PERIODIC | INT | SIZE_32);
  one.system.runTo(30 * MHZ, one.device);
  const other = restored(one.device, new Sp804("timers", one.system, { intid: INTID }));
  expect(other.deadline).toBe(one.device.deadline);
  expect(registersOf(other).read(VALUE)).toBe(47);
});
