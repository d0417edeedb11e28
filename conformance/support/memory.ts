/** The machine's memory as a tester with a probe sees it: behind all protection. */
import { createHash } from "node:crypto";
import { Gpi } from "@realmbox/abi";
import type { Machine, MemoryRange } from "@realmbox/machine";
import { GRANULE_STATES, type GranuleState } from "../../packages/rmm/src/granule/granule.js";
import { memoryMap } from "../../packages/rmm/src/memory-map.js";
import type { InspectedMemory } from "../../packages/rmm/src/testing/invariants.js";

export const PAGE = 4096;
const ZERO = new Uint8Array(PAGE);

/** The page at `pa`: the bytes themselves; a page that was never touched reads as zeros. */
export function pageAt({ memory }: Machine, pa: number | bigint): Uint8Array {
  const at = Number(pa);
  return memory.isTouched(at) ? memory.pageBytes(memory.host(at)) : ZERO;
}

/** The pages of a range that were ever touched. */
export function* touchedPages(machine: Machine, { base, size }: MemoryRange): Generator<readonly [number, Uint8Array]> {
  for (let pa = Number(base); pa < Number(base + size); pa += PAGE) {
    if (machine.memory.isTouched(pa)) yield [pa, pageAt(machine, pa)];
  }
}

/** GPI of a granule, walked in the GPT. */
export const gpiAt = (machine: Machine, pa: number | bigint): number =>
  machine.pes[0]!.protection.gpi(Number(pa)) ?? Number.NaN;

/** The delegable granules as RMM and GPT have them. */
export function inspect(machine: Machine): InspectedMemory {
  const { realm, dram } = machine.board;
  const { granuleTable } = memoryMap(realm);
  const { base, size } = dram[0]!;
  const entry = (pa: bigint): number => {
    const at = Number(granuleTable + ((pa - base) / BigInt(PAGE)) * 2n);
    const page = pageAt(machine, at - (at % PAGE));
    return page[at % PAGE]! | (page[(at % PAGE) + 1]! << 8);
  };
  return {
    carveOut: realm.base,
    granules: () => Array.from({ length: Number(size) / PAGE }, (_, i) => base + BigInt(i * PAGE)),
    granuleState: (pa) => GRANULE_STATES[entry(pa) >> 12]!,
    refcount: (pa) => entry(pa) & 0xfff,
    gpiOf: (pa) => gpiAt(machine, pa),
    page: (pa) => pageAt(machine, pa),
  };
}

/** Physical addresses by granule state; UNDELEGATED ones are left out. */
export function delegatedGranules(machine: Machine): ReadonlyMap<GranuleState, readonly bigint[]> {
  const view = inspect(machine);
  const found = new Map<GranuleState, bigint[]>(GRANULE_STATES.map((state) => [state, []]));
  for (const pa of view.granules()) {
    const state = view.granuleState(pa);
    if (state !== "UNDELEGATED") found.get(state)!.push(pa);
  }
  return found;
}

/** Where a pattern lies in memory with a GPI. */
export function findPattern(machine: Machine, pattern: Uint8Array, gpi: number): number[] {
  const found: number[] = [];
  const needle = Buffer.from(pattern);
  for (const range of [machine.board.root, machine.board.realm, ...machine.board.dram]) {
    for (const [pa, bytes] of touchedPages(machine, range)) {
      if (gpiAt(machine, pa) !== gpi) continue;
      const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(needle);
      if (at >= 0) found.push(pa + at);
    }
  }
  return found;
}
export const findInNonSecure = (machine: Machine, pattern: Uint8Array): number[] =>
  findPattern(machine, pattern, Gpi.NS);
export const findInRealm = (machine: Machine, pattern: Uint8Array): number[] =>
  findPattern(machine, pattern, Gpi.REALM);

/** Pages that are not zero, by address: two of these are equal when the memory is. */
export function contentOf(machine: Machine, ranges: readonly MemoryRange[]): Map<number, string> {
  const content = new Map<number, string>();
  for (const range of ranges) {
    for (const [pa, bytes] of touchedPages(machine, range)) {
      if (bytes.some((byte) => byte !== 0)) content.set(pa, createHash("sha256").update(bytes).digest("base64"));
    }
  }
  return content;
}
