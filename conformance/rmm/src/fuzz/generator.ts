/**
 * The hostile Host: proposes a call that the ledger says is valid, so that deep states are reached, and then, at times, spoils
 * an argument or a field. Realms that run the agent come and go; their RECs are entered with rounds of hostile instructions,
 * and what their exits ask for is often granted. At the end everything is taken back.
 */
import {
  PSCI_FID,
  RMI_FID,
  RMM_EL3_FID,
  type RmiCommand,
  RmiRealmParams,
  RmiRecParams,
  RSI_FID,
  recMpidrOfIndex,
} from "@realmbox/abi";
import { AGENT_IPA, AREA_SIZE, AREAS, AREAS_IPA, SECRET_IPA } from "./agent.js";
import { entrySize, Kind } from "./descriptors.js";
import {
  bigPaOf,
  GRANULES,
  HOST_FIRST,
  PAGE,
  PLAYGROUND,
  SECURE,
  SOURCE_FIRST,
  SOURCES,
  STRUCTURES,
} from "./layout.js";
import {
  LastExit,
  type Ledger,
  type Realm,
  type RealmParameters,
  RealmState,
  type Rec,
  State,
  startTableCount,
  type Table,
} from "./ledger.js";
import { Random } from "./random.js";
import { granuleOf } from "./rmi-verdict.js";
import { addressesOf, round } from "./rounds.js";
import type { OperationSource, Run } from "./runner.js";
import type { Operation, PageWords } from "./script.js";

export type Side = "host" | "realm" | "both";

export interface GeneratorOptions {
  readonly side: Side;
  readonly seed: number;
  /** Calls after which everything is taken back. */
  readonly calls: number;
  /** Ends the run early. */
  readonly isOver?: () => boolean;
}

/** What is likely, by side: in percent. */
const WEIGHTS = {
  host: { enter: 12, other: 6, access: 4, spoil: 28 },
  realm: { enter: 94, other: 0, access: 1, spoil: 1 },
  both: { enter: 55, other: 3, access: 3, spoil: 15 },
} as const;

/** Commands by how often they are proposed. */
const SHARES: Readonly<Record<RmiCommand, number>> = {
  RMI_VERSION: 1,
  RMI_FEATURES: 1,
  RMI_GRANULE_DELEGATE: 16,
  RMI_GRANULE_UNDELEGATE: 8,
  RMI_DATA_CREATE: 10,
  RMI_DATA_CREATE_UNKNOWN: 10,
  RMI_DATA_DESTROY: 9,
  RMI_REALM_ACTIVATE: 2,
  RMI_REALM_CREATE: 5,
  RMI_REALM_DESTROY: 3,
  RMI_REC_CREATE: 5,
  RMI_REC_DESTROY: 3,
  RMI_REC_ENTER: 6,
  RMI_RTT_CREATE: 10,
  RMI_RTT_DESTROY: 5,
  RMI_RTT_MAP_UNPROTECTED: 6,
  RMI_RTT_READ_ENTRY: 4,
  RMI_RTT_UNMAP_UNPROTECTED: 5,
  RMI_PSCI_COMPLETE: 4,
  RMI_RTT_FOLD: 5,
  RMI_REC_AUX_COUNT: 2,
  RMI_RTT_INIT_RIPAS: 5,
  RMI_RTT_SET_RIPAS: 6,
};
const LOTS: readonly RmiCommand[] = Object.entries(SHARES).flatMap(([name, n]) =>
  Array<RmiCommand>(n).fill(name as RmiCommand),
);

/** Realms at a time that run the agent. */
const AGENT_REALMS = 3;
/** Calls that such a realm lives for. */
const LIFETIME = 4000;
const PARAMS = RmiRealmParams.fields;
const REC = RmiRecParams.fields;
const UNKNOWN_IPA = 2 ** 52;
const DENIED = BigInt.asUintN(64, -3n);
/** Calls that end the machine or a PE. */
const ENDINGS: ReadonlySet<bigint> = new Set([0x8400_0002n, 0x8400_0008n, 0x8400_0009n, 0x8400_0012n, 0xc400_0012n]);
const RMI_FIDS: ReadonlySet<bigint> = new Set(Object.values(RMI_FID));

type Call = Extract<Operation, { kind: "smc" }>;
/** A step of a plan: the call, or undefined when it has become pointless. */
type Step = () => Call | undefined;

