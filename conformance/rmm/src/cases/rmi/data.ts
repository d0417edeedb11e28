/** RMI_DATA_CREATE, RMI_DATA_CREATE_UNKNOWN, RMI_DATA_DESTROY. */
import { bytesFrom, type Host, Realm, type Script } from "../../driver/index.js";
import { type ConformanceCase, effects } from "../case.js";
import { equal, equalAll, equalBytes, fields, refused } from "../check.js";
import {
  type Arranged,
  failureCases,
  granuleViolations,
  hostPageViolations,
  running,
  setArg,
  type Violation,
} from "./violations.js";

interface Page extends Arranged {
  readonly realm: Realm;
}

const INPUT = "RMI_ERROR_INPUT";
const RTT = "RMI_ERROR_RTT";
const RD = ["rd_bound", "rd_state"];

/** Violations of an IPA that must be a page of the Protected half. */
function ipaViolations(top: boolean): Violation<Page>[] {
  const noTop = top ? { out: () => [0n, 0n] } : {};
  return [
    {
      condition: "ipa_bound",
      status: INPUT,
      precondition: "ipa is the first Unprotected one",
      violate: setArg("ipa", ({ realm }) => realm.unprotected),
      ...noTop,
    },
    {
      condition: "ipa_bound",
      variant: "beyond",
      status: INPUT,
      precondition: "ipa is beyond the IPA space",
      violate: setArg("ipa", ({ realm }) => realm.ipaSize),
      ...noTop,
    },
    {
      condition: "ipa_bound",
      variant: "wild",
      status: INPUT,
      precondition: "ipa is 2^63",
      violate: setArg("ipa", 1n << 63n),
      ...noTop,
    },
    {
      condition: "ipa_align",
      status: INPUT,
      precondition: "ipa is not aligned to 4 KiB",
      violate: setArg("ipa", (s) => s.args.ipa! + 0x800n),
      ...noTop,
    },
  ];
}

/** Violations by what the walk finds, for commands that put a page there. */
const occupied: readonly Violation<Page>[] = [
  {
    condition: "rtt_walk",
    status: RTT,
    index: 2,
    precondition: "There is no level 3 table",
    violate: setArg("ipa", 0x20_0000n),
  },
  {
    condition: "rtt_walk",
    variant: "level_1",
    status: RTT,
    index: 1,
    precondition: "There is neither a level 2 nor a level 3 table",
    violate: setArg("ipa", 0x4000_0000n),
  },
  {
    condition: "rtte_state",
    status: RTT,
    index: 3,
    precondition: "The entry is ASSIGNED",
    changesState: true,
    *violate(host, { realm, args }) {
      yield* host.ok("RMI_DATA_CREATE_UNKNOWN", realm.rd, yield* host.delegated(), args.ipa!);
    },
  },
];

function* newPage(host: Host): Script<Realm> {
  const realm = yield* Realm.create(host);
  yield* realm.tables(host, 0n);
  return realm;
}

const ORDER = [
  [RD, ["rtt_walk", "rtte_state"]],
  [["ipa_bound"], ["rtt_walk", "rtte_state"]],
] as const;

const create = failureCases<Page>({
  command: "RMI_DATA_CREATE",
  *arrange(host) {
    const realm = yield* newPage(host);
    const data = yield* host.delegated();
    return { args: { rd: realm.rd, data, ipa: 0x1000n, src: host.page(bytesFrom(1)), flags: 1n }, realm };
  },
  violations: [
    {
      condition: "flags_valid",
      status: INPUT,
      precondition: "flags has bit 1 set, which SBZ (TF-RMM's rule; the text leaves it open)",
      violate: setArg("flags", 2n),
    },
    ...hostPageViolations<Page>("src"),
    ...granuleViolations<Page>("data", "DELEGATED"),
    ...granuleViolations<Page>("rd", "RD"),
    {
      condition: "realm_state",
      status: "RMI_ERROR_REALM",
      precondition: "The Realm is ACTIVE",
      changesState: true,
      *violate(host, { realm }) {
        yield* realm.activate(host);
      },
    },
    ...ipaViolations(false),
    ...occupied,
  ],
  order: [[RD, ["realm_state"]], ...ORDER],
});

