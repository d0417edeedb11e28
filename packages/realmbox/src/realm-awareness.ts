/**
 * Whether what runs as a realm knows that it is one. A kernel without realm support takes itself for a plain VM: its first
 * access to a device goes to the protected half of the IPA space, where nothing is, and the RMM answers with a Synchronous
 * External Abort (DEN0137 1.0-rel0, "Realm access to memory"). It then panics before it has a console, and loops for ever.
 * Nobody at Non-secure EL2 can see that; the trace of the machine shows it.
 */
import type { StampedTraceEvent } from "@realmbox/abi";
import type { Machine } from "@realmbox/machine";

/** Clock counts between the abort and the verdict: what a realm that looks first and asks later may take. */
const GRACE = 20_000_000;

export class RealmAwareness {
  readonly #machine: Machine;
  readonly #deviceTop: bigint;
  readonly #unsubscribe: () => void;
  #refused: { readonly ipa: bigint; readonly at: number } | undefined;
  #known = false;

  /** Watches from now on; devices lie below `deviceTop`, an IPA. */
  constructor(machine: Machine, deviceTop: bigint) {
    this.#machine = machine;
    this.#deviceTop = deviceTop;
    this.#unsubscribe = machine.trace.subscribe(["rsi", "fault"], (event) => this.#saw(event));
  }

  /** Why the guest cannot go on, once it is clear that it has no realm support. */
  get verdict(): string | undefined {
    if (this.#refused === undefined || this.#machine.now < this.#refused.at + GRACE) return undefined;
    return (
      `the guest has no realm support: it accessed a device at the protected IPA 0x${this.#refused.ipa.toString(16)} ` +
      "and has made no RSI call. Linux supports realms since 6.13 (in Debian: kernel 7.x of forky and sid); " +
      "without --realm this image runs as a normal VM"
    );
  }

  #saw({ category, name, fields, at }: StampedTraceEvent): void {
    if (this.#known) return;
    if (category === "rsi" && name.startsWith("RSI_")) {
      this.#known = true;
      this.#refused = undefined;
      this.#unsubscribe();
    } else if (name === "SEA to the Realm" && this.#refused === undefined) {
      const ipa = fields.ipa as bigint;
      if (ipa < this.#deviceTop) this.#refused = { ipa, at };
    }
  }
}
