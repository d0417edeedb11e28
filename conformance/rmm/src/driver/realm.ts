/**
 * Realms as a Host makes them, step by step: granules, RD, tables, pages, RECs. Everything is what RMI allows any Host to do;
 * what the RMM thinks of it is read back with RMI_RTT_READ_ENTRY.
 */
import {
  GRANULE_SIZE,
  RMI_FEATURE_REGISTER_0,
  RmiHashAlgorithm,
  RmiRealmParams,
  RmiRecParams,
  type RmiRipas,
  RmiRttEntryState,
  recMpidrOfIndex,
  rttEntrySize,
} from "@realmbox/abi";
import type { Host } from "./host.js";
import { Rec } from "./rec.js";
import type { Script } from "./script.js";

const PAGE = BigInt(GRANULE_SIZE);

/** RmiRealmParams of a Realm that every RMM can make: 33 bits of IPA, one start table at level 1. */
export const REALM_DEFAULTS = {
  flags: 0n,
  s2sz: 33,
  sve_vl: 0,
  num_bps: 1,
  num_wps: 1,
  pmu_num_ctrs: 0,
  hash_algo: RmiHashAlgorithm.SHA_256 as number,
  rtt_level_start: 1n,
  rtt_num_start: 1,
} as const;
export type RealmParams = Parameters<typeof RmiRealmParams.encode>[0];
export type RecParams = Parameters<typeof RmiRecParams.encode>[0];

/** What RMI_RTT_READ_ENTRY says. */
export interface RttEntry {
  readonly level: number;
  readonly state: "UNASSIGNED" | "ASSIGNED" | "TABLE";
  readonly desc: bigint;
  readonly ripas: RmiRipas;
}
const STATE_NAMES = Object.keys(RmiRttEntryState) as RttEntry["state"][];

export interface RecOptions extends RecParams {
  /** Absent: runnable. */
  readonly runnable?: boolean;
}

/** The fields of feature register 0 by name. */
export type Features = Readonly<Record<keyof typeof RMI_FEATURE_REGISTER_0, bigint>>;
export function* features(host: Host): Script<Features> {
  const [value] = yield* host.ok("RMI_FEATURES", 0n);
  return Object.fromEntries(
    Object.entries(RMI_FEATURE_REGISTER_0).map(([name, field]) => [name, field.get(value!)]),
  ) as unknown as Features;
}

export class Realm {
  readonly rd: bigint;
  readonly params: RealmParams & { readonly s2sz: number; readonly rtt_level_start: bigint; readonly rtt_base: bigint };
  /** Every REC made by `rec`, in order of index. */
  readonly recs: Rec[] = [];

  private constructor(rd: bigint, params: Realm["params"]) {
    this.rd = rd;
    this.params = params;
  }

  /** Makes a Realm in state NEW: delegates an RD and start tables of its own unless `params` name one. */
  static *create(host: Host, params: RealmParams = {}): Script<Realm> {
    const { rd, page, full } = yield* Realm.prepare(host, params);
    yield* host.ok("RMI_REALM_CREATE", rd, page);
    return new Realm(rd, full);
  }

  /** Everything before RMI_REALM_CREATE: a DELEGATED granule for the RD, delegated start tables, the parameters' page. */
  static *prepare(
    host: Host,
    params: RealmParams = {},
  ): Script<{ readonly rd: bigint; readonly page: bigint; readonly full: Realm["params"] }> {
    const rd = yield* host.delegated();
    const count = params.rtt_num_start ?? REALM_DEFAULTS.rtt_num_start;
    const rtt_base = params.rtt_base ?? (yield* host.delegated(count, count));
    const full = { ...REALM_DEFAULTS, vmid: host.shared.takeVmid(), rtt_base, ...params };
    return { rd, page: host.page(RmiRealmParams.encode(full)), full };
  }

  get startLevel(): number {
    return Number(this.params.rtt_level_start);
  }

  /** The first Unprotected IPA; also the bit that makes an IPA its shared alias. */
  get unprotected(): bigint {
    return 1n << BigInt(this.params.s2sz - 1);
  }

  get ipaSize(): bigint {
    return 1n << BigInt(this.params.s2sz);
  }

  // Tables

  /** The entry that a walk to `level` ends in. */
  *entry(host: Host, ipa: bigint, level = 3): Script<RttEntry> {
    const at = ipa & ~(rttEntrySize(level) - 1n);
    const [walk, state, desc, ripas] = yield* host.ok("RMI_RTT_READ_ENTRY", this.rd, at, BigInt(level));
    return { level: Number(walk), state: STATE_NAMES[Number(state)]!, desc: desc!, ripas: Number(ripas) as RmiRipas };
  }

