/** RMI_RTT_INIT_RIPAS, RMI_RTT_SET_RIPAS. What the Realm sees of a RIPAS change is in rsi/ipa-state.ts. */
import { RSI_FID } from "@realmbox/abi";
import { type Agent, a64, bytesFrom, enterFlags, type Host, Realm, type Script } from "../../driver/index.js";
import { type ConformanceCase, effects } from "../case.js";
import { equal, equalAll, fields, refused, succeeded } from "../check.js";
import { spinning } from "../running.js";
import { type Arranged, failureCases, granuleViolations, running, setArg } from "./violations.js";

const INPUT = "RMI_ERROR_INPUT";
const RTT = "RMI_ERROR_RTT";
const RD = ["rd_bound", "rd_state"];

interface OneRealm extends Arranged {
  readonly realm: Realm;
}

const init = failureCases<OneRealm>({
  command: "RMI_RTT_INIT_RIPAS",
  *arrange(host) {
    const realm = yield* Realm.create(host);
    yield* realm.tables(host, 0n);
    return { args: { rd: realm.rd, base: 0x1000n, top: 0x3000n }, realm };
  },
  violations: [
    { condition: "size_valid", status: INPUT, precondition: "top is base", violate: setArg("top", 0x1000n) },
    {
      condition: "size_valid",
      variant: "below",
      status: INPUT,
      precondition: "top is below base",
      violate: setArg("top", 0n),
    },
    ...granuleViolations<OneRealm>("rd", "RD"),
    {
      condition: "top_gran_align",
      status: INPUT,
      precondition: "top is not aligned to 4 KiB",
      violate: setArg("top", (s) => s.args.base! + 0x1800n),
    },
    {
      condition: "top_bound",
      status: INPUT,
      precondition: "top is one page into the Unprotected half",
      violate: setArg("top", ({ realm }) => realm.unprotected + 0x1000n),
    },
    {
      condition: "top_bound",
      variant: "both_unprotected",
      status: INPUT,
      precondition: "base and top are Unprotected",
      violate: (_, { args, realm }) => {
        args.base = realm.unprotected;
        args.top = realm.unprotected + 0x1000n;
      },
    },
    {
      condition: "base_bound",
      status: INPUT,
      precondition: "base is not aligned to 4 KiB (TF-RMM's rule)",
      violate: setArg("base", 0x1800n),
    },
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
      condition: "base_align",
      status: RTT,
      index: 2,
      precondition: "base is not aligned to the level 2 entry that the walk ends in",
      violate: (_, { args }) => {
        args.base = 0x20_1000n;
        args.top = 0x60_0000n;
      },
    },
    {
      condition: "rtte_state",
      status: RTT,
      index: 3,
      precondition: "The first entry is ASSIGNED",
      changesState: true,
      *violate(host, { realm }) {
        yield* realm.unknownData(host, 0x1000n);
      },
    },
    {
      condition: "no_progress",
      status: RTT,
      index: 2,
      precondition: "The first entry, a level 2 one, reaches beyond top",
      violate: (_, { args }) => {
        args.base = 0x20_0000n;
        args.top = 0x20_1000n;
      },
    },
    {
      condition: "no_progress",
      variant: "level_1",
      status: RTT,
      index: 1,
      precondition: "The first entry, a level 1 one, reaches beyond top",
      violate: (_, { args }) => {
        args.base = 0x4000_0000n;
        args.top = 0x4020_0000n;
      },
    },
  ],
  order: [
    [RD, ["realm_state", "base_align", "rtte_state", "no_progress"]],
    [["top_gran_align"], ["no_progress"]],
  ],
});

const initEffects = effects("RMI_RTT_INIT_RIPAS", "RMI_RTT_INIT_RIPAS command, success conditions", {
  entries: [
    "Two of a table's pages: their RIPAS is RAM, the others' as before; out_top is top",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.tables(host, 0n);
      equal((yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, 0x1000n, 0x3000n))[0], 0x3000n, "out_top");
      for (const [ipa, ripas] of [
        [0n, 0],
        [0x1000n, 1],
        [0x2000n, 1],
        [0x3000n, 0],
      ] as const) {
        fields(yield* realm.entry(host, ipa), { level: 3, state: "UNASSIGNED", ripas }, `0x${ipa.toString(16)}`);
      }
    },
  ],
  end_of_table: [
    "A range beyond a table: out_top is the table's end",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.tables(host, 0n);
      equal((yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, 0x1f_e000n, 0x40_0000n))[0], 0x20_0000n, "out_top");
    },
  ],
  block: [
    "A range of level 2 entries: each that fits below top becomes RAM",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.table(host, 0n, 2);
      equal((yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, 0n, 0x5f_f000n))[0], 0x40_0000n, "out_top");
      for (const [ipa, ripas] of [
        [0n, 1],
        [0x20_0000n, 1],
        [0x40_0000n, 0],
      ] as const) {
        fields(yield* realm.entry(host, ipa), { level: 2, ripas }, `0x${ipa.toString(16)}`);
      }
    },
  ],
  again: [
    "A range that is RAM already: success, as far as before",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.tables(host, 0n);
      for (let n = 0; n < 2; n++)
        equal((yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, 0n, 0x2000n))[0], 0x2000n, "out_top");
    },
  ],
  whole_half: [
    "The last page of the Protected half",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.ram(host, realm.unprotected - 0x1000n, realm.unprotected);
      equal((yield* realm.entry(host, realm.unprotected - 0x1000n)).ripas, 1, "RIPAS");
    },
  ],
});

