/** RMI_RTT_MAP_UNPROTECTED, RMI_RTT_UNMAP_UNPROTECTED. */
import { a64, bytesFrom, type Host, Realm, type Script } from "../../driver/index.js";
import { type ConformanceCase, effects } from "../case.js";
import { equal, equalBytes, fields } from "../check.js";
import { type Arranged, failureCases, granuleViolations, running, setArg, type Violation } from "./violations.js";

interface Shared extends Arranged {
  readonly realm: Realm;
}

const INPUT = "RMI_ERROR_INPUT";
const RTT = "RMI_ERROR_RTT";
const NS_BLOCK = 0x8000_0000n;
const ATTRIBUTES = (6n << 2n) | (3n << 6n);
const ORDER = [
  [
    ["rd_bound", "rd_state"],
    ["rtt_walk", "rtte_state"],
  ],
  [
    ["level_bound", "ipa_bound"],
    ["rtt_walk", "rtte_state"],
  ],
] as const;

const common: readonly Violation<Shared>[] = [
  ...granuleViolations<Shared>("rd", "RD"),
  { condition: "level_bound", status: INPUT, precondition: "level is 0", violate: setArg("level", 0n) },
  { condition: "level_bound", variant: "4", status: INPUT, precondition: "level is 4", violate: setArg("level", 4n) },
  {
    condition: "level_bound",
    variant: "-1",
    status: INPUT,
    precondition: "level is -1",
    violate: setArg("level", (1n << 64n) - 1n),
  },
  {
    condition: "level_bound",
    variant: "start",
    status: INPUT,
    precondition: "level is 1, and the Realm starts at level 2 (TF-RMM's rule)",
    *violate(host, s) {
      s.args.rd = (yield* Realm.create(host, { s2sz: 33, rtt_level_start: 2n, rtt_num_start: 8 })).rd;
      s.args.level = 1n;
    },
  },
  { condition: "ipa_bound", status: INPUT, precondition: "ipa is Protected", violate: setArg("ipa", 0n) },
  {
    condition: "ipa_bound",
    variant: "beyond",
    status: INPUT,
    precondition: "ipa is beyond the IPA space",
    violate: setArg("ipa", ({ realm }) => realm.ipaSize),
  },
  {
    condition: "ipa_bound",
    variant: "last_protected",
    status: INPUT,
    precondition: "ipa is the last Protected page",
    violate: setArg("ipa", ({ realm }) => realm.unprotected - 0x1000n),
  },
  {
    condition: "ipa_align",
    status: INPUT,
    precondition: "ipa is not aligned to 4 KiB",
    violate: setArg("ipa", (s) => s.args.ipa! + 0x800n),
  },
  {
    condition: "ipa_align",
    variant: "level_2",
    status: INPUT,
    precondition: "ipa is not aligned to a level 2 entry",
    violate: (_, s) => {
      s.args.ipa! += 0x1000n;
      s.args.level = 2n;
      if (s.args.desc !== undefined) s.args.desc = NS_BLOCK | ATTRIBUTES;
    },
  },
];

const wrongDesc = (
  condition: string,
  variant: string | undefined,
  precondition: string,
  desc: bigint,
): Violation<Shared> => ({
  condition,
  ...(variant && { variant }),
  status: INPUT,
  precondition,
  violate: setArg("desc", desc),
});

const FORBIDDEN_BITS = [0, 1, 5, 8, 9, 10, 11, 52, 53, 54, 55, 58, 63];

