/** RMI_RTT_CREATE, RMI_RTT_DESTROY, RMI_RTT_FOLD, RMI_RTT_READ_ENTRY. */
import { bytesFrom, type Host, Realm, type Script } from "../../driver/index.js";
import { type ConformanceCase, effects } from "../case.js";
import { equal, equalAll, fields, refused } from "../check.js";
import { assignedBlock } from "./data.js";
import { type Arranged, failureCases, granuleViolations, running, setArg, type Violation } from "./violations.js";

interface Tables extends Arranged {
  readonly realm: Realm;
}

const INPUT = "RMI_ERROR_INPUT";
const RTT = "RMI_ERROR_RTT";
const MINUS_1 = (1n << 64n) - 1n;
const RD = ["rd_bound", "rd_state"];
const ORDER = [
  [RD, ["rtt_walk", "rtte_state"]],
  [
    ["level_bound", "ipa_bound"],
    ["rtt_walk", "rtte_state"],
  ],
] as const;

/** Violations of (ipa, level) of commands about the table at a level of a Realm that starts at level 1. */
const tableViolations: readonly Violation<Tables>[] = [
  { condition: "level_bound", status: INPUT, precondition: "level is the start level", violate: setArg("level", 1n) },
  { condition: "level_bound", variant: "4", status: INPUT, precondition: "level is 4", violate: setArg("level", 4n) },
  { condition: "level_bound", variant: "0", status: INPUT, precondition: "level is 0", violate: setArg("level", 0n) },
  {
    condition: "level_bound",
    variant: "-1",
    status: INPUT,
    precondition: "level is -1",
    violate: setArg("level", MINUS_1),
  },
  {
    condition: "level_bound",
    variant: "wild",
    status: INPUT,
    precondition: "level is 2^32 + 3",
    violate: setArg("level", (1n << 32n) + 3n),
  },
  {
    condition: "ipa_bound",
    status: INPUT,
    precondition: "ipa is beyond the IPA space",
    violate: setArg("ipa", ({ realm }) => realm.ipaSize),
  },
  {
    condition: "ipa_bound",
    variant: "wild",
    status: INPUT,
    precondition: "ipa is 2^63",
    violate: setArg("ipa", 1n << 63n),
  },
  {
    condition: "ipa_align",
    status: INPUT,
    precondition: "ipa is not aligned to an entry of the level above",
    violate: setArg("ipa", 0x1000n),
  },
];

/** A Realm with a level 2 table over IPA 0. */
function* withLevel2(host: Host): Script<Realm> {
  const realm = yield* Realm.create(host);
  yield* realm.table(host, 0n, 2);
  return realm;
}

const create = failureCases<Tables>({
  command: "RMI_RTT_CREATE",
  *arrange(host) {
    const realm = yield* withLevel2(host);
    return { args: { rd: realm.rd, rtt: yield* host.delegated(), ipa: 0n, level: 3n }, realm };
  },
  violations: [
    ...granuleViolations<Tables>("rtt", "DELEGATED"),
    ...granuleViolations<Tables>("rd", "RD"),
    ...tableViolations,
    {
      condition: "rtt_walk",
      status: RTT,
      index: 1,
      precondition: "There is no level 2 table for a level 3 one",
      violate: setArg("ipa", 0x4000_0000n),
    },
    {
      condition: "rtte_state",
      status: RTT,
      index: 2,
      precondition: "There is a level 3 table already",
      changesState: true,
      *violate(host, { realm }) {
        yield* realm.table(host, 0n, 3);
      },
    },
    {
      condition: "rtte_state",
      variant: "level_2",
      status: RTT,
      index: 1,
      precondition: "There is a level 2 table already",
      violate: setArg("level", 2n),
    },
  ],
  order: ORDER,
});

