/** Boxes and guests for the suites: an assembled stack without ceremony; what must not fail throws. */
import { readFileSync } from "node:fs";
import { generateInterpreter } from "@realmbox/machine";
import type { VmConfig } from "@realmbox/vmm";
import {
  Box,
  type BoxOptions,
  type Guest,
  type GuestEnd,
  type GuestOptions,
  hostBytesOf,
  nodeCrypto,
  type RunUntil,
} from "realmbox";

/** One engine for all boxes of a test file. */
const engine = generateInterpreter();

export const prebuilt = new URL("../../guests/prebuilt/", import.meta.url);
/** A committed guest image. */
export const image = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(`${name}.bin`, prebuilt)));

export const MiB = 1n << 20n;

/** A guest of the committed images with little memory: tests are quicker then. */
export const small = (name: string, cpus = 1): VmConfig => ({ kernel: image(name), cpus, memory: 32n * MiB });

export const makeBox = (options: Partial<BoxOptions> = {}): Box =>
  new Box({ crypto: nodeCrypto, dramSize: 256n * MiB, engine, ...options });

/** A guest that is built and has not run; throws with the reason when it cannot be built. */
export function makeGuest(box: Box, config: VmConfig, options: GuestOptions = {}): Guest {
  const guest = box.createGuest(config, options);
  if (!guest.ok) throw new Error(guest.error.message);
  return guest.value;
}

/** The hostile guest with a case and its numbers: `hostile("touch", { at: 0x8000_0000n, op: 1 })`. */
export function hostile(name: string, numbers: Readonly<Record<string, bigint | number>> = {}): VmConfig {
  const params = Object.entries(numbers).map(([key, value]) => ` ${key}=0x${value.toString(16)}`);
  return { kernel: image("hostile"), params: `case=${name}${params.join("")}`, memory: 16n * MiB };
}

/** Throws unless the Host, the VMM and the devices moved nothing but Non-secure memory: what a realm did not share stays its own. */
export function assertHostBlind({ machine }: Box): void {
  const { other } = hostBytesOf(machine.counters);
  if (other !== 0) throw new Error(`the Host reached ${other} bytes that are not Non-secure`);
}

/** Runs to the guest's end; more than `instructions` clock counts, 60 million, is an error of the test. */
export function runToEnd(guest: Guest, until: RunUntil = {}): GuestEnd {
  const end = guest.run({ instructions: 60_000_000, ...until });
  assertHostBlind(guest.box);
  if (end.kind === "limit") throw new Error(`the guest does not end; its console:\n${guest.console}`);
  return end;
}
