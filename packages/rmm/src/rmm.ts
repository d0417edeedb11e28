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
import { Page, Pages, toNumber } from "./views.js";

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
  /** Where RmiRecExit is put together. Scratch: begun and written out in one step. */
  readonly exit = new RecExit(0n, new Page(new Uint8Array(RmiRecExit.size)));

  /** The PE of this step, and its ports to Realm and Host memory. */
  pe!: Pe;
  /** The PE's state as 32-bit words: the register of slot s in words 2s and 2s + 1. */
  words!: Uint32Array;
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
  private readonly globalsAt: number;
  private readonly contextsAt: number;

  constructor({ crypto, board, trace, isolation = rme, pauth = false }: RmmOptions) {
    this.crypto = crypto;
    this.trace = trace;
    this.isolation = isolation;
    this.pauth = pauth;
    this.map = memoryMap(board.realm);
    this.globalsAt = Number(this.map.globals);
    this.contextsAt = Number(this.map.peContexts);
    this.granules = new GranuleTable(this);
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
    this.registers = this.peRegisters[pe.index] ??= new PeRegisters(pe);
    this.words = this.registers.words;
    this.realmMemory = this.isolation.protectedMemory(pe);
    this.hostMemory = this.isolation.hostMemory(pe);
    this.granules.begin();
    this.factsHold = false;
    this.context = undefined;
    this.lastRec = undefined;
  }

  /** Xn of the PE. */
  x(n: number): bigint {
    return this.pe.r[R.X0 + n]!;
  }

  /** A granule of the Realm PAS, in place, with its views. */
  page(pa: number): Page {
    return this.pages.of(pa, this.bytesAt(pa));
  }

  /** A granule of the Realm PAS, in place. */
  bytesAt(pa: bigint | number): Uint8Array {
    const data = this.realmMemory.granule(pa);
    if (isFault(data)) throw new Error(`invariant broken: Realm memory at 0x${pa.toString(16)} (${data.fault})`);
    return data;
  }

  read64(pa: bigint): bigint {
    const value = this.realmMemory.read64(pa);
    if (isFault(value)) throw new Error(`invariant broken: Realm memory at 0x${pa.toString(16)} (${value.fault})`);
    return value;
  }

  write64(pa: bigint, value: bigint): void {
    invariant(this.realmMemory.write64(pa, value) === undefined, "Realm memory", pa);
  }

  wipe(pa: bigint): void {
    invariant(this.realmMemory.zero(pa, GRANULE_SIZE) === undefined, "Realm memory", pa);
  }

  globals(): Globals {
    return this.page(this.globalsAt).as(Globals, this.map.globals);
  }

  /** The globals, decoded. */
  facts(): Facts {
    if (!this.factsHold) {
      const globals = this.page(this.globalsAt);
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
      const pa = this.contextsAt + this.pe.index * GRANULE_SIZE;
      this.context = this.page(pa).as(PeContext, BigInt(pa));
      this.context.registers = this.registers;
    }
    return this.context;
  }

  /** The granule at an address that the Host gave, if it is in `state`; else what is wrong, in this order. */
  granuleIn(addr: bigint, state: GranuleState): Granule | GranuleProblem {
    if ((addr & 0xfffn) !== 0n) return "align";
    const granule = this.granules.at(addr);
    if (granule === undefined) return "bound";
    if (granule.state !== state) return "state";
    return granule;
  }

  /**
   * A granule of the Host's memory, in place, for this step only, with its views: `pas` when the GPT does not let the Host
   * itself get at it.
   */
  hostPage(addr: bigint): Page | "align" | "bound" | "pas" {
    const bytes = this.hostGranule(addr);
    return typeof bytes === "string" ? bytes : this.pages.of(toNumber(addr), bytes);
  }

  /** The same without views: for a granule that is looked at once. */
  hostGranule(addr: bigint): Uint8Array | "align" | "bound" | "pas" {
    if ((addr & 0xfffn) !== 0n) return "align";
    if (this.granules.at(addr) === undefined) return "bound";
    const data = this.hostMemory.granule(addr);
    if (isFault(data)) return "pas";
    return data;
  }

  rd(addr: bigint): Rd {
    return this.page(toNumber(addr)).as(Rd, addr);
  }

  rec(addr: bigint): Rec {
    if (this.lastRec?.addr === addr) return this.lastRec;
    return (this.lastRec = this.page(toNumber(addr)).as(Rec, addr));
  }

  emit(category: TraceCategory, name: string, fields: Record<string, TraceValue>): void {
    this.trace?.emit({ category, name, fields });
  }
}

/** X0 for a function that nobody knows. */
export const UNKNOWN_FUNCTION = SMCCC_NOT_SUPPORTED;
