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
import { GROUPS, type GroupName, isFault, type Pe, R } from "@realmbox/machine";
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
/** SCR_EL3 while the Host runs, and while the RMM and its Realms do. IRQ, FIQ, EA and GPF stay 0: EL2 handles them. */
export const SCR_NON_SECURE = SCR_COMMON | SCR_NS;
export const SCR_REALM = SCR_COMMON | SCR_NSE | SCR_NS;

/** SCTLR_EL2 with nothing but its RES1 bits: MMU and caches off. */
const SCTLR_EL2_INITIAL = 0x30c5_0830n;
const ICC_SRE_EL2_INITIAL = 0xfn;

const bytesOf = (group: GroupName) => ({ at: GROUPS[group].first * 8, size: GROUPS[group].count * 8 });
const EL2 = bytesOf("EL2");
const X0 = R.X0 * 8;
const SP_EL0 = R.SP_EL0 * 8;
const ELR_SPSR = R.ELR_EL3 * 8;
const ICH = R.ICH_HCR_EL2 * 8;
const KEYS = R.APIAKeyLo_EL1 * 8;
const GPR_SIZE = WorldLayout.fields.gpr.size;
const KEYS_SIZE = WorldLayout.fields.keys.size;
const AT = {
  gpr: WorldLayout.fields.gpr.offset,
  sp_el0: WorldLayout.fields.sp_el0.offset,
  elr: WorldLayout.fields.elr_el3.offset,
  ich: WorldLayout.fields.ich.offset,
  keys: WorldLayout.fields.keys.offset,
  el2: WorldLayout.fields.el2.offset,
};
invariant(
  R.SPSR_EL3 === R.ELR_EL3 + 1 && R.ICH_VMCR_EL2 === R.ICH_HCR_EL2 + 1,
  "slots that move together are neighbours",
);
invariant(WorldLayout.fields.spsr_el3.offset === AT.elr + 8, "ELR_EL3 and SPSR_EL3 are neighbours in the context");

const RMM_AT = PeContextLayout.fields.rmm.offset;

/** Registers X0 to X7 carry an RMI command's arguments: they stay in place on the way to the RMM. */
const ARGUMENTS = 8;
/** The Host's X0 to X4 are results. */
const RESULTS = 5;

/** Views of one PE's state, made once. */
interface Views {
  readonly gpr: Uint8Array;
  readonly spEl0: Uint8Array;
  readonly elr: Uint8Array;
  readonly ich: Uint8Array;
  readonly keys: Uint8Array;
  readonly el2: Uint8Array;
}

export class Worlds {
  readonly #map: MonitorMap;
  readonly #views: Views[] = [];

  constructor(map: MonitorMap) {
    this.#map = map;
  }