interface Change extends Arranged {
  readonly realm: Realm;
  readonly agents: readonly Agent[];
}

/** REC 0 has asked for RAM at [base, top): `destroyed` with RSI_CHANGE_DESTROYED. */
function* asked(
  host: Host,
  realm: Realm,
  { base = 0x1_0000n, top = 0x1_4000n, ripas = 1n, destroyed = 0n } = {},
): Script<Change> {
  const agents = realm.recs.length > 0 ? [] : yield* running(host, realm, 2);
  yield* agents[0]!.begin(host);
  const exit = yield* agents[0]!.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, base, top, ripas, destroyed);
  equal(exit.reason, "RMI_EXIT_RIPAS_CHANGE", "the exit");
  return { args: { rd: realm.rd, rec: agents[0]!.rec.addr, base, top }, realm, agents };
}

const set = failureCases<Change>({
  command: "RMI_RTT_SET_RIPAS",
  *arrange(host) {
    return yield* asked(host, yield* Realm.create(host));
  },
  violations: [
    {
      condition: "size_valid",
      status: INPUT,
      precondition: "top is base",
      violate: setArg("top", (s) => s.args.base!),
    },
    {
      condition: "size_valid",
      variant: "below",
      status: INPUT,
      precondition: "top is below base",
      violate: setArg("top", 0n),
    },
    {
      condition: "top_gran_align",
      status: INPUT,
      precondition: "top is not aligned to 4 KiB",
      violate: setArg("top", (s) => s.args.base! + 0x1800n),
    },
    ...granuleViolations<Change>("rd", "RD"),
    ...granuleViolations<Change>("rec", "REC", { state: "rec_gran_state" }),
    {
      condition: "rec_state",
      status: "RMI_ERROR_REC",
      precondition: "The REC runs on another PE",
      changesState: true,
      *violate(host, { agents, args }) {
        // Its own request is over when it runs; another REC's is named, which runs.
        yield* agents[1]!.begin(host);
        yield* spinning(host, agents[1]!.rec, { begun: true });
        args.rec = agents[1]!.rec.addr;
      },
    },
    {
      condition: "rec_owner",
      status: "RMI_ERROR_REC",
      precondition: "The REC is another Realm's",
      *violate(host, s) {
        s.args.rec = (yield* asked(host, yield* Realm.create(host))).args.rec!;
      },
    },
    {
      condition: "base_bound",
      status: INPUT,
      precondition: "base is not where the request begins",
      violate: setArg("base", (s) => s.args.base! + 0x1000n),
    },
    {
      condition: "base_bound",
      variant: "below",
      status: INPUT,
      precondition: "base is below the request",
      violate: setArg("base", (s) => s.args.base! - 0x1000n),
    },
    {
      condition: "base_bound",
      variant: "no_request",
      status: INPUT,
      precondition: "The REC has asked for nothing",
      *violate(host, s) {
        yield* s.agents[1]!.begin(host);
        s.args.rec = s.agents[1]!.rec.addr;
      },
    },
    {
      condition: "top_bound",
      status: INPUT,
      precondition: "top is beyond the request",
      violate: setArg("top", (s) => s.args.top! + 0x1000n),
    },
    {
      condition: "base_align",
      status: RTT,
      index: 2,
      precondition: "base is not aligned to the level 2 entry that the walk ends in",
      changesState: true,
      *violate(host, { args, agents, realm }) {
        yield* agents[0]!.finish(host);
        args.base = 0x20_1000n;
        args.top = 0x60_0000n;
        yield* agents[0]!.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, args.base, args.top, 1n, 0n);
        equal((yield* realm.entry(host, args.base)).level, 2, "level of the walk");
      },
    },
    {
      condition: "no_progress",
      status: RTT,
      index: 2,
      precondition: "The first entry, a level 2 one, reaches beyond top",
      changesState: true,
      *violate(host, { args, agents }) {
        yield* agents[0]!.finish(host);
        args.base = 0x20_0000n;
        args.top = 0x20_1000n;
        yield* agents[0]!.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, args.base, args.top, 1n, 0n);
      },
    },
    {
      condition: "no_progress",
      variant: "destroyed",
      status: RTT,
      index: 3,
      precondition: "The first entry's RIPAS is DESTROYED, which the Realm did not allow to change",
      changesState: true,
      *violate(host, { args, realm }) {
        yield* destroyAt(host, realm, args.base!);
      },
    },
  ],
  order: [
    [RD, ["base_align", "no_progress"]],
    [
      ["rec_bound", "rec_gran_state"],
      ["rec_state", "rec_owner"],
    ],
    [["base_bound"], ["base_align"]],
    [["top_gran_align"], ["no_progress"]],
  ],
});