const destroy = failureCases<Tables>({
  command: "RMI_RTT_DESTROY",
  *arrange(host) {
    const realm = yield* withLevel2(host);
    yield* realm.table(host, 0n, 3);
    return { args: { rd: realm.rd, ipa: 0n, level: 3n }, realm };
  },
  violations: [
    ...granuleViolations<Tables>("rd", "RD"),
    ...tableViolations,
    {
      condition: "rtt_walk",
      status: RTT,
      index: 1,
      precondition: "There is no level 2 table: top is the end of the start table",
      violate: setArg("ipa", 0x4000_0000n),
      out: () => [0n, 1n << 39n],
    },
    {
      condition: "rtte_state",
      status: RTT,
      index: 2,
      precondition: "The entry is UNASSIGNED: top is the end of the level 2 table",
      violate: setArg("ipa", 0x20_0000n),
      out: () => [0n, 0x4000_0000n],
    },
    {
      condition: "rtte_state",
      variant: "next_live",
      status: RTT,
      index: 2,
      precondition: "The entry is UNASSIGNED: top is the next one that is TABLE",
      *violate(host, s) {
        yield* s.realm.table(host, 0x80_0000n, 3);
        s.args.ipa = 0x20_0000n;
      },
      out: () => [0n, 0x80_0000n],
    },
    {
      condition: "rtte_state",
      variant: "block",
      status: RTT,
      index: 2,
      precondition: "The entry is an ASSIGNED block: top is ipa",
      *violate(host, s) {
        yield* assignedBlock(host, s.realm, 0x20_0000n);
        s.args.ipa = 0x20_0000n;
      },
      out: () => [0n, 0x20_0000n],
    },
    {
      condition: "rtt_live",
      status: RTT,
      index: 3,
      precondition: "The table has an ASSIGNED entry: top is ipa",
      changesState: true,
      *violate(host, { realm }) {
        yield* realm.unknownData(host, 0x1f_f000n);
      },
      out: () => [0n, 0n],
    },
    {
      condition: "rtt_live",
      variant: "table",
      status: RTT,
      index: 2,
      precondition: "The table has a TABLE entry: top is ipa",
      violate: setArg("level", 2n),
      out: () => [0n, 0n],
    },
    {
      condition: "rtt_live",
      variant: "not_at_zero",
      status: RTT,
      index: 3,
      precondition: "A table at another IPA has an ASSIGNED entry: top is ipa",
      *violate(host, s) {
        yield* s.realm.unknownData(host, 0x20_1000n);
        s.args.ipa = 0x20_0000n;
      },
      out: () => [0n, 0x20_0000n],
    },
  ],
  order: [[RD, ["rtt_walk", "rtte_state", "rtt_live"]], ORDER[1]],
});

