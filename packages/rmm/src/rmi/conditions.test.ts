/**
 * Every failure condition of every RMI command, by its id: the status and index that it gives, and that a refused command
 * changes nothing, neither in the RMM's memory nor in any granule.
 */
import { Gpi, RMI_FID, type RmiCommand, RmiRealmParams, RmiRecParams, recMpidrOfIndex } from "@realmbox/abi";
import { describe, expect, test } from "vitest";
import {
  BLOCK,
  GRANULE,
  Host,
  PAGE,
  PARAMS,
  type Realm,
  type RealmParams,
  type TestRec,
  UNPROTECTED,
} from "../testing/realm.js";
import { DRAM_END } from "../testing/stand-in.js";
import { RMI_COMMANDS } from "./table.js";

/** What a case works on; each part is made when it is first asked for. */
class Setup {
  readonly host = new Host();
  readonly machine = this.host.machine;
  private made: Realm | undefined;
  private madeRec: TestRec | undefined;

  /** A NEW Realm: page mapped at 0x1000, RAM at 0x2000, tables below 2 MiB and for 2 MiB of unprotected space. */
  get realm(): Realm {
    if (!this.made) {
      this.made = this.host.realm();
      this.made.data(PAGE);
      this.made.ram(2n * PAGE);
      this.made.tables(UNPROTECTED);
    }
    return this.made;
  }
  get rd(): bigint {
    return this.realm.rd;
  }
  get rec(): TestRec {
    this.madeRec ??= this.realm.rec();
    return this.madeRec;
  }
  /** The REC, in an active Realm. */
  get activeRec(): TestRec {
    const { rec } = this;
    this.realm.activate();
    return rec;
  }
  get runningRec(): TestRec {
    return this.activeRec.enter({}, this.machine.pes[1]);
  }
  get delegated(): bigint {
    return this.host.delegated();
  }
  get ns(): bigint {
    return this.host.ns();
  }
  realmParams(overrides: RealmParams): bigint {
    return this.host.page(RmiRealmParams.encode({ ...PARAMS, vmid: 2, rtt_base: this.delegated, ...overrides }));
  }
  recParams(overrides: Parameters<typeof RmiRecParams.encode>[0] = {}): bigint {
    const { delegated: a, delegated: b } = this;
    return this.host.page(RmiRecParams.encode({ flags: 1n, mpidr: 0n, num_aux: 2n, aux: [a, b], ...overrides }));
  }
  secure(): bigint {
    const pa = this.ns;
    this.machine.gpi.set(pa, Gpi.SECURE);
    return pa;
  }
}

type Args = (t: Setup) => readonly bigint[];
type Expected = readonly [
  status: string,
  index?: number,
  out?: ((t: Setup, args: readonly bigint[]) => readonly bigint[]) | undefined,
];
const INPUT: Expected = ["RMI_ERROR_INPUT"];
const REC: Expected = ["RMI_ERROR_REC"];
const REALM = (index: number): Expected => ["RMI_ERROR_REALM", index];
const RTT = (level: number, out?: (t: Setup, args: readonly bigint[]) => readonly bigint[]): Expected => [
  "RMI_ERROR_RTT",
  level,
  out,
];

const OUTSIDE = DRAM_END;
const IPA_SIZE = 1n << 33n;
const RW = (6n << 2n) | (3n << 6n);

/** The three ways in which a granule of a state is not the one: the rest of the arguments is good. */
const granuleCases = (
  name: string,
  at: number,
  good: Args,
  bound = name,
  state = `${name}_state`,
): [string, Args, Expected][] => {
  const put =
    (value: (t: Setup) => bigint): Args =>
    (t) =>
      good(t).map((arg, i) => (i === at ? value(t) : arg));
  return [
    [`${name}_align`, put((t) => t.delegated + 8n), INPUT],
    [`${bound}_bound`, put(() => OUTSIDE), INPUT],
    [state, put((t) => t.ns), INPUT],
  ];
};
const hostCases = (name: string, at: number, good: Args): [string, Args, Expected][] => {
  const put =
    (value: (t: Setup) => bigint): Args =>
    (t) =>
      good(t).map((arg, i) => (i === at ? value(t) : arg));
  return [
    [`${name}_align`, put((t) => t.ns + 8n), INPUT],
    [`${name}_bound`, put(() => OUTSIDE), INPUT],
    [`${name}_pas`, put((t) => t.delegated), INPUT],
    [`${name}_pas`, put((t) => t.secure()), INPUT],
  ];
};