const map = failureCases<Shared>({
  command: "RMI_RTT_MAP_UNPROTECTED",
  *arrange(host) {
    const realm = yield* Realm.create(host);
    yield* realm.tables(host, realm.unprotected);
    return { args: { rd: realm.rd, ipa: realm.unprotected, level: 3n, desc: host.page() | ATTRIBUTES }, realm };
  },
  violations: [
    ...common,
    wrongDesc("attr_valid", undefined, "MemAttr is the reserved 0b100", NS_BLOCK | (4n << 2n) | (3n << 6n)),
    ...FORBIDDEN_BITS.map((n) =>
      wrongDesc(
        "attr_valid",
        `bit_${n}`,
        `desc has bit ${n} set, which is not the Host's`,
        NS_BLOCK | ATTRIBUTES | (1n << BigInt(n)),
      ),
    ),
    {
      condition: "addr_align",
      status: INPUT,
      precondition: "The address is not aligned to a level 2 block",
      violate: (_, s) => {
        s.args.level = 2n;
        s.args.desc = (NS_BLOCK + 0x1000n) | ATTRIBUTES;
      },
    },
    {
      condition: "addr_align",
      variant: "level_1",
      status: INPUT,
      precondition: "The address is not aligned to a level 1 block",
      violate: (_, s) => {
        s.args.level = 1n;
        s.args.desc = (NS_BLOCK + 0x20_0000n) | ATTRIBUTES;
      },
    },
    wrongDesc("addr_bound", undefined, "The address has bit 48 set, without LPA2", (1n << 48n) | ATTRIBUTES),
    wrongDesc("addr_bound", "bit_51", "The address has bit 51 set, without LPA2", (1n << 51n) | ATTRIBUTES),
    {
      condition: "rtt_walk",
      status: RTT,
      index: 2,
      precondition: "There is no level 3 table",
      violate: setArg("ipa", (s) => s.args.ipa! + 0x20_0000n),
    },
    {
      condition: "rtt_walk",
      variant: "level_1",
      status: RTT,
      index: 1,
      precondition: "There is no level 2 table",
      violate: setArg("ipa", (s) => s.args.ipa! + 0x4000_0000n),
    },
    {
      condition: "rtte_state",
      status: RTT,
      index: 3,
      precondition: "The entry is ASSIGNED_NS",
      changesState: true,
      *violate(host, { realm }) {
        yield* realm.share(host, 0n);
      },
    },
    {
      condition: "rtte_state",
      variant: "table",
      status: RTT,
      index: 2,
      precondition: "The entry at level 2 is TABLE",
      violate: (_, s) => {
        s.args.level = 2n;
        s.args.desc = NS_BLOCK | ATTRIBUTES;
      },
    },
  ],
  order: ORDER,
});

const unmap = failureCases<Shared>({
  command: "RMI_RTT_UNMAP_UNPROTECTED",
  *arrange(host) {
    const realm = yield* Realm.create(host);
    yield* realm.share(host, 0n);
    return { args: { rd: realm.rd, ipa: realm.unprotected, level: 3n }, realm };
  },
  violations: [
    ...common,
    {
      condition: "rtt_walk",
      status: RTT,
      index: 2,
      precondition: "There is no level 3 table: top is the end of the level 2 table",
      violate: setArg("ipa", (s) => s.args.ipa! + 0x20_0000n),
      out: ({ realm }) => [realm.unprotected + 0x4000_0000n],
    },
    {
      condition: "rtt_walk",
      variant: "block",
      status: RTT,
      index: 2,
      precondition: "A block shows it: top is ipa",
      *violate(host, s) {
        const block = s.realm.unprotected + 0x20_0000n;
        yield* host.ok("RMI_RTT_MAP_UNPROTECTED", s.realm.rd, block, 2n, NS_BLOCK | ATTRIBUTES);
        s.args.ipa = block + 0x3000n;
      },
      out: ({ args }) => [args.ipa!],
    },
    {
      condition: "rtte_state",
      status: RTT,
      index: 3,
      precondition: "The entry is UNASSIGNED_NS: top is the end of the table",
      violate: setArg("ipa", (s) => s.args.ipa! + 0x1000n),
      out: ({ realm }) => [realm.unprotected + 0x20_0000n],
    },
    {
      condition: "rtte_state",
      variant: "next_live",
      status: RTT,
      index: 3,
      precondition: "The entry is UNASSIGNED_NS: top is the next one that shows something",
      *violate(host, s) {
        yield* s.realm.share(host, 0x9000n);
        s.args.ipa! += 0x1000n;
      },
      out: ({ realm }) => [realm.unprotected + 0x9000n],
    },
  ],
  order: ORDER,
});

function* sharing(host: Host, s2ap = 3n): Script<{ realm: Realm; pa: bigint; ipa: bigint }> {
  const realm = yield* Realm.create(host);
  const pa = yield* realm.share(host, 0n, { pa: host.page(bytesFrom(6)), s2ap });
  return { realm, pa, ipa: realm.unprotected };
}

