/**
 * What DEN0137 1.0-rel0 says to an RMI call, from the ledger and the Host's memory: the return code with its index, the
 * outputs, and what changes when it is accepted. Where the document leaves the order of two failures open, the RMM's own
 * order is expected, which is that of TF-RMM but for what the document demands.
 */
import { RMI_FID, type RmiCommand } from "@realmbox/abi";
import { entrySize, Kind } from "./descriptors.js";
import { DRAM, DRAM_END, PAGE, paOf } from "./layout.js";
import {
  folded,
  GPI_NS,
  GPI_REALM,
  LastExit,
  type Ledger,
  newStartTables,
  Realm,
  type RealmParameters,
  RealmState,
  Rec,
  Ripas,
  State,
  startTableCount,
  type Table,
  unfolded,
  type Walk,
} from "./ledger.js";

export const INPUT = 1;
const REALM_ERROR = 2;
const SYSTEM_OFF = 0x102;
const REC_ERROR = 3;
const rtt = (level: number): number => 4 | (level << 8);

export interface Verdict {
  /** X0. */
  readonly code: number;
  /** X1 to X4; what is missing is zero, and X4 is the Host's own. */
  readonly out: readonly number[];
  /** Granules to look at: those that an accepted call may change, or that a refused one names. */
  readonly granules: readonly number[];
  /** What accepting does to the ledger. */
  readonly apply?: () => void;
  /** RMI_REC_ENTER: the REC that runs if the call is accepted. */
  readonly enter?: Rec;
}

/** X0 to X7 of a call as it arrives at R-EL2. */
export class Arguments {
  private readonly words: Uint32Array;

  /** `words`: the general registers as 32-bit words, low half first. */
  constructor(words: Uint32Array) {
    this.words = words;
  }

  low(n: number): number {
    return this.words[2 * n]!;
  }

  high(n: number): number {
    return this.words[2 * n + 1]!;
  }

  /** As a number: exact below 2^53. */
  number(n: number): number {
    return this.words[2 * n + 1]! * 2 ** 32 + this.words[2 * n]!;
  }

  big(n: number): bigint {
    return (BigInt(this.words[2 * n + 1]!) << 32n) | BigInt(this.words[2 * n]!);
  }

  aligned(n: number, size = PAGE): boolean {
    return size <= 2 ** 32 ? this.words[2 * n]! % size === 0 : this.number(n) % size === 0;
  }

  /** Index of the delegable granule at an address; -1 when it is not aligned or not delegable. */
  granule(n: number): number {
    return granuleIndex(this.low(n), this.number(n));
  }

  /** An Int64 level; out of every range when it is not small. */
  level(n: number): number {
    return this.words[2 * n + 1] === 0 && this.words[2 * n]! <= 3 ? this.words[2 * n]! : -99;
  }
}

function granuleIndex(low: number, pa: number): number {
  return (low & 0xfff) === 0 && pa >= DRAM && pa < DRAM_END ? (pa - DRAM) / PAGE : -1;
}
export const granuleOf = (pa: bigint): number => granuleIndex(Number(pa & 0xfffn), Number(pa));

export interface JudgeInput {
  readonly ledger: Ledger;
  readonly args: Arguments;
  /** The bytes of a granule of the Host. */
  page(granule: number): Uint8Array;
  /** Number of list registers, priority bits and interrupt id bits of the machine. */
  readonly gic: { readonly listRegisters: number; readonly priorityBits: number; readonly idBits: number };
}

const COMMAND_OF: ReadonlyMap<number, RmiCommand> = new Map(
  Object.entries(RMI_FID).map(([name, fid]) => [Number(fid), name as RmiCommand]),
);
export const commandOf = (fid: number): RmiCommand | undefined => COMMAND_OF.get(fid);

export function judgeRmi(command: RmiCommand, input: JudgeInput): Verdict {
  return JUDGES[command](input);
}

