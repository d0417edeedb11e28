/** RMI_REC_AUX_COUNT, RMI_REC_CREATE, RMI_REC_DESTROY. */
import { PSCI_FID, RmiRecParams, recMpidrOfIndex } from "@realmbox/abi";
import { Agent, features, type Host, Realm, type RecOptions, type RecParams, type Script } from "../../driver/index.js";
import { type ConformanceCase, effects } from "../case.js";
import { check, equal, equalAll, equalBytes, refused } from "../check.js";
import { spinning } from "../running.js";
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

const auxCount = [
  ...failureCases<Arranged>({
    command: "RMI_REC_AUX_COUNT",
    *arrange(host) {
      return { args: { rd: (yield* Realm.create(host)).rd } };
    },
    violations: granuleViolations("rd", "RD"),
  }),
  ...effects("RMI_REC_AUX_COUNT", "RMI_REC_AUX_COUNT command", {
    constant: [
      "The count is at most 16, and the same in every state of the Realm",
      function* (host) {
        const realm = yield* Realm.create(host);
        const [count] = yield* host.ok("RMI_REC_AUX_COUNT", realm.rd);
        check(count! <= 16n, `${count} auxiliary granules`);
        yield* realm.rec(host);
        yield* realm.activate(host);
        equal((yield* host.ok("RMI_REC_AUX_COUNT", realm.rd))[0], count, "the count of an ACTIVE Realm");
      },
    ],
  }),
];

interface Creation extends Arranged {
  readonly realm: Realm;
  readonly full: RecParams & { readonly aux: readonly bigint[] };
}

function* creation(host: Host, options: RecOptions = {}, realm?: Realm): Script<Creation> {
  realm ??= yield* Realm.create(host);
  const { rec, page, full } = yield* realm.prepareRec(host, options);
  return { args: { rd: realm.rd, rec, params_ptr: page }, realm, full };
}

const wrongParams = (
  condition: string,
  variant: string | undefined,
  precondition: string,
  change: (s: Creation, host: Host) => RecParams | Script<RecParams>,
  skip?: Violation<Creation>["skip"],
): Violation<Creation> => ({
  condition,
  ...(variant && { variant }),
  status: "RMI_ERROR_INPUT",
  precondition,
  *violate(host, s) {
    const changed = change(s, host);
    const params = Symbol.iterator in changed ? yield* changed : changed;
    s.args.params_ptr = host.page(RmiRecParams.encode({ ...s.full, ...params }));
  },
  ...(skip && { skip }),
});

/** The auxiliary granules with the last one replaced. */
const lastAux = ({ full }: Creation, pa: bigint): RecParams => ({ aux: [...full.aux.slice(0, -1), pa] });

/** Skips where RECs have fewer auxiliary granules than the case needs. */
const needsAux = (count: number) =>
  function* (host: Host): Script<string | undefined> {
    const { rd } = yield* Realm.create(host);
    const [has] = yield* host.ok("RMI_REC_AUX_COUNT", rd);
    return has! < count ? `RECs have ${has} auxiliary granules` : undefined;
  };