const fold = failureCases<Tables>({
  command: "RMI_RTT_FOLD",
  *arrange(host) {
    const realm = yield* withLevel2(host);
    yield* realm.table(host, 0n, 3);
    return { args: { rd: realm.rd, ipa: 0n, level: 3n }, realm };
  },
  violations: [
    ...granuleViolations<Tables>("rd", "RD"),
    ...tableViolations,
    {
      condition: "rtt_walk",
      status: RTT,
      index: 1,
      precondition: "There is no level 2 table",
      violate: setArg("ipa", 0x4000_0000n),
    },
    {
      condition: "rtte_state",
      status: RTT,
      index: 2,
      precondition: "The entry is UNASSIGNED",
      violate: setArg("ipa", 0x20_0000n),
    },
    {
      condition: "rtt_homo",
      status: RTT,
      index: 3,
      precondition: "The table has entries of both states",
      changesState: true,
      *violate(host, { realm }) {
        yield* realm.unknownData(host, 0x1000n);
      },
    },
    {
      condition: "rtt_homo",
      variant: "ripas",
      status: RTT,
      index: 3,
      precondition: "The table's UNASSIGNED entries differ in RIPAS",
      changesState: true,
      *violate(host, { realm }) {
        yield* realm.ram(host, 0x1000n, 0x2000n);
      },
    },
    {
      condition: "rtt_homo",
      variant: "table",
      status: RTT,
      index: 2,
      precondition: "The table has a TABLE entry",
      violate: setArg("level", 2n),
    },
    {
      condition: "rtt_homo",
      variant: "not_contiguous",
      status: RTT,
      index: 3,
      precondition: "All entries are ASSIGNED, two granules have changed places",
      changesState: true,
      *violate(host, { realm }) {
        const first = yield* host.delegated(512, 512);
        for (let i = 0n; i < 512n; i++) {
          const granule = first + (i === 0n || i > 2n ? i : 3n - i) * 0x1000n;
          yield* host.ok("RMI_DATA_CREATE_UNKNOWN", realm.rd, granule, i * 0x1000n);
        }
      },
    },
    {
      condition: "rtt_homo",
      variant: "not_aligned",
      status: RTT,
      index: 3,
      precondition: "All entries are ASSIGNED and contiguous, the first granule is not aligned to 2 MiB",
      changesState: true,
      *violate(host, { realm }) {
        const first = (yield* host.delegated(513, 512)) + 0x1000n;
        for (let i = 0n; i < 512n; i++) {
          yield* host.ok("RMI_DATA_CREATE_UNKNOWN", realm.rd, first + i * 0x1000n, i * 0x1000n);
        }
      },
    },
    {
      condition: "rtt_homo",
      variant: "ns_attributes",
      status: RTT,
      index: 3,
      precondition: "All entries are ASSIGNED_NS and contiguous, one is read-only",
      *violate(host, s) {
        const { realm } = s;
        const ipa = realm.unprotected;
        yield* realm.tables(host, ipa);
        for (let i = 0n; i < 512n; i++) {
          const s2ap = i === 300n ? 1n : 3n;
          yield* host.ok(
            "RMI_RTT_MAP_UNPROTECTED",
            realm.rd,
            ipa + i * 0x1000n,
            3n,
            NS_BLOCK + i * 0x1000n + (6n << 2n) + (s2ap << 6n),
          );
        }
        s.args.ipa = ipa;
      },
    },
  ],
  order: [[RD, ["rtt_walk", "rtte_state", "rtt_homo"]], ORDER[1]],
});

const read = failureCases<Tables>({
  command: "RMI_RTT_READ_ENTRY",
  *arrange(host) {
    const realm = yield* withLevel2(host);
    return { args: { rd: realm.rd, ipa: 0x1000n, level: 3n }, realm };
  },
  violations: [
    ...granuleViolations<Tables>("rd", "RD"),
    {
      condition: "level_bound",
      status: INPUT,
      precondition: "level is below the start level",
      violate: setArg("level", 0n),
    },
    { condition: "level_bound", variant: "4", status: INPUT, precondition: "level is 4", violate: setArg("level", 4n) },
    {
      condition: "level_bound",
      variant: "-1",
      status: INPUT,
      precondition: "level is -1",
      violate: setArg("level", MINUS_1),
    },
    {
      condition: "ipa_bound",
      status: INPUT,
      precondition: "ipa is beyond the IPA space",
      violate: setArg("ipa", ({ realm }) => realm.ipaSize),
    },
    {
      condition: "ipa_align",
      status: INPUT,
      precondition: "ipa is not aligned to 4 KiB",
      violate: setArg("ipa", 0x1800n),
    },
    {
      condition: "ipa_align",
      variant: "level_2",
      status: INPUT,
      precondition: "ipa is not aligned to a level 2 entry",
      violate: setArg("level", 2n),
    },
  ],
});

/** Host memory, aligned to 2 MiB, that no case uses otherwise. MAP_UNPROTECTED does not look at it. */
const NS_BLOCK = 0x8000_0000n;

/** Descriptor of a mapping: Normal Write-Back, read and write. */
const desc = (pa: bigint, s2ap = 3n): bigint => pa | (6n << 2n) | (s2ap << 6n);