const NOTHING: readonly number[] = [];
const refused = (code: number, granules: readonly number[], out: readonly number[] = NOTHING): Verdict => ({
  code,
  out,
  granules: granules.filter((g) => g >= 0),
});
const accepted = (granules: readonly number[], apply: () => void, out: readonly number[] = NOTHING): Verdict => ({
  code: 0,
  out,
  granules,
  apply,
});

/** The Host's page that argument `n` names, if the GPT lets the Host at it. */
function hostPage({ ledger, args, page }: JudgeInput, n: number): DataView | undefined {
  const granule = args.granule(n);
  if (granule < 0 || ledger.gpi[granule] !== GPI_NS) return undefined;
  const bytes = page(granule);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
const u64 = (view: DataView, offset: number): number =>
  view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);

// RTT helpers

const isLive = (table: Table, index: number): boolean =>
  table.kind[index] !== Kind.UNASSIGNED && table.kind[index] !== Kind.UNASSIGNED_NS;

/** The `top` output: DEN0137, "RttSkipNonLiveEntries". */
function skipNonLive({ table, index }: Walk, ipa: number): number {
  if (isLive(table, index)) return ipa;
  let next = index;
  while (next < 512 && !isLive(table, next)) next++;
  return table.base + next * entrySize(table.level);
}

/** What is wrong with the address and level of a command about the table at `level`. */
function noTable(realm: Realm, args: Arguments, ipa: number, level: number): boolean {
  const l = args.level(level);
  if (l <= realm.params.startLevel || l > 3) return true;
  return args.number(ipa) >= realm.ipaSize || !args.aligned(ipa, entrySize(l - 1));
}

/** Whether argument `ipa` is no Protected page. */
const noProtectedPage = (realm: Realm, args: Arguments, ipa: number): boolean =>
  args.number(ipa) >= realm.protectedSize || !args.aligned(ipa);

/** An entry that the hardware may have used gets another meaning: DDI 0487, "TLB maintenance"; DEN0137, "RTT". */
function replaced(realm: Realm, table: Table, index: number): void {
  const kind = table.kind[index];
  if (kind === Kind.UNASSIGNED || kind === Kind.UNASSIGNED_NS) return;
  if (kind === Kind.ASSIGNED && table.ripas[index] !== Ripas.RAM) return;
  const size = entrySize(table.level);
  realm.stale.push({ ipa: table.base + index * size, size });
}

function setMapping(realm: Realm, { table, index }: Walk, kind: Kind, ripas: number, out: number): void {
  replaced(realm, table, index);
  table.set(index, kind, ripas, out);
  realm.mappings++;
}