  #viewsOf(pe: Pe): Views {
    return (this.#views[pe.index] ??= {
      gpr: pe.bytes.subarray(X0, X0 + GPR_SIZE),
      spEl0: pe.bytes.subarray(SP_EL0, SP_EL0 + 8),
      elr: pe.bytes.subarray(ELR_SPSR, ELR_SPSR + 16),
      ich: pe.bytes.subarray(ICH, ICH + 16),
      keys: pe.bytes.subarray(KEYS, KEYS + KEYS_SIZE),
      el2: pe.bytes.subarray(EL2.at, EL2.at + EL2.size),
    });
  }

  /** The context granule of a PE, in place. */
  context(pe: Pe, index = pe.index): Uint8Array {
    const granule = pe.port(Pas.ROOT).granule(this.#map.context(index));
    invariant(!isFault(granule), "PE contexts are in Root memory", index);
    return granule;
  }

  /** Worlds as they are before the first entry: EL2 registers at their initial values, all else zero. */
  initialise(pe: Pe, worlds: readonly number[]): void {
    const context = this.context(pe);
    const views = this.#viewsOf(pe);
    views.el2.fill(0);
    pe.r[R.SCTLR_EL2] = SCTLR_EL2_INITIAL;
    pe.r[R.ICC_SRE_EL2] = ICC_SRE_EL2_INITIAL;
    // TF-A leaves them zero; a Host that runs EL1 code without setting them then reads no MPIDR at all.
    pe.r[R.VPIDR_EL2] = pe.mrs("MIDR_EL1");
    pe.r[R.VMPIDR_EL2] = pe.mpidr;
    for (const world of worlds) {
      context.fill(0, world, world + WorldLayout.size);
      context.set(views.el2, world + AT.el2);
    }
  }

  /** Enters the RMM for its boot on this PE: `arguments_` in X0 to X3, EL2h, everything masked. */
  enterRmmBoot(pe: Pe, { entry, arguments_ }: { entry: bigint; arguments_: readonly bigint[] }): void {
    this.#load(pe, this.context(pe), CONTEXT_REALM);
    this.#viewsOf(pe).gpr.fill(0);
    arguments_.forEach((value, n) => {
      pe.r[R.X0 + n] = value;
    });
    pe.r[R.ELR_EL3] = entry;
    pe.r[R.SPSR_EL3] = SPSR_EL2H_MASKED;
    pe.r[R.SCR_EL3] = SCR_REALM;
  }

  /** Keeps what the RMM has at its RMM_BOOT_COMPLETE: its next entry goes on from there. */
  leaveRmmBoot(pe: Pe): void {
    const context = this.context(pe);
    const views = this.#viewsOf(pe);
    context.set(views.gpr, CONTEXT_REALM + AT.gpr);
    this.#save(pe, context, CONTEXT_REALM);
  }

  /** Starts the Non-secure world on this PE: EL2h, everything masked, MMU off. */
  enterHost(pe: Pe, { entry, arguments_ }: { entry: bigint; arguments_: readonly bigint[] }): void {
    this.#load(pe, this.context(pe), CONTEXT_NS);
    this.#viewsOf(pe).gpr.fill(0);
    arguments_.forEach((value, n) => {
      pe.r[R.X0 + n] = value;
    });
    pe.r[R.ELR_EL3] = entry;
    pe.r[R.SPSR_EL3] = SPSR_EL2H_MASKED;
    pe.r[R.SCR_EL3] = SCR_NON_SECURE;
  }

  /**
   * An RMI command: from the Host to the RMM, which goes on after its last SMC with X0 to X7 of the Host. False, and
   * nothing happens, when no RMM is ready on this PE.
   */
  toRealm(pe: Pe): boolean {
    const context = this.context(pe);
    if (context[RMM_AT] !== RmmOnPe.READY) return false;
    const views = this.#viewsOf(pe);
    context.set(views.gpr, CONTEXT_NS + AT.gpr);
    this.#save(pe, context, CONTEXT_NS);
    this.#load(pe, context, CONTEXT_REALM);
    const at = CONTEXT_REALM + AT.gpr;
    pe.bytes.set(context.subarray(at + ARGUMENTS * 8, at + GPR_SIZE), X0 + ARGUMENTS * 8);
    pe.r[R.SCR_EL3] = SCR_REALM;
    return true;
  }

  /** RMI_REQ_COMPLETE: from the RMM back to the Host, with the RMM's X1 to X5 as results. False while the RMM boots. */
  toHost(pe: Pe): boolean {
    const context = this.context(pe);
    if (context[RMM_AT] === RmmOnPe.BOOTING) return false;
    const views = this.#viewsOf(pe);
    context.set(views.gpr, CONTEXT_REALM + AT.gpr);
    this.#save(pe, context, CONTEXT_REALM);
    this.#load(pe, context, CONTEXT_NS);
    pe.bytes.copyWithin(X0, X0 + 8, X0 + 8 + RESULTS * 8);
    const at = CONTEXT_NS + AT.gpr;
    pe.bytes.set(context.subarray(at + RESULTS * 8, at + GPR_SIZE), X0 + RESULTS * 8);
    pe.r[R.SCR_EL3] = SCR_NON_SECURE;
    return true;
  }

  /** Everything of a world but its general registers. */
  #save(pe: Pe, context: Uint8Array, world: number): void {
    const views = this.#viewsOf(pe);
    context.set(views.spEl0, world + AT.sp_el0);
    context.set(views.elr, world + AT.elr);
    context.set(views.ich, world + AT.ich);
    context.set(views.keys, world + AT.keys);
    context.set(views.el2, world + AT.el2);
  }

  #load(pe: Pe, context: Uint8Array, world: number): void {
    const { bytes } = pe;
    bytes.set(context.subarray(world + AT.sp_el0, world + AT.sp_el0 + 8), SP_EL0);
    bytes.set(context.subarray(world + AT.elr, world + AT.elr + 16), ELR_SPSR);
    bytes.set(context.subarray(world + AT.ich, world + AT.ich + 16), ICH);
    bytes.set(context.subarray(world + AT.keys, world + AT.keys + KEYS_SIZE), KEYS);
    bytes.set(context.subarray(world + AT.el2, world + AT.el2 + EL2.size), EL2.at);
  }

  // The power state of a PE

  power(pe: Pe, index = pe.index): Power {
    return this.#field(pe, index, "power") as Power;
  }

  setPower(pe: Pe, power: Power, index = pe.index): void {
    this.#setField(pe, index, "power", power);
  }

  /** What the RMM is on a PE. */
  rmm(pe: Pe): RmmOnPe {
    return this.#field(pe, pe.index, "rmm") as RmmOnPe;
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

  #field(pe: Pe, index: number, name: "power" | "rmm"): number {
    return PeContextLayout.fields[name].read(viewOf(this.context(pe, index)), 0);
  }

  #setField(pe: Pe, index: number, name: "power" | "rmm", value: number): void {
    PeContextLayout.fields[name].write(viewOf(this.context(pe, index)), 0, value);
  }
}

const viewOf = (granule: Uint8Array): DataView => new DataView(granule.buffer, granule.byteOffset, GRANULE_SIZE);