const dataCreate: Args = (t) => [t.rd, t.delegated, 0x3000n, t.ns, 1n];
const dataCreateUnknown: Args = (t) => [t.rd, t.delegated, 0x3000n];
const dataDestroy: Args = (t) => [t.rd, PAGE];
const realmCreate: Args = (t) => [t.delegated, t.realmParams({})];
const recCreate: Args = (t) => [t.rd, t.delegated, t.recParams()];
const recEnter: Args = (t) => [t.activeRec.addr, t.ns];
const rttCreate: Args = (t) => [t.rd, t.delegated, BLOCK, 3n];
const rttDestroy: Args = (t) => [t.rd, UNPROTECTED, 3n];
const rttFold: Args = (t) => [t.rd, UNPROTECTED, 3n];
const mapUnprotected: Args = (t) => [t.rd, UNPROTECTED, 3n, t.ns | RW];
const unmapUnprotected: Args = (t) => {
  t.machine.ok("RMI_RTT_MAP_UNPROTECTED", ...mapUnprotected(t));
  return [t.rd, UNPROTECTED, 3n];
};
const readEntry: Args = (t) => [t.rd, 0n, 3n];
const initRipas: Args = (t) => [t.rd, 0x3000n, 0x5000n];
/** A REC that has asked for RAM at [0x3000, 0x5000). */
const setRipas: Args = (t) => {
  t.activeRec.enter().rsiExit("RSI_IPA_STATE_SET", 0x3000n, 0x5000n, 1n, 0n);
  return [t.rd, t.rec.addr, 0x3000n, 0x5000n];
};
/** A REC that has asked to turn on, or ask about, a second one. */
const psci =
  (runnable: boolean, name: "PSCI_CPU_ON_64" | "PSCI_AFFINITY_INFO_64" = "PSCI_CPU_ON_64"): Args =>
  (t) => {
    const { rec } = t;
    const target = t.realm.rec({ runnable });
    t.realm.activate();
    rec.enter().psci(name, 1n, name === "PSCI_CPU_ON_64" ? 0x1000n : 0n);
    return [rec.addr, target.addr, 0n];
  };
const DENIED = 0xffff_ffff_ffff_fffdn;
const replace =
  (good: Args, at: number, value: (t: Setup, args: readonly bigint[]) => bigint): Args =>
  (t) => {
    const args = good(t);
    return args.map((arg, i) => (i === at ? value(t, args) : arg));
  };
/** `good`, after something more has happened. */
const after =
  (good: Args, event: (t: Setup, args: readonly bigint[]) => void): Args =>
  (t) => {
    const args = good(t);
    event(t, args);
    return args;
  };
const enterWith =
  (enter: Parameters<TestRec["tryEnter"]>[0], event: (rec: TestRec) => void = () => {}): Args =>
  (t) => {
    const { activeRec } = t;
    event(activeRec);
    activeRec.tryEnter(enter); // leaves RmiRecEnter in the run page
    return [activeRec.addr, activeRec.run];
  };
const params =
  (overrides: RealmParams): Args =>
  (t) => [t.delegated, t.realmParams(overrides)];

