/**
 * The world switch: what EL3 swaps between Non-secure and Realm state, as blocks of bytes between a PE's state and its
 * context in Root memory. Profile v0 of the RMM-EL3 interface: the EL2 registers with ICC_SRE_EL2, ICH_HCR_EL2 and
 * ICH_VMCR_EL2, the PAuth keys, SP_EL0, general registers, ELR_EL3, SPSR_EL3 and SCR_EL3. Not swapped, because the RMM
 * sees to them when it runs a REC: EL1 and EL0 registers, list registers, FP/SIMD, timers.
 * TF-A, "RMM-EL3 Communication Specification", "EL3 world switch register save restore".
 *
 * Register rules: RMI passes X0 (with the SVE hint) to X7 and keeps nothing else of the Host visible. On the way back
 * the Host's X0 to X4 are the RMM's X1 to X5; its X5 to X30 are as they were.
 */
import { GRANULE_SIZE, invariant, Pas, SPSR_EL2H_MASKED } from "@realmbox/abi";
import { type BlockMove, GROUPS, isFault, type Move, type Pe, PMU_COUNTERS, R } from "@realmbox/machine";
import {
  CONTEXT_NS,
  CONTEXT_REALM,
  type MonitorMap,
  PeContextLayout,
  type Power,
  RmmOnPe,
  WorldLayout,
} from "./memory-map.js";

/** SCR_EL3. RES1 5:4; HCE, SIF, RW; APK and API: PAuth is not trapped; EEL2; EnSCXT; FGTEn, ECVEn, HXEn. */
const SCR_COMMON =
  (0b11n << 4n) |
  (1n << 8n) |
  (1n << 9n) |
  (1n << 10n) |
  (1n << 16n) |
  (1n << 17n) |
  (1n << 18n) |
  (1n << 25n) |
  (1n << 27n) |
  (1n << 28n) |
  (1n << 38n);
const SCR_NS = 1n << 0n;
const SCR_NSE = 1n << 62n;
const SCR_FIQ = 1n << 2n;
const SCR_ST = 1n << 11n;
const SCR_EEL2 = 1n << 18n;
/** SCR_EL3 while the Host runs, and while the RMM and its Realms do. IRQ, FIQ, EA and GPF stay 0: EL2 handles them. */
export const SCR_NON_SECURE = SCR_COMMON | SCR_NS;
export const SCR_REALM = SCR_COMMON | SCR_NSE | SCR_NS;
/** While the Host runs beside a Secure world, whose interrupts are FIQs to it: they come to EL3. */
export const SCR_NON_SECURE_FIQ = SCR_NON_SECURE | SCR_FIQ;
/** While the Secure world runs, with EL2 or without; ST: its EL1 has the Secure physical timer. */
export const SCR_SECURE_EL2 = SCR_COMMON | SCR_ST;
export const SCR_SECURE_EL1 = SCR_SECURE_EL2 & ~SCR_EEL2;

/** SCTLR_EL2 with nothing but its RES1 bits: MMU and caches off. */
const SCTLR_EL2_INITIAL = 0x30c5_0830n;
const ICC_SRE_EL2_INITIAL = 0xfn;

const { fields } = WorldLayout;
const EL2 = GROUPS.EL2;
const GPRS = fields.gpr.size / 8;

/** Single registers of a world: their slots in a PE's state, and their words in a world context. */
const SINGLE: readonly (readonly [slot: number, offset: number])[] = [
  [R.SP_EL0, fields.sp_el0.offset],
  [R.ELR_EL3, fields.elr_el3.offset],
  [R.SPSR_EL3, fields.spsr_el3.offset],
  [R.ICH_HCR_EL2, fields.ich.offset],
  [R.ICH_VMCR_EL2, fields.ich.offset + 8],
  ...Array.from({ length: fields.keys.size / 8 }, (_, n) => [R.APIAKeyLo_EL1 + n, fields.keys.offset + 8 * n] as const),
];
const SLOTS = Int32Array.from(SINGLE, ([slot]) => slot);
const WORDS = Int32Array.from(SINGLE, ([, offset]) => offset / 8);