const unknown = failureCases<Page>({
  command: "RMI_DATA_CREATE_UNKNOWN",
  *arrange(host) {
    const realm = yield* newPage(host);
    return { args: { rd: realm.rd, data: yield* host.delegated(), ipa: 0x1000n }, realm };
  },
  violations: [
    ...granuleViolations<Page>("data", "DELEGATED"),
    ...granuleViolations<Page>("rd", "RD"),
    ...ipaViolations(false),
    ...occupied,
  ],
  order: ORDER,
});

const destroy = failureCases<Page>({
  command: "RMI_DATA_DESTROY",
  *arrange(host) {
    const realm = yield* newPage(host);
    yield* realm.unknownData(host, 0x1000n);
    return { args: { rd: realm.rd, ipa: 0x1000n }, realm };
  },
  violations: [
    ...granuleViolations<Page>("rd", "RD"),
    ...ipaViolations(true),
    {
      condition: "rtt_walk",
      status: RTT,
      index: 2,
      precondition: "There is no level 3 table: top is the end of the level 2 table",
      violate: setArg("ipa", 0x20_0000n),
      out: () => [0n, 0x4000_0000n],
    },
    {
      condition: "rtt_walk",
      variant: "level_1",
      status: RTT,
      index: 1,
      precondition: "There is no level 2 table: top is the end of the start table",
      violate: setArg("ipa", 0x4000_0000n),
      out: () => [0n, 1n << 39n],
    },
    {
      condition: "rtt_walk",
      variant: "next_live",
      status: RTT,
      index: 2,
      precondition: "There is no level 3 table: top is the next entry that has one",
      *violate(host, s) {
        yield* s.realm.table(host, 0x60_0000n, 3);
        s.args.ipa = 0x20_0000n;
      },
      out: () => [0n, 0x60_0000n],
    },
    {
      condition: "rtte_state",
      status: RTT,
      index: 3,
      precondition: "The entry is UNASSIGNED: top is the end of the table",
      violate: setArg("ipa", 0x2000n),
      out: () => [0n, 0x20_0000n],
    },
    {
      condition: "rtte_state",
      variant: "next_live",
      status: RTT,
      index: 3,
      precondition: "The entry is UNASSIGNED: top is the next page that is ASSIGNED",
      violate: setArg("ipa", 0n),
      out: () => [0n, 0x1000n],
    },
    {
      condition: "rtt_walk",
      variant: "block",
      status: RTT,
      index: 2,
      precondition: "A block at level 2 is ASSIGNED: top is ipa",
      *violate(host, s) {
        yield* assignedBlock(host, s.realm, 0x20_0000n);
        s.args.ipa = 0x20_3000n;
      },
      out: () => [0n, 0x20_3000n],
    },
  ],
  order: ORDER,
});

/** 2 MiB of DATA at `ipa`, folded into a level 2 entry; the first granule. */
export function* assignedBlock(host: Host, realm: Realm, ipa: bigint): Script<bigint> {
  yield* realm.tables(host, ipa);
  const first = yield* host.delegated(512, 512);
  for (let i = 0n; i < 512n; i++)
    yield* host.ok("RMI_DATA_CREATE_UNKNOWN", realm.rd, first + i * 0x1000n, ipa + i * 0x1000n);
  yield* host.ok("RMI_RTT_FOLD", realm.rd, ipa, 3n);
  return first;
}

const dataState = { status: INPUT, condition: "gran_state" } as const;