const JUDGES: Readonly<Record<RmiCommand, (input: JudgeInput) => Verdict>> = {
  RMI_VERSION({ args }) {
    const isOurs = args.number(1) === 0x1_0000;
    return { code: isOurs ? 0 : INPUT, out: [0x1_0000, 0x1_0000], granules: NOTHING };
  },

  RMI_FEATURES({ ledger, args }) {
    const value = args.number(1) === 0 ? Number(ledger.offer.featureRegister0) : 0;
    return { code: 0, out: [value], granules: NOTHING };
  },

  RMI_GRANULE_DELEGATE({ ledger, args }) {
    const g = args.granule(1);
    if (g < 0 || ledger.state[g] !== State.UNDELEGATED || ledger.gpi[g] !== GPI_NS) return refused(INPUT, [g]);
    return accepted([g], () => {
      ledger.state[g] = State.DELEGATED;
      ledger.gpi[g] = GPI_REALM;
    });
  },

  RMI_GRANULE_UNDELEGATE({ ledger, args }) {
    const g = args.granule(1);
    if (g < 0 || ledger.state[g] !== State.DELEGATED) return refused(INPUT, [g]);
    return accepted([g], () => {
      ledger.state[g] = State.UNDELEGATED;
      ledger.gpi[g] = GPI_NS;
    });
  },

  RMI_DATA_CREATE(input) {
    const { ledger, args } = input;
    const data = args.granule(2);
    const rd = args.granule(1);
    const named = [rd, data];
    const source = hostPage(input, 4);
    const realm = ledger.realmAt(rd);
    const measure = args.low(5) === 1;
    if (args.high(5) !== 0 || args.low(5) > 1 || !source) return refused(INPUT, named);
    if (data < 0 || ledger.state[data] !== State.DELEGATED || !realm) return refused(INPUT, named);
    if (realm.state !== RealmState.NEW) return refused(REALM_ERROR, named);
    if (noProtectedPage(realm, args, 3)) return refused(INPUT, named);
    const ipa = args.number(3);
    const walk = realm.walk(ipa, 3);
    const { table, index, level } = walk;
    if (level !== 3) return refused(rtt(level), [...named, table.granule]);
    if (table.kind[index] !== Kind.UNASSIGNED) return refused(rtt(3), [...named, table.granule]);
    return accepted([...named, table.granule], () => {
      setMapping(realm, walk, Kind.ASSIGNED, Ripas.RAM, paOf(data));
      ledger.take(data, State.DATA, realm, realm);
      realm.ram.add(data);
      ledger.extendRim(realm, 0, (view, bytes) => {
        view.setBigUint64(0x50, BigInt(ipa), true);
        view.setBigUint64(0x58, measure ? 1n : 0n, true);
        if (measure) bytes.set(ledger.hash(realm, new Uint8Array(source.buffer, source.byteOffset, PAGE)), 0x60);
      });
    });
  },

  RMI_DATA_CREATE_UNKNOWN({ ledger, args }) {
    const data = args.granule(2);
    const rd = args.granule(1);
    const named = [rd, data];
    const realm = ledger.realmAt(rd);
    if (data < 0 || ledger.state[data] !== State.DELEGATED || !realm || noProtectedPage(realm, args, 3))
      return refused(INPUT, named);
    const walk = realm.walk(args.number(3), 3);
    const { table, index, level } = walk;
    if (level !== 3) return refused(rtt(level), [...named, table.granule]);
    if (table.kind[index] !== Kind.UNASSIGNED) return refused(rtt(3), [...named, table.granule]);
    return accepted([...named, table.granule], () => {
      const ripas = table.ripas[index]!;
      setMapping(realm, walk, Kind.ASSIGNED, ripas, paOf(data));
      ledger.take(data, State.DATA, realm, realm);
      if (ripas === Ripas.RAM) realm.ram.add(data);
    });
  },

  RMI_DATA_DESTROY({ ledger, args }) {
    const rd = args.granule(1);
    const realm = ledger.realmAt(rd);
    if (!realm || noProtectedPage(realm, args, 2)) return refused(INPUT, [rd]);
    const ipa = args.number(2);
    const walk = realm.walk(ipa, 3);
    const { table, index, level } = walk;
    const named = [rd, table.granule];
    if (level !== 3) return refused(rtt(level), named, [0, skipNonLive(walk, ipa)]);
    if (table.kind[index] !== Kind.ASSIGNED) return refused(rtt(3), named, [0, skipNonLive(walk, ipa)]);
    const pa = table.out[index]!;
    const data = (pa - DRAM) / PAGE;
    const out = [pa, 0];
    return accepted(
      [...named, data],
      () => {
        const ripas = table.ripas[index] === Ripas.RAM ? Ripas.DESTROYED : table.ripas[index]!;
        setMapping(realm, walk, Kind.UNASSIGNED, ripas, 0);
        ledger.release(data);
        realm.ram.delete(data);
        out[1] = skipNonLive(walk, ipa);
      },
      out,
    );
  },

  RMI_REALM_ACTIVATE({ ledger, args }) {
    const rd = args.granule(1);
    const realm = ledger.realmAt(rd);
    if (!realm) return refused(INPUT, [rd]);
    if (realm.state !== RealmState.NEW) return refused(REALM_ERROR, [rd]);
    return accepted([rd], () => {
      realm.state = RealmState.ACTIVE;
    });
  },

  RMI_REALM_CREATE: realmCreate,

  RMI_REALM_DESTROY({ ledger, args }) {
    const rd = args.granule(1);
    const realm = ledger.realmAt(rd);
    if (!realm) return refused(INPUT, [rd]);
    const tables = realm.starts.map(({ granule }) => granule);
    if (realm.recs.size > 0 || realm.starts.some(({ live }) => live > 0)) return refused(REALM_ERROR, [rd, ...tables]);
    return accepted([rd, ...tables], () => {
      for (const granule of [rd, ...tables]) ledger.release(granule);
      ledger.realms.delete(realm);
      for (const table of realm.starts)
        for (let i = 0; i < table.used; i++) if (table.kind[i] === Kind.ASSIGNED_NS) replaced(realm, table, i);
      realm.mappings++;
    });
  },

  RMI_REC_AUX_COUNT({ ledger, args }) {
    const rd = args.granule(1);
    if (!ledger.realmAt(rd)) return refused(INPUT, [rd]);
    return { code: 0, out: [ledger.offer.auxCount], granules: [rd] };
  },

  RMI_REC_CREATE: recCreate,

  RMI_REC_DESTROY({ ledger, args }) {
    const g = args.granule(1);
    const rec = ledger.recAt(g);
    if (!rec) return refused(INPUT, [g]);
    if (rec.pe >= 0) return refused(REC_ERROR, [g]);
    return accepted([g, ...rec.aux, rec.realm.rd], () => {
      for (const granule of [g, ...rec.aux]) ledger.release(granule);
      rec.realm.recs.delete(rec);
    });
  },

  RMI_REC_ENTER: recEnter,

  RMI_RTT_CREATE({ ledger, args }) {
    const g = args.granule(2);
    const rd = args.granule(1);
    const realm = ledger.realmAt(rd);
    if (g < 0 || ledger.state[g] !== State.DELEGATED || !realm || noTable(realm, args, 3, 4))
      return refused(INPUT, [rd, g]);
    const level = args.level(4);
    const { table, index, level: reached } = realm.walk(args.number(3), level - 1);
    const named = [rd, g, table.granule];
    if (reached !== level - 1) return refused(rtt(reached), named);
    if (table.kind[index] === Kind.TABLE) return refused(rtt(reached), named);
    return accepted(named, () => {
      const child = unfolded(table, index, g);
      replaced(realm, table, index);
      ledger.take(g, State.RTT, realm, child);
      table.set(index, Kind.TABLE, 0, paOf(g), child);
      realm.mappings++;
    });
  },

  RMI_RTT_DESTROY({ ledger, args }) {
    const rd = args.granule(1);
    const realm = ledger.realmAt(rd);
    if (!realm || noTable(realm, args, 2, 3)) return refused(INPUT, [rd]);
    const level = args.level(3);
    const ipa = args.number(2);
    const walk = realm.walk(ipa, level - 1);
    const { table, index, level: reached } = walk;
    const named = [rd, table.granule];
    if (reached !== level - 1 || table.kind[index] !== Kind.TABLE)
      return refused(rtt(reached), named, [0, skipNonLive(walk, ipa)]);
    const child = table.next[index]!;
    if (child.live > 0) return refused(rtt(level), [...named, child.granule], [0, ipa]);
    const out = [paOf(child.granule), 0];
    return accepted(
      [...named, child.granule],
      () => {
        const isProtected = ipa < realm.protectedSize;
        setMapping(
          realm,
          walk,
          isProtected ? Kind.UNASSIGNED : Kind.UNASSIGNED_NS,
          isProtected ? Ripas.DESTROYED : 0,
          0,
        );
        ledger.release(child.granule);
        out[1] = skipNonLive(walk, ipa);
      },
      out,
    );
  },

  RMI_RTT_FOLD({ ledger, args }) {
    const rd = args.granule(1);
    const realm = ledger.realmAt(rd);
    if (!realm || noTable(realm, args, 2, 3)) return refused(INPUT, [rd]);
    const level = args.level(3);
    const walk = realm.walk(args.number(2), level - 1);
    const { table, index, level: reached } = walk;
    const named = [rd, table.granule];
    if (reached !== level - 1 || table.kind[index] !== Kind.TABLE) return refused(rtt(reached), named);
    const child = table.next[index]!;
    const entry = folded(child);
    if (!entry) return refused(rtt(level), [...named, child.granule]);
    return accepted([...named, child.granule], () => {
      setMapping(realm, walk, entry.kind, entry.ripas, entry.out);
      ledger.release(child.granule);
    }, [paOf(child.granule)]);
  },

  RMI_RTT_MAP_UNPROTECTED({ ledger, args }) {
    const rd = args.granule(1);
    const realm = ledger.realmAt(rd);
    const level = args.level(3);
    if (level < 1 || !realm || level < realm.params.startLevel) return refused(INPUT, [rd]);
    const low = args.low(4);
    const high = args.high(4);
    // ADDR 47:12, S2AP 7:6, MemAttr[2:0] 4:2, of which 0b100 is reserved.
    if ((low & 0xf23) !== 0 || high >>> 16 !== 0 || ((low >> 2) & 7) === 4) return refused(INPUT, [rd]);
    const address = high * 2 ** 32 + ((low & ~0xfff) >>> 0);
    const ipa = args.number(2);
    if (address % entrySize(level) !== 0 || ipa >= realm.ipaSize || ipa < realm.protectedSize)
      return refused(INPUT, [rd]);
    if (!args.aligned(2, entrySize(level))) return refused(INPUT, [rd]);
    const walk = realm.walk(ipa, level);
    const { table, index, level: reached } = walk;
    const named = [rd, table.granule];
    if (reached !== level || table.kind[index] !== Kind.UNASSIGNED_NS) return refused(rtt(reached), named);
    return accepted(named, () => setMapping(realm, walk, Kind.ASSIGNED_NS, 0, address + (low & 0xdc)));
  },

  RMI_RTT_UNMAP_UNPROTECTED({ ledger, args }) {
    const rd = args.granule(1);
    const realm = ledger.realmAt(rd);
    const level = args.level(3);
    const ipa = args.number(2);
    if (level < 1 || !realm || level < realm.params.startLevel) return refused(INPUT, [rd]);
    if (ipa >= realm.ipaSize || ipa < realm.protectedSize || !args.aligned(2, entrySize(level)))
      return refused(INPUT, [rd]);
    const walk = realm.walk(ipa, level);
    const { table, index, level: reached } = walk;
    const named = [rd, table.granule];
    if (reached !== level || table.kind[index] !== Kind.ASSIGNED_NS)
      return refused(rtt(reached), named, [skipNonLive(walk, ipa)]);
    const out = [0];
    return accepted(
      named,
      () => {
        setMapping(realm, walk, Kind.UNASSIGNED_NS, 0, 0);
        out[0] = skipNonLive(walk, ipa);
      },
      out,
    );
  },

  RMI_RTT_READ_ENTRY({ ledger, args }) {
    const rd = args.granule(1);
    const realm = ledger.realmAt(rd);
    const level = args.level(3);
    const ipa = args.number(2);
    if (!realm || level < realm.params.startLevel || ipa >= realm.ipaSize || !args.aligned(2, entrySize(level)))
      return refused(INPUT, [rd], [0, 0, 0, 0]);
    const { table, index, level: reached } = realm.walk(ipa, level);
    const kind = table.kind[index]!;
    const state = kind === Kind.TABLE ? 2 : kind === Kind.ASSIGNED || kind === Kind.ASSIGNED_NS ? 1 : 0;
    const out = [reached, state, table.out[index]!, table.ripas[index]!];
    return { code: 0, out, granules: [rd, table.granule] };
  },

  RMI_PSCI_COMPLETE: psciComplete,

  RMI_RTT_INIT_RIPAS({ ledger, args }) {
    const rd = args.granule(1);
    const realm = ledger.realmAt(rd);
    const base = args.number(2);
    const top = args.number(3);
    if (args.big(3) <= args.big(2) || !realm || !args.aligned(3) || top > realm.protectedSize || !args.aligned(2))
      return refused(INPUT, [rd]);
    if (realm.state !== RealmState.NEW) return refused(REALM_ERROR, [rd]);
    const { table, index, level } = realm.walk(base, 3);
    const named = [rd, table.granule];
    const size = entrySize(level);
    if (base % size !== 0 || table.kind[index] !== Kind.UNASSIGNED) return refused(rtt(level), named);
    let end = base;
    for (let i = index; i < 512 && end + size <= top; i++, end += size) {
      if (table.kind[i] !== Kind.UNASSIGNED || table.ripas[i] === Ripas.DESTROYED) break;
    }
    if (end === base) return refused(rtt(level), named);
    return accepted(named, () => {
      for (let ipa = base, i = index; ipa < end; ipa += size, i++) {
        table.ripas[i] = Ripas.RAM;
        ledger.extendRim(realm, 2, (view) => {
          view.setBigUint64(0x50, BigInt(ipa), true);
          view.setBigUint64(0x58, BigInt(ipa + size), true);
        });
      }
      realm.mappings++;
    }, [end]);
  },

  RMI_RTT_SET_RIPAS({ ledger, args }) {
    const rd = args.granule(1);
    const g = args.granule(2);
    const realm = ledger.realmAt(rd);
    const rec = ledger.recAt(g);
    const base = args.number(3);
    const top = args.number(4);
    if (args.big(4) <= args.big(3) || !args.aligned(4) || !realm || !rec) return refused(INPUT, [rd, g]);
    if (rec.pe >= 0 || rec.realm !== realm) return refused(REC_ERROR, [rd, g]);
    const request = rec.ripas;
    if (base !== (request?.addr ?? 0) || top > (request?.top ?? 0)) return refused(INPUT, [rd, g]);
    if (!request) return refused(INPUT, [rd, g]);
    const { table, index, level } = realm.walk(base, 3);
    const named = [rd, g, table.granule];
    const size = entrySize(level);
    if (base % size !== 0) return refused(rtt(level), named);
    let end = base;
    for (let i = index; i < 512 && end + size <= top; i++, end += size) {
      if (table.kind[i] !== Kind.UNASSIGNED && table.kind[i] !== Kind.ASSIGNED) break;
      if (table.ripas[i] === Ripas.DESTROYED && !request.destroyed) break;
    }
    if (end === base) return refused(rtt(level), named);
    return accepted(named, () => {
      for (let ipa = base, i = index; ipa < end; ipa += size, i++) {
        if (request.value !== Ripas.RAM) replaced(realm, table, i);
        table.ripas[i] = request.value;
        if (table.kind[i] !== Kind.ASSIGNED) continue;
        for (let pa = table.out[i]!; pa < table.out[i]! + size; pa += PAGE) {
          const granule = (pa - DRAM) / PAGE;
          if (request.value === Ripas.RAM) realm.ram.add(granule);
          else if (realm.ram.delete(granule)) ledger.onFrozen(granule);
        }
      }
      request.addr = end;
      realm.mappings++;
    }, [end]);
  },
};