export class Generator implements OperationSource {
  readonly operations: Operation[] = [];
  private readonly random: Random;
  private readonly options: GeneratorOptions;
  private readonly plan: Step[] = [];
  /** The realm that was destroyed last: the next one often takes its VMID and tables. */
  private lastGone: RealmParameters | undefined;
  private readonly born = new Map<Realm, number>();
  /** Entries in a row after which a REC has asked for nothing. */
  private readonly idle = new WeakMap<Rec, number>();
  private run!: Run;
  private ledger!: Ledger;
  private pe = 0;
  private made = 0;
  private isEnding = false;

  constructor(options: GeneratorOptions) {
    this.options = options;
    this.random = new Random(options.seed);
  }

  next(run: Run): Operation | undefined {
    this.run = run;
    this.ledger = run.ledger;
    this.pe = this.random.pick(run.free);
    this.made++;
    if (run.calls >= this.options.calls || this.options.isOver?.()) this.isEnding = true;
    const operation = this.isEnding ? this.takeBack() : this.one();
    if (operation) this.operations.push(operation);
    return operation;
  }

  private one(): Operation {
    const { random } = this;
    const weights = WEIGHTS[this.options.side];
    while (this.plan.length > 0) {
      const call = this.plan.shift()!();
      if (call) return random.below(400) < weights.spoil ? this.spoil(call) : call;
    }
    const realms = [...this.ledger.realms].filter((realm) => this.born.has(realm));
    if (realms.length < AGENT_REALMS && random.oneIn(10)) this.planRealm();
    const old = realms.find((realm) => this.made - this.born.get(realm)! > LIFETIME || this.isSpent(realm));
    if (old && random.oneIn(20)) {
      this.born.delete(old);
      this.planEnd(old);
    }
    const kind = random.below(100);
    if (kind < weights.access) return this.access();
    if (kind < weights.access + weights.other) return this.other();
    if (kind < weights.access + weights.other + weights.enter) {
      const call = this.serve();
      if (call) return random.below(100) < weights.spoil / 4 ? this.spoil(call) : call;
    }
    const call = this.propose(random.pick(LOTS));
    return random.below(100) < weights.spoil ? this.spoil(call) : call;
  }

  /** Nothing more can come of a realm: it is off, or no REC of it can be entered. */
  private isSpent(realm: Realm): boolean {
    if (realm.state === RealmState.SYSTEM_OFF) return true;
    return (
      realm.state === RealmState.ACTIVE &&
      ![...realm.recs].some((rec) => (rec.runnable && !this.isLost(rec)) || rec.pe >= 0)
    );
  }

  /** A REC that does nothing any more but wait to be interrupted. */
  private isLost(rec: Rec): boolean {
    return (this.idle.get(rec) ?? 0) > 4;
  }

  done(operation: Operation): void {
    if (operation.kind !== "smc" || operation.x[0] !== RMI_FID.RMI_REC_ENTER) return;
    const rec = this.ledger.recAt(granuleOf(operation.x[1]!));
    if (!rec) return;
    const isSilent = rec.hostCall < 0 && !rec.psci && !rec.ripas && rec.lastExit === LastExit.NONE;
    this.idle.set(rec, isSilent ? (this.idle.get(rec) ?? 0) + 1 : 0);
  }

  // Calls

  private call(name: RmiCommand, args: readonly bigint[], pages?: ReadonlyMap<bigint, PageWords>): Call {
    const time = name === "RMI_REC_ENTER" ? this.patience(granuleOf(args[0]!)) : 0;
    const x = [RMI_FID[name], ...args];
    return pages ? { kind: "smc", pe: this.pe, x, pages, time } : { kind: "smc", pe: this.pe, x, time };
  }

  /** Ticks of the counter for a REC: a round takes about ten. One that only faults is soon interrupted. */
  private patience(granule: number): number {
    const { random } = this;
    const rec = this.ledger.recAt(granule);
    if (rec && (this.idle.get(rec) ?? 0) > 0) return 3 + random.below(8);
    return 12 + random.below(random.oneIn(40) ? 400 : 20);
  }

  /** Replaces an argument, or a field of a structure, by something else. */
  private spoil(call: Call): Call {
    const { random } = this;
    const x = [...call.x];
    let { pages } = call;
    if (pages && pages.size > 0 && random.oneIn(2)) {
      const [pa, words] = [...pages][0]!;
      const offsets = Object.keys(words).map(Number);
      const offset = offsets.length === 0 || random.oneIn(12) ? 8 * random.below(512) : random.pick(offsets);
      pages = new Map([[pa, { ...words, [offset]: this.otherThan(words[offset] ?? 0n) }]]);
      if (random.oneIn(3)) return { ...call, pages };
    }
    const n = x.length > 1 ? 1 + random.below(x.length - 1) : 0;
    if (n > 0 && !(pages !== call.pages)) x[n] = this.otherThan(x[n]!);
    else if (n === 0) x[0] = x[0]! ^ (1n << BigInt(random.below(8)));
    return pages ? { ...call, x, pages, time: call.time || 100 } : { ...call, x, time: call.time || 100 };
  }

