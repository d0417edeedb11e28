/** RSI_VERSION, RSI_FEATURES, RSI_REALM_CONFIG, RSI_MEASUREMENT_READ, RSI_MEASUREMENT_EXTEND, and calls that do not exist. */
import {
  RMI_FID,
  RSI_ABI_VERSION_1_0,
  RSI_FID,
  RsiRealmConfig,
  SMCCC_NOT_SUPPORTED,
  SMCCC_VERSION,
} from "@realmbox/abi";
import { Agent, a64, bytesFrom, type Host, Realm, type Script } from "../../driver/index.js";
import { type ConformanceCase, effects } from "../case.js";
import { check, equal, equalAll } from "../check.js";
import {
  afterData,
  afterRec,
  afterRipas,
  asRegisters,
  extended,
  hashName,
  initialRim,
  rimOfAgentRealm,
} from "../measure.js";
import {
  BUFFER,
  EMPTY_PAGE,
  othersKept,
  peek,
  type RealmState,
  rsiFailures,
  rsiOk,
  runningRealm,
} from "../realm-calls.js";

const V = RSI_ABI_VERSION_1_0;
const WILD = 1n << 63n;

const version = [
  ...rsiFailures("RSI_VERSION", [
    {
      condition: "incompat_lower",
      status: "RSI_ERROR_INPUT",
      precondition: "2.0 is requested",
      args: [0x2_0000n],
      out: [V, V],
    },
    {
      condition: "incompat_lower",
      variant: "minor",
      status: "RSI_ERROR_INPUT",
      precondition: "1.1 is requested",
      args: [V + 1n],
      out: [V, V],
    },
    {
      condition: "incompat_lower",
      variant: "below",
      status: "RSI_ERROR_INPUT",
      precondition: "0.1 is requested",
      args: [1n],
      out: [V, V],
    },
    {
      condition: "incompat_lower",
      variant: "sbz",
      status: "RSI_ERROR_INPUT",
      precondition: "1.0 with bit 31 set is requested",
      args: [V | (1n << 31n)],
      out: [V, V],
    },
  ]),
  ...effects("RSI_VERSION", "RSI_VERSION command", {
    compatible: [
      "1.0 is requested",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        const x = yield* rsiOk(host, agent, "RSI_VERSION", V);
        equal(x[1], V, "lower");
        check(x[2]! >= V && x[2]! >> 31n === 0n, "higher is a revision that is not below lower");
        equal(x[3], 0n, "X3");
        othersKept(x, 2);
      },
    ],
  }),
  ...effects("RSI_FEATURES", "RSI_FEATURES command", {
    registers: [
      "Feature registers 0, 1 and 2^63 read zero",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        for (const index of [0n, 1n, WILD]) {
          const x = yield* rsiOk(host, agent, "RSI_FEATURES", index);
          equalAll(x.slice(1, 4), [0n, 0n, 0n], "X1 to X3");
        }
      },
    ],
  }),
  ...effects("RSI", "Realm Services Interface, function identifiers", {
    smccc_version: [
      "SMCCC_VERSION: at least 1.2",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        const [x0] = yield* agent.smc(host, SMCCC_VERSION);
        check(x0! >= 0x1_0002n && x0! < 0x2_0000n, `SMCCC version 0x${x0!.toString(16)}`);
      },
    ],
    unknown_fid: [
      "Identifiers that are no function of a Realm, RMI ones included: NOT_SUPPORTED",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        const fids = [
          0xc400_019an,
          0xc400_018fn,
          RMI_FID.RMI_VERSION,
          RMI_FID.RMI_GRANULE_DELEGATE,
          0x8000_0001n,
          0x8400_0050n,
          0xc600_0000n,
          0xffff_ffffn,
          0n,
        ];
        for (const fid of fids) {
          const x = yield* agent.smc(host, fid, 1n, 2n, 3n);
          equal(x[0], SMCCC_NOT_SUPPORTED, `X0 of 0x${fid.toString(16)}`);
          othersKept(x, 0);
        }
      },
    ],
    upper_half_of_x0: [
      "The function identifier is W0: X0[63:32] is not looked at",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        equal((yield* agent.smc(host, RSI_FID.RSI_VERSION | (0xdead_beefn << 32n), V))[0], 0n, "X0");
      },
    ],
    sve_hint: [
      "The SVE hint, bit 16 of the function identifier, is not part of it",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        equal((yield* agent.smc(host, RSI_FID.RSI_VERSION | 0x1_0000n, V))[0], 0n, "X0");
      },
    ],
    smc_immediate: [
      "The immediate of the SMC instruction is not looked at",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        const { x } = yield* agent.run(host, a64.op("SMC", { i: 0x1234 }), { 0: RSI_FID.RSI_VERSION, 1: V });
        equal(x[0], 0n, "X0");
      },
    ],
    hvc: [
      "HVC is UNDEFINED in a Realm, and no exit",
      function* (host) {
        const { agent } = yield* runningRealm(host);
        const { exception } = yield* agent.run(host, a64.HVC, { 0: RSI_FID.RSI_VERSION, 1: V });
        equal(exception?.vector, 0x200, "the vector");
        equal(exception!.esr >> 26n, 0n, "ESR_EL1.EC");
      },
    ],
  }),
];

