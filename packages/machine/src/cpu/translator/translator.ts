/**
 * The translator: makes regions where the engine says that code is hot, and keeps them until the guest writes to their pages.
 *
 * A page that has translated code has no entries in the write arrays of any software TLB, so every write to it comes to
 * the machine, which says so here (`codeWritten`) before it writes.
 */
import { invariant } from "@realmbox/abi";
import {
  JUMP_CACHE,
  JUMP_CACHE_ENTRIES,
  REACH_COUNT_ENTRIES,
  REACH_COUNTS,
  REACH_THRESHOLD,
  REGION_ENTRIES,
  TLB_ENTRIES,
  TRANSLATED_COUNT,
} from "../engine.js";
import type { Interpreter } from "../interpreter/index.js";
import { R } from "../state.js";
import { Wasm, type WasmMemory, type WasmTable } from "../wasm/api.js";
import { Batch, STAGE_SLOTS } from "./batch.js";
import { isLeft } from "./decode.js";
import { JumpCache } from "./jump-cache.js";
import { modeOf } from "./mode.js";
import { covers, findRegion, PAGE, type Region } from "./region.js";

/** Limits of what is kept: reaching one drops everything. */
export interface TranslatorLimits {
  readonly regions: number;
  /** Bytes of WebAssembly. */
  readonly codeBytes: number;
}

export const DEFAULT_LIMITS: TranslatorLimits = { regions: 16_384, codeBytes: 64 << 20 };

/** Guest instructions of one region: the compiler's time grows faster than linearly. */
const REGION_LIMIT = 150;
const REGION_LIMIT_CALLEES = 300;
const REGION_LIMIT_HOT = 600;
/** Bytes between a call and what it calls, for both to become one region. */
const PROMOTE_REACH = 1 << 19;
/** Targets of a region's indirect branches that are enough to make it anew. */
const WANTED_AT_ONCE = 12;
/** Regions that are compiled together, unless code is wanted after fewer arrivals than BATCHED. */
const BATCH_SIZE = 8;
const BATCHED = 100;
/** Returns of the engine that a batch which does not become full waits for. */
const BREATHS = 16;
/** Times that a region is made. */
const GENERATIONS = 12;
/** Times that a page's code was written over, after which less and less of it is translated. */
const RESTLESS = 8;

export interface TranslatorCounters {
  /** Regions made, and those that exist now. */
  translations: number;
  regions: number;
  /** Guest instructions in translations, and bytes of WebAssembly now. */
  instructions: number;
  codeBytes: number;
  /** Regions dropped because the guest wrote to their pages. */
  invalidations: number;
  /** Times that everything was dropped because a limit was reached. */
  evictions: number;
  /** Accesses of translated code that missed the software TLB. */
  fills: number;
  /** Seconds spent in finding and emitting, and in compiling, as far as the clock given tells. */
  emitSeconds: number;
  compileSeconds: number;
}

/** The machine as the translator needs it. */
export interface TranslatorHost {
  /** A page, by its host address, has translated code from now on: no TLB entry may allow writes to it. */
  protectPage(host: number): void;
  /** It has none any more. */
  releasePage(host: number): void;
  /** Monotonic seconds, for counters only. */
  now?(): number;
}

/** Where a PE is, and what its fetch TLB says of that. */
interface Place {
  /** PC. */
  readonly lo: number;
  readonly hi: number;
  /** Host address of the array of fetches. */
  readonly fetch: number;
  readonly mode: number;
  /** X30 less 4, its low word: where a function that has just been entered was called. */
  readonly callSite: number;
  /** Host address of the page, and of the instruction. */
  readonly page: number;
  readonly host: number;
}

interface Translation {
  readonly slot: number;
  readonly mode: number;
  readonly region: Region;
  /** Where it was entered from the interpreter, as places of the region. */
  readonly roots: readonly number[];
  readonly withCallees: boolean;
  /** Guest instructions that it may have. */
  readonly limit: number;
  /** How many times it has been made anew, and one. */
  readonly generation: number;
  /** Places that should be entries when it is made anew, and those that have been waiting. */
  readonly wanted: Set<number>;
  readonly isWaiting: Set<number>;
  /** Host address of each entry, by its number. */
  readonly entryHosts: readonly number[];
  readonly codeBytes: number;
  /** What it takes the place of when it has been compiled. */
  readonly replaces: Translation | undefined;
  state: "waits" | "installed" | "dropped";
  /** What takes its place is waiting. */
  isReplaced: boolean;
}

const key = (host: number, mode: number): number => host * 256 + mode;