const createEffects = effects("RMI_RTT_CREATE", "RMI_RTT_CREATE command, success conditions", {
  state: [
    "A table is made: its granule is an RTT, the parent entry TABLE with its address",
    function* (host) {
      const realm = yield* withLevel2(host);
      const rtt = yield* realm.table(host, 0n, 3);
      fields(yield* realm.entry(host, 0n, 2), { level: 2, state: "TABLE", desc: rtt, ripas: 0 }, "the parent entry");
      refused(host, yield* host.rmi("RMI_GRANULE_UNDELEGATE", rtt), { status: INPUT, condition: "gran_state" });
    },
  ],
  unfold_unassigned: [
    "A table is made under an UNASSIGNED entry: its entries have the same RIPAS, EMPTY, RAM or DESTROYED",
    function* (host) {
      const realm = yield* withLevel2(host);
      yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, 0x20_0000n, 0x40_0000n);
      yield* realm.table(host, 0x40_0000n, 3);
      yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0x40_0000n, 3n);
      for (const [ipa, ripas] of [
        [0n, 0],
        [0x20_0000n, 1],
        [0x40_0000n, 2],
      ] as const) {
        yield* realm.table(host, ipa, 3);
        for (const at of [0n, 0x1000n, 0x1f_f000n]) {
          fields(
            yield* realm.entry(host, ipa + at),
            { level: 3, state: "UNASSIGNED", desc: 0n, ripas },
            `0x${(ipa + at).toString(16)}`,
          );
        }
      }
    },
  ],
  unfold_unassigned_ns: [
    "A table is made under an UNASSIGNED_NS entry: pages can be shown there",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.tables(host, realm.unprotected);
      fields(
        yield* realm.entry(host, realm.unprotected),
        { level: 3, state: "UNASSIGNED", desc: 0n, ripas: 0 },
        "an entry",
      );
      yield* realm.share(host, 0x1f_f000n);
    },
  ],
  unfold_assigned: [
    "A table is made under an ASSIGNED block: each entry is ASSIGNED to its part of it, and the table is live",
    function* (host) {
      const realm = yield* withLevel2(host);
      const first = yield* assignedBlock(host, realm, 0n);
      yield* realm.table(host, 0n, 3);
      for (const i of [0n, 1n, 511n]) {
        fields(
          yield* realm.entry(host, i * 0x1000n),
          { level: 3, state: "ASSIGNED", desc: first + i * 0x1000n, ripas: 0 },
          `entry ${i}`,
        );
      }
      refused(host, yield* host.rmi("RMI_RTT_DESTROY", realm.rd, 0n, 3n), {
        status: RTT,
        index: 3,
        condition: "rtt_live",
      });
    },
    { conditions: ["RMI_RTT_DESTROY/rtt_live"] },
  ],
  unfold_assigned_ns: [
    "A table is made under an ASSIGNED_NS block: each entry shows its part of it with the same attributes",
    function* (host) {
      const realm = yield* Realm.create(host);
      const ipa = realm.unprotected;
      yield* realm.table(host, ipa, 2);
      yield* host.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, ipa, 2n, desc(NS_BLOCK, 1n));
      yield* realm.table(host, ipa, 3);
      for (const i of [0n, 511n]) {
        const expected = { level: 3, state: "ASSIGNED", desc: desc(NS_BLOCK + i * 0x1000n, 1n), ripas: 0 } as const;
        fields(yield* realm.entry(host, ipa + i * 0x1000n), expected, `entry ${i}`);
      }
    },
  ],
  any_state: [
    "A table is made for a Realm that is NEW, and for one that is ACTIVE",
    function* (host) {
      const realm = yield* withLevel2(host);
      yield* realm.activate(host);
      yield* realm.table(host, 0n, 3);
    },
  ],
  in_use: [
    "A table is made under the block that the Realm is using: it sees the same bytes",
    function* (host) {
      const realm = yield* Realm.create(host);
      const ipa = realm.unprotected;
      yield* realm.table(host, ipa, 2);
      const pa = host.shared.take(512, 512);
      host.write(pa + 0x5000n, bytesFrom(4));
      yield* host.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, ipa, 2n, desc(pa));
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      const load = () => agent!.run(host, 0xf940_0020, { 1: ipa + 0x5000n });
      const before = (yield* load()).x[0];
      yield* realm.table(host, ipa, 3);
      equal((yield* load()).x[0], before, "the word behind the table");
    },
  ],
});