const mapEffects = effects("RMI_RTT_MAP_UNPROTECTED", "RMI_RTT_MAP_UNPROTECTED command, success conditions", {
  entry: [
    "A page is shown: the entry is ASSIGNED_NS with what the Host gave",
    function* (host) {
      const { realm, pa, ipa } = yield* sharing(host);
      fields(
        yield* realm.entry(host, ipa),
        { level: 3, state: "ASSIGNED", desc: pa | ATTRIBUTES, ripas: 0 },
        "the entry",
      );
    },
  ],
  blocks: [
    "Blocks are shown at levels 2 and 1",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* host.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, realm.unprotected + 0x4000_0000n, 1n, NS_BLOCK | ATTRIBUTES);
      yield* realm.table(host, realm.unprotected, 2);
      yield* host.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, realm.unprotected, 2n, NS_BLOCK | ATTRIBUTES);
      equal((yield* realm.entry(host, realm.unprotected + 0x4000_0000n)).level, 1, "level of the large block");
      equal((yield* realm.entry(host, realm.unprotected)).level, 2, "level of the small block");
    },
  ],
  shared: [
    "Realm and Host see each other's writes in a page that is shown",
    function* (host) {
      const { realm, pa, ipa } = yield* sharing(host);
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      const first = new DataView(bytesFrom(6).buffer).getBigUint64(16, true);
      equal((yield* agent!.run(host, a64.load(0, 1), { 1: ipa + 16n })).x[0], first, "what the Realm reads");
      yield* agent!.run(host, a64.store(0, 1), { 0: 0x1122_3344_5566_7788n, 1: ipa + 0x800n });
      const expected = Uint8Array.of(0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11);
      equalBytes(host.read(pa + 0x800n, 8), expected, "what the Host reads");
    },
  ],
  read_only: [
    "A page is shown read-only: the Realm reads it, a store exits with a permission fault",
    function* (host) {
      const { realm, ipa } = yield* sharing(host, 1n);
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      yield* agent!.run(host, a64.load(0, 1), { 1: ipa });
      const exit = yield* agent!.exit(host, a64.store(0, 1), { 0: 5n, 1: ipa });
      equal(exit.esr & 0x3fn, 0x0fn, "DFSC: permission fault, level 3");
      equal(exit.gprs[0], 5n, "gprs[0]: the store's value");
    },
  ],
  any_state: [
    "A page is shown to a Realm that is NEW, and to one that is ACTIVE",
    function* (host) {
      const { realm } = yield* sharing(host);
      yield* realm.activate(host);
      yield* realm.share(host, 0x1000n);
    },
  ],
  not_granule_state: [
    "A granule that the Host has delegated can be shown: the Realm's access takes a granule protection fault, no exit",
    function* (host) {
      const realm = yield* Realm.create(host);
      yield* realm.share(host, 0n, { pa: yield* host.delegated() });
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      const { exception } = yield* agent!.run(host, a64.load(0, 1), { 1: realm.unprotected });
      equal(exception === undefined ? 0n : exception.esr & 0xfc00_003fn, 0x9400_0028n, "ESR_EL1: EC 0x25, DFSC 0x28");
    },
  ],
});

const unmapEffects = effects("RMI_RTT_UNMAP_UNPROTECTED", "RMI_RTT_UNMAP_UNPROTECTED command, success conditions", {
  entry: [
    "A page is shown no longer: the entry is UNASSIGNED_NS, and another page can be shown there",
    function* (host) {
      const { realm, ipa } = yield* sharing(host);
      yield* host.ok("RMI_RTT_UNMAP_UNPROTECTED", realm.rd, ipa, 3n);
      fields(yield* realm.entry(host, ipa), { level: 3, state: "UNASSIGNED", desc: 0n, ripas: 0 }, "the entry");
      yield* realm.share(host, 0n);
    },
  ],
  output: [
    "top is the next entry that shows something, or the end of the table",
    function* (host) {
      const { realm, ipa } = yield* sharing(host);
      yield* realm.share(host, 0x5000n);
      equal((yield* host.ok("RMI_RTT_UNMAP_UNPROTECTED", realm.rd, ipa, 3n))[0], ipa + 0x5000n, "top");
      equal(
        (yield* host.ok("RMI_RTT_UNMAP_UNPROTECTED", realm.rd, ipa + 0x5000n, 3n))[0],
        ipa + 0x20_0000n,
        "top of the last",
      );
    },
  ],
  translation: [
    "A page that the Realm has just used is shown no longer: its next access exits",
    function* (host) {
      const { realm, ipa } = yield* sharing(host);
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      yield* agent!.run(host, a64.load(0, 1), { 1: ipa });
      yield* host.ok("RMI_RTT_UNMAP_UNPROTECTED", realm.rd, ipa, 3n);
      equal((yield* agent!.exit(host, a64.load(0, 1), { 1: ipa })).reason, "RMI_EXIT_SYNC", "the exit");
    },
  ],
  block: [
    "A block that the Realm has just used is shown no longer",
    function* (host) {
      const realm = yield* Realm.create(host);
      const ipa = realm.unprotected;
      yield* realm.table(host, ipa, 2);
      yield* host.ok("RMI_RTT_MAP_UNPROTECTED", realm.rd, ipa, 2n, host.shared.take(512, 512) | ATTRIBUTES);
      const [agent] = yield* running(host, realm);
      yield* agent!.begin(host);
      yield* agent!.run(host, a64.load(0, 1), { 1: ipa + 0x1f_f000n });
      yield* host.ok("RMI_RTT_UNMAP_UNPROTECTED", realm.rd, ipa, 2n);
      equal((yield* agent!.exit(host, a64.load(0, 1), { 1: ipa + 0x1f_f000n })).reason, "RMI_EXIT_SYNC", "the exit");
    },
  ],
});

export const unprotectedCases: readonly ConformanceCase[] = [...map, ...mapEffects, ...unmap, ...unmapEffects];
