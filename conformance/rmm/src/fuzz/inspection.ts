/**
 * Memory, the granule protection tables and the RMM's granule table, as they are, against the ledger; and against a shadow:
 * what no accepted call explains must be as it was. After each call what the call could touch, the granule table, the GPT
 * of the DRAM and the VMIDs, and a few other granules in turn; in full at times.
 *
 * Two structures of the RMM are read as data that is checked: its granule table (2 bytes for each granule, the state in bits
 * 15:12, references in 11:0) and its VMIDs in use (one bit each), at fixed places of the Realm carve-out.
 */
import { type Machine, R } from "@realmbox/machine";
import { SECRET } from "./agent.js";
import { decodeEntry, entrySize, gpiOf, KIND_NAMES, Kind } from "./descriptors.js";
import { DRAM, GRANULES, PAGE, paOf } from "./layout.js";
import { GPI_REALM, type Ledger, type Realm, STATE_NAMES, State, type Table } from "./ledger.js";

/** An invariant that does not hold: which one, and the sentence about it. */
export class Violation extends Error {
  readonly invariant: string;

  constructor(invariant: string, sentence: string) {
    super(sentence);
    this.name = "Violation";
    this.invariant = invariant;
  }
}

const WORDS = PAGE / 4;
const GRANULE_TABLE = 0x15_0000;
const VMIDS = 0x10_1000;
const VMID_WORDS = (2 * PAGE) / 4;
/** The RMM's own pages that no call changes: globals, keys, platform token. */
const CONSTANT_PAGES = [0x10_0000, 0x10_3000, 0x10_4000];
/** Granules that are compared with the shadow after each call, in turn. */
const IN_TURN = 2;
const hex = (pa: number): string => `0x${pa.toString(16)}`;

export class Inspection {
  private readonly machine: Machine;
  private readonly ledger: Ledger;
  private readonly i32: Int32Array;
  /** Index of the first word of each granule in `i32`. */
  private readonly at: Int32Array;
  private readonly shadow = new Int32Array(GRANULES * WORDS);
  private readonly table: number;
  private readonly expectedTable = new Uint16Array(GRANULES);
  private readonly tableWords: Int32Array;
  private readonly vmids: number;
  private readonly expectedVmids = new Int32Array(VMID_WORDS);
  /** First word of the level 1 GPT entries of the DRAM. */
  private readonly gpt: number;
  private readonly expectedGpt = new Int32Array(GRANULES / 8);
  private readonly constants: { readonly what: string; readonly at: number; readonly words: Int32Array }[] = [];
  private turn = 0;
  private rimOffset = 0;
  /** A realm has given a secret away by itself: memory of the Host may hold it. */
  secretsAreOut = false;

  constructor(machine: Machine, ledger: Ledger) {
    const { memory, board } = machine;
    this.machine = machine;
    this.ledger = ledger;
    this.i32 = memory.i32;
    const wordOf = (pa: number) => memory.host(pa) >>> 2;
    this.at = Int32Array.from({ length: GRANULES }, (_, g) => wordOf(paOf(g)));
    const realm = Number(board.realm.base);
    this.table = wordOf(realm + GRANULE_TABLE);
    this.vmids = wordOf(realm + VMIDS);
    // A page of VMIDs follows the other in physical memory; so do their frames when they were touched in this order.
    const second = wordOf(realm + VMIDS + PAGE);
    if (second !== this.vmids + WORDS) throw new Error("the frames of the VMIDs are not in order");
    this.tableWords = new Int32Array(this.expectedTable.buffer);
    const l1 = this.levelOneEntry(DRAM);
    this.gpt = wordOf(l1);
    for (const offset of CONSTANT_PAGES) {
      const at = wordOf(realm + offset);
      this.constants.push({ what: `the RMM's page at +${hex(offset)}`, at, words: this.i32.slice(at, at + WORDS) });
    }
    this.expectAll();
    for (let g = 0; g < GRANULES; g++) this.remember(g);
  }

  /** The bytes of a granule. */
  page(granule: number): Uint8Array {
    return this.machine.memory.pageBytes(this.at[granule]! * 4);
  }