/** The field's low byte, which has all of `RmmOnPe`. */
const RMM_AT = PeContextLayout.fields.rmm.offset;

/** Registers X0 to X7 carry an RMI command's arguments: they stay in place on the way to the RMM. */
const ARGUMENTS = 8;
/** The Host's X0 to X4 are results. */
const RESULTS = 5;

// The two world switches of an RMI command as block moves, between a PE's state and its context granule.
const PE = 0;
const CONTEXT = 1;
const inPe = (slot: number) => ({ base: PE, offset: 8 * slot }) as const;
const inContext = (offset: number) => ({ base: CONTEXT, offset }) as const;
/** Where everything that EL3 swaps, but for the general registers, is in a PE and in a world context. */
const SWAPPED: readonly { readonly slot: number; readonly at: number; readonly size: number }[] = [
  ...SINGLE.map(([slot, at]) => ({ slot, at, size: 8 })),
  { slot: EL2.first, at: fields.el2.offset, size: fields.el2.size },
];
const saving = (world: number): Move[] => [
  { from: inPe(R.X0), to: inContext(world + fields.gpr.offset), size: fields.gpr.size },
  ...SWAPPED.map(({ slot, at, size }) => ({ from: inPe(slot), to: inContext(world + at), size })),
];
/** General registers from X`first` on come back; those before carry something. */
const loading = (world: number, first: number): Move[] => [
  ...SWAPPED.map(({ slot, at, size }) => ({ from: inContext(world + at), to: inPe(slot), size })),
  {
    from: inContext(world + fields.gpr.offset + 8 * first),
    to: inPe(R.X0 + first),
    size: fields.gpr.size - 8 * first,
  },
];
const TO_REALM = [...saving(CONTEXT_NS), ...loading(CONTEXT_REALM, ARGUMENTS)];
const TO_HOST = [
  ...saving(CONTEXT_REALM),
  { from: inPe(R.X0 + 1), to: inPe(R.X0), size: 8 * RESULTS },
  ...loading(CONTEXT_NS, RESULTS),
];

const SCR_LO = 2 * R.SCR_EL3;
const lowOf = (value: bigint): number => Number(BigInt.asIntN(32, value));
const highOf = (value: bigint): number => Number(BigInt.asIntN(32, value >> 32n));
const SCR_REALM_LO = lowOf(SCR_REALM);
const SCR_REALM_HI = highOf(SCR_REALM);

/** Views of one PE's state and of its context granule, made once, and the world switches between the two. */
interface Views {
  readonly granule: Uint8Array;
  readonly pe: Registers;
  readonly ns: World;
  readonly realm: World;
  /** Host addresses of the state and of the granule. */
  readonly peAt: number;
  readonly contextAt: number;
  readonly toRealm: BlockMove;
  readonly toHost: BlockMove;
}

export interface Registers {
  readonly gpr: BigUint64Array;
  readonly el2: BigUint64Array;
}

/** A world context in memory. */
export interface World extends Registers {
  readonly words: BigUint64Array;
}

const registers = (words: BigUint64Array, gpr: number, el2: number): Registers => ({
  gpr: words.subarray(gpr, gpr + GPRS),
  el2: words.subarray(el2, el2 + EL2.count),
});

/** The registers that a world context has, in a PE's state. */
export const registersOf = (pe: Pe): Registers => registers(pe.r, R.X0, EL2.first);

export function worldAt(granule: Uint8Array, offset: number): World {
  const words = new BigUint64Array(granule.buffer, granule.byteOffset + offset, WorldLayout.size / 8);
  return { words, ...registers(words, fields.gpr.offset / 8, fields.el2.offset / 8) };
}

export class Worlds {
  readonly #map: MonitorMap;
  readonly #views: Views[] = [];
  /** Frame numbers of the context granules. */
  readonly #contextsAt: number[] = [];

  /** SCR_EL3 while the Host runs, and its words. */
  readonly #scrHost: bigint;
  readonly #scrHostLo: number;
  readonly #scrHostHi: number;