const create = failureCases<Creation>({
  command: "RMI_REC_CREATE",
  arrange: creation,
  violations: [
    ...hostPageViolations<Creation>("params_ptr", "params"),
    ...granuleViolations<Creation>("rec", "DELEGATED"),
    ...granuleViolations<Creation>("rd", "RD"),
    {
      condition: "realm_state",
      status: "RMI_ERROR_REALM",
      precondition: "The Realm is ACTIVE",
      changesState: true,
      *violate(host, { realm }) {
        yield* realm.activate(host);
      },
    },
    {
      condition: "num_recs",
      status: "RMI_ERROR_REALM",
      precondition: "The Realm has as many RECs as feature register 0 allows",
      changesState: true,
      *violate(host, s) {
        const most = 2 ** Number((yield* features(host)).MAX_RECS_ORDER) - 1;
        while (s.realm.recs.length < most) yield* s.realm.rec(host, { runnable: false });
        s.args.params_ptr = host.page(RmiRecParams.encode({ ...s.full, mpidr: recMpidrOfIndex(most) }));
      },
      *skip(host) {
        const { MAX_RECS_ORDER } = yield* features(host);
        const [aux] = yield* host.ok("RMI_REC_AUX_COUNT", (yield* Realm.create(host)).rd);
        const granules = (1n << MAX_RECS_ORDER) * (aux! + 3n);
        return granules > host.shared.left ? `so many RECs take ${granules} granules` : undefined;
      },
    },
    wrongParams("mpidr_index", undefined, "mpidr is index 1, the next REC's index is 0", () => ({ mpidr: 1n })),
    wrongParams("mpidr_index", "aff1", "mpidr has Aff1 = 1", () => ({ mpidr: 0x100n })),
    wrongParams("mpidr_index", "aff3", "mpidr has Aff3 = 1", () => ({ mpidr: 0x100_0000n })),
    wrongParams("mpidr_index", "sbz", "mpidr has bit 4 set, which is no affinity bit", () => ({ mpidr: 0x10n })),
    wrongParams("mpidr_index", "sbz_high", "mpidr has bit 31 + 1 set", () => ({ mpidr: 1n << 32n })),
    wrongParams("num_aux", undefined, "num_aux is one too many", ({ full }) => ({ num_aux: full.num_aux! + 1n })),
    wrongParams(
      "num_aux",
      "few",
      "num_aux is one too few",
      ({ full }) => ({ num_aux: full.num_aux! - 1n }),
      needsAux(1),
    ),
    wrongParams("num_aux", "wild", "num_aux is larger than the array", () => ({ num_aux: 1n << 63n })),
    wrongParams(
      "aux_align",
      undefined,
      "an auxiliary address is not aligned to 4 KiB",
      (s) => lastAux(s, s.full.aux.at(-1)! + 0x800n),
      needsAux(1),
    ),
    wrongParams("aux_alias", undefined, "an auxiliary granule is the REC", (s) => lastAux(s, s.args.rec!), needsAux(1)),
    wrongParams("aux_alias", "twice", "two auxiliary granules are one", (s) => lastAux(s, s.full.aux[0]!), needsAux(2)),
    ...GRANULE_STATES.filter((state) => state !== "DELEGATED").map((state, i) =>
      wrongParams(
        "aux_state",
        i > 0 ? state : undefined,
        `an auxiliary granule is in state ${state}`,
        function* (s, host) {
          return lastAux(s, yield* granuleIn(host, state));
        },
        needsAux(1),
      ),
    ),
    ...(["device", "beyond_pa", "realm_carve_out"] as const).map((where) =>
      wrongParams(
        "aux_state",
        where,
        `an auxiliary address is no delegable memory: ${where}`,
        (s, host) => lastAux(s, outsideMemory(host)[where]),
        needsAux(1),
      ),
    ),
  ],
  order: [
    [
      ["rd_bound", "rd_state"],
      ["realm_state", "num_recs"],
    ],
  ],
});

const createEffects = effects("RMI_REC_CREATE", "RMI_REC_CREATE command, success conditions", {
  states: [
    "A REC is created: it is a REC, its auxiliary granules are REC_AUX",
    function* (host) {
      const rec = yield* (yield* Realm.create(host)).rec(host);
      for (const pa of [rec.addr, ...rec.aux]) {
        refused(host, yield* host.rmi("RMI_GRANULE_UNDELEGATE", pa), {
          status: "RMI_ERROR_INPUT",
          condition: "gran_state",
        });
        check(!host.canAccess(pa), "the granule is in the Realm PAS");
      }
    },
  ],
  rec_index: [
    "RECs have the indices 0, 1, … 17 in the order of their creation, each once",
    function* (host) {
      const realm = yield* Realm.create(host);
      for (let n = 0; n < 18; n++) yield* realm.rec(host, { runnable: false });
      const again = yield* creation(host, { mpidr: recMpidrOfIndex(17) }, realm);
      const answer = yield* host.rmi("RMI_REC_CREATE", ...Object.values(again.args));
      refused(host, answer, { status: "RMI_ERROR_INPUT", condition: "mpidr_index" });
    },
    { conditions: ["RMI_REC_CREATE/mpidr_index"] },
  ],
  rec_index_not_reused: [
    "A destroyed REC's index is not used again",
    function* (host) {
      const realm = yield* Realm.create(host);
      const rec = yield* realm.rec(host);
      yield* host.ok("RMI_REC_DESTROY", rec.addr);
      yield* realm.rec(host);
      equal(realm.recs[1]!.index, 1, "the next index");
    },
  ],
  num_recs: [
    "Each REC counts: the Realm is live until all are destroyed",
    function* (host) {
      const realm = yield* Realm.create(host);
      const recs = [yield* realm.rec(host), yield* realm.rec(host)];
      const live = { status: "RMI_ERROR_REALM", condition: "realm_live" } as const;
      for (const { addr } of recs) {
        refused(host, yield* host.rmi("RMI_REALM_DESTROY", realm.rd), live);
        yield* host.ok("RMI_REC_DESTROY", addr);
      }
      yield* host.ok("RMI_REALM_DESTROY", realm.rd);
    },
    { conditions: ["RMI_REALM_DESTROY/realm_live"] },
  ],
  registers: [
    "A runnable REC starts with X0 to X7 from its parameters, the others zero, at pc",
    function* (host) {
      const realm = yield* Realm.create(host);
      const gprs = Array.from({ length: 8 }, (_, n) => 0x0123_4567_89ab_cd00n + BigInt(n));
      const agent = yield* Agent.create(host, realm, 0x3000n, { gprs });
      yield* realm.activate(host);
      equalAll((yield* agent.begin(host)).x, [...gprs, ...Array<bigint>(22).fill(0n)], "X0 to X29");
    },
  ],
  pe_state: [
    "A REC starts at EL1h with D, A, I and F masked, stage 1 off, and reads its own MPIDR_EL1",
    function* (host) {
      const agents = yield* running(host, yield* Realm.create(host), 2);
      for (const [n, agent] of agents.entries()) {
        yield* agent.begin(host);
        equal(yield* agent.mrs(host, "CURRENT_EL"), 4n, "CurrentEL");
        equal(yield* agent.mrs(host, "DAIF"), 0x3c0n, "DAIF");
        equal((yield* agent.mrs(host, "SCTLR_EL1")) & 0x1005n, 0n, "SCTLR_EL1.M, C and I");
        equal(yield* agent.mrs(host, "MPIDR_EL1"), 0x8000_0000n + BigInt(n), "MPIDR_EL1");
        for (const name of ["TTBR0_EL1", "TCR_EL1", "TPIDR_EL1", "TPIDR_EL0", "CONTEXTIDR_EL1", "ELR_EL1"] as const) {
          equal(yield* agent.mrs(host, name), 0n, name);
        }
      }
    },
  ],
  not_runnable: [
    "A REC that is created not runnable does not run",
    function* (host) {
      const realm = yield* Realm.create(host);
      const rec = yield* realm.rec(host, { runnable: false });
      yield* realm.activate(host);
      refused(host, yield* rec.tryEnter(host), { status: "RMI_ERROR_REC", condition: "rec_runnable" });
    },
    { conditions: ["RMI_REC_ENTER/rec_runnable"] },
  ],
  params_unchanged: [
    "RmiRecParams is read, not written",
    function* (host) {
      const { args } = yield* creation(host);
      const before = host.read(args.params_ptr!);
      yield* host.ok("RMI_REC_CREATE", ...Object.values(args));
      equalBytes(host.read(args.params_ptr!), before, "RmiRecParams");
    },
  ],
});