/** RIPAS DESTROYED at an IPA that was RAM or EMPTY: a table that covers it is destroyed and made again. */
function* destroyAt(host: Host, realm: Realm, ipa: bigint): Script {
  // The agent's pages are in the same table: they go and come back, too, which nobody runs to see.
  const table = ipa & ~0x1f_ffffn;
  for (const page of [0x1000n, 0x2000n]) if (table === 0n) yield* host.rmi("RMI_DATA_DESTROY", realm.rd, page);
  yield* host.ok("RMI_RTT_DESTROY", realm.rd, table, 3n);
  yield* realm.table(host, table, 3);
}

/** Each entry of a request's range as (state, RIPAS), by page. */
function* around(host: Host, realm: Realm, base: bigint, count: number): Script<string[]> {
  const found: string[] = [];
  for (let i = 0n; i < count; i++) {
    const { state, ripas } = yield* realm.entry(host, base + i * 0x1000n);
    found.push(`${state}/${["EMPTY", "RAM", "DESTROYED"][ripas]}`);
  }
  return found;
}

const BASE = 0x20_0000n;

/** Four pages at BASE: UNASSIGNED EMPTY, UNASSIGNED RAM, ASSIGNED EMPTY, ASSIGNED RAM. */
function* fourPages(host: Host): Script<Realm> {
  const realm = yield* Realm.create(host);
  yield* realm.tables(host, BASE);
  yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, BASE + 0x1000n, BASE + 0x2000n);
  yield* realm.unknownData(host, BASE + 0x2000n);
  yield* realm.data(host, BASE + 0x3000n, bytesFrom(8));
  return realm;
}

