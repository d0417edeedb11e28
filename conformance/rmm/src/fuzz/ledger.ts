/**
 * The ledger: what exists, by the calls that were accepted and nothing else. Granules, realms, their tables, RECs and
 * measurements as DEN0137 1.0-rel0 says that each command leaves them. It never reads the RMM's memory: that is compared
 * with it (`inspection.ts`).
 */
import type { Crypto } from "@realmbox/abi";
import { entryBits, entrySize, Kind } from "./descriptors.js";
import { GRANULES, paOf, SECURE } from "./layout.js";

/** Granule states, numbered as the RMM's table has them. */
export const State = { UNDELEGATED: 0, DELEGATED: 1, RD: 2, REC: 3, REC_AUX: 4, DATA: 5, RTT: 6 } as const;
export type State = (typeof State)[keyof typeof State];
export const STATE_NAMES = ["UNDELEGATED", "DELEGATED", "RD", "REC", "REC_AUX", "DATA", "RTT"] as const;

export const GPI_SECURE = 8;
export const GPI_NS = 9;
export const GPI_REALM = 11;

export const RealmState = { NEW: 0, ACTIVE: 1, SYSTEM_OFF: 2 } as const;
export type RealmState = (typeof RealmState)[keyof typeof RealmState];
export const Ripas = { EMPTY: 0, RAM: 1, DESTROYED: 2 } as const;

/** One RTT. */
export class Table {
  readonly granule: number;
  readonly level: number;
  /** First IPA. */
  readonly base: number;
  /** Entries that walks reach: a start table may be larger than the IPA space. */
  readonly used: number;
  readonly kind = new Uint8Array(512);
  readonly ripas = new Uint8Array(512);
  /** As `Entry.out` in `descriptors.ts`. */
  readonly out = new Float64Array(512);
  readonly next: (Table | undefined)[] = new Array<Table | undefined>(512).fill(undefined);

  constructor(granule: number, level: number, base: number, used = 512) {
    this.granule = granule;
    this.level = level;
    this.base = base;
    this.used = used;
  }

  set(index: number, kind: Kind, ripas: number, out: number, next?: Table): void {
    this.kind[index] = kind;
    this.ripas[index] = ripas;
    this.out[index] = out;
    this.next[index] = next;
  }

  /** ASSIGNED and TABLE entries: what keeps a table from being destroyed, and its reference count. */
  get live(): number {
    let live = 0;
    for (let i = 0; i < 512; i++) if (this.kind[i] === Kind.ASSIGNED || this.kind[i] === Kind.TABLE) live++;
    return live;
  }
}

export interface Walk {
  table: Table;
  index: number;
  level: number;
}

export interface RipasRequest {
  base: number;
  addr: number;
  top: number;
  value: number;
  destroyed: boolean;
}

export const LastExit = { NONE: 0, EMULATABLE: 1, UNPROTECTED: 2, SYSREG_READ: 3 } as const;
export type LastExit = (typeof LastExit)[keyof typeof LastExit];

export class Rec {
  readonly granule: number;
  readonly realm: Realm;
  readonly index: number;
  readonly aux: readonly number[];
  runnable: boolean;
  /** The PE that runs it, or -1. */
  pe = -1;
  /** The PSCI call that waits for the Host: function, target's index, entry point and context id. */
  psci: { readonly on: boolean; readonly target: number; readonly entry: bigint; readonly context: bigint } | undefined;
  ripas: RipasRequest | undefined;
  /** IPA of the RsiHostCall that waits for its answer, or -1. */
  hostCall = -1;
  lastExit: LastExit = LastExit.NONE;
  /** ESR_EL2 of the last exit, as far as the next entry needs it. */
  lastEsr = 0n;
  /** Whether a token is under way; undefined: the call that may have ended it has left for the Host. */
  attesting: boolean | undefined = false;

  constructor(realm: Realm, granule: number, aux: readonly number[], runnable: boolean) {
    this.realm = realm;
    this.granule = granule;
    this.aux = aux;
    this.runnable = runnable;
    this.index = realm.recIndex;
  }
}

export interface RealmParameters {
  readonly ipaWidth: number;
  readonly startLevel: number;
  readonly startTables: number;
  readonly rttBase: number;
  readonly vmid: number;
  readonly hash: number;
  readonly bps: number;
  readonly wps: number;
  readonly rpv: Uint8Array;
}