  constructor(map: MonitorMap, { secure = false }: { secure?: boolean } = {}) {
    this.#map = map;
    this.#scrHost = secure ? SCR_NON_SECURE_FIQ : SCR_NON_SECURE;
    this.#scrHostLo = lowOf(this.#scrHost);
    this.#scrHostHi = highOf(this.#scrHost);
  }

  /** Views for a context granule, which the caller has just got through its port. */
  #viewsOf(pe: Pe, granule: Uint8Array): Views {
    const known = this.#views[pe.index];
    if (known?.granule === granule) return known;
    return (this.#views[pe.index] = {
      granule,
      pe: registersOf(pe),
      ns: worldAt(granule, CONTEXT_NS),
      realm: worldAt(granule, CONTEXT_REALM),
      peAt: pe.bytes.byteOffset,
      contextAt: granule.byteOffset,
      toRealm: pe.blockMove(TO_REALM),
      toHost: pe.blockMove(TO_HOST),
    });
  }

  /** The context granule of a PE, in place. */
  context(pe: Pe, index = pe.index): Uint8Array {
    const frame = (this.#contextsAt[index] ??= Number(this.#map.context(index)) / GRANULE_SIZE);
    const granule = pe.port(Pas.ROOT).page(frame);
    invariant(!isFault(granule), "PE contexts are in Root memory", index);
    return granule;
  }

  /** Worlds as they are before the first entry: EL2 registers at their initial values, all else zero. */
  initialise(pe: Pe, worlds: readonly number[]): void {
    const context = this.context(pe);
    const views = this.#viewsOf(pe, context);
    views.pe.el2.fill(0n);
    pe.r[R.SCTLR_EL2] = SCTLR_EL2_INITIAL;
    pe.r[R.ICC_SRE_EL2] = ICC_SRE_EL2_INITIAL;
    // TF-A leaves them zero; a Host that runs EL1 code without setting them then reads no MPIDR at all.
    pe.r[R.VPIDR_EL2] = pe.mrs("MIDR_EL1");
    pe.r[R.VMPIDR_EL2] = pe.mpidr;
    // HPMN as a reset leaves it, as TF-A: all event counters are EL1's too.
    pe.r[R.MDCR_EL2] = BigInt(PMU_COUNTERS);
    for (const world of worlds) {
      context.fill(0, world, world + WorldLayout.size);
      (world === CONTEXT_NS ? views.ns : views.realm).el2.set(views.pe.el2);
    }
  }

  /** Enters the RMM for its boot on this PE: `arguments_` in X0 to X3, EL2h, everything masked. */
  enterRmmBoot(pe: Pe, { entry, arguments_ }: { entry: bigint; arguments_: readonly bigint[] }): void {
    const views = this.#viewsOf(pe, this.context(pe));
    load(pe, views.pe, views.realm);
    views.pe.gpr.fill(0n);
    arguments_.forEach((value, n) => {
      pe.r[R.X0 + n] = value;
    });
    pe.r[R.ELR_EL3] = entry;
    pe.r[R.SPSR_EL3] = SPSR_EL2H_MASKED;
    pe.r[R.SCR_EL3] = SCR_REALM;
  }

  /** Keeps what the RMM has at its RMM_BOOT_COMPLETE: its next entry goes on from there. */
  leaveRmmBoot(pe: Pe): void {
    const views = this.#viewsOf(pe, this.context(pe));
    save(pe, views.pe, views.realm);
  }

  /** Starts the Non-secure world on this PE: EL2h, everything masked, MMU off. */
  enterHost(pe: Pe, { entry, arguments_ }: { entry: bigint; arguments_: readonly bigint[] }): void {
    const views = this.#viewsOf(pe, this.context(pe));
    load(pe, views.pe, views.ns);
    views.pe.gpr.fill(0n);
    arguments_.forEach((value, n) => {
      pe.r[R.X0 + n] = value;
    });
    pe.r[R.ELR_EL3] = entry;
    pe.r[R.SPSR_EL3] = SPSR_EL2H_MASKED;
    pe.r[R.SCR_EL3] = this.#scrHost;
  }

  /** Keeps the Host, for a switch to the Secure world. */
  saveHost(pe: Pe): void {
    const views = this.#viewsOf(pe, this.context(pe));
    save(pe, views.pe, views.ns);
  }

  /** Brings the Host back as it was kept, general registers included. */
  loadHost(pe: Pe): void {
    const views = this.#viewsOf(pe, this.context(pe));
    load(pe, views.pe, views.ns);
    views.pe.gpr.set(views.ns.gpr);
    pe.r[R.SCR_EL3] = this.#scrHost;
  }

  /**
   * An RMI command: from the Host to the RMM, which goes on after its last SMC with X0 to X7 of the Host. False, and
   * nothing happens, when no RMM is ready on this PE.
   */
  toRealm(pe: Pe): boolean {
    const context = this.context(pe);
    if (context[RMM_AT] !== RmmOnPe.READY) return false;
    const { toRealm, peAt, contextAt } = this.#viewsOf(pe, context);
    toRealm(peAt, contextAt, 0);
    const { w } = pe;
    w[SCR_LO] = SCR_REALM_LO;
    w[SCR_LO + 1] = SCR_REALM_HI;
    return true;
  }

  /** RMI_REQ_COMPLETE: from the RMM back to the Host, with the RMM's X1 to X5 as results. False while the RMM boots. */
  toHost(pe: Pe): boolean {
    const context = this.context(pe);
    if (context[RMM_AT] === RmmOnPe.BOOTING) return false;
    const { toHost, peAt, contextAt } = this.#viewsOf(pe, context);
    toHost(peAt, contextAt, 0);
    const { w } = pe;
    w[SCR_LO] = this.#scrHostLo;
    w[SCR_LO + 1] = this.#scrHostHi;
    return true;
  }

  // The power state of a PE

  power(pe: Pe, index = pe.index): Power {
    return PeContextLayout.fields.power.read(viewOf(this.context(pe, index)), 0) as Power;
  }

  setPower(pe: Pe, power: Power, index = pe.index): void {
    this.#setField(pe, index, "power", power);
  }

  /** What the RMM is on a PE. */
  rmm(pe: Pe): RmmOnPe {
    return this.context(pe)[RMM_AT] as RmmOnPe;
  }

  setRmm(pe: Pe, state: RmmOnPe, index = pe.index): void {
    this.#setField(pe, index, "rmm", state);
  }

  /** Where the Non-secure world starts next on a PE, and its X0. */
  setEntry(pe: Pe, { index, entry, contextId }: { index: number; entry: bigint; contextId: bigint }): void {
    const view = viewOf(this.context(pe, index));
    PeContextLayout.fields.entry.write(view, 0, entry);
    PeContextLayout.fields.context_id.write(view, 0, contextId);
  }

  entry(pe: Pe): { entry: bigint; contextId: bigint } {
    const view = viewOf(this.context(pe));
    return {
      entry: PeContextLayout.fields.entry.read(view, 0),
      contextId: PeContextLayout.fields.context_id.read(view, 0),
    };
  }

  #setField(pe: Pe, index: number, name: "power" | "rmm", value: number): void {
    PeContextLayout.fields[name].write(viewOf(this.context(pe, index)), 0, value);
  }
}

/** Keeps a world: everything that EL3 swaps. */
export function save({ r }: Pe, from: Registers, world: World): void {
  world.gpr.set(from.gpr);
  for (let n = 0; n < SLOTS.length; n++) world.words[WORDS[n]!] = r[SLOTS[n]!]!;
  world.el2.set(from.el2);
}

/** Brings a world back but for its general registers, some of which carry arguments or results. */
export function load({ r }: Pe, to: Registers, world: World): void {
  for (let n = 0; n < SLOTS.length; n++) r[SLOTS[n]!] = world.words[WORDS[n]!]!;
  to.el2.set(world.el2);
}

const viewOf = (granule: Uint8Array): DataView => new DataView(granule.buffer, granule.byteOffset, GRANULE_SIZE);
