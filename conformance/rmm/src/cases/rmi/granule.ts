/** RMI_GRANULE_DELEGATE, RMI_GRANULE_UNDELEGATE. */
import { bytesFrom, type Host, Realm, type Script } from "../../driver/index.js";
import { type ConformanceCase, effects, SECURE_GRANULE } from "../case.js";
import { check, equalBytes } from "../check.js";
import { type Arranged, failureCases, granuleViolations, setArg } from "./violations.js";

const ZEROS = new Uint8Array(4096);

/** The state names differ: the argument is `addr`, the conditions are `gran_…`. */
const delegate = failureCases<Arranged>({
  command: "RMI_GRANULE_DELEGATE",
  arrange: (host) => ({ args: { addr: host.page() } }),
  violations: granuleViolations("addr", "UNDELEGATED", { prefix: "gran" }),
});

const undelegate = failureCases<Arranged>({
  command: "RMI_GRANULE_UNDELEGATE",
  *arrange(host) {
    return { args: { addr: yield* host.delegated() } };
  },
  violations: granuleViolations("addr", "DELEGATED", { prefix: "gran" }),
});

function* givenBack(host: Host, pa: bigint, what: string): Script {
  yield* host.ok("RMI_GRANULE_UNDELEGATE", pa);
  equalBytes(host.read(pa), ZEROS, what);
}

/** Cases of a granule that is neither the Host's nor the RMM's. */
const secure = failureCases<Arranged>({
  command: "RMI_GRANULE_DELEGATE",
  arrange: (host) => ({ args: { addr: host.page() } }),
  violations: [
    {
      condition: "gran_gpt",
      status: "RMI_ERROR_INPUT",
      precondition: "addr is in the Secure PAS",
      violate: setArg("addr", SECURE_GRANULE),
    },
  ],
}).map((one): ConformanceCase => ({ ...one, machine: "secure-memory" }));

export const granuleCases = [
  ...delegate,
  ...secure,
  ...undelegate,
  ...effects("RMI_GRANULE_DELEGATE", "RMI_GRANULE_DELEGATE command, success conditions", {
    gpt: [
      "A page of the Host is delegated: the Host can no longer get at it",
      function* (host) {
        const pa = host.page(bytesFrom(1));
        check(host.canAccess(pa), "the Host gets at its page before");
        yield* host.ok("RMI_GRANULE_DELEGATE", pa);
        check(!host.canAccess(pa), "the Host does not get at the page afterwards");
        check(host.canAccess(pa + 0x1000n) && host.canAccess(pa - 0x1000n), "the pages around it are as before");
      },
    ],
    state: [
      "A granule is DELEGATED: it can become an RD",
      function* (host) {
        yield* Realm.create(host);
      },
    ],
  }),
  ...effects("RMI_GRANULE_UNDELEGATE", "RMI_GRANULE_UNDELEGATE command, success conditions", {
    gpt: [
      "A delegated granule is given back: the Host gets at it",
      function* (host) {
        const pa = yield* host.delegated();
        yield* host.ok("RMI_GRANULE_UNDELEGATE", pa);
        check(host.canAccess(pa), "the Host gets at the granule");
      },
    ],
    state: [
      "A granule that was given back can be delegated again",
      function* (host) {
        const pa = yield* host.delegated();
        yield* host.ok("RMI_GRANULE_UNDELEGATE", pa);
        yield* host.ok("RMI_GRANULE_DELEGATE", pa);
      },
    ],
    wiped_unused: [
      "A granule that no Realm has used comes back wiped",
      function* (host) {
        const pa = host.page(bytesFrom(2));
        yield* host.ok("RMI_GRANULE_DELEGATE", pa);
        yield* givenBack(host, pa, "an unused granule");
      },
    ],
    wiped_data: [
      "A DATA granule with content is destroyed and given back: it is wiped",
      function* (host) {
        const realm = yield* Realm.create(host);
        const data = yield* realm.data(host, 0n, bytesFrom(3));
        yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0n);
        yield* givenBack(host, data, "a DATA granule");
      },
    ],
    wiped_rtt: [
      "An RTT with entries is destroyed and given back: it is wiped",
      function* (host) {
        const realm = yield* Realm.create(host);
        const rtt = (yield* realm.tables(host, 0n))!;
        yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, 0n, 0x1000n);
        yield* host.ok("RMI_RTT_DESTROY", realm.rd, 0n, 3n);
        yield* givenBack(host, rtt, "an RTT");
      },
    ],
    wiped_rd: [
      "A Realm is destroyed: its RD and start-level tables come back wiped",
      function* (host) {
        const realm = yield* Realm.create(host, { rpv: new Uint8Array(64).fill(0x77) });
        yield* host.ok("RMI_REALM_DESTROY", realm.rd);
        yield* givenBack(host, realm.rd, "an RD");
        yield* givenBack(host, realm.params.rtt_base, "a start-level RTT");
      },
    ],
    wiped_rec: [
      "A REC is destroyed: it and its auxiliary granules come back wiped",
      function* (host) {
        const realm = yield* Realm.create(host);
        const rec = yield* realm.rec(host, { gprs: Array<bigint>(8).fill(0x1234_5678_9abc_def0n) });
        yield* host.ok("RMI_REC_DESTROY", rec.addr);
        for (const pa of [rec.addr, ...rec.aux]) yield* givenBack(host, pa, "a REC's granule");
      },
    ],
  }),
];