interface OneRec extends Arranged {
  readonly realm: Realm;
}

const destroy = failureCases<OneRec>({
  command: "RMI_REC_DESTROY",
  *arrange(host) {
    const realm = yield* Realm.create(host);
    const agents = yield* running(host, realm);
    return { args: { rec: agents[0]!.rec.addr }, realm };
  },
  violations: [
    ...granuleViolations<OneRec>("rec", "REC", { state: "rec_gran_state" }),
    {
      condition: "rec_state",
      status: "RMI_ERROR_REC",
      precondition: "The REC runs on another PE",
      changesState: true,
      *violate(host, { realm }) {
        yield* spinning(host, realm.recs[0]!);
      },
    },
  ],
  order: [[["rec_bound", "rec_gran_state"], ["rec_state"]]],
});

const destroyEffects = effects("RMI_REC_DESTROY", "RMI_REC_DESTROY command", {
  states: [
    "A REC is destroyed: it and its auxiliary granules are DELEGATED",
    function* (host) {
      const rec = yield* (yield* Realm.create(host)).rec(host);
      yield* host.ok("RMI_REC_DESTROY", rec.addr);
      for (const pa of [rec.addr, ...rec.aux]) yield* host.ok("RMI_GRANULE_UNDELEGATE", pa);
    },
  ],
  any_realm_state: [
    "A REC is destroyed when its Realm is NEW, ACTIVE, or has turned itself off",
    function* (host) {
      const young = yield* Realm.create(host);
      yield* host.ok("RMI_REC_DESTROY", (yield* young.rec(host)).addr);
      const realm = yield* Realm.create(host);
      const [first, second] = yield* running(host, realm, 2);
      yield* host.ok("RMI_REC_DESTROY", second!.rec.addr);
      yield* first!.begin(host);
      yield* first!.smcExit(host, PSCI_FID.PSCI_SYSTEM_OFF);
      yield* host.ok("RMI_REC_DESTROY", first!.rec.addr);
    },
  ],
  psci_pending: [
    "A REC whose PSCI request is pending is destroyed",
    function* (host) {
      const [first] = yield* running(host, yield* Realm.create(host), 2);
      yield* first!.begin(host);
      yield* first!.smcExit(host, PSCI_FID.PSCI_AFFINITY_INFO_64, 1n, 0n);
      yield* host.ok("RMI_REC_DESTROY", first!.rec.addr);
    },
  ],
  after_running: [
    "A REC that runs on another PE cannot be destroyed; after its exit it can",
    function* (host) {
      const realm = yield* Realm.create(host);
      const [agent] = yield* running(host, realm);
      const spin = yield* spinning(host, agent!.rec);
      refused(host, yield* host.rmi("RMI_REC_DESTROY", agent!.rec.addr), {
        status: "RMI_ERROR_REC",
        condition: "rec_state",
      });
      equal((yield* spin.stop()).reason, "RMI_EXIT_IRQ", "the exit of the kicked REC");
      yield* host.ok("RMI_REC_DESTROY", agent!.rec.addr);
    },
    { conditions: ["RMI_REC_DESTROY/rec_state"] },
  ],
});

export const recCases: readonly ConformanceCase[] = [
  ...auxCount,
  ...create,
  ...createEffects,
  ...destroy,
  ...destroyEffects,
];
