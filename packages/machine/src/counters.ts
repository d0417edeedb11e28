/** Counts that the machine keeps whether or not anybody looks. Plain numbers, in the report of a run as they are. */
import type { Pas, SecurityState } from "@realmbox/abi";
import type { SlotName } from "./slot.js";

export interface Counters {
  /** Instructions retired, by Security state times four plus EL. */
  readonly instructions: number[];
  /** Synchronous exceptions taken, by exception class (ESR_ELx.EC). */
  readonly exceptions: number[];
  readonly irqs: number;
  readonly fiqs: number;
  readonly serrors: number;
  /** SMC exceptions to EL3, those of native firmware included. */
  readonly smcs: number;
  /** ERETs from EL3 into another Security state than the last. */
  readonly worldSwitches: number;
  /** Granules whose GPT entry was changed; counted by whoever changes it. */
  granuleTransitions: number;
  /** Granule protection faults, by whomever caused: a PE, or a port. */
  readonly granuleProtectionFaults: number;
  /** Resets of the whole machine after its first start. */
  readonly resets: number;
  /** Steps of native firmware. */
  readonly nativeSteps: number;
  /** Port accesses of native firmware and Host-side devices: calls and bytes by PAS. */
  readonly ports: Readonly<Record<SlotName | "devices", PortCounts>>;
}

export interface PortCounts {
  /** Indexed by Pas. */
  readonly accesses: number[];
  readonly bytes: number[];
}

/** The same, writable: the machine's own side. */
export type MutableCounters = { -readonly [K in keyof Counters]: Counters[K] };

/**
 * Counts that begin at 0 and may become large: V8 keeps the elements of such an array as doubles from the start, because a
 * fraction was among them, and what counts need not be compiled again when one leaves the range of small integers.
 */
const zeros = (count: number): number[] => new Array<number>(count).fill(0.5).fill(0);

export function makeCounters(): MutableCounters {
  const ports = (): PortCounts => ({ accesses: zeros(4), bytes: zeros(4) });
  return {
    instructions: zeros(16),
    exceptions: zeros(64),
    irqs: 0,
    fiqs: 0,
    serrors: 0,
    smcs: 0,
    worldSwitches: 0,
    granuleTransitions: 0,
    granuleProtectionFaults: 0,
    resets: 0,
    nativeSteps: 0,
    ports: {
      "root-el3": ports(),
      "realm-el2": ports(),
      "ns-el2": ports(),
      "secure-el2": ports(),
      devices: ports(),
    },
  };
}

/** Instructions retired at one EL of one Security state. */
export const instructionsAt = (counters: Counters, state: SecurityState, el: number): number =>
  counters.instructions[state * 4 + el]!;

/** All instructions retired. */
export const instructionsTotal = (counters: Counters): number =>
  counters.instructions.reduce((sum, count) => sum + count, 0);

export const portBytes = (counters: Counters, slot: SlotName | "devices", pas: Pas): number =>
  counters.ports[slot].bytes[pas]!;

/** Takes over saved counts; the arrays stay the same objects. */
export function restoreCounters(counters: MutableCounters, saved: MutableCounters): void {
  for (const [key, value] of Object.entries(saved)) {
    if (typeof value === "number") (counters as unknown as Record<string, number>)[key] = value;
  }
  counters.instructions.splice(0, Number.POSITIVE_INFINITY, ...saved.instructions);
  counters.exceptions.splice(0, Number.POSITIVE_INFINITY, ...saved.exceptions);
  for (const [name, { accesses, bytes }] of Object.entries(saved.ports)) {
    const port = counters.ports[name as keyof Counters["ports"]];
    port.accesses.splice(0, Number.POSITIVE_INFINITY, ...accesses);
    port.bytes.splice(0, Number.POSITIVE_INFINITY, ...bytes);
  }
}
