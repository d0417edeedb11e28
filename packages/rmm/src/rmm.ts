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
import { rmiCall } from "./rmi/dispatch.js";

export interface RmmOptions {
  readonly crypto: Crypto;
  readonly board: Board;
  readonly trace?: Trace;
  /** Bytes that identify the code, for the Root Monitor to measure; name and version when absent. */
  readonly image?: Uint8Array;
  /** RME when absent. */
  readonly isolation?: Isolation;
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
  readonly map: MemoryMap;
  readonly granules: GranuleTable;
  /** Where RmiRecExit is put together. Scratch: begun and written out in one step. */
  readonly exit = new RecExit(0n, new Uint8Array(RmiRecExit.size));

  /** The PE of this step, and its ports to Realm and Host memory. */
  pe!: Pe;
  /** The PE's state as 32-bit words: the register of slot s in words 2s and 2s + 1. */
  words!: Uint32Array;
  private readonly peWords: Uint32Array[] = [];
  realmMemory!: MemoryPort;
  hostMemory!: MemoryPort;

  // Found once in a step, forgotten by `begin`.
  private context: PeContext | undefined;
  private lastRec: Rec | undefined;
  private factsHold = false;
  private known: Facts | undefined;

  constructor({ crypto, board, trace, isolation = rme }: RmmOptions) {
    this.crypto = crypto;
    this.trace = trace;
    this.isolation = isolation;
    this.map = memoryMap(board.realm);
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
    this.words = this.peWords[pe.index] ??= new Uint32Array(pe.r.buffer, pe.r.byteOffset, 2 * pe.r.length);
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

  /** A granule of the Realm PAS, in place. */
  bytesAt(pa: bigint): Uint8Array {
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
    return new Globals(this.map.globals, this.bytesAt(this.map.globals));
  }

  /** The globals, decoded. */
  facts(): Facts {
    if (!this.factsHold) {
      const bytes = this.bytesAt(this.map.globals);
      if (!this.known?.holdFor(bytes)) this.known = new Facts(bytes);
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
      const pa = this.map.peContexts + BigInt(this.pe.index * GRANULE_SIZE);
      this.context = new PeContext(pa, this.bytesAt(pa));
    }
    return this.context;
  }

  /** The granule at an address that the Host gave, if it is in `state`; else what is wrong, in this order. */
  granuleIn(addr: bigint, state: GranuleState): Granule | GranuleProblem {
    if ((addr & 0xfffn) !== 0n) return "align";
    const granule = this.granules.at(addr);
    if (granule === undefined) return "bound";
    return granule.state === state ? granule : "state";
  }

  /**
   * The bytes of a granule of the Host's memory, in place, for this step only: `pas` when the GPT does not let the Host
   * itself get at it.
   */
  hostGranule(addr: bigint): Uint8Array | "align" | "bound" | "pas" {
    if ((addr & 0xfffn) !== 0n) return "align";
    if (this.granules.at(addr) === undefined) return "bound";
    const data = this.hostMemory.granule(addr);
    return isFault(data) ? "pas" : data;
  }

  rd(addr: bigint): Rd {
    return new Rd(addr, this.bytesAt(addr));
  }

  rec(addr: bigint): Rec {
    if (this.lastRec?.addr === addr) return this.lastRec;
    return (this.lastRec = new Rec(addr, this.bytesAt(addr)));
  }

  emit(category: TraceCategory, name: string, fields: Record<string, TraceValue>): void {
    this.trace?.emit({ category, name, fields });
  }
}

/** X0 for a function that nobody knows. */
export const UNKNOWN_FUNCTION = SMCCC_NOT_SUPPORTED;
