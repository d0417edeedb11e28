/**
 * Granules: the state machine of delegable memory, and the table that holds it. DEN0137 1.0-rel0, "Granule".
 *
 * Invariants:
 * - Every state but UNDELEGATED implies GPI REALM; only RMI_GRANULE_DELEGATE and _UNDELEGATE ask EL3 for a change.
 * - DELEGATED is the only hub: each other state is entered from it and left to it.
 * - The content of a DELEGATED granule is zero.
 * - The reference count of an RD is its number of RECs; of a REC, 1 while it runs; of an RTT, its number of ASSIGNED and
 *   TABLE entries (a table with count 0 is not live); of all others 0.
 *
 * A table entry has the state in bits 15:12 and the count in bits 11:0.
 */
import { GRANULE_SIZE, invariant } from "@realmbox/abi";
import { GRANULE_ENTRY_SIZE } from "../memory-map.js";
import type { Rmm } from "../rmm.js";
import { toNumber } from "../views.js";

export const GRANULE_STATES = ["UNDELEGATED", "DELEGATED", "RD", "REC", "REC_AUX", "DATA", "RTT"] as const;
export type GranuleState = (typeof GRANULE_STATES)[number];

const STATE_NUMBER = Object.fromEntries(GRANULE_STATES.map((state, i) => [state, i])) as Record<GranuleState, number>;
const REFCOUNT_MAX = 0xfff;

/** One granule: a view of its table entry; valid within the step. */
export class Granule {
  declare readonly addr: bigint;
  private declare readonly rmm: Rmm;
  private declare readonly table: Uint8Array;
  private declare readonly at: number;

  constructor(rmm: Rmm, addr: bigint, table: Uint8Array, at: number) {
    this.rmm = rmm;
    this.addr = addr;
    this.table = table;
    this.at = at;
  }

  get state(): GranuleState {
    return GRANULE_STATES[this.table[this.at + 1]! >> 4]!;
  }

  get refcount(): number {
    return ((this.table[this.at + 1]! & 0xf) << 8) | this.table[this.at]!;
  }

  set refcount(count: number) {
    invariant(count >= 0 && count <= REFCOUNT_MAX, "refcount of a granule", count);
    this.table[this.at] = count & 0xff;
    this.table[this.at + 1] = (this.table[this.at + 1]! & 0xf0) | (count >> 8);
  }

  /** UNDELEGATED or DELEGATED to another state, with reference count 0. */
  become(state: GranuleState): void {
    const from = this.state;
    invariant(from === "UNDELEGATED" || from === "DELEGATED", "a granule changes its state through DELEGATED", from);
    this.set(state, from);
  }

  /** Ends an object's use of the granule: wipes the content, then DELEGATED. */
  reclaim(): void {
    const from = this.state;
    invariant(from !== "UNDELEGATED" && from !== "DELEGATED", "only a granule in use is reclaimed", from);
    this.rmm.wipe(this.addr);
    this.set("DELEGATED", from);
  }

  private set(state: GranuleState, from: GranuleState): void {
    this.table[this.at] = 0;
    this.table[this.at + 1] = STATE_NUMBER[state] << 4;
    const { trace } = this.rmm;
    if (trace?.wants("granule")) trace.emit({ category: "granule", name: state, fields: { addr: this.addr, from } });
  }
}

/** The table of all delegable granules, in the order of the manifest's banks. */
export class GranuleTable {
  private readonly rmm: Rmm;
  private readonly table: number;
  // The page of the table that this step has looked at last.
  private pageIndex = -1;
  private page: Uint8Array | undefined;

  constructor(rmm: Rmm) {
    this.rmm = rmm;
    this.table = Number(rmm.map.granuleTable);
  }

  /** A new step: views of memory do not outlive the last one. */
  begin(): void {
    this.pageIndex = -1;
  }

  /** The granule at `addr` (4 KiB aligned); undefined: no delegable memory is there. */
  at(addr: bigint): Granule | undefined {
    const pa = toNumber(addr);
    for (const bank of this.rmm.facts().banks) {
      if (pa < bank.base || pa >= bank.end) continue;
      const offset = (bank.first + (pa - bank.base) / GRANULE_SIZE) * GRANULE_ENTRY_SIZE;
      const pageIndex = Math.floor(offset / GRANULE_SIZE);
      if (pageIndex !== this.pageIndex) {
        this.page = this.rmm.bytesAt(this.table + pageIndex * GRANULE_SIZE);
        this.pageIndex = pageIndex;
      }
      return new Granule(this.rmm, addr, this.page!, offset % GRANULE_SIZE);
    }
    return undefined;
  }

  /** A granule that the RMM itself named, so that its absence is a defect. */
  get(addr: bigint, state: GranuleState): Granule {
    const granule = this.at(addr);
    invariant(granule !== undefined && granule.state === state, `a granule in state ${state}`, addr);
    return granule;
  }
}