  private otherThan(value: bigint): bigint {
    const { random } = this;
    const { root, realm } = this.run.machine.board;
    switch (random.below(14)) {
      case 0:
        return BigInt.asUintN(64, value + BigInt(1 + random.below(4095)));
      case 1:
        return BigInt.asUintN(64, value + BigInt(PAGE));
      case 2:
        return BigInt.asUintN(64, value - BigInt(PAGE));
      case 3:
        return bigPaOf(random.below(GRANULES));
      case 4:
      case 5:
        return bigPaOf(this.granule(random.below(7) as State));
      case 6:
        return bigPaOf(GRANULES) + BigInt(PAGE * random.below(3));
      case 7:
        return (random.oneIn(2) ? root : realm).base + BigInt(PAGE * random.below(4096));
      case 8:
        return bigPaOf(random.pick(SECURE));
      case 9:
        return value ^ (1n << BigInt(random.below(64)));
      case 10:
        return BigInt(random.pick(addressesOf(this.anyRealm())));
      case 11:
        return BigInt(random.below(6)) - 1n >= 0n ? BigInt(random.below(6)) : 0xffff_ffff_ffff_ffffn;
      default:
        return random.value();
    }
  }

  private other(): Call {
    const { random } = this;
    for (;;) {
      let fid = random.pick<() => bigint>([
        () => 0xc400_0150n - 4n + BigInt(random.below(0x48)),
        () => 0xc400_0190n - 2n + BigInt(random.below(0x24)),
        () => random.pick(Object.values(RSI_FID)),
        () => 0xc400_01b0n - 2n + BigInt(random.below(0x24)),
        () => random.pick(Object.values(RMM_EL3_FID)),
        () => random.pick(Object.values(PSCI_FID)),
        () => 0x8400_0000n + BigInt(random.below(0x24)) + (random.oneIn(2) ? 0x4000_0000n : 0n),
        () => 0x8000_0000n + BigInt(random.below(0x10)),
        () => BigInt(random.u32()),
        () => random.u64(),
      ])();
      if (random.oneIn(64)) fid |= 1n << 16n;
      const known = fid & 0xffff_ffffn & ~(1n << 16n);
      // A PE that the call would turn off, or put to sleep for good, is lost for the others.
      if (RMI_FIDS.has(known) || ENDINGS.has(known) || (known & 0xbfff_ffffn) === 0x8400_0001n) continue;
      if ((known & 0xbfff_fff0n) === 0x8400_0000n && (known & 0xfn) === 0xen) continue;
      const x = [fid, ...Array.from({ length: 7 }, () => this.otherThan(0n))];
      return { kind: "smc", pe: this.pe, x, time: 100 };
    }
  }

  private access(): Operation {
    const { random, pe } = this;
    const { root, realm } = this.run.machine.board;
    const granule = random.oneIn(3) ? this.granule(random.below(7) as State) : random.below(GRANULES);
    const pa = random.oneIn(8)
      ? (random.oneIn(2) ? root : realm).base + BigInt(8 * random.below(1 << 18))
      : bigPaOf(granule) + BigInt(8 * random.below(512));
    // Sources stay what they are.
    if (random.oneIn(2) && granule < SOURCE_FIRST) return { kind: "write", pe, pa, value: random.u64() & 0xffff_ffffn };
    return { kind: "read", pe, pa };
  }

  // Things to name

