/**
 * One processing element as native firmware and the library see it.
 */
import type { Pas, SecurityState } from "@realmbox/abi";
import type { BlockMove, Move } from "./block-moves.js";
import type { TimerName } from "./irq.js";
import type { MemoryPort, SlotName } from "./slot.js";

export interface Pe {
  /** 0 to the number of PEs minus 1: the linear index. */
  readonly index: number;
  readonly mpidr: bigint;
  /**
   * The whole architectural state, by slot: `pe.r[R.X0 + n]`, `pe.r[R.HCR_EL2]`. Native firmware reads and writes plain
   * storage here; the machine recomputes what depends on it (translation context, interrupt lines, timers) when the
   * slot's step ends. Registers with effects of their own go through `mrs` and `msr`.
   */
  readonly r: BigUint64Array;
  /** The same state as 32-bit words, for hot paths: a register's low word is at twice its slot. */
  readonly w: Int32Array;
  /** The same state as bytes, for block moves: `GROUPS.EL1.first * 8` and so on. */
  readonly bytes: Uint8Array;

  readonly el: 0 | 1 | 2 | 3;
  readonly state: SecurityState;
  /** PSTATE in SPSR format, NZCV included. */
  pstate: bigint;
  /** NZCV in bits 31:28. */
  nzcv: bigint;

  /**
   * An MRS or MSR as the current EL makes it, by register name as the tables of `sysreg/` list it ("ICC_IAR1_EL1"), for
   * registers with effects. Throws when the name is unknown or the access would be UNDEFINED: a defect of the firmware.
   */
  mrs(name: string): bigint;
  msr(name: string, value: bigint): void;
  /** CNTV/CNTP/CNTHP/CNTHV control with ISTATUS computed at the current count. */
  timerCtl(timer: TimerName): bigint;

  /**
   * The port through which the native firmware of this PE's current Security state reaches a PAS; throws when the state
   * has no such PAS.
   */
  port(pas: Pas): MemoryPort;

  /**
   * An SMC from native firmware to native firmware that enters no lower EL: the RMM asks the monitor for a GPT change.
   * Arguments and results are X0..X17 of the state, as in a real SMC. Counted and traced like one.
   */
  smcNow(): void;

  /** TLBI RPALOS of one granule by its frame number: GPT information of it is stale, on all PEs. */
  invalidateGranule(pfn: number): void;

  /** The function that makes a list of moves over the machine's memory: compiled once for each list. */
  blockMove(moves: readonly Move[]): BlockMove;

  /** TLB maintenance by native firmware, as the TLBI of that name would do at its EL, on all PEs. */
  tlbi(operation: TlbiOperation): void;

  /**
   * Native firmware computes for up to `counts` of the machine's clock; returns how many it got before something else is
   * due: an interrupt, a timer, another PE's turn. 0 says that it is due now.
   */
  compute(counts: number): number;

  /** Which slot, if any, the PE is in now. */
  readonly slot: SlotName | undefined;
}

export type TlbiOperation =
  /** All of a VMID in the current Security state, both stages. */
  | { readonly kind: "vmalls12e1"; readonly vmid: number }
  /** [ipa, ipa + size) of a VMID in the current Security state. */
  | { readonly kind: "ipas2e1"; readonly vmid: number; readonly ipa: bigint; readonly size: bigint }
  | { readonly kind: "alle2" }
  /** GPT information of [pa, pa + size). */
  | { readonly kind: "rpalos"; readonly pa: bigint; readonly size: bigint }
  | { readonly kind: "paall" };