const setEffects = effects("RMI_RTT_SET_RIPAS", "RMI_RTT_SET_RIPAS command, success conditions", {
  to_ram: [
    "To RAM: UNASSIGNED and ASSIGNED entries keep their state, RIPAS is RAM",
    function* (host) {
      const { args, realm } = yield* asked(host, yield* fourPages(host), { base: BASE, top: BASE + 0x4000n });
      equal((yield* host.ok("RMI_RTT_SET_RIPAS", ...Object.values(args)))[0], args.top, "out_top");
      const expected = ["UNASSIGNED/RAM", "UNASSIGNED/RAM", "ASSIGNED/RAM", "ASSIGNED/RAM", "UNASSIGNED/EMPTY"];
      equalAll(yield* around(host, realm, BASE, 5), expected, "entries");
    },
  ],
  to_empty: [
    "To EMPTY: UNASSIGNED and ASSIGNED entries keep their state, RIPAS is EMPTY",
    function* (host) {
      const { args, realm } = yield* asked(host, yield* fourPages(host), {
        base: BASE,
        top: BASE + 0x4000n,
        ripas: 0n,
      });
      equal((yield* host.ok("RMI_RTT_SET_RIPAS", ...Object.values(args)))[0], args.top, "out_top");
      const expected = ["UNASSIGNED/EMPTY", "UNASSIGNED/EMPTY", "ASSIGNED/EMPTY", "ASSIGNED/EMPTY"];
      equalAll(yield* around(host, realm, BASE, 4), expected, "entries");
    },
  ],
  destroyed_stops: [
    "A DESTROYED page that the Realm did not allow to change ends the run before it",
    function* (host) {
      const realm = yield* fourPages(host);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, BASE + 0x3000n);
      const { args } = yield* asked(host, realm, { base: BASE, top: BASE + 0x4000n });
      equal((yield* host.ok("RMI_RTT_SET_RIPAS", ...Object.values(args)))[0], BASE + 0x3000n, "out_top");
      equal((yield* realm.entry(host, BASE + 0x3000n)).ripas, 2, "RIPAS of the DESTROYED page");
    },
  ],
  destroyed_changes: [
    "DESTROYED pages change, assigned or not, when the Realm allows it",
    function* (host) {
      const realm = yield* fourPages(host);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, BASE + 0x3000n);
      yield* realm.data(host, BASE + 0x4000n);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, BASE + 0x4000n);
      yield* realm.unknownData(host, BASE + 0x4000n);
      const { args } = yield* asked(host, realm, { base: BASE + 0x3000n, top: BASE + 0x5000n, destroyed: 1n });
      yield* host.ok("RMI_RTT_SET_RIPAS", ...Object.values(args));
      equalAll(yield* around(host, realm, BASE + 0x3000n, 2), ["UNASSIGNED/RAM", "ASSIGNED/RAM"], "entries");
    },
  ],
  destroyed_to_empty: [
    "DESTROYED pages become EMPTY when the Realm allows it",
    function* (host) {
      const realm = yield* fourPages(host);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, BASE + 0x3000n);
      const { args } = yield* asked(host, realm, {
        base: BASE + 0x3000n,
        top: BASE + 0x4000n,
        ripas: 0n,
        destroyed: 1n,
      });
      yield* host.ok("RMI_RTT_SET_RIPAS", ...Object.values(args));
      equalAll(yield* around(host, realm, BASE + 0x3000n, 1), ["UNASSIGNED/EMPTY"], "entries");
    },
  ],
  in_parts: [
    "A request is carried out in parts: each begins where the last ended",
    function* (host) {
      const { args, agents } = yield* asked(host, yield* fourPages(host), { base: BASE, top: BASE + 0x4000n });
      const call = (base: bigint, top: bigint) => host.rmi("RMI_RTT_SET_RIPAS", args.rd!, args.rec!, base, top);
      succeeded(yield* call(BASE, BASE + 0x1000n), "the first part");
      refused(host, yield* call(BASE, BASE + 0x4000n), { status: INPUT, condition: "base_bound" });
      succeeded(yield* call(BASE + 0x1000n, BASE + 0x4000n), "the rest");
      refused(host, yield* call(BASE + 0x4000n, BASE + 0x5000n), { status: INPUT, condition: "top_bound" });
      equalAll((yield* agents[0]!.finish(host)).x.slice(0, 3), [0n, BASE + 0x4000n, 0n], "X0 to X2");
    },
    { conditions: ["RMI_RTT_SET_RIPAS/base_bound", "RMI_RTT_SET_RIPAS/top_bound"] },
  ],
  over_after_entry: [
    "A request is over when its REC has been entered",
    function* (host) {
      const { args, agents } = yield* asked(host, yield* fourPages(host), { base: BASE, top: BASE + 0x4000n });
      yield* agents[0]!.finish(host, { flags: enterFlags("RIPAS_RESPONSE") });
      refused(host, yield* host.rmi("RMI_RTT_SET_RIPAS", ...Object.values(args)), {
        status: INPUT,
        condition: "base_bound",
      });
    },
    { conditions: ["RMI_RTT_SET_RIPAS/base_bound"] },
  ],
  end_of_table: [
    "A request beyond a table: out_top is the table's end",
    function* (host) {
      const realm = yield* fourPages(host);
      const { args } = yield* asked(host, realm, { base: BASE + 0x1f_f000n, top: BASE + 0x40_0000n });
      equal((yield* host.ok("RMI_RTT_SET_RIPAS", ...Object.values(args)))[0], BASE + 0x20_0000n, "out_top");
    },
  ],
  empty_page_unreachable: [
    "A page that became EMPTY is gone from the Realm's view at once, and back with its bytes when it is RAM again",
    function* (host) {
      const realm = yield* fourPages(host);
      const ipa = BASE + 0x3000n;
      const { args, agents } = yield* asked(host, realm, { base: ipa, top: ipa + 0x1000n, ripas: 0n });
      const [agent] = agents;
      yield* agent!.finish(host);
      const load = () => agent!.run(host, a64.load(0, 1), { 1: ipa + 8n });
      const before = (yield* load()).x[0];
      const change = function* (ripas: bigint): Script {
        yield* agent!.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, ipa, ipa + 0x1000n, ripas, 0n);
        yield* host.ok("RMI_RTT_SET_RIPAS", ...Object.values(args));
        yield* agent!.finish(host);
      };
      yield* change(0n);
      equal((yield* load()).exception?.vector, 0x200, "the vector of an access to EMPTY");
      yield* change(1n);
      equal((yield* load()).x[0], before, "the word of the page that is RAM again");
    },
  ],
});

export const ripasCases: readonly ConformanceCase[] = [...init, ...initEffects, ...set, ...setEffects];