  /** A granule of the playground in a state, as far as there is one. */
  private granule(state: State): number {
    const start = this.random.below(PLAYGROUND);
    for (let n = 0; n < PLAYGROUND; n++) {
      const g = (start + n) % PLAYGROUND;
      if (this.ledger.state[g] === state) return g;
    }
    return start;
  }
  private delegated(): bigint {
    return bigPaOf(this.granule(State.DELEGATED));
  }
  private anyRealm(): Realm | undefined {
    const realms = [...this.ledger.realms];
    return realms.length > 0 ? this.random.pick(realms) : undefined;
  }
  private realmIn(state: RealmState): Realm | undefined {
    const realms = [...this.ledger.realms].filter((realm) => realm.state === state);
    return realms.length > 0 ? this.random.pick(realms) : this.anyRealm();
  }
  private anyRec(like: (rec: Rec) => boolean = () => true): Rec | undefined {
    const recs = [...this.ledger.realms].flatMap((realm) => [...realm.recs]);
    const fitting = recs.filter(like);
    return fitting.length > 0 ? this.random.pick(fitting) : recs.length > 0 ? this.random.pick(recs) : undefined;
  }
  private structure(): bigint {
    return this.random.oneIn(60)
      ? bigPaOf(this.granule(State.UNDELEGATED))
      : bigPaOf(HOST_FIRST + this.random.below(STRUCTURES));
  }
  private source(): bigint {
    return bigPaOf(SOURCE_FIRST + this.random.below(SOURCES));
  }
  private ipa(realm: Realm | undefined): number {
    return realm ? this.random.pick(addressesOf(realm)) : 0;
  }
  private protectedIpa(realm: Realm | undefined): number {
    const list = addressesOf(realm).filter((ipa) => !realm || ipa < realm.protectedSize);
    return this.random.pick(list);
  }
  private unprotectedIpa(realm: Realm | undefined): number {
    const list = addressesOf(realm).filter((ipa) => realm && ipa >= realm.protectedSize);
    return list.length > 0 ? this.random.pick(list) : UNKNOWN_IPA;
  }
  private rdOf(realm: Realm | undefined): bigint {
    return realm ? bigPaOf(realm.rd) : bigPaOf(this.random.below(PLAYGROUND));
  }
  private recPa(rec: Rec | undefined): bigint {
    return rec ? bigPaOf(rec.granule) : bigPaOf(this.random.below(PLAYGROUND));
  }
  /** A table that is no start table. */
  private table(realm: Realm | undefined): Table | undefined {
    const tables = realm ? [...realm.tables()].filter(({ level }) => level > realm.params.startLevel) : [];
    return tables.length > 0 ? this.random.pick(tables) : undefined;
  }

  // Proposals

  private propose(name: RmiCommand): Call {
    const { random } = this;
    switch (name) {
      case "RMI_VERSION":
        return this.call(name, [random.oneIn(2) ? 0x1_0000n : random.value()]);
      case "RMI_FEATURES":
        return this.call(name, [BigInt(random.below(3))]);
      case "RMI_GRANULE_DELEGATE": {
        const host = random.oneIn(300) ? HOST_FIRST + random.below(STRUCTURES) : undefined;
        const secure = random.oneIn(100) ? random.pick(SECURE) : undefined;
        return this.call(name, [bigPaOf(host ?? secure ?? this.granule(State.UNDELEGATED))]);
      }
      case "RMI_GRANULE_UNDELEGATE": {
        // What was taken from the Host's own pages goes back first.
        for (let g = HOST_FIRST; g < SOURCE_FIRST; g++)
          if (this.ledger.state[g] === State.DELEGATED) return this.call(name, [bigPaOf(g)]);
        return this.call(name, [this.delegated()]);
      }
      case "RMI_DATA_CREATE": {
        const realm = this.realmIn(RealmState.NEW);
        return this.call(name, [
          this.rdOf(realm),
          this.delegated(),
          BigInt(this.free(realm)),
          this.source(),
          BigInt(random.below(2)),
        ]);
      }
      case "RMI_DATA_CREATE_UNKNOWN": {
        const realm = this.anyRealm();
        return this.call(name, [this.rdOf(realm), this.delegated(), BigInt(this.free(realm))]);
      }
      case "RMI_DATA_DESTROY": {
        const realm = this.anyRealm();
        const ipa = realm && !random.oneIn(4) ? this.mapped(realm, Kind.ASSIGNED) : undefined;
        return this.call(name, [this.rdOf(realm), BigInt(ipa ?? this.protectedIpa(realm))]);
      }
      case "RMI_REALM_ACTIVATE":
        return this.call(name, [this.rdOf(this.realmIn(RealmState.NEW))]);
      case "RMI_REALM_CREATE":
        return this.ledger.realms.size > 10 ? this.propose("RMI_REALM_DESTROY") : this.realmCreate();
      case "RMI_REALM_DESTROY": {
        const strays = [...this.ledger.realms].filter((realm) => !this.born.has(realm));
        const realm = strays.length > 0 && !random.oneIn(4) ? random.pick(strays) : this.anyRealm();
        return (
          (realm && !random.oneIn(3) && strays.includes(realm) && this.endStep(realm)) ||
          this.call(name, [this.rdOf(realm)])
        );
      }
      case "RMI_REC_AUX_COUNT":
        return this.call(name, [this.rdOf(this.anyRealm())]);
      case "RMI_REC_CREATE":
        return this.recCreate(this.realmIn(RealmState.NEW), random.below(4) > 0);
      case "RMI_REC_DESTROY":
        return this.call(name, [this.recPa(this.anyRec((rec) => !this.born.has(rec.realm) || random.oneIn(8)))]);
      case "RMI_REC_ENTER":
        return this.enter(this.anyRec());
      case "RMI_RTT_CREATE": {
        const realm = this.anyRealm();
        if (!realm) return this.call(name, [this.rdOf(realm), this.delegated(), 0n, 3n]);
        const ipa = this.ipa(realm);
        const { level } = realm.walk(ipa, 3);
        const at = level < 3 ? level + 1 : 3;
        const size = entrySize(at - 1);
        return this.call(name, [this.rdOf(realm), this.delegated(), BigInt(ipa - (ipa % size)), BigInt(at)]);
      }
      case "RMI_RTT_DESTROY":
      case "RMI_RTT_FOLD": {
        const realm = this.anyRealm();
        const table = this.table(realm);
        if (!table || random.oneIn(8)) {
          const level = 1 + random.below(3);
          const ipa = this.ipa(realm);
          return this.call(name, [this.rdOf(realm), BigInt(ipa - (ipa % entrySize(level - 1))), BigInt(level)]);
        }
        return this.call(name, [this.rdOf(realm), BigInt(table.base), BigInt(table.level)]);
      }
      case "RMI_RTT_MAP_UNPROTECTED":
        return this.mapUnprotected(this.anyRealm());
      case "RMI_RTT_UNMAP_UNPROTECTED": {
        const realm = this.anyRealm();
        const ipa =
          (realm && !random.oneIn(4) ? this.mapped(realm, Kind.ASSIGNED_NS) : undefined) ?? this.unprotectedIpa(realm);
        const level = realm && ipa < realm.ipaSize ? realm.walk(ipa, 3).level : 3;
        return this.call(name, [this.rdOf(realm), BigInt(ipa - (ipa % entrySize(level))), BigInt(level)]);
      }
      case "RMI_RTT_READ_ENTRY": {
        const realm = this.anyRealm();
        const level = 3 - random.below(realm ? 4 - realm.params.startLevel : 2);
        const ipa = this.ipa(realm);
        return this.call(name, [this.rdOf(realm), BigInt(ipa - (ipa % entrySize(level))), BigInt(level)]);
      }
      case "RMI_PSCI_COMPLETE": {
        const calling = this.anyRec((rec) => rec.psci !== undefined);
        const target = calling && this.targetOf(calling);
        const status = random.oneIn(3) ? DENIED : 0n;
        return this.call(name, [this.recPa(calling), this.recPa(target ?? this.anyRec()), status]);
      }
      case "RMI_RTT_INIT_RIPAS": {
        const realm = this.realmIn(RealmState.NEW);
        return this.initRipas(realm, this.protectedIpa(realm));
      }
      case "RMI_RTT_SET_RIPAS":
        return this.setRipas(this.anyRec((rec) => rec.ripas !== undefined));
    }
  }