/** RmiFeatureRegister0, RmiRealmParams, RmiRecParams, RmiRecEnter: DEN0137 1.0-rel0, the sections of these names. */
function realmCreate(input: JudgeInput): Verdict {
  const { ledger, args } = input;
  const rd = args.granule(1);
  const params = hostPage(input, 2);
  if (!params) return refused(INPUT, [rd]);
  const f0 = ledger.offer.featureRegister0;
  const offered = (low: number, bits: number): number => Number((f0 >> BigInt(low)) & ((1n << BigInt(bits)) - 1n));
  const flags = params.getUint32(0, true);
  const ipaWidth = params.getUint8(0x8);
  const bps = params.getUint8(0x18);
  const wps = params.getUint8(0x20);
  const counters = params.getUint8(0x28);
  const hash = params.getUint8(0x30);
  const vmid = params.getUint16(0x800, true);
  const rttBase = u64(params, 0x808);
  const startLevel = params.getUint32(0x814, true) === 0 ? params.getUint32(0x810, true) : -1;
  const startTables = params.getUint32(0x818, true);
  const lpa2 = (flags & 1) !== 0 && offered(8, 1) === 0;
  const sve = (flags & 2) !== 0 && (offered(9, 1) === 0 || params.getUint8(0x10) > offered(10, 4));
  const pmu = (flags & 4) !== 0 && (offered(26, 1) === 0 || counters > offered(27, 5));
  if (lpa2 || sve || pmu || hash > 1 || offered(32 + hash, 1) === 0) return refused(INPUT, [rd]);
  if (bps === 0 || bps > offered(14, 6) || wps === 0 || wps > offered(20, 6)) return refused(INPUT, [rd]);
  if (ipaWidth > offered(0, 8) || startTableCount(ipaWidth, startLevel) !== startTables) return refused(INPUT, [rd]);
  if (ledger.vmidInUse(vmid)) return refused(INPUT, [rd]);
  const first = granuleIndex(params.getUint32(0x808, true), rttBase);
  if (first < 0 || rttBase % (startTables * PAGE) !== 0) return refused(INPUT, [rd]);
  const tables = Array.from({ length: startTables }, (_, n) => first + n);
  if (rd < 0 || tables.includes(rd) || ledger.state[rd] !== State.DELEGATED) return refused(INPUT, [rd, first]);
  if (!tables.every((g) => ledger.state[g] === State.DELEGATED)) return refused(INPUT, [rd, first]);
  const rpv = new Uint8Array(params.buffer, params.byteOffset + 0x400, 64).slice();
  const measured = new Uint8Array(PAGE);
  for (const [at, size] of [
    [0, 8],
    [8, 1],
    [0x10, 1],
    [0x18, 1],
    [0x20, 1],
    [0x28, 1],
    [0x30, 1],
  ] as const) {
    measured.set(new Uint8Array(params.buffer, params.byteOffset + at, size), at);
  }
  const parameters: RealmParameters = { ipaWidth, startLevel, startTables, rttBase: first, vmid, hash, bps, wps, rpv };
  return accepted([rd, ...tables], () => {
    const realm = new Realm(rd, parameters);
    realm.starts.push(...newStartTables(parameters));
    ledger.take(rd, State.RD, realm, realm);
    for (const table of realm.starts) ledger.take(table.granule, State.RTT, realm, table);
    ledger.realms.add(realm);
    ledger.setMeasurement(realm, 0, ledger.hash(realm, measured));
  });
}