  private readonly read = (pa: number): number | undefined => {
    const { memory } = this.machine;
    return memory.isTouched(pa) ? this.i32[memory.host(pa) >>> 2] : undefined;
  };

  private get gptbr(): bigint {
    return this.machine.pes[0]!.r[R.GPTBR_EL3]! & 0xff_ffff_ffffn;
  }

  /** The physical address of the level 1 entry of a granule, by level 0. */
  private levelOneEntry(pa: number): number {
    const l0 = this.read(Number(this.gptbr) * PAGE + Math.floor(pa / 2 ** 30) * 8)!;
    return ((l0 & ~0xfff) >>> 0) + (Math.floor(pa / 2 ** 16) % 2 ** 14) * 8;
  }

  // What is expected

  /** The ledger has changed about a granule. */
  expect(granule: number): void {
    const { state, gpi } = this.ledger;
    this.expectedTable[granule] = (state[granule]! << 12) | this.ledger.references(granule);
    const shift = (granule & 7) * 4;
    const word = granule >> 3;
    this.expectedGpt[word] = (this.expectedGpt[word]! & ~(0xf << shift)) | (gpi[granule]! << shift);
  }

  /** Realms have come or gone. */
  expectVmids(): void {
    this.expectedVmids.fill(0);
    for (const { params } of this.ledger.realms) this.expectedVmids[params.vmid >> 5]! |= 1 << (params.vmid & 31);
  }

  private expectAll(): void {
    for (let g = 0; g < GRANULES; g++) this.expect(g);
    this.expectVmids();
  }

  // The shadow

  /** The granule's content is right as it is. */
  remember(granule: number): void {
    const at = this.at[granule]!;
    this.shadow.set(this.i32.subarray(at, at + WORDS), granule * WORDS);
  }

  /** Whether RECs may be writing to a granule now. */
  private isWritable(granule: number): boolean {
    const realm = this.ledger.realmOf[granule];
    return realm !== undefined && realm.running > 0 && realm.ram.has(granule);
  }

  /** No accepted call explains a change of this granule. */
  unchanged(granule: number, why: () => string): void {
    if (this.ledger.gpi[granule] !== GPI_REALM || this.isWritable(granule)) return;
    const { i32, shadow } = this;
    const at = this.at[granule]!;
    const from = granule * WORDS;
    for (let i = 0; i < WORDS; i++) {
      if (i32[at + i] === shadow[from + i]) continue;
      const state = STATE_NAMES[this.ledger.state[granule]!]!;
      throw new Violation(
        "no unexplained change",
        `the granule ${hex(paOf(granule))} (${state}) has changed at offset ${hex(4 * i)}: ${why()}`,
      );
    }
  }

  /** An accepted call may have changed this granule: its content is what its state says. */
  verify(granule: number): void {
    const { state, owner, gpi } = this.ledger;
    if (gpi[granule] !== GPI_REALM) {
      if (state[granule] === State.UNDELEGATED) this.isZero(granule, "given back to the Host");
      return;
    }
    switch (state[granule]) {
      case State.DELEGATED:
        this.isZero(granule, "DELEGATED");
        break;
      case State.RTT:
        this.tableAgrees(owner[granule] as Table);
        break;
      case State.RD:
        this.hasMeasurement(owner[granule] as Realm);
    }
    this.remember(granule);
  }

  private isZero(granule: number, what: string): void {
    const at = this.at[granule]!;
    for (let i = 0; i < WORDS; i++) {
      if (this.i32[at + i] !== 0)
        throw new Violation("scrubbed", `the granule ${hex(paOf(granule))} is ${what} and not zero at ${hex(4 * i)}`);
    }
  }