  /** An address of a realm at which a page can be created, as far as one is found. */
  private free(realm: Realm | undefined): number {
    for (let tries = 0; realm && tries < 6; tries++) {
      const ipa = this.protectedIpa(realm);
      const { table, index, level } = realm.walk(ipa, 3);
      if (level === 3 && table.kind[index] === Kind.UNASSIGNED) return ipa;
    }
    return this.protectedIpa(realm);
  }

  /** An address of a realm whose entry is of a kind. */
  private mapped(realm: Realm, kind: Kind): number | undefined {
    for (let tries = 0; tries < 8; tries++) {
      const ipa = this.ipa(realm);
      const { table, index } = realm.walk(ipa, 3);
      if (table.kind[index] === kind) return ipa;
    }
    return undefined;
  }

  private initRipas(realm: Realm | undefined, ipa: number): Call {
    const size = realm ? entrySize(realm.walk(ipa, 3).level) : PAGE;
    const base = ipa - (ipa % size);
    // A range of pages is measured page by page, so most are short.
    const top = base + size * (1 + this.random.below(this.random.oneIn(20) ? 600 : 3));
    return this.call("RMI_RTT_INIT_RIPAS", [this.rdOf(realm), BigInt(base), BigInt(top)]);
  }

  private setRipas(rec: Rec | undefined): Call {
    const { addr, top } = rec?.ripas ?? { addr: 0, top: PAGE };
    const size = rec ? entrySize(rec.realm.walk(Math.min(addr, rec.realm.ipaSize - PAGE), 3).level) : PAGE;
    const end = this.random.oneIn(3) ? Math.min(top, addr + size) : top;
    return this.call("RMI_RTT_SET_RIPAS", [this.rdOf(rec?.realm), this.recPa(rec), BigInt(addr), BigInt(end)]);
  }

