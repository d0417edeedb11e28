/** RMI_REALM_CREATE, RMI_REALM_ACTIVATE, RMI_REALM_DESTROY. */
import { PSCI_FID, RMI_REALM_FLAGS, RmiRealmParams, RSI_FID, rttEntrySize } from "@realmbox/abi";
import {
  type Agent,
  bytesFrom,
  type Features,
  features,
  type Host,
  Realm,
  type RealmParams,
  type Script,
} from "../../driver/index.js";
import { type ConformanceCase, effects } from "../case.js";
import { check, equal, equalAll, equalBytes, fields, refused } from "../check.js";
import {
  type Arranged,
  failureCases,
  GRANULE_STATES,
  granuleIn,
  granuleViolations,
  hostPageViolations,
  outsideMemory,
  running,
  type Violation,
} from "./violations.js";

interface Creation extends Arranged {
  readonly full: Realm["params"];
}

function* creation(host: Host, params: RealmParams = {}): Script<Creation> {
  const { rd, page, full } = yield* Realm.prepare(host, params);
  return { args: { rd, params_ptr: page }, full };
}

/** Other parameters, in a page of their own. */
const withParams = (change: (s: Creation, host: Host) => RealmParams | Script<RealmParams>) =>
  function* (host: Host, s: Creation): Script {
    const changed = change(s, host);
    const params = Symbol.iterator in changed ? yield* changed : changed;
    s.args.params_ptr = host.page(RmiRealmParams.encode({ ...s.full, ...params }));
  };

const wrongParams = (
  condition: string,
  variant: string | undefined,
  precondition: string,
  change: (s: Creation, host: Host) => RealmParams | Script<RealmParams>,
  skip?: Violation<Creation>["skip"],
): Violation<Creation> => ({
  condition,
  ...(variant && { variant }),
  status: "RMI_ERROR_INPUT",
  precondition,
  violate: withParams(change),
  ...(skip && { skip }),
});

/** Skips unless feature register 0 has a value. */
const unless = (what: string, holds: (f: Features) => boolean) =>
  function* (host: Host): Script<string | undefined> {
    return holds(yield* features(host)) ? undefined : what;
  };