export class Realm {
  readonly rd: number;
  readonly params: RealmParameters;
  state: RealmState = RealmState.NEW;
  readonly starts: Table[] = [];
  readonly recs = new Set<Rec>();
  recIndex = 0;
  /** RIM and REMs, 64 bytes each. */
  readonly measurements: Uint8Array[] = Array.from({ length: 5 }, () => new Uint8Array(64));
  /** DATA granules that its RECs can write: mapped with RIPAS RAM. */
  readonly ram = new Set<number>();
  /** RECs that run now. */
  running = 0;
  /** Ranges whose translations the call under way must have invalidated, as IPA and size. */
  readonly stale: { readonly ipa: number; readonly size: number }[] = [];
  /** Grows with every change of a mapping: what a REC finds is certain only while it stays. */
  mappings = 0;

  constructor(rd: number, params: RealmParameters) {
    this.rd = rd;
    this.params = params;
  }

  get protectedSize(): number {
    return 2 ** (this.params.ipaWidth - 1);
  }

  get ipaSize(): number {
    return 2 ** this.params.ipaWidth;
  }

  /** Walks towards `level`; ends there or at the first entry that is not TABLE. DEN0137, "RTT walk". */
  walk(ipa: number, level: number): Walk {
    let at = this.params.startLevel;
    const first = Math.floor(ipa / entrySize(at));
    let table = this.starts[first >> 9]!;
    let index = first & 511;
    while (at < level && table.kind[index] === Kind.TABLE) {
      table = table.next[index]!;
      at++;
      index = Math.floor(ipa / entrySize(at)) % 512;
    }
    return { table, index, level: at };
  }

  *tables(): Generator<Table> {
    const stack = [...this.starts];
    for (let table = stack.pop(); table !== undefined; table = stack.pop()) {
      yield table;
      for (const next of table.next) if (next) stack.push(next);
    }
  }
}

/** Facts that the Host learns at the start: RMI_FEATURES and RMI_REC_AUX_COUNT. */
export interface Offer {
  readonly featureRegister0: bigint;
  readonly auxCount: number;
}

export class Ledger {
  readonly crypto: Crypto;
  readonly state = new Uint8Array(GRANULES);
  readonly gpi = new Uint8Array(GRANULES).fill(GPI_NS);
  /** The realm, table or REC that a granule belongs to. */
  readonly owner: (Realm | Rec | Table | undefined)[] = new Array(GRANULES).fill(undefined);
  /** The realm of a granule in use. */
  readonly realmOf: (Realm | undefined)[] = new Array(GRANULES).fill(undefined);
  readonly realms = new Set<Realm>();
  offer: Offer = { featureRegister0: 0n, auxCount: 0 };
  /** Called with a DATA granule that RECs could write until now: its content stays from here on. */
  onFrozen: (granule: number) => void = () => {};

  constructor(crypto: Crypto) {
    this.crypto = crypto;
    for (const granule of SECURE) this.gpi[granule] = GPI_SECURE;
  }

  /** The realm whose RD is at an address in the form of a granule index, or -1. */
  realmAt(granule: number): Realm | undefined {
    return granule >= 0 && this.state[granule] === State.RD ? this.realmOf[granule] : undefined;
  }

  recAt(granule: number): Rec | undefined {
    return granule >= 0 && this.state[granule] === State.REC ? (this.owner[granule] as Rec) : undefined;
  }

  vmidInUse(vmid: number): boolean {
    for (const realm of this.realms) if (realm.params.vmid === vmid) return true;
    return false;
  }

  /** A DELEGATED granule gets a use. */
  take(granule: number, state: State, realm: Realm, owner: Realm | Rec | Table): void {
    this.state[granule] = state;
    this.realmOf[granule] = realm;
    this.owner[granule] = owner;
  }

  release(granule: number): void {
    this.state[granule] = State.DELEGATED;
    this.realmOf[granule] = undefined;
    this.owner[granule] = undefined;
  }

  /** The count that the RMM's table must have: the references to the granule. */
  references(granule: number): number {
    const owner = this.owner[granule];
    switch (this.state[granule]) {
      case State.RD:
        return (owner as Realm).recs.size;
      case State.REC:
        return (owner as Rec).pe >= 0 ? 1 : 0;
      case State.RTT:
        return (owner as Table).live;
      default:
        return 0;
    }
  }