  private tableAgrees(table: Table): void {
    const at = this.at[table.granule]!;
    const { i32 } = this;
    for (let i = 0; i < 512; i++) {
      const { kind, ripas, out, fault } = decodeEntry(i32[at + 2 * i]!, i32[at + 2 * i + 1]!, table.level);
      if (kind === table.kind[i] && ripas === table.ripas[i] && out === table.out[i] && fault === undefined) continue;
      const where = `entry ${i} (IPA ${hex(table.base + i * entrySize(table.level))}, level ${table.level})`;
      const is = `${KIND_NAMES[kind]}, RIPAS ${ripas}, ${hex(out)}${fault === undefined ? "" : `; ${fault}`}`;
      const should = `${KIND_NAMES[table.kind[i]!]}, RIPAS ${table.ripas[i]}, ${hex(table.out[i]!)}`;
      const id =
        ripas !== table.ripas[i] && kind === table.kind[i] ? "RIPAS by the protocol" : "tables map what they may";
      throw new Violation(id, `RTT ${hex(paOf(table.granule))}, ${where} is ${is}; by the accepted calls ${should}`);
    }
  }

  /** The RD holds the RIM that follows from the accepted calls, and the REMs, wherever in it. */
  private hasMeasurement(realm: Realm): void {
    const page = this.page(realm.rd);
    if (this.measurementAt(page, realm.measurements, this.rimOffset)) return;
    for (let offset = 0; offset + 320 <= PAGE; offset += 8) {
      if (!this.measurementAt(page, realm.measurements, offset)) continue;
      this.rimOffset = offset;
      return;
    }
    throw new Violation(
      "measurements follow from the calls",
      `the RD ${hex(paOf(realm.rd))} does not hold the RIM and REMs of its accepted calls`,
    );
  }

  private measurementAt(page: Uint8Array, slots: readonly Uint8Array[], offset: number): boolean {
    return slots.every((slot, n) => slot.every((byte, i) => page[offset + 64 * n + i] === byte));
  }

  // After each call

  /** Granule table, GPT and VMIDs; and some granules in turn. */
  quick(why: () => string): void {
    const { i32, table, expectedGpt } = this;
    const words = this.tableWords;
    const first = this.gpt;
    for (let i = 0; i < words.length; i++) {
      if (i32[table + i] !== words[i]) this.tableDiffers(i, why);
    }
    for (let i = 0; i < expectedGpt.length; i++) {
      if (i32[first + i] !== expectedGpt[i]) this.gptDiffers(i, why);
    }
    for (let i = 0; i < VMID_WORDS; i++) {
      if (i32[this.vmids + i] !== this.expectedVmids[i])
        throw new Violation("VMIDs are unique", `the VMIDs in use are not those of the live realms: ${why()}`);
    }
    for (let n = 0; n < IN_TURN; n++) {
      this.turn = (this.turn + 1) % GRANULES;
      this.unchanged(this.turn, why);
    }
  }

  private tableDiffers(word: number, why: () => string): never {
    const actual = Uint16Array.of(this.i32[this.table + word]! & 0xffff, this.i32[this.table + word]! >>> 16);
    const half = actual[0] === this.expectedTable[2 * word] ? 1 : 0;
    const granule = 2 * word + half;
    const expected = this.expectedTable[granule]!;
    const say = (value: number) => `${STATE_NAMES[value >> 12] ?? value >> 12} with ${value & 0xfff} references`;
    const id = actual[half]! >> 12 === expected >> 12 ? "counts equal references" : "one owner, one state";
    throw new Violation(
      id,
      `the granule ${hex(paOf(granule))} is ${say(actual[half]!)}; by the calls ${say(expected)}: ${why()}`,
    );
  }

  private gptDiffers(word: number, why: () => string): never {
    for (let g = 8 * word; ; g++) {
      const gpi = gpiOf(this.read, this.gptbr, paOf(g));
      const expected = this.ledger.gpi[g];
      if (gpi === expected && g < 8 * word + 7) continue;
      const state = STATE_NAMES[this.ledger.state[g]!];
      throw new Violation(
        "the GPT agrees",
        `the granule ${hex(paOf(g))} (${state}) has GPI ${gpi}, not ${expected}: ${why()}`,
      );
    }
  }

  // In full