const create = failureCases<Creation>({
  command: "RMI_REALM_CREATE",
  arrange: creation,
  violations: [
    ...hostPageViolations<Creation>("params_ptr", "params"),
    ...granuleViolations<Creation>("rd", "DELEGATED"),
    wrongParams("params_valid", undefined, "hash_algo is a reserved value", () => ({ hash_algo: 2 })),
    wrongParams("params_valid", "hash_algo_max", "hash_algo is 255", () => ({ hash_algo: 255 })),
    wrongParams("params_valid", "num_bps", "num_bps is the reserved value 0", () => ({ num_bps: 0 })),
    wrongParams("params_valid", "num_wps", "num_wps is the reserved value 0", () => ({ num_wps: 0 })),
    wrongParams("params_supp", undefined, "s2sz is above feature register 0's", function* (_, host) {
      return { s2sz: Number((yield* features(host)).S2SZ) + 1 };
    }),
    wrongParams("params_supp", "s2sz_min", "s2sz is 31, below the least IPA width", () => ({ s2sz: 31 })),
    wrongParams("params_supp", "s2sz_zero", "s2sz is 0", () => ({ s2sz: 0 })),
    wrongParams("params_supp", "num_bps", "num_bps is above feature register 0's", function* (_, host) {
      return { num_bps: Number((yield* features(host)).NUM_BPS) + 1 };
    }),
    wrongParams("params_supp", "num_wps", "num_wps is above feature register 0's", function* (_, host) {
      return { num_wps: Number((yield* features(host)).NUM_WPS) + 1 };
    }),
    wrongParams(
      "params_supp",
      "lpa2",
      "flags.lpa2 is set, and feature register 0 has no LPA2",
      () => ({ flags: RMI_REALM_FLAGS.LPA2.mask }),
      unless("LPA2 is offered", (f) => f.LPA2 === 0n),
    ),
    wrongParams(
      "params_supp",
      "sve",
      "flags.sve is set, and feature register 0 has no SVE",
      () => ({ flags: RMI_REALM_FLAGS.SVE.mask }),
      unless("SVE is offered", (f) => f.SVE_EN === 0n),
    ),
    wrongParams(
      "params_supp",
      "sve_vl",
      "flags.sve is set, and sve_vl is above feature register 0's",
      function* (_, host) {
        return { flags: RMI_REALM_FLAGS.SVE.mask, sve_vl: Number((yield* features(host)).SVE_VL) + 1 };
      },
      unless("SVE is not offered", (f) => f.SVE_EN === 1n),
    ),
    wrongParams(
      "params_supp",
      "pmu",
      "flags.pmu is set, and feature register 0 has no PMU",
      () => ({ flags: RMI_REALM_FLAGS.PMU.mask, pmu_num_ctrs: 0 }),
      unless("a PMU is offered", (f) => f.PMU_EN === 0n),
    ),
    wrongParams(
      "params_supp",
      "pmu_num_ctrs",
      "flags.pmu is set, and pmu_num_ctrs is above feature register 0's",
      function* (_, host) {
        return { flags: RMI_REALM_FLAGS.PMU.mask, pmu_num_ctrs: Number((yield* features(host)).PMU_NUM_CTRS) + 1 };
      },
      unless("a PMU is not offered", (f) => f.PMU_EN === 1n),
    ),
    wrongParams("rtt_num_level", undefined, "33 bits of IPA at level 2 take 8 tables, not 4", function* (_, host) {
      return {
        s2sz: 33,
        rtt_level_start: 2n,
        rtt_num_start: 4,
        rtt_base: yield* host.delegated(4, 8),
      };
    }),
    wrongParams("rtt_num_level", "too_many", "33 bits of IPA at level 1 take one table, not two", function* (_, host) {
      return { rtt_num_start: 2, rtt_base: yield* host.delegated(2, 2) };
    }),
    wrongParams("rtt_num_level", "none", "there is no table", () => ({ rtt_num_start: 0 })),
    wrongParams("rtt_num_level", "level_0", "33 bits of IPA start at level 0", () => ({ rtt_level_start: 0n })),
    wrongParams("rtt_num_level", "level_3", "the start level is 3", () => ({ rtt_level_start: 3n })),
    wrongParams("rtt_num_level", "level_-1", "the start level is -1, without LPA2", () => ({ rtt_level_start: -1n })),
    wrongParams("rtt_num_level", "level_wild", "the start level is no level", () => ({ rtt_level_start: 1n << 40n })),
    wrongParams("vmid_valid", undefined, "the VMID is another Realm's", function* (_, host) {
      return { vmid: (yield* Realm.create(host)).params.vmid! };
    }),
    wrongParams("alias", undefined, "rtt_base is rd", (s) => ({ rtt_base: s.args.rd! })),
    {
      condition: "alias",
      variant: "second_table",
      status: "RMI_ERROR_INPUT",
      precondition: "rd is the second of two start-level tables",
      *violate(host, s) {
        const rtt_base = yield* host.delegated(2, 2);
        s.args.rd = rtt_base + 0x1000n;
        yield* withParams(() => ({ s2sz: 40, rtt_num_start: 2, rtt_base }))(host, s);
      },
    },
    wrongParams("rtt_align", undefined, "rtt_base is not aligned to its two tables", function* (_, host) {
      return { s2sz: 40, rtt_num_start: 2, rtt_base: (yield* host.delegated(3, 2)) + 0x1000n };
    }),
    wrongParams("rtt_align", "granule", "rtt_base is not aligned to 4 KiB", (s) => ({
      rtt_base: s.full.rtt_base + 8n,
    })),
    ...GRANULE_STATES.filter((state) => state !== "DELEGATED").map((state, i) =>
      wrongParams(
        "rtt_state",
        i > 0 ? state : undefined,
        `the table is a granule in state ${state}`,
        function* (_, host) {
          return { rtt_base: yield* granuleIn(host, state) };
        },
      ),
    ),
    wrongParams("rtt_state", "second_table", "the second of two tables is not DELEGATED", function* (_, host) {
      const rtt_base = host.shared.take(2, 2);
      yield* host.ok("RMI_GRANULE_DELEGATE", rtt_base);
      return { s2sz: 40, rtt_num_start: 2, rtt_base };
    }),
    ...(["device", "beyond_pa", "realm_carve_out", "root_carve_out"] as const).map((where) =>
      wrongParams("rtt_state", where, `the table is not delegable memory: ${where}`, (_, host) => ({
        rtt_base: outsideMemory(host)[where],
      })),
    ),
  ],
});