const CASES: Partial<Record<RmiCommand, readonly [condition: string, args: Args, expected: Expected][]>> = {
  RMI_VERSION: [
    ["incompat_lower", () => [0x1_0001n], ["RMI_ERROR_INPUT", 0, () => [0x1_0000n, 0x1_0000n]]],
    ["incompat_lower", () => [0x0_0001n], ["RMI_ERROR_INPUT", 0, () => [0x1_0000n, 0x1_0000n]]],
    ["incompat_lower", () => [0x1_0001_0000n], ["RMI_ERROR_INPUT", 0, () => [0x1_0000n, 0x1_0000n]]],
  ],
  RMI_GRANULE_DELEGATE: [
    ["gran_align", (t) => [t.ns + 1n], INPUT],
    ["gran_bound", () => [OUTSIDE], INPUT],
    ["gran_bound", () => [0x1c09_0000n], INPUT],
    ["gran_bound", () => [1n << 63n], INPUT],
    [
      "gran_bound", // memory that the machine cannot provide
      (t) => {
        const pa = t.ns;
        t.machine.absent.add(pa);
        return [pa];
      },
      INPUT,
    ],
    ["gran_state", (t) => [t.delegated], INPUT],
    ["gran_state", (t) => [t.rd], INPUT],
    ["gran_gpt", (t) => [t.secure()], INPUT],
  ],
  RMI_GRANULE_UNDELEGATE: [
    ["gran_align", (t) => [t.delegated + 1n], INPUT],
    ["gran_bound", () => [OUTSIDE], INPUT],
    ["gran_state", (t) => [t.ns], INPUT],
    ["gran_state", (t) => [t.rd], INPUT],
    ["gran_state", (t) => [t.rec.addr], INPUT],
    ["gran_state", (t) => [t.rec.aux[0]!], INPUT],
    ["gran_state", (t) => [t.realm.rttBase], INPUT],
    ["gran_state", (t) => [t.realm.entry(PAGE).desc!], INPUT],
  ],
  RMI_DATA_CREATE: [
    ["flags_valid", replace(dataCreate, 4, () => 2n), INPUT],
    ...hostCases("src", 3, dataCreate),
    ...granuleCases("data", 1, dataCreate),
    ["data_state", replace(dataCreate, 1, (t) => t.rd), INPUT],
    ["data_state", replace(dataCreate, 1, (t) => t.realm.entry(PAGE).desc!), INPUT],
    ...granuleCases("rd", 0, dataCreate),
    ["realm_state", after(dataCreate, (t) => t.realm.activate()), REALM(0)],
    ["ipa_bound", replace(dataCreate, 2, () => UNPROTECTED), INPUT],
    ["ipa_align", replace(dataCreate, 2, () => 0x3008n), INPUT],
    ["rtt_walk", replace(dataCreate, 2, () => BLOCK), RTT(2)],
    ["rtt_walk", replace(dataCreate, 2, () => 1n << 30n), RTT(1)],
    ["rtte_state", replace(dataCreate, 2, () => PAGE), RTT(3)],
  ],
  RMI_DATA_CREATE_UNKNOWN: [
    ...granuleCases("data", 1, dataCreateUnknown),
    ...granuleCases("rd", 0, dataCreateUnknown),
    ["ipa_bound", replace(dataCreateUnknown, 2, () => UNPROTECTED), INPUT],
    ["ipa_align", replace(dataCreateUnknown, 2, () => 0x3008n), INPUT],
    ["rtt_walk", replace(dataCreateUnknown, 2, () => BLOCK), RTT(2)],
    ["rtte_state", replace(dataCreateUnknown, 2, () => PAGE), RTT(3)],
  ],
  RMI_DATA_DESTROY: [
    ...granuleCases("rd", 0, dataDestroy),
    ["ipa_bound", replace(dataDestroy, 1, () => UNPROTECTED), INPUT],
    ["ipa_align", replace(dataDestroy, 1, () => 0x1008n), INPUT],
    ["rtt_walk", replace(dataDestroy, 1, () => BLOCK), RTT(2, () => [0n, 1n << 30n])],
    ["rtte_state", replace(dataDestroy, 1, () => 0n), RTT(3, () => [0n, PAGE])],
    ["rtte_state", replace(dataDestroy, 1, () => 2n * PAGE), RTT(3, () => [0n, BLOCK])],
  ],
  RMI_REALM_ACTIVATE: [
    ...granuleCases("rd", 0, (t) => [t.rd]),
    [
      "realm_state",
      after(
        (t) => [t.rd],
        (t) => t.realm.activate(),
      ),
      REALM(0),
    ],
  ],
  RMI_REALM_CREATE: [
    ...hostCases("params", 1, realmCreate),
    ["params_valid", params({ hash_algo: 2 }), INPUT],
    ["params_valid", params({ num_bps: 0 }), INPUT],
    ["params_valid", params({ num_wps: 0 }), INPUT],
    ["params_supp", params({ s2sz: 31 }), INPUT],
    ["params_supp", params({ s2sz: 49, rtt_level_start: 0n }), INPUT],
    ["params_supp", params({ num_bps: 2 }), INPUT],
    ["params_supp", params({ num_wps: 2 }), INPUT],
    ["params_supp", params({ flags: 1n }), INPUT], // LPA2
    ["params_supp", params({ flags: 2n }), INPUT], // SVE
    ["params_supp", params({ flags: 4n }), INPUT], // PMU
    ["rtt_num_level", params({ rtt_num_start: 2 }), INPUT],
    ["rtt_num_level", params({ rtt_num_start: 0 }), INPUT],
    ["rtt_num_level", params({ rtt_level_start: 0n }), INPUT],
    ["rtt_num_level", params({ rtt_level_start: 3n }), INPUT],
    ["rtt_num_level", params({ rtt_level_start: -1n }), INPUT],
    ["rtt_num_level", params({ rtt_level_start: 1n << 62n }), INPUT],
    ["vmid_valid", after(params({ vmid: 1 }), (t) => t.realm), INPUT],
    ["alias", (t) => (({ delegated: rd }) => [rd, t.realmParams({ rtt_base: rd })])(t), INPUT],
    ...granuleCases("rd", 0, realmCreate),
    ["rd_state", replace(realmCreate, 0, (t) => t.rd), INPUT],
    ["rtt_align", (t) => [t.delegated, t.realmParams({ rtt_base: t.delegated + 8n })], INPUT],
    [
      "rtt_align",
      (t) => {
        const rd = t.delegated;
        const base = t.host.delegated(2n) + GRANULE;
        return [rd, t.realmParams({ s2sz: 40, rtt_num_start: 2, rtt_base: base })];
      },
      INPUT,
    ],
    ["rtt_state", params({ rtt_base: 0n }), INPUT],
    ["rtt_state", params({ rtt_base: 0xffff_ffff_ffff_f000n }), INPUT],
    ["rtt_state", (t) => [t.delegated, t.realmParams({ rtt_base: t.ns })], INPUT],
    ["rtt_state", (t) => [t.delegated, t.realmParams({ rtt_base: t.rd })], INPUT],
  ],
  RMI_REALM_DESTROY: [
    ...granuleCases("rd", 0, (t) => [t.rd]),
    ["realm_live", (t) => [t.rd], REALM(0)], // tables
    [
      "realm_live",
      (t) =>
        (({ host }) => {
          const realm = host.realm();
          realm.rec();
          return [realm.rd];
        })(t),
      REALM(0),
    ],
  ],
  RMI_REC_CREATE: [
    ...hostCases("params", 2, recCreate),
    ...granuleCases("rec", 1, recCreate),
    ["rec_state", replace(recCreate, 1, (t) => t.rd), INPUT],
    ...granuleCases("rd", 0, recCreate),
    ["realm_state", after(recCreate, (t) => t.realm.activate()), REALM(0)],
    [
      "num_recs",
      (t) => {
        for (let i = 0; i < 1023; i++) t.realm.rec({ runnable: false });
        return [t.rd, t.delegated, t.recParams({ mpidr: recMpidrOfIndex(1023) })];
      },
      REALM(0),
    ],
    ["mpidr_index", (t) => [t.rd, t.delegated, t.recParams({ mpidr: 1n })], INPUT],
    ["mpidr_index", (t) => [t.rd, t.delegated, t.recParams({ mpidr: 0x10n })], INPUT],
    ["mpidr_index", (t) => [t.rd, t.delegated, t.recParams({ mpidr: 1n << 32n })], INPUT],
    ["num_aux", (t) => [t.rd, t.delegated, t.recParams({ num_aux: 1n })], INPUT],
    ["num_aux", (t) => [t.rd, t.delegated, t.recParams({ num_aux: 17n })], INPUT],
    ["num_aux", (t) => [t.rd, t.delegated, t.recParams({ num_aux: 1n << 63n })], INPUT],
    ["aux_align", (t) => [t.rd, t.delegated, t.recParams({ aux: [t.delegated, t.delegated + 8n] })], INPUT],
    ["aux_alias", (t) => (({ delegated: a }) => [t.rd, t.delegated, t.recParams({ aux: [a, a] })])(t), INPUT],
    ["aux_alias", (t) => (({ delegated: rec }) => [t.rd, rec, t.recParams({ aux: [t.delegated, rec] })])(t), INPUT],
    ["aux_state", (t) => [t.rd, t.delegated, t.recParams({ aux: [t.delegated, t.ns] })], INPUT],
    ["aux_state", (t) => [t.rd, t.delegated, t.recParams({ aux: [t.delegated, OUTSIDE] })], INPUT],
    ["aux_state", (t) => [t.rd, t.delegated, t.recParams({ aux: [t.delegated, t.rd] })], INPUT],
  ],
  RMI_REC_DESTROY: [
    ...granuleCases("rec", 0, (t) => [t.rec.addr], "rec", "rec_gran_state"),
    ["rec_state", (t) => [t.runningRec.addr], REC],
  ],
  RMI_REC_ENTER: [
    ...hostCases("run", 1, recEnter),
    ...granuleCases("rec", 0, recEnter, "rec", "rec_gran_state"),
    ["rec_gran_state", replace(recEnter, 0, (t) => t.rd), INPUT],
    ["rec_state", (t) => [t.runningRec.addr, t.ns], REC],
    ["realm_new", (t) => [t.rec.addr, t.ns], REALM(0)],
    ["system_off", after(recEnter, (t) => t.rec.enter().psci("PSCI_SYSTEM_OFF")), REALM(1)],
    ["rec_runnable", after(recEnter, (t) => t.rec.enter().psci("PSCI_CPU_OFF")), REC],
    ["rec_psci", (t) => [psci(true)(t)[0]!, t.ns], REC],
    ["rec_gicv3", enterWith({ gicv3_hcr: 1n }), REC],
    ["rec_gicv3", enterWith({ gicv3_hcr: 1n << 27n }), REC],
    ["rec_gicv3", enterWith({ gicv3_lrs: [(1n << 62n) | (1n << 61n) | 27n] }), REC], // HW
    ["rec_gicv3", enterWith({ gicv3_lrs: [(1n << 62n) | (1n << 32n) | 27n] }), REC], // pINTID
    ["rec_gicv3", enterWith({ gicv3_lrs: [(1n << 62n) | (1n << 48n) | 27n] }), REC], // priority below 5 bits
    ["rec_gicv3", enterWith({ gicv3_lrs: [(1n << 62n) | 1020n] }), REC],
    ["rec_gicv3", enterWith({ gicv3_lrs: [(1n << 62n) | 8191n] }), REC],
    ["rec_gicv3", enterWith({ gicv3_lrs: [(1n << 62n) | 0x1_0000n] }), REC],
    ["rec_gicv3", enterWith({ gicv3_lrs: [(1n << 62n) | 40n, 0n, (2n << 62n) | 40n] }), REC],
    ["inject_sea", enterWith({ flags: 2n }), REC],
    ["inject_sea", enterWith({ flags: 2n }, (rec) => void rec.enter().dataAbort(2n * PAGE)), REC],
    ["rec_mmio", enterWith({ flags: 1n }), REC],
    ["rec_mmio", enterWith({ flags: 1n }, (rec) => void rec.enter().dataAbort(UNPROTECTED, { isv: false })), REC],
    ["rec_mmio", enterWith({ flags: 1n }, (rec) => void rec.enter().dataAbort(2n * PAGE)), REC],
    [
      "rec_mmio",
      enterWith({ flags: 1n }, (rec) => {
        rec.enter().dataAbort(UNPROTECTED);
        rec.enter().interrupt();
      }),
      REC,
    ],
  ],
  RMI_RTT_CREATE: [
    ...granuleCases("rtt", 1, rttCreate),
    ...granuleCases("rd", 0, rttCreate),
    ["level_bound", replace(rttCreate, 3, () => 1n), INPUT],
    ["level_bound", replace(rttCreate, 3, () => 4n), INPUT],
    ["level_bound", replace(rttCreate, 3, () => 0xffff_ffff_ffff_ffffn), INPUT],
    ["ipa_bound", replace(rttCreate, 2, () => IPA_SIZE), INPUT],
    ["ipa_align", replace(rttCreate, 2, () => PAGE), INPUT],
    ["rtt_walk", replace(rttCreate, 2, () => 1n << 30n), RTT(1)],
    ["rtte_state", replace(rttCreate, 2, () => 0n), RTT(2)],
  ],
  RMI_RTT_DESTROY: [
    ...granuleCases("rd", 0, rttDestroy),
    ["level_bound", replace(rttDestroy, 2, () => 1n), INPUT],
    ["level_bound", replace(rttDestroy, 2, () => 4n), INPUT],
    ["ipa_bound", replace(rttDestroy, 1, () => IPA_SIZE), INPUT],
    ["ipa_align", replace(rttDestroy, 1, () => PAGE), INPUT],
    // Live: the first entry, and the one at 4 GiB.
    ["rtt_walk", replace(rttDestroy, 1, () => 1n << 30n), RTT(1, () => [0n, UNPROTECTED])],
    ["rtte_state", replace(rttDestroy, 1, () => BLOCK), RTT(2, () => [0n, 1n << 30n])],
    ["rtt_live", replace(rttDestroy, 1, () => 0n), RTT(3, () => [0n, 0n])],
  ],
  RMI_RTT_FOLD: [
    ...granuleCases("rd", 0, rttFold),
    ["level_bound", replace(rttFold, 2, () => 1n), INPUT],
    ["level_bound", replace(rttFold, 2, () => 4n), INPUT],
    ["ipa_bound", replace(rttFold, 1, () => IPA_SIZE), INPUT],
    ["ipa_align", replace(rttFold, 1, () => PAGE), INPUT],
    ["rtt_walk", replace(rttFold, 1, () => 1n << 30n), RTT(1)],
    ["rtte_state", replace(rttFold, 1, () => BLOCK), RTT(2)],
    ["rtt_homo", replace(rttFold, 1, () => 0n), RTT(3)],
    ["rtt_homo", (t) => [t.rd, 0n, 2n], RTT(2)], // a table inside
  ],
  RMI_RTT_MAP_UNPROTECTED: [
    ["level_bound", replace(mapUnprotected, 2, () => 0n), INPUT],
    ["level_bound", replace(mapUnprotected, 2, () => 4n), INPUT],
    ["level_bound", replace(mapUnprotected, 2, () => 0xffff_ffff_ffff_ffffn), INPUT],
    [
      "level_bound",
      (t) => [t.host.realm({ s2sz: 34, vmid: 9, rtt_level_start: 2n, rtt_num_start: 16 }).rd, 1n << 33n, 1n, RW],
      INPUT,
    ],
    ...granuleCases("rd", 0, mapUnprotected),
    ["attr_valid", replace(mapUnprotected, 3, (t) => t.ns | (3n << 6n) | (4n << 2n)), INPUT],
    ...[0, 1, 5, 8, 9, 10, 11, 52, 53, 54, 55, 63].map((bit): [string, Args, Expected] => [
      "attr_valid",
      replace(mapUnprotected, 3, (t) => t.ns | RW | (1n << BigInt(bit))),
      INPUT,
    ]),
    ["addr_align", (t) => [t.rd, UNPROTECTED + BLOCK, 2n, PAGE | RW], INPUT],
    ["addr_bound", replace(mapUnprotected, 3, () => (1n << 48n) | RW), INPUT],
    ["ipa_bound", replace(mapUnprotected, 1, () => IPA_SIZE), INPUT],
    ["ipa_bound", replace(mapUnprotected, 1, () => PAGE), INPUT],
    ["ipa_align", replace(mapUnprotected, 1, () => UNPROTECTED + 8n), INPUT],
    ["rtt_walk", replace(mapUnprotected, 1, () => UNPROTECTED + BLOCK), RTT(2)],
    ["rtte_state", after(mapUnprotected, (t, args) => t.machine.ok("RMI_RTT_MAP_UNPROTECTED", ...args)), RTT(3)],
    ["rtte_state", (t) => [t.realm.rd, UNPROTECTED, 2n, RW], RTT(2)], // a table
  ],
  RMI_RTT_UNMAP_UNPROTECTED: [
    ["level_bound", replace(unmapUnprotected, 2, () => 0n), INPUT],
    ["level_bound", replace(unmapUnprotected, 2, () => 4n), INPUT],
    ...granuleCases("rd", 0, unmapUnprotected),
    ["ipa_bound", replace(unmapUnprotected, 1, () => PAGE), INPUT],
    ["ipa_bound", replace(unmapUnprotected, 1, () => IPA_SIZE), INPUT],
    ["ipa_align", replace(unmapUnprotected, 1, () => UNPROTECTED + 8n), INPUT],
    ["rtt_walk", replace(unmapUnprotected, 1, () => UNPROTECTED + BLOCK), RTT(2, () => [UNPROTECTED + (1n << 30n)])],
    [
      "rtt_walk",
      (t) => {
        t.machine.ok("RMI_RTT_MAP_UNPROTECTED", t.rd, UNPROTECTED + BLOCK, 2n, RW);
        return [t.rd, UNPROTECTED + BLOCK + PAGE, 3n];
      },
      RTT(2, () => [UNPROTECTED + BLOCK + PAGE]),
    ], // mapped by a larger block
    ["rtte_state", replace(unmapUnprotected, 1, () => UNPROTECTED + PAGE), RTT(3, () => [UNPROTECTED + BLOCK])],
  ],
  RMI_RTT_READ_ENTRY: [
    ...granuleCases("rd", 0, readEntry),
    ["level_bound", replace(readEntry, 2, () => 0n), INPUT],
    ["level_bound", replace(readEntry, 2, () => 4n), ["RMI_ERROR_INPUT", 0, () => [0n, 0n, 0n, 0n]]],
    ["ipa_bound", replace(readEntry, 1, () => IPA_SIZE), INPUT],
    ["ipa_align", replace(readEntry, 1, () => 8n), INPUT],
  ],
  RMI_PSCI_COMPLETE: [
    ["calling_align", replace(psci(false), 0, (_, [calling]) => calling! + 8n), INPUT],
    ["target_align", replace(psci(false), 1, (_, [, target]) => target! + 8n), INPUT],
    ["alias", replace(psci(false), 1, (_, [calling]) => calling!), INPUT],
    ["calling_bound", replace(psci(false), 0, () => OUTSIDE), INPUT],
    ["calling_state", replace(psci(false), 0, (t) => t.rd), INPUT],
    ["target_bound", replace(psci(false), 1, () => OUTSIDE), INPUT],
    ["target_state", replace(psci(false), 1, (t) => t.delegated), INPUT],
    [
      "calling_running",
      (t) => {
        const { rec } = t;
        const target = t.realm.rec();
        t.realm.activate();
        rec.enter({}, t.machine.pes[1]);
        return [rec.addr, target.addr, 0n];
      },
      INPUT,
    ],
    ["pending", (t) => (({ rec, realm }) => [rec.addr, realm.rec().addr, 0n])(t), INPUT],
    [
      "owner",
      replace(psci(false), 1, (t) => {
        const other = t.host.realm({ vmid: 8 });
        other.rec();
        return other.rec().addr;
      }),
      INPUT,
    ],
    [
      "target",
      (t) => {
        const { rec } = t;
        t.realm.rec({ runnable: false });
        const third = t.realm.rec({ runnable: false });
        t.realm.activate();
        rec.enter().psci("PSCI_CPU_ON_64", 1n, 0x1000n);
        return [rec.addr, third.addr, 0n];
      },
      INPUT,
    ],
    ["status", replace(psci(false), 2, () => 1n), INPUT],
    ["status", replace(psci(false), 2, () => 0xffff_ffff_ffff_fffcn), INPUT],
    ["status", replace(psci(true), 2, () => DENIED), INPUT],
    ["status", replace(psci(false, "PSCI_AFFINITY_INFO_64"), 2, () => DENIED), INPUT],
  ],
  RMI_REC_AUX_COUNT: granuleCases("rd", 0, (t) => [t.rd]),
  RMI_RTT_INIT_RIPAS: [
    ["size_valid", replace(initRipas, 2, () => 0x3000n), INPUT],
    ...granuleCases("rd", 0, initRipas),
    ["top_gran_align", replace(initRipas, 2, () => 0x4800n), INPUT],
    ["top_gran_align", replace(initRipas, 2, () => 0x3800n), INPUT], // before no_progress
    ["top_bound", replace(initRipas, 2, () => UNPROTECTED + PAGE), INPUT],
    ["base_bound", replace(initRipas, 1, () => 0x3008n), INPUT],
    ["realm_state", after(initRipas, (t) => t.realm.activate()), REALM(0)],
    ["base_align", (t) => [t.rd, BLOCK + PAGE, 2n * BLOCK], RTT(2)],
    ["rtte_state", (t) => [t.rd, PAGE, 2n * PAGE], RTT(3)],
    ["no_progress", (t) => [t.rd, BLOCK, BLOCK + PAGE], RTT(2)],
  ],
  RMI_RTT_SET_RIPAS: [
    ["size_valid", replace(setRipas, 3, () => 0x3000n), INPUT],
    ["top_gran_align", replace(setRipas, 3, () => 0x4800n), INPUT],
    ...granuleCases("rd", 0, setRipas),
    ...granuleCases("rec", 1, setRipas, "rec", "rec_gran_state"),
    ["rec_state", (t) => [t.rd, t.runningRec.addr, 0x3000n, 0x5000n], REC],
    ["rec_owner", replace(setRipas, 0, (t) => t.host.realm({ vmid: 8 }).rd), REC],
    ["base_bound", replace(setRipas, 2, () => 0x4000n), INPUT],
    ["top_bound", replace(setRipas, 3, () => 0x6000n), INPUT],
    ["top_bound", (t) => [t.rd, t.rec.addr, 0n, 0x1000n], INPUT], // nothing pending
    [
      "base_align",
      (t) => {
        t.activeRec.enter().rsiExit("RSI_IPA_STATE_SET", BLOCK + PAGE, 2n * BLOCK, 1n, 0n);
        return [t.rd, t.rec.addr, BLOCK + PAGE, 2n * BLOCK];
      },
      RTT(2),
    ],
    [
      "no_progress",
      (t) => {
        t.activeRec.enter().rsiExit("RSI_IPA_STATE_SET", BLOCK, BLOCK + PAGE, 1n, 0n);
        return [t.rd, t.rec.addr, BLOCK, BLOCK + PAGE];
      },
      RTT(2),
    ],
    [
      "no_progress",
      (t) => {
        t.activeRec;
        t.machine.ok("RMI_DATA_DESTROY", t.rd, PAGE);
        t.rec.enter().rsiExit("RSI_IPA_STATE_SET", PAGE, 2n * PAGE, 1n, 0n);
        return [t.rd, t.rec.addr, PAGE, 2n * PAGE];
      },
      RTT(3),
    ], // RIPAS DESTROYED, which the Realm did not allow to change
  ],
};