const destroyEffects = effects("RMI_RTT_DESTROY", "RMI_RTT_DESTROY command, success conditions", {
  output: [
    "A table is destroyed: rtt is its granule, DELEGATED; top is the next live entry",
    function* (host) {
      const realm = yield* withLevel2(host);
      const rtt = yield* realm.table(host, 0n, 3);
      yield* realm.table(host, 0x60_0000n, 3);
      equalAll((yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0n, 3n)).slice(0, 2), [rtt, 0x60_0000n], "X1 and X2");
      yield* host.ok("RMI_GRANULE_UNDELEGATE", rtt);
    },
  ],
  output_last: [
    "The only table below a level 2 table is destroyed: top is the end of the level 2 table",
    function* (host) {
      const realm = yield* withLevel2(host);
      yield* realm.table(host, 0n, 3);
      equal((yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0n, 3n))[1], 0x4000_0000n, "top");
    },
  ],
  protected: [
    "The parent entry of a Protected table is UNASSIGNED with RIPAS DESTROYED",
    function* (host) {
      const realm = yield* withLevel2(host);
      yield* realm.table(host, 0n, 3);
      yield* realm.ram(host, 0n, 0x1000n);
      yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0n, 3n);
      fields(yield* realm.entry(host, 0n), { level: 2, state: "UNASSIGNED", desc: 0n, ripas: 2 }, "the parent entry");
    },
  ],
  unprotected: [
    "The parent entry of an Unprotected table is UNASSIGNED_NS: a block can be shown there",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.tables(host, realm.unprotected);
      yield* host.ok("RMI_RTT_DESTROY", realm.rd, realm.unprotected, 3n);
      fields(
        yield* realm.entry(host, realm.unprotected),
        { level: 2, state: "UNASSIGNED", desc: 0n, ripas: 0 },
        "the parent entry",
      );
      yield* host.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, realm.unprotected, 2n, desc(NS_BLOCK));
    },
  ],
  assigned_ns: [
    "A table full of shown pages is not live; what the Realm saw there it no longer sees",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.share(host, 0n);
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      yield* agent!.run(host, 0xf940_0020, { 1: realm.unprotected });
      yield* host.ok("RMI_RTT_DESTROY", realm.rd, realm.unprotected, 3n);
      equal((yield* agent!.exit(host, 0xf940_0020, { 1: realm.unprotected })).reason, "RMI_EXIT_SYNC", "the exit");
    },
  ],
});