  full(why: () => string): void {
    this.expectAll();
    this.quick(why);
    const { ledger } = this;
    for (let g = 0; g < GRANULES; g++) {
      const gpi = gpiOf(this.read, this.gptbr, paOf(g));
      if (gpi !== ledger.gpi[g]) this.gptDiffers(g >> 3, why);
      if (ledger.state[g] === State.RTT) this.verify(g);
      this.unchanged(g, why);
      if (gpi !== GPI_REALM && !this.secretsAreOut) this.hasNoSecret(g);
    }
    for (const { what, at, words } of this.constants) {
      for (let i = 0; i < WORDS; i++) {
        if (this.i32[at + i] !== words[i])
          throw new Violation("no unexplained change", `${what} has changed: ${why()}`);
      }
    }
    this.walkEverything();
  }

  private hasNoSecret(granule: number): void {
    const at = this.at[granule]!;
    for (let i = 1; i < WORDS; i += 2) {
      if (this.i32[at + i] === SECRET)
        throw new Violation("secrets stay private", `the Host's granule ${hex(paOf(granule))} holds a realm's secret`);
    }
  }

  /**
   * From memory and the GPT alone: starting from the tables that each live realm was created with, every PA is the private
   * memory of one realm at most, is in the Realm PAS, and its granule's state says what it is used for; counts are right.
   */
  private walkEverything(): void {
    const user = new Map<number, string>();
    const claim = (pa: number, state: State, by: string) => {
      const granule = (pa - DRAM) / PAGE;
      const is = granule >= 0 && granule < GRANULES ? this.stateInMemory(granule) : -1;
      if (is !== state)
        throw new Violation(
          "one owner, one state",
          `${by} uses ${hex(pa)}, which is ${STATE_NAMES[is] ?? "no granule"}`,
        );
      if (gpiOf(this.read, this.gptbr, pa) !== GPI_REALM)
        throw new Violation("the GPT agrees", `${by} uses ${hex(pa)}, which is not in the Realm PAS`);
      if (user.has(pa))
        throw new Violation("private to one realm", `${hex(pa)} is used by ${by} and by ${user.get(pa)}`);
      user.set(pa, by);
    };
    const vmids = new Set<number>();
    for (const realm of this.ledger.realms) {
      const by = `the realm ${hex(paOf(realm.rd))}`;
      if (vmids.has(realm.params.vmid)) throw new Violation("VMIDs are unique", `${by} shares its VMID`);
      vmids.add(realm.params.vmid);
      claim(paOf(realm.rd), State.RD, by);
      const { rttBase, startTables, startLevel } = realm.params;
      for (let n = 0; n < startTables; n++) this.walkTable(rttBase + n, startLevel, by, claim);
      for (const rec of realm.recs) {
        claim(paOf(rec.granule), State.REC, by);
        for (const aux of rec.aux) claim(paOf(aux), State.REC_AUX, by);
      }
    }
    for (let g = 0; g < GRANULES; g++) {
      const state = this.stateInMemory(g);
      if (state > State.DELEGATED && !user.has(paOf(g)))
        throw new Violation("one owner, one state", `${hex(paOf(g))} is ${STATE_NAMES[state]} and nothing uses it`);
    }
  }

  private walkTable(
    granule: number,
    level: number,
    by: string,
    claim: (pa: number, s: State, by: string) => void,
  ): void {
    claim(paOf(granule), State.RTT, by);
    const at = this.at[granule]!;
    let live = 0;
    for (let i = 0; i < 512; i++) {
      const { kind, out } = decodeEntry(this.i32[at + 2 * i]!, this.i32[at + 2 * i + 1]!, level);
      if (kind === Kind.ASSIGNED) {
        live++;
        for (let pa = out; pa < out + entrySize(level); pa += PAGE) claim(pa, State.DATA, by);
      } else if (kind === Kind.TABLE) {
        live++;
        this.walkTable((out - DRAM) / PAGE, level + 1, by, claim);
      }
    }
    if (this.countInMemory(granule) !== live)
      throw new Violation(
        "counts equal references",
        `RTT ${hex(paOf(granule))} has ${live} live entries and another count`,
      );
  }

  private entryInMemory(granule: number): number {
    const word = this.i32[this.table + (granule >> 1)]!;
    return granule & 1 ? word >>> 16 : word & 0xffff;
  }
  private stateInMemory(granule: number): number {
    return this.entryInMemory(granule) >> 12;
  }
  private countInMemory(granule: number): number {
    return this.entryInMemory(granule) & 0xfff;
  }
}