/** Conditions that this machine cannot produce. */
const UNREACHABLE: Readonly<Record<string, readonly string[]>> = {
  // Delegable memory ends below 2^48, so that data_bound and rtt_bound refuse first.
  RMI_DATA_CREATE: ["data_bound2"],
  RMI_DATA_CREATE_UNKNOWN: ["data_bound2"],
  RMI_RTT_CREATE: ["rtt_bound2"],
};

for (const { name, conditions, out } of RMI_COMMANDS) {
  const cases = CASES[name] ?? [];
  describe(name, () => {
    test.each(cases.map(([condition, args, expected], n) => ({ condition, args, expected, n })))(
      "$condition ($n)",
      ({ condition, args, expected: [status, index = 0, outputs] }) => {
        const t = new Setup();
        const values = args(t);
        const before = t.machine.fingerprint();
        const result = t.machine.rmiOn(0, RMI_FID[name], values);
        expect(result).toMatchObject({ status, index, condition });
        const expectedOut = outputs?.(t, values) ?? [];
        for (let i = 0; i < out.length; i++) expect(result!.out[i]).toBe(expectedOut[i] ?? 0n);
        expect(t.machine.fingerprint()).toBe(before);
      },
    );

    test("all conditions are covered", () => {
      const covered = new Set([...cases.map(([condition]) => condition), ...(UNREACHABLE[name] ?? [])]);
      expect([...covered].sort()).toEqual([...conditions].sort());
    });
  });
}

test("the table has every command once, under its FID", () => {
  expect(RMI_COMMANDS.map(({ fid }) => fid)).toEqual(Object.values(RMI_FID));
  expect(RMI_COMMANDS.map(({ name }) => name)).toEqual(Object.keys(RMI_FID));
});

test.each([0xc400_014fn, 0xc400_0156n, 0xc400_0160n, 0xc400_0163n, 0xc400_016an, 0xc400_018en, 0n, 0x8400_0150n])(
  "FID %s is unknown",
  (fid) => {
    const t = new Setup();
    const { pe } = t.rec;
    t.machine.rmiOn(0, fid, [1n, 2n, 3n, 0x4444n]);
    expect(pe.r[1]).toBe(0xffff_ffff_ffff_ffffn);
    expect(pe.r[5]).toBe(0x4444n); // X4 keeps its value
  },
);

test("the SVE hint in a FID is ignored", () => {
  const t = new Setup();
  expect(t.machine.rmiOn(0, RMI_FID.RMI_VERSION | 0x1_0000n, [0x1_0000n])).toMatchObject({ status: "RMI_SUCCESS" });
});
