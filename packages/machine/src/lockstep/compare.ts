/**
 * What of two machines must be equal after equal runs, whatever engine ran them: the architectural state of all PEs, the
 * clock, and at `deep` looks all of memory, the PEs' and devices' saved state and the counters.
 *
 * Left out is what an engine keeps for itself: lazy flags (compared packed), pointers into the software TLB, scratch
 * slots, the copy of a stack pointer that lies in SP while it is selected. Host addresses are compared as physical ones.
 */
import type { Counters } from "../counters.js";
import { GROUPS, R, type RegName } from "../cpu/state.js";
import type { Machine } from "../machine.js";
import { PAGE_SIZE, type PhysicalMemory } from "../memory.js";
import type { Processor } from "../processor.js";
import { packFlags } from "../pstate.js";
import { EXCL_HOST_LO, PSTATE, PSTATE_LO } from "../words.js";

/** Something that is not equal. Values are text, numbers in hexadecimal. */
export interface Difference {
  /** "PE 0 X3", "memory 0x80001000", "clock". */
  readonly what: string;
  /** In the machine that interprets, and in the one that translates. */
  readonly interpreter: string;
  readonly translator: string;
}

/** More are not told. */
const DIFFERENCES_MAX = 64;
/** Bytes of memory that a difference shows. */
const SHOWN_BYTES = 16;

const PRIVATE = new Set<number>(
  Array.from({ length: GROUPS.ENGINE.count }, (_, i) => GROUPS.ENGINE.first + i).filter(
    (slot) => slot !== R.PSTATE && slot !== R.EVENT,
  ),
);
const COMPARED = (Object.keys(R) as RegName[]).map((name) => ({ name, slot: R[name] }));
/** Words of the slots that are compared as they are. */
const COMPARED_WORDS = Int32Array.from(
  COMPARED.filter(({ slot }) => !PRIVATE.has(slot)).flatMap(({ slot }) => [slot * 2, slot * 2 + 1]),
);

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

/** The slot of the stack pointer that SP stands for. */
const selectedSp = (pe: Processor): number =>
  (pe.w[PSTATE_LO]! & PSTATE.SP) === 0 ? R.SP_EL0 : [R.SP_EL0, R.SP_EL1, R.SP_EL2, R.SP_EL3][pe.el]!;

/** What the exclusive monitor holds, as text; "" when it is open. */
function monitorOf(pe: Processor, memory: PhysicalMemory): string {
  const host = pe.w[EXCL_HOST_LO]!;
  if (host === 0) return "";
  return `page ${memory.pageOfHost(host)} offset ${hex(host & (PAGE_SIZE - 1))}, ${pe.r[R.EXCL_SIZE]} bytes`;
}

function comparePe(a: Processor, b: Processor, into: Difference[], memories: readonly PhysicalMemory[]): void {
  const name = `PE ${a.index}`;
  const tell = (what: string, interpreter: string, translator: string) => {
    if (interpreter !== translator) into.push({ what: `${name} ${what}`, interpreter, translator });
  };
  let isEqual = true;
  for (let i = 0; i < COMPARED_WORDS.length && isEqual; i++) {
    const at = COMPARED_WORDS[i]!;
    isEqual = a.w[at] === b.w[at];
  }
  if (!isEqual) {
    const skipped = a.w[PSTATE_LO] === b.w[PSTATE_LO] ? selectedSp(a) : -1;
    for (const { name, slot } of COMPARED) {
      if (PRIVATE.has(slot) || slot === skipped) continue;
      tell(name, hex(a.r[slot]!), hex(b.r[slot]!));
    }
  }
  tell("NZCV", hex(packFlags(a.w) >>> 28), hex(packFlags(b.w) >>> 28));
  tell("exclusive monitor", monitorOf(a, memories[0]!), monitorOf(b, memories[1]!));
}