/** Valid geometries without LPA2: IPA width, start level, tables. */
const GEOMETRIES: readonly (readonly [s2sz: number, level: number, tables: number])[] = [
  [32, 2, 4],
  [33, 2, 8],
  [34, 2, 16],
  [32, 1, 1],
  [39, 1, 1],
  [40, 1, 2],
  [41, 1, 4],
  [42, 1, 8],
  [43, 1, 16],
  [40, 0, 1],
  [44, 0, 1],
  [48, 0, 1],
];

const geometries = effects(
  "RMI_REALM_CREATE",
  "RMI_REALM_CREATE command; Realm Translation Table, starting level",
  Object.fromEntries(
    GEOMETRIES.map(([s2sz, level, tables]) => [
      `geometry/${s2sz}_${level}_${tables}`,
      [
        `${s2sz} bits of IPA, start level ${level}, ${tables} tables: entries exist to the last IPA, and none beyond`,
        function* (host: Host): Script {
          const realm = yield* Realm.create(host, { s2sz, rtt_level_start: BigInt(level), rtt_num_start: tables });
          const size = rttEntrySize(level);
          for (const ipa of [0n, realm.unprotected - size, realm.unprotected, realm.ipaSize - size]) {
            fields(
              yield* realm.entry(host, ipa, level),
              { level, state: "UNASSIGNED", desc: 0n, ripas: 0 },
              `0x${ipa.toString(16)}`,
            );
          }
          const beyond = yield* host.rmi("RMI_RTT_READ_ENTRY", realm.rd, realm.ipaSize, BigInt(level));
          refused(host, beyond, { status: "RMI_ERROR_INPUT", condition: "ipa_bound" });
          for (const ipa of [0n, realm.ipaSize - 0x1000n]) {
            yield* realm.tables(host, ipa);
            equal((yield* realm.entry(host, ipa)).level, 3, "level of a walk after tables were made");
          }
          // Each start table is its own.
          if (tables > 1) {
            yield* realm.table(host, realm.unprotected, level + 1);
            equal((yield* realm.entry(host, realm.unprotected, level)).state, "TABLE", "the entry in the middle");
            equal(
              (yield* realm.entry(host, realm.unprotected - size, level)).state,
              "UNASSIGNED",
              "the entry before it",
            );
          }
        },
        {
          *skip(host: Host): Script<string | undefined> {
            return BigInt(s2sz) > (yield* features(host)).S2SZ ? `${s2sz} bits of IPA are not offered` : undefined;
          },
        },
      ] as const,
    ]),
  ),
);