const config = [
  ...rsiFailures("RSI_REALM_CONFIG", [
    {
      condition: "addr_align",
      status: "RSI_ERROR_INPUT",
      precondition: "addr is not aligned to 4 KiB",
      args: [BUFFER + 0x100n],
    },
    {
      condition: "addr_bound",
      status: "RSI_ERROR_INPUT",
      precondition: "addr is Unprotected",
      args: ({ realm }) => [realm.unprotected],
    },
    {
      condition: "addr_bound",
      variant: "beyond",
      status: "RSI_ERROR_INPUT",
      precondition: "addr is beyond the IPA space",
      args: ({ realm }) => [realm.ipaSize],
    },
    { condition: "addr_bound", variant: "wild", status: "RSI_ERROR_INPUT", precondition: "addr is 2^63", args: [WILD] },
    { condition: "ripas", status: "RSI_ERROR_INPUT", precondition: "RIPAS of addr is EMPTY", args: [EMPTY_PAGE] },
  ]),
  ...effects("RSI_REALM_CONFIG", "RSI_REALM_CONFIG command", {
    content: [
      "RsiRealmConfig is written: IPA width, hash algorithm, personalization value; every other byte is zero",
      function* (host) {
        const rpv = Uint8Array.from({ length: 64 }, (_, i) => 0x80 + i);
        const { agent } = yield* runningRealm(host, { rpv, s2sz: 34 });
        const words = Array.from({ length: 512 }, (_, i) => BigInt(i * 8));
        for (const at of [0x10n, 0x180n, 0x240n, 0xff8n]) {
          yield* agent.run(host, a64.store(0, 1), { 0: ~0n & ((1n << 64n) - 1n), 1: BUFFER + at });
        }
        yield* rsiOk(host, agent, "RSI_REALM_CONFIG", BUFFER);
        const expected = new DataView(RsiRealmConfig.encode({ ipa_width: 34n, hash_algo: 0, rpv }).buffer);
        for (const at of words.filter((w) => w < 0x20n || (w >= 0x180n && w < 0x248n) || w === 0xff8n)) {
          equal(
            yield* peek(host, agent, BUFFER + at),
            expected.getBigUint64(Number(at), true),
            `the word at 0x${at.toString(16)}`,
          );
        }
      },
    ],
    no_page: [
      "RIPAS of addr is RAM, and there is no page: a Data Abort exit; with a page, the same call succeeds",
      function* (host) {
        yield* bufferFault(host, (ipa) => [RSI_FID.RSI_REALM_CONFIG, ipa]);
      },
    ],
  }),
];