  private mapUnprotected(realm: Realm | undefined): Call {
    const { random } = this;
    const ipa = this.unprotectedIpa(realm);
    const reached = realm && ipa < realm.ipaSize ? realm.walk(ipa, 3).level : 3;
    const level = reached === 2 && !random.oneIn(3) ? 2 : reached >= 1 ? reached : 3;
    const target = random.below(random.oneIn(4) ? GRANULES : PLAYGROUND);
    const page = random.oneIn(12) ? random.u64() & 0xffff_ffff_f000n : bigPaOf(target);
    const beyond = random.oneIn(40) ? 1n << BigInt(48 + random.below(4)) : 0n;
    const address = page - (page % BigInt(entrySize(level)));
    const attributes = random.pick([6n, 6n, 6n, 5n, 0n, 7n, 4n]) << 2n;
    const access = random.pick([3n, 3n, 3n, 1n, 2n, 0n]) << 6n;
    return this.call("RMI_RTT_MAP_UNPROTECTED", [
      this.rdOf(realm),
      BigInt(ipa - (ipa % entrySize(level))),
      BigInt(level),
      address | attributes | access | beyond,
    ]);
  }

  private realmCreate(): Call {
    const { random } = this;
    const ipaWidth = random.pick([33, 33, 33, 32, 34, 36, 40, 41, 42, 48]);
    const levels = [0, 1, 2].filter((level) => startTableCount(ipaWidth, level) !== undefined);
    return this.create({ ipaWidth, startLevel: random.pick(levels), granule: undefined });
  }

  private create(options: { ipaWidth: number; startLevel: number; granule: number | undefined }): Call {
    const { random } = this;
    const { ipaWidth, startLevel } = options;
    const count = startTableCount(ipaWidth, startLevel) ?? 1;
    const again = options.granule !== undefined || random.oneIn(3) ? this.lastGone : undefined;
    const reused = again?.startTables === count ? again : undefined;
    let first = reused?.rttBase ?? this.contiguous(count);
    if (count > 1 && random.oneIn(12)) first++;
    const params = this.structure();
    const rd = options.granule ?? this.granule(State.DELEGATED);
    const words: Record<number, bigint> = {
      [PARAMS.flags.offset]: random.oneIn(20) ? 1n << BigInt(random.below(3)) : 0n,
      [PARAMS.s2sz.offset]: BigInt(ipaWidth),
      [PARAMS.num_bps.offset]: 1n,
      [PARAMS.num_wps.offset]: 1n,
      [PARAMS.hash_algo.offset]: BigInt(random.below(2)),
      [PARAMS.rpv.offset]: random.u64(),
      [PARAMS.vmid.offset]: BigInt(reused?.vmid ?? this.freeVmid()),
      [PARAMS.rtt_base.offset]: bigPaOf(first),
      [PARAMS.rtt_level_start.offset]: BigInt(startLevel),
      [PARAMS.rtt_num_start.offset]: BigInt(count),
    };
    return this.call("RMI_REALM_CREATE", [bigPaOf(rd), params], new Map([[params, words]]));
  }

  private freeVmid(): number {
    const { random } = this;
    const vmid = random.oneIn(30) ? random.below(65536) : random.below(24);
    return this.ledger.vmidInUse(vmid) && !random.oneIn(10) ? (vmid + 1) % 24 : vmid;
  }

  /** The first of `count` DELEGATED granules in a row, aligned, as far as there are. */
  private contiguous(count: number): number {
    const slots = Math.floor(PLAYGROUND / count);
    const start = this.random.below(slots);
    for (let n = 0; n < slots; n++) {
      const first = ((start + n) % slots) * count;
      let good = true;
      for (let i = 0; i < count && good; i++) good = this.ledger.state[first + i] === State.DELEGATED;
      if (good) return first;
    }
    return start * count;
  }

  private recCreate(realm: Realm | undefined, runnable: boolean): Call {
    const { random } = this;
    const index = realm?.recIndex ?? 0;
    const params = this.structure();
    const free = this.several(this.ledger.offer.auxCount + 1);
    const words: Record<number, bigint> = {
      [REC.flags.offset]: runnable ? 1n : 0n,
      [REC.mpidr.offset]: recMpidrOfIndex(index),
      [REC.pc.offset]: BigInt(random.oneIn(12) ? this.ipa(realm) : AGENT_IPA),
      [REC.gprs.offset]: BigInt(AREAS_IPA + (index % AREAS) * AREA_SIZE),
      [REC.num_aux.offset]: BigInt(this.ledger.offer.auxCount),
    };
    const aux = REC.aux.offset;
    for (let n = 0; n < this.ledger.offer.auxCount; n++) words[aux + 8 * n] = bigPaOf(free[n + 1]!);
    if (random.oneIn(20)) words[aux] = random.oneIn(2) ? bigPaOf(free[0]!) : words[aux]! + 8n;
    return this.call("RMI_REC_CREATE", [this.rdOf(realm), bigPaOf(free[0]!), params], new Map([[params, words]]));
  }