const createEffects = effects("RMI_REALM_CREATE", "RMI_REALM_CREATE command, success conditions", {
  rd_state: [
    "A Realm is created: the granule at rd is an RD",
    function* (host) {
      const { rd } = yield* Realm.create(host);
      yield* host.ok("RMI_REC_AUX_COUNT", rd);
      refused(host, yield* host.rmi("RMI_GRANULE_UNDELEGATE", rd), {
        status: "RMI_ERROR_INPUT",
        condition: "gran_state",
      });
      check(!host.canAccess(rd), "the RD is in the Realm PAS");
    },
  ],
  rtt_state: [
    "A Realm is created with two start tables: both are RTTs",
    function* (host) {
      const { params } = yield* Realm.create(host, { s2sz: 40, rtt_num_start: 2 });
      for (const pa of [params.rtt_base, params.rtt_base + 0x1000n]) {
        refused(host, yield* host.rmi("RMI_GRANULE_UNDELEGATE", pa), {
          status: "RMI_ERROR_INPUT",
          condition: "gran_state",
        });
      }
    },
  ],
  state: [
    "A Realm is created: it is NEW, so that its RECs do not run, and can be activated",
    function* (host) {
      const realm = yield* Realm.create(host);
      const rec = yield* realm.rec(host);
      refused(host, yield* rec.tryEnter(host), { status: "RMI_ERROR_REALM", condition: "realm_new" });
      yield* realm.activate(host);
    },
    { conditions: ["RMI_REC_ENTER/realm_new"] },
  ],
  rec_index: [
    "A Realm is created: its first REC has index 0",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.rec(host, { mpidr: 0n });
    },
  ],
  vmid_reserved: [
    "A Realm's VMID is no other Realm's until it is destroyed",
    function* (host) {
      const { rd, params } = yield* Realm.create(host, { vmid: 77 });
      const other = yield* creation(host, { vmid: params.vmid! });
      const call = () => host.rmi("RMI_REALM_CREATE", other.args.rd!, other.args.params_ptr!);
      refused(host, yield* call(), { status: "RMI_ERROR_INPUT", condition: "vmid_valid" });
      yield* host.ok("RMI_REALM_DESTROY", rd);
      equal((yield* call()).status, "RMI_SUCCESS", "the VMID after its Realm is destroyed");
    },
  ],
  vmid_zero: [
    "VMID 0 is a Realm's",
    function* (host) {
      yield* Realm.create(host, { vmid: 0 });
    },
  ],
  vmid_max: [
    "VMID 255, the largest without FEAT_VMID16, is a Realm's",
    function* (host) {
      yield* Realm.create(host, { vmid: 255 });
    },
  ],
  params_unchanged: [
    "RmiRealmParams is read, not written",
    function* (host) {
      const { args } = yield* creation(host);
      const before = host.read(args.params_ptr!);
      yield* host.ok("RMI_REALM_CREATE", args.rd!, args.params_ptr!);
      equalBytes(host.read(args.params_ptr!), before, "RmiRealmParams");
    },
  ],
  attributes: [
    "IPA width, hash algorithm and personalization value are the Realm's: RSI_REALM_CONFIG tells them",
    function* (host) {
      const rpv = Uint8Array.from({ length: 64 }, (_, i) => i + 1);
      const realm = yield* Realm.create(host, { s2sz: 36, hash_algo: 1, rpv });
      yield* realm.data(host, 0x8000n, bytesFrom(5));
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      const [x0] = yield* agent!.smc(host, RSI_FID.RSI_REALM_CONFIG, 0x8000n);
      equal(x0, 0n, "X0 of RSI_REALM_CONFIG");
      const words: bigint[] = [];
      for (const at of [0x0n, 0x8n, 0x200n, 0x238n]) words.push(yield* loadAt(host, agent!, 0x8000n + at));
      equalAll(words, [36n, 1n, 0x0807_0605_0403_0201n, 0x403f_3e3d_3c3b_3a39n], "RsiRealmConfig");
    },
  ],
  rems: [
    "The extensible measurements of a new Realm are zero",
    function* (host) {
      const [agent] = yield* running(host, yield* Realm.create(host));
      yield* agent!.begin(host);
      for (let index = 1n; index <= 4n; index++) {
        const x = yield* agent!.smc(host, RSI_FID.RSI_MEASUREMENT_READ, index);
        equalAll(x.slice(0, 9), Array<bigint>(9).fill(0n), `REM ${index}`);
      }
    },
  ],
});

function* loadAt(host: Host, agent: Agent, ipa: bigint): Script<bigint> {
  const { x, exception } = yield* agent.run(host, 0xf940_0020, { 1: ipa }); // ldr x0, [x1]
  check(exception === undefined, `the load from 0x${ipa.toString(16)} takes no exception`);
  return x[0]!;
}

const activate = failureCases<Arranged>({
  command: "RMI_REALM_ACTIVATE",
  *arrange(host) {
    return { args: { rd: (yield* Realm.create(host)).rd } };
  },
  violations: [
    ...granuleViolations("rd", "RD"),
    {
      condition: "realm_state",
      status: "RMI_ERROR_REALM",
      precondition: "The Realm is ACTIVE",
      changesState: true,
      *violate(host, s) {
        yield* host.ok("RMI_REALM_ACTIVATE", s.args.rd!);
      },
    },
  ],
  order: [[["rd_bound", "rd_state"], ["realm_state"]]],
});

/** A Realm that has turned itself off. */
function* turnedOff(host: Host): Script<Realm> {
  const realm = yield* Realm.create(host);
  const [agent] = yield* running(host, realm);
  yield* agent!.begin(host);
  yield* agent!.smcExit(host, PSCI_FID.PSCI_SYSTEM_OFF);
  return realm;
}