  /** Makes the tables that are missing for a walk to `level`; the last one made. */
  *tables(host: Host, ipa: bigint, level = 3): Script<bigint | undefined> {
    let made: bigint | undefined;
    while (true) {
      const { level: reached, state } = yield* this.entry(host, ipa, level);
      if (reached === level || state === "TABLE") return made;
      made = yield* this.table(host, ipa, reached + 1);
    }
  }

  /** Makes the table at `level` that covers `ipa`; its granule. */
  *table(host: Host, ipa: bigint, level: number): Script<bigint> {
    const rtt = yield* host.delegated();
    const at = ipa & ~(rttEntrySize(level - 1) - 1n);
    yield* host.ok("RMI_RTT_CREATE", this.rd, rtt, at, BigInt(level));
    return rtt;
  }

  // Memory

  /** Fills a page of a NEW Realm, tables included; the DATA granule. */
  *data(host: Host, ipa: bigint, content: Uint8Array = new Uint8Array(), flags = 0n): Script<bigint> {
    yield* this.tables(host, ipa);
    const data = yield* host.delegated();
    yield* host.ok("RMI_DATA_CREATE", this.rd, data, ipa, host.page(content), flags);
    return data;
  }

  /** Gives a page of unknown content, tables included; the DATA granule. */
  *unknownData(host: Host, ipa: bigint): Script<bigint> {
    yield* this.tables(host, ipa);
    const data = yield* host.delegated();
    yield* host.ok("RMI_DATA_CREATE_UNKNOWN", this.rd, data, ipa);
    return data;
  }

  /** RIPAS RAM for [base, top) of a NEW Realm, page by page of the tables that are made for it. */
  *ram(host: Host, base: bigint, top: bigint): Script {
    for (let at = base; at < top; ) {
      yield* this.tables(host, at);
      const [next] = yield* host.ok("RMI_RTT_INIT_RIPAS", this.rd, at, top);
      at = next!;
    }
  }

  /** Shows a granule of the Host at the shared alias of `ipa`; its PA. */
  *share(host: Host, ipa: bigint, { pa = host.page(), s2ap = 3n, memAttr = 6n } = {}): Script<bigint> {
    const at = ipa | this.unprotected;
    yield* this.tables(host, at);
    yield* host.ok("RMI_RTT_MAP_UNPROTECTED", this.rd, at, 3n, pa | (memAttr << 2n) | (s2ap << 6n));
    return pa;
  }

  // RECs and life cycle

  /** RmiRecParams for the next REC, with granules for its auxiliaries, and a DELEGATED granule for itself. */
  *prepareRec(
    host: Host,
    { runnable = true, ...params }: RecOptions = {},
  ): Script<{
    readonly rec: bigint;
    readonly page: bigint;
    readonly full: RecParams & { readonly aux: readonly bigint[] };
  }> {
    const rec = yield* host.delegated();
    const [count] = yield* host.ok("RMI_REC_AUX_COUNT", this.rd);
    const aux: bigint[] = [];
    for (let i = 0n; i < count!; i++) aux.push(yield* host.delegated());
    const index = this.recs.length;
    const full = { flags: runnable ? 1n : 0n, mpidr: recMpidrOfIndex(index), num_aux: count!, aux, ...params };
    return { rec, page: host.page(RmiRecParams.encode(full)), full };
  }

  /** Makes the next REC of a NEW Realm. */
  *rec(host: Host, options: RecOptions = {}): Script<Rec> {
    const { rec, page, full } = yield* this.prepareRec(host, options);
    yield* host.ok("RMI_REC_CREATE", this.rd, rec, page);
    const made = new Rec(this, { addr: rec, aux: full.aux, index: this.recs.length, run: host.page() });
    this.recs.push(made);
    return made;
  }

  *activate(host: Host): Script {
    yield* host.ok("RMI_REALM_ACTIVATE", this.rd);
  }
}

/** A granule's contents as numbers counted up from `seed`: what tests recognise. */
export function bytesFrom(seed: number): Uint8Array {
  return Uint8Array.from({ length: GRANULE_SIZE }, (_, i) => (seed + i * 7 + (i >> 8)) & 0xff);
}

/** So many pages after an IPA. */
export const pagesAfter = (ipa: bigint, count: number): bigint => ipa + PAGE * BigInt(count);