  /** Distinct DELEGATED granules, as far as there are. */
  private several(count: number): number[] {
    const start = this.random.below(PLAYGROUND);
    const found: number[] = [];
    for (let n = 0; n < PLAYGROUND && found.length < count; n++) {
      const g = (start + n) % PLAYGROUND;
      if (this.ledger.state[g] === State.DELEGATED) found.push(g);
    }
    while (found.length < count) found.push(this.random.below(PLAYGROUND));
    return found;
  }

  // RECs

  private enter(rec: Rec | undefined): Call {
    const { random } = this;
    const run = this.structure();
    const words: Record<number, bigint> = {};
    let flags = random.oneIn(3) ? random.pick([4n, 8n, 12n]) : 0n;
    if (rec?.lastExit === LastExit.EMULATABLE) flags |= random.pick([0n, 1n, 1n, 2n, 3n]);
    else if (rec?.lastExit === LastExit.UNPROTECTED) flags |= random.pick([0n, 2n]);
    else if (random.oneIn(40)) flags |= random.pick([1n, 2n]);
    if (rec?.ripas && random.oneIn(3)) flags |= 16n;
    if (flags !== 0n) words[0x0] = flags;
    if (rec && rec.hostCall >= 0) {
      for (const [n, value] of round(random, rec, this.options.side).entries()) words[0x200 + 8 * n] = value;
    } else {
      words[0x200] = random.value();
    }
    if (random.oneIn(40)) words[0x300] = random.oneIn(2) ? 1n << BigInt(random.below(17)) : random.value();
    if (random.oneIn(12)) {
      for (let n = 0; n <= random.below(3); n++) {
        const good = (1n << 62n) | (1n << 60n) | (0xa0n << 48n) | BigInt(random.below(1019));
        words[0x308 + 8 * n] = random.oneIn(16) ? random.value() | (1n << 62n) : good;
      }
    }
    return this.call("RMI_REC_ENTER", [this.recPa(rec), run], new Map([[run, words]]));
  }

  /** What brings the realms forward: answers to exits, and entries. */
  private serve(): Call | undefined {
    const { random } = this;
    const recs = [...this.ledger.realms].flatMap((realm) => [...realm.recs]).filter((rec) => rec.pe < 0);
    const asking = recs.filter((rec) => (rec.psci && this.targetOf(rec)) || rec.ripas !== undefined);
    if (asking.length > 0 && random.below(3) > 0) {
      const rec = random.pick(asking);
      if (rec.psci) {
        const target = [...rec.realm.recs].find(({ index }) => index === rec.psci!.target);
        return this.call("RMI_PSCI_COMPLETE", [
          bigPaOf(rec.granule),
          this.recPa(target),
          random.oneIn(6) ? DENIED : 0n,
        ]);
      }
      if (rec.ripas && rec.ripas.addr < rec.ripas.top && random.below(4) > 0) return this.setRipas(rec);
    }
    const off = recs.filter((rec) => rec.realm.state === RealmState.SYSTEM_OFF);
    if (off.length > 0 && random.oneIn(6)) return this.enter(random.pick(off));
    const ready = recs.filter(
      (rec) => rec.runnable && !rec.psci && rec.realm.state === RealmState.ACTIVE && !this.isLost(rec),
    );
    if (ready.length === 0) return undefined;
    const rec = random.pick(ready);
    if (random.oneIn(8)) {
      // Pages that the realm may have missed.
      const ipa = this.free(rec.realm);
      if (random.oneIn(3)) return this.mapUnprotected(rec.realm);
      return this.call("RMI_DATA_CREATE_UNKNOWN", [bigPaOf(rec.realm.rd), this.delegated(), BigInt(ipa)]);
    }
    return this.enter(rec);
  }

  /** The REC that a REC's PSCI call is about, unless it is gone. */
  private targetOf(calling: Rec): Rec | undefined {
    for (const rec of calling.realm.recs) if (rec.index === calling.psci?.target && rec !== calling) return rec;
    return undefined;
  }

  // Plans