const createEffects = effects("RMI_DATA_CREATE", "RMI_DATA_CREATE command, success conditions", {
  state: [
    "A page is created: its granule is DATA, and no longer the Host's to take",
    function* (host) {
      const realm = yield* Realm.create(host);
      const data = yield* realm.data(host, 0n);
      refused(host, yield* host.rmi("RMI_GRANULE_UNDELEGATE", data), dataState);
    },
  ],
  entry: [
    "A page is created: the entry is ASSIGNED with RIPAS RAM, whatever RIPAS was, and names the granule",
    function* (host) {
      const realm = yield* newPage(host);
      yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, 0x1000n, 0x2000n);
      for (const ipa of [0n, 0x1000n]) {
        const data = yield* realm.data(host, ipa);
        fields(
          yield* realm.entry(host, ipa),
          { level: 3, state: "ASSIGNED", desc: data, ripas: 1 },
          `the entry of 0x${ipa.toString(16)}`,
        );
      }
      fields(yield* realm.entry(host, 0x2000n), { state: "UNASSIGNED", ripas: 0 }, "the entry beside them");
    },
  ],
  destroyed: [
    "A page is created where RIPAS is DESTROYED: RIPAS is RAM",
    function* (host) {
      const realm = yield* newPage(host);
      yield* realm.data(host, 0n);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0n);
      equal((yield* realm.entry(host, 0n)).ripas, 2, "RIPAS after RMI_DATA_DESTROY");
      yield* realm.data(host, 0n);
      equal((yield* realm.entry(host, 0n)).ripas, 1, "RIPAS after RMI_DATA_CREATE");
    },
  ],
  content: [
    "The Realm finds the Host's bytes in the page; later writes of the Host to src change nothing",
    function* (host) {
      const realm = yield* Realm.create(host);
      const content = bytesFrom(9);
      yield* realm.tables(host, 0x8000n);
      const src = host.page(content);
      yield* host.ok("RMI_DATA_CREATE", realm.rd, yield* host.delegated(), 0x8000n, src, 0n);
      equalBytes(host.read(src), content, "src, which the RMM only reads");
      host.write(src, new Uint8Array(4096));
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      const view = new DataView(content.buffer);
      const found: bigint[] = [];
      for (const at of [0, 8, 0x800, 0xff8]) {
        found.push((yield* agent!.run(host, 0xf940_0020, { 1: 0x8000n + BigInt(at) })).x[0]!); // ldr x0, [x1]
      }
      equalAll(
        found,
        [0, 8, 0x800, 0xff8].map((at) => view.getBigUint64(at, true)),
        "words of the page",
      );
    },
  ],
  rtt_live: [
    "A table with a page in it is live; without, it is not",
    function* (host) {
      const realm = yield* newPage(host);
      yield* realm.data(host, 0n);
      const live = { status: RTT, index: 3, condition: "rtt_live" } as const;
      refused(host, yield* host.rmi("RMI_RTT_DESTROY", realm.rd, 0n, 3n), live);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0n);
      yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0n, 3n);
    },
    { conditions: ["RMI_RTT_DESTROY/rtt_live"] },
  ],
});

const unknownEffects = effects("RMI_DATA_CREATE_UNKNOWN", "RMI_DATA_CREATE_UNKNOWN command, success conditions", {
  state: [
    "A page is given: its granule is DATA",
    function* (host) {
      const realm = yield* newPage(host);
      refused(host, yield* host.rmi("RMI_GRANULE_UNDELEGATE", yield* realm.unknownData(host, 0n)), dataState);
    },
  ],
  ripas_empty: [
    "RIPAS is EMPTY and stays EMPTY",
    function* (host) {
      const realm = yield* newPage(host);
      const data = yield* realm.unknownData(host, 0n);
      fields(yield* realm.entry(host, 0n), { state: "ASSIGNED", desc: data, ripas: 0 }, "the entry");
    },
  ],
  ripas_ram: [
    "RIPAS is RAM and stays RAM",
    function* (host) {
      const realm = yield* newPage(host);
      yield* realm.ram(host, 0n, 0x1000n);
      const data = yield* realm.unknownData(host, 0n);
      fields(yield* realm.entry(host, 0n), { state: "ASSIGNED", desc: data, ripas: 1 }, "the entry");
    },
  ],
  ripas_destroyed: [
    "RIPAS is DESTROYED and stays DESTROYED: the Realm does not use the page",
    function* (host) {
      const realm = yield* newPage(host);
      yield* realm.data(host, 0x9000n);
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x9000n);
      const data = yield* realm.unknownData(host, 0x9000n);
      fields(yield* realm.entry(host, 0x9000n), { state: "ASSIGNED", desc: data, ripas: 2 }, "the entry");
      equal(
        (yield* agent!.exit(host, 0xf940_0020, { 1: 0x9000n })).reason,
        "RMI_EXIT_SYNC",
        "the exit of the Realm's load",
      );
    },
  ],
  states: [
    "A page is given to a Realm that is NEW, and to one that is ACTIVE",
    function* (host) {
      const realm = yield* newPage(host);
      yield* realm.unknownData(host, 0n);
      yield* realm.activate(host);
      yield* realm.unknownData(host, 0x1000n);
    },
  ],
  content: [
    "The page that a Realm gets has nothing of the Host's choice in it",
    function* (host) {
      const realm = yield* newPage(host);
      yield* realm.ram(host, 0x8000n, 0x9000n);
      const page = host.page(new Uint8Array(4096).fill(0xee));
      yield* host.ok("RMI_GRANULE_DELEGATE", page);
      yield* host.ok("RMI_DATA_CREATE_UNKNOWN", realm.rd, page, 0x8000n);
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      for (const at of [0n, 0x7f8n, 0xff8n]) {
        const { x } = yield* agent!.run(host, 0xf940_0020, { 1: 0x8000n + at });
        equal(x[0] === 0xeeee_eeee_eeee_eeeen, false, "the Host's bytes are in the page");
      }
    },
  ],
});

