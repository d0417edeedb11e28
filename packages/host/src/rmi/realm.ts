/**
 * One realm as its Host sees it: RD, tables, private and shared pages, RECs, from REALM_CREATE to the teardown. What the
 * Linux CCA host series does in `arch/arm64/kvm/rme.c`, as operations. DEN0137 1.0-rel0, "Realm Management Interface".
 *
 * Every page that a realm takes is booked: `realm` for RD, RTT, REC and REC_AUX granules, `guestMemfd` for DATA. A page
 * goes back to the allocator only after a successful RMI_GRANULE_UNDELEGATE; otherwise it is leaked.
 *
 * @spec Linux CCA host series v9, "use of RMI": partial: no block mappings (RMI_RTT_FOLD), no SVE and LPA2
 *   parameters
 */
import {
  GRANULE_SIZE,
  NS_MEM_ATTR,
  NS_S2AP,
  REC_AUX_MAX,
  RMI_DATA_FLAGS,
  RMI_FEATURE_REGISTER_0,
  RMI_NS_DESC,
  RMI_REALM_FLAGS,
  RMI_REC_CREATE_FLAGS,
  RmiRealmParams,
  RmiRecParams,
  RmiRipas,
  RmiRttEntryState,
  recMpidrOfIndex,
  rttEntrySize,
} from "@realmbox/abi";
import type { MemoryPort } from "@realmbox/machine";
import type { Op, RealmState } from "../kvm/api.js";
import { type KvmError, type KvmResult, kvmError } from "../kvm/errno.js";
import type { PageAllocator, PageUseName } from "../memory/allocator.js";
import type { PrivatePages } from "../memory/slots.js";
import { stage2Geometry } from "../memory/stage2.js";
import { isRttError, levelOf, type Rmi, statusOf } from "./calls.js";

const LEAF_LEVEL = 3;
const paOf = (pfn: number): bigint => BigInt(pfn) << 12n;
const ipaOf = (page: number): bigint => BigInt(page) << 12n;
const MEASURE = Number(RMI_DATA_FLAGS.MEASURE.mask);

/** What a realm needs of the Host. */
export interface RealmEnvironment {
  readonly rmi: Rmi;
  readonly allocator: PageAllocator;
  readonly port: MemoryPort;
  /** RMI feature register 0. */
  readonly features0: bigint;
  allocVmid(): number | undefined;
  freeVmid(vmid: number): void;
}

export interface Rec {
  readonly pfn: number;
  readonly aux: readonly number[];
  /** RmiRecRun page, Non-secure. */
  readonly run: number;
}

/** How a private fault ended. */
export type FaultOutcome = "mapped" | "retry" | "poisoned" | "memory" | "refused";

export interface RealmSnapshot {
  readonly state: RealmState;
  readonly rd: number;
  readonly rttBase: number;
  readonly rttTables: number;
  readonly vmid: number;
  readonly auxCount: number;
  readonly hashAlgo: number;
  readonly pmuCounters: number | null;
  readonly rpv: readonly number[];
  readonly mayBeDestroyed: boolean;
}

const ENXIO = (what: string, x0: bigint) =>
  kvmError("ENXIO", `${what}: RMI status ${statusOf(x0)}, index ${levelOf(x0)}`);

export class Realm {
  readonly ipaBits: number;
  readonly #env: RealmEnvironment;
  state: RealmState = "none";
  hashAlgo = 0;
  /** Event counters of its PMU; undefined: it has none. */
  pmuCounters: number | undefined = undefined;
  rpv = new Uint8Array(64);
  /** Page frame numbers; valid from CREATE_REALM on. */
  rd = 0;
  auxCount = 0;
  /** A page or a table was taken from the realm: its RIPAS may be DESTROYED there. */
  #mayBeDestroyed = false;
  #rttBase = 0;
  #rttTables = 0;
  #vmid = 0;

  constructor(env: RealmEnvironment, ipaBits: number) {
    this.#env = env;
    this.ipaBits = ipaBits;
  }

  /** Physical address of the RD. */
  get rdPa(): bigint {
    return paOf(this.rd);
  }

  /** The bit that tells the Unprotected half of the IPA space. */
  get sharedBit(): bigint {
    return 1n << BigInt(this.ipaBits - 1);
  }

  // Granules

  *#take(use: PageUseName): Op<number | undefined> {
    const pfn = this.#env.allocator.alloc(use);
    if (pfn === undefined) return undefined;
    return (yield* this.#delegate(pfn, use)) ? pfn : undefined;
  }