  // Measurements. DEN0137, "Realm measurements"

  hash(realm: Realm, ...parts: readonly Uint8Array[]): Uint8Array {
    return this.crypto.hash(realm.params.hash === 0 ? "sha-256" : "sha-512", ...parts);
  }

  setMeasurement(realm: Realm, index: number, digest: Uint8Array): void {
    const slot = realm.measurements[index]!;
    slot.fill(0);
    slot.set(digest);
  }

  /** RmmMeasurementDescriptorData, -Rec and -Ripas: 256 bytes with the RIM so far. */
  extendRim(realm: Realm, type: 0 | 1 | 2, fill: (descriptor: DataView, bytes: Uint8Array) => void): void {
    const bytes = new Uint8Array(0x100);
    const view = new DataView(bytes.buffer);
    view.setUint8(0, type);
    view.setUint32(8, 0x100, true);
    bytes.set(realm.measurements[0]!, 0x10);
    fill(view, bytes);
    this.setMeasurement(realm, 0, this.hash(realm, bytes));
  }
}

/** Start tables that an IPA width needs at a level; undefined: the two do not fit. DDI 0487, "Concatenated tables". */
export function startTableCount(ipaWidth: number, level: number): number | undefined {
  if (level === 2 && ipaWidth >= 32 && ipaWidth <= 34) return 2 ** (ipaWidth - 30);
  if (level === 1 && ipaWidth >= 32 && ipaWidth <= 43) return ipaWidth <= 39 ? 1 : 2 ** (ipaWidth - 39);
  if (level === 0 && ipaWidth >= 40 && ipaWidth <= 48) return 1;
  return undefined;
}

/** A realm's start tables as RMI_REALM_CREATE leaves them. */
export function newStartTables({ ipaWidth, startLevel, startTables, rttBase }: RealmParameters): Table[] {
  const size = entrySize(startLevel);
  const entries = 2 ** ipaWidth / size;
  return Array.from({ length: startTables }, (_, n) => {
    const table = new Table(rttBase + n, startLevel, n * 512 * size, Math.min(512, entries - n * 512));
    for (let i = 0; i < table.used; i++)
      table.kind[i] = n * 512 + i < entries / 2 ? Kind.UNASSIGNED : Kind.UNASSIGNED_NS;
    return table;
  });
}

/** Whether a table's entries can be one entry of its parent: that entry, or undefined. DEN0137, "RTT folding". */
export function folded(
  table: Table,
): { readonly kind: Kind; readonly ripas: number; readonly out: number } | undefined {
  const { kind, ripas, out, level } = table;
  const step = entrySize(level);
  const first = kind[0] as Kind;
  if (first === Kind.TABLE) return undefined;
  const leaf = first === Kind.ASSIGNED || first === Kind.ASSIGNED_NS;
  if (leaf && (level === 1 || (out[0]! - (out[0]! % 4096)) % 2 ** entryBits(level - 1) !== 0)) return undefined;
  for (let i = 1; i < 512; i++) {
    if (kind[i] !== first || ripas[i] !== ripas[0]) return undefined;
    if (leaf && out[i] !== out[0]! + i * step) return undefined;
  }
  return { kind: first, ripas: ripas[0]!, out: out[0]! };
}

/** A table at `level` under an entry, saying what the entry said. DEN0137, "RTT unfolding". */
export function unfolded(parent: Table, index: number, granule: number): Table {
  const level = parent.level + 1;
  const table = new Table(granule, level, parent.base + index * entrySize(parent.level));
  const kind = parent.kind[index]!;
  table.kind.fill(kind);
  table.ripas.fill(parent.ripas[index]!);
  if (kind === Kind.ASSIGNED || kind === Kind.ASSIGNED_NS) {
    for (let i = 0; i < 512; i++) table.out[i] = parent.out[index]! + i * entrySize(level);
  }
  return table;
}

/** The granules of a mapping of protected memory. */
export function* granulesOf(pa: number, level: number): Generator<number> {
  for (let at = pa; at < pa + entrySize(level); at += 4096) yield (at - paOf(0)) / 4096;
}