const activateEffects = effects("RMI_REALM_ACTIVATE", "RMI_REALM_ACTIVATE command", {
  state: [
    "An ACTIVE Realm's RECs run; what only a NEW Realm allows is refused",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.tables(host, 0x10_0000n);
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      const refusal = { status: "RMI_ERROR_REALM", condition: "realm_state" } as const;
      const data = yield* host.delegated();
      refused(host, yield* host.rmi("RMI_DATA_CREATE", realm.rd, data, 0x10_0000n, host.page(), 0n), refusal);
      refused(host, yield* host.rmi("RMI_RTT_INIT_RIPAS", realm.rd, 0x10_0000n, 0x10_1000n), refusal);
      const { rec, page } = yield* realm.prepareRec(host);
      refused(host, yield* host.rmi("RMI_REC_CREATE", realm.rd, rec, page), refusal);
    },
    {
      conditions: ["RMI_DATA_CREATE/realm_state", "RMI_RTT_INIT_RIPAS/realm_state", "RMI_REC_CREATE/realm_state"],
    },
  ],
  system_off: [
    "A Realm that has turned itself off cannot be activated",
    function* (host) {
      const { rd } = yield* turnedOff(host);
      refused(host, yield* host.rmi("RMI_REALM_ACTIVATE", rd), { status: "RMI_ERROR_REALM", condition: "realm_state" });
    },
    { conditions: ["RMI_REALM_ACTIVATE/realm_state"] },
  ],
});

interface OneRealm extends Arranged {
  readonly realm: Realm;
}

const destroy = failureCases<OneRealm>({
  command: "RMI_REALM_DESTROY",
  *arrange(host) {
    const realm = yield* Realm.create(host);
    return { args: { rd: realm.rd }, realm };
  },
  violations: [
    ...granuleViolations<OneRealm>("rd", "RD"),
    {
      condition: "realm_live",
      status: "RMI_ERROR_REALM",
      precondition: "The Realm has a REC",
      changesState: true,
      *violate(host, { realm }) {
        yield* realm.rec(host);
      },
    },
    {
      condition: "realm_live",
      variant: "table",
      status: "RMI_ERROR_REALM",
      precondition: "A start-level table has a TABLE entry",
      changesState: true,
      *violate(host, { realm }) {
        yield* realm.table(host, 0n, 2);
      },
    },
    {
      condition: "realm_live",
      variant: "table_unprotected",
      status: "RMI_ERROR_REALM",
      precondition: "A start-level table has a TABLE entry in the Unprotected half",
      changesState: true,
      *violate(host, { realm }) {
        yield* realm.table(host, realm.unprotected, 2);
      },
    },
  ],
  order: [[["rd_bound", "rd_state"], ["realm_live"]]],
});

const destroyEffects = effects("RMI_REALM_DESTROY", "RMI_REALM_DESTROY command", {
  states: [
    "A Realm is destroyed: its RD and all of its start tables are DELEGATED",
    function* (host) {
      const { rd, params } = yield* Realm.create(host, { s2sz: 41, rtt_num_start: 4 });
      yield* host.ok("RMI_REALM_DESTROY", rd);
      for (const pa of [rd, 0n, 0x1000n, 0x2000n, 0x3000n].map((at, i) => (i === 0 ? at : params.rtt_base + at))) {
        yield* host.ok("RMI_GRANULE_UNDELEGATE", pa);
      }
    },
  ],
  assigned_ns: [
    "A start-level table maps a block of the Host's memory: that keeps no Realm alive",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* host.ok(
        "RMI_RTT_MAP_UNPROTECTED",
        realm.rd,
        realm.unprotected,
        1n,
        0x8000_0000n | (6n << 2n) | (3n << 6n),
      );
      yield* host.ok("RMI_REALM_DESTROY", realm.rd);
    },
  ],
  active: [
    "An ACTIVE Realm without RECs and tables can be destroyed",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.activate(host);
      yield* host.ok("RMI_REALM_DESTROY", realm.rd);
    },
  ],
  system_off: [
    "A Realm that has turned itself off can be taken down",
    function* (host) {
      const realm = yield* turnedOff(host);
      yield* host.ok("RMI_REC_DESTROY", realm.recs[0]!.addr);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x1000n);
      yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0n, 3n);
      yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0n, 2n);
      yield* host.ok("RMI_REALM_DESTROY", realm.rd);
    },
  ],
  not_live_again: [
    "A Realm whose last REC and table are gone is not live",
    function* (host) {
      const realm = yield* Realm.create(host);
      const rec = yield* realm.rec(host);
      yield* realm.table(host, 0n, 2);
      yield* host.ok("RMI_REC_DESTROY", rec.addr);
      yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0n, 2n);
      yield* host.ok("RMI_REALM_DESTROY", realm.rd);
    },
  ],
});

export const realmCases: readonly ConformanceCase[] = [
  ...create,
  ...createEffects,
  ...geometries,
  ...activate,
  ...activateEffects,
  ...destroy,
  ...destroyEffects,
];
