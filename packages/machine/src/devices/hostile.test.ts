/** Any sequence of accesses to any device of the FVP: no exception, no endless event, a value of the access's size. */
import { Pas, SecurityState } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import { fvpBoard } from "../board/fvp.js";
import { createDevices } from "./create.js";
import type { Device } from "./device.js";
import { restored, TestSystem } from "./system.oracle.js";

/** A 32-bit xorshift: the same sequence for the same seed. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

const rows = fvpBoard().devices!;
const ACCESSES = 2000;
/** Counts that the clock moves by at once, at most. */
const STEP_MAX = 2_000_000;
/** A device that does something more often than that, by itself, could hold up a machine. */
const EVENTS_MAX = 3;

function runTo(system: TestSystem, device: Device, now: number): number {
  let events = 0;
  for (; (device.deadline ?? Number.POSITIVE_INFINITY) <= now; events++) {
    const at = device.deadline!;
    system.now = Math.max(system.now, at);
    device.expire!(at);
    // The machine would reset it.
    if (system.events.splice(0).some((event) => event.includes("reset"))) device.reset();
    if (!(device.deadline! > at)) throw new Error(`deadline ${device.deadline} after ${at}`);
  }
  system.now = now;
  return events;
}

describe.each(rows.map(({ name }, n) => ({ name, n })))("$name", ({ name, n }) => {
  test.each([1, 7, 99])("seed %i", (seed) => {
    const system = new TestSystem();
    const make = () => createDevices(rows, system)[n]!;
    const { device, size } = make();
    expect(device.name).toBe(name);
    const random = randomNumbers(seed * 1000 + n + 1);
    // Most registers are at the start of a frame; of a flash two blocks suffice.
    const all = Math.min(Number(size), 0x8_0000);
    const offset = (bytes: number) => {
      const at = random() % (random() % 2 === 0 ? 0x40 : all);
      return at - (at % bytes);
    };
    for (let i = 0; i < ACCESSES; i++) {
      const bytes = 1 << (random() % 4);
      const pas = [Pas.NS, Pas.ROOT, Pas.SECURE, Pas.REALM][random() % 4]!;
      const from = { pe: 0, pas, state: SecurityState.NON_SECURE };
      if (random() % 3 === 0) {
        const value = device.read(offset(bytes), bytes, from);
        if (value < 0n || value >= 1n << 64n) throw new Error(`read ${value}`);
      } else {
        const small = random() % 2 === 0;
        const value = small ? BigInt(random() % 256) : (BigInt(random()) << 32n) | BigInt(random());
        device.write(offset(bytes), bytes, BigInt.asUintN(8 * bytes, value), from);
      }
      if (random() % 16 === 0) {
        const events = runTo(system, device, system.now + (random() % STEP_MAX));
        if (events > EVENTS_MAX) throw new Error(`${events} events in one go`);
      }
    }
    const copy = restored(device, make().device);
    expect(JSON.stringify(copy.save())).toBe(JSON.stringify(device.save()));
    expect(copy.deadline).toBe(device.deadline);
    device.reset();
    expect(device.deadline ?? Number.POSITIVE_INFINITY).toBe(Number.POSITIVE_INFINITY);
  });
});