  /** A realm whose RECs run the agent, made as an orderly Host makes it. */
  private planRealm(): void {
    const { random } = this;
    let realm: Realm | undefined;
    const ipaWidth = random.pick([33, 33, 33, 32, 36, 40]);
    const level = random.pick([0, 1, 2].filter((l) => startTableCount(ipaWidth, l) !== undefined));
    const need = 20 + (startTableCount(ipaWidth, level) ?? 1);
    const step = (make: (realm: Realm) => Call | undefined) => this.plan.push(() => (realm ? make(realm) : undefined));
    for (let n = 0; n < need; n++) {
      this.plan.push(() => {
        const spare = this.ledger.state.reduce((sum, state) => sum + (state === State.DELEGATED ? 1 : 0), 0);
        return spare > need + 16
          ? undefined
          : this.call("RMI_GRANULE_DELEGATE", [bigPaOf(this.granule(State.UNDELEGATED))]);
      });
    }
    let rd = 0;
    this.plan.push(() => {
      rd = this.granule(State.DELEGATED);
      return this.create({ ipaWidth, startLevel: level, granule: rd });
    });
    this.plan.push(() => {
      realm = this.ledger.realmAt(rd);
      if (realm) this.born.set(realm, this.made);
      return undefined;
    });
    // Without tables the unprotected half is mapped by blocks.
    for (const half of random.oneIn(3) ? [0] : [0, 1]) {
      for (let table = level + 1; table <= (half === 0 ? 3 : 2 + random.below(2)); table++) {
        step((r) =>
          this.call("RMI_RTT_CREATE", [bigPaOf(r.rd), this.delegated(), BigInt(half * r.protectedSize), BigInt(table)]),
        );
      }
    }
    if (random.oneIn(2))
      step((r) => this.call("RMI_RTT_INIT_RIPAS", [bigPaOf(r.rd), 0x8000n, BigInt(0x8000 + PAGE * random.below(6))]));
    const page = (ipa: number, source: number) =>
      step((r) =>
        this.call("RMI_DATA_CREATE", [
          bigPaOf(r.rd),
          this.delegated(),
          BigInt(ipa),
          bigPaOf(SOURCE_FIRST + source),
          BigInt(random.below(2)),
        ]),
      );
    page(AGENT_IPA, random.below(4));
    page(AREAS_IPA, 4);
    page(SECRET_IPA, 4);
    page(0x3000, 4 + random.below(3));
    const recs = 1 + random.below(4);
    for (let n = 0; n < recs; n++) step((r) => this.recCreate(r, n === 0 || !random.oneIn(4)));
    step((r) => this.call("RMI_REALM_ACTIVATE", [bigPaOf(r.rd)]));
    for (let n = 0; n < 2; n++) step((r) => this.mapUnprotected(r));
  }

  /** Destroys a realm step by step. */
  private planEnd(realm: Realm): void {
    let tries = 0;
    const step: Step = () => {
      const call = tries++ < 200 ? this.endStep(realm) : undefined;
      if (call) this.plan.unshift(step);
      return call;
    };
    this.plan.push(step);
  }

  /** The next call on the way to a realm's end; undefined: it is gone, or RECs of it still run. */
  private endStep(realm: Realm): Call | undefined {
    if (!this.ledger.realms.has(realm)) return undefined;
    const rd = bigPaOf(realm.rd);
    for (const rec of realm.recs) if (rec.pe < 0) return this.call("RMI_REC_DESTROY", [bigPaOf(rec.granule)]);
    if (realm.recs.size > 0) return undefined;
    const { startLevel } = realm.params;
    for (const table of realm.tables()) {
      if (table.kind.includes(Kind.TABLE)) continue;
      const size = entrySize(table.level);
      const index = table.kind.indexOf(Kind.ASSIGNED);
      if (index >= 0) return this.call("RMI_DATA_DESTROY", [rd, BigInt(table.base + index * size)]);
      if (table.level > startLevel) return this.call("RMI_RTT_DESTROY", [rd, BigInt(table.base), BigInt(table.level)]);
    }
    this.lastGone = realm.params;
    return this.call("RMI_REALM_DESTROY", [rd]);
  }

  /** The end: RECs that still run are waited for, then everything goes back. */
  private takeBack(): Call | undefined {
    for (const realm of this.ledger.realms) {
      const call = this.endStep(realm);
      if (call) return call;
    }
    for (let g = 0; g < GRANULES; g++)
      if (this.ledger.state[g] === State.DELEGATED) return this.call("RMI_GRANULE_UNDELEGATE", [bigPaOf(g)]);
    // RECs run on other PEs: time passes.
    if (this.ledger.realms.size > 0) return this.call("RMI_VERSION", [0x1_0000n]);
    return undefined;
  }
}