function recCreate(input: JudgeInput): Verdict {
  const { ledger, args } = input;
  const rd = args.granule(1);
  const g = args.granule(2);
  const params = hostPage(input, 3);
  const realm = ledger.realmAt(rd);
  if (!params || g < 0 || ledger.state[g] !== State.DELEGATED || !realm) return refused(INPUT, [rd, g]);
  if (realm.state !== RealmState.NEW) return refused(REALM_ERROR, [rd, g]);
  const order = Number((ledger.offer.featureRegister0 >> 38n) & 0xfn);
  if (realm.recs.size === 2 ** order - 1) return refused(REALM_ERROR, [rd, g]);
  const index = realm.recIndex;
  const mpidr =
    ((index >> 20) * 2 ** 24 + (((index >> 12) & 0xff) << 16) + (((index >> 4) & 0xff) << 8) + (index & 0xf)) >>> 0;
  if (u64(params, 0x100) !== mpidr) return refused(INPUT, [rd, g]);
  const { auxCount } = ledger.offer;
  if (u64(params, 0x800) !== auxCount) return refused(INPUT, [rd, g]);
  const aux = Array.from({ length: auxCount }, (_, n) =>
    granuleIndex(params.getUint32(0x808 + 8 * n, true), u64(params, 0x808 + 8 * n)),
  );
  if (new Set([g, ...aux]).size !== auxCount + 1) return refused(INPUT, [rd, g, ...aux]);
  if (!aux.every((a) => a >= 0 && ledger.state[a] === State.DELEGATED)) return refused(INPUT, [rd, g, ...aux]);
  const runnable = (params.getUint8(0) & 1) === 1;
  return accepted([rd, g, ...aux], () => {
    const rec = new Rec(realm, g, aux, runnable);
    ledger.take(g, State.REC, realm, rec);
    for (const a of aux) ledger.take(a, State.REC_AUX, realm, rec);
    realm.recs.add(rec);
    realm.recIndex++;
    if (!runnable) return;
    const measured = new Uint8Array(PAGE);
    for (const [at, size] of [
      [0, 8],
      [0x200, 8],
      [0x300, 64],
    ] as const)
      measured.set(new Uint8Array(params.buffer, params.byteOffset + at, size), at);
    ledger.extendRim(realm, 1, (_, bytes) => bytes.set(ledger.hash(realm, measured), 0x50));
  });
}

