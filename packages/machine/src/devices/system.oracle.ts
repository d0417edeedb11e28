/** A machine of its own for one device: a clock that tests move, interrupt levels, and what the device asked for. */
import { Pas, SecurityState } from "@realmbox/abi";
import type { Requester } from "../bus.js";
import type { Device, DeviceSystem } from "./device.js";

export const HZ = 100_000_000;

export class TestSystem implements DeviceSystem {
  now = 0;
  readonly countsPerTick: number;
  readonly countsPerSecond: number;
  readonly affinities: readonly number[] = [0x000, 0x100, 0x1_0000];
  /** By INTID: the level that the device drives. */
  readonly levels = new Map<number, boolean>();
  /** What happened, with the count at which it did. */
  readonly events: string[] = [];
  readonly on = new Set([0]);

  constructor(countsPerTick = 1) {
    this.countsPerTick = countsPerTick;
    this.countsPerSecond = HZ * countsPerTick;
  }

  setSpi(intid: number, level: boolean): void {
    if ((this.levels.get(intid) ?? false) !== level) this.events.push(`${this.now} ${intid} ${level ? "up" : "down"}`);
    this.levels.set(intid, level);
  }

  uartOutput(uart: string, byte: number): void {
    this.events.push(`${this.now} ${uart} ${byte}`);
  }

  reschedule(): void {}

  powerOff(reason: string): void {
    this.events.push(`${this.now} off: ${reason}`);
  }

  reset(reason: string): void {
    this.events.push(`${this.now} reset: ${reason}`);
  }

  isPeOn(affinity: number): boolean | undefined {
    return this.affinities.includes(affinity) ? this.on.has(affinity) : undefined;
  }

  /** Moves the clock, and lets the device do what is due on the way, at its counts. */
  runTo(now: number, device: Device): void {
    for (let steps = 0; (device.deadline ?? Number.POSITIVE_INFINITY) <= now; steps++) {
      if (steps > 1_000_000) throw new Error("a device's deadlines do not advance");
      this.now = Math.max(this.now, device.deadline!);
      device.expire!(device.deadline!);
    }
    this.now = now;
  }
}

export const NON_SECURE: Requester = { pe: 0, pas: Pas.NS, state: SecurityState.NON_SECURE };
export const ROOT: Requester = { pe: 0, pas: Pas.ROOT, state: SecurityState.ROOT };

/** 32-bit accesses to a device. */
export const registersOf = (device: Device, from: Requester = NON_SECURE) => ({
  read: (offset: number): number => Number(device.read(offset, 4, from)),
  write: (offset: number, value: number): void => device.write(offset, 4, BigInt(value >>> 0), from),
});

/** A second device with the state of the first, as a snapshot restores it. */
export function restored<D extends Device>(device: D, empty: D): D {
  empty.restore(JSON.parse(JSON.stringify(device.save())));
  return empty;
}