const foldEffects = effects("RMI_RTT_FOLD", "RMI_RTT_FOLD command, success conditions", {
  output: [
    "A table is folded: rtt is its granule, DELEGATED; a walk ends one level above",
    function* (host) {
      const realm = yield* withLevel2(host);
      const rtt = yield* realm.table(host, 0n, 3);
      equal((yield* host.ok("RMI_RTT_FOLD", realm.rd, 0n, 3n))[0], rtt, "X1");
      equal((yield* realm.entry(host, 0n)).level, 2, "level of the walk");
      yield* host.ok("RMI_GRANULE_UNDELEGATE", rtt);
    },
  ],
  unassigned: [
    "All entries are UNASSIGNED with RIPAS EMPTY, RAM or DESTROYED: the parent entry is, too",
    function* (host) {
      const realm = yield* withLevel2(host);
      yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, 0x20_0000n, 0x40_0000n);
      yield* realm.table(host, 0x40_0000n, 3);
      yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0x40_0000n, 3n);
      for (const [ipa, ripas] of [
        [0n, 0],
        [0x20_0000n, 1],
        [0x40_0000n, 2],
      ] as const) {
        yield* realm.table(host, ipa, 3);
        yield* host.ok("RMI_RTT_FOLD", realm.rd, ipa, 3n);
        fields(yield* realm.entry(host, ipa), { level: 2, state: "UNASSIGNED", ripas }, `RIPAS ${ripas}`);
      }
    },
  ],
  unassigned_ns: [
    "All entries are UNASSIGNED_NS: the parent entry is, too",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.tables(host, realm.unprotected);
      yield* host.ok("RMI_RTT_FOLD", realm.rd, realm.unprotected, 3n);
      yield* host.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, realm.unprotected, 2n, desc(NS_BLOCK));
    },
  ],
  assigned: [
    "All entries are ASSIGNED to granules in a row: the parent entry is a block of them",
    function* (host) {
      const realm = yield* withLevel2(host);
      yield* realm.table(host, 0x20_0000n, 3);
      yield* realm.ram(host, 0x20_0000n, 0x40_0000n);
      const first = yield* assignedBlock(host, realm, 0x20_0000n);
      fields(yield* realm.entry(host, 0x20_5000n), { level: 2, state: "ASSIGNED", desc: first, ripas: 1 }, "the entry");
    },
  ],
  assigned_ns: [
    "All entries are ASSIGNED_NS to pages in a row with equal attributes: the parent entry is a block of them",
    function* (host) {
      const realm = yield* Realm.create(host);
      const ipa = realm.unprotected;
      yield* realm.tables(host, ipa);
      for (let i = 0n; i < 512n; i++) {
        yield* host.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, ipa + i * 0x1000n, 3n, desc(NS_BLOCK + i * 0x1000n, 1n));
      }
      yield* host.ok("RMI_RTT_FOLD", realm.rd, ipa, 3n);
      fields(
        yield* realm.entry(host, ipa),
        { level: 2, state: "ASSIGNED", desc: desc(NS_BLOCK, 1n), ripas: 0 },
        "the entry",
      );
    },
  ],
  parent_not_live: [
    "A folded table keeps its parent alive no longer",
    function* (host) {
      const realm = yield* withLevel2(host);
      yield* realm.table(host, 0n, 3);
      yield* host.ok("RMI_RTT_FOLD", realm.rd, 0n, 3n);
      yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0n, 2n);
    },
  ],
  unfold_is_inverse: [
    "A block that was folded and unfolded has its pages as before: each can be destroyed",
    function* (host) {
      const realm = yield* withLevel2(host);
      const first = yield* assignedBlock(host, realm, 0n);
      yield* realm.table(host, 0n, 3);
      for (const i of [0n, 17n, 511n]) {
        equal((yield* host.ok("RMI_DATA_DESTROY", realm.rd, i * 0x1000n))[0], first + i * 0x1000n, `granule ${i}`);
      }
    },
  ],
  contents: [
    "The Realm sees the same bytes before a fold, after it, and after unfolding",
    function* (host) {
      const realm = yield* withLevel2(host);
      yield* realm.table(host, 0x20_0000n, 3);
      const first = yield* host.delegated(512, 512);
      for (let i = 0n; i < 512n; i++) {
        const src = i === 100n ? host.page(bytesFrom(7)) : host.shared.bench.board.dram[0]!.base;
        yield* host.ok("RMI_DATA_CREATE", realm.rd, first + i * 0x1000n, 0x20_0000n + i * 0x1000n, src, 0n);
      }
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      const load = () => agent!.run(host, 0xf940_0020, { 1: 0x20_0000n + 100n * 0x1000n + 8n });
      const before = (yield* load()).x[0];
      equal(before, new DataView(bytesFrom(7).buffer).getBigUint64(8, true), "the word before");
      yield* host.ok("RMI_RTT_FOLD", realm.rd, 0x20_0000n, 3n);
      equal((yield* load()).x[0], before, "the word after the fold");
      yield* realm.table(host, 0x20_0000n, 3);
      equal((yield* load()).x[0], before, "the word after unfolding");
    },
  ],
});