  /** False, and the page is lost, when it is not what the Host believes: nobody may get it again. */
  *#delegate(pfn: number, use: PageUseName): Op<boolean> {
    const { rmi } = this.#env;
    yield rmi.granuleDelegate(pfn);
    if (rmi.succeeded) return true;
    this.#env.allocator.leak(pfn, use);
    return false;
  }

  *#give(pfn: number, use: PageUseName): Op<void> {
    const { rmi } = this.#env;
    yield rmi.granuleUndelegate(pfn);
    if (rmi.succeeded) this.#env.allocator.free(pfn, use);
    else this.#env.allocator.leak(pfn, use);
  }

  /** Runs `use` with a Non-secure page that holds `content`: a parameter page. */
  *#withPage(content: Uint8Array, use: (pa: bigint) => BigUint64Array, what: string): Op<KvmResult> {
    const pfn = this.#env.allocator.alloc("shared");
    if (pfn === undefined) return kvmError("ENOMEM", "no page for parameters");
    let failed: KvmResult = this.#env.port.copyOut(paOf(pfn), content) && kvmError("EFAULT", "parameter page");
    if (!failed) {
      const r = yield use(paOf(pfn));
      if (r[0] !== 0n) failed = ENXIO(what, r[0]!);
    }
    this.#env.allocator.free(pfn, "shared");
    return failed;
  }

  // Construction

  /** RMI_REALM_CREATE. Undone completely when it fails. */
  *create(): Op<KvmResult> {
    const { allocator, rmi } = this.#env;
    const { tables } = stage2Geometry(this.ipaBits);
    const vmid = this.#env.allocVmid();
    if (vmid === undefined) return kvmError("ENOMEM", "no VMID left");
    const rd = yield* this.#take("realm");
    const rttBase = rd === undefined ? undefined : allocator.allocContiguous(tables, "realm");
    /** The first `tried` tables are delegated, or lost; the others are still ordinary pages. */
    const delegated: number[] = [];
    let tried = 0;
    let failed: KvmResult = rttBase === undefined ? kvmError("ENOMEM", "no page for RD or RTT") : undefined;
    for (; !failed && tried < tables; tried++) {
      if (yield* this.#delegate(rttBase! + tried, "realm")) delegated.push(rttBase! + tried);
      else failed = kvmError("ENXIO", "a page for an RTT cannot be delegated");
    }
    if (!failed) {
      const params = this.#params(vmid, rttBase!, tables);
      failed = yield* this.#withPage(params, (page) => rmi.realmCreate(paOf(rd!), page), "RMI_REALM_CREATE");
    }
    if (failed) {
      this.#env.freeVmid(vmid);
      if (rd !== undefined) yield* this.#give(rd, "realm");
      for (const pfn of delegated) yield* this.#give(pfn, "realm");
      if (rttBase !== undefined) for (let n = tried; n < tables; n++) allocator.free(rttBase + n, "realm");
      return failed;
    }
    this.rd = rd!;
    this.#rttBase = rttBase!;
    this.#rttTables = tables;
    this.#vmid = vmid;
    this.state = "new";
    const r = yield rmi.recAuxCount(this.rdPa);
    this.auxCount = Number(r[1]!);
    return undefined;
  }

  #params(vmid: number, rttBase: number, tables: number): Uint8Array {
    const { features0 } = this.#env;
    return RmiRealmParams.encode({
      s2sz: this.ipaBits,
      num_bps: Number(RMI_FEATURE_REGISTER_0.NUM_BPS.get(features0)),
      num_wps: Number(RMI_FEATURE_REGISTER_0.NUM_WPS.get(features0)),
      ...(this.pmuCounters === undefined ? {} : { flags: RMI_REALM_FLAGS.PMU.of(1), pmu_num_ctrs: this.pmuCounters }),
      hash_algo: this.hashAlgo,
      rpv: this.rpv,
      vmid,
      rtt_base: paOf(rttBase),
      rtt_level_start: BigInt(stage2Geometry(this.ipaBits).startLevel),
      rtt_num_start: tables,
    });
  }

  /** Makes the tables from below `from` down to level `to` for an IPA. */
  *#createTables(ipa: bigint, from: number, to: number): Op<KvmResult> {
    for (let level = from + 1; level <= to; level++) {
      const pfn = yield* this.#take("realm");
      if (pfn === undefined) return kvmError("ENOMEM", "no page for an RTT");
      const base = ipa & -rttEntrySize(level - 1);
      const r = yield this.#env.rmi.rttCreate(this.rdPa, paOf(pfn), base, level);
      const status = r[0]!;
      if (status === 0n) continue;
      yield* this.#give(pfn, "realm");
      if (isRttError(status) && levelOf(status) === level - 1) continue; // it is there already
      return ENXIO("RMI_RTT_CREATE", status);
    }
    return undefined;
  }

  /** RIPAS RAM for [base, top): one level of tables at a time, so that the coarsest entries that fit are used. */
  *initRipas(base: bigint, top: bigint): Op<KvmResult> {
    for (let ipa = base; ipa < top; ) {
      const r = yield this.#env.rmi.rttInitRipas(this.rdPa, ipa, top);
      const status = r[0]!;
      if (status === 0n) {
        ipa = r[1]!;
        continue;
      }
      const level = levelOf(status);
      if (!isRttError(status) || level >= LEAF_LEVEL) return ENXIO("RMI_RTT_INIT_RIPAS", status);
      const failed = yield* this.#createTables(ipa, level, level + 1);
      if (failed) return failed;
    }
    return undefined;
  }

  /**
   * RMI_DATA_CREATE of one page, by its number; content from the Non-secure frame `src`. A step of this is a step of the
   * generator itself: populating is two calls for each page, and each generator between them and the Host costs 50 ns.
   */
  *populate(pages: PrivatePages, index: number, ipa: number, src: number, measure: boolean): Op<KvmResult> {
    if (pages.pages[index] !== 0) return kvmError("ENXIO", "the page is populated already");
    const { rmi, allocator } = this.#env;
    const pfn = allocator.alloc("guestMemfd");
    if (pfn === undefined) return kvmError("ENOMEM", "no page for private memory");
    yield rmi.granuleDelegate(pfn);
    if (!rmi.succeeded) {
      allocator.leak(pfn, "guestMemfd");
      return kvmError("ENOMEM", "no page for private memory");
    }
    const flags = measure ? MEASURE : 0;
    yield rmi.dataCreate(this.rd, pfn, ipa, src, flags);
    if (!rmi.succeeded) {
      const failed = yield* this.#retryWithTables(ipaOf(ipa), "RMI_DATA_CREATE", rmi.regs[0]!, () =>
        rmi.dataCreate(this.rd, pfn, ipa, src, flags),
      );
      if (failed) {
        yield* this.#give(pfn, "guestMemfd");
        return failed;
      }
    }
    pages.pages[index] = pfn + 1;
    return undefined;
  }

  /** A command on a level-3 entry has failed with `status`; when a table is missing, makes it and tries once more. */
  *#retryWithTables(ipa: bigint, name: string, status: bigint, command: () => BigUint64Array): Op<KvmResult> {
    if (!isRttError(status) || levelOf(status) >= LEAF_LEVEL) return ENXIO(name, status);
    const failed = yield* this.#createTables(ipa, levelOf(status), LEAF_LEVEL);
    if (failed) return failed;
    const r = yield command();
    return r[0] === 0n ? undefined : ENXIO(name, r[0]!);
  }

  /** RMI_REC_CREATE. `index`: the vCPU's; RECs must be created in its order. */
  *createRec(args: {
    readonly index: number;
    readonly runnable: boolean;
    readonly pc: bigint;
    readonly gprs: readonly bigint[];
  }): Op<KvmResult<Rec>> {
    const { allocator, rmi } = this.#env;
    const taken: number[] = [];
    const count = 1 + Math.min(this.auxCount, REC_AUX_MAX);
    while (taken.length < count) {
      const pfn = yield* this.#take("realm");
      if (pfn === undefined) break;
      taken.push(pfn);
    }
    const run = allocator.alloc("shared");
    let failed: KvmError | undefined;
    if (taken.length < count || run === undefined) {
      failed = kvmError("ENOMEM", "no page for a REC");
    } else {
      const [rec, ...aux] = taken as [number, ...number[]];
      const params = RmiRecParams.encode({
        flags: RMI_REC_CREATE_FLAGS.RUNNABLE.of(args.runnable ? 1 : 0),
        mpidr: recMpidrOfIndex(args.index),
        pc: args.pc,
        gprs: [...args.gprs],
        num_aux: BigInt(aux.length),
        aux: aux.map(paOf),
      });
      const create = (page: bigint) => rmi.recCreate(this.rdPa, paOf(rec), page);
      failed = yield* this.#withPage(params, create, "RMI_REC_CREATE");
      if (!failed) {
        this.#env.port.zero(paOf(run), GRANULE_SIZE);
        return { pfn: rec, aux, run };
      }
    }
    for (const pfn of taken) yield* this.#give(pfn, "realm");
    if (run !== undefined) allocator.free(run, "shared");
    return failed;
  }

  *destroyRec(rec: Rec): Op<void> {
    const { allocator, rmi } = this.#env;
    const r = yield rmi.recDestroy(paOf(rec.pfn));
    const gone = r[0] === 0n;
    for (const pfn of [rec.pfn, ...rec.aux]) {
      if (gone) yield* this.#give(pfn, "realm");
      else allocator.leak(pfn, "realm");
    }
    allocator.free(rec.run, "shared");
  }

  *activate(): Op<KvmResult> {
    const r = yield this.#env.rmi.realmActivate(this.rdPa);
    if (r[0] !== 0n) return ENXIO("RMI_REALM_ACTIVATE", r[0]!);
    this.state = "active";
    return undefined;
  }

  // Faults and changes of a running realm

  /**
   * A private page for a Protected IPA that faulted, by its number. "poisoned": the RIPAS is DESTROYED, the content is gone
   * and the realm can never go on there; "retry": the page is there by now.
   */
  *mapProtected(pages: PrivatePages, index: number, ipa: number): Op<FaultOutcome> {
    const { rmi, allocator } = this.#env;
    // RIPAS becomes DESTROYED by what the Host itself does: until then a page that it has not given is not there.
    if (this.#mayBeDestroyed || pages.pages[index] !== 0) {
      const entry = yield rmi.rttReadEntry(this.rdPa, ipaOf(ipa), LEAF_LEVEL);
      if (entry[0] !== 0n) return "refused";
      if (entry[4] === BigInt(RmiRipas.DESTROYED)) return "poisoned";
      if (entry[2] === BigInt(RmiRttEntryState.ASSIGNED)) return "retry";
    }
    const pfn = allocator.alloc("guestMemfd");
    if (pfn === undefined) return "memory";
    yield rmi.granuleDelegate(pfn);
    if (!rmi.succeeded) {
      allocator.leak(pfn, "guestMemfd");
      return "memory";
    }
    yield rmi.dataCreateUnknown(this.rd, pfn, ipa);
    if (!rmi.succeeded) {
      const failed = yield* this.#retryWithTables(ipaOf(ipa), "RMI_DATA_CREATE_UNKNOWN", rmi.regs[0]!, () =>
        rmi.dataCreateUnknown(this.rd, pfn, ipa),
      );
      if (failed) {
        yield* this.#give(pfn, "guestMemfd");
        return failed.errno === "ENOMEM" ? "memory" : "refused";
      }
    }
    pages.pages[index] = pfn + 1;
    return "mapped";
  }

  /** Takes a private page back: its content is wiped. False when the RMM refused; the page stays booked. */
  *destroyPage(pages: PrivatePages, index: number, ipa: number): Op<boolean> {
    const pfn = pages.pages[index]! - 1;
    if (pfn < 0) return true;
    const { rmi, allocator } = this.#env;
    this.#mayBeDestroyed = true;
    yield rmi.dataDestroy(this.rd, ipa);
    if (!rmi.succeeded || rmi.frame(1) !== pfn) return false;
    pages.pages[index] = 0;
    yield rmi.granuleUndelegate(pfn);
    if (rmi.succeeded) allocator.free(pfn, "guestMemfd");
    else allocator.leak(pfn, "guestMemfd");
    return true;
  }

  /** Maps a Non-secure page at an Unprotected IPA. False: it is mapped already, or the RMM refused. */
  *mapUnprotected(ipa: bigint, pa: bigint, writable: boolean): Op<boolean> {
    const desc =
      pa |
      RMI_NS_DESC.MEM_ATTR.of(NS_MEM_ATTR.NORMAL_WB) |
      RMI_NS_DESC.S2AP.of(writable ? NS_S2AP.READ_WRITE : NS_S2AP.READ);
    const { rmi } = this.#env;
    const command = () => rmi.rttMapUnprotected(this.rdPa, ipa, LEAF_LEVEL, desc);
    const r = yield command();
    if (r[0] === 0n) return true;
    return !(yield* this.#retryWithTables(ipa, "RMI_RTT_MAP_UNPROTECTED", r[0]!, command));
  }

  *unmapUnprotected(ipa: bigint): Op<boolean> {
    const r = yield this.#env.rmi.rttUnmapUnprotected(this.rdPa, ipa, LEAF_LEVEL);
    return r[0] === 0n;
  }

  /** Answers a RIPAS change from `base` up to `top`; gives how far it came. */
  *setRipas(rec: Rec, base: bigint, top: bigint): Op<bigint> {
    let ipa = base;
    while (ipa < top) {
      const r = yield this.#env.rmi.rttSetRipas(this.rdPa, paOf(rec.pfn), ipa, top);
      const status = r[0]!;
      if (status === 0n) {
        ipa = r[1]!;
        continue;
      }
      const level = levelOf(status);
      // At level 3 the realm forbade the change (a DESTROYED page that it did not want to lose).
      if (!isRttError(status) || level >= LEAF_LEVEL) break;
      if (yield* this.#createTables(ipa, level, level + 1)) break;
    }
    return ipa;
  }

  *psciComplete(calling: Rec, target: Rec, status: bigint): Op<boolean> {
    const r = yield this.#env.rmi.psciComplete(paOf(calling.pfn), paOf(target.pfn), status);
    return r[0] === 0n;
  }

  // Teardown

  /**
   * Tables and RD, after RECs, private and shared pages are gone. What the RMM refuses stays delegated and is booked as
   * leaked; the result tells.
   */
  *destroy(): Op<KvmResult> {
    const { allocator, rmi } = this.#env;
    const { startLevel } = stage2Geometry(this.ipaBits);
    const failed = yield* this.#destroyTables(startLevel + 1, 0n, 1n << BigInt(this.ipaBits));
    const r = yield rmi.realmDestroy(this.rdPa);
    if (r[0] !== 0n) {
      allocator.leak(this.rd, "realm");
      for (let n = 0; n < this.#rttTables; n++) allocator.leak(this.#rttBase + n, "realm");
      this.state = "off";
      return failed ?? ENXIO("RMI_REALM_DESTROY", r[0]!);
    }
    yield* this.#give(this.rd, "realm");
    this.#env.freeVmid(this.#vmid);
    for (let n = 0; n < this.#rttTables; n++) yield* this.#give(this.#rttBase + n, "realm");
    this.state = "none";
    return failed;
  }

  /** Destroys every table at `level` in [base, end), deepest first. */
  *#destroyTables(level: number, base: bigint, end: bigint): Op<KvmResult> {
    const span = rttEntrySize(level - 1);
    this.#mayBeDestroyed = true;
    let emptied = -1n;
    for (let ipa = base; ipa < end; ) {
      const r = yield this.#env.rmi.rttDestroy(this.rdPa, ipa, level);
      const status = r[0]!;
      const top = r[2]!;
      if (status === 0n) {
        yield* this.#give(Number(r[1]! >> 12n), "realm");
      } else if (isRttError(status) && levelOf(status) === level && level < LEAF_LEVEL && emptied !== ipa) {
        // The table is live: it has tables of its own.
        const failed = yield* this.#destroyTables(level + 1, ipa, ipa + span);
        if (failed) return failed;
        emptied = ipa;
        continue;
      } else if (!isRttError(status) || levelOf(status) >= level) {
        return ENXIO("RMI_RTT_DESTROY", status);
      }
      if (top <= ipa) return kvmError("ENXIO", "RMI_RTT_DESTROY makes no progress");
      ipa = top;
    }
    return undefined;
  }

  save(): RealmSnapshot {
    return {
      state: this.state,
      rd: this.rd,
      rttBase: this.#rttBase,
      rttTables: this.#rttTables,
      vmid: this.#vmid,
      auxCount: this.auxCount,
      hashAlgo: this.hashAlgo,
      pmuCounters: this.pmuCounters ?? null,
      rpv: [...this.rpv],
      mayBeDestroyed: this.#mayBeDestroyed,
    };
  }

  restore(data: RealmSnapshot): void {
    this.state = data.state;
    this.rd = data.rd;
    this.#rttBase = data.rttBase;
    this.#rttTables = data.rttTables;
    this.#vmid = data.vmid;
    this.auxCount = data.auxCount;
    this.hashAlgo = data.hashAlgo;
    this.pmuCounters = data.pmuCounters ?? undefined;
    this.rpv = Uint8Array.from(data.rpv);
    this.#mayBeDestroyed = data.mayBeDestroyed ?? true;
  }
}