const destroyEffects = effects("RMI_DATA_DESTROY", "RMI_DATA_DESTROY command, success conditions", {
  output: [
    "Pages 1 and 5 are mapped; page 1 is destroyed: data is its granule, top the address of page 5",
    function* (host) {
      const realm = yield* newPage(host);
      const data = yield* realm.unknownData(host, 0x1000n);
      yield* realm.unknownData(host, 0x5000n);
      equalAll((yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x1000n)).slice(0, 2), [data, 0x5000n], "X1 and X2");
    },
  ],
  output_last: [
    "The only page of a table is destroyed: top is the end of the table",
    function* (host) {
      const realm = yield* newPage(host);
      const data = yield* realm.unknownData(host, 0x1f_f000n);
      equalAll((yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x1f_f000n)).slice(0, 2), [data, 0x20_0000n], "X1 and X2");
    },
  ],
  state: [
    "A page is destroyed: its granule is DELEGATED",
    function* (host) {
      const realm = yield* newPage(host);
      const data = yield* realm.unknownData(host, 0n);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0n);
      yield* host.ok("RMI_GRANULE_UNDELEGATE", data);
    },
  ],
  ripas_ram: [
    "RIPAS was RAM: the entry is UNASSIGNED with RIPAS DESTROYED",
    function* (host) {
      const realm = yield* newPage(host);
      yield* realm.data(host, 0n);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0n);
      fields(yield* realm.entry(host, 0n), { level: 3, state: "UNASSIGNED", desc: 0n, ripas: 2 }, "the entry");
    },
  ],
  ripas_empty: [
    "RIPAS was EMPTY: the entry is UNASSIGNED with RIPAS EMPTY",
    function* (host) {
      const realm = yield* newPage(host);
      yield* realm.unknownData(host, 0n);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0n);
      fields(yield* realm.entry(host, 0n), { state: "UNASSIGNED", desc: 0n, ripas: 0 }, "the entry");
    },
  ],
  ripas_destroyed: [
    "RIPAS was DESTROYED: the entry is UNASSIGNED with RIPAS DESTROYED",
    function* (host) {
      const realm = yield* newPage(host);
      yield* realm.data(host, 0n);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0n);
      yield* realm.unknownData(host, 0n);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0n);
      fields(yield* realm.entry(host, 0n), { state: "UNASSIGNED", desc: 0n, ripas: 2 }, "the entry");
    },
  ],
  translation: [
    "A page that the Realm has just used is destroyed: its next access exits",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.data(host, 0x9000n, bytesFrom(1));
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      yield* agent!.run(host, 0xf940_0020, { 1: 0x9000n });
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x9000n);
      const exit = yield* agent!.exit(host, 0xf940_0020, { 1: 0x9000n });
      equal(exit.hpfar, 0x90n, "hpfar");
    },
  ],
});

export const dataCases: readonly ConformanceCase[] = [
  ...create,
  ...createEffects,
  ...unknown,
  ...unknownEffects,
  ...destroy,
  ...destroyEffects,
];