const readEffects = effects("RMI_RTT_READ_ENTRY", "RMI_RTT_READ_ENTRY command", {
  unassigned: [
    "UNASSIGNED entries: desc is zero, ripas EMPTY, RAM or DESTROYED",
    function* (host) {
      const realm = yield* withLevel2(host);
      yield* realm.ram(host, 0n, 0x1000n);
      yield* realm.data(host, 0x1000n);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x1000n);
      for (const [ipa, ripas] of [
        [0n, 1n],
        [0x1000n, 2n],
        [0x2000n, 0n],
      ] as const) {
        equalAll(
          yield* host.ok("RMI_RTT_READ_ENTRY", realm.rd, ipa, 3n),
          [3n, 0n, 0n, ripas],
          `X1 to X4 at 0x${ipa.toString(16)}`,
        );
      }
    },
  ],
  assigned: [
    "ASSIGNED entries: desc is the granule alone, RIPAS EMPTY, RAM and DESTROYED",
    function* (host) {
      const realm = yield* withLevel2(host);
      const ram = yield* realm.data(host, 0n);
      const empty = yield* realm.unknownData(host, 0x1000n);
      yield* realm.data(host, 0x2000n);
      yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x2000n);
      const destroyed = yield* realm.unknownData(host, 0x2000n);
      for (const [ipa, pa, ripas] of [
        [0n, ram, 1n],
        [0x1000n, empty, 0n],
        [0x2000n, destroyed, 2n],
      ] as const) {
        equalAll(
          yield* host.ok("RMI_RTT_READ_ENTRY", realm.rd, ipa, 3n),
          [3n, 1n, pa, ripas],
          `X1 to X4 at 0x${ipa.toString(16)}`,
        );
      }
    },
  ],
  table: [
    "TABLE entries: desc is the table",
    function* (host) {
      const realm = yield* Realm.create(host);
      const rtt = yield* realm.table(host, 0n, 2);
      equalAll((yield* host.ok("RMI_RTT_READ_ENTRY", realm.rd, 0n, 1n)).slice(0, 3), [1n, 2n, rtt], "X1 to X3");
    },
  ],
  unassigned_ns: [
    "UNASSIGNED_NS entries: all outputs but the level are zero",
    function* (host) {
      const realm = yield* Realm.create(host);
      equalAll(yield* host.ok("RMI_RTT_READ_ENTRY", realm.rd, realm.unprotected, 3n), [1n, 0n, 0n, 0n], "X1 to X4");
    },
  ],
  assigned_ns: [
    "ASSIGNED_NS entries: desc is what the Host gave, no more",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.tables(host, realm.unprotected);
      for (const [i, given] of [
        desc(NS_BLOCK),
        desc(NS_BLOCK, 0n),
        NS_BLOCK | (1n << 2n) | (2n << 6n),
        NS_BLOCK | (5n << 2n),
      ].entries()) {
        const ipa = realm.unprotected + BigInt(i) * 0x1000n;
        yield* host.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, ipa, 3n, given);
        equalAll(
          yield* host.ok("RMI_RTT_READ_ENTRY", realm.rd, ipa, 3n),
          [3n, 1n, given, 0n],
          `X1 to X4 for 0x${given.toString(16)}`,
        );
      }
    },
  ],
  walk_level: [
    "A walk ends where there is no further table: walk_level says where",
    function* (host) {
      const realm = yield* withLevel2(host);
      equal((yield* host.ok("RMI_RTT_READ_ENTRY", realm.rd, 0x1000n, 3n))[0], 2n, "walk_level with a level 2 table");
      equal((yield* host.ok("RMI_RTT_READ_ENTRY", realm.rd, 0x4000_1000n, 3n))[0], 1n, "walk_level without one");
      equal((yield* host.ok("RMI_RTT_READ_ENTRY", realm.rd, 0n, 1n))[0], 1n, "walk_level of the start level");
    },
  ],
});

export const rttCases: readonly ConformanceCase[] = [
  ...create,
  ...createEffects,
  ...destroy,
  ...destroyEffects,
  ...fold,
  ...foldEffects,
  ...read,
  ...readEffects,
];
