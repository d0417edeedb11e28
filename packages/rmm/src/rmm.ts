/**
 * The RMM as a firmware of slot realm-el2. The object holds no state beyond a step: what it knows is in the Realm
 * carve-out (`memory-map.ts`) and in delegated granules (`realm/rd.ts`, `rec/rec.ts`, `rtt/`).
 *
 * Invariants:
 * - A command is atomic: one step takes it from its conditions to its result, or to the ERET into a REC.
 * - All validation precedes the first change of state.
 * - A REC runs on at most one PE; the PE's context names it, and the REC granule's reference count is 1 meanwhile.
 */
import {
  type Crypto,
  GRANULE_SIZE,
  invariant,
  RmiRecExit,
  SMCCC_NOT_SUPPORTED,
  type Trace,
  type TraceCategory,
  type TraceValue,
} from "@realmbox/abi";
import {
  type Board,
  type Firmware,
  isFault,
  type MemoryPort,
  type Pe,
  R,
  type SlotEvent,
  type SlotExit,
} from "@realmbox/machine";
import { boot } from "./boot.js";
import { Facts } from "./facts.js";
import { type Granule, type GranuleState, GranuleTable } from "./granule/granule.js";
import type { Isolation } from "./isolation/isolation.js";
import { rme } from "./isolation/rme.js";
import { GLOBALS_MAGIC, Globals, type MemoryMap, memoryMap, PeContext } from "./memory-map.js";
import { Rd } from "./realm/rd.js";
import { realmException } from "./rec/exception.js";
import { Rec, RecExit } from "./rec/rec.js";
import { PeRegisters } from "./rec/registers.js";
import { rmiCall } from "./rmi/dispatch.js";
import { frameOf, frameOfWords, NO_FRAME, Page, Pages, UNALIGNED } from "./views.js";

export interface RmmOptions {
  readonly crypto: Crypto;
  readonly board: Board;
  readonly trace?: Trace;
  /** Bytes that identify the code, for the Root Monitor to measure; name and version when absent. */
  readonly image?: Uint8Array;
  /** RME when absent. */
  readonly isolation?: Isolation;
  /**
   * Whether Realms have the machine's pointer authentication. Absent: they have not, because it would be of cost to them:
   * Linux would sign and authenticate in every function.
   */
  readonly pauth?: boolean;
}

/** The native RMM: ABI of DEN0137 1.0-rel0. One object serves all PEs of a machine. */
export function createRmm(options: RmmOptions): Firmware {
  const rmm = new Rmm(options);
  return {
    name: "RMM",
    image: options.image ?? Uint8Array.from("realmbox RMM 1.0", (c) => c.charCodeAt(0)),
    step: (pe, event) => rmm.step(pe, event),
  };
}

/** Why a granule that a command names is not the one it must be: the second halves of condition ids. */
export type GranuleProblem = "align" | "bound" | "state";

export class Rmm {
  readonly crypto: Crypto;
  readonly trace: Trace | undefined;
  readonly isolation: Isolation;
  /** Realms have pointer authentication. */
  readonly pauth: boolean;
  readonly map: MemoryMap;
  readonly granules: GranuleTable;
  /**
   * RmiRecExit of the exit that is under way in this step (`beginExit`): in the Host's memory, or, when the Host has taken
   * that away, a place where nobody reads it.
   */
  exit: RecExit;
  readonly lostExit = new RecExit(Page.scratch(RmiRecExit.size));
  /** What the Host finds in X0 to X4, two words each. Scratch, likewise. */
  readonly results = new Int32Array(10);

  /** The PE of this step, and its ports to Realm and Host memory. */
  pe!: Pe;
  /** The PE's state as 32-bit words: the register of slot s in words 2s and 2s + 1. */
  words!: Int32Array;
  private registers!: PeRegisters;
  private readonly peRegisters: PeRegisters[] = [];
  realmMemory!: MemoryPort;
  hostMemory!: MemoryPort;

  // Found once in a step, forgotten by `begin`.
  private context: PeContext | undefined;
  private lastRec: Rec | undefined;
  private factsHold = false;
  private known: Facts | undefined;
  /** Views by page. They hold no state, and `page` asks the port before it looks for one. */
  private readonly pages = new Pages();
  /** Frame numbers. */
  private readonly globalsAt: number;
  private readonly contextsAt: number;

  constructor({ crypto, board, trace, isolation = rme, pauth = false }: RmmOptions) {
    this.crypto = crypto;
    this.trace = trace;
    this.isolation = isolation;
    this.pauth = pauth;
    this.map = memoryMap(board.realm);
    this.globalsAt = frameOf(this.map.globals);
    this.contextsAt = frameOf(this.map.peContexts);
    this.granules = new GranuleTable(this);
    this.exit = this.lostExit;
  }

  step(pe: Pe, event: SlotEvent): SlotExit {
    this.begin(pe);
    switch (event.kind) {
      case "start":
        return boot(this);
      case "return":
        return rmiCall(this);
      case "exception":
        invariant(event.lower, "no exception is taken from R-EL2 itself", event.vector);
        return realmException(this, event.vector);
      case "wake":
        throw new Error("the RMM never waits for an interrupt");
    }
  }