/** A buffer at an IPA whose RIPAS is RAM without a page: the exit, the repair, and the call again, by itself. */
export function* bufferFault(
  host: Host,
  call: (ipa: bigint) => readonly bigint[],
  before?: (host: Host, state: RealmState) => Script,
): Script {
  const state = yield* runningRealm(host);
  const { realm, agent } = state;
  if (before) yield* before(host, state);
  const ipa = 0xc000n;
  yield* agent.smcExit(host, RSI_FID.RSI_IPA_STATE_SET, ipa, ipa + 0x1000n, 1n, 0n);
  yield* host.ok("RMI_RTT_SET_RIPAS", realm.rd, agent.rec.addr, ipa, ipa + 0x1000n);
  yield* agent.finish(host);
  const exit = yield* agent.smcExit(host, ...call(ipa));
  equal(exit.reason, "RMI_EXIT_SYNC", "the exit");
  equal(exit.esr, 0x9000_0007n, "esr: Data Abort, translation fault, level 3");
  equal(exit.hpfar, ipa >> 8n, "hpfar");
  equal(exit.far, 0n, "far");
  equalAll(exit.gprs, Array<bigint>(31).fill(0n), "gprs");
  yield* realm.unknownData(host, ipa);
  equal((yield* agent.finish(host)).x[0], 0n, "X0 of the call that was made again");
}