export class Translator {
  readonly counters: TranslatorCounters = {
    translations: 0,
    regions: 0,
    instructions: 0,
    codeBytes: 0,
    invalidations: 0,
    evictions: 0,
    fills: 0,
    emitSeconds: 0,
    compileSeconds: 0,
  };
  readonly regions: WasmTable;
  readonly stage: WasmTable = new Wasm.Table({ element: "anyfunc", initial: STAGE_SLOTS });
  /** Set once, when it exists. */
  interpreter: Pick<Interpreter, "helpers" | "install"> | undefined;

  private readonly memory: WasmMemory;
  private readonly words: Int32Array;
  private readonly counts: Uint16Array;
  private readonly host: TranslatorHost;
  private readonly limits: TranslatorLimits;
  private readonly slots: (Translation | undefined)[] = [];
  private readonly free: number[] = [];
  /** Translation and entry number by host address and mode. */
  private readonly entries = new Map<number, { readonly translation: Translation; readonly entry: number }>();
  /** By host page. */
  private readonly byPage = new Map<number, Set<Translation>>();
  private readonly writtenOver = new Map<number, number>();
  /** What waits to be compiled, in the order of the batch. */
  private batch = new Batch();
  private waiting: Translation[] = [];
  private readonly batchSize: number;
  private breaths = 0;

  constructor(options: {
    readonly memory: WasmMemory;
    readonly host: TranslatorHost;
    readonly threshold: number;
    readonly limits?: TranslatorLimits;
  }) {
    const { memory, host, threshold, limits = DEFAULT_LIMITS } = options;
    this.memory = memory;
    this.words = new Int32Array(memory.buffer);
    this.counts = new Uint16Array(memory.buffer, REACH_COUNTS, REACH_COUNT_ENTRIES);
    this.host = host;
    this.limits = limits;
    this.regions = new Wasm.Table({ element: "anyfunc", initial: limits.regions });
    this.words[REACH_THRESHOLD / 4] = Math.min(threshold, 0xfff0);
    // Whoever wants code at once gets it so.
    this.batchSize = threshold < BATCHED ? 1 : BATCH_SIZE;
  }

  /** Instructions that translated code has executed. */
  get translatedInstructions(): number {
    return this.wide(TRANSLATED_COUNT);
  }

  /** How often a region was entered from outside. */
  get regionEntries(): number {
    return this.wide(REGION_ENTRIES);
  }

  private wide(at: number): number {
    return (this.words[at / 4]! >>> 0) + this.words[at / 4 + 1]! * 2 ** 32;
  }

  /**
   * The place at PC of the PE whose state is at `base` is hot, or with `entered` its translated code. Whether there is
   * translated code for it afterwards.
   */
  translate(base: number, entered: boolean): boolean {
    const place = this.placeOf(base);
    if (!place) return false;
    const { host, mode } = place;
    const known = this.entries.get(key(host, mode));
    if (known) {
      if (known.translation.state === "waits" || known.translation.isReplaced) {
        this.flush();
        return true;
      }
      if (!entered || !this.promote(place, known.translation)) this.remember(known.translation, known.entry);
      return true;
    }
    if (this.isRestless(place.page) || isLeft(this.words[host >>> 2]!)) return false;
    const near = this.nearby(place);
    if (near) {
      const { translation, at } = near;
      if (translation.state === "waits" || translation.isReplaced) {
        // As it is after that, it may have an entry here.
        this.flush();
        return true;
      }
      translation.wanted.add(at);
      // One target of a branch table is seldom the last: when one has been hot twice, all are taken in.
      if (translation.wanted.size < WANTED_AT_ONCE && !translation.isWaiting.has(at)) {
        translation.isWaiting.add(at);
        return false;
      }
      if (this.rebuild(place, translation, [...translation.wanted], undefined, translation.withCallees)) return true;
    }
    const roots = [place.lo & (PAGE - 1)];
    return this.make(place, { roots, shift: 0, withCallees: false, limit: REGION_LIMIT, generation: 1 });
  }

  /**
   * Code is entered often from outside: it is made anew with its callees; or it is taken into the region from which it is
   * called, as the return address says.
   */
  private promote(place: Place, translation: Translation): boolean {
    const { region, withCallees } = translation;
    if (!withCallees && region.hasCalls) return this.rebuild(place, translation, []);
    if (region.instructionCount >= translation.limit && translation.limit < REGION_LIMIT_HOT)
      return this.rebuild(place, translation, []);
    const distance = place.callSite - place.lo;
    if (Math.abs(distance) > PROMOTE_REACH) return false;
    const offset = (place.callSite & -PAGE) - (place.lo & -PAGE);
    const page = this.hostOf(place, offset);
    const site = this.nearby({ page, lo: place.callSite, mode: place.mode }, false);
    if (!site || site.translation === translation || site.translation.state !== "installed") return false;
    if (site.translation.isReplaced) return false;
    const { translation: caller, at } = site;
    return this.rebuild(place, caller, [at - distance], at - distance - (place.lo & (PAGE - 1)));
  }