function recEnter(input: JudgeInput): Verdict {
  const { ledger, args, gic } = input;
  const g = args.granule(1);
  const run = hostPage(input, 2);
  const rec = ledger.recAt(g);
  if (!run || !rec) return refused(INPUT, [g]);
  const named = [g, ...rec.aux, rec.realm.rd];
  if (rec.pe >= 0) return refused(REC_ERROR, [g]);
  if (rec.realm.state === RealmState.NEW) return refused(REALM_ERROR, named);
  if (rec.realm.state === RealmState.SYSTEM_OFF) return refused(SYSTEM_OFF, named);
  if (!rec.runnable || rec.psci || !gicIsValid(run, gic)) return refused(REC_ERROR, named);
  const flags = run.getUint32(0, true);
  if ((flags & 2) !== 0) {
    if (rec.lastExit !== LastExit.EMULATABLE && rec.lastExit !== LastExit.UNPROTECTED) return refused(REC_ERROR, named);
  } else if ((flags & 1) !== 0 && rec.lastExit !== LastExit.EMULATABLE) {
    return refused(REC_ERROR, named);
  }
  return { code: 0, out: NOTHING, granules: named, enter: rec };
}

/** DEN0137, "RmiRecEnter type": gicv3_hcr and gicv3_lrs. */
function gicIsValid(run: DataView, { listRegisters, priorityBits, idBits }: JudgeInput["gic"]): boolean {
  if (run.getUint32(0x304, true) !== 0 || (run.getUint32(0x300, true) & ~0x40fe) !== 0) return false;
  const seen = new Set<number>();
  for (let n = 0; n < listRegisters; n++) {
    const intid = run.getUint32(0x308 + 8 * n, true);
    const high = run.getUint32(0x30c + 8 * n, true);
    if (high >>> 30 === 0) continue;
    const priority = (high >>> 16) & 0xff;
    if ((high & (1 << 29)) !== 0 || (high & 0x1dff) !== 0 || priority % 2 ** (8 - priorityBits) !== 0) return false;
    if (!(intid <= 1019 || (intid >= 8192 && intid < 2 ** idBits)) || seen.has(intid)) return false;
    seen.add(intid);
  }
  return true;
}

const DENIED = 2 ** 64 - 3;

function psciComplete({ ledger, args }: JudgeInput): Verdict {
  const g = args.granule(1);
  const t = args.granule(2);
  const calling = ledger.recAt(g);
  const target = ledger.recAt(t);
  const named = [g, t];
  if (!calling || !target || calling === target || calling.pe >= 0) return refused(INPUT, named);
  const { psci } = calling;
  if (!psci || calling.realm !== target.realm || psci.target !== target.index) return refused(INPUT, named);
  const denied = args.number(3) === DENIED && args.low(3) === 0xffff_fffd;
  const success = args.low(3) === 0 && args.high(3) === 0;
  if (!success && !(denied && psci.on && !target.runnable)) return refused(INPUT, named);
  return accepted(named, () => {
    if (psci.on && success && !target.runnable && target.pe < 0) {
      target.runnable = true;
    }
    calling.psci = undefined;
  });
}
