/**
 * The isolation seam: everything that the RMM core wants from the hardware which keeps the Host out of a Realm. RME is
 * the first implementation (`rme.ts`); implementations on TrustZone stand beside it. Above the seam are commands, their
 * conditions, object states, measurement and token: the same for all.
 *
 * Implementations hold no state: what outlives a step is in PE registers and in the RMM's memory.
 */
import type { MemoryPort, Pe, SlotExit } from "@realmbox/machine";
import type { PeContext } from "../memory-map.js";
import type { Rec, RecEnter } from "../rec/rec.js";
import type { Page } from "../views.js";

/** What stage 2 of a Realm is made of. */
export interface Stage2 {
  readonly ipaWidth: number;
  readonly rttBase: bigint;
  readonly rttLevelStart: number;
  readonly vmid: number;
  /** PA size of the machine as VTCR_EL2.PS encodes it. */
  readonly paRange: number;
  /** 8 or 16. */
  readonly vmidBits: number;
}

/** Values of the EL2 registers that point the hardware at a Realm's tables; kept in the RD. */
export interface Stage2Registers {
  readonly vtcr: bigint;
  readonly vttbr: bigint;
}

/** What differs from one REC entry to the next. */
export interface EntryControls {
  readonly trapWfi: boolean;
  readonly trapWfe: boolean;
  /** The virtual SError of the REC's `vsesr` is due. */
  readonly vserror: boolean;
}

export interface Isolation {
  readonly name: string;

  /** Memory that only the RMM and Realms reach. */
  protectedMemory(pe: Pe): MemoryPort;
  /** The Host's memory. Every access may fail: the Host delegates what it likes. */
  hostMemory(pe: Pe): MemoryPort;

  /** Takes the granule of a frame out of the Host's reach; false when it was not the Host's to give. Changes X0 to X17. */
  protect(pe: Pe, frame: number): boolean;
  /** Gives a granule back. Cannot fail for one that `protect` took. Changes X0 to X17. */
  unprotect(pe: Pe, frame: number): void;

  stage2Registers(stage2: Stage2): Stage2Registers;
  /** Forgets translations of [ipa, ipa + size) of a VMID on all PEs: last level and table walk. */
  invalidate(pe: Pe, vmid: number, range: { readonly ipa: bigint; readonly size: bigint }): void;
  /** Forgets all translations of a VMID on all PEs. */
  invalidateVmid(pe: Pe, vmid: number): void;

  /** Puts the Host's EL1 state aside into `context` and the REC's whole state into the PE. */
  load(pe: Pe, rec: Rec, context: PeContext, controls: EntryControls): void;
  /** Puts the PE's state into the REC and the Host's EL1 state, out of `context`, back into the PE. */
  save(pe: Pe, rec: Rec, context: PeContext): void;
  /** Makes a virtual SError of syndrome `esr` due for the loaded REC. */
  requestVserror(pe: Pe, rec: Rec, esr: bigint): void;
  /** Whether a virtual SError is due that the REC has not taken yet. */
  vserrorPending(pe: Pe): boolean;
  /** Breakpoints and watchpoints of the loaded REC into the PE, the Host's into `context`: when MDSCR_EL1.MDE becomes 1. */
  loadDebug(rec: Rec, context: PeContext): void;
  /** The Host's back: when it becomes 0. */
  unloadDebug(context: PeContext): void;
  /** Gives the SIMD registers to the REC, whose state is in `simd`; the Host's go to `context`. Ends the trap. */
  loadSimd(pe: Pe, simd: Page, context: PeContext): void;
  /** The way back. */
  saveSimd(pe: Pe, simd: Page, context: PeContext): void;
  /** Runs, or goes on running, the REC that is loaded. */
  resume(): SlotExit;

  /** The list registers and their control: virtual interrupts of the REC that is loaded. */
  readonly interrupts: {
    /** Copies list registers and the Host's bits of ICH_HCR_EL2 into the REC's saved state, before `load`. */
    give(rec: Rec, enter: RecEnter, listRegisters: number): void;
    /** ICH_MISR_EL2 now. */
    misr(pe: Pe): bigint;
  };

  /** Ends a command: the Host goes on with `results` in X0 to X4, two words each. */
  returnToHost(pe: Pe, results: Int32Array): SlotExit;

  /** Sets the registers of the RMM's own level that no entry changes; once per boot of a PE. */
  prepare(pe: Pe): void;
  /** Ends boot on this PE with an RmmBootStatus. */
  bootComplete(pe: Pe, status: bigint): SlotExit;
  /** The private Realm Attestation Key, from the root of trust; undefined when it has none. Changes X0 to X17. */
  realmAttestationKey(pe: Pe, sharedPage: bigint): Uint8Array | undefined;
  /** The platform token over `challenge`; undefined when there is none. Changes X0 to X17. */
  platformToken(pe: Pe, sharedPage: bigint, challenge: Uint8Array, sizeMax: number): Uint8Array | undefined;
}
