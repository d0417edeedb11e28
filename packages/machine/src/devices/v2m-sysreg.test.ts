import { expect, test } from "vitest";
import { PowerController } from "./power-controller.js";
import { registersOf, restored, TestSystem } from "./system.oracle.js";
import { V2mSysreg } from "./v2m-sysreg.js";

const CFGCTRL = 0xa4;
const CFGSTAT = 0xa8;
const START = 2 ** 31;
const WRITE = 2 ** 30;

function board() {
  const system = new TestSystem();
  const device = new V2mSysreg("v2m", system);
  return { system, device, ...registersOf(device) };
}

test("SYS_ID is a RevC FVP with a GICv3", () => {
  const id = board().read(0);
  expect([id >>> 28, (id >>> 16) & 0xfff, (id >>> 12) & 0xf, (id >>> 8) & 0xf]).toEqual([2, 0x020, 1, 1]);
});

test.each([
  ["shutdown", 8, ["0 off: V2M shutdown"], 1],
  ["reboot", 9, ["0 reset: V2M reboot"], 1],
  ["a function that is not there", 7, [], 3],
])("the configuration bus: %s", (_, selected, events, status) => {
  const { system, read, write } = board();
  write(CFGCTRL, START + WRITE + selected * 2 ** 20);
  expect([system.events, read(CFGSTAT), read(CFGCTRL)]).toEqual([events, status, WRITE + selected * 2 ** 20]);
});

test.each([
  ["without START", WRITE + 8 * 2 ** 20, 0],
  ["as a read", START + 8 * 2 ** 20, 3],
])("a shutdown %s does not happen", (_, value, status) => {
  const { system, read, write } = board();
  write(CFGCTRL, value);
  expect([system.events, read(CFGSTAT)]).toEqual([[], status]);
});

test("flags are set and cleared by bit; the non-volatile ones outlive a reset", () => {
  const { device, read, write } = board();
  write(0x30, 0xf0);
  write(0x34, 0x10);
  write(0x38, 0x0f);
  write(0x3c, 0x01);
  expect([read(0x30), read(0x38)]).toEqual([0xe0, 0x0e]);
  device.reset();
  expect([read(0x30), read(0x38)]).toEqual([0, 0x0e]);
});

test("the free-running counters", () => {
  const { system, device, read } = board();
  system.runTo(250_000_000, device);
  expect([read(0x24), read(0x5c)]).toEqual([250, 60_000_000]);
});

test("a restored board has its registers", () => {
  const { system, device, write } = board();
  write(0x08, 0x55);
  expect(registersOf(restored(device, new V2mSysreg("v2m", system))).read(0x08)).toBe(0x55);
});

test("PSYSR tells which PEs exist and are on", () => {
  const system = new TestSystem();
  const device = new PowerController("power", system);
  const { read, write } = registersOf(device);
  const psysr = (mpidr: number) => {
    write(0x10, mpidr);
    return read(0x10) >>> 0;
  };
  expect([0x000, 0x100, 0x1_0000, 0x200, 0x2_0000, 1].map(psysr)).toEqual([
    0xe000_0000, 0x8000_0000, 0, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff,
  ]);
  system.on.add(0x1_0000);
  write(0x0c, 0x8001_0000); // PWKUPR.WEN
  expect(psysr(0x1_0000)).toBe(0xf000_0000);
  expect(registersOf(restored(device, new PowerController("power", system))).read(0x10) >>> 0).toBe(0xf000_0000);
  write(0x0c, 0x0001_0000);
  expect(psysr(0x8001_0000)).toBe(0xe000_0000);
});
