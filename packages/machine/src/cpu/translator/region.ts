/**
 * What a region is made of: blocks of instructions found from a root by following direct branches, and how control leaves
 * each. Nothing is looked at that the fetch TLB does not hold, so finding a region has no effect on the guest.
 *
 * Places are byte offsets from the start of the root's page, in virtual addresses: a region does not know where it is mapped.
 */
import { fieldOf } from "../rows/row.js";
import { type Form, formOf } from "./decode.js";

export const PAGE = 4096;

export interface Instruction {
  readonly word: number;
  readonly form: Form;
}

/** How a block ends; places are offsets, of blocks or of what is not in the region. `next` is the instruction after the last. */
export type Ending =
  /** Goes on at `next`. */
  | { readonly kind: "fall"; readonly next: number }
  /** A direct branch as the last instruction; with `next` a conditional one. */
  | { readonly kind: "branch"; readonly target: number; readonly next: number | undefined }
  /** An indirect branch. */
  | { readonly kind: "jump" }
  /** A helper does the last instruction over the whole state. */
  | { readonly kind: "transfer" };

export interface Block {
  readonly start: number;
  readonly instructions: readonly Instruction[];
  readonly ending: Ending;
}

export interface Region {
  readonly blocks: readonly Block[];
  /** Block by its start. */
  readonly byStart: ReadonlyMap<number, number>;
  /** Blocks that may be entered from outside, the root first. */
  readonly entries: readonly number[];
  /** Host address of each page by its offset. */
  readonly pages: ReadonlyMap<number, number>;
  /** Places of instructions that are always the interpreter's. */
  readonly leaving: ReadonlySet<number>;
  /** Whether an indirect branch that is no return ends some block: its targets are not known until they are reached. */
  readonly hasIndirect: boolean;
  /** Whether some block ends in a direct call. */
  readonly hasCalls: boolean;
  readonly instructionCount: number;
}

/** Whether a place is one of the region's instructions. */
export const covers = ({ blocks }: Region, place: number): boolean =>
  blocks.some(({ start, instructions }) => start <= place && place < start + instructions.length * 4);

export interface RegionOptions {
  /** Offset of the root within its page, and others that shall be entries. */
  readonly roots: readonly number[];
  /** Host address of the page at an offset, 0 when it is not known; words of the memory. */
  readonly hostOf: (page: number) => number;
  readonly words: Int32Array;
  readonly limit: number;
  /** Follow calls. */
  readonly callees: boolean;
}

/** Bytes from the root beyond which nothing is followed: keeps offsets small. */
const REACH = 1 << 20;
const MAX_PAGES = 16;

interface Found extends Instruction {
  readonly ending: Ending | undefined;
}

/** Target of a direct branch: the offset that its row names in words. */
function branchOffset({ word, form }: Instruction): number {
  const place = form.fields.find(([name]) => name === "i")![1];
  return fieldOf(word, place) * 4;
}

function endingOf(at: number, instruction: Instruction): Ending | undefined {
  const { effects, row } = instruction.form;
  if (effects.branches) {
    const isConditional = row.name !== "B" && row.name !== "BL";
    const target = at + branchOffset(instruction);
    return { kind: "branch", target, next: isConditional ? at + 4 : undefined };
  }
  if (effects.transfers) return { kind: "transfer" };
  return effects.jumps ? { kind: "jump" } : undefined;
}

/** Finds a region. Undefined when the root itself cannot be translated. */
export function findRegion({ roots, hostOf, words, limit, callees }: RegionOptions): Region | undefined {
  const found = new Map<number, Found>();
  const leaders = new Set<number>();
  const entries = new Set<number>();
  const pages = new Map<number, number>();
  const leaving = new Set<number>();
  const work: number[] = [];

  const lead = (at: number, isEntry: boolean): void => {
    if (isEntry) entries.add(at);
    if (leaders.has(at)) return;
    leaders.add(at);
    work.push(at);
  };
  const page = (at: number): number => {
    const start = at & ~(PAGE - 1);
    let host = pages.get(start);
    if (host === undefined) {
      if (pages.size === MAX_PAGES || at > REACH || at < -REACH) return 0;
      host = hostOf(start);
      if (host !== 0) pages.set(start, host);
    }
    return host;
  };

  for (const root of roots) lead(root, true);
  for (let from = work.shift(); from !== undefined; from = work.shift()) {
    for (let at = from; found.size < limit && !found.has(at); at += 4) {
      if (at !== from && leaders.has(at)) break;
      const host = page(at);
      if (host === 0) break;
      const word = words[(host + (at & (PAGE - 1))) >>> 2]!;
      const form = formOf(word);
      if (!form || form.effects.leaves) {
        // What follows is where the interpreter hands over again; an unallocated word has no successor.
        leaving.add(at);
        if (form) lead(at + 4, true);
        break;
      }
      const ending = endingOf(at, { word, form });
      found.set(at, { word, form, ending });
      if (!ending) {
        // A page's end is a leader, so that each edge across pages is one between blocks.
        if (((at + 4) & (PAGE - 1)) === 0) {
          lead(at + 4, false);
          break;
        }
        continue;
      }
      if (ending.kind === "branch") {
        const { links } = form.effects;
        if (!links || callees || leaders.has(ending.target)) lead(ending.target, links || ending.target <= at);
        if (links) lead(at + 4, true);
        else if (ending.next !== undefined) lead(ending.next, false);
      } else if (form.effects.jumps === "call" || ending.kind === "transfer") lead(at + 4, true);
      break;
    }
  }

  return assemble({ found, leaders, entries, pages, leaving });
}

function assemble(parts: {
  found: ReadonlyMap<number, Found>;
  leaders: ReadonlySet<number>;
  entries: ReadonlySet<number>;
  pages: ReadonlyMap<number, number>;
  leaving: ReadonlySet<number>;
}): Region | undefined {
  const { found, leaders, entries, pages, leaving } = parts;
  const blocks: Block[] = [];
  const byStart = new Map<number, number>();
  for (const start of leaders) {
    if (!found.has(start)) continue;
    const instructions: Instruction[] = [];
    let ending: Ending | undefined;
    for (let at = start; ending === undefined; at += 4) {
      const next = found.get(at);
      if (!next || (at !== start && leaders.has(at))) ending = { kind: "fall", next: at };
      else {
        instructions.push(next);
        ending = next.ending;
      }
    }
    byStart.set(start, blocks.length);
    blocks.push({ start, instructions, ending });
  }
  const used = [...entries].filter((at) => byStart.has(at)).map((at) => byStart.get(at)!);
  if (used.length === 0 || !byStart.has([...entries][0]!)) return undefined;
  const hasIndirect = [...found.values()].some(({ form }) => form.effects.jumps === "indirect");
  const hasCalls = [...found.values()].some(({ form }) => form.effects.links && form.effects.branches);
  return { blocks, byStart, entries: used, pages, leaving, hasIndirect, hasCalls, instructionCount: found.size };
}