/** The differences that a look at the PEs and the clock shows: what costs microseconds. */
export function compareStates(a: Machine, b: Machine): Difference[] {
  const found: Difference[] = [];
  if (a.now !== b.now) found.push({ what: "clock", interpreter: `${a.now}`, translator: `${b.now}` });
  a.pes.forEach((pe, i) => {
    comparePe(pe, b.pes[i]!, found, [a.memory, b.memory]);
  });
  return found.slice(0, DIFFERENCES_MAX);
}

/** All differences. `parts`: those of devices and firmware too, which only a machine that could be saved now has. */
export function compareMachines(a: Machine, b: Machine, { parts }: { readonly parts: boolean }): Difference[] {
  const found = [...compareStates(a, b), ...compareMemories(a, b)];
  const saved = (machine: Machine, i: number) => machine.pes[i]!.save() as unknown as Record<string, unknown>;
  a.pes.forEach((_, i) => {
    compareFields(`PE ${i}`, saved(a, i), saved(b, i), found);
  });
  compareFields("counter", countersOf(a.counters), countersOf(b.counters), found);
  if (parts) compareFields("part", partsOf(a), partsOf(b), found);
  return found.slice(0, DIFFERENCES_MAX);
}

const countersOf = (counters: Counters): Record<string, unknown> => ({ ...counters });
const partsOf = ({ parts }: Machine): Record<string, unknown> =>
  Object.fromEntries(parts.map((part) => [part.name, part.save()]));

function compareFields(
  what: string,
  a: Readonly<Record<string, unknown>>,
  b: Readonly<Record<string, unknown>>,
  into: Difference[],
): void {
  for (const name of Object.keys(a)) {
    const [interpreter, translator] = [textOf(a[name]), textOf(b[name])];
    if (interpreter === translator) continue;
    const at = firstDifference(interpreter, translator);
    const excerpt = (text: string) => text.slice(Math.max(at - 30, 0), at + 50);
    into.push({ what: `${what} ${name}`, interpreter: excerpt(interpreter), translator: excerpt(translator) });
  }
}

const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, one) => (typeof one === "bigint" ? hex(one) : one)) ?? "undefined";

function firstDifference(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return at;
}

/** Pages that differ; one that was never touched is zero. */
function compareMemories({ memory: a }: Machine, { memory: b }: Machine): Difference[] {
  const found: Difference[] = [];
  for (const { base, size } of a.ranges) {
    const end = Number(base + size);
    for (let pa = Number(base); pa < end && found.length < DIFFERENCES_MAX; pa += PAGE_SIZE) {
      const inA = a.isTouched(pa);
      const inB = b.isTouched(pa);
      if (!inA && !inB) continue;
      const at = differenceInPage(a, inA ? a.host(pa) : 0, b, inB ? b.host(pa) : 0);
      if (at < 0) continue;
      const shown = at - (at % SHOWN_BYTES);
      found.push({
        what: `memory ${hex(pa + shown)}`,
        interpreter: inA ? bytesAt(a, pa + shown) : "(never touched)",
        translator: inB ? bytesAt(b, pa + shown) : "(never touched)",
      });
    }
  }
  return found;
}

/** Offset of the first word that differs between two pages at host addresses, 0 being a page of zeros; -1: none. */
function differenceInPage(a: PhysicalMemory, hostA: number, b: PhysicalMemory, hostB: number): number {
  const wordsA = a.i32;
  const wordsB = b.i32;
  const atA = hostA >>> 2;
  const atB = hostB >>> 2;
  for (let i = 0; i < PAGE_SIZE / 4; i++) {
    const wordA = hostA === 0 ? 0 : wordsA[atA + i];
    const wordB = hostB === 0 ? 0 : wordsB[atB + i];
    if (wordA !== wordB) return i * 4;
  }
  return -1;
}

const bytesAt = (memory: PhysicalMemory, pa: number): string =>
  Array.from(memory.u8.subarray(memory.host(pa), memory.host(pa) + SHOWN_BYTES), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join(" ");