const measurement = [
  ...rsiFailures("RSI_MEASUREMENT_READ", [
    { condition: "index_bound", status: "RSI_ERROR_INPUT", precondition: "index is 5", args: [5n] },
    {
      condition: "index_bound",
      variant: "wild",
      status: "RSI_ERROR_INPUT",
      precondition: "index is 2^63",
      args: [WILD],
    },
  ]),
  ...rsiFailures("RSI_MEASUREMENT_EXTEND", [
    { condition: "index_bound", status: "RSI_ERROR_INPUT", precondition: "index is 5", args: [5n, 32n] },
    {
      condition: "index_bound",
      variant: "rim",
      status: "RSI_ERROR_INPUT",
      precondition: "index is 0, the RIM",
      args: [0n, 32n],
    },
    {
      condition: "index_bound",
      variant: "wild",
      status: "RSI_ERROR_INPUT",
      precondition: "index is 2^63",
      args: [WILD, 32n],
    },
    { condition: "size_bound", status: "RSI_ERROR_INPUT", precondition: "size is 65", args: [1n, 65n] },
    {
      condition: "size_bound",
      variant: "wild",
      status: "RSI_ERROR_INPUT",
      precondition: "size is 2^63",
      args: [1n, WILD],
    },
  ]),
  ...effects("RSI_MEASUREMENT_READ", "RSI_MEASUREMENT_READ command", {
    rim: [
      "The RIM of a Realm with a page and a REC, recomputed from the calls that made it",
      function* (host) {
        const { agent, realm } = yield* runningRealm(host);
        const x = yield* rsiOk(host, agent, "RSI_MEASUREMENT_READ", 0n);
        equalAll(x.slice(1, 9), rimOfAgentRealm(host.bench.crypto, realm), "the RIM");
        othersKept(x, 8);
      },
      { citation: "Realm Initial Measurement" },
    ],
    rim_of_every_call: [
      "Each call that the RIM covers extends it, in order: RIPAS by entry at two levels, measured and unmeasured data, a runnable REC; what it does not cover leaves it alone",
      function* (host) {
        const { crypto } = host.bench;
        const content = bytesFrom(3);
        const realm = yield* Realm.create(host);
        const gprs = [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n];
        yield* realm.table(host, 0n, 2);
        yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, 0x20_0000n, 0x40_0000n);
        yield* realm.tables(host, 0n);
        yield* host.ok("RMI_RTT_INIT_RIPAS", realm.rd, 0x1_0000n, 0x1_2000n);
        yield* realm.data(host, BUFFER, content, 1n);
        yield* realm.unknownData(host, 0x1_1000n);
        const agent = yield* Agent.create(host, realm, 0x1000n, { gprs });
        yield* realm.rec(host, { runnable: false, pc: 0x5000n });
        yield* realm.share(host, 0n);
        yield* realm.activate(host);
        yield* agent.begin(host);

        let rim = initialRim(crypto, "sha-256", realm.params);
        for (const [base, top] of [
          [0x20_0000n, 0x40_0000n],
          [0x1_0000n, 0x1_1000n],
          [0x1_1000n, 0x1_2000n],
        ] as const) {
          rim = afterRipas(crypto, "sha-256", rim, { base, top });
        }
        rim = afterData(crypto, "sha-256", rim, { ipa: BUFFER, flags: 1n, content });
        rim = afterData(crypto, "sha-256", rim, { ipa: 0x1000n, flags: 0n });
        rim = afterRec(crypto, "sha-256", rim, { flags: 1n, pc: 0x1000n, gprs });
        const x = yield* rsiOk(host, agent, "RSI_MEASUREMENT_READ", 0n);
        equalAll(x.slice(1, 9), asRegisters(rim), "the RIM");
      },
      { citation: "Realm Initial Measurement" },
    ],
    rim_sha512: [
      "The same with SHA-512",
      function* (host) {
        const { agent, realm } = yield* runningRealm(host, { hash_algo: 1 });
        const x = yield* rsiOk(host, agent, "RSI_MEASUREMENT_READ", 0n);
        equalAll(x.slice(1, 9), rimOfAgentRealm(host.bench.crypto, realm), "the RIM");
      },
      { citation: "Realm Initial Measurement" },
    ],
  }),
  ...effects("RSI_MEASUREMENT_EXTEND", "RSI_MEASUREMENT_EXTEND command", {
    value: [
      "A REM is extended with 32, then 5, then 0, then 64 bytes: each new value follows from the last",
      function* (host) {
        const { agent, realm } = yield* runningRealm(host);
        const value = Array.from({ length: 8 }, (_, i) => 0x1111_1111_1111_1111n * BigInt(i + 1));
        let rem = new Uint8Array(64);
        for (const size of [32, 5, 0, 64]) {
          yield* rsiOk(host, agent, "RSI_MEASUREMENT_EXTEND", 2n, BigInt(size), ...value);
          rem = extended(host.bench.crypto, hashName(realm), rem, value, size);
          const x = yield* rsiOk(host, agent, "RSI_MEASUREMENT_READ", 2n);
          const view = new DataView(rem.buffer);
          equalAll(
            x.slice(1, 9),
            Array.from({ length: 8 }, (_, i) => view.getBigUint64(8 * i, true)),
            `after ${size} bytes`,
          );
        }
        for (const other of [1n, 3n, 4n]) {
          equal(
            (yield* rsiOk(host, agent, "RSI_MEASUREMENT_READ", other))[1],
            0n,
            `REM ${other}, which was not extended`,
          );
        }
      },
    ],
    shared_by_recs: [
      "A REM is the Realm's: another REC reads it",
      function* (host) {
        const { agents } = yield* runningRealm(host, {}, { recs: 2 });
        yield* agents[1]!.begin(host);
        yield* rsiOk(host, agents[0]!, "RSI_MEASUREMENT_EXTEND", 1n, 8n, 1n);
        const first = yield* rsiOk(host, agents[0]!, "RSI_MEASUREMENT_READ", 1n);
        equalAll(
          (yield* rsiOk(host, agents[1]!, "RSI_MEASUREMENT_READ", 1n)).slice(1, 9),
          first.slice(1, 9),
          "the REM",
        );
      },
    ],
    rim_is_immutable: [
      "Nothing that happens to an ACTIVE Realm changes its RIM",
      function* (host) {
        const { agent, realm } = yield* runningRealm(host);
        const before = yield* rsiOk(host, agent, "RSI_MEASUREMENT_READ", 0n);
        yield* realm.unknownData(host, 0x9000n);
        yield* host.ok("RMI_DATA_DESTROY", realm.rd, 0x9000n);
        yield* rsiOk(host, agent, "RSI_MEASUREMENT_EXTEND", 1n, 8n, 1n);
        const after = yield* rsiOk(host, agent, "RSI_MEASUREMENT_READ", 0n);
        equalAll(after.slice(1, 9), before.slice(1, 9), "the RIM");
      },
    ],
  }),
];

export const rsiCallCases: readonly ConformanceCase[] = [...version, ...config, ...measurement];
