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
import { addressOf, frameOf } from "../views.js";

export const GRANULE_STATES = ["UNDELEGATED", "DELEGATED", "RD", "REC", "REC_AUX", "DATA", "RTT"] as const;
export type GranuleState = (typeof GRANULE_STATES)[number];

const STATE_NUMBER = Object.fromEntries(GRANULE_STATES.map((state, i) => [state, i])) as Record<GranuleState, number>;
const REFCOUNT_MAX = 0xfff;

/** One granule: a view of its table entry; valid within the step. */
export class Granule {
  /** Its frame number. */
  readonly frame: number;
  private readonly rmm: Rmm;
  private readonly table: Uint8Array;
  private readonly at: number;

  constructor(rmm: Rmm, frame: number, table: Uint8Array, at: number) {
    this.rmm = rmm;
    this.frame = frame;
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
    this.rmm.wipe(this.frame);
    this.set("DELEGATED", from);
  }

  private set(state: GranuleState, from: GranuleState): void {
    this.table[this.at] = 0;
    this.table[this.at + 1] = STATE_NUMBER[state] << 4;
    const { trace } = this.rmm;
    if (trace?.wants("granule"))
      trace.emit({ category: "granule", name: state, fields: { addr: addressOf(this.frame), from } });
  }
}

/** Entries of the granule table in one of its pages. */
const ENTRIES_PER_PAGE = GRANULE_SIZE / GRANULE_ENTRY_SIZE;

/** The table of all delegable granules, in the order of the manifest's banks. */
export class GranuleTable {
  private readonly rmm: Rmm;
  /** Frame of its first page. */
  private readonly table: number;
  // The page of the table that this step has looked at last.
  private pageIndex = -1;
  private page: Uint8Array | undefined;

  constructor(rmm: Rmm) {
    this.rmm = rmm;
    this.table = frameOf(rmm.map.granuleTable);
  }

  /** A new step: views of memory do not outlive the last one. */
  begin(): void {
    this.pageIndex = -1;
  }

  /** The granule of a frame; undefined: no delegable memory is there. */
  at(frame: number): Granule | undefined {
    const { banks } = this.rmm.facts();
    for (let i = 0; i < banks.length; i++) {
      const bank = banks[i]!;
      if (frame < bank.base || frame >= bank.end) continue;
      const entry = bank.first + frame - bank.base;
      const pageIndex = Math.floor(entry / ENTRIES_PER_PAGE);
      if (pageIndex !== this.pageIndex) {
        this.page = this.rmm.pageAt(this.table + pageIndex).bytes;
        this.pageIndex = pageIndex;
      }
      return new Granule(this.rmm, frame, this.page!, (entry % ENTRIES_PER_PAGE) * GRANULE_ENTRY_SIZE);
    }
    return undefined;
  }

  /** A granule that the RMM itself named, so that its absence is a defect. */
  get(frame: number, state: GranuleState): Granule {
    const granule = this.at(frame);
    invariant(granule !== undefined && granule.state === state, "a granule in the state that the RMM knows", state);
    return granule;
  }
}