  private placeOf(base: number): Place | undefined {
    const { words } = this;
    const at = base / 4;
    const lo = words[at + R.PC * 2]!;
    const place = {
      lo,
      hi: words[at + R.PC * 2 + 1]!,
      fetch: words[at + R.TLB_FETCH * 2]! >>> 0,
      mode: modeOf(words, at),
      callSite: (words[at + 30 * 2]! - 4) | 0,
    };
    const page = this.hostOf(place, 0);
    return page === 0 ? undefined : { ...place, page, host: page + (lo & (PAGE - 1)) };
  }

  /** Host address of the page at an offset from that of PC, if the fetch TLB has it; else 0. */
  private hostOf({ lo, hi, fetch }: Pick<Place, "lo" | "hi" | "fetch">, offset: number): number {
    const { words } = this;
    const start = ((lo & -PAGE) >>> 0) + offset;
    const pageLo = start | 0;
    const pageHi = (hi + Math.floor(start / 2 ** 32)) | 0;
    const entry = (fetch >>> 2) + ((pageLo >>> 12) & (TLB_ENTRIES - 1)) * 4;
    if (words[entry] !== pageLo || words[entry + 1] !== pageHi) return 0;
    return (words[entry + 2]! + pageLo) >>> 0;
  }

  /** Code of a page that is written over again and again is translated less and less often. */
  private isRestless(page: number): boolean {
    const written = this.writtenOver.get(page) ?? 0;
    if (written <= RESTLESS || (written & (written - 1)) === 0) return false;
    this.writtenOver.set(page, written + 1);
    return true;
  }

  /** A region that should have an entry here: the place is one of its instructions, or may be the target of a branch of it. */
  private nearby(
    { page, lo, mode }: Pick<Place, "page" | "lo" | "mode">,
    orReached = true,
  ): { translation: Translation; at: number } | undefined {
    for (const translation of this.byPage.get(page) ?? []) {
      const { region } = translation;
      if (translation.mode !== mode || translation.generation > GENERATIONS) continue;
      for (const [offset, host] of region.pages) {
        if (host !== page) continue;
        const at = offset + (lo & (PAGE - 1));
        const mayReach = orReached && region.hasIndirect && region.instructionCount < translation.limit;
        if (mayReach || covers(region, at)) return { translation, at };
      }
    }
    return undefined;
  }

  /** Makes a region anew, with more entries, with its callees, or larger. `offset`: of PC's page in it. False: it stays. */
  private rebuild(
    place: Place,
    old: Translation,
    wanted: readonly number[],
    offset = [...old.region.pages].find(([, host]) => host === place.page)?.[0],
    withCallees = true,
  ): boolean {
    if (offset === undefined || this.hostOf(place, -offset) !== old.region.pages.get(0)) return false;
    const roots = [...new Set([...old.roots, ...wanted])];
    // Whatever fills its limit once more, and is entered so often that it is made anew, may be larger.
    const isFull = withCallees && old.withCallees && old.region.instructionCount >= old.limit;
    const limit = Math.min(
      isFull ? old.limit * 2 : withCallees ? REGION_LIMIT_CALLEES : REGION_LIMIT,
      REGION_LIMIT_HOT,
    );
    const plan = {
      roots,
      shift: -offset,
      withCallees,
      limit: Math.max(limit, old.limit),
      generation: old.generation + 1,
    };
    return this.make(place, plan, old);
  }

  /** Finds and compiles a region whose root's page is `shift` from PC's. */
  private make(
    place: Place,
    plan: Pick<Translation, "roots" | "withCallees" | "limit" | "generation"> & { readonly shift: number },
    old?: Translation,
  ): boolean {
    const began = this.host.now?.() ?? 0;
    const { roots, shift, withCallees, limit, generation } = plan;
    const region = findRegion({
      roots,
      hostOf: (offset) => this.hostOf(place, offset + shift),
      words: this.words,
      limit,
      callees: withCallees,
    });
    if (!region) return false;
    this.add({ region, mode: place.mode, roots, withCallees, limit, generation, replaces: old }, began);
    return this.batch.count === 0 || old?.state === "installed";
  }

