/**
 * Firmware slots. Each (Security state, EL) pair above EL1 is a slot: filled with native firmware (TypeScript) or left
 * to emulated code from an image. A slot is a function of an event; nothing ever runs a guest inside a handler.
 *
 * Around a native slot the architecture still happens: the machine performs the exception entry (ESR, ELR, SPSR, FAR of
 * the slot's EL are as hardware leaves them) and then calls `step` instead of fetching from the vector; an `eret` exit is
 * an ERET with ELR and SPSR of the slot's EL; an `smc` exit is a real SMC exception whose return address is a reserved
 * native PC, so that the ERET back to it is the `return` event.
 */

import type { Pas } from "@realmbox/abi";
import type { Fault } from "./fault.js";
import type { Pe } from "./pe.js";

export const SLOT_NAMES = ["root-el3", "realm-el2", "ns-el2", "secure-el2"] as const;
/** Which (Security state, EL) pair. */
export type SlotName = (typeof SLOT_NAMES)[number];

export type SlotEvent =
  /** The first ERET into the slot's EL on this PE, or the reset of the slot at EL3. Registers hold the boot arguments. */
  | { readonly kind: "start" }
  /** The ERET back from the SMC or HVC that the slot made: results are in the general registers. */
  | { readonly kind: "return" }
  /** The wake-up from a `wfi` exit: something is pending. */
  | { readonly kind: "wake" }
  /** An exception to the slot's EL. `lower`: it came from a lower EL. */
  | { readonly kind: "exception"; readonly vector: "sync" | "irq" | "fiq" | "serror"; readonly lower: boolean };

export type SlotExit =
  /** ERET, by ELR_ELx and SPSR_ELx of the slot's EL. */
  | { readonly kind: "eret" }
  /** SMC #0; EL3 is its handler. Not from EL3. */
  | { readonly kind: "smc" }
  /** WFI: the PE sleeps until an interrupt is pending for it; then the `wake` event. */
  | { readonly kind: "wfi" }
  /** The slot stopped this PE for good (PSCI CPU_OFF, SYSTEM_OFF at EL3). */
  | { readonly kind: "off" };

/** Native firmware of one slot; one object serves all PEs. Its state that outlives a step is registered with the machine. */
export interface Firmware {
  readonly name: string;
  /**
   * What the Root Monitor measures as this firmware's image: bytes that identify its code. Native firmware has no
   * loadable image, so it gives a digest of its sources made at build time, or its name and version.
   */
  readonly image: Uint8Array;
  step(pe: Pe, event: SlotEvent): SlotExit;
}

/** The exits without an argument, allocated once. */
export const ERET: SlotExit = { kind: "eret" };
export const SMC: SlotExit = { kind: "smc" };
export const WFI: SlotExit = { kind: "wfi" };
export const OFF: SlotExit = { kind: "off" };

/**
 * Access to physical memory in one PAS, for native firmware and for Host-side devices. Every call checks the GPT, granule
 * by granule, with the issuing Security state; a refusal is a value. Nothing is transferred when any granule refuses.
 */
export interface MemoryPort {
  readonly pas: Pas;
  /** Copies `into.length` bytes from `pa`. */
  copyIn(pa: bigint, into: Uint8Array): Fault | undefined;
  /** Copies `from` to `pa`. */
  copyOut(pa: bigint, from: Uint8Array): Fault | undefined;
  /** An aligned 64-bit read. */
  read64(pa: bigint): bigint | Fault;
  /** An aligned 64-bit write, single-copy atomic. */
  write64(pa: bigint, value: bigint): Fault | undefined;
  /** Zeroes `length` bytes. */
  zero(pa: bigint, length: number): Fault | undefined;
  /**
   * The bytes of the granule at `pa` (aligned), in place. Valid only within the current `step`: a later one may find
   * the granule in another PAS. As long as a page stays where it is, each call gives the same object, so that a caller may
   * keep its own views of it. For reading and for block moves of hot commands, which have addresses as numbers.
   */
  granule(pa: bigint | number): Uint8Array | Fault;
  /** The same by page frame number, `pa` / 4096: a small integer where an address would be a number on the heap. */
  page(pfn: number): Uint8Array | Fault;
}