  private begin(pe: Pe): void {
    this.pe = pe;
    const registers = (this.peRegisters[pe.index] ??= new PeRegisters(pe, this.isolation));
    this.registers = registers;
    this.words = registers.words;
    this.realmMemory = registers.realmMemory;
    this.hostMemory = registers.hostMemory;
    this.granules.begin();
    this.factsHold = false;
    this.context = undefined;
    this.lastRec = undefined;
  }

  /** Xn of the PE. */
  x(n: number): bigint {
    return this.pe.r[R.X0 + n]!;
  }

  /** Frame number of the address in Xn, or UNALIGNED. */
  frame(n: number): number {
    const { words } = this;
    return frameOfWords(words[2 * (R.X0 + n)]!, words[2 * (R.X0 + n) + 1]!);
  }

  /** A granule of the Realm PAS, in place, with its views. */
  pageAt(frame: number): Page {
    const data = this.realmMemory.page(frame);
    const known = this.pages.known(frame, data);
    if (known !== undefined) return known;
    if (isFault(data)) throw new Error(`invariant broken: Realm memory in frame ${frame} (${data.fault})`);
    return this.pages.add(frame, data);
  }

  /** The same by the address of any byte of it. */
  page(pa: number): Page {
    return this.pageAt(Math.floor(pa / GRANULE_SIZE));
  }

  /** A granule of the Realm PAS, in place. */
  bytesAt(pa: bigint): Uint8Array {
    return this.pageAt(frameOf(pa)).bytes;
  }

  read64(pa: bigint): bigint {
    const value = this.realmMemory.read64(pa);
    if (isFault(value)) throw new Error(`invariant broken: Realm memory at 0x${pa.toString(16)} (${value.fault})`);
    return value;
  }

  write64(pa: bigint, value: bigint): void {
    invariant(this.realmMemory.write64(pa, value) === undefined, "Realm memory", pa);
  }

  /** Zeroes a granule. */
  wipe(frame: number): void {
    this.pageAt(frame).bytes.fill(0);
  }

  globals(): Globals {
    return this.pageAt(this.globalsAt).as(Globals);
  }

  /** The globals, decoded. */
  facts(): Facts {
    if (!this.factsHold) {
      const globals = this.pageAt(this.globalsAt);
      if (!this.known?.holdFor(globals)) this.known = new Facts(globals);
      this.factsHold = true;
    }
    return this.known!;
  }

  isBooted(): boolean {
    return this.globals().magic === GLOBALS_MAGIC;
  }

  /** The context of this PE. */
  peContext(): PeContext {
    if (!this.context) {
      this.context = this.pageAt(this.contextsAt + this.pe.index).as(PeContext);
      this.context.registers = this.registers;
    }
    return this.context;
  }

  /** The granule of a frame that the Host gave, if it is in `state`; else what is wrong, in this order. */
  granuleIn(frame: number, state: GranuleState): Granule | GranuleProblem {
    if (frame === UNALIGNED) return "align";
    const granule = this.granules.at(frame);
    if (granule === undefined) return "bound";
    if (granule.state !== state) return "state";
    return granule;
  }

  /**
   * A granule of the Host's memory, in place, for this step only, with its views: `pas` when the GPT does not let the Host
   * itself get at it.
   */
  hostPage(frame: number): Page | "align" | "bound" | "pas" {
    if (frame === UNALIGNED) return "align";
    if (this.granules.at(frame) === undefined) return "bound";
    const page = this.hostPageAt(frame);
    if (page === undefined) return "pas";
    return page;
  }

  /** A page of the Host that a command has named before; undefined: the Host cannot get at it any more. */
  hostPageAt(frame: number): Page | undefined {
    const data = this.hostMemory.page(frame);
    const known = this.pages.known(frame, data);
    if (known !== undefined) return known;
    return isFault(data) ? undefined : this.pages.add(frame, data);
  }

  /** The same without views: for a granule that is looked at once. */
  hostGranule(frame: number): Uint8Array | "align" | "bound" | "pas" {
    if (frame === UNALIGNED) return "align";
    if (this.granules.at(frame) === undefined) return "bound";
    const data = this.hostMemory.page(frame);
    if (isFault(data)) return "pas";
    return data;
  }

  /** Copies 31 general registers from a place in one page to one in another. */
  copyGprs(to: Page, at: number, from: Page, of: number): void {
    if (to.frame === NO_FRAME) return; // nobody reads it
    this.registers.copyGprs(to.at + at, from.at + of, 0);
  }

  rd(frame: number): Rd {
    return this.pageAt(frame).as(Rd);
  }

  rec(frame: number): Rec {
    if (this.lastRec?.frame === frame) return this.lastRec;
    return (this.lastRec = this.pageAt(frame).as(Rec));
  }

  emit(category: TraceCategory, name: string, fields: Record<string, TraceValue>): void {
    this.trace?.emit({ category, name, fields });
  }
}

/** X0 for a function that nobody knows. */
export const UNKNOWN_FUNCTION = SMCCC_NOT_SUPPORTED;