  private add(
    made: Pick<Translation, "region" | "mode" | "roots" | "withCallees" | "limit" | "generation" | "replaces">,
    began: number,
  ): void {
    const { counters, limits, host } = this;
    const { region, mode } = made;
    if (counters.regions >= limits.regions || counters.codeBytes >= limits.codeBytes) {
      counters.evictions++;
      this.dropAll();
    }
    const slot = this.free.pop() ?? this.slots.length;
    const codeBytes = this.batch.add(region, mode, slot);
    counters.emitSeconds += (host.now?.() ?? 0) - began;
    const entryHosts = region.entries.map((block) => {
      const { start } = region.blocks[block]!;
      return region.pages.get(start & -PAGE)! + (start & (PAGE - 1));
    });
    const translation: Translation = {
      ...made,
      slot,
      entryHosts,
      codeBytes,
      wanted: new Set(),
      isWaiting: new Set(),
      state: "waits",
      isReplaced: false,
    };
    if (made.replaces) made.replaces.isReplaced = true;
    this.slots[slot] = translation;
    this.waiting.push(translation);
    counters.translations++;
    counters.regions++;
    counters.instructions += region.instructionCount;
    counters.codeBytes += codeBytes;
    for (const page of region.pages.values()) {
      let translations = this.byPage.get(page);
      if (!translations) {
        this.byPage.set(page, (translations = new Set()));
        host.protectPage(page);
      }
      translations.add(translation);
    }
    const roots = new Set(made.roots);
    for (const [entry, at] of entryHosts.entries()) {
      // Roots are this region's from now on. Other entries may be another's already.
      const isRoot = roots.has(region.blocks[region.entries[entry]!]!.start);
      if (!isRoot && this.entries.has(key(at, mode))) continue;
      this.entries.set(key(at, mode), { translation, entry });
    }
    if (this.waiting.length >= this.batchSize) this.flush();
  }

  /** The engine has returned: what has waited for some time is compiled. */
  breathe(): void {
    if (this.waiting.length > 0 && ++this.breaths >= BREATHS) this.flush();
  }

  /** Compiles what waits. */
  flush(): void {
    const { waiting, counters, host, interpreter, memory, stage } = this;
    if (waiting.length === 0) return;
    const began = host.now?.() ?? 0;
    invariant(interpreter !== undefined, "the interpreter exists before translated code");
    const module = new Wasm.Module(this.batch.build());
    new Wasm.Instance(module, { realmbox: { memory, stage, helpers: interpreter.helpers } });
    this.waiting = [];
    this.breaths = 0;
    this.batch = new Batch();
    for (const [from, translation] of waiting.entries()) {
      if (translation.state !== "waits") continue;
      const { replaces, slot, mode, entryHosts } = translation;
      if (replaces?.state === "installed") this.drop(replaces);
      interpreter.install(slot, from);
      translation.state = "installed";
      for (const [entry, at] of entryHosts.entries()) {
        if (this.entries.get(key(at, mode))?.translation === translation) this.remember(translation, entry);
      }
    }
    counters.compileSeconds += (host.now?.() ?? 0) - began;
  }

  /** Puts an entry into the jump cache. */
  private remember({ slot, mode, region, entryHosts }: Translation, entry: number): void {
    const { words } = this;
    const host = entryHosts[entry]!;
    const at = JumpCache.addressOf(host) / 4;
    words[at + JumpCache.HOST / 4] = host;
    words[at + JumpCache.SLOT / 4] = slot;
    words[at + JumpCache.ENTRY / 4] = entry;
    words[at + JumpCache.PLACE / 4] = region.blocks[region.entries[entry]!]!.start;
    words[at + JumpCache.MODE / 4] = mode;
    words[at + JumpCache.HITS / 4] = 0;
  }

  /** Something is about to write to a page that has translated code, or has written: the code is gone. */
  codeWritten(page: number): void {
    const translations = this.byPage.get(page);
    if (!translations) return;
    this.writtenOver.set(page, (this.writtenOver.get(page) ?? 0) + 1);
    for (const translation of translations) {
      this.counters.invalidations++;
      this.drop(translation);
    }
  }

  /** Forgets all code. */
  dropAll(): void {
    for (const translation of this.slots) if (translation) this.drop(translation);
    this.words.fill(0, JUMP_CACHE / 4, (JUMP_CACHE + JUMP_CACHE_ENTRIES * JumpCache.ENTRY_SIZE) / 4);
    this.writtenOver.clear();
    this.counts.fill(0);
  }

  private drop(translation: Translation): void {
    translation.state = "dropped";
    const { slot, mode, region, entryHosts, codeBytes } = translation;
    const { words, counters } = this;
    for (const host of entryHosts) {
      if (this.entries.get(key(host, mode))?.translation === translation) this.entries.delete(key(host, mode));
      const at = JumpCache.addressOf(host) / 4;
      if (words[at + JumpCache.HOST / 4] === (host | 0) && words[at + JumpCache.SLOT / 4] === slot)
        words[at + JumpCache.HOST / 4] = 0;
    }
    // Two places of a region may be one page.
    for (const page of new Set(region.pages.values())) {
      const translations = this.byPage.get(page)!;
      translations.delete(translation);
      if (translations.size > 0) continue;
      this.byPage.delete(page);
      this.host.releasePage(page);
    }
    this.regions.set(slot, null);
    this.slots[slot] = undefined;
    this.free.push(slot);
    counters.regions--;
    counters.codeBytes -= codeBytes;
  }
}
